// YAML, as far as configuration files use it: block and flow collections, plain and quoted scalars
// of one line. Complex keys ("? ") are refused; anchors, aliases, tags and block scalars are
// passed over and cannot be replaced themselves.
#include <algorithm>
#include <set>
#include <utility>

#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_replace.h"
#include "absl/strings/strip.h"
#include "agent/config_format.h"

namespace drover::agent {
namespace {

constexpr int kDeepest = 100;

// Read as something else than a string.
bool IsPlainWord(absl::string_view word) {
  static const auto* const kWords =
      new std::set<std::string>{"true", "false", "yes", "no", "on", "off", "null", "~", "y", "n"};
  return IsNumber(word) || kWords->count(absl::AsciiStrToLower(word)) > 0;
}

bool IsPlain(absl::string_view value, bool flow) {
  if (value.empty() || absl::ascii_isspace(value[0]) || absl::ascii_isspace(value.back())) {
    return false;
  }
  if (absl::string_view("-?:,[]{}#&*!|>'\"%@`=").find(value[0]) != absl::string_view::npos) {
    return false;
  }
  if (std::any_of(value.begin(), value.end(), [](char c) { return absl::ascii_iscntrl(c); })) {
    return false;
  }
  if (absl::StrContains(value, ": ") || absl::StrContains(value, " #") || value.back() == ':') {
    return false;
  }
  // Would be read as a number of another spelling.
  const char first = value[0];
  if (absl::ascii_isdigit(first) || first == '+' || first == '.') {
    const bool dotted = std::count(value.begin(), value.end(), '.') > 1;
    const bool name =
        value.find_first_not_of("0123456789abcdefABCDEFxXoO+-.:_eE") != absl::string_view::npos;
    if (!dotted && !name) return false;
  }
  return !flow || value.find_first_of(",[]{}") == absl::string_view::npos;
}

enum class Quoting { kPlain, kSingle, kDouble };

absl::StatusOr<std::string> WriteScalar(absl::string_view wanted, Quoting quoting, bool was_word,
                                        bool flow) {
  const bool control =
      std::any_of(wanted.begin(), wanted.end(), [](char c) { return absl::ascii_iscntrl(c); });
  if (quoting == Quoting::kSingle && !control) {
    return absl::StrCat("'", absl::StrReplaceAll(wanted, {{"'", "''"}}), "'");
  }
  if (quoting != Quoting::kPlain) return DoubleQuoted(wanted);
  if (IsPlainWord(wanted)) return was_word ? std::string(wanted) : DoubleQuoted(wanted);
  return IsPlain(wanted, flow) ? std::string(wanted) : DoubleQuoted(wanted);
}

class YamlFinder {
 public:
  YamlFinder(absl::string_view text, const KeyParts& key) : text_(text), key_(key) {
    if (text_.substr(0, 3) == "\xEF\xBB\xBF") at_ = 3;
  }

  absl::StatusOr<FoundValue> Find() {
    while (at_ < text_.size()) {
      if (absl::Status read = Line(); !read.ok()) return read;
    }
    EndOpen(-1);
    return OnlyOne(text_, std::move(found_), key_);
  }

 private:
  // A collection that what follows may stand in.
  struct Entry {
    size_t indent = 0;
    bool item = false;
    std::string part;
    size_t index = 0;
  };

  char At(size_t place) const { return place < text_.size() ? text_[place] : '\n'; }
  bool EndsWord(size_t place) const {
    const char c = At(place);
    return c == ' ' || c == '\t' || c == '\n' || c == '\r';
  }
  size_t EndOfLine(size_t place) const { return std::min(text_.find('\n', place), text_.size()); }
  void NextLine() { at_ = EndOfLine(at_) + 1; }
  void SkipBlanks() {
    while (At(at_) == ' ' || At(at_) == '\t') ++at_;
  }
  bool AtEnd() const { return At(at_) == '\n' || At(at_) == '\r'; }

