// Events and the platform log: what happened, in order, hash-chained, searchable (LOG, DASH-5).
//
// Thread promise: all methods from any thread. Survives a restart: everything.
#pragma once

#include <functional>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "controller/core/ports.h"

namespace drover::core {

class EventLog {
 public:
  // Backups are written below `backup_directory`.
  EventLog(Store* store, Vault* vault, Clock* clock, std::string backup_directory);

  // Appends an event; one of severity ERROR is also an entry of kind ERROR in the platform log.
  // Then tells the listeners.
  absl::Status Record(drover::v1::Event event);
  // The same within a transaction of the caller's: appends through `writer` and sets the event's
  // number. When the transaction is durable the caller hands the events to Announce, which tells
  // the listeners.
  absl::Status RecordIn(StoreWriter& writer, drover::v1::Event* event);
  void Announce(const std::vector<drover::v1::Event>& events);
  // Called after an event is durable, in order.
  void OnEvent(std::function<void(const drover::v1::Event&)> listener);

  // Appends an entry; time, id and hash are set here.
  absl::Status Log(drover::v1::LogEntry entry);

  absl::StatusOr<drover::v1::SearchLogResponse> Search(const drover::v1::SearchLogRequest& request);
  absl::StatusOr<drover::v1::ListEventsResponse> ListEvents(
      const drover::v1::ListEventsRequest& request);
  absl::StatusOr<drover::v1::VerifyLogResponse> Verify();
  absl::StatusOr<drover::v1::LogBackup> BackUp(const drover::v1::BackUpLogRequest& request);
  absl::StatusOr<drover::v1::ListLogBackupsResponse> ListBackups(
      const drover::v1::ListLogBackupsRequest& request);
  absl::StatusOr<drover::v1::LogBackup> GetBackup(absl::string_view name);
  // Only entries that a backup holds whose file still has its checksum: else FAILED_PRECONDITION,
  // reason LOG_NOT_BACKED_UP.
  absl::StatusOr<drover::v1::DeleteLogResponse> Delete(const drover::v1::DeleteLogRequest& request);

 private:
  Store* const store_;
  Vault* const vault_;
  Clock* const clock_;
  const std::string backup_directory_;
};

}  // namespace drover::core
