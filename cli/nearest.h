// "Did you mean": the known word nearest to a mistyped one. Thread promise: pure functions.
#pragma once

#include <string>
#include <vector>

#include "absl/strings/string_view.h"

namespace drover::cli {

// The candidate with the fewest insertions, deletions, replacements and swaps of neighbours, when
// that is at most a third of its length (at least one); "" when none is near. A candidate that
// starts with the word is always near.
std::string Nearest(absl::string_view word, const std::vector<std::string>& candidates);

// "; did you mean \"list\"?" or "".
std::string DidYouMean(absl::string_view word, const std::vector<std::string>& candidates);

}  // namespace drover::cli
