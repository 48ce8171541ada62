// INI files: settings of configparser and supervisord, with supervisord's environment lists.
#include <algorithm>
#include <utility>

#include "absl/strings/ascii.h"
#include "absl/strings/strip.h"
#include "agent/config_format.h"

namespace drover::agent {
namespace {

constexpr char kBreaks[] = "\n\r";

struct Line {
  size_t begin = 0;
  // Without its end.
  size_t end = 0;
};

std::vector<Line> LinesOf(absl::string_view text) {
  std::vector<Line> lines;
  size_t begin = text.substr(0, 3) == "\xEF\xBB\xBF" ? 3 : 0;
  while (begin < text.size()) {
    const size_t end = std::min(text.find('\n', begin), text.size());
    size_t content_end = end;
    if (content_end > begin && text[content_end - 1] == '\r') --content_end;
    lines.push_back({begin, content_end});
    begin = end + 1;
  }
  return lines;
}

bool IsBlank(char c) { return c == ' ' || c == '\t'; }

// Where a comment at the end of text[begin, end) begins, or `end`.
size_t CommentStart(absl::string_view text, size_t begin, size_t end) {
  char quote = 0;
  for (size_t i = begin; i < end; ++i) {
    const char c = text[i];
    if (quote != 0) {
      if (c == quote) quote = 0;
    } else if ((c == '"' || c == '\'') &&
               text.substr(i + 1, end - i - 1).find(c) != absl::string_view::npos) {
      quote = c;
    } else if ((c == ';' || c == '#') && i > begin && IsBlank(text[i - 1])) {
      return i;
    }
  }
  return end;
}

void Trim(absl::string_view text, size_t* begin, size_t* end) {
  while (*begin < *end && IsBlank(text[*begin])) ++*begin;
  while (*end > *begin && IsBlank(text[*end - 1])) --*end;
}

// A value in quotes, or one that needs none.
FoundValue ValueAt(absl::string_view text, size_t begin, size_t end, absl::string_view stops) {
  FoundValue found;
  found.begin = begin;
  found.end = end;
  const absl::string_view raw = text.substr(begin, end - begin);
  const bool quoted = raw.size() >= 2 && (raw[0] == '"' || raw[0] == '\'') && raw.back() == raw[0];
  const char quote = quoted ? raw[0] : '\0';
  found.value = std::string(quoted ? raw.substr(1, raw.size() - 2) : raw);
  found.write =
      [quote, stops = std::string(stops)](absl::string_view value) -> absl::StatusOr<std::string> {
    if (value.find_first_of(absl::string_view("\n\r\0", 3)) != absl::string_view::npos) {
      return Unfit("a value of an INI file cannot have line breaks");
    }
    if (quote != 0) {
      if (value.find(quote) != absl::string_view::npos) return Unfit("the value has its own quote");
      std::string out(1, quote);
      out.append(value.data(), value.size());
      out.push_back(quote);
      return out;
    }
    if (value.find_first_of(stops) == absl::string_view::npos) return std::string(value);
    if (value.find('"') != absl::string_view::npos) return Unfit("the value has quotes");
    std::string out = "\"";
    out.append(value.data(), value.size());
    out.push_back('"');
    return out;
  };
  return found;
}

// Entries NAME=value, by commas, of an environment that may go over several lines.
class Environment {
 public:
  Environment(absl::string_view text, size_t begin, size_t end)
      : text_(text), at_(begin), end_(end) {}

  absl::Status Find(const std::string& name, std::vector<FoundValue>* found) {
    for (;;) {
      SkipBetween();
      if (at_ >= end_) return absl::OkStatus();
      const size_t name_begin = at_;
      while (at_ < end_ && text_[at_] != '=' && text_[at_] != ',' && !IsBreak(text_[at_])) ++at_;
      if (at_ >= end_ || text_[at_] != '=') {
        return Malformed(text_, name_begin, "expected NAME=value in the environment");
      }
      const absl::string_view its =
          absl::StripAsciiWhitespace(text_.substr(name_begin, at_ - name_begin));
      ++at_;
      while (at_ < end_ && IsBlank(text_[at_])) ++at_;
      const size_t begin = at_;
      if (absl::Status skipped = SkipValue(); !skipped.ok()) return skipped;
      size_t value_end = at_;
      size_t value_begin = begin;
      Trim(text_, &value_begin, &value_end);
      if (its == name) found->push_back(ValueAt(text_, value_begin, value_end, " \t,;#\"'="));
    }
  }

