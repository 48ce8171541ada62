// Splits the words after a command into its arguments and flags. The only file that sees the
// command line library, which takes seconds to compile. Thread promise: pure functions.
#pragma once

#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/strings/string_view.h"
#include "cli/command.h"

namespace drover::cli {

// "--memory 4G", "--memory=4G", "-o json", "-ojson", lists by repetition or commas, "--" before
// words that begin with "-". INVALID_ARGUMENT says what was not understood. Required ones are not
// checked here.
absl::Status ParseFlags(const std::vector<std::string>& words, const std::vector<Flag>& arguments,
                        const std::vector<Flag>& flags, Arguments& parsed);

// The word is a flag whose value is the next word.
bool TakesNextWord(absl::string_view word, const std::vector<Flag>& flags);

}  // namespace drover::cli
