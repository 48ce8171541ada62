#include "agent/python_tokens.h"

#include <algorithm>
#include <utility>

#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "agent/config_format.h"

namespace drover::agent {
namespace {

using Kind = PythonToken::Kind;

constexpr int kTab = 8;

bool IsNameByte(char c) {
  return absl::ascii_isalnum(c) || c == '_' || static_cast<unsigned char>(c) >= 0x80;
}

bool IsStringPrefix(absl::string_view name) {
  return name.size() <= 2 &&
         absl::AsciiStrToLower(name).find_first_not_of("rbuf") == std::string::npos;
}

class Reader {
 public:
  explicit Reader(absl::string_view text) : text_(text) {
    if (text_.substr(0, 3) == "\xEF\xBB\xBF") at_ = 3;
  }

  absl::StatusOr<PythonSource> Read() {
    int indent = Indent();
    while (at_ < text_.size()) {
      const char c = text_[at_];
      if (c == '\n') {
        ++at_;
        if (depth_ > 0) continue;
        EndLine(indent);
        indent = Indent();
      } else if (c == ' ' || c == '\t' || c == '\r' || c == '\f') {
        ++at_;
      } else if (c == '#') {
        at_ = std::min(text_.find('\n', at_), text_.size());
      } else if (c == '\\') {
        ++at_;
        if (text_.substr(at_, 2) == "\r\n") ++at_;
        if (at_ < text_.size() && text_[at_] == '\n') ++at_;
      } else if (absl::Status taken = Token(); !taken.ok()) {
        return taken;
      }
    }
    if (depth_ > 0) return Malformed(text_, opened_, "a bracket is not closed");
    EndLine(indent);
    return std::move(source_);
  }

 private:
  int Indent() {
    int indent = 0;
    for (; at_ < text_.size(); ++at_) {
      if (text_[at_] == ' ') {
        ++indent;
      } else if (text_[at_] == '\t') {
        indent = (indent / kTab + 1) * kTab;
      } else if (text_[at_] != '\f') {
        break;
      }
    }
    return indent;
  }

  void EndLine(int indent) {
    if (source_.tokens.size() > line_first_) {
      source_.lines.push_back({indent, line_first_, source_.tokens.size()});
    }
    line_first_ = source_.tokens.size();
  }

  void Add(Kind kind, size_t begin, int depth) {
    source_.tokens.push_back({kind, begin, at_, depth});
  }

  absl::Status Token() {
    const size_t begin = at_;
    const char c = text_[at_];
    const bool fraction = c == '.' && at_ + 1 < text_.size() && absl::ascii_isdigit(text_[at_ + 1]);
    if (c == '"' || c == '\'') return String(begin);
    if (absl::ascii_isdigit(c) || fraction) {
      while (at_ < text_.size() && (IsNameByte(text_[at_]) || text_[at_] == '.')) ++at_;
      Add(Kind::kNumber, begin, depth_);
      return absl::OkStatus();
    }
    if (IsNameByte(c)) {
      while (at_ < text_.size() && IsNameByte(text_[at_])) ++at_;
      const bool quote = at_ < text_.size() && (text_[at_] == '"' || text_[at_] == '\'');
      if (quote && IsStringPrefix(text_.substr(begin, at_ - begin))) return String(begin);
      Add(Kind::kName, begin, depth_);
      return absl::OkStatus();
    }
    return Operator(begin);
  }

  absl::Status Operator(size_t begin) {
    const char c = text_[at_++];
    if (c == '(' || c == '[' || c == '{') {
      if (depth_ == 0) opened_ = begin;
      Add(Kind::kOperator, begin, depth_++);
      return absl::OkStatus();
    }
    if (c == ')' || c == ']' || c == '}') {
      if (depth_ == 0) return Malformed(text_, begin, "a bracket closes that was not open");
      Add(Kind::kOperator, begin, --depth_);
      return absl::OkStatus();
    }
    const bool may_assign = absl::string_view("+-*/%&|^@<>!=:").find(c) != absl::string_view::npos;
    if (may_assign && at_ < text_.size() && text_[at_] == '=') ++at_;
    Add(Kind::kOperator, begin, depth_);
    return absl::OkStatus();
  }

