#include "absl/strings/str_cat.h"
#include "controller/core/vm_changes.h"
#include "proto/support/resource_name.h"
#include "proto/support/status.h"

namespace drover::core {

using drover::v1::SetVmHardwareRequest;

absl::StatusOr<OperationRequest> VmHardware::Operation(SetVmHardwareRequest request) const {
  DROVER_ASSIGN_OR_RETURN(const drover::v1::Vm vm, world_->inventory->GetVm(request.name()));
  if (request.cpus() == 0 && request.memory_mb() == 0 && request.disk_gb() == 0) {
    return InvalidField("cpus", "give cpus, memory_mb or disk_gb: nothing is to change");
  }
  if (request.disk_gb() != 0 && request.disk_gb() < vm.disk_gb()) {
    return InvalidField("disk_gb", absl::StrCat("a disk never shrinks: it has ", vm.disk_gb(),
                                                " GB; give that or more"));
  }
  return RequestFor(kKind, absl::StrCat("change hardware of ", IdOf(vm.name())), vm,
                    std::move(request));
}

std::vector<OperationStep> VmHardware::Steps(const OperationRecord& record) const {
  const auto request = RequestOf<SetVmHardwareRequest>(record);
  OperationStep step;
  step.title = "change hardware";
  step.run = [this, request](OperationContext& context) -> absl::Status {
    DROVER_ASSIGN_OR_RETURN(const PlacedVm placed, FindPlacedVm(*world_, request.name()));
    HardwareChange change;
    change.set_cpus(request.cpus());
    change.set_memory_mb(request.memory_mb());
    change.set_disk_gb(request.disk_gb());
    const std::string& object = placed.vm.hypervisor_object();
    DROVER_RETURN_IF_ERROR(placed.host->SetHardware(object, change, context));
    DROVER_ASSIGN_OR_RETURN(const HypervisorVm now, placed.host->GetVm(object));
    DROVER_RETURN_IF_ERROR(world_->inventory->ChangeVm(request.name(), [&](drover::v1::Vm& vm) {
      vm.set_cpus(now.cpus());
      vm.set_memory_mb(now.memory_mb());
      vm.set_disk_gb(now.disk_gb());
    }));
    DROVER_ASSIGN_OR_RETURN(const drover::v1::Vm vm, world_->inventory->GetVm(request.name()));
    context.SetResponse(vm);
    return absl::OkStatus();
  };
  return {step};
}

}  // namespace drover::core
