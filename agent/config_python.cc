// Assignments in Python source.
#include <algorithm>
#include <set>
#include <utility>

#include "absl/strings/match.h"
#include "agent/config_format.h"
#include "agent/python_tokens.h"

namespace drover::agent {
namespace {

using TokenKind = PythonToken::Kind;

bool IsBareWord(absl::string_view word) {
  static const auto* const kWords = new std::set<std::string>{"True", "False", "None"};
  return kWords->count(std::string(word)) > 0 || IsNumber(word);
}

// Tokens [first, last) of the source.
struct Span {
  size_t first = 0;
  size_t last = 0;
  bool empty() const { return first >= last; }
};

class PythonFinder {
 public:
  PythonFinder(absl::string_view text, const KeyParts& key, const PythonSource& source)
      : text_(text), key_(key), tokens_(source.tokens), lines_(source.lines) {}

  absl::StatusOr<FoundValue> Find() {
    for (const PythonLine& line : lines_) Line(line);
    return OnlyOne(text_, std::move(found_), key_);
  }

 private:
  struct Block {
    int indent = 0;
    // Of a class; "" for if, try and the like.
    std::string class_name;
    bool function = false;
  };

  absl::string_view Text(size_t token) const {
    return text_.substr(tokens_[token].begin, tokens_[token].end - tokens_[token].begin);
  }
  bool Is(size_t token, absl::string_view text) const {
    return tokens_[token].kind != TokenKind::kString && Text(token) == text;
  }

  void Line(const PythonLine& line) {
    while (!blocks_.empty() && blocks_.back().indent >= line.indent) blocks_.pop_back();
    Span rest = {line.first, line.last};
    // A header, maybe with its block in the same line.
    static const auto* const kHeaders =
        new std::set<std::string>{"class", "def",   "async", "if",     "elif",    "else",
                                  "for",   "while", "try",   "except", "finally", "with"};
    const bool header = kHeaders->count(std::string(Text(rest.first))) > 0;
    const bool opens = Is(rest.last - 1, ":") && tokens_[rest.last - 1].depth == 0;
    if (header || opens) {
      blocks_.push_back(BlockOf(line));
      rest.first = EndOfHeader(rest);
    }
    if (std::any_of(blocks_.begin(), blocks_.end(), [](const Block& b) { return b.function; })) {
      return;
    }
    while (!rest.empty()) {
      size_t end = rest.first;
      while (end < rest.last && !(tokens_[end].depth == 0 && Is(end, ";"))) ++end;
      Statement({rest.first, end});
      rest.first = end + 1;
    }
  }

  Block BlockOf(const PythonLine& line) const {
    Block block;
    block.indent = line.indent;
    const absl::string_view word = Text(line.first);
    const absl::string_view next = line.first + 1 < line.last ? Text(line.first + 1) : "";
    block.function = word == "def" || (word == "async" && next == "def");
    if (word == "class") block.class_name = std::string(next);
    return block;
  }

  // Behind the ':' of a header. A lambda's ':' before it would only hide an assignment.
  size_t EndOfHeader(const Span& line) const {
    for (size_t i = line.first; i < line.last; ++i) {
      if (tokens_[i].depth == 0 && Is(i, ":")) return i + 1;
    }
    return line.last;
  }

  void Statement(const Span& statement) {
    std::vector<size_t> equals;
    for (size_t i = statement.first; i < statement.last; ++i) {
      if (tokens_[i].depth > 0 || tokens_[i].kind != TokenKind::kOperator) continue;
      if (Is(i, "=")) {
        equals.push_back(i);
      } else if (i > statement.first && Text(i).size() == 2 && Text(i)[1] == '=' &&
                 absl::string_view("+-*/%&|^@").find(Text(i)[0]) != absl::string_view::npos) {
        return Changed({statement.first, i});
      }
    }
    size_t first = statement.first;
    for (size_t i = 0; i < equals.size(); ++i) {
      KeyParts target;
      if (Target({first, equals[i]}, &target) && IsPrefix(target)) {
        if (equals.size() > 1) {
          found_.push_back(Irreplaceable(tokens_[first].begin, tokens_[first].end,
                                         "it is assigned together with other names"));
        } else {
          Value({equals[i] + 1, statement.last}, target.size());
        }
      }
      first = equals[i] + 1;
    }
  }

  // NAME += ... makes another value of it.
  void Changed(const Span& span) {
    KeyParts target;
    if (!Target(span, &target) || !IsPrefix(target)) return;
    found_.push_back(Irreplaceable(tokens_[span.first].begin, tokens_[span.first].end,
                                   "it is made by an assignment like +="));
  }

  bool IsPrefix(const KeyParts& target) const {
    return target.size() <= key_.size() && std::equal(target.begin(), target.end(), key_.begin());
  }

  // NAME, NAME.attribute, NAME["key"][0], each maybe with ": type" after it; with the classes
  // around it.
  bool Target(const Span& span, KeyParts* target) const {
    for (const Block& block : blocks_) {
      if (!block.class_name.empty()) target->push_back(block.class_name);
    }
    if (span.empty() || tokens_[span.first].kind != TokenKind::kName) return false;
    target->push_back(std::string(Text(span.first)));
    size_t i = span.first + 1;
    while (i < span.last && !Is(i, ":")) {
      if (Is(i, ".") && i + 1 < span.last && tokens_[i + 1].kind == TokenKind::kName) {
        target->push_back(std::string(Text(i + 1)));
        i += 2;
      } else if (Is(i, "[") && i + 2 < span.last && Is(i + 2, "]")) {
        std::string part;
        if (!KeyOf(i + 1, &part)) return false;
        target->push_back(std::move(part));
        i += 3;
      } else {
        return false;
      }
    }
    return true;
  }

