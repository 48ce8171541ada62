// The difference between the document of an environment and what exists, and the document of what
// exists (ENV-4).
//
// Names that the document does not give are made, "{environment}-{type}-{n}" with two digits, the
// same ones every time; addresses it does not give are taken from its pools, the lowest free one
// first. A VM that exists keeps its address and its place: a document that wants others is told so
// by a warning. Of its hardware it is held only to what the group itself says.
//
// Thread promise: pure functions.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "controller/core/vm_query.h"
#include "drover/v1/inventory.pb.h"

namespace drover::core {

// What exists.
struct PlanInputs {
  // The document's environment, when there is one.
  std::optional<drover::v1::Environment> environment;
  // All VMs, of all environments, by name.
  VmList vms;
  std::vector<drover::v1::VmType> types;
  std::vector<drover::v1::Hypervisor> hypervisors;
  // Addresses in use that no managed VM has, with who has them, for people.
  std::map<uint32_t, std::string> foreign_addresses;
};

// INVALID_ARGUMENT with every problem of the document, each with its path
// ("document.groups[0].type"). The digest is the same for the same changes; it leaves warnings and
// the sizes of what stays out.
absl::StatusOr<drover::v1::EnvironmentPlan> PlanEnvironment(
    const drover::v1::EnvironmentDocument& document, bool delete_missing, const PlanInputs& inputs);

// The document whose plan is empty. `vms` may hold those of other environments too. VMs that are
// being deleted are left out.
drover::v1::EnvironmentDocument ExportEnvironment(const drover::v1::Environment& environment,
                                                  const VmList& vms);

}  // namespace drover::core
