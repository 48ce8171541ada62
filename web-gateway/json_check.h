// Reads JSON as strictly as RFC 8259 writes it, before protobuf's own reader, which takes more,
// gets it: one value, no duplicate keys, no unknown fields, UTF-8, at most 64 levels. It builds
// nothing, so that a body costs no more memory than it has bytes.
//
// Thread promise: a pure function.
#pragma once

#include <google/protobuf/descriptor.h>

#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"

namespace drover::gateway {

// Checks `json` as a value of `type`; null for a value whose fields nobody knows. INVALID_ARGUMENT
// with line and column where it is no JSON, or with a violation per field that the type has not.
//
// Answers the fields that are there as a field mask names them ("network.dns1"), in order: a field
// of an object within it by its own keys, everything else whole.
absl::StatusOr<std::vector<std::string>> CheckJson(absl::string_view json,
                                                   const google::protobuf::Descriptor* type);

// Whether JSON writes this message otherwise than as an object of its fields (times, masks, ...).
bool HasOwnJsonForm(const google::protobuf::Descriptor& type);

// The field a key of JSON means, in either spelling; null without one.
const google::protobuf::FieldDescriptor* FieldOfKey(const google::protobuf::Descriptor& type,
                                                    absl::string_view key);

}  // namespace drover::gateway
