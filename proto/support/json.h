// Messages as JSON the way every face shows them: lowerCamelCase names, 64-bit integers as strings,
// enums by name, times as RFC 3339, fields with their zero value written. Thread promise: pure
// functions.
#pragma once

#include <google/protobuf/message.h>

#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"

namespace drover {

// INTERNAL when the message holds an Any of a type that this program does not know, or text that is
// not UTF-8.
absl::StatusOr<std::string> ToJson(const google::protobuf::Message& message, bool pretty = false);

// Strict: an unknown field or a value of the wrong kind is INVALID_ARGUMENT that says which. Both
// spellings of a name are taken.
absl::Status FromJson(absl::string_view json, google::protobuf::Message* message);

// Clears every field with the `secret` option, at any depth.
void ClearSecrets(google::protobuf::Message* message);

}  // namespace drover
