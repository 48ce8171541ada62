#include "web-gateway/json_check.h"

#include <set>
#include <utility>

#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/strip.h"
#include "proto/support/status.h"
#include "proto/support/utf8.h"

namespace drover::gateway {
namespace {

using google::protobuf::Descriptor;
using google::protobuf::FieldDescriptor;

constexpr int kMostLevels = 64;
// Enough to see what is wrong; a hostile body gets no long answer.
constexpr size_t kMostViolations = 20;

void AppendUtf8(unsigned point, std::string* out) {
  if (point < 0x80) {
    out->push_back(static_cast<char>(point));
  } else if (point < 0x800) {
    out->push_back(static_cast<char>(0xC0 | point >> 6));
    out->push_back(static_cast<char>(0x80 | (point & 0x3F)));
  } else if (point < 0x10000) {
    out->push_back(static_cast<char>(0xE0 | point >> 12));
    out->push_back(static_cast<char>(0x80 | (point >> 6 & 0x3F)));
    out->push_back(static_cast<char>(0x80 | (point & 0x3F)));
  } else {
    out->push_back(static_cast<char>(0xF0 | point >> 18));
    out->push_back(static_cast<char>(0x80 | (point >> 12 & 0x3F)));
    out->push_back(static_cast<char>(0x80 | (point >> 6 & 0x3F)));
    out->push_back(static_cast<char>(0x80 | (point & 0x3F)));
  }
}

// What a value stands for.
struct Place {
  // The fields of an object here; null when nobody knows them.
  const Descriptor* type = nullptr;
  // The keys of an object are free, each value is a `type`.
  bool map = false;
  // As a person reads it: "network.dns1", "services[2].name".
  std::string shown;
  // As a mask names it; only where `masked`.
  std::string mask;
  bool masked = false;
};

class Checker {
 public:
  explicit Checker(absl::string_view json) : json_(json) {}

  absl::Status Check(const Descriptor* type) {
    if (!IsUtf8(json_)) return absl::InvalidArgumentError("the JSON is not UTF-8");
    Place root;
    root.type = type;
    root.masked = true;
    SkipBlanks();
    if (type != nullptr && Peek() != '{') return Fail("an object \"{...}\" is expected");
    DROVER_RETURN_IF_ERROR(Value(root, 0));
    SkipBlanks();
    if (at_ != json_.size()) return Fail("there is more after the value");
    return violations_.ToStatus();
  }
  std::vector<std::string> TakeMask() { return std::move(mask_); }

 private:
  char Peek() const { return at_ < json_.size() ? json_[at_] : '\0'; }
  bool Take(char c) {
    if (at_ >= json_.size() || json_[at_] != c) return false;
    ++at_;
    return true;
  }
  void SkipBlanks() {
    while (at_ < json_.size() && absl::StrContains(" \t\r\n", json_[at_])) ++at_;
  }
  absl::Status Fail(absl::string_view problem) const {
    size_t line = 1;
    size_t column = 1;
    for (const char c : json_.substr(0, at_)) {
      column = c == '\n' ? 1 : column + 1;
      line += c == '\n' ? 1 : 0;
    }
    return absl::InvalidArgumentError(
        absl::StrCat("not JSON, line ", line, " column ", column, ": ", problem));
  }

  absl::Status Value(const Place& place, int level) {
    if (level > kMostLevels) return Fail("too many levels");
    switch (Peek()) {
      case '{':
        return Object(place, level);
      case '[':
        return Array(place, level);
      case '"': {
        std::string text;
        return String(&text);
      }
      case 't':
        return Word("true");
      case 'f':
        return Word("false");
      case 'n':
        return Word("null");
      default:
        return Number();
    }
  }
  absl::Status Word(absl::string_view word) {
    if (!absl::StartsWith(json_.substr(at_), word)) return Fail("a value is expected");
    at_ += word.size();
    return absl::OkStatus();
  }

  bool Digits() {
    const size_t begin = at_;
    while (absl::ascii_isdigit(Peek())) ++at_;
    return at_ > begin;
  }
  absl::Status Number() {
    const size_t begin = at_;
    Take('-');
    const bool zero = Peek() == '0';
    const size_t digits = at_;
    if (!Digits()) {
      at_ = begin;
      return Fail("a value is expected");
    }
    if (zero && at_ > digits + 1) return Fail("a number does not begin with 0");
    if (Take('.') && !Digits()) return Fail("digits are expected");
    if (Take('e') || Take('E')) {
      if (!Take('+')) Take('-');
      if (!Digits()) return Fail("digits are expected");
    }
    return absl::OkStatus();
  }

