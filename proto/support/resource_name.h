// Resource names: "collection/id". Thread promise: pure functions.
#pragma once

#include <string>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"

namespace drover {

// "vms", "web-01" -> "vms/web-01".
std::string ResourceName(absl::string_view collection, absl::string_view id);

// "vms/web-01" -> "web-01". INVALID_ARGUMENT naming `field` when it is not a name of `collection`.
absl::StatusOr<std::string> ResourceId(absl::string_view name, absl::string_view collection,
                                       absl::string_view field);

// The part after the last '/', "" for "". For names that were checked before.
absl::string_view IdOf(absl::string_view name);

// 1 to 63 lower-case letters, digits and '-', starting with a letter or digit, not ending with '-'.
bool IsValidId(absl::string_view id);

}  // namespace drover