 private:
  static bool IsBreak(char c) { return c == '\n' || c == '\r'; }

  // Blanks, line ends, commas, comments.
  void SkipBetween() {
    while (at_ < end_) {
      const char c = text_[at_];
      const bool starts_comment =
          (c == '#' || c == ';') &&
          (at_ == 0 || text_[at_ - 1] == ' ' || text_[at_ - 1] == '\t' || IsBreak(text_[at_ - 1]));
      if (starts_comment) {
        at_ = std::min(text_.find_first_of(kBreaks, at_), end_);
      } else if (IsBlank(c) || IsBreak(c) || c == ',') {
        ++at_;
      } else {
        return;
      }
    }
  }

  absl::Status SkipValue() {
    if (at_ < end_ && (text_[at_] == '"' || text_[at_] == '\'')) {
      const size_t close = text_.find(text_[at_], at_ + 1);
      if (close == absl::string_view::npos || close >= end_) {
        return Malformed(text_, at_, "a quote in the environment is not closed");
      }
      at_ = close + 1;
      return absl::OkStatus();
    }
    while (at_ < end_ && text_[at_] != ',' && !IsBreak(text_[at_])) {
      if ((text_[at_] == ';' || text_[at_] == '#') && IsBlank(text_[at_ - 1])) break;
      ++at_;
    }
    return absl::OkStatus();
  }

  const absl::string_view text_;
  size_t at_;
  const size_t end_;
};

}  // namespace

absl::StatusOr<FoundValue> FindIni(absl::string_view text, const KeyParts& key) {
  const std::vector<Line> lines = LinesOf(text);
  const std::string section = key.size() > 1 ? key[0] : "";
  const std::string option = key.size() > 1 ? key[1] : key[0];
  std::string current;
  bool in_section = false;
  std::vector<FoundValue> found;
  for (size_t i = 0; i < lines.size(); ++i) {
    const Line& line = lines[i];
    const absl::string_view content = text.substr(line.begin, line.end - line.begin);
    const absl::string_view bare = absl::StripAsciiWhitespace(content);
    if (bare.empty() || bare[0] == '#' || bare[0] == ';') continue;
    if (content[0] == '[') {
      const size_t close = content.find(']');
      if (close == absl::string_view::npos) {
        return Malformed(text, line.begin, "a section has no ']'");
      }
      current = std::string(content.substr(1, close - 1));
      in_section = true;
      continue;
    }
    // Belongs to the option above.
    if (IsBlank(content[0]) && i > 0) continue;
    if (in_section != (key.size() > 1) || current != section) continue;
    const size_t delimiter = content.find_first_of("=:");
    if (delimiter == absl::string_view::npos) continue;
    if (absl::StripAsciiWhitespace(content.substr(0, delimiter)) != option) continue;
    // With the lines that continue it.
    size_t last = i;
    for (size_t next = i + 1; next < lines.size(); ++next) {
      const absl::string_view below =
          text.substr(lines[next].begin, lines[next].end - lines[next].begin);
      if (absl::StripAsciiWhitespace(below).empty()) break;
      if (!IsBlank(below[0])) {
        if (below[0] == '#' || below[0] == ';') continue;
        break;
      }
      last = next;
    }
    size_t begin = line.begin + delimiter + 1;
    if (key.size() == 3) {
      Environment environment(text, begin, lines[last].end);
      if (absl::Status read = environment.Find(key[2], &found); !read.ok()) return read;
      continue;
    }
    size_t end = CommentStart(text, begin, line.end);
    Trim(text, &begin, &end);
    if (last > i) {
      found.push_back(Irreplaceable(begin, lines[last].end, "the value goes over several lines"));
    } else {
      found.push_back(ValueAt(text, begin, end, ""));
    }
  }
  return OnlyOne(text, std::move(found), key);
}

}  // namespace drover::agent
