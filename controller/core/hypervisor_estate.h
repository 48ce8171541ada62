// The connections to all hypervisors: opens one handle for each stored hypervisor, follows its
// inventory on a thread of its own, keeps the model true (VM-8) and tells when a host is lost and
// back. A refused login is not tried again until the credentials change.
//
// Thread promise: all methods from any thread. Owns the handles and the following threads.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "controller/core/event_log.h"
#include "controller/core/inventory.h"
#include "controller/core/ports.h"

namespace drover::core {

class HypervisorEstate {
 public:
  HypervisorEstate(HypervisorConnector* connector, Inventory* inventory, EventLog* events,
                   Clock* clock);
  ~HypervisorEstate();

  // Opens a handle for each stored hypervisor.
  absl::Status Start();
  void Stop();
  // After a hypervisor was added, changed or removed.
  void Refresh(absl::string_view hypervisor_name);

  // NOT_FOUND, reason HYPERVISOR_NOT_FOUND; UNAVAILABLE, reason HYPERVISOR_UNREACHABLE when it is
  // known to be away.
  absl::StatusOr<std::shared_ptr<Hypervisor>> Connection(absl::string_view hypervisor_name);
  // Facts as last read; fresh on request.
  absl::StatusOr<HostFacts> Facts(absl::string_view hypervisor_name, bool fresh);
  // All VMs of a hypervisor as last reported.
  std::vector<HypervisorVm> VmsOf(absl::string_view hypervisor_name) const;

 private:
  class State;
  std::unique_ptr<State> state_;
};

}  // namespace drover::core
