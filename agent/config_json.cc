// JSON, as RFC 8259 has it.
#include <utility>

#include "agent/config_format.h"

namespace drover::agent {
namespace {

constexpr int kDeepest = 200;

class JsonFinder {
 public:
  JsonFinder(absl::string_view text, const KeyParts& key) : text_(text), key_(key) {
    if (text_.substr(0, 3) == "\xEF\xBB\xBF") at_ = 3;
  }

  absl::StatusOr<FoundValue> Find() {
    if (absl::Status read = Value(true, 0, 0); !read.ok()) return read;
    SkipBlanks();
    if (at_ < text_.size()) return Malformed(text_, at_, "something follows the document");
    return OnlyOne(text_, std::move(found_), key_);
  }

 private:
  void SkipBlanks() {
    while (at_ < text_.size() &&
           (text_[at_] == ' ' || text_[at_] == '\t' || text_[at_] == '\n' || text_[at_] == '\r')) {
      ++at_;
    }
  }
  bool Take(char c) {
    SkipBlanks();
    if (at_ >= text_.size() || text_[at_] != c) return false;
    ++at_;
    return true;
  }
  absl::Status Expected(absl::string_view what) { return Malformed(text_, at_, what); }

  // `on_path`: what was read up to here are the first `depth` parts of the key.
  absl::Status Value(bool on_path, size_t depth, int nesting) {
    SkipBlanks();
    if (nesting > kDeepest) return Expected("nested too deeply");
    if (at_ >= text_.size()) return Expected("a value is missing");
    const bool here = on_path && depth == key_.size();
    const size_t begin = at_;
    const char c = text_[at_];
    if (c == '{' || c == '[') {
      absl::Status read = c == '{' ? Object(on_path && !here, depth, nesting)
                                   : Array(on_path && !here, depth, nesting);
      if (read.ok() && here) {
        found_.push_back(Irreplaceable(begin, at_, "it is a list or an object, not one value"));
      }
      return read;
    }
    if (c == '"') {
      auto value = String();
      if (!value.ok()) return value.status();
      if (here) Add(begin, *std::move(value), true);
      return absl::OkStatus();
    }
    at_ = std::min(text_.find_first_of(",]} \t\r\n", at_), text_.size());
    const absl::string_view word = text_.substr(begin, at_ - begin);
    if (!IsWord(word)) return Malformed(text_, begin, "not a JSON value");
    if (here) Add(begin, std::string(word), false);
    return absl::OkStatus();
  }

  static bool IsWord(absl::string_view word) {
    return word == "true" || word == "false" || word == "null" || IsNumber(word);
  }

  void Add(size_t begin, std::string value, bool string) {
    FoundValue found;
    found.begin = begin;
    found.end = at_;
    found.value = std::move(value);
    found.write = [string](absl::string_view wanted) -> absl::StatusOr<std::string> {
      if (!string && IsWord(wanted)) return std::string(wanted);
      return DoubleQuoted(wanted);
    };
    found_.push_back(std::move(found));
  }

  absl::StatusOr<std::string> String() {
    const size_t begin = ++at_;
    while (at_ < text_.size() && text_[at_] != '"') {
      if (static_cast<unsigned char>(text_[at_]) < 0x20) return Expected("a string has no end");
      at_ += text_[at_] == '\\' ? 2 : 1;
    }
    if (at_ >= text_.size()) return Malformed(text_, begin, "a string has no end");
    ++at_;
    return UnescapeCommon(text_.substr(begin, at_ - 1 - begin));
  }

  absl::Status Object(bool on_path, size_t depth, int nesting) {
    ++at_;
    if (Take('}')) return absl::OkStatus();
    do {
      SkipBlanks();
      if (at_ >= text_.size() || text_[at_] != '"') return Expected("expected a key in quotes");
      auto name = String();
      if (!name.ok()) return name.status();
      if (!Take(':')) return Expected("expected ':'");
      absl::Status read = Value(on_path && *name == key_[depth], depth + 1, nesting + 1);
      if (!read.ok()) return read;
    } while (Take(','));
    return Take('}') ? absl::OkStatus() : Expected("expected ',' or '}'");
  }

  absl::Status Array(bool on_path, size_t depth, int nesting) {
    ++at_;
    size_t wanted = 0;
    const bool by_number = on_path && AsIndex(key_[depth], &wanted);
    if (Take(']')) return absl::OkStatus();
    size_t index = 0;
    do {
      absl::Status read = Value(by_number && index == wanted, depth + 1, nesting + 1);
      if (!read.ok()) return read;
      ++index;
    } while (Take(','));
    return Take(']') ? absl::OkStatus() : Expected("expected ',' or ']'");
  }

  const absl::string_view text_;
  const KeyParts& key_;
  size_t at_ = 0;
  std::vector<FoundValue> found_;
};

}  // namespace

absl::StatusOr<FoundValue> FindJson(absl::string_view text, const KeyParts& key) {
  return JsonFinder(text, key).Find();
}

}  // namespace drover::agent
