// People: users, their roles and passwords, and their sessions (USER).
//
// A session's token is 256 random bits; the store keeps its SHA-256 only. A session ends when it is
// not used for a while, at a certain age in any case, and when its user's password or role changes.
//
// Thread promise: all methods from any thread. Survives a restart: users and sessions; counts of
// failed attempts do not.
#pragma once

#include <functional>
#include <optional>
#include <string>

#include "absl/base/thread_annotations.h"
#include "absl/functional/function_ref.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/synchronization/mutex.h"
#include "absl/time/time.h"
#include "controller/core/caller.h"
#include "controller/core/login_throttle.h"
#include "controller/core/ports.h"

namespace drover::core {

struct SessionPolicy {
  // Ends when it was not used for so long,
  absl::Duration idle = absl::Hours(12);
  // and when it is so old.
  absl::Duration longest = absl::Hours(24 * 7);
};

class People {
 public:
  People(Store* store, Vault* vault, Clock* clock, SessionPolicy policy = {});

  // Before anything else. When nobody ever signed in, makes the system administrator "admin" with a
  // one-time password, and answers it for main to print; a start later, when still nobody did,
  // makes a new password, so that one that was never read locks nobody out.
  absl::StatusOr<std::optional<std::string>> Start();

  // UNAUTHENTICATED, reason LOGIN_FAILED: the same answer after the same work for a wrong name and
  // a wrong password. RESOURCE_EXHAUSTED, reason LOGIN_SLOWED_DOWN.
  absl::StatusOr<drover::v1::Session> Login(const drover::v1::LoginRequest& request,
                                            absl::string_view client_address);
  // UNAUTHENTICATED, reason SESSION_EXPIRED for a token that is unknown or has expired. Using a
  // session keeps it alive.
  absl::StatusOr<Caller> Authenticate(absl::string_view token, absl::string_view client_address);
  // Ends the caller's session.
  absl::Status Logout(const Caller& caller);

  absl::StatusOr<drover::v1::User> GetSelf(const Caller& caller);
  // Ends the caller's other sessions. FAILED_PRECONDITION, reason WRONG_PASSWORD;
  // RESOURCE_EXHAUSTED, reason LOGIN_SLOWED_DOWN.
  absl::Status ChangePassword(const Caller& caller,
                              const drover::v1::ChangePasswordRequest& request);

  // In the order of their ids. Passwords are never answered.
  absl::StatusOr<drover::v1::ListUsersResponse> ListUsers(
      const drover::v1::ListUsersRequest& request);
  // NOT_FOUND, reason USER_NOT_FOUND, as all below.
  absl::StatusOr<drover::v1::User> GetUser(absl::string_view name);
  // ALREADY_EXISTS, reason USER_EXISTS.
  absl::StatusOr<drover::v1::User> CreateUser(const drover::v1::CreateUserRequest& request);
  // Without a mask: the fields that are set. FAILED_PRECONDITION, reason LAST_SYSTEM_ADMINISTRATOR.
  absl::StatusOr<drover::v1::User> UpdateUser(const Caller& caller,
                                              const drover::v1::UpdateUserRequest& request);
  // FAILED_PRECONDITION, reason LAST_SYSTEM_ADMINISTRATOR.
  absl::Status DeleteUser(const drover::v1::DeleteUserRequest& request);

 private:
  absl::StatusOr<std::string> DecoyHash();
  absl::Status CheckPassword(absl::string_view user, absl::string_view password,
                             absl::string_view client_address, const UserRecord* record,
                             const absl::Status& wrong);
  absl::StatusOr<drover::v1::Session> OpenSession(const UserRecord& checked,
                                                  absl::string_view client_address);
  void KeepAlive(absl::string_view session_key, absl::Time now);

  Store* const store_;
  Vault* const vault_;
  Clock* const clock_;
  const SessionPolicy policy_;
  LoginThrottle throttle_;
  absl::Mutex mutex_;
  // What the password of somebody who does not exist is compared with.
  std::string decoy_ ABSL_GUARDED_BY(mutex_);
};

}  // namespace drover::core
