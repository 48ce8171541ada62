// Taking an existing VM of a hypervisor into an environment, and letting one go without touching it
// (VM-7).
//
// Thread promise: all methods from any thread. Owns nothing.
#pragma once

#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "controller/core/guest_setup.h"
#include "controller/core/operation_runner.h"
#include "controller/core/vm_world.h"

namespace drover::core {

class VmImport {
 public:
  static constexpr char kKind[] = "vm.import";
  VmImport(const VmWorld* world, GuestSetup* guest) : world_(world), guest_(guest) {}

  // NOT_FOUND for what it refers to; ALREADY_EXISTS, reasons VM_NAME_TAKEN and VM_MANAGED.
  absl::StatusOr<OperationRequest> Operation(drover::v1::ImportVmRequest request) const;
  std::vector<OperationStep> Steps(const OperationRecord& record) const;
  // Revokes the agent's identity and forgets the VM. NOT_FOUND, reason VM_NOT_FOUND.
  absl::Status Forget(absl::string_view vm_name) const;

 private:
  absl::Status Take(const drover::v1::ImportVmRequest& request, OperationContext& context) const;
  absl::Status Release(const drover::v1::ImportVmRequest& request, OperationContext& context) const;
  absl::Status CheckLogin(const drover::v1::ImportVmRequest& request,
                          OperationContext& context) const;

  const VmWorld* const world_;
  GuestSetup* const guest_;
};

}  // namespace drover::core
