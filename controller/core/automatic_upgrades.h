// Upgrades that a commit starts (UPG-3, P20): which types of which environments have them, the
// commits that hooks and polls tell of, and the rollouts they become. Of an environment and type at
// most one rollout is under way, and whatever comes meanwhile becomes one more, to the newest
// revision.
//
// Thread promise: all methods from any thread. Owns two threads: one starts rollouts, one asks
// repositories now and then for what no hook told. Survives a restart: all of it; a commit is
// written before its hook is answered.
#pragma once

#include <functional>
#include <memory>
#include <set>
#include <stop_token>
#include <string>
#include <thread>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/synchronization/mutex.h"
#include "absl/time/time.h"
#include "controller/core/event_log.h"
#include "controller/core/inventory.h"
#include "controller/core/operation_runner.h"
#include "controller/core/ports.h"
#include "controller/core/rollouts.h"
#include "controller/core/upgrade_records.pb.h"

namespace drover::core {

// HMAC-SHA-256 (RFC 2104), 32 bytes.
std::string HmacSha256(Vault& vault, absl::string_view key, absl::string_view data);
// What a hook signs: lower-case hex of the HMAC over "url\nrevision\nseconds".
std::string CommitSignature(Vault& vault, absl::string_view key,
                            const drover::v1::NotifyCommitRequest& request);

class AutomaticUpgrades {
 public:
  struct Options {
    // Shared with the hooks.
    std::string hook_key;
    absl::Duration poll = absl::Seconds(60);
    // Before what failed for the moment is tried again.
    absl::Duration pause = absl::Seconds(10);
  };

  AutomaticUpgrades(Store* store, Inventory* inventory, Rollouts* rollouts, OperationRunner* runner,
                    EventLog* events, Vault* vault, Clock* clock, Options options);
  ~AutomaticUpgrades();

  // After the runner's Start.
  void Start();
  void Stop();

  absl::StatusOr<drover::v1::ListAutomaticUpgradesResponse> List(
      const drover::v1::ListAutomaticUpgradesRequest& request);
  // NOT_FOUND for an environment or type that is not there; FAILED_PRECONDITION, reason
  // NO_WORKING_COPIES, for a type without any. Switched off, what waits is forgotten.
  absl::StatusOr<drover::v1::AutomaticUpgrade> Set(const drover::v1::AutomaticUpgrade& upgrade);
  // Durable when it returns; starts nothing itself. UNAUTHENTICATED, reason BAD_SIGNATURE.
  absl::Status Notify(const drover::v1::NotifyCommitRequest& request);

 private:
  // Ends the nap of the thread that starts rollouts.
  struct Alarm {
    void Ring() ABSL_LOCKS_EXCLUDED(mutex);

    absl::Mutex mutex;
    std::stop_source nap ABSL_GUARDED_BY(mutex);
    // Operations of rollouts whose end it waits for.
    std::set<std::string, std::less<>> awaited ABSL_GUARDED_BY(mutex);
  };
  struct Pending {
    std::string key;
    CommitRecord commit;
  };
  struct Item {
    std::string key;
    AutomaticUpgradeRecord record;
  };

  void Work();
  void Poll();
  absl::StatusOr<std::vector<Item>> Items();
  // In the order of their keys: by repository, then by revision.
  absl::StatusOr<std::vector<Pending>> PendingOf(absl::string_view key);
  // Whether something is left that time alone brings on.
  absl::StatusOr<bool> TakeUp(const Item& item);
  // Takes from `commits` what an earlier rollout has brought already, told by another way or late:
  // taken up now, it would lead back.
  absl::Status DropTakenUp(const Item& item, std::vector<Pending>& commits);
  // Of the platform log; the detail wants what became of it.
  static drover::v1::LogEntry EntryOf(const Item& item, const Pending& pending);
  // Ids of the working copies they change.
  static std::set<std::string> CopiesOf(const std::vector<Pending>& commits);
  absl::StatusOr<bool> StartRollout(const Item& item, const std::vector<Pending>& commits);
  absl::Status Settle(const Item& item, const std::vector<Pending>& commits,
                      const absl::StatusOr<drover::v1::Rollout>& rollout);
  absl::Status PollItem(const Item& item);
  absl::Status PollCopy(const Item& item, const drover::v1::WorkingCopySpec& copy,
                        const std::vector<drover::v1::Vm>& vms);
  absl::Status ChangeRecord(StoreWriter& writer, absl::string_view key,
                            absl::FunctionRef<void(AutomaticUpgradeRecord&)> change);

  Store* const store_;
  Inventory* const inventory_;
  Rollouts* const rollouts_;
  OperationRunner* const runner_;
  EventLog* const events_;
  Vault* const vault_;
  Clock* const clock_;
  const Options options_;
  std::stop_source stop_;
  // Shared with the runner's listener, which may be told something when this is gone already.
  const std::shared_ptr<Alarm> alarm_ = std::make_shared<Alarm>();
  std::thread worker_;
  std::thread poller_;
};

}  // namespace drover::core
