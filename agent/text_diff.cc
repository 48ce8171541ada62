#include "agent/text_diff.h"

#include <re2/re2.h>

#include <algorithm>
#include <utility>
#include <vector>

#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "proto/support/utf8.h"

namespace drover::agent {
namespace {

constexpr int kContext = 3;
// Texts that differ in more lines are shown as one replacement.
constexpr int kMostEdits = 2000;

using Lines = std::vector<absl::string_view>;

struct Change {
  // ' ', '-' or '+'.
  char kind = ' ';
  size_t before = 0;
  size_t after = 0;
};

Lines LinesOf(absl::string_view text) {
  Lines lines = absl::StrSplit(text, '\n');
  if (lines.back().empty()) lines.pop_back();
  return lines;
}

// Myers' greedy algorithm: the furthest reach of each diagonal, kept per number of edits.
std::vector<Change> Differences(const Lines& a, const Lines& b) {
  const int n = static_cast<int>(a.size());
  const int m = static_cast<int>(b.size());
  const int most = std::min(n + m, kMostEdits);
  const int offset = most + 1;
  std::vector<int> reach(2 * offset + 1, 0);
  std::vector<std::vector<int>> history;
  bool done = false;
  for (int d = 0; d <= most && !done; ++d) {
    history.push_back(reach);
    for (int k = -d; k <= d; k += 2) {
      const bool down = k == -d || (k != d && reach[offset + k - 1] < reach[offset + k + 1]);
      int x = down ? reach[offset + k + 1] : reach[offset + k - 1] + 1;
      while (x < n && x - k < m && a[x] == b[x - k]) ++x;
      reach[offset + k] = x;
      if (x >= n && x - k >= m) {
        done = true;
        break;
      }
    }
  }
  std::vector<Change> changes;
  int x = n;
  int y = m;
  if (!done) {
    while (y > 0) changes.push_back({'+', a.size(), static_cast<size_t>(--y)});
    while (x > 0) changes.push_back({'-', static_cast<size_t>(--x), 0});
    std::reverse(changes.begin(), changes.end());
    return changes;
  }
  for (int d = static_cast<int>(history.size()) - 1; d >= 0; --d) {
    const std::vector<int>& its = history[d];
    const int k = x - y;
    const bool down = k == -d || (k != d && its[offset + k - 1] < its[offset + k + 1]);
    const int from_k = down ? k + 1 : k - 1;
    const int from_x = d == 0 ? 0 : its[offset + from_k];
    const int from_y = d == 0 ? 0 : from_x - from_k;
    while (x > from_x && y > from_y && a[x - 1] == b[y - 1]) {
      changes.push_back({' ', static_cast<size_t>(--x), static_cast<size_t>(--y)});
    }
    if (d == 0) break;
    if (down) {
      changes.push_back({'+', static_cast<size_t>(x), static_cast<size_t>(--y)});
    } else {
      changes.push_back({'-', static_cast<size_t>(--x), static_cast<size_t>(y)});
    }
  }
  std::reverse(changes.begin(), changes.end());
  return changes;
}

bool IsOpening(absl::string_view rest) {
  rest = absl::StripAsciiWhitespace(rest);
  return rest.empty() || rest == "(" || rest == "[" || rest == "{" || rest == "\\" ||
         rest == "\"\"\"" || rest == "'''" || rest[0] == '|' || rest[0] == '>';
}

// How much of `rest` is one value: a string in quotes, or everything.
size_t ValueLength(absl::string_view rest) {
  const size_t begin = rest.find_first_not_of(" \t");
  if (begin == absl::string_view::npos) return rest.size();
  size_t at = begin;
  while (at < rest.size() && at < begin + 2 && absl::ascii_isalpha(rest[at])) ++at;
  if (at >= rest.size() || (rest[at] != '"' && rest[at] != '\'')) return rest.size();
  const char quote = rest[at];
  for (++at; at < rest.size(); ++at) {
    if (rest[at] == '\\') {
      ++at;
    } else if (rest[at] == quote) {
      return at + 1;
    }
  }
  return rest.size();
}

std::string HidePasswordsOfUrls(absl::string_view line) {
  static const RE2* const kUserInfo = new RE2(R"((://[^/\s:@"']*:)[^\s"']*@)");
  std::string out(line);
  RE2::GlobalReplace(&out, *kUserInfo, R"(\1***@)");
  return out;
}

}  // namespace

