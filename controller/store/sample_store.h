// Samples in a database file of their own, samples.db: they are many, may be lost by a second or
// two, and must slow down nothing else.
//
//   Add -> open rows in memory, one of half an hour for each VM -> `rows`, when the half hour is
//   over
//       \-> `journal`, once a second, from which open rows are made again after a crash
//
// A row holds the samples of one VM and one span: half an hour as they came (tier 0), four hours by
// the minute (1), a day by ten minutes (2). Rows become those of the next tier when all in them is
// old enough, and the last ones are deleted; so the file has a size that depends on the number of
// VMs alone. What is read twice, after a crash in the middle, counts once.
//
// Thread promise: all methods from any thread; the writing is done by a thread of its own. Survives
// a restart, also kill -9: what is in the file, that is all but the last second. A file that is
// damaged is put aside, and a new one begun.
#pragma once

#include <memory>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/container/flat_hash_map.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/synchronization/mutex.h"
#include "controller/core/ports.h"
#include "controller/core/samples.h"
#include "controller/store/sample_codec.h"
#include "controller/store/sqlite.h"

namespace drover::store {

class SqliteSampleStore : public core::SampleStore {
 public:
  // Opens or makes samples.db in `directory`. `clock` outlives it.
  static absl::StatusOr<std::unique_ptr<SqliteSampleStore>> Open(const std::string& directory,
                                                                 core::Clock* clock);
  ~SqliteSampleStore() override;

  // Writes once a second and thins once an hour, from now on. Without it Flush and ThinOld do.
  void Start();

  void Add(absl::string_view vm_uid, const std::vector<core::UsagePoint>& samples) override
      ABSL_LOCKS_EXCLUDED(mutex_);
  absl::StatusOr<std::vector<core::UsagePoint>> Read(absl::string_view vm_uid, int64_t begin,
                                                     int64_t end) override
      ABSL_LOCKS_EXCLUDED(mutex_, write_mutex_, read_mutex_);
  std::vector<std::string> Vms() override ABSL_LOCKS_EXCLUDED(mutex_);
  absl::Status Forget(absl::string_view vm_uid) override ABSL_LOCKS_EXCLUDED(mutex_, write_mutex_);

  // What was added is in the file when it returns OK.
  absl::Status Flush() ABSL_LOCKS_EXCLUDED(mutex_, write_mutex_);
  // Makes rows that are old enough those of the next tier.
  absl::Status ThinOld() ABSL_LOCKS_EXCLUDED(mutex_, write_mutex_);

 private:
  // Samples of one VM in one half hour, not in `rows` yet.
  struct OpenRow {
    int64_t slot = 0;
    CodecState state;
    std::string row;
  };
  struct Series {
    int64_t id = 0;
    // Its number is in the file.
    bool named = false;
    OpenRow open;
    // Of other half hours, to be merged into their rows at the next flush.
    std::vector<OpenRow> closed;
    // Since the last flush; a row of its own for the journal.
    CodecState fresh_state;
    std::string fresh;
  };
  struct Closed {
    std::string uid;
    int64_t series = 0;
    int64_t slot = 0;
    std::string row;
  };
  struct Batch {
    std::string journal;
    std::vector<std::pair<int64_t, std::string>> named;
    std::vector<Closed> closed;
  };
  using Rows = std::vector<std::pair<int64_t, std::string>>;

  SqliteSampleStore(std::string path, core::Clock* clock) : path_(std::move(path)), clock_(clock) {}
  absl::Status OpenFile();
  absl::Status Load() ABSL_LOCKS_EXCLUDED(mutex_);
  Series& SeriesOf(absl::string_view vm_uid) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  void Take(Series& series, const core::UsagePoint& point) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  absl::Status Merge(int64_t series, int64_t slot, absl::string_view row)
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(write_mutex_);
  absl::StatusOr<Rows> ReadRows(Connection& connection, int64_t series, int tier, int64_t begin,
                                int64_t end) const;
  absl::Status PutRow(int64_t series, int tier, int64_t slot, absl::string_view row)
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(write_mutex_);
  Batch TakeBatch(int64_t slot) ABSL_LOCKS_EXCLUDED(mutex_);
  absl::Status WriteBatch(const Batch& batch) ABSL_EXCLUSIVE_LOCKS_REQUIRED(write_mutex_);
  absl::Status BeginJournalAnew() ABSL_EXCLUSIVE_LOCKS_REQUIRED(write_mutex_)
      ABSL_LOCKS_EXCLUDED(mutex_);
  absl::Status ThinSeries(int64_t series, int tier, int64_t now)
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(write_mutex_);
  void Run(std::stop_token stop);

  const std::string path_;
  core::Clock* const clock_;

  // Held while the file is written; taken before the others.
  absl::Mutex write_mutex_;
  std::unique_ptr<Connection> writer_ ABSL_GUARDED_BY(write_mutex_);
  // Half hour the journal was begun in.
  int64_t journal_slot_ ABSL_GUARDED_BY(write_mutex_) = 0;
  // For the journal, and not in it yet.
  std::string unsaved_ ABSL_GUARDED_BY(write_mutex_);

  absl::Mutex read_mutex_;
  std::unique_ptr<Connection> reader_ ABSL_GUARDED_BY(read_mutex_);

  absl::Mutex mutex_;
  // By the VM's uid.
  absl::flat_hash_map<std::string, Series> series_ ABSL_GUARDED_BY(mutex_);
  int64_t last_id_ ABSL_GUARDED_BY(mutex_) = 0;

  // Last, so that it ends first.
  std::jthread thread_;
};

}  // namespace drover::store
