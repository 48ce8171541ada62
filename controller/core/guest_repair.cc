#include "controller/core/guest_repair.h"

#include <algorithm>
#include <optional>
#include <string>
#include <utility>

#include "absl/strings/str_cat.h"
#include "controller/core/network_operations.h"
#include "proto/support/resource_name.h"
#include "proto/support/status.h"

namespace drover::core {
namespace {

using drover::v1::Operation;
using drover::v1::Vm;

// Of the whole operation: what the look has shown to be necessary.
constexpr char kNetwork[] = "network";
constexpr char kInstall[] = "install";

}  // namespace

void GuestRepair::Register() {
  runner_->Register(kKind, [this](const OperationRecord& record) { return Steps(record); });
}

absl::StatusOr<Operation> GuestRepair::Repair(const Request& request, const Caller& caller) {
  DROVER_ASSIGN_OR_RETURN(std::optional<Operation> earlier,
                          runner_->Earlier(caller, request.request_id(), request));
  if (earlier) return *earlier;
  DROVER_ASSIGN_OR_RETURN(const Vm vm, world_.inventory->GetVm(request.name()));
  if (vm.state() != Vm::STATE_READY || vm.hypervisor_object().empty()) {
    return MakeError(absl::StatusCode::kFailedPrecondition, "VM_NOT_READY",
                     absl::StrCat("VM ", IdOf(vm.name()), " is not ready; wait until it is"));
  }
  const bool asked = request.reinstall_agent() || request.reapply_network();
  if (!asked && world_.agents->IsConnected(vm.uid())) {
    return MakeError(absl::StatusCode::kFailedPrecondition, "AGENT_CONNECTED",
                     absl::StrCat("the agent of ", IdOf(vm.name()),
                                  " is connected: there is nothing to repair; to install it or to "
                                  "set the network again all the same, say so"));
  }
  OperationRequest operation =
      RequestFor(kKind, absl::StrCat("repair ", IdOf(vm.name())), vm, request);
  operation.caller = caller;
  operation.request_id = request.request_id();
  return runner_->Submit(std::move(operation));
}

std::vector<OperationStep> GuestRepair::Steps(const OperationRecord& record) {
  const auto request = RequestOf<Request>(record);
  const auto step = [&](absl::string_view title, int weight,
                        absl::Status (GuestRepair::*run)(const Request&, OperationContext&)) {
    OperationStep step;
    step.title = std::string(title);
    step.weight = weight;
    step.run = [this, request, run](OperationContext& context) {
      return (this->*run)(request, context);
    };
    return step;
  };
  return {step("look inside through VMware Tools", 2, &GuestRepair::Look),
          step("set the network, where it is another", 3, &GuestRepair::SetNetwork),
          step("start the agent", 5, &GuestRepair::StartAgent),
          step("wait for the agent", 5, &GuestRepair::Finish)};
}

absl::Status GuestRepair::Look(const Request& request, OperationContext& context) {
  DROVER_ASSIGN_OR_RETURN(const Vm vm, world_.inventory->GetVm(request.name()));
  DROVER_RETURN_IF_ERROR(
      LogUseOfTools(*events_, context.record(), vm, "look inside", "to repair the VM"));
  DROVER_ASSIGN_OR_RETURN(const GuestView view, guest_->Look(vm.name(), context));
  context.Log(view.text);
  const bool has_address = std::find(view.addresses.begin(), view.addresses.end(),
                                     vm.network().ip()) != view.addresses.end();
  const bool known = !vm.network().ip().empty() && !vm.network().netmask().empty();
  if (request.reapply_network() && !known) {
    return MakeError(absl::StatusCode::kFailedPrecondition, "NETWORK_NOT_KNOWN",
                     absl::StrCat("the inventory does not know the network of ", IdOf(vm.name()),
                                  ", which was imported"));
  }
  if (request.reapply_network() || (known && !has_address)) {
    DROVER_RETURN_IF_ERROR(context.RememberForAll(kNetwork, "yes"));
  }
  if (request.reinstall_agent() || !view.agent_installed) {
    DROVER_RETURN_IF_ERROR(context.RememberForAll(kInstall, "yes"));
  }
  context.Log(absl::StrCat("agent ", view.agent_installed ? "installed" : "not installed", ", ",
                           view.agent_runs ? "runs" : "does not run", "; address ",
                           has_address ? "as it should be" : "not the one it should have"));
  return absl::OkStatus();
}

absl::Status GuestRepair::SetNetwork(const Request& request, OperationContext& context) {
  if (context.RecallForAll(kNetwork).empty()) return absl::OkStatus();
  DROVER_ASSIGN_OR_RETURN(const Vm vm, world_.inventory->GetVm(request.name()));
  DROVER_RETURN_IF_ERROR(LogUseOfTools(*events_, context.record(), vm, "set network again",
                                       absl::StrCat("to ", vm.network().ip())));
  return guest_->SetNetwork(vm.name(), context);
}

absl::Status GuestRepair::StartAgent(const Request& request, OperationContext& context) {
  DROVER_ASSIGN_OR_RETURN(const Vm vm, world_.inventory->GetVm(request.name()));
  const bool install = !context.RecallForAll(kInstall).empty();
  // The network may have been all it needed; an agent that is there is left alone.
  if (!install && world_.agents->IsConnected(vm.uid())) return absl::OkStatus();
  DROVER_RETURN_IF_ERROR(LogUseOfTools(*events_, context.record(), vm,
                                       install ? "install agent" : "restart agent",
                                       "to repair the VM"));
  return install ? guest_->InstallAgent(vm.name(), context)
                 : guest_->RestartAgent(vm.name(), context);
}

absl::Status GuestRepair::Finish(const Request& request, OperationContext& context) {
  DROVER_RETURN_IF_ERROR(guest_->AwaitAgent(request.name(), context));
  DROVER_ASSIGN_OR_RETURN(const Vm vm, world_.inventory->GetVm(request.name()));
  context.SetResponse(vm);
  return absl::OkStatus();
}

}  // namespace drover::core
