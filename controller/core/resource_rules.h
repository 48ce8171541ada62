// What a resource must look like to be kept, and how an update changes it. Thread promise: pure
// functions.
#pragma once

#include "absl/status/status.h"
#include "absl/strings/string_view.h"
#include "drover/v1/inventory.pb.h"
#include "google/protobuf/field_mask.pb.h"
#include "google/protobuf/message.h"
#include "proto/support/status.h"

namespace drover::core {

// Adds every problem of the resource to `violations`, fields below `path` ("type").
void CheckHypervisor(const drover::v1::Hypervisor& hypervisor, absl::string_view path,
                     Violations& violations);
void CheckType(const drover::v1::VmType& type, absl::string_view path, Violations& violations);

// Copies the fields that `mask` names from `wanted` to `current`. An empty mask means the fields
// that are set in `wanted`, "*" all that a caller may set. INVALID_ARGUMENT naming update_mask for
// a path that does not exist, is set by the server or only at creation.
absl::Status ApplyUpdate(const google::protobuf::Message& wanted,
                         const google::protobuf::FieldMask& mask,
                         google::protobuf::Message& current);

// NOT_FOUND with this reason: there is no WHAT ("type") of this resource name.
absl::Status NoResource(absl::string_view reason, absl::string_view what, absl::string_view name);

}  // namespace drover::core