std::string HideSecrets(absl::string_view line, bool* open) {
  static const RE2* const kSecret = new RE2(
      R"((?i)(?:pass(?:wd|word|phrase)?|pwd|secret|token|credential|api_?key|access_?key|private_?key|auth_?key|signing_?key|encryption_?key)[a-z0-9_.-]*["']?\]?\s*(?:=>|:=|=|:))");
  static const RE2* const kRun = new RE2(R"(^\s*["']?[A-Za-z0-9+/=_-]{40,}["'\\]*,?\s*$)");
  if (*open) {
    const absl::string_view bare = absl::StripAsciiWhitespace(line);
    if (bare.empty() || bare[0] == '#') return std::string(line);
    *open = false;
    return absl::StrCat(line.substr(0, line.find_first_not_of(" \t")), "***");
  }
  if (RE2::FullMatch({line.data(), line.size()}, *kRun)) return "***";
  std::string out;
  for (;;) {
    re2::StringPiece match;
    if (!kSecret->Match({line.data(), line.size()}, 0, line.size(), RE2::UNANCHORED, &match, 1)) {
      break;
    }
    const size_t end = static_cast<size_t>(match.data() - line.data()) + match.size();
    absl::StrAppend(&out, line.substr(0, end));
    line.remove_prefix(end);
    if (IsOpening(line)) {
      *open = true;
      break;
    }
    const size_t length = ValueLength(line);
    absl::StrAppend(&out, line[0] == ' ' ? " ***" : "***");
    line.remove_prefix(length);
  }
  return HidePasswordsOfUrls(absl::StrCat(out, line));
}

std::string UnifiedDiff(absl::string_view path, absl::string_view before, absl::string_view after,
                        size_t limit) {
  if (before == after) return "";
  const Lines a = LinesOf(before);
  const Lines b = LinesOf(after);
  const std::vector<Change> changes = Differences(a, b);
  // Whether a secret is open is known from the line above.
  const auto hide = [](const Lines& lines) {
    std::vector<std::string> hidden;
    bool open = false;
    for (absl::string_view line : lines) {
      if (!line.empty() && line.back() == '\r') line.remove_suffix(1);
      hidden.push_back(CleanText(HideSecrets(line, &open), 1024));
    }
    return hidden;
  };
  const std::vector<std::string> old_lines = hide(a);
  const std::vector<std::string> new_lines = hide(b);
  std::string out = absl::StrCat("--- ", path, "\n+++ ", path, "\n");
  const int count = static_cast<int>(changes.size());
  for (int at = 0; at < count;) {
    if (changes[at].kind == ' ') {
      ++at;
      continue;
    }
    const int begin = std::max(0, at - kContext);
    int last = at;
    for (int i = at; i < count && i <= last + 2 * kContext; ++i) {
      if (changes[i].kind != ' ') last = i;
    }
    const int end = std::min(count, last + kContext + 1);
    int removed = 0;
    int added = 0;
    std::string hunk;
    for (int i = begin; i < end; ++i) {
      const Change& change = changes[i];
      if (change.kind != '+') ++removed;
      if (change.kind != '-') ++added;
      const std::string& line =
          change.kind == '+' ? new_lines[change.after] : old_lines[change.before];
      absl::StrAppend(&hunk, std::string(1, change.kind), line, "\n");
    }
    absl::StrAppend(&out, "@@ -", changes[begin].before + (removed > 0 ? 1 : 0), ",", removed, " +",
                    changes[begin].after + (added > 0 ? 1 : 0), ",", added, " @@\n", hunk);
    if (out.size() > limit) {
      out.resize(out.rfind('\n', limit - 64) + 1);
      return CleanText(out, limit) + "(the rest is left out)\n";
    }
    at = end;
  }
  return out;
}

}  // namespace drover::agent
