// Differences of two texts for people to read, with what looks like a secret hidden.
//
// Thread promise: pure functions.
#pragma once

#include <string>

#include "absl/strings/string_view.h"

namespace drover::agent {

// Unified, with three lines of context; "" for equal texts. Line ends are kept as they are but for
// a '\r', which is left out. At most `limit` bytes, with a last line that says so.
std::string UnifiedDiff(absl::string_view path, absl::string_view before, absl::string_view after,
                        size_t limit = 64 << 10);

// A line with the values of keys that name a password, secret, token or key, and passwords in URLs,
// replaced by "***"; long runs of letters and digits alone in a line, too. `open` carries over to
// the next line that the value of such a key is still to come.
std::string HideSecrets(absl::string_view line, bool* open);

}  // namespace drover::agent
