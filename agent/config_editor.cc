#include "agent/config_editor.h"

#include <algorithm>
#include <utility>

#include "absl/strings/str_cat.h"
#include "agent/config_format.h"
#include "proto/support/edit_key.h"
#include "proto/support/status.h"

namespace drover::agent {
namespace {

using Edit = drover::v1::Profile::Edit;

absl::Status NotAUrl(absl::string_view what) {
  return MakeError(absl::StatusCode::kFailedPrecondition, "NOT_A_URL", what);
}

absl::StatusOr<FoundValue> FindValue(absl::string_view text, Edit::Format format,
                                     const KeyParts& key) {
  switch (format) {
    case Edit::FORMAT_INI:
      return FindIni(text, key);
    case Edit::FORMAT_PYTHON:
      return FindPython(text, key);
    case Edit::FORMAT_YAML:
      return FindYaml(text, key);
    case Edit::FORMAT_TOML:
      return FindToml(text, key);
    case Edit::FORMAT_JSON:
      return FindJson(text, key);
    case Edit::FORMAT_REGEX:
      return FindRegex(text, key[0]);
    default:
      return Unfit("the edit has a format that this agent does not know");
  }
}

// "host", "host:port", "[v6]:port" -> how long the host is; npos when it is neither.
size_t HostLength(absl::string_view place) {
  if (!place.empty() && place[0] == '[') {
    const size_t close = place.find(']');
    return close == absl::string_view::npos ? close : close + 1;
  }
  return std::min(place.find(':'), place.size());
}

}  // namespace

absl::StatusOr<std::string> ReplaceUrlHost(absl::string_view url, absl::string_view place) {
  const size_t scheme = url.find("://");
  if (scheme == absl::string_view::npos || scheme == 0) {
    return NotAUrl("the value that is there is not a URL");
  }
  const size_t host_length = HostLength(place);
  if (host_length == absl::string_view::npos || host_length == 0 ||
      place.find_first_of("/@?# \t\r\n,") != absl::string_view::npos) {
    return NotAUrl("the new value is not a host");
  }
  const size_t begin = scheme + 3;
  const size_t end = std::min(url.find_first_of("/?#", begin), url.size());
  const absl::string_view authority = url.substr(begin, end - begin);
  const size_t at = authority.rfind('@');
  const size_t user_end = at == absl::string_view::npos ? 0 : at + 1;
  const absl::string_view there = authority.substr(user_end);
  if (there.find(',') != absl::string_view::npos) {
    return NotAUrl("the URL that is there names several hosts");
  }
  const size_t there_host = HostLength(there);
  if (there_host == absl::string_view::npos) return NotAUrl("the URL that is there has no host");
  const absl::string_view port =
      host_length < place.size() ? place.substr(host_length) : there.substr(there_host);
  return absl::StrCat(url.substr(0, begin + user_end), place.substr(0, host_length), port,
                      url.substr(end));
}

absl::StatusOr<std::string> EditText(absl::string_view text, const Edit& edit) {
  auto key = ParseEditKey(edit.format(), edit.key());
  if (!key.ok()) {
    return MakeError(absl::StatusCode::kFailedPrecondition, "EDIT_KEY_BAD",
                     absl::StrCat("the key ", key.status().message()));
  }
  DROVER_ASSIGN_OR_RETURN(const FoundValue found, FindValue(text, edit.format(), *key));
  std::string wanted = edit.value();
  if (edit.url_host_only()) {
    // What cannot be replaced says so itself.
    if (found.value.empty()) DROVER_RETURN_IF_ERROR(found.write(wanted).status());
    DROVER_ASSIGN_OR_RETURN(wanted, ReplaceUrlHost(found.value, edit.value()));
  }
  DROVER_ASSIGN_OR_RETURN(const std::string written, found.write(wanted));
  if (found.value == wanted) return std::string(text);
  std::string edited = absl::StrCat(text.substr(0, found.begin), written, text.substr(found.end));
  const auto again = FindValue(edited, edit.format(), *key);
  if (!again.ok() || again->value != wanted) {
    return Unfit(absl::StrCat("the value cannot be written at line ", LineOf(text, found.begin),
                              " so that it is read as it is"));
  }
  return edited;
}

}  // namespace drover::agent
