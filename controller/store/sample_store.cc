#include "controller/store/sample_store.h"

#include <stdio.h>

#include <algorithm>
#include <map>

#include "absl/strings/str_cat.h"
#include "controller/store/private_file.h"
#include "proto/support/log.h"
#include "proto/support/status.h"

namespace drover::store {
namespace {

using core::UsagePoint;

constexpr absl::Duration kFlushEvery = absl::Seconds(1);
constexpr absl::Duration kThinEvery = absl::Hours(1);
// A guest's clock may be ahead of ours by this much.
constexpr int64_t kFuture = 60;
constexpr size_t kUnsavedAtMost = 16 << 20;
// VMs whose rows are thinned in one transaction.
constexpr size_t kThinAtOnce = 100;

// Seconds that a row of each tier spans.
constexpr int64_t kSlots[core::kSampleTiers] = {1800, 4 * 3600, 86400};

constexpr char kSchema[] = R"sql(
CREATE TABLE IF NOT EXISTS series (id INTEGER PRIMARY KEY, uid TEXT NOT NULL UNIQUE);
CREATE TABLE IF NOT EXISTS rows (
  series BIGINT NOT NULL, tier BIGINT NOT NULL, slot BIGINT NOT NULL, body BLOB NOT NULL,
  PRIMARY KEY (series, tier, slot)) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS journal (id INTEGER PRIMARY KEY, body BLOB NOT NULL);
)sql";

int64_t SlotOf(int64_t time, int tier) { return time - time % kSlots[tier]; }
int64_t AgeOf(int tier) { return absl::ToInt64Seconds(core::TierOf(tier).age); }

// Journal: for each series its number, the length of its points, the points.
void AppendJournal(int64_t series, absl::string_view points, std::string& body) {
  AppendNumber(static_cast<uint64_t>(series), body);
  AppendNumber(points.size(), body);
  absl::StrAppend(&body, points);
}

class Transaction {
 public:
  explicit Transaction(Connection* connection) : connection_(connection) {}
  ~Transaction() {
    if (open_) connection_->Execute("ROLLBACK").IgnoreError();
  }
  absl::Status Begin() {
    DROVER_RETURN_IF_ERROR(connection_->Execute("BEGIN IMMEDIATE"));
    open_ = true;
    return absl::OkStatus();
  }
  absl::Status Commit() {
    DROVER_RETURN_IF_ERROR(connection_->Execute("COMMIT"));
    open_ = false;
    return absl::OkStatus();
  }

 private:
  Connection* const connection_;
  bool open_ = false;
};

}  // namespace

// ---------------------------------------------------------------- opening

absl::StatusOr<std::unique_ptr<SqliteSampleStore>> SqliteSampleStore::Open(
    const std::string& directory, core::Clock* clock) {
  const std::string path = absl::StrCat(directory, "/samples.db");
  DROVER_RETURN_IF_ERROR(MakePrivateDirectory(directory));
  DROVER_RETURN_IF_ERROR(MakePrivateFile(path));
  std::unique_ptr<SqliteSampleStore> store(new SqliteSampleStore(path, clock));
  absl::Status opened = store->OpenFile();
  if (absl::IsDataLoss(opened)) {
    // Charts of the past are not worth that nothing starts.
    LogError("samples are begun anew; what was is in ", path, ".damaged: ", opened.message());
    store.reset(new SqliteSampleStore(path, clock));
    for (const char* end : {"", "-wal", "-shm"}) {
      (void)rename(absl::StrCat(path, end).c_str(), absl::StrCat(path, ".damaged", end).c_str());
    }
    DROVER_RETURN_IF_ERROR(MakePrivateFile(path));
    opened = store->OpenFile();
  }
  DROVER_RETURN_IF_ERROR(opened);
  return store;
}

