// Help texts, made from the command table. Thread promise: pure functions.
#pragma once

#include <string>
#include <vector>

#include "absl/strings/string_view.h"
#include "cli/command.h"
#include "cli/terminal.h"

namespace drover::cli {

// Of a command ("vm create"), of a noun ("vm"), or of the program ("").
std::string HelpFor(const CommandTable& table, absl::string_view path, const Terminal& terminal);

// What each first word is about, in the order of the program's help.
const std::vector<std::pair<std::string, std::string>>& Nouns();

// Where to look after a line that was not understood: "See: drover vm --help".
std::string UsageHint(const CommandTable& table, const std::vector<std::string>& words);

}  // namespace drover::cli
