// What could come next on a line: commands, flags, values, and names the controller knows. The
// shells' adaptors call it as the hidden command `drover __complete WORDS...`; the last word is the
// one being typed.
//
// Thread promise: for one thread.
#pragma once

#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "cli/client.h"
#include "cli/command.h"

namespace drover::cli {

struct Candidate {
  std::string text;
  std::string about;
};

// Candidates that begin with the last word. A controller that does not answer within a second gives
// none.
std::vector<Candidate> Complete(const CommandTable& table, Client& client, const Terminal& terminal,
                                const std::vector<std::string>& words);

// The script to load into "bash", "zsh" or "fish".
std::string CompletionScript(absl::string_view shell);

}  // namespace drover::cli
