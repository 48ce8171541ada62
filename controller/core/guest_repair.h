// The second door (P11): a VM whose agent is silent is looked into through VMware Tools, its
// network set again where it is another than the inventory's, its agent started or installed anew.
// Every use is an entry of the platform log.
//
// Thread promise: all methods from any thread after Register; must outlive the runner's work.
// Survives a restart: operations.
#pragma once

#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "controller/core/event_log.h"
#include "controller/core/guest_setup.h"
#include "controller/core/operation_runner.h"
#include "controller/core/vm_world.h"
#include "drover/v1/guest.pb.h"

namespace drover::core {

class GuestRepair {
 public:
  static constexpr char kKind[] = "vm.repair";

  GuestRepair(const VmWorld& world, GuestSetup* guest, OperationRunner* runner, EventLog* events)
      : world_(world), guest_(guest), runner_(runner), events_(events) {}

  // Before the runner starts.
  void Register();
  // NOT_FOUND, reason VM_NOT_FOUND; FAILED_PRECONDITION, reasons VM_NOT_READY, and AGENT_CONNECTED
  // when nothing is asked for but contact, which there is.
  absl::StatusOr<drover::v1::Operation> Repair(const drover::v1::RepairVmRequest& request,
                                               const Caller& caller);

 private:
  using Request = drover::v1::RepairVmRequest;

  std::vector<OperationStep> Steps(const OperationRecord& record);
  absl::Status Look(const Request& request, OperationContext& context);
  absl::Status SetNetwork(const Request& request, OperationContext& context);
  absl::Status StartAgent(const Request& request, OperationContext& context);
  absl::Status Finish(const Request& request, OperationContext& context);

  const VmWorld world_;
  GuestSetup* const guest_;
  OperationRunner* const runner_;
  EventLog* const events_;
};

}  // namespace drover::core