absl::Status SqliteSampleStore::OpenFile() {
  {
    absl::MutexLock lock(&write_mutex_);
    DROVER_ASSIGN_OR_RETURN(writer_, Connection::Open(path_, Access::kReadWrite));
    DROVER_RETURN_IF_ERROR(writer_->Execute("PRAGMA page_size = 8192"));
    DROVER_RETURN_IF_ERROR(writer_->Execute("PRAGMA journal_mode = WAL"));
    // Kept through the end of the process; the end of power may take the last moments.
    DROVER_RETURN_IF_ERROR(writer_->Execute("PRAGMA synchronous = NORMAL"));
    DROVER_RETURN_IF_ERROR(writer_->Execute("PRAGMA journal_size_limit = 16777216"));
    DROVER_RETURN_IF_ERROR(writer_->Execute(kSchema));
    absl::MutexLock read_lock(&read_mutex_);
    DROVER_ASSIGN_OR_RETURN(reader_, Connection::Open(path_, Access::kReadOnly));
  }
  return Load();
}

absl::Status SqliteSampleStore::Load() {
  absl::MutexLock write_lock(&write_mutex_);
  std::map<int64_t, std::string> uids;
  {
    DROVER_ASSIGN_OR_RETURN(Statement all, writer_->Prepare("SELECT id, uid FROM series"));
    for (;;) {
      DROVER_ASSIGN_OR_RETURN(const bool row, all.Step());
      if (!row) break;
      uids[all.Int(0)] = std::string(all.Bytes(1));
    }
  }
  absl::MutexLock lock(&mutex_);
  for (const auto& [id, uid] : uids) {
    series_[uid].id = id;
    series_[uid].named = true;
    last_id_ = std::max(last_id_, id);
  }
  DROVER_ASSIGN_OR_RETURN(Statement journal,
                          writer_->Prepare("SELECT body FROM journal ORDER BY id"));
  for (;;) {
    DROVER_ASSIGN_OR_RETURN(const bool row, journal.Step());
    if (!row) break;
    absl::string_view body = journal.Bytes(0);
    uint64_t id, size;
    while (TakeNumber(body, id) && TakeNumber(body, size) && size <= body.size()) {
      std::vector<UsagePoint> points;
      DecodePoints(body.substr(0, size), points);
      body.remove_prefix(size);
      const auto uid = uids.find(static_cast<int64_t>(id));
      if (uid == uids.end()) continue;
      Series& series = series_[uid->second];
      for (const UsagePoint& point : points) Take(series, point);
    }
  }
  // They are in the journal already.
  for (auto& [uid, series] : series_) {
    series.fresh.clear();
    series.fresh_state = {};
  }
  return absl::OkStatus();
}

// ---------------------------------------------------------------- adding

SqliteSampleStore::Series& SqliteSampleStore::SeriesOf(absl::string_view vm_uid) {
  const auto [found, made] = series_.try_emplace(vm_uid);
  if (made) found->second.id = ++last_id_;
  return found->second;
}

void SqliteSampleStore::Take(Series& series, const UsagePoint& point) {
  const int64_t slot = SlotOf(point.time, 0);
  if (series.open.row.empty()) series.open.slot = slot;
  if (slot > series.open.slot) {
    series.closed.push_back(std::exchange(series.open, {}));
    series.open.slot = slot;
  }
  if (slot == series.open.slot) {
    AppendPoint(point, series.open.state, series.open.row);
  } else {
    // Came late.
    auto late = std::find_if(series.closed.begin(), series.closed.end(),
                             [slot](const OpenRow& row) { return row.slot == slot; });
    if (late == series.closed.end()) {
      series.closed.push_back({slot, {}, ""});
      late = series.closed.end() - 1;
    }
    AppendPoint(point, late->state, late->row);
  }
  AppendPoint(point, series.fresh_state, series.fresh);
}

void SqliteSampleStore::Add(absl::string_view vm_uid, const std::vector<UsagePoint>& samples) {
  const int64_t now = absl::ToUnixSeconds(clock_->Now());
  absl::MutexLock lock(&mutex_);
  for (const UsagePoint& sample : samples) {
    if (sample.time > now + kFuture || sample.time < now - AgeOf(0)) continue;
    Take(SeriesOf(vm_uid), sample);
  }
}

// ---------------------------------------------------------------- writing

