// The operations that have not ended, in memory and in the store: who may run, what is recorded,
// and who is told. The runner's worker threads meet here; nothing here knows what a step does.
//
// A record is written by one thread at a time, in the order of its changes. What is in memory is
// never ahead of the store in anything but percentages and the operation's own log.
//
// Thread promise: all methods from any thread; listeners and the store are called without locks
// held. Survives a restart: all records.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <stop_token>
#include <string>
#include <utility>
#include <vector>

#include "absl/functional/function_ref.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/synchronization/mutex.h"
#include "absl/time/time.h"
#include "controller/core/operation_queue.h"
#include "controller/core/operation_record.h"
#include "controller/core/ports.h"

namespace drover::core {

class OpenOperations : public std::enable_shared_from_this<OpenOperations> {
 public:
  using Change = absl::FunctionRef<void(OperationRecord&)>;

  // Told by operation id after each change; more than one change may be told at once.
  using Listener = std::function<void(absl::string_view id)>;

  OpenOperations(Store* store, Clock* clock, int per_lane, int per_batch);

  // Writes more in the transaction that records an operation's end; the events it made are handed
  // to `announce` when they are durable.
  using EndRecorder = std::function<absl::Status(StoreWriter&, const OperationRecord&,
                                                 std::vector<drover::v1::Event>*)>;
  using Announcer = std::function<void(const std::vector<drover::v1::Event>&)>;

  // Before Load.
  void OnChange(Listener listener);
  void OnEnd(EndRecorder record, Announcer announce);

  // What says which children of a parent may run; nothing for a parent of which all may. Called
  // with locks held. Before Load.
  using ReleaseRule = std::function<std::optional<BatchRelease>(const OperationRecord&)>;
  void OnRelease(ReleaseRule rule);

  // Reads what is open. Nothing is taken before OpenGates.
  absl::Status Load();
  // Lets run what may run.
  void OpenGates();

  // Records operations together, with `request` under `request_key` when that is not empty: a
  // parent first, its children after it. Sets their names and the children's parent. ALREADY_EXISTS
  // when the key is there; then nothing was recorded.
  absl::Status Insert(std::vector<OperationRecord>& records, absl::string_view request_key,
                      RequestRecord request);

  // Waits for an operation that may run, oldest first, and marks it as running. Nothing after
  // Shutdown.
  std::optional<std::string> Take();
  // Ends running without an end; it may run again after `delay`.
  void PutBack(absl::string_view id, absl::Duration delay);
  // As PutBack, but Wake lets it run sooner: at once, when it was woken since it was taken.
  void SetAside(absl::string_view id, absl::Duration at_most);
  // Lets one that was set aside run again. Nothing for any other.
  void Wake(absl::string_view id);
  // Lets those children of a parent run that may; the parent waits for them.
  void ReleaseChildren(absl::string_view id);
  // Keeps children that have not begun from beginning, or lets them again. Recorded when it
  // returns.
  absl::Status SetPaused(absl::string_view id, bool paused);
  std::optional<BatchRelease> ReleaseOf(const OperationRecord& parent) const;
  // Takes an operation that has not begun out of the queue. False when it has begun or is running.
  bool Withdraw(absl::string_view id);
  // All children for which that can be done, at once.
  std::vector<std::string> WithdrawChildren(absl::string_view id);
  // Undoes Withdraw.
  void Readmit(absl::string_view id);

  // A copy of the record; with what it waits for when it is queued. Nothing when it is not open.
  std::optional<OperationRecord> Find(absl::string_view id) const;
  std::vector<std::string> ChildrenOf(absl::string_view id) const;
  std::vector<OperationRecord> All() const;
  std::string Recall(absl::string_view id, int step, const std::string& key) const;
  // Recorded when it returns OK, else not done at all. `change` may run twice. A change that ends
  // the operation frees what it holds and what waits for it. NOT_FOUND when it is not open.
  absl::Status Save(absl::string_view id, Change change);
  // As Save, and again until the store takes it or the controller stops (CANCELLED).
  absl::Status SaveSurely(absl::string_view id, Change change);
  // In memory only. Told at most every 200 ms, unless the state or the percentage changed; the last
  // is always told. A change that returns false has changed nothing.
  using News = absl::FunctionRef<bool(OperationRecord&)>;
  void Touch(absl::string_view id, News change);
  std::vector<std::string> QueueOf(absl::string_view vm) const;