  bool Here() const {
    return stack_.size() == key_.size() &&
           std::equal(
               stack_.begin(), stack_.end(), key_.begin(),
               [](const Entry& entry, const std::string& part) { return entry.part == part; });
  }

  // A key without a value, once it is clear that nothing stands below it.
  void EndOpen(int indent) {
    if (!open_ || indent > open_indent_) {
      open_ = false;
      return;
    }
    open_ = false;
    FoundValue found;
    found.begin = found.end = open_at_;
    found.write = [](absl::string_view wanted) -> absl::StatusOr<std::string> {
      auto written = WriteScalar(wanted, Quoting::kPlain, true, false);
      if (!written.ok()) return written;
      return absl::StrCat(" ", *written);
    };
    found_.push_back(std::move(found));
  }

  absl::Status Line() {
    const size_t line = at_;
    while (At(at_) == ' ') ++at_;
    const size_t indent = at_ - line;
    if (AtEnd() || At(at_) == '#') {
      NextLine();
      return absl::OkStatus();
    }
    if (At(at_) == '\t') return Malformed(text_, at_, "indented by a tab");
    const absl::string_view three = text_.substr(at_, 3);
    if (indent == 0 && (three == "---" || three == "..." || At(at_) == '%') &&
        (At(at_) == '%' || EndsWord(at_ + 3))) {
      EndOpen(-1);
      stack_.clear();
      NextLine();
      return absl::OkStatus();
    }
    return Node(line, indent);
  }

  // What stands at at_, `indent` columns from the begin of the line.
  absl::Status Node(size_t line, size_t indent) {
    const bool dash = At(at_) == '-' && EndsWord(at_ + 1);
    // A list may stand as far left as the key it belongs to.
    EndOpen(static_cast<int>(indent) + (dash ? 1 : 0));
    if (dash) {
      size_t index = 0;
      while (!stack_.empty() && (stack_.back().indent > indent ||
                                 (stack_.back().indent == indent && stack_.back().item))) {
        if (stack_.back().indent == indent) index = stack_.back().index + 1;
        stack_.pop_back();
      }
      stack_.push_back({indent, true, absl::StrCat(index), index});
      ++at_;
      SkipBlanks();
      if (AtEnd() || At(at_) == '#') {
        NextLine();
        return absl::OkStatus();
      }
      const bool nested = At(at_) == '-' && EndsWord(at_ + 1);
      if (nested || KeyEnd(at_) != absl::string_view::npos) return Node(line, at_ - line);
      return Scalar(indent);
    }
    while (!stack_.empty() && stack_.back().indent >= indent) stack_.pop_back();
    if (At(at_) == '?' && EndsWord(at_ + 1)) return Malformed(text_, at_, "a complex key");
    const size_t colon = KeyEnd(at_);
    if (colon == absl::string_view::npos) return Scalar(indent);
    auto name = KeyText(text_.substr(at_, colon - at_));
    if (!name.ok()) return name.status();
    stack_.push_back({indent, false, *std::move(name), 0});
    at_ = colon + 1;
    SkipBlanks();
    if (AtEnd() || At(at_) == '#') {
      open_ = Here();
      open_indent_ = static_cast<int>(indent);
      open_at_ = colon + 1;
      NextLine();
      return absl::OkStatus();
    }
    return Scalar(indent);
  }

  // The ':' that ends the key at `begin`; npos when what stands there is no key.
  size_t KeyEnd(size_t begin) const {
    size_t at = begin;
    const char quote = At(at);
    if (quote == '{' || quote == '[') return absl::string_view::npos;
    if (quote == '"' || quote == '\'') {
      at = QuoteEnd(at);
      if (at == absl::string_view::npos) return at;
      while (At(at) == ' ') ++at;
      return At(at) == ':' && EndsWord(at + 1) ? at : absl::string_view::npos;
    }
    for (; at < EndOfLine(begin); ++at) {
      if (At(at) == ':' && EndsWord(at + 1)) return at;
      if (At(at) == '#' && at > begin && At(at - 1) == ' ') break;
    }
    return absl::string_view::npos;
  }

