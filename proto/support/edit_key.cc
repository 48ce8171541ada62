#include "proto/support/edit_key.h"

#include <algorithm>
#include <utility>

#include "absl/strings/str_cat.h"

namespace drover {
namespace {

using Edit = v1::Profile::Edit;

constexpr size_t kIniParts = 3;

// Takes the part in quotes that `key` begins with.
absl::StatusOr<std::string> TakeQuoted(absl::string_view& key) {
  std::string part;
  size_t at = 1;
  for (; at < key.size() && key[at] != '"'; ++at) {
    if (key[at] == '\\' && at + 1 < key.size()) ++at;
    part.push_back(key[at]);
  }
  if (at >= key.size()) return absl::InvalidArgumentError("a quote is not closed");
  key.remove_prefix(at + 1);
  return part;
}

}  // namespace

absl::StatusOr<std::vector<std::string>> ParseEditKey(Edit::Format format, absl::string_view key) {
  if (key.empty()) return absl::InvalidArgumentError("is required");
  if (format == Edit::FORMAT_UNSPECIFIED || !Edit::Format_IsValid(format)) {
    return absl::InvalidArgumentError("cannot be read without a format");
  }
  if (format == Edit::FORMAT_REGEX) return std::vector<std::string>{std::string(key)};
  const char separator = format == Edit::FORMAT_INI ? '/' : '.';
  std::vector<std::string> parts;
  for (;;) {
    std::string part;
    if (!key.empty() && key[0] == '"') {
      auto quoted = TakeQuoted(key);
      if (!quoted.ok()) return quoted.status();
      part = *std::move(quoted);
    } else {
      const size_t end = std::min(key.find(separator), key.size());
      part = std::string(key.substr(0, end));
      key.remove_prefix(end);
      if (part.empty()) return absl::InvalidArgumentError("has an empty part");
    }
    parts.push_back(std::move(part));
    if (key.empty()) break;
    if (key[0] != separator) {
      return absl::InvalidArgumentError(
          absl::StrCat("expected '", std::string(1, separator), "' after a quoted part"));
    }
    key.remove_prefix(1);
  }
  if (format == Edit::FORMAT_INI && parts.size() > kIniParts) {
    return absl::InvalidArgumentError("has more than section, option and name");
  }
  return parts;
}

}  // namespace drover