  bool Hex4(unsigned* value) {
    *value = 0;
    for (int i = 0; i < 4; ++i) {
      const char c = absl::ascii_tolower(Peek());
      if (!absl::ascii_isxdigit(c)) return false;
      *value = *value * 16 + (absl::ascii_isdigit(c) ? c - '0' : c - 'a' + 10);
      ++at_;
    }
    return true;
  }
  absl::Status Escape(std::string* text) {
    const char c = Peek();
    ++at_;
    static constexpr absl::string_view kFrom = "\"\\/bfnrt";
    static constexpr absl::string_view kTo = "\"\\/\b\f\n\r\t";
    if (const size_t found = kFrom.find(c); c != '\0' && found != kFrom.npos) {
      text->push_back(kTo[found]);
      return absl::OkStatus();
    }
    unsigned point = 0;
    if (c != 'u' || !Hex4(&point)) return Fail("an escape is wrong");
    if (point >= 0xDC00 && point <= 0xDFFF) return Fail("half of a surrogate pair");
    if (point >= 0xD800 && point <= 0xDBFF) {
      unsigned low = 0;
      if (!Take('\\') || !Take('u') || !Hex4(&low) || low < 0xDC00 || low > 0xDFFF) {
        return Fail("half of a surrogate pair");
      }
      point = 0x10000 + ((point - 0xD800) << 10) + (low - 0xDC00);
    }
    AppendUtf8(point, text);
    return absl::OkStatus();
  }
  absl::Status String(std::string* text) {
    Take('"');
    while (at_ < json_.size()) {
      const char c = json_[at_++];
      if (c == '"') return absl::OkStatus();
      if (static_cast<unsigned char>(c) < 0x20) {
        --at_;
        return Fail("a control character within a text");
      }
      if (c != '\\') {
        text->push_back(c);
        continue;
      }
      DROVER_RETURN_IF_ERROR(Escape(text));
    }
    return Fail("'\"' is missing");
  }

  absl::Status Array(const Place& place, int level) {
    Take('[');
    SkipBlanks();
    if (Take(']')) return absl::OkStatus();
    Place element;
    element.type = place.type;
    for (int i = 0;; ++i) {
      element.shown = absl::StrCat(place.shown, "[", i, "]");
      SkipBlanks();
      DROVER_RETURN_IF_ERROR(Value(element, level + 1));
      SkipBlanks();
      if (Take(']')) return absl::OkStatus();
      if (!Take(',')) return Fail("',' or ']' is expected");
    }
  }

  // Where the value of `key` belongs.
  Place PlaceOf(const Place& object, const std::string& key) {
    Place place;
    place.shown = object.shown.empty() ? key : absl::StrCat(object.shown, ".", key);
    if (object.map) {
      place.type = object.type;
      return place;
    }
    if (object.type == nullptr) return place;
    const FieldDescriptor* field = FieldOfKey(*object.type, key);
    if (field == nullptr) {
      if (++unknown_ <= kMostViolations) violations_.Add(place.shown, "is no field here");
      return place;
    }
    const FieldDescriptor* value = field;
    if (field->is_map()) {
      place.map = true;
      value = field->message_type()->map_value();
    }
    if (value->message_type() != nullptr && !HasOwnJsonForm(*value->message_type())) {
      place.type = value->message_type();
    }
    if (object.masked) {
      place.mask =
          object.mask.empty() ? field->name() : absl::StrCat(object.mask, ".", field->name());
      place.masked = place.type != nullptr && !field->is_repeated();
    }
    return place;
  }

  absl::Status Object(const Place& place, int level) {
    Take('{');
    SkipBlanks();
    if (Take('}')) {
      if (place.masked && !place.mask.empty()) mask_.push_back(place.mask);
      return absl::OkStatus();
    }
    std::set<std::string> keys;
    for (;;) {
      SkipBlanks();
      if (Peek() != '"') return Fail("a key in quotes is expected");
      std::string key;
      DROVER_RETURN_IF_ERROR(String(&key));
      SkipBlanks();
      if (!Take(':')) return Fail("':' is expected");
      SkipBlanks();
      const Place inner = PlaceOf(place, key);
      // Both spellings of a name are the same field.
      if (!keys.insert(inner.mask.empty() ? key : inner.mask).second) {
        return InvalidField(inner.shown, "is there twice");
      }
      const bool whole = !inner.masked || Peek() != '{';
      if (place.masked && whole && !inner.mask.empty()) mask_.push_back(inner.mask);
      DROVER_RETURN_IF_ERROR(Value(inner, level + 1));
      SkipBlanks();
      if (Take('}')) return absl::OkStatus();
      if (!Take(',')) return Fail("',' or '}' is expected");
    }
  }

  const absl::string_view json_;
  size_t at_ = 0;
  size_t unknown_ = 0;
  Violations violations_;
  std::vector<std::string> mask_;
};

}  // namespace

bool HasOwnJsonForm(const Descriptor& type) {
  static const auto* const names = new std::set<std::string>{
      "google.protobuf.Any",         "google.protobuf.Timestamp",   "google.protobuf.Duration",
      "google.protobuf.FieldMask",   "google.protobuf.Struct",      "google.protobuf.Value",
      "google.protobuf.ListValue",   "google.protobuf.BoolValue",   "google.protobuf.StringValue",
      "google.protobuf.BytesValue",  "google.protobuf.Int32Value",  "google.protobuf.UInt32Value",
      "google.protobuf.Int64Value",  "google.protobuf.UInt64Value", "google.protobuf.FloatValue",
      "google.protobuf.DoubleValue",
  };
  return names->contains(type.full_name());
}

const FieldDescriptor* FieldOfKey(const Descriptor& type, absl::string_view key) {
  const std::string name(key);
  if (const FieldDescriptor* field = type.FindFieldByName(name)) return field;
  for (int i = 0; i < type.field_count(); ++i) {
    if (type.field(i)->json_name() == name) return type.field(i);
  }
  return nullptr;
}

absl::StatusOr<std::vector<std::string>> CheckJson(absl::string_view json, const Descriptor* type) {
  Checker checker(json);
  DROVER_RETURN_IF_ERROR(checker.Check(type));
  return checker.TakeMask();
}

}  // namespace drover::gateway
