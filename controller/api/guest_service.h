// Inside VMs: services, network, passwords, samples, repair. Thread promise: Register once before
// the server starts; handlers from any thread.
#pragma once

#include "controller/api/dispatcher.h"
#include "controller/core/guest_operations.h"
#include "controller/core/guest_passwords.h"
#include "controller/core/guest_repair.h"
#include "controller/core/inventory.h"
#include "controller/core/network_operations.h"
#include "controller/core/samples.h"

namespace drover::api {

class GuestService {
 public:
  struct Parts {
    core::Inventory* inventory = nullptr;
    core::GuestOperations* guests = nullptr;
    core::NetworkOperations* network = nullptr;
    core::GuestPasswords* passwords = nullptr;
    core::GuestRepair* repair = nullptr;
    core::SampleStore* samples = nullptr;
    core::Clock* clock = nullptr;
  };
  explicit GuestService(Parts parts) : parts_(parts) {}

  void Register(Dispatcher& dispatcher);

 private:
  absl::StatusOr<v1::ListServicesResponse> ListServices(const v1::ListServicesRequest& request);
  absl::StatusOr<v1::QuerySamplesResponse> QuerySamples(const v1::QuerySamplesRequest& request);

  const Parts parts_;
};

}  // namespace drover::api
