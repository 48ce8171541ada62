// The smaller changes of a VM: power (VM-4), hardware (VM-6), delete.
//
// Thread promise: all methods from any thread. Owns nothing.
#pragma once

#include <stop_token>
#include <vector>

#include "absl/functional/function_ref.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "controller/core/operation_runner.h"
#include "controller/core/vm_world.h"

namespace drover::core {

// ---- vm.power

class VmPower {
 public:
  static constexpr char kKind[] = "vm.power";
  explicit VmPower(const VmWorld* world) : world_(world) {}

  // NOT_FOUND, reason VM_NOT_FOUND; FAILED_PRECONDITION, reason VM_NOT_CREATED.
  absl::StatusOr<OperationRequest> Operation(absl::string_view vm_name,
                                             drover::v1::PowerAction action,
                                             int shutdown_deadline_seconds) const;
  std::vector<OperationStep> Steps(const OperationRecord& record) const;

 private:
  absl::Status Run(const drover::v1::PowerVmsRequest& request, OperationContext& context) const;
  void TellAgent(const drover::v1::Vm& vm, absl::Duration window, std::stop_token stop) const;
  // Tells the agent first, and again when it was not to be.
  absl::Status RunPrepared(const drover::v1::Vm& vm, absl::Duration window, std::stop_token stop,
                           absl::FunctionRef<absl::Status()> go_down) const;

  const VmWorld* const world_;
};

// "power on", for people.
absl::string_view PowerVerb(drover::v1::PowerAction action);

// ---- vm.set_hardware

class VmHardware {
 public:
  static constexpr char kKind[] = "vm.set_hardware";
  explicit VmHardware(const VmWorld* world) : world_(world) {}

  // INVALID_ARGUMENT when nothing is to change or a disk would shrink.
  absl::StatusOr<OperationRequest> Operation(drover::v1::SetVmHardwareRequest request) const;
  std::vector<OperationStep> Steps(const OperationRecord& record) const;

 private:
  const VmWorld* const world_;
};

// ---- vm.delete

class VmDelete {
 public:
  static constexpr char kKind[] = "vm.delete";
  explicit VmDelete(const VmWorld* world) : world_(world) {}

  absl::StatusOr<OperationRequest> Operation(absl::string_view vm_name) const;
  std::vector<OperationStep> Steps(const OperationRecord& record) const;

 private:
  absl::Status Mark(const std::string& name, OperationContext& context) const;
  absl::Status Unmark(const std::string& name, OperationContext& context) const;
  absl::Status Destroy(const std::string& name, OperationContext& context) const;
  absl::Status Forget(const std::string& name, OperationContext& context) const;

  const VmWorld* const world_;
};

}  // namespace drover::core
