#include "cli/manual.h"

#include <utility>
#include <vector>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_replace.h"
#include "absl/strings/str_split.h"
#include "cli/errors.h"
#include "cli/help.h"
#include "proto/support/contract.h"

namespace drover::cli {
namespace {

// Text as roff shows it: no control line begins by accident, a hyphen stays one that can be copied.
std::string Roff(absl::string_view text) {
  std::string out;
  for (const absl::string_view line : absl::StrSplit(text, '\n')) {
    if (!out.empty()) out += "\n";
    if (absl::StartsWith(line, ".") || absl::StartsWith(line, "'")) out += "\\&";
    absl::StrAppend(&out, absl::StrReplaceAll(line, {{"\\", "\\e"}, {"-", "\\-"}}));
  }
  return out;
}

std::string Row(absl::string_view left, absl::string_view right) {
  return absl::StrCat(".TP\n", left, "\n", Roff(right), "\n");
}

// "-o, --output FORMAT" with the value in italics.
std::string FlagRow(const Flag& flag) {
  std::string left = "\\fB";
  if (flag.letter != 0) absl::StrAppend(&left, "\\-", std::string(1, flag.letter), "\\fR, \\fB");
  absl::StrAppend(&left, "\\-\\-", Roff(flag.name), "\\fR");
  if (!flag.value.empty()) absl::StrAppend(&left, " \\fI", Roff(flag.value), "\\fR");
  std::string right = flag.help;
  if (flag.required) right += " (required)";
  if (flag.kind == Flag::Kind::kList && flag.name != "columns") right += "; repeatable";
  return Row(left, right);
}

std::string CommandSection(const Command& command) {
  std::string line = absl::StrCat("drover ", command.path);
  for (const Flag& argument : command.arguments) {
    absl::StrAppend(&line, argument.required ? " " : " [", argument.name,
                    argument.kind == Flag::Kind::kList ? "..." : "", argument.required ? "" : "]");
  }
  std::string text = absl::StrCat(".SS ", Roff(line), "\n", Roff(command.summary), "\n");
  const auto* method = MethodOf(command);
  if (method != nullptr && RuleOf(*method).access() == v1::ACCESS_SYSTEM_ADMINISTRATOR) {
    text += "For system administrators.\n";
  }
  for (const Flag& argument : command.arguments) {
    text += Row(absl::StrCat("\\fI", Roff(argument.name), "\\fR"), argument.help);
  }
  for (const Flag& flag : TypedFlags(command)) text += FlagRow(flag);
  if (!command.notes.empty()) {
    absl::StrAppend(&text, ".PP\n", Roff(absl::StrReplaceAll(command.notes, {{"\n", " "}})), "\n");
  }
  if (!command.examples.empty()) {
    text += ".PP\n.RS\n.nf\n";
    for (const std::string& example : command.examples) absl::StrAppend(&text, Roff(example), "\n");
    text += ".fi\n.RE\n";
  }
  return text;
}

std::string CommandsSection(const CommandTable& table) {
  std::string text = ".SH COMMANDS\n";
  for (const auto& [noun, about] : Nouns()) {
    for (const Command& command : table.commands()) {
      if (command.hidden) continue;
      if (command.path == noun || absl::StartsWith(command.path, noun + " ")) {
        text += CommandSection(command);
      }
    }
  }
  return text;
}

}  // namespace

const std::vector<std::pair<std::string, std::string>>& EnvironmentVariables() {
  static const auto* const variables = new std::vector<std::pair<std::string, std::string>>{
      {"DROVER_CONTEXT", "signed-in controller to use, as --context"},
      {"DROVER_SERVER", "the controller's HOST:PORT, as --server"},
      {"DROVER_AUTHORITY",
       "file with the certificate of the authority to trust; with DROVER_SERVER, instead of a "
       "context"},
      {"DROVER_TOKEN", "token of the session, instead of the context's"},
      {"DROVER_OUTPUT", "format of the output, as --output"},
      {"XDG_CONFIG_HOME", "where the folder drover with contexts.toml is; ~/.config without"},
      {"NO_COLOR", "set to anything: no colours"},
      {"CLICOLOR_FORCE", "set to anything but 0: colours also where there is no terminal"},
  };
  return *variables;
}

std::string ManualPage(const CommandTable& table) {
  std::string text = absl::StrCat(
      ".\\\" Made by: drover help --man\n.TH DROVER 1 \"\" \"drover ", DROVER_VERSION,
      "\" \"Drover\"\n.SH NAME\ndrover \\- deploy, watch and change the services of a VMware "
      "estate\n.SH SYNOPSIS\n.B drover\n.I NOUN VERB\n.RI [ arguments ]\n.RI [ flags ]\n"
      ".SH DESCRIPTION\n");
  text += Roff(
      "The command line of Drover, a client of the controller droverd. Data goes to standard "
      "output; messages, progress and questions go to standard error. Without a terminal nothing "
      "is asked: what would be must be given by a flag. Names may be given with or without their "
      "collection (web-01, vms/web-01), and as patterns where several are taken ('web-*').");
  text += "\n.PP\nFirst steps:\n.PP\n.RS\n.nf\n";
  text += Roff(
      "drover login 10.0.0.1:8443 --user admin\n"
      "drover hypervisor add esxi1 --url https://10.0.0.2/sdk --user root\n"
      "drover type add -f types.toml\n"
      "drover apply -f env.toml");
  text += "\n.fi\n.RE\n";
  text += CommandsSection(table);
  text += ".SH \"COMMON FLAGS\"\n";
  for (const Flag& flag : CommonFlags()) text += FlagRow(flag);
  text += ".SH \"EXIT STATUS\"\n";
  for (const auto& [code, meaning] : ExitCodes()) {
    text += Row(absl::StrCat("\\fB", code, "\\fR"), meaning);
  }
  text += ".SH ENVIRONMENT\n";
  for (const auto& [name, meaning] : EnvironmentVariables()) {
    text += Row(absl::StrCat("\\fB", name, "\\fR"), meaning);
  }
  text += ".SH FILES\n";
  text += Row("\\fI$XDG_CONFIG_HOME/drover/contexts.toml\\fR",
              "controllers and sessions; for its owner alone, or it is refused");
  text += ".SH \"SEE ALSO\"\n.BR droverd (8),\n.BR drover\\-gateway (8),\n.BR drover\\-agent (8)\n";
  return text;
}

}  // namespace drover::cli