absl::Status SqliteSampleStore::PutRow(int64_t series, int tier, int64_t slot,
                                       absl::string_view row) {
  DROVER_ASSIGN_OR_RETURN(
      Statement put,
      writer_->Prepare(
          "INSERT OR REPLACE INTO rows (series, tier, slot, body) VALUES (?, ?, ?, ?)"));
  put.Bind(1, series);
  put.Bind(2, tier);
  put.Bind(3, slot);
  put.BindBlob(4, row);
  return put.Run();
}

absl::StatusOr<SqliteSampleStore::Rows> SqliteSampleStore::ReadRows(Connection& connection,
                                                                    int64_t series, int tier,
                                                                    int64_t begin,
                                                                    int64_t end) const {
  Rows rows;
  DROVER_ASSIGN_OR_RETURN(
      Statement read,
      connection.Prepare("SELECT slot, body FROM rows WHERE series = ? AND tier = ? AND slot >= ? "
                         "AND slot < ? ORDER BY slot"));
  read.Bind(1, series);
  read.Bind(2, tier);
  read.Bind(3, begin);
  read.Bind(4, end);
  for (;;) {
    DROVER_ASSIGN_OR_RETURN(const bool row, read.Step());
    if (!row) return rows;
    rows.emplace_back(read.Int(0), std::string(read.Bytes(1)));
  }
}

// A row that is there already is one that was closed before a crash, or to which something came
// late.
absl::Status SqliteSampleStore::Merge(int64_t series, int64_t slot, absl::string_view row) {
  DROVER_ASSIGN_OR_RETURN(const Rows there, ReadRows(*writer_, series, 0, slot, slot + 1));
  if (there.empty()) return PutRow(series, 0, slot, row);
  std::vector<UsagePoint> points;
  DecodePoints(there.front().second, points);
  DecodePoints(row, points);
  core::SortPoints(points);
  return PutRow(series, 0, slot, EncodePoints(points));
}

// What is to be written now. Closed rows stay in memory until they are in the file, so that Read
// finds them in one of the two.
SqliteSampleStore::Batch SqliteSampleStore::TakeBatch(int64_t slot) {
  Batch batch;
  absl::MutexLock lock(&mutex_);
  for (auto& [uid, series] : series_) {
    if (!series.fresh.empty()) {
      AppendJournal(series.id, series.fresh, batch.journal);
      if (!series.named) batch.named.emplace_back(series.id, uid);
      series.fresh.clear();
      series.fresh_state = {};
    }
    // Nothing came for a while: its half hour is over all the same.
    if (!series.open.row.empty() && series.open.slot < slot) {
      series.closed.push_back(std::exchange(series.open, {}));
    }
    for (const OpenRow& row : series.closed) {
      batch.closed.push_back({uid, series.id, row.slot, row.row});
    }
  }
  return batch;
}

absl::Status SqliteSampleStore::WriteBatch(const Batch& batch) {
  for (const auto& [id, uid] : batch.named) {
    DROVER_ASSIGN_OR_RETURN(
        Statement put, writer_->Prepare("INSERT OR IGNORE INTO series (id, uid) VALUES (?, ?)"));
    put.Bind(1, id);
    put.BindText(2, uid);
    DROVER_RETURN_IF_ERROR(put.Run());
  }
  if (!unsaved_.empty()) {
    DROVER_ASSIGN_OR_RETURN(Statement put,
                            writer_->Prepare("INSERT INTO journal (body) VALUES (?)"));
    put.BindBlob(1, unsaved_);
    DROVER_RETURN_IF_ERROR(put.Run());
  }
  for (const Closed& one : batch.closed) {
    DROVER_RETURN_IF_ERROR(Merge(one.series, one.slot, one.row));
  }
  return absl::OkStatus();
}

// Leaves in it what is in no row yet.
absl::Status SqliteSampleStore::BeginJournalAnew() {
  std::string body;
  {
    absl::MutexLock lock(&mutex_);
    for (const auto& [uid, series] : series_) {
      if (!series.open.row.empty()) AppendJournal(series.id, series.open.row, body);
    }
  }
  DROVER_RETURN_IF_ERROR(writer_->Execute("DELETE FROM journal"));
  if (body.empty()) return absl::OkStatus();
  DROVER_ASSIGN_OR_RETURN(Statement put, writer_->Prepare("INSERT INTO journal (body) VALUES (?)"));
  put.BindBlob(1, body);
  return put.Run();
}