  // at_ is at the quote.
  absl::Status String(size_t begin) {
    const std::string one(1, text_[at_]);
    const std::string triple = absl::StrCat(one, one, one);
    const bool is_triple = text_.substr(at_, 3) == triple;
    const std::string& quote = is_triple ? triple : one;
    at_ += quote.size();
    while (at_ < text_.size() && text_.substr(at_, quote.size()) != quote) {
      if (text_[at_] == '\\') {
        ++at_;
      } else if (text_[at_] == '\n' && !is_triple) {
        return Malformed(text_, begin, "a string is not closed");
      }
      ++at_;
    }
    if (at_ >= text_.size()) return Malformed(text_, begin, "a string is not closed");
    at_ += quote.size();
    Add(Kind::kString, begin, depth_);
    return absl::OkStatus();
  }

  const absl::string_view text_;
  size_t at_ = 0;
  int depth_ = 0;
  size_t opened_ = 0;
  size_t line_first_ = 0;
  PythonSource source_;
};

// Python leaves escapes it does not know as they are; \N{...} needs a table of names.
absl::StatusOr<std::string> UnescapePython(absl::string_view body, bool bytes) {
  std::string out;
  for (size_t i = 0; i < body.size(); ++i) {
    if (body[i] != '\\' || i + 1 >= body.size()) {
      out.push_back(body[i]);
      continue;
    }
    const char c = body[++i];
    if (c == '\n') continue;
    if (c == '\r' && body.substr(i + 1, 1) == "\n") {
      ++i;
    } else if (c == '\\' || c == '\'' || c == '"') {
      out.push_back(c);
    } else if (absl::string_view("abfnrtv").find(c) != absl::string_view::npos) {
      auto known = UnescapeCommon(body.substr(i - 1, 2));
      if (!known.ok()) return known.status();
      out += *known;
    } else if (c == 'x' || (!bytes && (c == 'u' || c == 'U'))) {
      const size_t length = c == 'x' ? 4 : c == 'u' ? 6 : 10;
      auto known = UnescapeCommon(body.substr(i - 1, length));
      if (!known.ok()) return known.status();
      out += *known;
      i += length - 2;
    } else if (c == 'N' || (c >= '0' && c <= '7')) {
      return Unfit("it has an escape that is not understood here");
    } else {
      out.push_back('\\');
      out.push_back(c);
    }
  }
  return out;
}

}  // namespace

absl::StatusOr<PythonSource> ReadPython(absl::string_view text) { return Reader(text).Read(); }

absl::StatusOr<PythonString> ReadPythonString(absl::string_view token) {
  PythonString read;
  const size_t begin = token.find_first_of("'\"");
  read.prefix = absl::AsciiStrToLower(token.substr(0, begin));
  const std::string one(1, token[begin]);
  read.quote = absl::StrCat(one, one, one);
  if (token.substr(begin, 3) != read.quote || token.size() - begin < 6) read.quote = one;
  absl::string_view body = token.substr(begin + read.quote.size());
  body.remove_suffix(read.quote.size());
  if (absl::StrContains(read.prefix, "f")) return Unfit("it is a formatted string");
  if (absl::StrContains(read.prefix, "r")) {
    read.value = std::string(body);
    return read;
  }
  auto value = UnescapePython(body, absl::StrContains(read.prefix, "b"));
  if (!value.ok()) return value.status();
  read.value = *std::move(value);
  return read;
}

absl::StatusOr<std::string> WritePythonString(absl::string_view value, const PythonString& like) {
  const char quote = like.quote[0];
  if (absl::StrContains(like.prefix, "b") &&
      std::any_of(value.begin(), value.end(), [](char c) { return !absl::ascii_isascii(c); })) {
    return Unfit("bytes cannot have other characters than ASCII");
  }
  std::string prefix = like.prefix;
  if (absl::StrContains(prefix, "r")) {
    const std::string special = absl::StrCat("\\\n\r", std::string(1, quote));
    if (value.find_first_of(special) == absl::string_view::npos) {
      return absl::StrCat(prefix, like.quote, value, like.quote);
    }
    prefix.erase(prefix.find('r'), 1);
  }
  std::string out = absl::StrCat(prefix, like.quote);
  for (const char c : value) {
    const auto byte = static_cast<unsigned char>(c);
    if (c == quote || c == '\\') {
      out.push_back('\\');
      out.push_back(c);
    } else if (c == '\n') {
      out += "\\n";
    } else if (byte < 0x20 || byte == 0x7F) {
      absl::StrAppendFormat(&out, "\\x%02x", byte);
    } else {
      out.push_back(c);
    }
  }
  return out + like.quote;
}

}  // namespace drover::agent
