// Follows one hypervisor: keeps the model true to what the host pushes (VM-8), its facts fresh, and
// its state told. A lost host is tried again with growing delay; one that refuses the login is not,
// since hosts lock accounts.
//
// Thread promise: public methods from any thread. Owns its two threads, ends them in its
// destructor, which must not run on one of them. Nothing here survives a restart.
#pragma once

#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <thread>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/container/btree_map.h"
#include "absl/container/flat_hash_set.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/synchronization/mutex.h"
#include "controller/core/event_log.h"
#include "controller/core/inventory.h"
#include "controller/core/ports.h"

namespace drover::core {

class HostFollower : private InventorySink {
 public:
  // Called once a minute while the host is there, on a thread that waits for nobody else.
  using EveryMinute =
      std::function<void(absl::string_view name, Hypervisor& host, std::stop_token stop)>;

  // Begins at once. `name` is "hypervisors/x".
  HostFollower(std::string name, std::shared_ptr<Hypervisor> host, Inventory* inventory,
               EventLog* events, Clock* clock, EveryMinute every_minute = nullptr);
  ~HostFollower() override;

  // UNAVAILABLE, reason HYPERVISOR_UNREACHABLE, when the host is known to be away;
  // FAILED_PRECONDITION, reasons HYPERVISOR_LOGIN_REFUSED and CERTIFICATE_NOT_CONFIRMED.
  absl::StatusOr<std::shared_ptr<Hypervisor>> Connection() const ABSL_LOCKS_EXCLUDED(mutex_);
  absl::StatusOr<HostFacts> Facts(bool fresh) ABSL_LOCKS_EXCLUDED(mutex_);
  // As last reported, by object id.
  std::vector<HypervisorVm> Vms() const ABSL_LOCKS_EXCLUDED(mutex_);
  // Lays what the host last reported over a VM that was tied to its object only now.
  void Reapply(const drover::v1::Vm& vm) ABSL_LOCKS_EXCLUDED(mutex_);

 private:
  void OnReset() override;
  void OnVm(InventoryChange change, const HypervisorVm& vm) override;
  void OnSynced() override;

  void Run(std::stop_token stop);
  absl::Status FollowOnce(std::stop_token stop);
  void KeepFactsFresh(std::stop_token stop);
  void TellLost(const absl::Status& why);
  void SetState(drover::v1::Hypervisor::State state, absl::string_view reason);
  // The managed VM that `vm` is, "" for none.
  std::string Match(const HypervisorVm& vm);
  void Apply(const std::string& name, const HypervisorVm& vm);
  void MarkMissing(const std::string& name);
  bool IsReported(absl::string_view object) const ABSL_LOCKS_EXCLUDED(mutex_);
  void RecordVmEvent(absl::string_view kind, drover::v1::Event::Severity severity,
                     const drover::v1::Vm& vm, absl::string_view message);

  const std::string name_;
  const std::shared_ptr<Hypervisor> host_;
  Inventory* const inventory_;
  EventLog* const events_;
  Clock* const clock_;
  const EveryMinute every_minute_;

  // Of the following thread alone.
  absl::btree_map<std::string, HypervisorVm> arriving_;
  bool syncing_ = false;
  bool synced_ = false;
  bool told_lost_ = false;
  // Managed VMs that the host does not report under the object id they had.
  absl::flat_hash_set<std::string> missing_;

  mutable absl::Mutex mutex_;
  absl::btree_map<std::string, HypervisorVm> reported_ ABSL_GUARDED_BY(mutex_);
  std::optional<HostFacts> facts_ ABSL_GUARDED_BY(mutex_);
  // OK while it is connected or was not tried yet.
  absl::Status away_ ABSL_GUARDED_BY(mutex_);
  bool connected_ ABSL_GUARDED_BY(mutex_) = false;

  // Last, so that they end first.
  std::jthread facts_thread_;
  std::jthread follow_thread_;
};

}  // namespace drover::core
