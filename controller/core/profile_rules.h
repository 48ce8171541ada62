// What a configuration profile must look like, and the references in its values. Thread promise:
// pure functions.
#pragma once

#include <map>
#include <set>
#include <string>

#include "absl/strings/string_view.h"
#include "drover/v1/config.pb.h"
#include "proto/support/status.h"

namespace drover::core {

// Adds every problem of the profile to `violations`, fields below `path` ("profile").
void CheckProfile(const drover::v1::Profile& profile, absl::string_view path,
                  Violations& violations);

// The port a dependency is at: its own, else its protocol's; 0 when there is none.
int PortOf(const drover::v1::Profile::Dependency& dependency);

// Ids of the dependencies that `value` refers to by ${ID.ip} or ${ID.port}.
std::set<std::string> ReferencesIn(absl::string_view value);
// `value` with "db.ip" and the like replaced; each reference is there.
std::string FillReferences(absl::string_view value,
                           const std::map<std::string, std::string>& values);

}  // namespace drover::core
