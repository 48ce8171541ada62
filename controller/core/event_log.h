// Events and the platform log: what happened, in order, hash-chained, searchable (LOG, DASH-5).
//
// Thread promise: all methods from any thread; OnEvent before others record. Listeners are called
// one event at a time, in the order of the events' numbers, by one of the recording threads,
// without locks held. Survives a restart: everything.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <string>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/synchronization/mutex.h"
#include "controller/core/caller.h"
#include "controller/core/chained_log.h"
#include "controller/core/log_archive.h"
#include "controller/core/ports.h"

namespace drover::core {

class EventLog {
 public:
  // Backups are written below `backup_directory`.
  EventLog(Store* store, Vault* vault, Clock* clock, std::string backup_directory);

  // Appends an event; one of severity ERROR is also an entry of kind ERROR in the platform log. An
  // event without a time happened now. Then tells the listeners.
  absl::Status Record(drover::v1::Event event);
  // The same within a transaction of the caller's: appends through `writer` and sets the event's
  // number. When the transaction is durable the caller hands the events to Announce, which tells
  // the listeners. (When it does not, the next Announce tells them.)
  absl::Status RecordIn(StoreWriter& writer, drover::v1::Event* event);
  void Announce(const std::vector<drover::v1::Event>& events);
  // Called within the transaction that appends an event, maybe more than once; what it writes and
  // its error are the transaction's. Before the first event.
  void OnRecord(std::function<absl::Status(StoreWriter&, const drover::v1::Event&)> follower);
  // Called after an event is durable, in order.
  void OnEvent(std::function<void(const drover::v1::Event&)> listener);

  // Appends an entry; time, id and hash are set here.
  absl::Status Log(drover::v1::LogEntry entry);
  // The same within a transaction of the caller's.
  absl::Status LogIn(StoreWriter& writer, drover::v1::LogEntry entry);

  // Pages are 100 long when the request does not say.
  absl::StatusOr<drover::v1::SearchLogResponse> Search(const drover::v1::SearchLogRequest& request);
  absl::StatusOr<drover::v1::ListEventsResponse> ListEvents(
      const drover::v1::ListEventsRequest& request);
  absl::StatusOr<drover::v1::VerifyLogResponse> Verify();
  // FAILED_PRECONDITION, reason LOG_EMPTY when there is nothing to back up.
  absl::StatusOr<drover::v1::LogBackup> BackUp(const drover::v1::BackUpLogRequest& request);
  absl::StatusOr<drover::v1::ListLogBackupsResponse> ListBackups(
      const drover::v1::ListLogBackupsRequest& request);
  // NOT_FOUND, reason LOG_BACKUP_NOT_FOUND.
  absl::StatusOr<drover::v1::LogBackup> GetBackup(absl::string_view name);
  // Only entries that a backup holds whose file still has its checksum: else FAILED_PRECONDITION,
  // reason LOG_NOT_BACKED_UP; reason LOG_NOT_INTACT when the log was tampered with. The entry about
  // it, in the name of `caller`, is never deleted.
  absl::StatusOr<drover::v1::DeleteLogResponse> Delete(const drover::v1::DeleteLogRequest& request,
                                                       const Caller& caller);

 private:
  // The event that is to be told next, when it is durable; false without one, or when another
  // thread tells.
  bool TakeNext(drover::v1::Event* event, bool* read) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  void ReadUntold();

  Store* const store_;
  Clock* const clock_;
  ChainedLog log_;
  LogArchive archive_;
  std::vector<std::function<absl::Status(StoreWriter&, const drover::v1::Event&)>> followers_;
  absl::Mutex mutex_;
  std::vector<std::function<void(const drover::v1::Event&)>> listeners_ ABSL_GUARDED_BY(mutex_);
  // All events up to this number were told; -1 before the first is recorded.
  int64_t told_ ABSL_GUARDED_BY(mutex_) = -1;
  // All events up to this number are durable.
  int64_t durable_ ABSL_GUARDED_BY(mutex_) = 0;
  bool telling_ ABSL_GUARDED_BY(mutex_) = false;
  // Durable events that were not told yet; not always all of them.
  std::map<int64_t, drover::v1::Event> untold_ ABSL_GUARDED_BY(mutex_);
};

}  // namespace drover::core
