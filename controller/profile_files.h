// The configuration profiles that came with Drover: TOML files of one folder, as `drover profile
// add -f` takes them. A table's key is a field's name, a list of tables is named in the singular.
//
// Thread promise: pure but for reading the files.
#pragma once

#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "drover/v1/config.pb.h"

namespace drover {

// INVALID_ARGUMENT, one line per problem: "dns.toml:3: ...". Names are "profiles/x".
absl::StatusOr<std::vector<v1::Profile>> ParseProfiles(absl::string_view text,
                                                       absl::string_view file_name);

// Of all *.toml in the folder, checked as a user's profile is. NOT_FOUND when there is no folder.
absl::StatusOr<std::vector<v1::Profile>> ReadProfiles(const std::string& directory);

// The folder to use: `configured`, else the one of the installation, else the one of the source
// this was built from.
std::string ProfilesFolder(const std::string& configured);

}  // namespace drover
