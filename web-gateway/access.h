// Who may make a call, for the one thing the gateway decides itself: whom it lets share a watch
// that is open already. Everything else is the controller's decision.
//
// Thread promise: a pure function.
#pragma once

#include <google/protobuf/descriptor.h>

#include "absl/status/status.h"
#include "drover/v1/people.pb.h"

namespace drover::gateway {

// As the controller would answer this user: PERMISSION_DENIED, reasons ROLE_NOT_SUFFICIENT and
// PASSWORD_CHANGE_REQUIRED.
absl::Status MayCall(const drover::v1::User& user,
                     const google::protobuf::MethodDescriptor& method);

}  // namespace drover::gateway
