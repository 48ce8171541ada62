// Files and folders that only the account of the controller may read. Thread promise: pure
// functions over the file system.
#pragma once

#include <string>

#include "absl/status/status.h"

namespace drover::store {

// Makes the folder and those above it, mode 0700. FAILED_PRECONDITION, reason
// UNSAFE_PERMISSIONS when it is there and others may enter it.
absl::Status MakePrivateDirectory(const std::string& path);

// Makes an empty file of mode 0600, or narrows the mode of the one that is there.
absl::Status MakePrivateFile(const std::string& path);

// Returns when its contents and its name are on the disk.
absl::Status SyncFile(const std::string& path);

// Holds `path` locked for this process until it is destroyed.
class ProcessLock {
 public:
  ProcessLock() = default;
  ~ProcessLock();
  ProcessLock(const ProcessLock&) = delete;
  ProcessLock& operator=(const ProcessLock&) = delete;
  // FAILED_PRECONDITION, reason STORE_IN_USE when another process has it.
  absl::Status Take(const std::string& path);

 private:
  int file_ = -1;
};

}  // namespace drover::store