  // Behind the quote that closes the one at `begin`.
  size_t QuoteEnd(size_t begin) const {
    const char quote = text_[begin];
    for (size_t at = begin + 1; at < text_.size(); ++at) {
      if (quote == '"' && text_[at] == '\\') {
        ++at;
      } else if (text_[at] == quote) {
        if (quote == '"' || At(at + 1) != '\'') return at + 1;
        ++at;
      }
    }
    return absl::string_view::npos;
  }

  static absl::StatusOr<std::string> KeyText(absl::string_view raw) {
    raw = absl::StripAsciiWhitespace(raw);
    return Unquoted(raw);
  }

  static absl::StatusOr<std::string> Unquoted(absl::string_view raw) {
    if (raw.size() >= 2 && raw[0] == '"') return UnescapeCommon(raw.substr(1, raw.size() - 2));
    if (raw.size() >= 2 && raw[0] == '\'') {
      return absl::StrReplaceAll(raw.substr(1, raw.size() - 2), {{"''", "'"}});
    }
    return std::string(raw);
  }

  void Add(size_t begin, size_t end, bool flow) {
    const absl::string_view raw = text_.substr(begin, end - begin);
    if (raw.find('\n') != absl::string_view::npos) {
      found_.push_back(Irreplaceable(begin, end, "the value goes over several lines"));
      return;
    }
    auto value = Unquoted(raw);
    if (!value.ok()) {
      found_.push_back(Irreplaceable(begin, end, value.status().message()));
      return;
    }
    FoundValue found;
    found.begin = begin;
    found.end = end;
    const Quoting quoting = raw[0] == '"'    ? Quoting::kDouble
                            : raw[0] == '\'' ? Quoting::kSingle
                                             : Quoting::kPlain;
    const bool word = quoting == Quoting::kPlain && IsPlainWord(raw);
    found.value = *std::move(value);
    found.write = [quoting, word, flow](absl::string_view wanted) {
      return WriteScalar(wanted, quoting, word, flow);
    };
    found_.push_back(std::move(found));
  }

  void Pass(size_t begin, absl::string_view why) {
    if (Here()) found_.push_back(Irreplaceable(begin, EndOfLine(begin), why));
  }

  // The value at at_ of what stands at column `indent`, to the end of its last line.
  absl::Status Scalar(size_t indent) {
    const size_t begin = at_;
    const char c = At(at_);
    if (c == '|' || c == '>') {
      Pass(begin, "the value is a block of lines");
      NextLine();
      SkipDeeper(indent);
      return absl::OkStatus();
    }
    if (c == '&' || c == '!' || c == '*') {
      Pass(begin, "the value has an anchor, an alias or a tag");
      NextLine();
      return absl::OkStatus();
    }
    if (c == '{' || c == '[') {
      const bool here = Here();
      const size_t found_before = found_.size();
      if (absl::Status read = Flow(0); !read.ok()) return read;
      if (here) {
        found_.resize(found_before);
        found_.push_back(Irreplaceable(begin, at_, "it is a list or a mapping, not one value"));
      }
      NextLine();
      return absl::OkStatus();
    }
    if (c == '"' || c == '\'') {
      const size_t end = QuoteEnd(begin);
      if (end == absl::string_view::npos) return Malformed(text_, begin, "a quote is not closed");
      if (Here()) Add(begin, end, false);
      at_ = end;
      NextLine();
      return absl::OkStatus();
    }
    size_t end = EndOfLine(begin);
    const size_t comment = text_.substr(begin, end - begin).find(" #");
    if (comment != absl::string_view::npos) end = begin + comment;
    while (end > begin && absl::ascii_isspace(text_[end - 1])) --end;
    at_ = begin;
    NextLine();
    const bool more = SkipDeeper(indent);
    if (Here() && more) Pass(begin, "the value goes over several lines");
    if (Here() && !more) Add(begin, end, false);
    return absl::OkStatus();
  }

