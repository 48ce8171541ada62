// The connections to all hypervisors: opens one handle for each stored hypervisor, follows its
// inventory on a thread of its own, keeps the model true (VM-8) and tells when a host is lost and
// back. A refused login is not tried again until the credentials change. Hypervisors are tested,
// added, changed and removed here (VM-10).
//
// Thread promise: all methods from any thread. Owns the handles and the following threads. Survives
// a restart: the hypervisors themselves, in the inventory.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/container/btree_map.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/synchronization/mutex.h"
#include "controller/core/event_log.h"
#include "controller/core/host_follower.h"
#include "controller/core/inventory.h"
#include "controller/core/ports.h"

namespace drover::core {

class HypervisorEstate {
 public:
  HypervisorEstate(HypervisorConnector* connector, Inventory* inventory, EventLog* events,
                   Clock* clock);
  ~HypervisorEstate();
  HypervisorEstate(const HypervisorEstate&) = delete;
  HypervisorEstate& operator=(const HypervisorEstate&) = delete;

  // Before Start: what is to be done with each host once a minute.
  void OnEveryMinute(HostFollower::EveryMinute what) { every_minute_ = std::move(what); }
  // Opens a handle for each stored hypervisor. Once; the inventory must not change any more when
  // the estate goes.
  absl::Status Start() ABSL_LOCKS_EXCLUDED(mutex_);
  void Stop() ABSL_LOCKS_EXCLUDED(mutex_);
  // Opens the handle anew, or closes it when the hypervisor is gone. Handles given out before stay
  // usable until they are let go.
  void Refresh(absl::string_view hypervisor_name) ABSL_LOCKS_EXCLUDED(mutex_);

  // NOT_FOUND, reason HYPERVISOR_NOT_FOUND; UNAVAILABLE, reason HYPERVISOR_UNREACHABLE when it is
  // known to be away; FAILED_PRECONDITION, reasons HYPERVISOR_LOGIN_REFUSED and
  // CERTIFICATE_NOT_CONFIRMED.
  absl::StatusOr<std::shared_ptr<Hypervisor>> Connection(absl::string_view hypervisor_name)
      ABSL_LOCKS_EXCLUDED(mutex_);
  // Facts as last read, at most a minute old while the host is there; fresh on request.
  absl::StatusOr<HostFacts> Facts(absl::string_view hypervisor_name, bool fresh)
      ABSL_LOCKS_EXCLUDED(mutex_);
  // All VMs of a hypervisor as last reported, by object id.
  std::vector<HypervisorVm> VmsOf(absl::string_view hypervisor_name) const
      ABSL_LOCKS_EXCLUDED(mutex_);
  // Those on the hypervisors that are not managed (VM-7), by hypervisor and object id.
  absl::StatusOr<drover::v1::ListUnmanagedVmsResponse> ListUnmanaged(
      const drover::v1::ListUnmanagedVmsRequest& request) const ABSL_LOCKS_EXCLUDED(mutex_);

  // One attempt, nothing stored. With the name of a stored hypervisor, what is empty is as stored.
  // Errors as HypervisorConnector::Test's, and INVALID_ARGUMENT with all problems.
  absl::StatusOr<drover::v1::TestHypervisorResponse> Test(const drover::v1::Hypervisor& hypervisor);
  // Stored after a successful test. Errors as Test's and Inventory::AddHypervisor's.
  absl::StatusOr<drover::v1::Hypervisor> Add(absl::string_view id,
                                             const drover::v1::Hypervisor& hypervisor);
  // Tested first when the change is about the connection.
  absl::StatusOr<drover::v1::Hypervisor> Update(const drover::v1::Hypervisor& hypervisor,
                                                const google::protobuf::FieldMask& mask);
  // FAILED_PRECONDITION, reason HYPERVISOR_IN_USE.
  absl::Status Remove(absl::string_view hypervisor_name);

 private:
  std::shared_ptr<HostFollower> Find(absl::string_view name) const ABSL_LOCKS_EXCLUDED(mutex_);
  void OnVmChanged(absl::string_view name) ABSL_LOCKS_EXCLUDED(mutex_);
  absl::Status Open(absl::string_view name) ABSL_LOCKS_EXCLUDED(mutex_);

  HypervisorConnector* const connector_;
  Inventory* const inventory_;
  EventLog* const events_;
  Clock* const clock_;
  HostFollower::EveryMinute every_minute_;

  mutable absl::Mutex mutex_;
  bool running_ ABSL_GUARDED_BY(mutex_) = false;
  absl::btree_map<std::string, std::shared_ptr<HostFollower>> followers_ ABSL_GUARDED_BY(mutex_);
};

}  // namespace drover::core
