// TOML. toml++ says where a value is; what it says wrongly would be seen when the edit is read
// back.
#define TOML_EXCEPTIONS 0
#define TOML_HEADER_ONLY 1
#define TOML_ENABLE_FORMATTERS 0
#include <toml++/toml.h>

#include <algorithm>
#include <string>
#include <string_view>
#include <utility>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "agent/config_format.h"

namespace drover::agent {
namespace {

// Columns count code points.
size_t OffsetOf(absl::string_view text, const toml::source_position& place) {
  size_t at = 0;
  for (uint32_t line = 1; line < place.line; ++line) {
    const size_t end = text.find('\n', at);
    if (end == absl::string_view::npos) return text.size();
    at = end + 1;
  }
  if (at == 0 && text.substr(0, 3) == "\xEF\xBB\xBF") at = 3;
  for (uint32_t column = 1; column < place.column && at < text.size(); ++column) {
    ++at;
    while (at < text.size() && (static_cast<unsigned char>(text[at]) & 0xC0) == 0x80) ++at;
  }
  return at;
}

// Something that is no string, as TOML writes it.
bool IsBareValue(absl::string_view text) {
  if (text.find_first_of("\n\r#") != absl::string_view::npos) return false;
  const auto parsed = toml::parse(std::string("x = ") + std::string(text));
  if (!parsed) return false;
  const toml::node* node = parsed.table().get("x");
  return node != nullptr && node->is_value() && !node->is_string();
}

absl::StatusOr<std::string> WriteString(absl::string_view wanted, bool literal) {
  const bool plain =
      wanted.find_first_of(absl::string_view("'\n\r\t\0", 5)) == absl::string_view::npos;
  if (literal && plain) return absl::StrCat("'", wanted, "'");
  return DoubleQuoted(wanted);
}

}  // namespace

absl::StatusOr<FoundValue> FindToml(absl::string_view text, const KeyParts& key) {
  const toml::parse_result parsed = toml::parse(std::string_view(text.data(), text.size()));
  if (!parsed) {
    const toml::parse_error& error = parsed.error();
    return Malformed(text, OffsetOf(text, error.source().begin), std::string(error.description()));
  }
  const toml::node* node = &parsed.table();
  for (const std::string& part : key) {
    size_t index = 0;
    if (const toml::table* table = node->as_table(); table != nullptr) {
      node = table->get(part);
    } else if (const toml::array* array = node->as_array();
               array != nullptr && AsIndex(part, &index)) {
      node = array->get(index);
    } else {
      node = nullptr;
    }
    if (node == nullptr) return OnlyOne(text, {}, key);
  }
  FoundValue found;
  found.begin = OffsetOf(text, node->source().begin);
  found.end = OffsetOf(text, node->source().end);
  if (!node->is_value()) return Irreplaceable(found.begin, found.end, "it is not one value");
  const absl::string_view raw = text.substr(found.begin, found.end - found.begin);
  const bool string = node->is_string();
  const bool literal = absl::StartsWith(raw, "'");
  found.value = string ? node->as_string()->get() : std::string(raw);
  found.write = [string, literal](absl::string_view wanted) -> absl::StatusOr<std::string> {
    if (!string && IsBareValue(wanted)) return std::string(wanted);
    return WriteString(wanted, literal);
  };
  return found;
}

}  // namespace drover::agent
