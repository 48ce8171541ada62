// What network settings of a VM must be like, and whether an address is free.
//
// Thread promise: functions; AddressFree blocks for a second.
#pragma once

#include "absl/status/status.h"
#include "absl/strings/string_view.h"
#include "controller/core/vm_world.h"
#include "drover/v1/inventory.pb.h"
#include "proto/support/status.h"

namespace drover::core {

// Adds what is wrong with them; `field` is their place in the request, "vm.network".
void CheckNetwork(const drover::v1::NetworkSettings& network, absl::string_view field,
                  Violations& violations);

// That nobody but `vm_name` has the address, neither in the inventory nor on the network.
// ALREADY_EXISTS, reason ADDRESS_TAKEN, with the holder.
absl::Status CheckAddressFree(const VmWorld& world, absl::string_view vm_name,
                              absl::string_view address);

}  // namespace drover::core
