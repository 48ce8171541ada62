#include "controller/core/vm_world.h"

#include "absl/strings/escaping.h"
#include "absl/strings/str_cat.h"
#include "proto/support/resource_name.h"
#include "proto/support/status.h"

namespace drover::core {

absl::StatusOr<PlacedVm> FindPlacedVm(const VmWorld& world, absl::string_view vm_name) {
  PlacedVm placed;
  DROVER_ASSIGN_OR_RETURN(placed.vm, world.inventory->GetVm(vm_name));
  if (placed.vm.hypervisor_object().empty()) {
    return MakeError(absl::StatusCode::kFailedPrecondition, "VM_NOT_CREATED",
                     absl::StrCat(IdOf(vm_name), " is not on a hypervisor"));
  }
  DROVER_ASSIGN_OR_RETURN(placed.host, world.estate->Connection(placed.vm.hypervisor()));
  return placed;
}

std::string NewVmUid(Vault& vault) {
  std::string bytes = vault.RandomBytes(16);
  bytes[6] = static_cast<char>((bytes[6] & 0x0f) | 0x40);
  bytes[8] = static_cast<char>((bytes[8] & 0x3f) | 0x80);
  const std::string hex = absl::BytesToHexString(bytes);
  const absl::string_view view = hex;
  return absl::StrCat(view.substr(0, 8), "-", view.substr(8, 4), "-", view.substr(12, 4), "-",
                      view.substr(16, 4), "-", view.substr(20));
}

std::string DescribeHolder(const VmWorld& world, absl::string_view address) {
  const std::string managed = world.inventory->HolderOf(address);
  if (!managed.empty()) return absl::StrCat("VM ", IdOf(managed));
  for (const drover::v1::Hypervisor& hypervisor : world.inventory->Hypervisors()) {
    for (const HypervisorVm& vm : world.estate->VmsOf(hypervisor.name())) {
      if (vm.ip() != address) continue;
      return absl::StrCat("VM \"", vm.name(), "\" on ", IdOf(hypervisor.name()),
                          ", which Drover does not manage");
    }
  }
  return "a machine that is on none of the hypervisors";
}

}  // namespace drover::core