  // Lines that are indented further belong to the scalar before them. False when there are none.
  bool SkipDeeper(size_t indent) {
    bool any = false;
    while (at_ < text_.size()) {
      size_t place = at_;
      while (At(place) == ' ') ++place;
      const bool blank = At(place) == '\n' || At(place) == '\r';
      if (!blank && place - at_ <= indent) break;
      any = any || (!blank && At(place) != '#');
      NextLine();
    }
    return any;
  }

  void SkipFlowBlanks() {
    while (at_ < text_.size()) {
      if (absl::ascii_isspace(text_[at_])) {
        ++at_;
      } else if (text_[at_] == '#') {
        at_ = EndOfLine(at_);
      } else {
        return;
      }
    }
  }

  // A flow value: {...}, [...] or a scalar.
  absl::Status Flow(int nesting) {
    SkipFlowBlanks();
    if (nesting > kDeepest || at_ >= text_.size()) {
      return Malformed(text_, std::min(at_, text_.size()), "a bracket is not closed");
    }
    const char open = text_[at_];
    if (open != '{' && open != '[') {
      const size_t begin = at_;
      const size_t end = FlowScalarEnd(false);
      if (Here() && end > begin) Add(begin, end, true);
      if (Here() && end == begin) found_.push_back(Irreplaceable(begin, end, "it has no value"));
      return absl::OkStatus();
    }
    const char close = open == '{' ? '}' : ']';
    ++at_;
    for (size_t index = 0;; ++index) {
      SkipFlowBlanks();
      if (At(at_) == close && at_ < text_.size()) break;
      Entry entry{0, open == '[', absl::StrCat(index), index};
      if (open == '{') {
        const size_t begin = at_;
        const size_t end = FlowScalarEnd(true);
        auto name = KeyText(text_.substr(begin, end - begin));
        if (!name.ok()) return name.status();
        entry.part = *std::move(name);
        SkipFlowBlanks();
        if (At(at_) != ':') return Malformed(text_, at_, "expected ':'");
        ++at_;
      }
      stack_.push_back(std::move(entry));
      absl::Status read = Flow(nesting + 1);
      stack_.pop_back();
      if (!read.ok()) return read;
      SkipFlowBlanks();
      if (At(at_) == ',') {
        ++at_;
      } else if (At(at_) != close || at_ >= text_.size()) {
        return Malformed(text_, std::min(at_, text_.size()), "expected ',' or a closing bracket");
      }
    }
    ++at_;
    return absl::OkStatus();
  }

  // Moves behind the scalar at at_, and answers its end without blanks.
  size_t FlowScalarEnd(bool key) {
    const size_t begin = at_;
    if (At(at_) == '"' || At(at_) == '\'') {
      at_ = std::min(QuoteEnd(at_), text_.size());
      return at_;
    }
    while (at_ < text_.size() && text_.substr(at_, 1).find_first_of(",[]{}\n") != 0 &&
           !(key && text_[at_] == ':')) {
      if (text_[at_] == '#' && at_ > begin && text_[at_ - 1] == ' ') break;
      ++at_;
    }
    size_t end = at_;
    while (end > begin && absl::ascii_isspace(text_[end - 1])) --end;
    return end;
  }

  const absl::string_view text_;
  const KeyParts& key_;
  size_t at_ = 0;
  std::vector<Entry> stack_;
  // A key with nothing behind it was the last that was read, and it is the one sought.
  bool open_ = false;
  int open_indent_ = 0;
  size_t open_at_ = 0;
  std::vector<FoundValue> found_;
};

}  // namespace

absl::StatusOr<FoundValue> FindYaml(absl::string_view text, const KeyParts& key) {
  return YamlFinder(text, key).Find();
}

}  // namespace drover::agent
