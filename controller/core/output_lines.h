// Output of a program, as it comes in pieces, made into lines for an operation's log.
//
// Thread promise: one owner; pure but for what it holds.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "absl/strings/string_view.h"

namespace drover::core {

class OutputLines {
 public:
  // Lines longer than this are cut in pieces.
  static constexpr size_t kLongestLine = 2000;
  // Of one call; older ones of more are told as left out.
  static constexpr size_t kMostLines = 200;

  // Everything before `seen` was made into lines already.
  explicit OutputLines(int64_t seen) : seen_(seen) {}

  // A piece that begins at `offset`. Parts that came before are passed over, parts that never came
  // are told by a line. Complete lines only, unless the output is `whole` with this piece. What is
  // not UTF-8 becomes "?".
  std::vector<std::string> Add(absl::string_view piece, int64_t offset, bool whole);
  // Everything before is made into lines.
  int64_t seen() const { return seen_; }

 private:
  int64_t seen_;
  // The begin of a line that has not ended; follows `seen_`.
  std::string tail_;
};

}  // namespace drover::core
