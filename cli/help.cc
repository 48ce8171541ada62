#include "cli/help.h"

#include <algorithm>
#include <utility>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "proto/support/contract.h"

namespace drover::cli {
namespace {

std::string Lines(const std::vector<std::pair<std::string, std::string>>& rows) {
  int width = 0;
  for (const auto& [left, right] : rows) width = std::max(width, DisplayWidth(left));
  std::string text;
  for (const auto& [left, right] : rows) {
    absl::StrAppend(&text, "  ", Pad(left, width), "  ", right, "\n");
  }
  return text;
}

std::string FlagTitle(const Flag& flag) {
  const std::string letter =
      flag.letter == 0 ? "    " : absl::StrCat("-", std::string(1, flag.letter), ", ");
  return absl::StrCat(letter, "--", flag.name, flag.value.empty() ? "" : " ", flag.value);
}

std::string FlagLines(const std::vector<Flag>& flags) {
  std::vector<std::pair<std::string, std::string>> rows;
  for (const Flag& flag : flags) {
    const bool repeats = flag.kind == Flag::Kind::kList && !flag.help.empty();
    rows.emplace_back(FlagTitle(flag),
                      absl::StrCat(flag.help, flag.required ? " (required)" : "",
                                   repeats && flag.name != "columns" ? "; repeatable" : ""));
  }
  return Lines(rows);
}

std::string UsageLine(const Command& command) {
  std::string line = absl::StrCat("Usage: drover ", command.path);
  for (const Flag& argument : command.arguments) {
    const char* dots = argument.kind == Flag::Kind::kList ? "..." : "";
    absl::StrAppend(&line, argument.required ? " " : " [", argument.name, dots,
                    argument.required ? "" : "]");
  }
  for (const Flag& flag : TypedFlags(command)) {
    if (flag.required) absl::StrAppend(&line, " --", flag.name, " ", flag.value);
  }
  return absl::StrCat(line, " [flags]\n");
}

std::string CommandHelp(const Command& command, const Terminal& terminal) {
  const auto title = [&terminal](const char* text) {
    return absl::StrCat("\n", terminal.Paint(Colour::kBold, text), "\n");
  };
  std::string text = absl::StrCat(command.summary, "\n\n", UsageLine(command));
  if (!command.examples.empty()) {
    text += title("Examples");
    for (const std::string& example : command.examples) absl::StrAppend(&text, "  ", example, "\n");
  }
  if (!command.arguments.empty()) {
    text += title("Arguments");
    std::vector<std::pair<std::string, std::string>> rows;
    for (const Flag& argument : command.arguments) rows.emplace_back(argument.name, argument.help);
    text += Lines(rows);
  }
  const std::vector<Flag> flags = TypedFlags(command);
  if (!flags.empty()) text += title("Flags") + FlagLines(flags);
  text += title("Common flags") + FlagLines(CommonFlags());
  if (!command.notes.empty()) absl::StrAppend(&text, "\n", command.notes, "\n");
  const auto* method = MethodOf(command);
  if (method != nullptr && RuleOf(*method).access() == v1::ACCESS_SYSTEM_ADMINISTRATOR) {
    text += "\nFor system administrators.\n";
  }
  return text;
}

std::string NounHelp(const CommandTable& table, absl::string_view path) {
  std::vector<std::pair<std::string, std::string>> rows;
  const std::string prefix = absl::StrCat(path, " ");
  for (const Command& command : table.commands()) {
    if (command.hidden || !absl::StartsWith(command.path, prefix)) continue;
    rows.emplace_back(command.path, command.summary);
  }
  return absl::StrCat("Usage: drover ", path, " COMMAND\n\n", Lines(rows), "\nSee: drover ", path,
                      " COMMAND --help\n");
}

std::string ProgramHelp() {
  return absl::StrCat(
      "drover deploys, watches and changes the services of a VMware estate.\n\n"
      "Usage: drover NOUN VERB [arguments] [flags]\n\n",
      Lines(Nouns()),
      "\nFirst steps:\n"
      "  drover login 10.0.0.1:8443 --user admin\n"
      "  drover hypervisor add esxi1 --url https://10.0.0.2/sdk --user root\n"
      "  drover type add -f types.toml\n"
      "  drover apply -f env.toml\n"
      "\nSee: drover help NOUN [VERB], drover help exit-codes, drover help environment\n");
}

}  // namespace

const std::vector<std::pair<std::string, std::string>>& Nouns() {
  static const auto* const nouns = new std::vector<std::pair<std::string, std::string>>{
      {"login", "sign in at a controller"},
      {"logout", "end the session"},
      {"whoami", "who is signed in, where"},
      {"context", "controllers you are signed in to"},
      {"hypervisor", "ESXi hosts and vCenters"},
      {"type", "roles of VMs: template, watched services"},
      {"env", "environments: sets of VMs"},
      {"plan", "what an environment file would change"},
      {"apply", "make an environment as its file says"},
      {"vm", "virtual machines"},
      {"service", "services inside the VMs"},
      {"upgrade", "code of the VMs: revisions, rollouts in waves"},
      {"config", "configuration of services: check, plan, apply, restore"},
      {"profile", "what a kind of service needs, and where that is written"},
      {"operation", "work in progress and its results"},
      {"event", "what happened"},
      {"watch", "what happens, live"},
      {"dashboard", "totals"},
      {"log", "the platform log: who did what"},
      {"user", "people and their roles"},
      {"doctor", "is all well, and what to do"},
      {"mail", "test mail"},
      {"debug", "a file that helps to find a fault"},
      {"completion", "completion for bash, zsh, fish"},
      {"help", "help of a command; exit-codes; environment"},
      {"version", "version of this program"},
  };
  return *nouns;
}

std::string HelpFor(const CommandTable& table, absl::string_view path, const Terminal& terminal) {
  const Command* command = table.Find(path);
  if (command != nullptr) return CommandHelp(*command, terminal);
  return path.empty() ? ProgramHelp() : NounHelp(table, path);
}

std::string UsageHint(const CommandTable& table, const std::vector<std::string>& words) {
  std::string path;
  for (const std::string& word : words) {
    const std::string next = path.empty() ? word : absl::StrCat(path, " ", word);
    if (table.Find(next) == nullptr && table.WordsAfter(next).empty()) break;
    path = next;
  }
  return absl::StrCat("See: drover ", path, path.empty() ? "" : " ", "--help");
}

}  // namespace drover::cli
