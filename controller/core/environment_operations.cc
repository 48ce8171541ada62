#include "controller/core/environment_operations.h"

#include <set>
#include <utility>

#include "absl/strings/str_cat.h"
#include "controller/core/environment_plan.h"
#include "controller/core/plan_inputs.h"
#include "proto/support/resource_name.h"
#include "proto/support/status.h"

namespace drover::core {
namespace {

using drover::v1::ApplyEnvironmentRequest;
using drover::v1::CreateVmRequest;
using drover::v1::EnvironmentDocument;
using drover::v1::EnvironmentPlan;
using drover::v1::PlannedVm;
using drover::v1::Vm;

OperationRequest Parent(absl::string_view kind, absl::string_view title,
                        std::vector<std::string> names) {
  OperationRequest parent;
  parent.kind = std::string(kind);
  parent.title = std::string(title);
  parent.resource_names = std::move(names);
  return parent;
}

std::string NameOf(const EnvironmentDocument& document) {
  return ResourceName("environments", document.environment());
}

}  // namespace

// ---------------------------------------------------------------- apply

absl::StatusOr<EnvironmentPlan> EnvironmentOperations::Plan(
    const ApplyEnvironmentRequest& request) const {
  const EnvironmentDocument& document = request.document();
  DROVER_ASSIGN_OR_RETURN(EnvironmentPlan plan,
                          PlanEnvironment(document, request.delete_missing(),
                                          GatherPlanInputs(*world_->inventory, *world_->estate,
                                                           document.environment())));
  if (!request.expected_plan_digest().empty() && request.expected_plan_digest() != plan.digest()) {
    return MakeError(absl::StatusCode::kAborted, "PLAN_CHANGED",
                     "the plan is another one by now; look at it again");
  }
  return plan;
}

absl::StatusOr<std::vector<CreateVmRequest>> EnvironmentOperations::Creations(
    const ApplyEnvironmentRequest& request, const EnvironmentPlan& plan) const {
  std::vector<CreateVmRequest> creations;
  for (const PlannedVm& change : plan.changes()) {
    if (change.action() != PlannedVm::ACTION_CREATE) continue;
    CreateVmRequest& creation = creations.emplace_back();
    creation.set_vm_id(std::string(IdOf(change.vm().name())));
    *creation.mutable_vm() = change.vm();
    creation.set_guest_password(request.document().guest_password());
  }
  return create_->Complete(std::move(creations));
}

absl::Status EnvironmentOperations::AddChange(const Vm& wanted,
                                              std::vector<OperationRequest>& children) const {
  DROVER_ASSIGN_OR_RETURN(const Vm vm, world_->inventory->GetVm(wanted.name()));
  drover::v1::SetVmHardwareRequest request;
  request.set_name(vm.name());
  if (wanted.cpus() != vm.cpus()) request.set_cpus(wanted.cpus());
  if (wanted.memory_mb() != vm.memory_mb()) request.set_memory_mb(wanted.memory_mb());
  if (wanted.disk_gb() != vm.disk_gb()) request.set_disk_gb(wanted.disk_gb());
  // A remark alone needs no hypervisor.
  if (request.cpus() == 0 && request.memory_mb() == 0 && request.disk_gb() == 0) {
    return absl::OkStatus();
  }
  DROVER_ASSIGN_OR_RETURN(OperationRequest child, hardware_->Operation(std::move(request)));
  children.push_back(std::move(child));
  return absl::OkStatus();
}

absl::StatusOr<Batch> EnvironmentOperations::Apply(const ApplyEnvironmentRequest& request) const {
  DROVER_ASSIGN_OR_RETURN(const EnvironmentPlan plan, Plan(request));
  Batch batch;
  batch.parent =
      Parent(kApply, absl::StrCat("apply environment ", request.document().environment()),
             {NameOf(request.document())});
  ApplyEnvironmentRequest recorded = request;
  ClearSecrets(&recorded);
  batch.parent.request = std::make_unique<ApplyEnvironmentRequest>(std::move(recorded));
  DROVER_ASSIGN_OR_RETURN(std::vector<CreateVmRequest> creations, Creations(request, plan));
  for (CreateVmRequest& creation : creations) {
    batch.children.push_back(create_->Operation(std::move(creation)));
  }
  for (const PlannedVm& change : plan.changes()) {
    if (change.action() == PlannedVm::ACTION_CHANGE) {
      DROVER_RETURN_IF_ERROR(AddChange(change.vm(), batch.children));
    } else if (change.action() == PlannedVm::ACTION_DELETE) {
      DROVER_ASSIGN_OR_RETURN(OperationRequest child, delete_->Operation(change.vm().name()));
      batch.children.push_back(std::move(child));
    }
  }
  return batch;
}

absl::Status EnvironmentOperations::CheckApply(const ApplyEnvironmentRequest& request) const {
  DROVER_ASSIGN_OR_RETURN(const EnvironmentPlan plan, Plan(request));
  DROVER_ASSIGN_OR_RETURN(const std::vector<CreateVmRequest> creations, Creations(request, plan));
  absl::Status first;
  int others = 0;
  for (const CreateVmRequest& creation : creations) {
    const absl::Status checked = create_->Check(creation);
    if (checked.ok()) continue;
    if (!first.ok()) {
      ++others;
    } else {
      first = Annotate(checked, creation.vm_id());
    }
  }
  return others == 0 ? first : Annotate(first, absl::StrCat("and ", others, " more VMs fail"));
}

absl::Status EnvironmentOperations::MakeEnvironment(const EnvironmentDocument& document) const {
  drover::v1::Environment environment;
  environment.set_display_name(document.display_name());
  environment.set_description(document.description());
  const absl::Status added =
      world_->inventory->AddEnvironment(document.environment(), environment).status();
  return absl::IsAlreadyExists(added) ? absl::OkStatus() : added;
}

std::vector<OperationStep> EnvironmentOperations::ApplySteps(const OperationRecord& record) const {
  const auto request = RequestOf<ApplyEnvironmentRequest>(record);
  OperationStep step{
      .title = "prepare the environment",
      .run = [this, request](OperationContext&) -> absl::Status {
        DROVER_RETURN_IF_ERROR(MakeEnvironment(request.document()));
        ApplyEnvironmentRequest now = request;
        now.clear_expected_plan_digest();
        DROVER_ASSIGN_OR_RETURN(const EnvironmentPlan plan, Plan(now));
        for (const PlannedVm& change : plan.changes()) {
          if (change.action() != PlannedVm::ACTION_CHANGE) continue;
          DROVER_RETURN_IF_ERROR(world_->inventory->ChangeVm(
              change.vm().name(), [&](Vm& vm) { vm.set_remark(change.vm().remark()); }));
        }
        return absl::OkStatus();
      }};
  return {step};
}

// ---------------------------------------------------------------- delete

std::vector<std::string> EnvironmentOperations::VmsOf(const std::string& environment) const {
  std::vector<std::string> names;
  for (const Vm& vm : world_->inventory->ListVms()) {
    if (vm.environment() == environment) names.push_back(vm.name());
  }
  return names;
}

absl::StatusOr<Batch> EnvironmentOperations::Delete(const std::string& name) const {
  DROVER_RETURN_IF_ERROR(world_->inventory->GetEnvironment(name).status());
  Batch batch;
  batch.parent = Parent(kDelete, absl::StrCat("delete environment ", IdOf(name)), {name});
  auto request = std::make_unique<drover::v1::DeleteEnvironmentRequest>();
  request->set_name(name);
  batch.parent.request = std::move(request);
  for (const std::string& vm : VmsOf(name)) {
    DROVER_ASSIGN_OR_RETURN(OperationRequest child, delete_->Operation(vm));
    batch.children.push_back(std::move(child));
  }
  return batch;
}

std::vector<OperationStep> EnvironmentOperations::DeleteSteps(const OperationRecord& record) const {
  const std::string name = RequestOf<drover::v1::DeleteEnvironmentRequest>(record).name();
  OperationStep step{.title = "remove the environment",
                     .run = [this, name](OperationContext&) -> absl::Status {
                       const absl::Status removed = world_->inventory->RemoveEnvironment(name);
                       return absl::IsNotFound(removed) ? absl::OkStatus() : removed;
                     }};
  step.after_children = true;
  return {step};
}

// ---------------------------------------------------------------- power

absl::StatusOr<Batch> EnvironmentOperations::Power(
    const drover::v1::PowerEnvironmentsRequest& request) const {
  Batch batch;
  std::string ids;
  std::set<std::string> names;
  for (const std::string& name : request.names()) {
    DROVER_RETURN_IF_ERROR(world_->inventory->GetEnvironment(name).status());
    if (!names.insert(name).second) continue;
    absl::StrAppend(&ids, ids.empty() ? "" : ", ", IdOf(name));
    for (const std::string& vm : VmsOf(name)) {
      DROVER_ASSIGN_OR_RETURN(OperationRequest child, power_->Operation(vm, request.action(), 0));
      batch.children.push_back(std::move(child));
    }
  }
  OperationRequest parent = Parent(kPower, absl::StrCat(PowerVerb(request.action()), " ", ids),
                                   {names.begin(), names.end()});
  parent.request = std::make_unique<drover::v1::PowerEnvironmentsRequest>(request);
  batch.parent = std::move(parent);
  return batch;
}

}  // namespace drover::core
