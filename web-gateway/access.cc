#include "web-gateway/access.h"

#include "proto/support/contract.h"
#include "proto/support/status.h"

namespace drover::gateway {

absl::Status MayCall(const drover::v1::User& user,
                     const google::protobuf::MethodDescriptor& method) {
  const v1::Access access = RuleOf(method).access();
  const bool system = user.role() == v1::ROLE_SYSTEM_ADMINISTRATOR;
  const bool administrator = system || user.role() == v1::ROLE_ADMINISTRATOR;
  const bool may = access == v1::ACCESS_ANYONE || access == v1::ACCESS_SIGNED_IN ||
                   (access == v1::ACCESS_ADMINISTRATOR && administrator) ||
                   (access == v1::ACCESS_SYSTEM_ADMINISTRATOR && system);
  if (!may) {
    return MakeError(absl::StatusCode::kPermissionDenied, "ROLE_NOT_SUFFICIENT",
                     "your role does not allow this");
  }
  if (user.must_change_password() && access > v1::ACCESS_SIGNED_IN) {
    return MakeError(absl::StatusCode::kPermissionDenied, "PASSWORD_CHANGE_REQUIRED",
                     "your password was set by somebody else: change it first");
  }
  return absl::OkStatus();
}

}  // namespace drover::gateway
