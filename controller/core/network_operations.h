// Changes a VM's network with a way back (VM-5, P10), by its agent; where that is silent, through
// VMware Tools (P11).
//
// The address asked for is claimed beside the one the VM has, until one of the two is let go. The
// agent keeps the new settings only when it has reached the controller over them; through VMware
// Tools the controller looks for the VM itself, and sets the old ones again. The inventory follows
// when the VM is there.
//
// Thread promise: all methods from any thread after Register; must outlive the runner's work.
// Survives a restart: operations, and which way they went.
#pragma once

#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "controller/core/agent_orders.h"
#include "controller/core/event_log.h"
#include "controller/core/guest_setup.h"
#include "controller/core/operation_runner.h"
#include "controller/core/vm_world.h"
#include "drover/v1/guest.pb.h"

namespace drover::core {

class NetworkOperations {
 public:
  static constexpr char kKind[] = "vm.set_network";

  NetworkOperations(const VmWorld& world, const GuestSetup* guest, OperationRunner* runner,
                    EventLog* events)
      : world_(world),
        guest_(guest),
        runner_(runner),
        events_(events),
        orders_(world.commands, world.agents) {}

  // Before the runner starts.
  void Register();

  // INVALID_ARGUMENT with all problems; NOT_FOUND, reason VM_NOT_FOUND; FAILED_PRECONDITION,
  // reasons VM_NOT_READY and AGENT_QUARANTINED, NETWORK_NOT_KNOWN where only VMware Tools are left
  // and there would be no way back; ALREADY_EXISTS, reason ADDRESS_TAKEN. With validate_only
  // nothing is recorded, and the answer is the finished operation with its target.
  absl::StatusOr<drover::v1::Operation> Set(const drover::v1::SetVmNetworkRequest& request,
                                            const Caller& caller);

 private:
  using Request = drover::v1::SetVmNetworkRequest;
  using Settings = drover::v1::NetworkSettings;

  std::vector<OperationStep> Steps(const OperationRecord& record);
  absl::Status CheckWay(const drover::v1::Vm& vm) const;
  absl::Status Claim(const Request& request) const;
  absl::Status Change(const Request& request, OperationContext& context);
  absl::Status Order(const Request& request, absl::string_view key, const Settings& settings,
                     OperationContext& context);
  absl::Status ThroughTools(const Request& request, OperationContext& context);
  // Until the VM is heard of over the settings.
  absl::Status AwaitThere(const drover::v1::Vm& vm, const Settings& settings, absl::Time until,
                          OperationContext& context) const;
  absl::Status Undo(const Request& request, OperationContext& context);
  absl::Status Keep(const Request& request, OperationContext& context);
  absl::Status Restore(const Request& request, OperationContext& context);

  const VmWorld world_;
  const GuestSetup* const guest_;
  OperationRunner* const runner_;
  EventLog* const events_;
  AgentOrders orders_;
};

// Whether an order ended because its agent is not heard of, and nobody knows more.
bool IsSilence(const absl::Status& status);

// An entry of the platform log that VMware Tools were used on the VM, by whom the operation is.
absl::Status LogUseOfTools(EventLog& events, const OperationRecord& record,
                           const drover::v1::Vm& vm, absl::string_view what, absl::string_view why);

}  // namespace drover::core
