#include "cli/drover.h"

#include <utility>

#include "absl/strings/str_cat.h"
#include "cli/call.h"
#include "cli/client.h"
#include "cli/commands.h"
#include "cli/errors.h"
#include "cli/fields.h"
#include "cli/help.h"
#include "cli/output.h"
#include "proto/support/status.h"

namespace drover::cli {
namespace {

// What only shows late must not start anything before.
absl::Status CheckEarly(const ParsedLine& line) {
  const std::string timeout = line.arguments.Get("timeout");
  if (!timeout.empty()) {
    const auto parsed = ParseDuration(timeout);
    if (!parsed.ok()) {
      return absl::InvalidArgumentError(absl::StrCat("--timeout: ", parsed.status().message()));
    }
  }
  return absl::OkStatus();
}

absl::Status RunLine(const ParsedLine& line, const OutputOptions& output, Terminal& terminal) {
  DROVER_RETURN_IF_ERROR(CheckEarly(line));
  Client client(terminal, line.arguments);
  Invocation invocation{.table = Commands(),
                        .command = *line.command,
                        .arguments = line.arguments,
                        .terminal = terminal,
                        .client = client,
                        .output = output};
  return line.command->run == nullptr ? RunCall(invocation) : line.command->run(invocation);
}

// The surroundings with --color put in.
Terminal::Options WithColour(const Terminal& terminal, const std::string& when) {
  Terminal::Options options = terminal.options();
  if (when == "never") options.env["NO_COLOR"] = "1";
  if (when == "always") {
    options.env.erase("NO_COLOR");
    options.env["CLICOLOR_FORCE"] = "1";
  }
  return options;
}

}  // namespace

const CommandTable& Commands() {
  static const auto* const table = [] {
    std::vector<Command> all;
    for (auto make :
         {PeopleCommands, InventoryCommands, DocumentCommands, GuestCommands, UsageCommands,
          UpgradeCommands, ConfigCommands, ActivityCommands, PlatformCommands, OwnCommands}) {
      for (Command& command : make()) all.push_back(std::move(command));
    }
    return new CommandTable(std::move(all));
  }();
  return *table;
}

int RunDrover(const std::vector<std::string>& words, Terminal& surroundings) {
  const auto line = Commands().Parse(words);
  if (!line.ok()) {
    const int exit_code = ReportError(surroundings, line.status(), nullptr, Format::kTable);
    surroundings.Tell(UsageHint(Commands(), words));
    return exit_code;
  }
  Terminal terminal(WithColour(surroundings, line->arguments.Get("color")));
  if (line->help) {
    const std::string help = HelpFor(Commands(), line->path, terminal);
    // A noun alone is a mistake of scripts, no question.
    const bool asked = line->path.empty() || line->arguments.Has("help");
    if (asked) {
      terminal.Print(help);
    } else {
      terminal.TellRaw(help);
    }
    return asked ? 0 : 2;
  }
  const auto output = OutputOptionsOf(line->arguments, terminal);
  if (!output.ok()) return ReportError(terminal, output.status(), line->command, Format::kTable);
  const absl::Status status = RunLine(*line, *output, terminal);
  return status.ok() ? 0 : ReportError(terminal, status, line->command, output->format);
}

}  // namespace drover::cli
