// Creating a VM (VM-1): from the check that nothing stands against it to a connected agent, or to
// nothing left (P3).
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

class VmCreate {
 public:
  static constexpr char kKind[] = "vm.create";

  VmCreate(const VmWorld* world, GuestSetup* guest) : world_(world), guest_(guest) {}

  // Checked and completed: names, uid, hardware, a hypervisor for each. All or none. The
  // environment may be one that is about to be made.
  // INVALID_ARGUMENT with all problems; NOT_FOUND for what it refers to; FAILED_PRECONDITION,
  // reason NO_HYPERVISOR.
  absl::StatusOr<std::vector<drover::v1::CreateVmRequest>> Complete(
      std::vector<drover::v1::CreateVmRequest> requests) const;
  // Everything that can be known to make it fail, without any write: FAILED_PRECONDITION and
  // RESOURCE_EXHAUSTED as Hypervisor::CheckCopy; ALREADY_EXISTS, reasons VM_NAME_TAKEN and
  // ADDRESS_TAKEN, with the holder.
  absl::Status Check(const drover::v1::CreateVmRequest& request) const;
  // `request` was completed.
  OperationRequest Operation(drover::v1::CreateVmRequest request) const;
  std::vector<OperationStep> Steps(const OperationRecord& record) const;

 private:
  absl::Status CheckClaims(const drover::v1::Vm& vm) const;
  absl::StatusOr<CopySpec> SpecOf(const drover::v1::Vm& vm) const;
  absl::Status Claim(const drover::v1::Vm& vm) const;
  absl::Status Copy(const drover::v1::Vm& vm, StepContext& context) const;
  absl::Status DiscardCopy(const drover::v1::Vm& vm, StepContext& context) const;
  absl::Status Release(const drover::v1::Vm& vm) const;
  // The VM that is being created, when it is there and is this one.
  bool IsOurs(const drover::v1::Vm& vm) const;

  const VmWorld* const world_;
  GuestSetup* const guest_;
};

}  // namespace drover::core
