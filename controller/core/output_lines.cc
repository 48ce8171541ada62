#include "controller/core/output_lines.h"

#include <algorithm>

#include "absl/strings/str_cat.h"
#include "absl/strings/strip.h"

namespace drover::core {
namespace {

// Length of the UTF-8 character that `bytes` begins with; 0 when it does not begin with one.
size_t CharacterLength(absl::string_view bytes) {
  const auto first = static_cast<unsigned char>(bytes[0]);
  if (first < 0x80) return 1;
  const size_t length = first >= 0xf0 ? 4 : first >= 0xe0 ? 3 : 2;
  if (first < 0xc2 || first > 0xf4 || bytes.size() < length) return 0;
  for (size_t i = 1; i < length; ++i) {
    if ((static_cast<unsigned char>(bytes[i]) & 0xc0) != 0x80) return 0;
  }
  const auto second = static_cast<unsigned char>(bytes[1]);
  // Overlong forms, surrogates, and what lies above the last character.
  if ((first == 0xe0 && second < 0xa0) || (first == 0xed && second > 0x9f)) return 0;
  if ((first == 0xf0 && second < 0x90) || (first == 0xf4 && second > 0x8f)) return 0;
  return length;
}

}  // namespace

std::string PlainText(absl::string_view bytes) {
  std::string text;
  text.reserve(bytes.size());
  while (!bytes.empty()) {
    const size_t length = CharacterLength(bytes);
    if (length == 0) {
      text += '?';
      bytes.remove_prefix(1);
      continue;
    }
    text.append(bytes.data(), length);
    bytes.remove_prefix(length);
  }
  return text;
}

std::vector<std::string> OutputLines::Add(absl::string_view piece, int64_t offset, bool whole) {
  std::vector<std::string> lines;
  const int64_t next = seen_ + static_cast<int64_t>(tail_.size());
  if (offset > next) {
    if (!tail_.empty()) lines.push_back(PlainText(tail_));
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
    lines.push_back(PlainText(absl::StripSuffix(line, "\r")));
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
