// Service configuration: profiles from documents, and configurations checked, planned, applied,
// looked back at and restored.
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/strings/str_split.h"
#include "cli/call.h"
#include "cli/commands.h"
#include "cli/documents.h"
#include "cli/fields.h"
#include "drover/v1/config.pb.h"
#include "drover/v1/options.pb.h"
#include "proto/support/resource_name.h"
#include "proto/support/status.h"

namespace drover::cli {
namespace {

// "mysql=shop-db-1" -> {"mysql", "shop-db-1"}.
absl::StatusOr<std::pair<std::string, std::string>> SplitChoice(const std::string& flag,
                                                                const std::string& text) {
  const std::vector<std::string> parts = absl::StrSplit(text, absl::MaxSplits('=', 1));
  if (parts.size() == 2 && !parts[0].empty() && !parts[1].empty()) return {{parts[0], parts[1]}};
  return absl::InvalidArgumentError(absl::StrCat("--", flag, " takes NAME=VM, not \"", text, "\""));
}

absl::StatusOr<v1::Configuration> ChoicesOf(Invocation& invocation) {
  v1::Configuration choices;
  const Arguments& arguments = invocation.arguments;
  DROVER_ASSIGN_OR_RETURN(*choices.mutable_profile(),
                          InCollection("profiles", arguments.Get("PROFILE")));
  DROVER_ASSIGN_OR_RETURN(*choices.mutable_environment(),
                          InCollection("environments", arguments.Get("env")));
  for (const std::string& text : arguments.All("dependency")) {
    DROVER_ASSIGN_OR_RETURN(const auto choice, SplitChoice("dependency", text));
    DROVER_ASSIGN_OR_RETURN((*choices.mutable_dependency_vms())[choice.first],
                            InCollection("vms", choice.second));
  }
  for (const std::string& text : arguments.All("role")) {
    DROVER_ASSIGN_OR_RETURN(const auto choice, SplitChoice("role", text));
    v1::Configuration::RoleVms& role = *choices.add_role_vms();
    role.set_role(choice.first);
    for (const std::string& name :
         std::vector<std::string>(absl::StrSplit(choice.second, ',', absl::SkipEmpty()))) {
      if (absl::StrContains(name, '*')) {
        DROVER_ASSIGN_OR_RETURN(const std::vector<std::string> names,
                                ExpandGlob(invocation.client, "vms", name));
        for (const std::string& one : names) role.add_vms(one);
        continue;
      }
      DROVER_ASSIGN_OR_RETURN(std::string one, InCollection("vms", name));
      role.add_vms(std::move(one));
    }
  }
  return choices;
}

// ---- configurations

absl::Status Check(Invocation& invocation) {
  v1::CheckConfigurationRequest request;
  DROVER_ASSIGN_OR_RETURN(*request.mutable_configuration(), ChoicesOf(invocation));
  v1::CheckConfigurationResponse response;
  DROVER_RETURN_IF_ERROR(invocation.client.Call(invocation.command.method, request, &response));
  DROVER_RETURN_IF_ERROR(PrintList(invocation.terminal, invocation.output, response));
  if (response.all_ok()) return absl::OkStatus();
  return MakeError(absl::StatusCode::kFailedPrecondition, "CHECK_FAILED",
                   "not every dependency is as it should be");
}

absl::Status ShowDiffs(Invocation& invocation,
                       const google::protobuf::RepeatedPtrField<v1::FileDiff>& diffs) {
  for (const v1::FileDiff& file : diffs) {
    std::string text = absl::StrCat(IdOf(file.vm()), ": ", file.path(), "\n");
    if (!file.problem().empty()) {
      absl::StrAppend(&text, "  problem: ", file.problem(), "\n");
    } else if (file.diff().empty()) {
      absl::StrAppend(&text, "  as it should be\n");
    } else {
      absl::StrAppend(&text, file.diff());
    }
    invocation.terminal.Print(text);
  }
  return absl::OkStatus();
}

absl::Status ShowConfigurationPlan(Invocation& invocation, const v1::ConfigurationPlan& plan) {
  if (!invocation.shows_table()) {
    return PrintMessage(invocation.terminal, invocation.output, plan);
  }
  DROVER_RETURN_IF_ERROR(ShowDiffs(invocation, plan.diffs()));
  if (!plan.restarts().empty()) {
    invocation.terminal.Print(
        absl::StrCat("to be restarted: ", absl::StrJoin(plan.restarts(), ", "), "\n"));
  }
  return absl::OkStatus();
}

absl::StatusOr<v1::ConfigurationPlan> PlanOf(Invocation& invocation,
                                             const v1::Configuration& choices) {
  v1::PlanConfigurationRequest request;
  *request.mutable_configuration() = choices;
  v1::ConfigurationPlan plan;
  DROVER_RETURN_IF_ERROR(invocation.client.Call("ConfigService/PlanConfiguration", request, &plan));
  return plan;
}

absl::Status ProblemOf(const v1::ConfigurationPlan& plan) {
  for (const v1::FileDiff& file : plan.diffs()) {
    if (file.problem().empty()) continue;
    return MakeError(absl::StatusCode::kFailedPrecondition, "PLAN_HAS_PROBLEM",
                     absl::StrCat(IdOf(file.vm()), ": ", file.problem()));
  }
  return absl::OkStatus();
}

absl::Status PlanConfiguration(Invocation& invocation) {
  DROVER_ASSIGN_OR_RETURN(const v1::Configuration choices, ChoicesOf(invocation));
  DROVER_ASSIGN_OR_RETURN(const v1::ConfigurationPlan plan, PlanOf(invocation, choices));
  DROVER_RETURN_IF_ERROR(ShowConfigurationPlan(invocation, plan));
  return ProblemOf(plan);
}

absl::Status ApplyConfiguration(Invocation& invocation) {
  DROVER_ASSIGN_OR_RETURN(const v1::Configuration choices, ChoicesOf(invocation));
  DROVER_ASSIGN_OR_RETURN(const v1::ConfigurationPlan plan, PlanOf(invocation, choices));
  if (invocation.shows_table() || invocation.arguments.Has("dry-run")) {
    DROVER_RETURN_IF_ERROR(ShowConfigurationPlan(invocation, plan));
  }
  DROVER_RETURN_IF_ERROR(ProblemOf(plan));
  if (invocation.arguments.Has("dry-run")) return absl::OkStatus();
  DROVER_RETURN_IF_ERROR(ConfirmQuestion(
      invocation, absl::StrCat("Apply this to \"", IdOf(choices.environment()), "\"?")));
  v1::ApplyConfigurationRequest request;
  *request.mutable_configuration() = choices;
  request.set_expected_plan_digest(plan.digest());
  v1::Operation operation;
  DROVER_RETURN_IF_ERROR(invocation.client.Call(invocation.command.method, request, &operation));
  return FinishOperation(invocation, operation);
}

absl::Status Show(Invocation& invocation) {
  v1::GetConfigurationRequest request;
  DROVER_RETURN_IF_ERROR(FillRequest(invocation, &request));
  v1::Configuration configuration;
  DROVER_RETURN_IF_ERROR(
      invocation.client.Call(invocation.command.method, request, &configuration));
  if (!invocation.shows_table()) {
    return PrintMessage(invocation.terminal, invocation.output, configuration);
  }
  v1::Configuration head = configuration;
  head.clear_diffs();
  DROVER_RETURN_IF_ERROR(PrintMessage(invocation.terminal, invocation.output, head));
  return ShowDiffs(invocation, configuration.diffs());
}

// ---- profiles

absl::StatusOr<ProfilesFile> LoadProfiles(Invocation& invocation) {
  DROVER_ASSIGN_OR_RETURN(const std::string text, ReadDocument(invocation));
  return ParseProfiles(text, DocumentName(invocation));
}

// Saves the profiles of a file by `save`, and says which were before one that failed.
absl::Status SaveProfiles(Invocation& invocation, absl::string_view verb,
                          absl::FunctionRef<absl::Status(const v1::Profile&, v1::Profile*)> save) {
  DROVER_ASSIGN_OR_RETURN(const ProfilesFile file, LoadProfiles(invocation));
  std::vector<std::string> done;
  for (size_t i = 0; i < file.profiles.size(); ++i) {
    v1::Profile saved;
    absl::Status status = save(file.profiles[i], &saved);
    if (!status.ok()) {
      status = Annotate(InFile(status, file, "profile.", absl::StrCat("profiles[", i, "].")),
                        absl::StrCat("profile ", IdOf(file.profiles[i].name())));
      return done.empty() ? status
                          : Annotate(status, absl::StrCat("saved: ", absl::StrJoin(done, ", "),
                                                          "; not saved"));
    }
    done.push_back(std::string(IdOf(saved.name())));
    if (invocation.shows_table()) {
      invocation.terminal.Print(absl::StrCat("profile ", done.back(), " ", verb, "\n"));
    } else {
      DROVER_RETURN_IF_ERROR(PrintMessage(invocation.terminal, invocation.output, saved));
    }
  }
  return absl::OkStatus();
}

absl::Status AddProfiles(Invocation& invocation) {
  return SaveProfiles(invocation, "added", [&](const v1::Profile& profile, v1::Profile* saved) {
    v1::CreateProfileRequest request;
    request.set_profile_id(std::string(IdOf(profile.name())));
    *request.mutable_profile() = profile;
    return invocation.client.Call("ConfigService/CreateProfile", request, saved);
  });
}

absl::Status EditProfiles(Invocation& invocation) {
  return SaveProfiles(invocation, "changed", [&](const v1::Profile& profile, v1::Profile* saved) {
    v1::UpdateProfileRequest request;
    *request.mutable_profile() = profile;
    // What the file does not name becomes empty.
    for (const char* field : {"display_name", "description", "dependencies", "roles"}) {
      request.mutable_update_mask()->add_paths(field);
    }
    return invocation.client.Call("ConfigService/UpdateProfile", request, saved);
  });
}

// Reads the file as the others do; the controller is not asked.
absl::Status CheckProfiles(Invocation& invocation) {
  DROVER_ASSIGN_OR_RETURN(const ProfilesFile file, LoadProfiles(invocation));
  for (const v1::Profile& profile : file.profiles) {
    invocation.terminal.Print(absl::StrCat("profile ", IdOf(profile.name()), ": ",
                                           profile.dependencies_size(), " dependencies, ",
                                           profile.roles_size(), " roles\n"));
  }
  return absl::OkStatus();
}

absl::Status ShowProfile(Invocation& invocation) {
  if (invocation.output.format != Format::kToml) return RunCall(invocation);
  v1::GetProfileRequest request;
  DROVER_RETURN_IF_ERROR(FillRequest(invocation, &request));
  v1::Profile profile;
  DROVER_RETURN_IF_ERROR(invocation.client.Call(invocation.command.method, request, &profile));
  invocation.terminal.Print(WriteProfiles({profile}));
  return absl::OkStatus();
}

std::vector<Flag> ChoiceFlags() {
  return {{.name = "env",
           .help = "environment",
           .letter = 'e',
           .alias = "environment",
           .value = "ENV",
           .required = true,
           .collection = "environments"},
          {.name = "dependency",
           .help = "VM that serves a dependency of the profile; once for each",
           .letter = 'd',
           .kind = Flag::Kind::kList,
           .value = "ID=VM"},
          {.name = "role",
           .help = "VMs, or globs of their names, that play a role",
           .letter = 'r',
           .kind = Flag::Kind::kList,
           .value = "ROLE=VM,..."}};
}

constexpr char kExample[] =
    "dns --env shop -d mysql=shop-db-1 -d redis=shop-db-1 -d mongo=shop-db-1 "
    "-d rabbitmq=shop-mq-1 -r 'web=shop-web-*' -r daemon=shop-daemon-1 -r celery=shop-celery-1";

std::vector<Command> ConfigurationCommands() {
  const Flag profile = {
      .name = "PROFILE", .help = "profile", .required = true, .collection = "profiles"};
  std::vector<Flag> apply_flags = ChoiceFlags();
  apply_flags.push_back(
      {.name = "yes", .help = "do not ask", .letter = 'y', .kind = Flag::Kind::kSwitch});
  const std::vector<Flag> name = {
      {.name = "CONFIGURATION", .field = "name", .help = "configuration", .required = true}};
  return {
      {.path = "config check",
       .summary = "Ask each dependency by its own protocol, from its VM and from its users.",
       .method = "ConfigService/CheckConfiguration",
       .arguments = {profile},
       .flags = ChoiceFlags(),
       .examples = {"drover config check dns --env shop -d mysql=shop-db-1 -d redis=shop-db-1"},
       .run = Check},
      {.path = "config plan",
       .summary = "Show the change of every file on every VM; changes nothing.",
       .method = "ConfigService/PlanConfiguration",
       .arguments = {profile},
       .flags = ChoiceFlags(),
       .examples = {absl::StrCat("drover config plan ", kExample)},
       .run = PlanConfiguration},
      {.path = "config apply",
       .summary = "Apply a configuration to all its VMs, or to none.",
       .method = "ConfigService/ApplyConfiguration",
       .arguments = {profile},
       .flags = apply_flags,
       .examples = {absl::StrCat("drover config apply ", kExample)},
       .notes = "When a check, a file, a restart or the health of a service fails on one VM, files "
                "and services of all of them are put back.",
       .run = ApplyConfiguration},
      {.path = "config history",
       .summary = "List applied configurations, newest first.",
       .method = "ConfigService/ListConfigurations",
       .flags = {{.name = "env",
                  .field = "environment",
                  .help = "of this environment",
                  .letter = 'e',
                  .value = "ENV"}},
       .empty_hint = "No configuration was applied yet."},
      {.path = "config show",
       .summary = "Show an applied configuration with what it changed.",
       .method = "ConfigService/GetConfiguration",
       .arguments = name,
       .run = Show},
      {.path = "config restore",
       .summary = "Apply an earlier configuration again, to its VMs as they are now.",
       .method = "ConfigService/RestoreConfiguration",
       .arguments = name,
       .danger = Danger::kConfirm},
  };
}

std::vector<Command> ProfileCommands() {
  const std::vector<Flag> name = {
      {.name = "PROFILE", .field = "name", .help = "profile", .required = true}};
  const std::vector<Flag> file = {{.name = "file",
                                   .help = "file of profiles; - is standard input",
                                   .letter = 'f',
                                   .value = "FILE",
                                   .required = true}};
  return {
      {.path = "profile list",
       .summary = "List configuration profiles.",
       .method = "ConfigService/ListProfiles"},
      {.path = "profile show",
       .summary = "Show a profile; with -o toml as the file it can be edited from.",
       .method = "ConfigService/GetProfile",
       .arguments = name,
       .examples = {"drover profile show dns -o toml > my-dns.toml"},
       .run = ShowProfile},
      {.path = "profile add",
       .summary = "Add the profiles of a file.",
       .method = "ConfigService/CreateProfile",
       .flags = file,
       .examples = {"drover profile add -f my-dns.toml"},
       .run = AddProfiles},
      {.path = "profile edit",
       .summary = "Make profiles as their file says; those that came with Drover stay.",
       .method = "ConfigService/UpdateProfile",
       .flags = file,
       .run = EditProfiles},
      {.path = "profile check",
       .summary = "Read a file of profiles and tell its problems; nothing is sent.",
       .flags = file,
       .run = CheckProfiles},
      {.path = "profile delete",
       .summary = "Delete a profile.",
       .method = "ConfigService/DeleteProfile",
       .arguments = name,
       .danger = Danger::kConfirm,
       .done = "profile {} deleted"},
  };
}

}  // namespace

std::vector<Command> ConfigCommands() {
  std::vector<Command> commands = ConfigurationCommands();
  for (Command& command : ProfileCommands()) commands.push_back(std::move(command));
  return commands;
}

}  // namespace drover::cli
