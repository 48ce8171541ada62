// The upgrade of one VM, as an operation (UPG-2, UPG-4, P19): look, update, restart, watch. What
// was changed goes back by itself when something fails, unless it is to stay for people to look at.
//
// Thread promise: all methods from any thread after Register; must outlive the runner's work.
// Survives a restart: everything, with the operation.
#pragma once

#include <string>
#include <vector>

#include "absl/status/status.h"
#include "controller/core/agent_orders.h"
#include "controller/core/inventory.h"
#include "controller/core/operation_runner.h"
#include "controller/core/upgrade_records.pb.h"
#include "controller/core/working_copies.h"

namespace drover::core {

class VmUpgrades {
 public:
  static constexpr char kKind[] = "vm.upgrade";

  VmUpgrades(Inventory* inventory, WorkingCopies* copies, CommandTracker* commands,
             AgentGateway* agents)
      : inventory_(inventory), copies_(copies), orders_(commands, agents) {}

  // Before the runner starts.
  void Register(OperationRunner& runner);

  // The operation of one VM. Its response is a ListWorkingCopiesResponse: the working copies as
  // they are then, each with the revision it had before as previous_revision.
  static OperationRequest RequestOf(const VmUpgrade& upgrade, const drover::v1::Vm& vm);

 private:
  std::vector<OperationStep> Steps(const OperationRecord& record);
  absl::Status Look(const VmUpgrade& upgrade, OperationContext& context);
  absl::Status Update(const VmUpgrade& upgrade, OperationContext& context);
  absl::Status Restart(const VmUpgrade& upgrade, OperationContext& context);
  absl::Status Watch(const VmUpgrade& upgrade, OperationContext& context);
  // Back to where it was, with its services restarted.
  absl::Status PutBack(const VmUpgrade& upgrade, OperationContext& context);
  absl::Status OrderRevisions(const VmUpgrade& upgrade, const VmUpgrade& revisions,
                              absl::string_view key, OperationContext& context);
  absl::StatusOr<std::vector<std::string>> ServicesOf(const VmUpgrade& upgrade,
                                                      const drover::v1::Vm& vm) const;

  Inventory* const inventory_;
  WorkingCopies* const copies_;
  AgentOrders orders_;
};

}  // namespace drover::core