absl::Status SqliteSampleStore::Flush() {
  absl::MutexLock write_lock(&write_mutex_);
  // From here on nothing comes for the half hour before any more, but what is late.
  const int64_t slot = SlotOf(absl::ToUnixSeconds(clock_->Now()) - kFuture, 0);
  const Batch batch = TakeBatch(slot);
  if (batch.journal.empty() && batch.closed.empty() && unsaved_.empty()) return absl::OkStatus();
  // A disk that is full: what is in open rows is not lost by it, unless the controller ends now.
  if (unsaved_.size() > kUnsavedAtMost) unsaved_.clear();
  unsaved_ += batch.journal;
  Transaction transaction(writer_.get());
  DROVER_RETURN_IF_ERROR(transaction.Begin());
  DROVER_RETURN_IF_ERROR(WriteBatch(batch));
  if (slot != journal_slot_) DROVER_RETURN_IF_ERROR(BeginJournalAnew());
  DROVER_RETURN_IF_ERROR(transaction.Commit());
  journal_slot_ = slot;
  unsaved_.clear();
  absl::MutexLock lock(&mutex_);
  for (const auto& [id, uid] : batch.named) {
    const auto series = series_.find(uid);
    if (series != series_.end() && series->second.id == id) series->second.named = true;
  }
  for (const Closed& one : batch.closed) {
    const auto series = series_.find(one.uid);
    if (series == series_.end()) continue;
    // One that grew meanwhile is written again, and counts once.
    auto& closed = series->second.closed;
    closed.erase(std::remove_if(closed.begin(), closed.end(),
                                [&](const OpenRow& row) {
                                  return row.slot == one.slot && row.row.size() == one.row.size();
                                }),
                 closed.end());
  }
  return absl::OkStatus();
}

// ---------------------------------------------------------------- reading

absl::StatusOr<std::vector<UsagePoint>> SqliteSampleStore::Read(absl::string_view vm_uid,
                                                                int64_t begin, int64_t end) {
  std::vector<std::string> rows;
  int64_t id = 0;
  {
    // Memory first: what is written meanwhile is found twice rather than never.
    absl::MutexLock lock(&mutex_);
    const auto series = series_.find(vm_uid);
    if (series == series_.end()) return std::vector<UsagePoint>();
    id = series->second.id;
    rows.push_back(series->second.open.row);
    for (const OpenRow& row : series->second.closed) rows.push_back(row.row);
  }
  std::vector<UsagePoint> points;
  {
    absl::MutexLock lock(&read_mutex_);
    for (int tier = core::kSampleTiers - 1; tier >= 0; --tier) {
      DROVER_ASSIGN_OR_RETURN(const Rows stored,
                              ReadRows(*reader_, id, tier, begin - kSlots[tier] + 1, end));
      for (const auto& [slot, row] : stored) DecodePoints(row, points);
    }
  }
  for (const std::string& row : rows) DecodePoints(row, points);
  core::SortPoints(points);
  points.erase(std::remove_if(points.begin(), points.end(),
                              [begin, end](const UsagePoint& point) {
                                return point.time < begin || point.time >= end;
                              }),
               points.end());
  return points;
}

std::vector<std::string> SqliteSampleStore::Vms() {
  absl::MutexLock lock(&mutex_);
  std::vector<std::string> uids;
  for (const auto& [uid, series] : series_) uids.push_back(uid);
  return uids;
}

absl::Status SqliteSampleStore::Forget(absl::string_view vm_uid) {
  absl::MutexLock write_lock(&write_mutex_);
  int64_t id = 0;
  {
    absl::MutexLock lock(&mutex_);
    const auto series = series_.find(vm_uid);
    if (series == series_.end()) return absl::OkStatus();
    id = series->second.id;
    series_.erase(series);
  }
  Transaction transaction(writer_.get());
  DROVER_RETURN_IF_ERROR(transaction.Begin());
  for (const char* sql : {"DELETE FROM rows WHERE series = ?", "DELETE FROM series WHERE id = ?"}) {
    DROVER_ASSIGN_OR_RETURN(Statement drop, writer_->Prepare(sql));
    drop.Bind(1, id);
    DROVER_RETURN_IF_ERROR(drop.Run());
  }
  return transaction.Commit();
}

