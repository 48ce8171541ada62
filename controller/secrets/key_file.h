// The key file: the one secret of the controller that is not in its store.
//
// Thread promise: pure functions over the file system. Text format: "drover-key-1 " and 64 hex
// digits, one line.
#pragma once

#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"

namespace drover::secrets {

// The 32 bytes of the key. NOT_FOUND when there is no file; FAILED_PRECONDITION, reason
// UNSAFE_PERMISSIONS when somebody else owns it or its mode is wider than 0600, reason
// KEY_FILE_DAMAGED when it is not a key file.
absl::StatusOr<std::string> ReadKeyFile(const std::string& path);

// Makes one with a new random key, mode 0600, durable when it returns; folders above it are made
// with mode 0700. ALREADY_EXISTS when there is a file: a key is never replaced.
absl::Status CreateKeyFile(const std::string& path);

}  // namespace drover::secrets
