// What a plan needs to know, gathered from the model and the hypervisors as they were last seen.
// Thread promise: from any thread.
#pragma once

#include "absl/strings/string_view.h"
#include "controller/core/environment_plan.h"
#include "controller/core/hypervisor_estate.h"
#include "controller/core/inventory.h"

namespace drover::core {

// `environment_id` is the document's. Asks no hypervisor.
PlanInputs GatherPlanInputs(const Inventory& inventory, const HypervisorEstate& estate,
                            absl::string_view environment_id);

}  // namespace drover::core
