// The parts of a profile edit's key (Profile.Edit.key), as the controller checks them and the agent
// follows them. Thread promise: pure functions.
#pragma once

#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "drover/v1/config.pb.h"

namespace drover {

// "a.b.0" -> {"a", "b", "0"}; for INI "section/option". A part in double quotes may hold the
// separator, with \" and \\ for the two themselves. A regular expression is one part, not looked
// at. INVALID_ARGUMENT says what is wrong with the key: an empty part, an open quote, more parts
// than the format has, or no format.
absl::StatusOr<std::vector<std::string>> ParseEditKey(v1::Profile::Edit::Format format,
                                                      absl::string_view key);

}  // namespace drover
