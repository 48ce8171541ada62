// The Store port over SQLite.
//
// One connection writes, a few read. Writers queue; the first of the queue runs the bodies of all
// that wait in one transaction, each in a savepoint of its own, and one fsync makes all of them
// durable: many small writes cost little more than one. A body that fails takes nothing of the
// others with it.
//
// Thread promise: all methods from any thread; they block. Survives a restart: everything that a
// Write returned OK for, kill -9 and loss of power included.
#pragma once

#include <deque>
#include <memory>
#include <string>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/synchronization/mutex.h"
#include "controller/core/ports.h"
#include "controller/store/private_file.h"
#include "controller/store/sqlite.h"
#include "controller/store/transaction.h"

namespace drover::store {

class SqliteStore : public core::Store {
 public:
  // Opens the store in `directory` (made with mode 0700 when it is not there): drover.db, its -wal
  // and -shm, drover.lock, and backups/ for copies made before the schema changes. Errors beside
  // those of core::Store: FAILED_PRECONDITION, reasons STORE_IN_USE, UNSAFE_PERMISSIONS,
  // STORE_TOO_NEW, STORE_ALTERED, NOT_A_STORE.
  static absl::StatusOr<std::unique_ptr<SqliteStore>> Open(const std::string& directory,
                                                           const core::Clock& clock);

  absl::Status Write(absl::FunctionRef<absl::Status(core::StoreWriter&)> body) override;
  absl::Status Read(absl::FunctionRef<absl::Status(core::StoreReader&)> body) override;
  absl::StatusOr<std::vector<drover::v1::LogEntry>> SearchLog(
      const drover::v1::SearchLogRequest& request, int limit) override;
  absl::StatusOr<std::vector<drover::v1::Event>> ListEvents(
      const drover::v1::ListEventsRequest& request, int limit) override;
  absl::StatusOr<std::vector<drover::v1::LogEntry>> ReadLog(int64_t after_id, int limit) override;
  absl::StatusOr<std::vector<drover::v1::Event>> ReadEvents(int64_t after_sequence,
                                                            int limit) override;

 private:
  using Body = absl::FunctionRef<absl::Status(core::StoreWriter&)>;
  // One caller of Write, on its stack.
  struct Waiting {
    explicit Waiting(Body body) : body(body) {}
    const Body body;
    absl::Status status;
    bool done = false;
    absl::CondVar turn;
  };

  SqliteStore() = default;
  void RunBatch(const std::vector<Waiting*>& batch);
  absl::Status RunTogether(const std::vector<Waiting*>& batch);
  absl::Status RunAlone(Body body);
  absl::Status Begin();
  absl::Status InReader(absl::FunctionRef<absl::Status(Connection&)> body);
  std::unique_ptr<Connection> TakeReader();
  void GiveReader(std::unique_ptr<Connection> reader);

  ProcessLock lock_;
  // Used by the caller at the front of queue_ alone.
  std::unique_ptr<Connection> writer_;
  absl::Mutex mutex_;
  std::deque<Waiting*> queue_ ABSL_GUARDED_BY(mutex_);
  std::vector<std::unique_ptr<Connection>> readers_ ABSL_GUARDED_BY(mutex_);
};

}  // namespace drover::store
