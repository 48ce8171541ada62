#include "controller/api/inventory_service.h"

#include "controller/core/environment_plan.h"
#include "controller/core/plan_inputs.h"
#include "google/protobuf/empty.pb.h"
#include "proto/support/status.h"

namespace drover::api {
namespace {

using google::protobuf::Empty;

absl::StatusOr<Empty> Nothing(const absl::Status& status) {
  if (!status.ok()) return status;
  return Empty();
}

}  // namespace

void InventoryService::Register(Dispatcher& dispatcher) {
  RegisterHypervisors(dispatcher);
  RegisterTypes(dispatcher);
  RegisterEnvironments(dispatcher);
  RegisterVms(dispatcher);
}

void InventoryService::RegisterHypervisors(Dispatcher& dispatcher) {
  dispatcher.OnUnary<v1::ListHypervisorsRequest, v1::ListHypervisorsResponse>(
      "InventoryService.ListHypervisors",
      [this](const Call&, const auto& request) { return inventory_->ListHypervisors(request); });
  dispatcher.OnUnary<v1::GetHypervisorRequest, v1::Hypervisor>(
      "InventoryService.GetHypervisor", [this](const Call&, const auto& request) {
        return inventory_->DescribeHypervisor(request.name());
      });
  dispatcher.OnUnary<v1::TestHypervisorRequest, v1::TestHypervisorResponse>(
      "InventoryService.TestHypervisor",
      [this](const Call&, const auto& request) { return estate_->Test(request.hypervisor()); });
  dispatcher.OnUnary<v1::CreateHypervisorRequest, v1::Hypervisor>(
      "InventoryService.CreateHypervisor", [this](const Call&, const auto& request) {
        return estate_->Add(request.hypervisor_id(), request.hypervisor());
      });
  dispatcher.OnUnary<v1::UpdateHypervisorRequest, v1::Hypervisor>(
      "InventoryService.UpdateHypervisor", [this](const Call&, const auto& request) {
        return estate_->Update(request.hypervisor(), request.update_mask());
      });
  dispatcher.OnUnary<v1::DeleteHypervisorRequest, Empty>(
      "InventoryService.DeleteHypervisor", [this](const Call&, const auto& request) {
        return Nothing(estate_->Remove(request.name()));
      });
}

void InventoryService::RegisterTypes(Dispatcher& dispatcher) {
  dispatcher.OnUnary<v1::ListTypesRequest, v1::ListTypesResponse>(
      "InventoryService.ListTypes",
      [this](const Call&, const auto& request) { return inventory_->ListTypes(request); });
  dispatcher.OnUnary<v1::GetTypeRequest, v1::VmType>(
      "InventoryService.GetType", [this](const Call&, const auto& request) {
        return inventory_->DescribeType(request.name());
      });
  dispatcher.OnUnary<v1::CreateTypeRequest, v1::VmType>(
      "InventoryService.CreateType", [this](const Call&, const auto& request) {
        return inventory_->AddType(request.type_id(), request.type());
      });
  dispatcher.OnUnary<v1::UpdateTypeRequest, v1::VmType>(
      "InventoryService.UpdateType", [this](const Call&, const auto& request) {
        return inventory_->UpdateType(request.type(), request.update_mask());
      });
  dispatcher.OnUnary<v1::DeleteTypeRequest, Empty>(
      "InventoryService.DeleteType", [this](const Call&, const auto& request) {
        return Nothing(inventory_->RemoveType(request.name()));
      });
}

void InventoryService::RegisterEnvironments(Dispatcher& dispatcher) {
  dispatcher.OnUnary<v1::ListEnvironmentsRequest, v1::ListEnvironmentsResponse>(
      "InventoryService.ListEnvironments",
      [this](const Call&, const auto& request) { return inventory_->ListEnvironments(request); });
  dispatcher.OnUnary<v1::GetEnvironmentRequest, v1::Environment>(
      "InventoryService.GetEnvironment", [this](const Call&, const auto& request) {
        return inventory_->DescribeEnvironment(request.name());
      });
  dispatcher.OnUnary<v1::CreateEnvironmentRequest, v1::Environment>(
      "InventoryService.CreateEnvironment", [this](const Call&, const auto& request) {
        return inventory_->AddEnvironment(request.environment_id(), request.environment());
      });
  dispatcher.OnUnary<v1::UpdateEnvironmentRequest, v1::Environment>(
      "InventoryService.UpdateEnvironment", [this](const Call&, const auto& request) {
        return inventory_->UpdateEnvironment(request.environment(), request.update_mask());
      });
  dispatcher.OnUnary<v1::PlanEnvironmentRequest, v1::EnvironmentPlan>(
      "InventoryService.PlanEnvironment", [this](const Call&, const auto& request) {
        return core::PlanEnvironment(
            request.document(), request.delete_missing(),
            core::GatherPlanInputs(*inventory_, *estate_, request.document().environment()));
      });
  dispatcher.OnUnary<v1::ExportEnvironmentRequest, v1::EnvironmentDocument>(
      "InventoryService.ExportEnvironment",
      [this](const Call&, const auto& request) -> absl::StatusOr<v1::EnvironmentDocument> {
        DROVER_ASSIGN_OR_RETURN(v1::Environment environment,
                                inventory_->GetEnvironment(request.name()));
        return core::ExportEnvironment(environment, *inventory_->Vms());
      });
}

void InventoryService::RegisterVms(Dispatcher& dispatcher) {
  dispatcher.OnUnary<v1::ListVmsRequest, v1::ListVmsResponse>(
      "InventoryService.ListVms",
      [this](const Call&, const auto& request) { return inventory_->QueryVms(request); });
  dispatcher.OnUnary<v1::GetVmRequest, v1::Vm>(
      "InventoryService.GetVm",
      [this](const Call&, const auto& request) { return inventory_->DescribeVm(request.name()); });
  dispatcher.OnUnary<v1::UpdateVmRequest, v1::Vm>(
      "InventoryService.UpdateVm", [this](const Call&, const auto& request) {
        return inventory_->UpdateVm(request.vm(), request.update_mask());
      });
  dispatcher.OnUnary<v1::ListUnmanagedVmsRequest, v1::ListUnmanagedVmsResponse>(
      "InventoryService.ListUnmanagedVms",
      [this](const Call&, const auto& request) { return estate_->ListUnmanaged(request); });
}

}  // namespace drover::api