  bool KeyOf(size_t token, std::string* key) const {
    if (tokens_[token].kind == TokenKind::kNumber) {
      *key = std::string(Text(token));
      return true;
    }
    if (tokens_[token].kind != TokenKind::kString) return false;
    const auto read = ReadPythonString(Text(token));
    if (!read.ok()) return false;
    *key = read->value;
    return true;
  }

  // Brackets of one kind around all of the span.
  bool Within(const Span& span, char open) const {
    if (span.last < span.first + 2) return false;
    const int depth = tokens_[span.first].depth;
    if (!Is(span.first, absl::string_view(&open, 1))) return false;
    for (size_t i = span.first + 1; i < span.last; ++i) {
      if (tokens_[i].depth == depth) return i + 1 == span.last;
    }
    return false;
  }

  // The parts of what is between the brackets, by commas.
  std::vector<Span> Items(const Span& span) const {
    const int depth = tokens_[span.first].depth + 1;
    std::vector<Span> items;
    Span item = {span.first + 1, span.first + 1};
    for (size_t i = span.first + 1; i < span.last; ++i) {
      const bool end = i + 1 == span.last;
      if (!end && !(tokens_[i].depth == depth && Is(i, ","))) continue;
      item.last = i;
      if (!item.empty()) items.push_back(item);
      item.first = i + 1;
    }
    return items;
  }

  void Value(const Span& span, size_t depth) {
    if (span.empty()) return;
    if (depth == key_.size()) return Here(span);
    if (Within(span, '{')) return Dictionary(span, ":", depth);
    if (Is(span.first, "dict") && Within({span.first + 1, span.last}, '(')) {
      return Dictionary({span.first + 1, span.last}, "=", depth);
    }
    const bool list = Within(span, '[');
    if (list || Within(span, '(')) {
      const std::vector<Span> items = Items(span);
      const bool tuple = list || items.size() > 1 || Is(span.last - 2, ",");
      if (!tuple) return Value({span.first + 1, span.last - 1}, depth);
      size_t index = 0;
      if (AsIndex(key_[depth], &index) && index < items.size()) Value(items[index], depth + 1);
      return;
    }
    found_.push_back(Irreplaceable(
        tokens_[span.first].begin, tokens_[span.last - 1].end,
        "the part of the key above it is an expression, no dictionary or list written out"));
  }

  void Dictionary(const Span& span, absl::string_view colon, size_t depth) {
    for (const Span& item : Items(span)) {
      if (item.last < item.first + 3 || !Is(item.first + 1, colon)) continue;
      std::string key;
      if (colon == "=") {
        key = std::string(Text(item.first));
      } else if (!KeyOf(item.first, &key)) {
        continue;
      }
      if (key == key_[depth]) Value({item.first + 2, item.last}, depth + 1);
    }
  }

  void Here(const Span& span) {
    if (Within(span, '(')) {
      const std::vector<Span> items = Items(span);
      if (items.size() == 1 && !Is(span.last - 2, ",")) return Here(items[0]);
    }
    FoundValue found;
    found.begin = tokens_[span.first].begin;
    found.end = tokens_[span.last - 1].end;
    const absl::string_view raw = text_.substr(found.begin, found.end - found.begin);
    const bool one = span.last == span.first + 1;
    if (one && tokens_[span.first].kind == TokenKind::kString) {
      auto read = ReadPythonString(raw);
      if (!read.ok()) {
        found_.push_back(Irreplaceable(found.begin, found.end, read.status().message()));
        return;
      }
      found.value = read->value;
      found.write = [like = *std::move(read)](absl::string_view wanted) {
        return WritePythonString(wanted, like);
      };
      found_.push_back(std::move(found));
      return;
    }
    const bool number = tokens_[span.last - 1].kind == TokenKind::kNumber &&
                        (one || (span.last == span.first + 2 && Is(span.first, "-")));
    if (!number && !(one && IsBareWord(raw))) {
      found_.push_back(
          Irreplaceable(found.begin, found.end, "it is an expression, not one value written out"));
      return;
    }
    found.value = std::string(raw);
    found.write = [](absl::string_view wanted) -> absl::StatusOr<std::string> {
      if (IsBareWord(wanted)) return std::string(wanted);
      return WritePythonString(wanted, {"", "\"", ""});
    };
    found_.push_back(std::move(found));
  }

  const absl::string_view text_;
  const KeyParts& key_;
  const std::vector<PythonToken>& tokens_;
  const std::vector<PythonLine>& lines_;
  std::vector<Block> blocks_;
  std::vector<FoundValue> found_;
};

}  // namespace

absl::StatusOr<FoundValue> FindPython(absl::string_view text, const KeyParts& key) {
  const auto source = ReadPython(text);
  if (!source.ok()) return source.status();
  return PythonFinder(text, key, *source).Find();
}

}  // namespace drover::agent
