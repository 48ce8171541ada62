// About the platform itself: whether all is well and what to do when not, test mail.
#include <unistd.h>

#include <algorithm>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "cli/bundle_contents.h"
#include "cli/call.h"
#include "cli/commands.h"
#include "cli/context_store.h"
#include "cli/doctor.h"
#include "drover/v1/activity.pb.h"
#include "proto/support/status.h"

namespace drover::cli {
namespace {

using Check = v1::PlatformHealth::Check;

void PrintFindings(Invocation& invocation, const v1::PlatformHealth& health) {
  Terminal& terminal = invocation.terminal;
  const bool symbols = terminal.ShowsSymbols() && terminal.out_is_tty();
  size_t width = 0;
  for (const Check& check : health.checks()) width = std::max(width, check.name().size());
  for (const Check& check : health.checks()) {
    const Cell state =
        StateCell(*Check::State_descriptor()->FindValueByNumber(check.state()), symbols);
    terminal.Print(absl::StrCat(terminal.Paint(state.colour, Pad(state.text, 10)),
                                Pad(check.name(), static_cast<int>(width) + 2), check.finding(),
                                "\n"));
    if (check.advice().empty()) continue;
    terminal.Print(
        absl::StrCat(std::string(width + 12, ' '), symbols ? "→ " : "do: ", check.advice(), "\n"));
  }
}

absl::Status Doctor(Invocation& invocation) {
  const Findings findings = CheckAll(invocation);
  if (invocation.shows_table() && invocation.output.columns.empty()) {
    PrintFindings(invocation, findings.health);
  } else {
    DROVER_RETURN_IF_ERROR(PrintList(invocation.terminal, invocation.output, findings.health));
  }
  const auto& checks = findings.health.checks();
  const auto wrong = std::count_if(checks.begin(), checks.end(), [](const Check& check) {
    return check.state() == Check::STATE_ERROR;
  });
  if (wrong == 0) return absl::OkStatus();
  return MakeError(
      findings.first_failure.ok() ? absl::StatusCode::kInternal : findings.first_failure.code(),
      "NOT_WELL", absl::StrCat(wrong, " of ", checks.size(), " checks found something wrong"));
}

absl::Status DebugBundle(Invocation& invocation) {
  Terminal& terminal = invocation.terminal;
  std::string path = invocation.arguments.Get("to");
  if (path.empty()) {
    path = absl::FormatTime("drover-bundle-%Y%m%d-%H%M%S.tar.gz", terminal.Now(),
                            absl::LocalTimeZone());
  }
  const bool to_stdout = path == "-";
  if (!to_stdout && access(path.c_str(), F_OK) == 0) {
    return absl::AlreadyExistsError(absl::StrCat(path, " is there already"));
  }
  DROVER_ASSIGN_OR_RETURN(const std::string archive, MakeBundle(invocation));
  if (to_stdout) {
    terminal.Print(archive);
    return absl::OkStatus();
  }
  DROVER_RETURN_IF_ERROR(WritePrivateFile(path, archive));
  terminal.Print(path + "\n");
  invocation.Tell("Secrets are taken out; look through it before you pass it on: tar -tzf " + path);
  return absl::OkStatus();
}

}  // namespace

std::vector<Command> PlatformCommands() {
  return {
      {.path = "doctor",
       .summary = "Check the platform from here to its hosts, and say what to do.",
       .method = "ActivityService/GetPlatformHealth",
       .examples = {"drover doctor", "drover doctor -o json"},
       .notes = "Ends with 0 when nothing is wrong (warnings may be shown), 1 when a check of the "
                "controller found something\nwrong, 4 when you are not signed in, 5 when its "
                "certificate is not the confirmed one, 6 when it cannot be reached.",
       .run = Doctor},
      {.path = "debug bundle",
       .summary = "Collect what helps to find a fault into one file, without secrets.",
       .flags = {{.name = "to",
                  .help = "file to write; - is standard output; drover-bundle-TIME.tar.gz without",
                  .value = "FILE"},
                 {.name = "config-dir",
                  .help = "folder of controller.toml and gateway.toml; /etc/drover without",
                  .value = "FOLDER"}},
       .examples = {"drover debug bundle",
                    "drover debug bundle --to - | ssh desk 'cat > b.tar.gz'"},
       .notes = "Versions, configuration, the findings of drover doctor, hypervisors, types, "
                "environments, VMs, the newest operations,\nevents and log entries, and on the "
                "controller's machine its journal. Made also when the controller is away.",
       .run = DebugBundle},
      {.path = "mail test",
       .summary = "Send a test mail at once and tell what the mail server said.",
       .method = "ActivityService/SendTestMail",
       .arguments = {{.name = "ADDRESS", .field = "to", .help = "mail address", .required = true}},
       .flags = {{.name = "language",
                  .field = "language",
                  .help = "en or zh-CN; without it, the language of the user with this address"}},
       .examples = {"drover mail test ops@example.com"},
       .done = "The mail server took a test mail to {}."},
  };
}

}  // namespace drover::cli
