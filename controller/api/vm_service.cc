#include "controller/api/vm_service.h"

#include <set>
#include <string>
#include <utility>

#include "absl/strings/ascii.h"
#include "absl/strings/str_cat.h"
#include "google/protobuf/empty.pb.h"
#include "proto/support/json.h"
#include "proto/support/resource_name.h"
#include "proto/support/status.h"

namespace drover::api {
namespace {

using core::OperationRequest;
using v1::Operation;

std::unique_ptr<google::protobuf::Message> Cleared(const google::protobuf::Message& request) {
  std::unique_ptr<google::protobuf::Message> copy(request.New());
  copy->CopyFrom(request);
  ClearSecrets(copy.get());
  return copy;
}

// The answer to validate_only: an operation that was never recorded, with what would be done.
Operation Rehearsed(absl::string_view kind, absl::string_view title,
                    const std::vector<OperationRequest>& parts) {
  Operation operation;
  operation.set_kind(std::string(kind));
  operation.set_title(std::string(title));
  operation.set_state(Operation::STATE_SUCCEEDED);
  operation.set_percent(100);
  for (const OperationRequest& part : parts) {
    Operation::Target& target = *operation.add_targets();
    target.set_vm(part.holds.empty() ? "" : part.holds.front());
    target.set_state(Operation::Target::STATE_SUCCEEDED);
    target.set_detail(absl::StrCat("would ", part.title));
  }
  return operation;
}

Operation Rehearsed(const OperationRequest& operation) {
  std::vector<OperationRequest> parts(1);
  parts.front().title = operation.title;
  parts.front().holds = operation.holds;
  return Rehearsed(operation.kind, operation.title, parts);
}

}  // namespace

void VmService::Register(Dispatcher& dispatcher) {
  dispatcher.OnUnary<v1::CreateVmRequest, Operation>(
      "InventoryService.CreateVm",
      [this](const Call& call, const auto& request) { return CreateVm(call, request); });
  dispatcher.OnUnary<v1::DeleteVmsRequest, Operation>(
      "InventoryService.DeleteVms",
      [this](const Call& call, const auto& request) { return DeleteVms(call, request); });
  dispatcher.OnUnary<v1::PowerVmsRequest, Operation>(
      "InventoryService.PowerVms",
      [this](const Call& call, const auto& request) { return PowerVms(call, request); });
  dispatcher.OnUnary<v1::SetVmHardwareRequest, Operation>(
      "InventoryService.SetVmHardware",
      [this](const Call& call, const auto& request) { return SetVmHardware(call, request); });
  dispatcher.OnUnary<v1::ImportVmRequest, Operation>(
      "InventoryService.ImportVm",
      [this](const Call& call, const auto& request) { return ImportVm(call, request); });
  dispatcher.OnUnary<v1::ForgetVmRequest, google::protobuf::Empty>(
      "InventoryService.ForgetVm",
      [this](const Call&, const auto& request) -> absl::StatusOr<google::protobuf::Empty> {
        DROVER_RETURN_IF_ERROR(CheckForgettable(request.name()));
        DROVER_RETURN_IF_ERROR(operations_->import().Forget(request.name()));
        return google::protobuf::Empty();
      });
  dispatcher.OnUnary<v1::PowerEnvironmentsRequest, Operation>(
      "InventoryService.PowerEnvironments",
      [this](const Call& call, const auto& request) { return PowerEnvironments(call, request); });
  dispatcher.OnUnary<v1::DeleteEnvironmentRequest, Operation>(
      "InventoryService.DeleteEnvironment",
      [this](const Call& call, const auto& request) { return DeleteEnvironment(call, request); });
  dispatcher.OnUnary<v1::ApplyEnvironmentRequest, Operation>(
      "InventoryService.ApplyEnvironment",
      [this](const Call& call, const auto& request) { return ApplyEnvironment(call, request); });
}

// ---------------------------------------------------------------- how operations are handed over

absl::StatusOr<Operation> VmService::Submit(const Call& call,
                                            const google::protobuf::Message& asked,
                                            OperationRequest operation) {
  operation.caller = call.caller;
  operation.request_id = call.request_id;
  operation.asked = Cleared(asked);
  return runner_->Submit(std::move(operation));
}

absl::StatusOr<Operation> VmService::SubmitBatch(const Call& call,
                                                 const google::protobuf::Message& asked,
                                                 core::Batch batch) {
  batch.parent.caller = call.caller;
  batch.parent.request_id = call.request_id;
  batch.parent.asked = Cleared(asked);
  return runner_->SubmitBatch(std::move(batch.parent), std::move(batch.children), /*at_once=*/0);
}

absl::StatusOr<Operation> VmService::SubmitSelection(const Call& call,
                                                     const google::protobuf::Message& asked,
                                                     absl::string_view kind, absl::string_view verb,
                                                     std::vector<OperationRequest> children) {
  if (children.size() == 1) return Submit(call, asked, std::move(children.front()));
  core::Batch batch;
  batch.parent.kind = std::string(kind);
  batch.parent.title = absl::StrCat(verb, " ", children.size(), " VMs");
  batch.parent.request = Cleared(asked);
  for (const OperationRequest& child : children) {
    batch.parent.resource_names.push_back(child.holds.front());
  }
  batch.children = std::move(children);
  return SubmitBatch(call, asked, std::move(batch));
}

// ---------------------------------------------------------------- VMs

absl::StatusOr<Operation> VmService::CreateVm(const Call& call,
                                              const v1::CreateVmRequest& request) {
  DROVER_ASSIGN_OR_RETURN(std::optional<Operation> earlier,
                          runner_->Earlier(call.caller, call.request_id, *Cleared(request)));
  if (earlier.has_value()) return *std::move(earlier);
  DROVER_RETURN_IF_ERROR(inventory_->GetEnvironment(request.vm().environment()).status());
  DROVER_ASSIGN_OR_RETURN(std::vector<v1::CreateVmRequest> complete,
                          operations_->create().Complete({request}));
  DROVER_RETURN_IF_ERROR(operations_->create().Check(complete.front()));
  OperationRequest operation = operations_->create().Operation(std::move(complete.front()));
  if (request.validate_only()) return Rehearsed(operation);
  return Submit(call, request, std::move(operation));
}

absl::StatusOr<Operation> VmService::DeleteVms(const Call& call,
                                               const v1::DeleteVmsRequest& request) {
  DROVER_ASSIGN_OR_RETURN(std::optional<Operation> earlier,
                          runner_->Earlier(call.caller, call.request_id, *Cleared(request)));
  if (earlier.has_value()) return *std::move(earlier);
  std::vector<OperationRequest> children;
  const std::set<std::string> names(request.names().begin(), request.names().end());
  for (const std::string& name : names) {
    DROVER_ASSIGN_OR_RETURN(OperationRequest child, operations_->remove().Operation(name));
    children.push_back(std::move(child));
  }
  if (request.validate_only()) {
    return Rehearsed(core::VmOperations::kDeleteMany, "delete VMs", children);
  }
  return SubmitSelection(call, request, core::VmOperations::kDeleteMany, "delete",
                         std::move(children));
}

absl::StatusOr<Operation> VmService::PowerVms(const Call& call,
                                              const v1::PowerVmsRequest& request) {
  std::vector<OperationRequest> children;
  const std::set<std::string> names(request.names().begin(), request.names().end());
  for (const std::string& name : names) {
    DROVER_ASSIGN_OR_RETURN(OperationRequest child,
                            operations_->power().Operation(name, request.action(),
                                                           request.shutdown_deadline_seconds()));
    children.push_back(std::move(child));
  }
  const absl::string_view verb = core::PowerVerb(request.action());
  if (request.validate_only()) {
    return Rehearsed(core::VmOperations::kPowerMany, absl::StrCat(verb, " VMs"), children);
  }
  return SubmitSelection(call, request, core::VmOperations::kPowerMany, verb, std::move(children));
}

absl::StatusOr<Operation> VmService::SetVmHardware(const Call& call,
                                                   const v1::SetVmHardwareRequest& request) {
  DROVER_ASSIGN_OR_RETURN(OperationRequest operation, operations_->hardware().Operation(request));
  if (request.validate_only()) return Rehearsed(operation);
  return Submit(call, request, std::move(operation));
}

absl::StatusOr<Operation> VmService::ImportVm(const Call& call,
                                              const v1::ImportVmRequest& request) {
  DROVER_ASSIGN_OR_RETURN(std::optional<Operation> earlier,
                          runner_->Earlier(call.caller, call.request_id, *Cleared(request)));
  if (earlier.has_value()) return *std::move(earlier);
  DROVER_ASSIGN_OR_RETURN(OperationRequest operation, operations_->import().Operation(request));
  return Submit(call, request, std::move(operation));
}

absl::Status VmService::CheckForgettable(absl::string_view name) const {
  DROVER_RETURN_IF_ERROR(inventory_->GetVm(name).status());
  const std::vector<std::string> queue = runner_->QueueOf(name);
  if (queue.empty()) return absl::OkStatus();
  return MakeError(absl::StatusCode::kFailedPrecondition, "VM_BUSY",
                   absl::StrCat(IdOf(name), " is being changed by ", queue.front(),
                                "; wait for its end, or cancel it"),
                   {{"holder", queue.front()}});
}

// ---------------------------------------------------------------- environments

absl::StatusOr<Operation> VmService::PowerEnvironments(
    const Call& call, const v1::PowerEnvironmentsRequest& request) {
  DROVER_ASSIGN_OR_RETURN(core::Batch batch, operations_->environments().Power(request));
  if (request.validate_only()) {
    return Rehearsed(batch.parent.kind, batch.parent.title, batch.children);
  }
  return SubmitBatch(call, request, std::move(batch));
}

absl::StatusOr<Operation> VmService::DeleteEnvironment(
    const Call& call, const v1::DeleteEnvironmentRequest& request) {
  DROVER_ASSIGN_OR_RETURN(std::optional<Operation> earlier,
                          runner_->Earlier(call.caller, call.request_id, *Cleared(request)));
  if (earlier.has_value()) return *std::move(earlier);
  DROVER_ASSIGN_OR_RETURN(core::Batch batch, operations_->environments().Delete(request.name()));
  if (request.validate_only()) {
    return Rehearsed(batch.parent.kind, batch.parent.title, batch.children);
  }
  if (request.confirm() != IdOf(request.name())) {
    return InvalidField("confirm", absl::StrCat("type the environment's id, \"",
                                                IdOf(request.name()), "\", to confirm"));
  }
  return SubmitBatch(call, request, std::move(batch));
}

absl::StatusOr<Operation> VmService::ApplyEnvironment(const Call& call,
                                                      const v1::ApplyEnvironmentRequest& request) {
  DROVER_ASSIGN_OR_RETURN(std::optional<Operation> earlier,
                          runner_->Earlier(call.caller, call.request_id, *Cleared(request)));
  if (earlier.has_value()) return *std::move(earlier);
  if (request.validate_only()) {
    DROVER_RETURN_IF_ERROR(operations_->environments().CheckApply(request));
  }
  DROVER_ASSIGN_OR_RETURN(core::Batch batch, operations_->environments().Apply(request));
  if (request.validate_only()) {
    return Rehearsed(batch.parent.kind, batch.parent.title, batch.children);
  }
  return SubmitBatch(call, request, std::move(batch));
}

}  // namespace drover::api
