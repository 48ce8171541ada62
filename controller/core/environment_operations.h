// Changes of whole environments (ENV-2..4): batches of changes of their VMs.
//
// Thread promise: all methods from any thread. Owns nothing.
#pragma once

#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "controller/core/operation_runner.h"
#include "controller/core/vm_changes.h"
#include "controller/core/vm_create.h"
#include "controller/core/vm_world.h"

namespace drover::core {

struct Batch {
  OperationRequest parent;
  std::vector<OperationRequest> children;
};

class EnvironmentOperations {
 public:
  static constexpr char kApply[] = "environment.apply";
  static constexpr char kDelete[] = "environment.delete";
  static constexpr char kPower[] = "environment.power";

  EnvironmentOperations(const VmWorld* world, const VmCreate* create, const VmPower* power,
                        const VmHardware* hardware, const VmDelete* remove)
      : world_(world), create_(create), power_(power), hardware_(hardware), delete_(remove) {}

  // Everything the document needs and does not have. ABORTED, reason PLAN_CHANGED; errors of
  // PlanEnvironment and VmCreate::Complete.
  absl::StatusOr<Batch> Apply(const drover::v1::ApplyEnvironmentRequest& request) const;
  // The pre-flight of all that would be created; all errors in one.
  absl::Status CheckApply(const drover::v1::ApplyEnvironmentRequest& request) const;
  absl::StatusOr<Batch> Delete(const std::string& name) const;
  absl::StatusOr<Batch> Power(const drover::v1::PowerEnvironmentsRequest& request) const;

  std::vector<OperationStep> ApplySteps(const OperationRecord& record) const;
  std::vector<OperationStep> DeleteSteps(const OperationRecord& record) const;

 private:
  absl::StatusOr<drover::v1::EnvironmentPlan> Plan(
      const drover::v1::ApplyEnvironmentRequest& request) const;
  absl::StatusOr<std::vector<drover::v1::CreateVmRequest>> Creations(
      const drover::v1::ApplyEnvironmentRequest& request,
      const drover::v1::EnvironmentPlan& plan) const;
  absl::Status AddChange(const drover::v1::Vm& wanted,
                         std::vector<OperationRequest>& children) const;
  absl::Status MakeEnvironment(const drover::v1::EnvironmentDocument& document) const;
  std::vector<std::string> VmsOf(const std::string& environment) const;

  const VmWorld* const world_;
  const VmCreate* const create_;
  const VmPower* const power_;
  const VmHardware* const hardware_;
  const VmDelete* const delete_;
};

}  // namespace drover::core
