// Work inside guests, done by their agents: services started, stopped and restarted on one VM or
// many (MON-4), and what a service last said.
//
// Thread promise: all methods from any thread after Register; must outlive the runner's work.
// Survives a restart: operations and the commands they wait for.
#pragma once

#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "controller/core/agent_orders.h"
#include "controller/core/command_tracker.h"
#include "controller/core/inventory.h"
#include "controller/core/operation_runner.h"
#include "controller/core/ports.h"
#include "drover/v1/guest.pb.h"

namespace drover::core {

class GuestOperations {
 public:
  static constexpr char kControl[] = "service.control";
  // Parent of a selection of VMs; it has no steps of its own.
  static constexpr char kControlMany[] = "services.control";

  GuestOperations(Inventory* inventory, CommandTracker* commands, AgentGateway* agents,
                  OperationRunner* runner, Clock* clock)
      : inventory_(inventory),
        commands_(commands),
        agents_(agents),
        runner_(runner),
        clock_(clock),
        orders_(commands, agents) {}

  // Before the runner starts.
  void Register();

  // One operation with a child per VM. INVALID_ARGUMENT with all problems: no VMs, no action, a
  // service that the VM's type does not have; NOT_FOUND, reason VM_NOT_FOUND; FAILED_PRECONDITION,
  // reasons AGENT_MISSING and AGENT_QUARANTINED. With validate_only nothing is recorded, and the
  // answer is the finished operation with its targets.
  absl::StatusOr<drover::v1::Operation> Control(const drover::v1::ControlServicesRequest& request,
                                                const Caller& caller);

  // Asks the agent, waits at most ten seconds. UNAVAILABLE, reason AGENT_NOT_CONNECTED;
  // INVALID_ARGUMENT for a service that the VM's type does not have.
  absl::StatusOr<drover::v1::ServiceOutput> Output(
      const drover::v1::GetServiceOutputRequest& request);

 private:
  std::vector<OperationStep> Steps(const OperationRecord& record);
  absl::Status Run(const drover::v1::ControlServicesRequest& request, OperationContext& context);
  absl::Status Undo(OperationContext& context);
  absl::Status CheckService(const drover::v1::Vm& vm, const std::string& service,
                            const std::string& field) const;

  Inventory* const inventory_;
  CommandTracker* const commands_;
  AgentGateway* const agents_;
  OperationRunner* const runner_;
  Clock* const clock_;
  AgentOrders orders_;
};

}  // namespace drover::core
