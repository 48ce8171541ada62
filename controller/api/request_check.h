// The one check of every request, by the options of its fields: required, shape, minimum, maximum,
// resource, immutable; known enum values, real timestamps, lists that are not endless. A handler
// behind it checks only what the contract cannot say.
//
// Thread promise: pure function.
#pragma once

#include "absl/status/status.h"
#include "google/protobuf/message.h"

namespace drover::api {

// Longest list a request may hold.
inline constexpr int kMaxListLength = 1000;

// First clears what only the server sets (output_only), then answers all violations at once, each
// with the field's path ("document.groups[2].type").
//
// An update (a request with a FieldMask update_mask) changes the fields of its mask: only those
// must be there, and none of them may be immutable or output-only. An empty mask is filled with the
// fields that are set, so that handlers see one case only.
//
// Texts of secret fields are never quoted.
absl::Status CheckRequest(google::protobuf::Message* request);

}  // namespace drover::api
