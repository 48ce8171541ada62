// A backup of the platform log as a file: JSON lines, first a header with the range and both ends
// of the hash chain, then one entry a line. Mode 0600; it appears under its name whole or not at
// all, and is on the disk when Finish returns.
//
// Thread promise: a writer is used by one thread.
#pragma once

#include <cstdint>
#include <memory>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "controller/core/ports.h"

namespace drover::core {

class LogBackupFile {
 public:
  // Begins <directory>/<name>. The folder is made with mode 0700 when it is not there. UNAVAILABLE,
  // reason BACKUP_NOT_WRITTEN; RESOURCE_EXHAUSTED, reason NO_SPACE; both name the path.
  static absl::StatusOr<std::unique_ptr<LogBackupFile>> Begin(const std::string& directory,
                                                              const std::string& name,
                                                              Vault& vault);
  // An unfinished file is removed.
  ~LogBackupFile();
  LogBackupFile(const LogBackupFile&) = delete;
  LogBackupFile& operator=(const LogBackupFile&) = delete;

  // One line; `json` is without line ends.
  absl::Status AddLine(absl::string_view json);
  // Fills path, bytes and sha256.
  absl::Status Finish(drover::v1::LogBackup* backup);

 private:
  LogBackupFile(std::string directory, std::string path, int file, std::unique_ptr<Digest> digest);
  absl::Status Flush();

  const std::string directory_;
  const std::string path_;
  const std::string draft_;
  int file_;
  std::unique_ptr<Digest> digest_;
  std::string buffer_;
  int64_t bytes_ = 0;
};

// OK when the file has the size and the checksum it was written with. FAILED_PRECONDITION, reason
// LOG_BACKUP_DAMAGED otherwise, or when it is not there.
absl::Status CheckLogBackup(const drover::v1::LogBackup& backup, Vault& vault);

}  // namespace drover::core
