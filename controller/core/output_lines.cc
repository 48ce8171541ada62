#include "controller/core/output_lines.h"

#include <algorithm>

#include "absl/strings/str_cat.h"
#include "absl/strings/strip.h"
#include "proto/support/utf8.h"

namespace drover::core {
std::vector<std::string> OutputLines::Add(absl::string_view piece, int64_t offset, bool whole) {
  std::vector<std::string> lines;
  const int64_t next = seen_ + static_cast<int64_t>(tail_.size());
  if (offset > next) {
    if (!tail_.empty()) lines.push_back(CleanText(tail_));
    lines.push_back(absl::StrCat("(", offset - next, " bytes of output did not arrive)"));
    tail_.clear();
    seen_ = offset;
  } else {
    piece.remove_prefix(std::min(piece.size(), static_cast<size_t>(next - offset)));
  }
  tail_.append(piece.data(), piece.size());
  absl::string_view rest = tail_;
  while (!rest.empty()) {
    const size_t end = rest.substr(0, kLongestLine).find('\n');
    if (end == absl::string_view::npos && rest.size() < kLongestLine && !whole) break;
    const absl::string_view line = rest.substr(0, std::min(end, kLongestLine));
    lines.push_back(CleanText(absl::StripSuffix(line, "\r")));
    rest.remove_prefix(
        std::min(rest.size(), line.size() + (end == absl::string_view::npos ? 0 : 1)));
  }
  seen_ += static_cast<int64_t>(tail_.size() - rest.size());
  tail_ = std::string(rest);
  if (lines.size() > kMostLines) {
    const size_t out = lines.size() - kMostLines + 1;
    lines.erase(lines.begin(), lines.begin() + static_cast<std::ptrdiff_t>(out));
    lines.insert(lines.begin(), absl::StrCat("(", out, " lines left out)"));
  }
  return lines;
}

}  // namespace drover::core