  // Requested when the operation shall stop what it does now; a new one with `renew`.
  std::stop_token StopToken(absl::string_view id, bool renew);
  // Wakes it too.
  void RequestStop(absl::string_view id);
  // Wakes all that wait and requests all stops.
  void Shutdown();
  bool stopping() const;
  struct Nap {
    absl::Duration duration;
    // Requested when there is something sooner, and by Shutdown.
    std::stop_token interrupted;
  };
  // Opens what was put back with a delay that is over and tells what was kept quiet for long
  // enough; then says how long to sleep before the next call. Waits until there is something.
  // Nothing after Shutdown. For one thread.
  std::optional<Nap> OpenDue();

 private:
  struct Entry {
    OperationRecord record;
    std::vector<std::string> children;
    // Its place among its parent's targets.
    int index = 0;
    // A parent whose children begin bit by bit: so many of them may.
    bool stepwise = false;
    int released = 0;
    bool running = false;
    bool writing = false;
    // Ended before the controller started; here for its parent only.
    bool settled = false;
    bool withdrawn = false;
    // Put back by SetAside; was woken since it was taken.
    bool aside = false;
    bool woken = false;
    std::optional<absl::Time> not_before;
    std::stop_source stop;
    absl::Time told = absl::InfinitePast();
    // A change was kept quiet and is told then.
    std::optional<absl::Time> owed;
  };
  using Entries = std::map<std::string, std::unique_ptr<Entry>, std::less<>>;

  void AddEntry(OperationRecord record) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  void OpenGate(const std::string& id, Entry& entry) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  Entry* FindEntry(absl::string_view id) const ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  bool MayBegin(const Entry& child) const ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  bool MayRelease(const Entry& parent) const ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  bool OpeningDone(const std::string& parent) const ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  // The parent's target follows the child. The parent's id, "" without.
  std::string UpdateParent(const Entry& child) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  OperationRecord Snapshot(const std::string& id, const Entry& entry) const
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  bool WithdrawEntry(const std::string& id, Entry& entry) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  void Settle(absl::string_view id) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  void StopRunning(absl::string_view id, Entry& entry) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  // Opens it after the delay. What to interrupt, maybe nothing.
  std::optional<std::stop_source> Delay(const std::string& id, Entry& entry, absl::Duration delay)
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  void EndDelay(const std::string& id, Entry& entry) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  // Tells it when the quiet time is over. What to interrupt, maybe nothing.
  std::optional<std::stop_source> Owe(const std::string& id, Entry& entry)
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  void Told(const std::string& id, Entry& entry, absl::Time now)
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  absl::Status WriteNew(const std::vector<OperationRecord>& records, absl::string_view request_key,
                        const RequestRecord& request);
  // An end comes with its events.
  absl::Status WriteChange(const OperationRecord& record, std::vector<drover::v1::Event>* events);
  void Tell(absl::string_view id) const;

  Store* const store_;
  Clock* const clock_;
  std::vector<Listener> listeners_;
  EndRecorder record_end_;
  Announcer announce_;
  ReleaseRule release_;

  mutable absl::Mutex mutex_;
  // Something may have become able to run, or a write has ended.
  absl::CondVar changed_;
  Entries entries_ ABSL_GUARDED_BY(mutex_);
  OperationQueue queue_ ABSL_GUARDED_BY(mutex_);
  // Those with a not_before, by it.
  std::set<std::pair<absl::Time, std::string>> delays_ ABSL_GUARDED_BY(mutex_);
  // Those with something owed, by its time.
  std::set<std::pair<absl::Time, std::string>> owed_ ABSL_GUARDED_BY(mutex_);
  std::stop_source nap_ ABSL_GUARDED_BY(mutex_);
  std::string last_id_ ABSL_GUARDED_BY(mutex_);
  bool stopping_ ABSL_GUARDED_BY(mutex_) = false;
  std::stop_source shutdown_;
};

}  // namespace drover::core
