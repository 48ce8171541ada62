#include "proto/support/grpc_status.h"

#include <string>

#include "proto/support/status.h"

namespace drover {

grpc::Status ToGrpcStatus(const absl::Status& status) {
  if (status.ok()) return grpc::Status::OK;
  return grpc::Status(static_cast<grpc::StatusCode>(status.code()), std::string(status.message()),
                      ToRpcStatus(status).SerializeAsString());
}

absl::Status FromGrpcStatus(const grpc::Status& status) {
  google::rpc::Status rpc;
  // Code and message of the details win nowhere: a proxy may have replaced the outer ones.
  if (status.error_details().empty() || !rpc.ParseFromString(status.error_details())) rpc.Clear();
  rpc.set_code(static_cast<int>(status.error_code()));
  rpc.set_message(status.error_message());
  return FromRpcStatus(rpc);
}

}  // namespace drover
