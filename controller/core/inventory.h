// What exists: the model of hypervisors, types, environments and VMs in memory, with what must last
// in the store. The one place where a name or an address is claimed, so that neither is given twice
// (P3).
//
// Thread promise: all methods from any thread; listeners are called without locks held. Survives a
// restart: resources; what is only true at the moment (power, reachability, agent state, services,
// samples) is learnt again.
#pragma once

#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "absl/functional/function_ref.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "controller/core/ports.h"

namespace drover::core {

class Inventory {
 public:
  Inventory(Store* store, Vault* vault, Clock* clock);
  ~Inventory();
  absl::Status Load();

  // Called with the resource name after each change. `deleted` tells which kind of change.
  void OnChange(std::function<void(absl::string_view name, bool deleted)> listener);

  // ---- VMs. Names are "vms/x". NOT_FOUND, reason VM_NOT_FOUND.
  absl::StatusOr<drover::v1::Vm> GetVm(absl::string_view name) const;
  absl::StatusOr<drover::v1::Vm> GetVmByUid(absl::string_view uid) const;
  std::vector<drover::v1::Vm> ListVms() const;
  absl::StatusOr<drover::v1::ListVmsResponse> QueryVms(
      const drover::v1::ListVmsRequest& request) const;
  // Durable. Claims name and address. ALREADY_EXISTS, reasons VM_NAME_TAKEN and ADDRESS_TAKEN,
  // naming the holder; NOT_FOUND for an environment, type or hypervisor that is not there.
  absl::Status AddVm(const drover::v1::Vm& vm);
  // Durable for what must last; `change` may run more than once. ALREADY_EXISTS, reason
  // ADDRESS_TAKEN, as AddVm.
  absl::Status ChangeVm(absl::string_view name, absl::FunctionRef<void(drover::v1::Vm&)> change);
  // Releases name and address. OK when it is not there.
  absl::Status RemoveVm(absl::string_view name);
  // The guest account to use at the VM: its own password when it was set, else the type's.
  absl::StatusOr<GuestLogin> GuestLoginOf(absl::string_view vm_name) const;
  absl::Status SetGuestPassword(absl::string_view vm_name, absl::string_view password);

  // ---- other resources, by resource name. NOT_FOUND, reasons TYPE_NOT_FOUND,
  // ENVIRONMENT_NOT_FOUND, HYPERVISOR_NOT_FOUND.
  absl::StatusOr<drover::v1::VmType> GetType(absl::string_view name) const;
  absl::StatusOr<drover::v1::Environment> GetEnvironment(absl::string_view name) const;
  absl::StatusOr<drover::v1::Hypervisor> GetHypervisor(absl::string_view name) const;

 private:
  class Model;
  std::unique_ptr<Model> model_;
};

}  // namespace drover::core
