// About the program itself.
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "cli/call.h"
#include "cli/commands.h"
#include "cli/completion.h"
#include "cli/errors.h"
#include "cli/help.h"
#include "cli/manual.h"
#include "cli/nearest.h"
#include "proto/support/status.h"

namespace drover::cli {
namespace {

absl::Status Help(Invocation& invocation) {
  if (invocation.arguments.Has("man")) {
    invocation.terminal.Print(ManualPage(invocation.table));
    return absl::OkStatus();
  }
  const std::string path = absl::StrJoin(invocation.arguments.All("COMMAND"), " ");
  if (path == "exit-codes") {
    invocation.terminal.Print(ExitCodesHelp());
    return absl::OkStatus();
  }
  if (path == "environment") {
    for (const auto& [name, meaning] : EnvironmentVariables()) {
      invocation.terminal.Print(absl::StrCat(Pad(name, 18), meaning, "\n"));
    }
    return absl::OkStatus();
  }
  if (!path.empty() && invocation.table.Find(path) == nullptr &&
      invocation.table.WordsAfter(path).empty()) {
    std::vector<std::string> known = {"exit-codes", "environment"};
    for (const Command& command : invocation.table.commands()) known.push_back(command.path);
    return absl::InvalidArgumentError(
        absl::StrCat("there is no command \"", path, "\"", DidYouMean(path, known)));
  }
  invocation.terminal.Print(HelpFor(invocation.table, path, invocation.terminal));
  return absl::OkStatus();
}

absl::Status PrintCompletion(Invocation& invocation) {
  invocation.terminal.Print(CompletionScript(invocation.arguments.Get("SHELL")));
  return absl::OkStatus();
}

absl::Status PrintCandidates(Invocation& invocation) {
  for (const Candidate& candidate :
       Complete(invocation.table, invocation.client, invocation.terminal,
                invocation.arguments.All("WORD"))) {
    invocation.terminal.Print(
        absl::StrCat(candidate.text, candidate.about.empty() ? "" : "\t", candidate.about, "\n"));
  }
  return absl::OkStatus();
}

absl::Status PrintVersion(Invocation& invocation) {
  invocation.terminal.Print(absl::StrCat("drover ", DROVER_VERSION, "\n"));
  return absl::OkStatus();
}

}  // namespace

std::vector<Command> OwnCommands() {
  return {
      {.path = "completion",
       .summary = "Print the completion script of a shell.",
       .arguments = {{.name = "SHELL",
                      .help = "bash, zsh or fish",
                      .required = true,
                      .words = {"bash", "zsh", "fish"}}},
       .examples = {"source <(drover completion bash)", "drover completion fish | source"},
       .run = PrintCompletion},
      {.path = "help",
       .summary = "Show the help of a command, the exit codes, or the environment variables.",
       .arguments = {{.name = "COMMAND",
                      .help = "words of a command, or exit-codes, or environment",
                      .kind = Flag::Kind::kList}},
       .flags = {{.name = "man",
                  .help = "the manual page drover(1), for man -l -",
                  .kind = Flag::Kind::kSwitch}},
       .examples = {"drover help vm create", "drover help exit-codes",
                    "drover help --man | man -l -"},
       .run = Help},
      {.path = "version", .summary = "Show the version of this program.", .run = PrintVersion},
      {.path = "__complete",
       .summary = "Candidates for the last word.",
       .arguments = {{.name = "WORD", .help = "words of the line", .kind = Flag::Kind::kList}},
       .run = PrintCandidates,
       .hidden = true},
  };
}

}  // namespace drover::cli
