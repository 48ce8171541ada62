// Services inside VMs. Thread promise: Register once before the server starts; handlers from any
// thread.
#pragma once

#include "controller/api/dispatcher.h"
#include "controller/core/guest_operations.h"
#include "controller/core/inventory.h"

namespace drover::api {

class GuestService {
 public:
  GuestService(core::Inventory* inventory, core::GuestOperations* guests)
      : inventory_(inventory), guests_(guests) {}

  void Register(Dispatcher& dispatcher);

 private:
  absl::StatusOr<v1::ListServicesResponse> ListServices(const v1::ListServicesRequest& request);

  core::Inventory* const inventory_;
  core::GuestOperations* const guests_;
};

}  // namespace drover::api
