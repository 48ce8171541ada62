// How a run that failed ends: the message, every field, the reason, a hint, and the exit code.
// Thread promise: pure but for the writing.
#pragma once

#include <string>

#include "absl/status/status.h"
#include "cli/command.h"
#include "cli/output.h"
#include "cli/terminal.h"

namespace drover::cli {

// Exit codes beyond proto/support/status.h's table.
inline constexpr int kExitPartlyFailed = 8;

int ExitCodeFor(const absl::Status& status);

// Writes the error to standard error (as JSON with -o json) and returns the exit code. `command`
// may be nullptr.
int ReportError(Terminal& terminal, const absl::Status& status, const Command* command,
                Format format);

// What helps with the error, "" when nothing does.
std::string HintFor(const absl::Status& status);

// Code and meaning.
const std::vector<std::pair<int, std::string>>& ExitCodes();
// The table of `drover help exit-codes`.
std::string ExitCodesHelp();

}  // namespace drover::cli
