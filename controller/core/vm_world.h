// What operations on VMs work with, and what all of them need: where a VM is, and the request of a
// record.
//
// Thread promise: a value; the parts outlive all operations and may be used from any thread.
#pragma once

#include <memory>
#include <string>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "controller/core/command_tracker.h"
#include "controller/core/hypervisor_estate.h"
#include "controller/core/inventory.h"
#include "controller/core/operation_runner.h"
#include "controller/core/ports.h"
#include "proto/support/json.h"

namespace drover::core {

struct VmWorld {
  Inventory* inventory = nullptr;
  HypervisorEstate* estate = nullptr;
  AgentGateway* agents = nullptr;
  Prober* prober = nullptr;
  Vault* vault = nullptr;
  Clock* clock = nullptr;
  // Null where nothing is told to agents.
  CommandTracker* commands = nullptr;
};

// A managed VM and the hypervisor it is on.
struct PlacedVm {
  drover::v1::Vm vm;
  std::shared_ptr<Hypervisor> host;
};

// Errors as Inventory::GetVm's and HypervisorEstate::Connection's; FAILED_PRECONDITION, reason
// VM_NOT_CREATED, when it is not on a hypervisor yet.
absl::StatusOr<PlacedVm> FindPlacedVm(const VmWorld& world, absl::string_view vm_name);

// A new uid for a VM: a random UUID.
std::string NewVmUid(Vault& vault);

// For people: who has the address on the network, as far as the hypervisors tell.
std::string DescribeHolder(const VmWorld& world, absl::string_view address);

// The request an operation was made of. A record is only made by the code that reads it here.
template <typename Request>
Request RequestOf(const OperationRecord& record) {
  Request request;
  record.request().UnpackTo(&request);
  return request;
}

// An operation of one VM: its request without secrets, the secrets apart.
template <typename Request>
OperationRequest RequestFor(absl::string_view kind, absl::string_view title,
                            const drover::v1::Vm& vm, Request request) {
  OperationRequest operation;
  operation.kind = std::string(kind);
  operation.title = std::string(title);
  operation.holds = {vm.name()};
  operation.resource_names = {vm.name(), vm.environment()};
  operation.lane = vm.hypervisor();
  ClearSecrets(&request);
  operation.request = std::make_unique<Request>(std::move(request));
  return operation;
}

}  // namespace drover::core
