#include "controller/core/plan_inputs.h"

#include "absl/strings/str_cat.h"
#include "controller/core/ipv4.h"
#include "proto/support/resource_name.h"

namespace drover::core {

PlanInputs GatherPlanInputs(const Inventory& inventory, const HypervisorEstate& estate,
                            absl::string_view environment_id) {
  PlanInputs inputs;
  auto environment = inventory.GetEnvironment(ResourceName("environments", environment_id));
  if (environment.ok()) inputs.environment = *std::move(environment);
  inputs.vms = *inventory.Vms();
  inputs.types = inventory.Types();
  inputs.hypervisors = inventory.Hypervisors();
  for (const v1::Hypervisor& hypervisor : inputs.hypervisors) {
    for (const HypervisorVm& vm : estate.VmsOf(hypervisor.name())) {
      auto address = ParseIpv4(vm.ip());
      if (!address || !inventory.VmOfObject(hypervisor.name(), vm.object()).empty()) continue;
      inputs.foreign_addresses.emplace(
          *address, absl::StrCat("the unmanaged VM ", vm.name(), " on ", IdOf(hypervisor.name())));
    }
  }
  return inputs;
}

}  // namespace drover::core
