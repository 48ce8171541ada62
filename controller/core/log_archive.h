// Backups of the platform log, and the deletion of what they hold (LOG-3).
//
// Thread promise: all methods from any thread; backing up and deleting take turns. Survives a
// restart: backups and the records of them. A file without a record is of a backup that was cut
// off and may be removed.
#pragma once

#include <string>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/synchronization/mutex.h"
#include "controller/core/caller.h"
#include "controller/core/chained_log.h"
#include "controller/core/ports.h"

namespace drover::core {

class LogArchive {
 public:
  // `directory` holds the files.
  LogArchive(Store* store, Vault* vault, Clock* clock, ChainedLog* log, std::string directory);

  // FAILED_PRECONDITION, reason LOG_EMPTY when there are no entries before the time asked for.
  absl::StatusOr<drover::v1::LogBackup> BackUp(const drover::v1::BackUpLogRequest& request);
  // Newest first.
  absl::StatusOr<drover::v1::ListLogBackupsResponse> List(
      const drover::v1::ListLogBackupsRequest& request);
  // NOT_FOUND, reason LOG_BACKUP_NOT_FOUND.
  absl::StatusOr<drover::v1::LogBackup> Get(absl::string_view name);
  // FAILED_PRECONDITION, reasons LOG_NOT_BACKED_UP, LOG_NOT_INTACT: a log that was tampered with is
  // evidence and stays.
  absl::StatusOr<drover::v1::DeleteLogResponse> Delete(const drover::v1::DeleteLogRequest& request,
                                                       const Caller& caller);

 private:
  class Turn;
  absl::Status WriteFile(drover::v1::LogBackup* backup, const drover::v1::LogEntry& first,
                         const drover::v1::LogEntry& last);
  absl::StatusOr<std::vector<drover::v1::LogGap>> RunsBefore(absl::Time before, int64_t* entries);
  absl::Status CheckHeld(const std::vector<drover::v1::LogGap>& runs);

  Store* const store_;
  Vault* const vault_;
  Clock* const clock_;
  ChainedLog* const log_;
  const std::string directory_;
  absl::Mutex mutex_;
  bool busy_ ABSL_GUARDED_BY(mutex_) = false;
};

}  // namespace drover::core
