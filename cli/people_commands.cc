// Signing in and out, contexts, users.
#include <memory>

#include "absl/strings/str_cat.h"
#include "cli/call.h"
#include "cli/commands.h"
#include "cli/context_store.h"
#include "cli/fields.h"
#include "cli/first_contact.h"
#include "drover/v1/people.pb.h"
#include "proto/support/resource_name.h"
#include "proto/support/status.h"

namespace drover::cli {
namespace {

constexpr absl::Duration kFirstContactTimeout = absl::Seconds(15);

const Flag kPassword = {
    .name = "password", .help = "password", .kind = Flag::Kind::kSecret, .required = true};

std::string ContextNameFor(const Invocation& invocation, const std::string& server) {
  std::string name = invocation.arguments.Get("context");
  if (name.empty()) name = invocation.terminal.Env("DROVER_CONTEXT");
  return name.empty() ? server : name;
}

// A person, or a flag on their behalf, says that this is the right controller.
absl::Status ConfirmAuthority(Invocation& invocation, const std::string& server,
                              const PresentedAuthority& shown, const std::string& known) {
  const Arguments& arguments = invocation.arguments;
  const std::string wanted = arguments.Get("fingerprint");
  if (!wanted.empty()) {
    if (SameFingerprint(wanted, shown.fingerprint)) return absl::OkStatus();
    return MakeError(absl::StatusCode::kFailedPrecondition, "CERTIFICATE_REFUSED",
                     absl::StrCat(server, " shows another authority than --fingerprint names: ",
                                  shown.fingerprint));
  }
  if (!known.empty() && SameFingerprint(FingerprintOf(known), shown.fingerprint)) {
    return absl::OkStatus();
  }
  invocation.Tell(absl::StrCat(
      "The authority of ", server,
      known.empty() ? ":" : " IS ANOTHER ONE than before:", "\n  subject      ", shown.subject,
      "\n  valid until  ", LocalTime(shown.not_after), "\n  SHA-256      ", shown.fingerprint));
  if (arguments.Has("trust-new-certificate")) return absl::OkStatus();
  if (!invocation.terminal.in_is_tty() || !invocation.terminal.err_is_tty()) {
    return MakeError(
        absl::StatusCode::kFailedPrecondition, "AUTHORITY_NOT_CONFIRMED",
        absl::StrCat("the authority of ", server, " is not confirmed: ", shown.fingerprint),
        {{"fingerprint", shown.fingerprint}});
  }
  DROVER_ASSIGN_OR_RETURN(
      const std::string answer,
      invocation.terminal.Ask("Compare it with the authority.crt that droverd keeps in its store "
                              "directory below tls. Is it the same? [y/N]"));
  if (answer == "y" || answer == "yes") return absl::OkStatus();
  return absl::CancelledError("not trusted; nothing was sent to it");
}

// "10.0.0.1" -> "10.0.0.1:8443".
std::string WithPort(const std::string& server) {
  const size_t colon = server.rfind(':');
  const bool has_port = colon != std::string::npos && server.find(']', colon) == std::string::npos;
  return has_port ? server : server + ":8443";
}

absl::Status ChangePassword(Invocation& invocation, const std::string& before,
                            const std::string& after) {
  v1::ChangePasswordRequest request;
  request.set_old_password(before);
  request.set_new_password(after);
  google::protobuf::Empty nothing;
  return invocation.client.Call("PeopleService/ChangePassword", request, &nothing);
}

// After signing in with a password that somebody else has set.
absl::Status AskForOwnPassword(Invocation& invocation, const std::string& before) {
  if (!invocation.terminal.in_is_tty() || !invocation.terminal.err_is_tty()) {
    invocation.terminal.Tell(
        "The password was set by somebody else; nothing else works until you choose your own:\n"
        "  drover user passwd --password-stdin    (two lines: old, new)");
    return absl::OkStatus();
  }
  invocation.terminal.Tell("The password was set by somebody else; choose your own.");
  DROVER_ASSIGN_OR_RETURN(const std::string after,
                          invocation.terminal.AskNewSecret("New password"));
  DROVER_RETURN_IF_ERROR(ChangePassword(invocation, before, after));
  invocation.Tell("Password changed.");
  return absl::OkStatus();
}

absl::Status Login(Invocation& invocation) {
  DROVER_ASSIGN_OR_RETURN(ContextStore store, ContextStore::Load(invocation.terminal));
  std::string server = invocation.arguments.Get("SERVER");
  if (server.empty()) server = invocation.arguments.Get("server");
  if (server.empty()) server = invocation.terminal.Env("DROVER_SERVER");
  if (server.empty() && store.contexts().count(store.current()) > 0) {
    server = store.contexts().at(store.current()).server;
  }
  if (server.empty())
    return absl::InvalidArgumentError("SERVER is missing: HOST:PORT of the controller");
  server = WithPort(server);
  const std::string name = ContextNameFor(invocation, server);
  const auto known = store.contexts().find(name);
  const bool same = known != store.contexts().end() && known->second.server == server;

  DROVER_ASSIGN_OR_RETURN(const PresentedAuthority shown,
                          FetchAuthority(server, kFirstContactTimeout));
  DROVER_RETURN_IF_ERROR(
      ConfirmAuthority(invocation, server, shown, same ? known->second.authority : ""));
  Context context{.server = server, .authority = shown.pem, .user = "", .token = ""};
  context.user = invocation.arguments.Get("user");
  if (context.user.empty()) {
    DROVER_ASSIGN_OR_RETURN(context.user, invocation.terminal.Ask("User:"));
  }
  v1::LoginRequest request;
  request.set_user(context.user);
  DROVER_ASSIGN_OR_RETURN(const std::string password, ReadSecret(invocation, kPassword));
  request.set_password(password);
  invocation.client.UseContext(context);
  v1::Session session;
  DROVER_RETURN_IF_ERROR(invocation.client.Call("PeopleService/Login", request, &session));
  context.token = session.token();
  store.Put(name, context);
  DROVER_RETURN_IF_ERROR(store.Use(name));
  DROVER_RETURN_IF_ERROR(store.Save());
  invocation.client.UseContext(context);
  invocation.Tell(absl::StrCat(
      "Signed in at ", server, " as ", context.user, " (", FieldText(session, "user.role"),
      ") until ", LocalTime(absl::FromUnixSeconds(session.expire_time().seconds())), "."));
  if (!session.user().must_change_password()) return absl::OkStatus();
  return AskForOwnPassword(invocation, password);
}

absl::Status Logout(Invocation& invocation) {
  DROVER_ASSIGN_OR_RETURN(const std::string name, invocation.client.CurrentContextName());
  DROVER_ASSIGN_OR_RETURN(ContextStore store, ContextStore::Load(invocation.terminal));
  const auto found = store.contexts().find(name);
  if (found == store.contexts().end() || found->second.token.empty()) {
    invocation.Tell("Not signed in.");
    return absl::OkStatus();
  }
  v1::LogoutRequest request;
  google::protobuf::Empty nothing;
  const absl::Status ended = invocation.client.Call("PeopleService/Logout", request, &nothing);
  // A session that has ended already is what was wanted; one that could not be ended is forgotten
  // here all the same.
  Context context = found->second;
  context.token.clear();
  store.Put(name, context);
  DROVER_RETURN_IF_ERROR(store.Save());
  if (!ended.ok() && !absl::IsUnauthenticated(ended)) {
    return Annotate(ended, "signed out here, but the controller could not be told");
  }
  invocation.Tell(absl::StrCat("Signed out of ", context.server, "."));
  return absl::OkStatus();
}

absl::Status WhoAmI(Invocation& invocation) {
  v1::GetSelfRequest request;
  v1::User user;
  DROVER_RETURN_IF_ERROR(invocation.client.Call("PeopleService/GetSelf", request, &user));
  if (!invocation.shows_table()) {
    return PrintMessage(invocation.terminal, invocation.output, user);
  }
  DROVER_ASSIGN_OR_RETURN(const Context context, invocation.client.CurrentContext());
  invocation.terminal.Print(absl::StrCat(IdOf(user.name()), " (", FieldText(user, "role"), ") at ",
                                         context.server, "\n"));
  if (user.must_change_password()) {
    invocation.Tell("The password must be changed first: drover user passwd");
  }
  return absl::OkStatus();
}

absl::Status Passwd(Invocation& invocation) {
  std::string before;
  std::string after;
  if (invocation.arguments.Has("password-stdin")) {
    for (std::string* line : {&before, &after}) {
      auto read = invocation.terminal.ReadLine();
      if (!read.ok()) {
        return absl::InvalidArgumentError(
            "--password-stdin: two lines are needed, the old password and the new one");
      }
      *line = *read;
    }
  } else {
    DROVER_ASSIGN_OR_RETURN(before, invocation.terminal.AskSecret("Old password:"));
    DROVER_ASSIGN_OR_RETURN(after, invocation.terminal.AskNewSecret("New password"));
  }
  DROVER_RETURN_IF_ERROR(ChangePassword(invocation, before, after));
  invocation.Tell("Password changed; your other sessions have ended.");
  return absl::OkStatus();
}

absl::Status ListContexts(Invocation& invocation) {
  DROVER_ASSIGN_OR_RETURN(const ContextStore store, ContextStore::Load(invocation.terminal));
  if (store.contexts().empty()) {
    invocation.Tell("No contexts. Sign in with: drover login HOST:PORT");
  }
  for (const auto& [name, context] : store.contexts()) {
    if (!invocation.shows_table()) {
      invocation.terminal.Print(name + "\n");
      continue;
    }
    invocation.terminal.Print(absl::StrCat(name == store.current() ? "* " : "  ", Pad(name, 24),
                                           "  ", Pad(context.server, 24), "  ", context.user,
                                           context.token.empty() ? " (signed out)" : "", "\n"));
  }
  return absl::OkStatus();
}

absl::Status ChangeContexts(Invocation& invocation,
                            absl::Status (ContextStore::*change)(absl::string_view)) {
  DROVER_ASSIGN_OR_RETURN(ContextStore store, ContextStore::Load(invocation.terminal));
  DROVER_RETURN_IF_ERROR((store.*change)(invocation.arguments.Get("NAME")));
  return store.Save();
}
absl::Status UseContext(Invocation& invocation) {
  return ChangeContexts(invocation, &ContextStore::Use);
}
absl::Status DeleteContext(Invocation& invocation) {
  return ChangeContexts(invocation, &ContextStore::Remove);
}

std::vector<Command> SessionCommands() {
  return {
      {.path = "login",
       .summary = "Sign in at a controller and remember it.",
       .arguments = {{.name = "SERVER", .help = "HOST:PORT of the controller; port 8443 without"}},
       .flags = {{.name = "user", .help = "user name", .letter = 'u', .value = "NAME"},
                 kPassword,
                 {.name = "fingerprint",
                  .help = "SHA-256 of the authority, as droverd printed it",
                  .value = "SHA256"},
                 {.name = "trust-new-certificate",
                  .help = "trust whatever authority it shows now",
                  .kind = Flag::Kind::kSwitch}},
       .examples = {"drover login 10.0.0.1:8443 --user admin",
                    "drover login 10.0.0.1:8443 --user admin --password-stdin --fingerprint "
                    "SHA256:AB:CD:... < password"},
       .notes =
           "The authority that is confirmed is the only one trusted from then on. The session is "
           "kept in\n$XDG_CONFIG_HOME/drover/contexts.toml, for you alone.",
       .run = Login},
      {.path = "logout", .summary = "End the session.", .run = Logout},
      {.path = "whoami", .summary = "Show who is signed in, where.", .run = WhoAmI},
      {.path = "context list",
       .summary = "List the controllers you are signed in to.",
       .run = ListContexts},
      {.path = "context use",
       .summary = "Use this controller when nothing else is said.",
       .arguments =
           {{.name = "NAME", .help = "context", .required = true, .collection = "contexts"}},
       .run = UseContext},
      {.path = "context delete",
       .summary = "Forget a controller and its session here.",
       .arguments =
           {{.name = "NAME", .help = "context", .required = true, .collection = "contexts"}},
       .run = DeleteContext},
  };
}

}  // namespace

std::vector<Command> PeopleCommands() {
  std::vector<Command> commands = SessionCommands();
  const std::vector<Command> users = {
      {.path = "user list", .summary = "List users.", .method = "PeopleService/ListUsers"},
      {.path = "user show",
       .summary = "Show a user.",
       .method = "PeopleService/GetUser",
       .arguments = {{.name = "USER", .field = "name", .help = "user name", .required = true}}},
      {.path = "user add",
       .summary = "Add a user, who must change the password at first sign-in.",
       .method = "PeopleService/CreateUser",
       .arguments = {{.name = "USER", .field = "user_id", .help = "user name", .required = true}},
       .flags =
           {{.name = "role", .field = "user.role", .help = "what they may do", .required = true},
            {.name = "password",
             .field = "user.password",
             .help = "first password",
             .required = true,
             .new_secret = true},
            {.name = "title", .field = "user.display_name", .help = "full name"},
            {.name = "mail", .field = "user.mail", .help = "mail address"},
            {.name = "language", .field = "user.language", .help = "en or zh-CN"}},
       .examples = {"drover user add wang --role administrator --title 王伟"},
       .done = "user {} added"},
      {.path = "user edit",
       .summary = "Change a user, or set a new first password.",
       .method = "PeopleService/UpdateUser",
       .arguments = {{.name = "USER", .field = "user.name", .help = "user name", .required = true}},
       .flags = {{.name = "title", .field = "user.display_name", .help = "full name"},
                 {.name = "mail", .field = "user.mail", .help = "mail address"},
                 {.name = "language", .field = "user.language", .help = "en or zh-CN"},
                 {.name = "password",
                  .field = "user.password",
                  .help = "new first password",
                  .new_secret = true}},
       .done = "user {} changed",
       .update_of = "user"},
      {.path = "user set-role",
       .summary = "Change what a user may do.",
       .method = "PeopleService/UpdateUser",
       .arguments = {{.name = "USER", .field = "user.name", .help = "user name", .required = true}},
       .flags = {{.name = "role", .field = "user.role", .help = "the role", .required = true}},
       .examples = {"drover user set-role wang --role system-administrator"},
       .done = "user {} changed",
       .update_of = "user"},
      {.path = "user delete",
       .summary = "Delete a user.",
       .method = "PeopleService/DeleteUser",
       .arguments = {{.name = "USER", .field = "name", .help = "user name", .required = true}},
       .danger = Danger::kConfirm,
       .done = "user {} deleted"},
      {.path = "user passwd",
       .summary = "Change your own password.",
       .flags = {{.name = "password-stdin",
                  .help = "two lines of standard input: the old password, the new one",
                  .kind = Flag::Kind::kSwitch}},
       .examples = {"drover user passwd"},
       .run = Passwd},
  };
  commands.insert(commands.end(), users.begin(), users.end());
  return commands;
}

}  // namespace drover::cli
