#include "agent/config_format.h"

#include <re2/re2.h>

#include <algorithm>
#include <cstdint>
#include <utility>

#include "absl/strings/ascii.h"
#include "absl/strings/escaping.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/strings/str_join.h"
#include "proto/support/status.h"

namespace drover::agent {
namespace {

absl::Status Problem(absl::string_view reason, absl::string_view what) {
  return MakeError(absl::StatusCode::kFailedPrecondition, reason, what);
}

// Digits of an escape like \u00e9; -1 when there are not so many.
int64_t HexAt(absl::string_view text, size_t at, size_t digits) {
  if (at + digits > text.size()) return -1;
  int64_t value = 0;
  for (const char c : text.substr(at, digits)) {
    if (!absl::ascii_isxdigit(c)) return -1;
    value = value * 16 + (absl::ascii_isdigit(c) ? c - '0' : absl::ascii_tolower(c) - 'a' + 10);
  }
  return value;
}

char SimpleEscape(char c) {
  switch (c) {
    case 'n':
      return '\n';
    case 't':
      return '\t';
    case 'r':
      return '\r';
    case 'b':
      return '\b';
    case 'f':
      return '\f';
    case '0':
      return '\0';
    case 'a':
      return '\a';
    case 'v':
      return '\v';
    case 'e':
      return '\x1b';
    default:
      return c;
  }
}

}  // namespace

int LineOf(absl::string_view text, size_t offset) {
  const absl::string_view before = text.substr(0, offset);
  return static_cast<int>(std::count(before.begin(), before.end(), '\n')) + 1;
}

absl::StatusOr<FoundValue> OnlyOne(absl::string_view text, std::vector<FoundValue> found,
                                   const KeyParts& key) {
  const std::string name = absl::StrJoin(key, " > ");
  if (found.empty()) return Problem("KEY_MISSING", absl::StrCat("there is no ", name));
  if (found.size() > 1) {
    std::vector<int> lines;
    for (const FoundValue& value : found) lines.push_back(LineOf(text, value.begin));
    return Problem("KEY_AMBIGUOUS", absl::StrCat(name, " is there ", found.size(),
                                                 " times, in lines ", absl::StrJoin(lines, ", ")));
  }
  return std::move(found[0]);
}

absl::Status Malformed(absl::string_view text, size_t offset, absl::string_view what) {
  return Problem("FILE_MALFORMED", absl::StrCat("line ", LineOf(text, offset), ": ", what));
}

absl::Status Unfit(absl::string_view what) { return Problem("VALUE_UNFIT", what); }

FoundValue Irreplaceable(size_t begin, size_t end, absl::string_view why) {
  FoundValue found;
  found.begin = begin;
  found.end = end;
  found.write = [why = std::string(why)](absl::string_view) -> absl::StatusOr<std::string> {
    return Unfit(why);
  };
  return found;
}

bool AsIndex(absl::string_view part, size_t* index) {
  uint32_t number = 0;
  if (part.empty() || part.find_first_not_of("0123456789") != absl::string_view::npos ||
      !absl::SimpleAtoi(part, &number))
    return false;
  *index = number;
  return true;
}

bool IsNumber(absl::string_view text) {
  static const RE2* const kNumber = new RE2(R"(-?(0|[1-9][0-9]*)(\.[0-9]+)?([eE][+-]?[0-9]+)?)");
  return RE2::FullMatch({text.data(), text.size()}, *kNumber);
}

void AppendUtf8(uint32_t code, std::string* out) {
  if (code < 0x80) {
    out->push_back(static_cast<char>(code));
  } else if (code < 0x800) {
    out->push_back(static_cast<char>(0xC0 | (code >> 6)));
    out->push_back(static_cast<char>(0x80 | (code & 0x3F)));
  } else if (code < 0x10000) {
    out->push_back(static_cast<char>(0xE0 | (code >> 12)));
    out->push_back(static_cast<char>(0x80 | ((code >> 6) & 0x3F)));
    out->push_back(static_cast<char>(0x80 | (code & 0x3F)));
  } else {
    out->push_back(static_cast<char>(0xF0 | (code >> 18)));
    out->push_back(static_cast<char>(0x80 | ((code >> 12) & 0x3F)));
    out->push_back(static_cast<char>(0x80 | ((code >> 6) & 0x3F)));
    out->push_back(static_cast<char>(0x80 | (code & 0x3F)));
  }
}

std::string DoubleQuoted(absl::string_view value) {
  std::string out = "\"";
  for (const char c : value) {
    const auto byte = static_cast<unsigned char>(c);
    if (c == '"' || c == '\\') {
      out.push_back('\\');
      out.push_back(c);
    } else if (c == '\n') {
      out += "\\n";
    } else if (c == '\r') {
      out += "\\r";
    } else if (c == '\t') {
      out += "\\t";
    } else if (byte < 0x20 || byte == 0x7F) {
      absl::StrAppendFormat(&out, "\\u%04x", byte);
    } else {
      out.push_back(c);
    }
  }
  out.push_back('"');
  return out;
}

absl::StatusOr<std::string> UnescapeCommon(absl::string_view body) {
  std::string out;
  for (size_t i = 0; i < body.size(); ++i) {
    if (body[i] != '\\') {
      out.push_back(body[i]);
      continue;
    }
    if (++i >= body.size()) return Unfit("ends with a backslash");
    const char c = body[i];
    const size_t digits = c == 'u' ? 4 : c == 'U' ? 8 : c == 'x' ? 2 : 0;
    if (digits == 0) {
      out.push_back(SimpleEscape(c));
      continue;
    }
    int64_t code = HexAt(body, i + 1, digits);
    if (code < 0 || code > 0x10FFFF) return Unfit("has an escape that cannot be read");
    i += digits;
    const bool high = code >= 0xD800 && code < 0xDC00;
    if (high && body.substr(i + 1, 2) == "\\u") {
      const int64_t low = HexAt(body, i + 3, 4);
      if (low >= 0xDC00 && low < 0xE000) {
        code = 0x10000 + ((code - 0xD800) << 10) + (low - 0xDC00);
        i += 6;
      }
    }
    AppendUtf8(static_cast<uint32_t>(code), &out);
  }
  return out;
}

absl::StatusOr<FoundValue> FindRegex(absl::string_view text, absl::string_view expression) {
  RE2::Options options;
  options.set_log_errors(false);
  const RE2 pattern({expression.data(), expression.size()}, options);
  if (!pattern.ok() || pattern.NumberOfCapturingGroups() != 1) {
    return Unfit("the expression cannot be used: it must compile and have one group");
  }
  std::vector<FoundValue> found;
  size_t begin = 0;
  while (begin <= text.size()) {
    const size_t end = std::min(text.find('\n', begin), text.size());
    absl::string_view line = text.substr(begin, end - begin);
    if (!line.empty() && line.back() == '\r') line.remove_suffix(1);
    size_t from = 0;
    re2::StringPiece groups[2];
    while (from <= line.size() && pattern.Match({line.data(), line.size()}, from, line.size(),
                                                RE2::UNANCHORED, groups, 2)) {
      FoundValue value;
      if (groups[1].data() == nullptr) {
        value = Irreplaceable(begin, begin, "the expression matches without its group");
      } else {
        value.begin = static_cast<size_t>(groups[1].data() - text.data());
        value.end = value.begin + groups[1].size();
        value.value = std::string(groups[1].data(), groups[1].size());
        value.write = [](absl::string_view wanted) -> absl::StatusOr<std::string> {
          if (wanted.find_first_of(absl::string_view("\n\r\0", 3)) != absl::string_view::npos) {
            return Unfit("a value of one line cannot have line breaks");
          }
          return std::string(wanted);
        };
      }
      found.push_back(std::move(value));
      const auto match_end = static_cast<size_t>(groups[0].data() - line.data()) + groups[0].size();
      from = std::max(match_end, from + 1);
    }
    begin = end + 1;
  }
  return OnlyOne(text, std::move(found), {std::string(expression)});
}

}  // namespace drover::agent
