// Hypervisors, types, environments, and the reading calls of VMs. What takes longer than a second
// is in vm_service. Thread promise: Register once before the server starts; handlers from any
// thread.
#pragma once

#include "controller/api/dispatcher.h"
#include "controller/core/hypervisor_estate.h"
#include "controller/core/inventory.h"

namespace drover::api {

class InventoryService {
 public:
  InventoryService(core::Inventory* inventory, core::HypervisorEstate* estate)
      : inventory_(inventory), estate_(estate) {}

  void Register(Dispatcher& dispatcher);

 private:
  void RegisterHypervisors(Dispatcher& dispatcher);
  void RegisterTypes(Dispatcher& dispatcher);
  void RegisterEnvironments(Dispatcher& dispatcher);
  void RegisterVms(Dispatcher& dispatcher);

  core::Inventory* const inventory_;
  core::HypervisorEstate* const estate_;
};

}  // namespace drover::api
