// absl::Status <-> grpc::Status with all details ("grpc-status-details-bin"). Thread promise: pure
// functions.
#pragma once

#include <grpcpp/support/status.h>

#include "absl/status/status.h"

namespace drover {

grpc::Status ToGrpcStatus(const absl::Status& status);
absl::Status FromGrpcStatus(const grpc::Status& status);

}  // namespace drover
