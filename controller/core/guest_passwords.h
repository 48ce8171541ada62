// Sets passwords of guest accounts (VM-5): by the agent, through VMware Tools where there is none.
// That of the account Drover itself uses is kept, sealed, in the VM's record.
//
// Thread promise: all methods from any thread after Register; must outlive the runner's work.
// Survives a restart: operations; the password in them is sealed and goes with their success.
#pragma once

#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "controller/core/agent_orders.h"
#include "controller/core/event_log.h"
#include "controller/core/guest_setup.h"
#include "controller/core/operation_runner.h"
#include "controller/core/vm_world.h"
#include "drover/v1/guest.pb.h"

namespace drover::core {

class GuestPasswords {
 public:
  static constexpr char kKind[] = "vm.set_password";

  GuestPasswords(const VmWorld& world, const GuestSetup* guest, OperationRunner* runner,
                 EventLog* events)
      : world_(world),
        guest_(guest),
        runner_(runner),
        events_(events),
        orders_(world.commands, world.agents) {}

  // Before the runner starts.
  void Register();
  // INVALID_ARGUMENT for an account or a password that chpasswd cannot be told; NOT_FOUND, reason
  // VM_NOT_FOUND; FAILED_PRECONDITION, reason VM_NOT_READY.
  absl::StatusOr<drover::v1::Operation> Set(const drover::v1::SetVmPasswordRequest& request,
                                            const Caller& caller);

 private:
  using Request = drover::v1::SetVmPasswordRequest;

  std::vector<OperationStep> Steps(const OperationRecord& record);
  absl::Status Change(const Request& request, OperationContext& context);
  absl::Status ByTools(const drover::v1::Vm& vm, const Request& request,
                       const std::string& password, OperationContext& context);

  const VmWorld world_;
  const GuestSetup* const guest_;
  OperationRunner* const runner_;
  EventLog* const events_;
  AgentOrders orders_;
};

}  // namespace drover::core
