#include "controller/store/sqlite_store.h"

#include <algorithm>
#include <utility>

#include "absl/strings/str_cat.h"
#include "controller/store/migrations.h"
#include "controller/store/queries.h"
#include "proto/support/status.h"

namespace drover::store {
namespace {

constexpr int kReaders = 4;
constexpr size_t kBatch = 256;
// Each waits five seconds in SQLite's busy handler first.
constexpr int kBusyAttempts = 3;

// The store this thread runs a body of; a body that calls the store again would wait for itself.
thread_local const void* t_busy_with = nullptr;

class BodyRunning {
 public:
  explicit BodyRunning(const void* store) { t_busy_with = store; }
  ~BodyRunning() { t_busy_with = nullptr; }
};

absl::Status NotFromABody(const void* store) {
  if (t_busy_with != store) return absl::OkStatus();
  return absl::InternalError("a body of a store transaction called the store");
}

}  // namespace

absl::StatusOr<std::unique_ptr<SqliteStore>> SqliteStore::Open(const std::string& directory,
                                                               const core::Clock& clock) {
  DROVER_RETURN_IF_ERROR(MakePrivateDirectory(directory));
  std::unique_ptr<SqliteStore> store(new SqliteStore());
  DROVER_RETURN_IF_ERROR(store->lock_.Take(absl::StrCat(directory, "/drover.lock")));
  const std::string path = absl::StrCat(directory, "/drover.db");
  // SQLite gives -wal and -shm the mode of the database.
  DROVER_RETURN_IF_ERROR(MakePrivateFile(path));
  DROVER_ASSIGN_OR_RETURN(store->writer_, Connection::Open(path, Access::kReadWrite));
  DROVER_RETURN_IF_ERROR(store->writer_->Execute("PRAGMA journal_mode = WAL"));
  DROVER_RETURN_IF_ERROR(store->writer_->Execute("PRAGMA journal_size_limit = 67108864"));
  absl::Status migrated =
      Migrate(*store->writer_, Schema(), absl::StrCat(directory, "/backups"), clock.Now());
  if (!migrated.ok()) return Annotate(migrated, path);
  DROVER_RETURN_IF_ERROR(SyncFile(path));
  for (int i = 0; i < kReaders; ++i) {
    DROVER_ASSIGN_OR_RETURN(std::unique_ptr<Connection> reader,
                            Connection::Open(path, Access::kReadOnly));
    store->GiveReader(std::move(reader));
  }
  return store;
}

// ---------------------------------------------------------------- writing

absl::Status SqliteStore::Write(Body body) {
  DROVER_RETURN_IF_ERROR(NotFromABody(this));
  Waiting mine(body);
  std::vector<Waiting*> batch;
  {
    absl::MutexLock lock(&mutex_);
    queue_.push_back(&mine);
    while (!mine.done && queue_.front() != &mine) mine.turn.Wait(&mutex_);
    if (mine.done) return mine.status;
    batch.assign(queue_.begin(), queue_.begin() + std::min(kBatch, queue_.size()));
  }
  RunBatch(batch);
  absl::MutexLock lock(&mutex_);
  queue_.erase(queue_.begin(), queue_.begin() + batch.size());
  for (Waiting* waiting : batch) {
    waiting->done = true;
    if (waiting != &mine) waiting->turn.Signal();
  }
  if (!queue_.empty()) queue_.front()->turn.Signal();
  return mine.status;
}

void SqliteStore::RunBatch(const std::vector<Waiting*>& batch) {
  BodyRunning running(this);
  if (batch.size() > 1 && RunTogether(batch).ok()) return;
  // One at a time, each gets the answer that is its own.
  for (Waiting* waiting : batch) waiting->status = RunAlone(waiting->body);
}

absl::Status SqliteStore::Begin() {
  for (int attempt = 1;; ++attempt) {
    absl::Status status = writer_->Execute("BEGIN IMMEDIATE");
    if (status.ok() || attempt == kBusyAttempts || !HasReason(status, "STORE_BUSY")) return status;
  }
}

absl::Status SqliteStore::RunTogether(const std::vector<Waiting*>& batch) {
  DROVER_RETURN_IF_ERROR(Begin());
  absl::Status status;
  for (Waiting* waiting : batch) {
    status = writer_->Execute("SAVEPOINT body");
    if (!status.ok()) break;
    Transaction transaction(writer_.get());
    waiting->status = waiting->body(transaction);
    if (!writer_->InTransaction()) return absl::AbortedError("SQLite ended the transaction");
    if (!waiting->status.ok()) status = writer_->Execute("ROLLBACK TO body");
    if (status.ok()) status = writer_->Execute("RELEASE body");
    if (!status.ok()) break;
  }
  if (status.ok()) status = writer_->Execute("COMMIT");
  if (!status.ok() && writer_->InTransaction()) (void)writer_->Execute("ROLLBACK");
  return status;
}

absl::Status SqliteStore::RunAlone(Body body) {
  DROVER_RETURN_IF_ERROR(Begin());
  Transaction transaction(writer_.get());
  absl::Status status = body(transaction);
  if (status.ok()) status = writer_->Execute("COMMIT");
  if (!status.ok() && writer_->InTransaction()) (void)writer_->Execute("ROLLBACK");
  return status;
}

// ---------------------------------------------------------------- reading

std::unique_ptr<Connection> SqliteStore::TakeReader() {
  absl::MutexLock lock(&mutex_);
  auto available = [this]() ABSL_NO_THREAD_SAFETY_ANALYSIS { return !readers_.empty(); };
  mutex_.Await(absl::Condition(&available));
  std::unique_ptr<Connection> reader = std::move(readers_.back());
  readers_.pop_back();
  return reader;
}

void SqliteStore::GiveReader(std::unique_ptr<Connection> reader) {
  absl::MutexLock lock(&mutex_);
  readers_.push_back(std::move(reader));
}

absl::Status SqliteStore::InReader(absl::FunctionRef<absl::Status(Connection&)> body) {
  DROVER_RETURN_IF_ERROR(NotFromABody(this));
  std::unique_ptr<Connection> reader = TakeReader();
  absl::Status status = reader->Execute("BEGIN");
  if (status.ok()) {
    BodyRunning running(this);
    status = body(*reader);
    if (reader->InTransaction()) (void)reader->Execute("ROLLBACK");
  }
  GiveReader(std::move(reader));
  return status;
}

absl::Status SqliteStore::Read(absl::FunctionRef<absl::Status(core::StoreReader&)> body) {
  return InReader([&](Connection& connection) {
    Transaction transaction(&connection);
    return body(transaction);
  });
}

absl::StatusOr<std::vector<drover::v1::LogEntry>> SqliteStore::SearchLog(
    const drover::v1::SearchLogRequest& request, int limit) {
  absl::StatusOr<std::vector<drover::v1::LogEntry>> found;
  DROVER_RETURN_IF_ERROR(InReader([&](Connection& connection) {
    found = store::SearchLog(connection, request, limit);
    return found.status();
  }));
  return found;
}

absl::StatusOr<std::vector<drover::v1::Event>> SqliteStore::ListEvents(
    const drover::v1::ListEventsRequest& request, int limit) {
  absl::StatusOr<std::vector<drover::v1::Event>> found;
  DROVER_RETURN_IF_ERROR(InReader([&](Connection& connection) {
    found = store::ListEvents(connection, request, limit);
    return found.status();
  }));
  return found;
}

absl::StatusOr<std::vector<drover::v1::LogEntry>> SqliteStore::ReadLog(int64_t after_id,
                                                                       int limit) {
  absl::StatusOr<std::vector<drover::v1::LogEntry>> found;
  DROVER_RETURN_IF_ERROR(InReader([&](Connection& connection) {
    found = store::ReadLog(connection, after_id, limit);
    return found.status();
  }));
  return found;
}

absl::StatusOr<std::vector<drover::v1::Event>> SqliteStore::ReadEvents(int64_t after_sequence,
                                                                       int limit) {
  absl::StatusOr<std::vector<drover::v1::Event>> found;
  DROVER_RETURN_IF_ERROR(InReader([&](Connection& connection) {
    found = store::ReadEvents(connection, after_sequence, limit);
    return found.status();
  }));
  return found;
}

}  // namespace drover::store
