#include "controller/core/profile_rules.h"

#include <re2/re2.h>

#include <algorithm>

#include "absl/strings/str_cat.h"
#include "proto/support/edit_key.h"
#include "proto/support/resource_name.h"

namespace drover::core {
namespace {

using drover::v1::Profile;
using Edit = Profile::Edit;

constexpr size_t kLongestText = 4096;

const RE2& Reference() {
  static const RE2* const kReference = new RE2(R"(\$\{([a-z0-9-]+)\.(ip|port)\})");
  return *kReference;
}

bool HasControl(absl::string_view text) {
  return std::any_of(text.begin(), text.end(),
                     [](char c) { return static_cast<unsigned char>(c) < 0x20 && c != '\t'; });
}

void CheckValue(const Edit& edit, const std::string& path,
                const std::map<std::string, int>& dependencies, Violations& violations) {
  if (edit.value().size() > kLongestText || HasControl(edit.value())) {
    violations.Add(path, "must be one line of at most 4096 bytes");
  }
  for (const std::string& id : ReferencesIn(edit.value())) {
    if (dependencies.contains(id)) continue;
    violations.Add(path, absl::StrCat("\"", id, "\" is not a dependency of the profile"));
  }
  std::string rest = edit.value();
  for (const auto& [id, port] : dependencies) {
    if (port == 0 && rest.find(absl::StrCat("${", id, ".port}")) != std::string::npos) {
      violations.Add(path, absl::StrCat("dependency \"", id, "\" has no port; give it one"));
    }
  }
  RE2::GlobalReplace(&rest, Reference(), "");
  if (rest.find("${") != std::string::npos) {
    violations.Add(path, "has a \"${\" that is neither ${ID.ip} nor ${ID.port}");
  }
}

void CheckRegex(const Edit& edit, const std::string& path, Violations& violations) {
  RE2::Options options;
  options.set_log_errors(false);
  const RE2 expression(edit.key(), options);
  if (!expression.ok()) {
    violations.Add(path, absl::StrCat("is no regular expression: ", expression.error()));
  } else if (expression.NumberOfCapturingGroups() != 1) {
    violations.Add(path, absl::StrCat("must have one group, which is replaced; it has ",
                                      expression.NumberOfCapturingGroups()));
  }
}

void CheckEdit(const Edit& edit, const std::string& path,
               const std::map<std::string, int>& dependencies, Violations& violations) {
  if (edit.file().empty()) violations.Add(path + ".file", "is required");
  if (edit.format() == Edit::FORMAT_UNSPECIFIED || !Edit::Format_IsValid(edit.format())) {
    violations.Add(path + ".format", "is required");
  } else if (const auto key = ParseEditKey(edit.format(), edit.key()); !key.ok()) {
    violations.Add(path + ".key", key.status().message());
  } else if (HasControl(edit.key())) {
    violations.Add(path + ".key", "has control characters");
  } else if (edit.format() == Edit::FORMAT_REGEX) {
    CheckRegex(edit, path + ".key", violations);
  }
  CheckValue(edit, path + ".value", dependencies, violations);
  if (edit.validate_command().find('\0') != std::string::npos) {
    violations.Add(path + ".validate_command", "has a zero byte");
  }
}

std::map<std::string, int> CheckDependencies(const Profile& profile, absl::string_view path,
                                             Violations& violations) {
  std::map<std::string, int> ports;
  for (int i = 0; i < profile.dependencies_size(); ++i) {
    const Profile::Dependency& dependency = profile.dependencies(i);
    const std::string at = absl::StrCat(path, ".dependencies[", i, "]");
    if (!IsValidId(dependency.id())) violations.Add(at + ".id", "is required");
    if (dependency.protocol() == Profile::PROTOCOL_UNSPECIFIED ||
        !Profile::Protocol_IsValid(dependency.protocol())) {
      violations.Add(at + ".protocol", "is required");
    } else if (PortOf(dependency) == 0) {
      violations.Add(at + ".port", "is required for this protocol");
    }
    if (!ports.emplace(dependency.id(), PortOf(dependency)).second) {
      violations.Add(at + ".id", absl::StrCat("\"", dependency.id(), "\" is there twice"));
    }
  }
  return ports;
}

}  // namespace

int PortOf(const Profile::Dependency& dependency) {
  if (dependency.port() > 0) return dependency.port();
  switch (dependency.protocol()) {
    case Profile::PROTOCOL_MONGO:
      return 27017;
    case Profile::PROTOCOL_MYSQL:
      return 3306;
    case Profile::PROTOCOL_NFS:
      return 2049;
    case Profile::PROTOCOL_RABBITMQ:
      return 5672;
    case Profile::PROTOCOL_REDIS:
      return 6379;
    case Profile::PROTOCOL_HTTP:
      return 80;
    default:
      return 0;
  }
}

void CheckProfile(const Profile& profile, absl::string_view path, Violations& violations) {
  const std::map<std::string, int> dependencies = CheckDependencies(profile, path, violations);
  if (profile.roles().empty()) {
    violations.Add(absl::StrCat(path, ".roles"), "give at least one role");
  }
  std::set<std::string> roles;
  for (int i = 0; i < profile.roles_size(); ++i) {
    const Profile::ProfileRole& role = profile.roles(i);
    const std::string at = absl::StrCat(path, ".roles[", i, "]");
    if (!IsValidId(role.role())) violations.Add(at + ".role", "is required");
    if (!roles.insert(role.role()).second) {
      violations.Add(at + ".role", absl::StrCat("\"", role.role(), "\" is there twice"));
    }
    if (role.edits().empty()) violations.Add(at + ".edits", "give at least one edit");
    for (int j = 0; j < role.edits_size(); ++j) {
      CheckEdit(role.edits(j), absl::StrCat(at, ".edits[", j, "]"), dependencies, violations);
    }
    for (int j = 0; j < role.restart_services_size(); ++j) {
      if (IsValidId(role.restart_services(j))) continue;
      violations.Add(absl::StrCat(at, ".restart_services[", j, "]"),
                     absl::StrCat("\"", role.restart_services(j), "\" is no name of a service"));
    }
  }
}

std::set<std::string> ReferencesIn(absl::string_view value) {
  std::set<std::string> ids;
  re2::StringPiece rest(value.data(), value.size());
  std::string id;
  while (RE2::FindAndConsume(&rest, Reference(), &id)) ids.insert(id);
  return ids;
}

std::string FillReferences(absl::string_view value,
                           const std::map<std::string, std::string>& values) {
  std::string out;
  re2::StringPiece rest(value.data(), value.size());
  re2::StringPiece match[3];
  while (Reference().Match(rest, 0, rest.size(), RE2::UNANCHORED, match, 3)) {
    out.append(rest.data(), static_cast<size_t>(match[0].data() - rest.data()));
    const auto found = values.find(absl::StrCat(std::string(match[1]), ".", std::string(match[2])));
    // Checked on the way in; what it refers to is never left out silently.
    out += found == values.end() ? std::string(match[0]) : found->second;
    rest.remove_prefix(static_cast<size_t>(match[0].data() - rest.data()) + match[0].size());
  }
  out.append(rest.data(), rest.size());
  return out;
}

}  // namespace drover::core