// ---------------------------------------------------------------- thinning

absl::Status SqliteSampleStore::ThinSeries(int64_t series, int tier, int64_t now) {
  const int next = tier + 1;
  const int64_t limit = now - AgeOf(tier);
  if (next == core::kSampleTiers) {
    DROVER_ASSIGN_OR_RETURN(
        Statement drop,
        writer_->Prepare("DELETE FROM rows WHERE series = ? AND tier = ? AND slot < ?"));
    drop.Bind(1, series);
    drop.Bind(2, tier);
    drop.Bind(3, limit - kSlots[tier]);
    return drop.Run();
  }
  // Whole rows of the next tier, all of which are old enough.
  const int64_t end = SlotOf(limit, next);
  DROVER_ASSIGN_OR_RETURN(const Rows rows, ReadRows(*writer_, series, tier, 0, end));
  std::map<int64_t, std::vector<UsagePoint>> coarse;
  for (const auto& [slot, row] : rows) DecodePoints(row, coarse[SlotOf(slot, next)]);
  for (auto& [slot, points] : coarse) {
    core::SortPoints(points);
    DROVER_ASSIGN_OR_RETURN(const Rows there, ReadRows(*writer_, series, next, slot, slot + 1));
    std::vector<UsagePoint> thinned = core::Thin(points, core::TierOf(next).step);
    if (!there.empty()) DecodePoints(there.front().second, thinned);
    core::SortPoints(thinned);
    DROVER_RETURN_IF_ERROR(PutRow(series, next, slot, EncodePoints(thinned)));
  }
  if (rows.empty()) return absl::OkStatus();
  DROVER_ASSIGN_OR_RETURN(
      Statement drop,
      writer_->Prepare("DELETE FROM rows WHERE series = ? AND tier = ? AND slot < ?"));
  drop.Bind(1, series);
  drop.Bind(2, tier);
  drop.Bind(3, end);
  return drop.Run();
}

absl::Status SqliteSampleStore::ThinOld() {
  const int64_t now = absl::ToUnixSeconds(clock_->Now());
  std::vector<int64_t> all;
  {
    absl::MutexLock lock(&mutex_);
    for (const auto& [uid, series] : series_) all.push_back(series.id);
  }
  for (size_t begin = 0; begin < all.size(); begin += kThinAtOnce) {
    absl::MutexLock write_lock(&write_mutex_);
    Transaction transaction(writer_.get());
    DROVER_RETURN_IF_ERROR(transaction.Begin());
    for (size_t i = begin; i < std::min(begin + kThinAtOnce, all.size()); ++i) {
      for (int tier = 0; tier < core::kSampleTiers; ++tier) {
        DROVER_RETURN_IF_ERROR(ThinSeries(all[i], tier, now));
      }
    }
    DROVER_RETURN_IF_ERROR(transaction.Commit());
  }
  return absl::OkStatus();
}

void SqliteSampleStore::Start() {
  thread_ = std::jthread([this](std::stop_token stop) { Run(stop); });
}

SqliteSampleStore::~SqliteSampleStore() {
  thread_ = std::jthread();
  absl::MutexLock lock(&write_mutex_);
  absl::MutexLock read_lock(&read_mutex_);
  reader_.reset();
  writer_.reset();
}

void SqliteSampleStore::Run(std::stop_token stop) {
  absl::Time thinned = absl::InfinitePast();
  std::string problem;
  for (bool last = false; !last;) {
    last = !clock_->Sleep(kFlushEvery, stop).ok();
    absl::Status done = Flush();
    if (done.ok() && !last && clock_->Now() - thinned >= kThinEvery) {
      thinned = clock_->Now();
      done = ThinOld();
    }
    // A disk that is full says so every second.
    if (!done.ok() && problem != done.message()) LogError("samples: ", done.message());
    problem = std::string(done.message());
  }
}

}  // namespace drover::store
