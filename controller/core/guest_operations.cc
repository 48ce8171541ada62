#include "controller/core/guest_operations.h"

#include <algorithm>
#include <memory>
#include <optional>
#include <set>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "controller/core/vm_world.h"
#include "proto/support/resource_name.h"
#include "proto/support/status.h"

namespace drover::core {
namespace {

using drover::agent::v1::Command;
using drover::agent::v1::CommandUpdate;
using drover::v1::ControlServicesRequest;
using drover::v1::Operation;
using drover::v1::Vm;

constexpr absl::Duration kUsualTimeToLive = absl::Minutes(10);
constexpr absl::Duration kOutputPatience = absl::Seconds(10);
constexpr char kCommandKey[] = "command";

absl::string_view VerbOf(drover::v1::ServiceAction action) {
  switch (action) {
    case drover::v1::SERVICE_ACTION_START:
      return "start";
    case drover::v1::SERVICE_ACTION_STOP:
      return "stop";
    case drover::v1::SERVICE_ACTION_RESTART:
      return "restart";
    default:
      return "leave";
  }
}

std::string WhatOf(const ControlServicesRequest& request) {
  return request.services().empty() ? "all services" : absl::StrJoin(request.services(), ", ");
}

OperationRequest ChildOf(const ControlServicesRequest& request, const Vm& vm) {
  ControlServicesRequest own = request;
  own.clear_vms();
  own.add_vms(vm.name());
  own.clear_request_id();
  return RequestFor(
      GuestOperations::kControl,
      absl::StrCat(VerbOf(request.action()), " ", WhatOf(request), " of ", IdOf(vm.name())), vm,
      std::move(own));
}

}  // namespace

void GuestOperations::Register() {
  runner_->Register(kControl, [this](const OperationRecord& record) { return Steps(record); });
  runner_->Register(kControlMany,
                    [](const OperationRecord&) { return std::vector<OperationStep>(); });
}

absl::Status GuestOperations::CheckService(const Vm& vm, const std::string& service,
                                           const std::string& field) const {
  DROVER_ASSIGN_OR_RETURN(const drover::v1::VmType type, inventory_->GetType(vm.type()));
  std::vector<std::string> names;
  for (const auto& spec : type.services()) names.push_back(spec.name());
  if (std::find(names.begin(), names.end(), service) != names.end()) return absl::OkStatus();
  return InvalidField(field, absl::StrCat("\"", service, "\" is not a service of ", vm.type(),
                                          ", the type of ", IdOf(vm.name()), "; it has ",
                                          names.empty() ? "none" : absl::StrJoin(names, ", ")));
}

absl::StatusOr<Operation> GuestOperations::Control(const ControlServicesRequest& request,
                                                   const Caller& caller) {
  DROVER_ASSIGN_OR_RETURN(std::optional<Operation> earlier,
                          runner_->Earlier(caller, request.request_id(), request));
  if (earlier) return *earlier;
  if (request.vms().empty()) return InvalidField("vms", "name at least one VM");
  if (VerbOf(request.action()) == "leave") {
    return InvalidField("action", "is required: start, stop or restart");
  }
  std::vector<Vm> vms;
  std::set<std::string> seen;
  for (const std::string& name : request.vms()) {
    if (!seen.insert(name).second) continue;
    DROVER_ASSIGN_OR_RETURN(Vm vm, inventory_->GetVm(name));
    DROVER_RETURN_IF_ERROR(CheckAgent(vm));
    for (int i = 0; i < request.services_size(); ++i) {
      DROVER_RETURN_IF_ERROR(
          CheckService(vm, request.services(i), absl::StrCat("services[", i, "]")));
    }
    vms.push_back(std::move(vm));
  }
  // Those that are there go first: nobody waits behind one that is away.
  std::stable_partition(vms.begin(), vms.end(), [](const Vm& vm) {
    return vm.agent_state() == drover::v1::AGENT_STATE_CONNECTED;
  });
  OperationRequest parent;
  parent.kind = kControlMany;
  parent.title = absl::StrCat(VerbOf(request.action()), " ", WhatOf(request), " of ", vms.size(),
                              vms.size() == 1 ? " VM" : " VMs");
  parent.request = std::make_unique<ControlServicesRequest>(request);
  parent.caller = caller;
  parent.request_id = request.request_id();
  std::vector<OperationRequest> children;
  Operation preview;
  for (const Vm& vm : vms) {
    parent.resource_names.push_back(vm.name());
    children.push_back(ChildOf(request, vm));
    children.back().caller = caller;
    preview.add_targets()->set_vm(vm.name());
  }
  if (request.validate_only()) {
    preview.set_kind(parent.kind);
    preview.set_title(parent.title);
    preview.set_state(Operation::STATE_SUCCEEDED);
    preview.set_percent(100);
    return preview;
  }
  return runner_->SubmitBatch(std::move(parent), std::move(children), 0);
}

std::vector<OperationStep> GuestOperations::Steps(const OperationRecord& record) {
  const auto request = RequestOf<ControlServicesRequest>(record);
  OperationStep step;
  step.title = absl::StrCat(VerbOf(request.action()), " ", WhatOf(request));
  step.run = [this, request](OperationContext& context) { return Run(request, context); };
  step.undo = [this](OperationContext& context) { return Undo(context); };
  return {step};
}

absl::Status GuestOperations::Run(const ControlServicesRequest& request,
                                  OperationContext& context) {
  DROVER_ASSIGN_OR_RETURN(const Vm vm, inventory_->GetVm(request.vms(0)));
  const absl::Duration time_to_live = request.time_to_live_seconds() > 0
                                          ? absl::Seconds(request.time_to_live_seconds())
                                          : kUsualTimeToLive;
  Command command;
  *command.mutable_control_service()->mutable_services() = request.services();
  command.mutable_control_service()->set_action(
      static_cast<drover::agent::v1::ControlService::Action>(request.action()));
  DROVER_ASSIGN_OR_RETURN(
      const CommandUpdate ended,
      orders_.CarryOut(context, kCommandKey, vm, std::move(command), time_to_live));
  return StatusOf(ended);
}

absl::Status GuestOperations::Undo(OperationContext& context) {
  // What the agent has begun it ends, with all its processes; a service it has changed stays as it
  // is.
  return orders_.Withdraw(context, kCommandKey);
}

absl::StatusOr<drover::v1::ServiceOutput> GuestOperations::Output(
    const drover::v1::GetServiceOutputRequest& request) {
  DROVER_ASSIGN_OR_RETURN(const Vm vm, inventory_->GetVm(request.vm()));
  DROVER_RETURN_IF_ERROR(CheckAgent(vm));
  DROVER_RETURN_IF_ERROR(CheckService(vm, request.service(), "service"));
  if (!agents_->IsConnected(vm.uid())) {
    return MakeError(absl::StatusCode::kUnavailable, "AGENT_NOT_CONNECTED",
                     absl::StrCat("the agent of ", IdOf(vm.name()), " is not connected now"));
  }
  Command command;
  command.mutable_get_service_output()->set_service(request.service());
  DROVER_ASSIGN_OR_RETURN(const CommandUpdate ended,
                          commands_->Ask(vm.uid(), std::move(command), kOutputPatience, {}));
  DROVER_RETURN_IF_ERROR(StatusOf(ended));
  drover::v1::ServiceOutput output;
  output.set_text(ended.output());
  *output.mutable_time() = ended.time();
  return output;
}

}  // namespace drover::core
