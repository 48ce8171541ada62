// Users and sessions as the store keeps them. Thread promise: as the transaction they are given.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "controller/core/ports.h"

namespace drover::core {

// NOT_FOUND, reason USER_NOT_FOUND.
absl::StatusOr<UserRecord> ReadUser(StoreReader& reader, absl::string_view id);
absl::Status WriteUser(StoreWriter& writer, const UserRecord& record);
absl::StatusOr<std::vector<UserRecord>> ReadAllUsers(StoreReader& reader);
// FAILED_PRECONDITION, reason LAST_SYSTEM_ADMINISTRATOR when there is no system administrator
// beside `id`.
absl::Status CheckOthersAdminister(StoreReader& reader, absl::string_view id);

// The language of the user with this mail address, "" without one.
absl::StatusOr<std::string> LanguageOfAddress(Store& store, absl::string_view address);

// Ends the user's sessions, but for the one with key `but`.
absl::Status EndSessions(StoreWriter& writer, absl::string_view user_id, absl::string_view but);
// Makes room for one more session of the user: ends those that expired, and the oldest when there
// are many.
absl::Status PruneSessions(StoreWriter& writer, absl::string_view user_id, absl::Time now);

}  // namespace drover::core
