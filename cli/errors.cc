#include "cli/errors.h"

#include <map>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/strings/str_join.h"
#include "absl/strings/strip.h"
#include "proto/support/json.h"
#include "proto/support/status.h"

namespace drover::cli {
namespace {

const std::map<std::string, std::string>& Hints() {
  static const auto* const hints = new std::map<std::string, std::string>{
      {"NOT_SIGNED_IN", "sign in with: drover login HOST:PORT --user NAME"},
      {"LOGIN_FAILED", "check the name and the password; both are case-sensitive"},
      {"PASSWORD_CHANGE_REQUIRED", "choose a password of your own with: drover user passwd"},
      {"CONTROLLER_UNREACHABLE",
       "check that droverd runs and the address is right: drover context list"},
      {"CERTIFICATE_REFUSED",
       "when the controller was set up anew, sign in again with: drover login HOST:PORT; when not, "
       "something stands between you and it"},
      {"AUTHORITY_NOT_CONFIRMED",
       "compare it with: openssl x509 -noout -fingerprint -sha256 -in STORE/tls/authority.crt "
       "on the "
       "controller's machine, then give it with --fingerprint"},
      {"CERTIFICATE_NOT_CONFIRMED",
       "compare the fingerprint with the one the host shows at its own console, then give it with "
       "--fingerprint"},
      {"HOST_KEY_NOT_CONFIRMED",
       "compare it with ssh-keygen -lf on the host, then give it with --ssh-host-key"},
      {"HYPERVISOR_LOGIN_REFUSED", "check user and password; hosts lock accounts after few tries"},
      {"PLAN_CHANGED", "look at what it is now with: drover plan -f FILE"},
      {"OPERATION_DONE", "what has ended cannot be stopped; see it with: drover operation show"},
      {"LOG_NOT_BACKED_UP", "back the log up first with: drover log backup"},
      {"MAIL_NOT_CONFIGURED", "name a mail server in controller.toml: [mail] smtp and from"},
      {"MAIL_REFUSED",
       "compare [mail] from, user and password_file of controller.toml with what the server wants"},
      {"MAIL_SERVER_UNREACHABLE",
       "check [mail] smtp of controller.toml, and that the server answers there"},
      {"NEEDS_YES", "give --yes to do it without being asked"},
      {"AGENT_NOT_CONNECTED",
       "see its agent with: drover vm show; repair it with: drover vm repair"},
  };
  return *hints;
}

// What people typed for a field of the request: "vm.network.ip" -> "--ip".
std::string TypedName(const Command* command, const std::string& field) {
  if (command == nullptr) return field;
  const auto matches = [&field](const Flag& flag) {
    return !flag.field.empty() &&
           (flag.field == field || absl::StartsWith(field, flag.field + "["));
  };
  for (const Flag& argument : command->arguments) {
    if (matches(argument)) return argument.name;
  }
  for (const Flag& flag : command->flags) {
    if (matches(flag)) return flag.kind == Flag::Kind::kSecret ? flag.name : "--" + flag.name;
  }
  return field;
}

void ReportJson(Terminal& terminal, const absl::Status& status) {
  const auto json = ToJson(ToRpcStatus(status), true);
  terminal.Tell(json.ok() ? absl::StripTrailingAsciiWhitespace(*json)
                          : absl::string_view(status.message()));
}

}  // namespace

int ExitCodeFor(const absl::Status& status) {
  if (HasReason(status, "PARTLY_FAILED")) return kExitPartlyFailed;
  return ExitCodeOf(status.code());
}

std::string HintFor(const absl::Status& status) {
  const auto hint = Hints().find(ReasonOf(status));
  if (hint != Hints().end()) return hint->second;
  if (absl::IsUnauthenticated(status)) return Hints().at("NOT_SIGNED_IN");
  if (absl::IsPermissionDenied(status)) return "ask a system administrator; see: drover whoami";
  return "";
}

int ReportError(Terminal& terminal, const absl::Status& status, const Command* command,
                Format format) {
  const int exit_code = ExitCodeFor(status);
  if (format == Format::kJson) {
    ReportJson(terminal, status);
    return exit_code;
  }
  const auto violations = ViolationsOf(status).field_violations();
  const std::string message = violations.empty() ? std::string(status.message())
                              : violations.size() == 1
                                  ? ""
                                  : absl::StrCat(violations.size(), " fields are wrong");
  if (!message.empty()) {
    terminal.Tell(absl::StrCat(terminal.Paint(Colour::kRed, "drover:", true), " ", message));
  }
  for (const auto& violation : violations) {
    const std::string line =
        absl::StrCat(TypedName(command, violation.field()), violation.field().empty() ? "" : ": ",
                     violation.description());
    terminal.Tell(message.empty()
                      ? absl::StrCat(terminal.Paint(Colour::kRed, "drover:", true), " ", line)
                      : absl::StrCat("  ", line));
  }
  if (!ReasonOf(status).empty() && ReasonOf(status) != "PARTLY_FAILED") {
    terminal.Tell(absl::StrCat("  reason: ", ReasonOf(status)));
  }
  const std::string hint = HintFor(status);
  if (!hint.empty()) terminal.Tell(absl::StrCat("  hint: ", hint));
  return exit_code;
}

const std::vector<std::pair<int, std::string>>& ExitCodes() {
  static const auto* const codes = new std::vector<std::pair<int, std::string>>{
      {0, "done"},
      {1, "failed: the operation ended in an error, or the controller had one"},
      {2, "the command line, a file or a field is wrong"},
      {3, "not found"},
      {4, "not signed in, or not allowed"},
      {5, "in conflict: exists already, in use, changed meanwhile, not in the right state"},
      {6, "the controller cannot be reached"},
      {7, "timed out waiting; the operation goes on"},
      {8, "partly failed: some VMs succeeded, some did not"},
      {130, "interrupted; an operation that was waited for goes on"},
  };
  return *codes;
}

std::string ExitCodesHelp() {
  std::string text = "Exit codes of drover\n";
  for (const auto& [code, meaning] : ExitCodes()) {
    absl::StrAppendFormat(&text, "  %-3d  %s\n", code, meaning);
  }
  return text;
}

}  // namespace drover::cli
