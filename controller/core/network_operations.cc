#include "controller/core/network_operations.h"

#include <algorithm>
#include <optional>
#include <string>
#include <utility>

#include "absl/strings/str_cat.h"
#include "controller/core/network_rules.h"
#include "proto/support/resource_name.h"
#include "proto/support/status.h"

namespace drover::core {
namespace {

using drover::agent::v1::Command;
using drover::agent::v1::CommandUpdate;
using drover::v1::Operation;
using drover::v1::Vm;

constexpr absl::Duration kStandardDeadline = absl::Seconds(60);
// Within this an agent that is there takes the order.
constexpr absl::Duration kToBegin = absl::Minutes(1);
// Putting everything back takes an agent this long at most, beyond the deadline.
constexpr absl::Duration kToPutBack = absl::Minutes(2);
constexpr absl::Duration kPoll = absl::Milliseconds(250);
constexpr absl::Duration kPing = absl::Seconds(1);

// Of the whole operation: the VM's network before it, and how far it got.
constexpr char kBefore[] = "before";
constexpr char kChanged[] = "changed";
// Of the step: the agent did not answer; VMware Tools were taken; the orders.
constexpr char kSilent[] = "silent";
constexpr char kTools[] = "tools";
constexpr char kOrder[] = "order";
constexpr char kOrderBack[] = "order-back";

absl::Duration DeadlineOf(const drover::v1::SetVmNetworkRequest& request) {
  return request.deadline_seconds() > 0 ? absl::Seconds(request.deadline_seconds())
                                        : kStandardDeadline;
}

std::string InWords(const drover::v1::NetworkSettings& network) {
  return absl::StrCat(network.ip(), "/", network.netmask(),
                      network.gateway().empty() ? "" : absl::StrCat(" by ", network.gateway()));
}

}  // namespace

bool IsSilence(const absl::Status& status) {
  return HasReason(status, "CONTACT_LOST") || HasReason(status, "COMMAND_EXPIRED") ||
         HasReason(status, "AGENT_NOT_CONNECTED");
}

absl::Status LogUseOfTools(EventLog& events, const OperationRecord& record, const Vm& vm,
                           absl::string_view what, absl::string_view why) {
  drover::v1::LogEntry entry;
  entry.set_kind(drover::v1::LOG_KIND_OPERATION);
  entry.set_user(record.operation().user());
  entry.set_vm(vm.name());
  entry.set_vm_type(vm.type());
  entry.set_environment(vm.environment());
  entry.set_resource_name(vm.name());
  entry.set_action(absl::StrCat(what, " through VMware Tools"));
  entry.set_result("OK");
  entry.set_detail(std::string(why));
  entry.set_operation(record.operation().name());
  return events.Log(std::move(entry));
}

// ---------------------------------------------------------------- before it is recorded

void NetworkOperations::Register() {
  runner_->Register(kKind, [this](const OperationRecord& record) { return Steps(record); });
}

absl::Status NetworkOperations::CheckWay(const Vm& vm) const {
  if (vm.state() != Vm::STATE_READY) {
    return MakeError(absl::StatusCode::kFailedPrecondition, "VM_NOT_READY",
                     absl::StrCat("VM ", IdOf(vm.name()), " is not ready; wait until it is"));
  }
  if (vm.agent_state() == drover::v1::AGENT_STATE_QUARANTINED) return CheckAgent(vm);
  if (world_.agents->IsConnected(vm.uid())) return absl::OkStatus();
  if (vm.network().netmask().empty()) {
    return MakeError(
        absl::StatusCode::kFailedPrecondition, "NETWORK_NOT_KNOWN",
        absl::StrCat("the agent of ", IdOf(vm.name()),
                     " is not connected, and through VMware Tools there would be no way back: the "
                     "VM was imported, and its present netmask is not known"));
  }
  return absl::OkStatus();
}

absl::StatusOr<Operation> NetworkOperations::Set(const Request& request, const Caller& caller) {
  DROVER_ASSIGN_OR_RETURN(std::optional<Operation> earlier,
                          runner_->Earlier(caller, request.request_id(), request));
  if (earlier) return *earlier;
  DROVER_ASSIGN_OR_RETURN(const Vm vm, world_.inventory->GetVm(request.name()));
  Violations violations;
  CheckNetwork(request.network(), "network", violations);
  DROVER_RETURN_IF_ERROR(violations.ToStatus());
  DROVER_RETURN_IF_ERROR(CheckWay(vm));
  if (request.network().ip() != vm.network().ip()) {
    DROVER_RETURN_IF_ERROR(CheckAddressFree(world_, vm.name(), request.network().ip()));
  }
  const std::string title =
      absl::StrCat("change network of ", IdOf(vm.name()), " to ", request.network().ip());
  if (request.validate_only()) {
    Operation preview;
    preview.set_kind(kKind);
    preview.set_title(title);
    preview.set_state(Operation::STATE_SUCCEEDED);
    preview.set_percent(100);
    preview.add_targets()->set_vm(vm.name());
    return preview;
  }
  OperationRequest operation = RequestFor(kKind, title, vm, request);
  operation.caller = caller;
  operation.request_id = request.request_id();
  return runner_->Submit(std::move(operation));
}

// ---------------------------------------------------------------- steps

std::vector<OperationStep> NetworkOperations::Steps(const OperationRecord& record) {
  const auto request = RequestOf<Request>(record);
  OperationStep check;
  check.title = "check the address";
  check.run = [this, request](OperationContext& context) -> absl::Status {
    DROVER_ASSIGN_OR_RETURN(const Vm vm, world_.inventory->GetVm(request.name()));
    DROVER_RETURN_IF_ERROR(context.RememberForAll(kBefore, vm.network().SerializeAsString()));
    if (request.network().ip() == vm.network().ip()) return absl::OkStatus();
    return CheckAddressFree(world_, vm.name(), request.network().ip());
  };
  check.undo = [this, request](OperationContext&) {
    world_.inventory->ReleaseAddress(request.name(), request.network().ip());
    return absl::OkStatus();
  };
  OperationStep change;
  change.title = "change the network";
  change.weight = 10;
  change.run = [this, request](OperationContext& context) { return Change(request, context); };
  change.undo = [this, request](OperationContext& context) { return Undo(request, context); };
  OperationStep keep;
  keep.title = "note it in the inventory";
  keep.run = [this, request](OperationContext& context) { return Keep(request, context); };
  keep.undo = [this, request](OperationContext& context) { return Restore(request, context); };
  return {check, change, keep};
}

// Made again by each step: a claim is lost with the controller.
absl::Status NetworkOperations::Claim(const Request& request) const {
  return world_.inventory->ClaimAddress(request.name(), request.network().ip());
}

absl::Status NetworkOperations::Order(const Request& request, absl::string_view key,
                                      const Settings& settings, OperationContext& context) {
  DROVER_ASSIGN_OR_RETURN(const Vm vm, world_.inventory->GetVm(request.name()));
  Command command;
  drover::agent::v1::SetNetwork& order = *command.mutable_set_network();
  order.set_ip(settings.ip());
  order.set_netmask(settings.netmask());
  order.set_gateway(settings.gateway());
  for (const std::string* server : {&settings.dns1(), &settings.dns2()}) {
    if (!server->empty()) order.add_dns(*server);
  }
  const absl::Duration deadline = DeadlineOf(request);
  order.set_deadline_seconds(static_cast<int32_t>(absl::ToInt64Seconds(deadline)));
  command.set_timeout_seconds(static_cast<int32_t>(absl::ToInt64Seconds(deadline + kToPutBack)));
  DROVER_ASSIGN_OR_RETURN(const CommandUpdate ended,
                          orders_.CarryOut(context, key, vm, std::move(command), kToBegin));
  return StatusOf(ended);
}

absl::Status NetworkOperations::Change(const Request& request, OperationContext& context) {
  DROVER_RETURN_IF_ERROR(Claim(request));
  DROVER_ASSIGN_OR_RETURN(const Vm vm, world_.inventory->GetVm(request.name()));
  const bool ordered = !context.Recall(kOrder).empty();
  const bool silent = !context.Recall(kSilent).empty() || !context.Recall(kTools).empty();
  if (!silent && (ordered || world_.agents->IsConnected(vm.uid()))) {
    const absl::Status changed = Order(request, kOrder, request.network(), context);
    const bool cannot = HasReason(changed, "UNKNOWN_ORDER");
    if (!IsSilence(changed) && !cannot) {
      DROVER_RETURN_IF_ERROR(changed);
      return context.RememberForAll(kChanged, "yes");
    }
    context.Log(absl::StrCat("the agent did not do it: ", changed.message()));
    DROVER_RETURN_IF_ERROR(context.Remember(kSilent, "yes"));
  }
  // It may have gone back by itself, or have died in the middle; from here on it has no say.
  DROVER_RETURN_IF_ERROR(orders_.Withdraw(context, kOrder));
  DROVER_RETURN_IF_ERROR(CheckWay(vm));
  return ThroughTools(request, context);
}

absl::Status NetworkOperations::AwaitThere(const Vm& vm, const Settings& settings, absl::Time until,
                                           OperationContext& context) const {
  for (;;) {
    DROVER_ASSIGN_OR_RETURN(const std::vector<bool> answered,
                            world_.prober->Sweep({{vm.name(), settings.ip()}}, kPing));
    if (!answered.empty() && answered.front()) return absl::OkStatus();
    if (world_.clock->Now() >= until) {
      return MakeError(absl::StatusCode::kDeadlineExceeded, "VM_NOT_REACHABLE",
                       absl::StrCat(settings.ip(), " does not answer pings"));
    }
    context.Report(50, absl::StrCat("waiting for ", settings.ip(), " to answer"));
    DROVER_RETURN_IF_ERROR(world_.clock->Sleep(kPoll, context.stop()));
  }
}

absl::Status NetworkOperations::ThroughTools(const Request& request, OperationContext& context) {
  DROVER_ASSIGN_OR_RETURN(const Vm vm, world_.inventory->GetVm(request.name()));
  // Tools that are away have a clear reason, before anything is touched.
  DROVER_ASSIGN_OR_RETURN(const GuestView view, guest_->Look(vm.name(), context));
  if (context.Recall(kTools).empty()) {
    context.Log(view.text);
    DROVER_RETURN_IF_ERROR(LogUseOfTools(*events_, context.record(), vm, "change network",
                                         "the VM's agent is not connected"));
    DROVER_RETURN_IF_ERROR(context.Remember(kTools, "yes"));
  }
  context.Report(10, "setting it through VMware Tools");
  DROVER_RETURN_IF_ERROR(context.RememberForAll(kChanged, "yes"));
  DROVER_RETURN_IF_ERROR(guest_->SetNetworkTo(vm.name(), request.network(), context));
  const absl::Status there =
      AwaitThere(vm, request.network(), world_.clock->Now() + DeadlineOf(request), context);
  if (!HasReason(there, "VM_NOT_REACHABLE")) return there;
  // The step's undo sets what was before.
  return MakeError(absl::StatusCode::kAborted, "NETWORK_PUT_BACK",
                   absl::StrCat(there.message(), " within ", FormatDuration(DeadlineOf(request)),
                                "; the settings of before are set again through VMware Tools"));
}

absl::Status NetworkOperations::Keep(const Request& request, OperationContext& context) {
  DROVER_RETURN_IF_ERROR(Claim(request));
  DROVER_RETURN_IF_ERROR(world_.inventory->ChangeVm(
      request.name(), [&](Vm& vm) { *vm.mutable_network() = request.network(); }));
  DROVER_ASSIGN_OR_RETURN(const Vm vm, world_.inventory->GetVm(request.name()));
  context.SetResponse(vm);
  return absl::OkStatus();
}

// ---------------------------------------------------------------- undo

absl::Status NetworkOperations::Undo(const Request& request, OperationContext& context) {
  // An agent that has begun puts everything back before it says that it ended.
  DROVER_RETURN_IF_ERROR(orders_.Withdraw(context, kOrder));
  if (context.RecallForAll(kChanged).empty()) return absl::OkStatus();
  const absl::StatusOr<Vm> vm = world_.inventory->GetVm(request.name());
  if (absl::IsNotFound(vm.status())) return absl::OkStatus();
  DROVER_RETURN_IF_ERROR(vm.status());
  Settings before;
  if (!before.ParseFromString(context.RecallForAll(kBefore)) || before.netmask().empty()) {
    return MakeError(absl::StatusCode::kFailedPrecondition, "NETWORK_NOT_KNOWN",
                     "what the network was before is not known");
  }
  if (world_.agents->IsConnected(vm->uid()) || !context.Recall(kOrderBack).empty()) {
    const absl::Status back = Order(request, kOrderBack, before, context);
    if (!IsSilence(back)) return back;
  }
  DROVER_RETURN_IF_ERROR(LogUseOfTools(*events_, context.record(), *vm, "put network back",
                                       absl::StrCat("to ", InWords(before))));
  return guest_->SetNetworkTo(vm->name(), before, context);
}

absl::Status NetworkOperations::Restore(const Request& request, OperationContext& context) {
  Settings before;
  if (!before.ParseFromString(context.RecallForAll(kBefore))) return absl::OkStatus();
  const absl::Status restored =
      world_.inventory->ChangeVm(request.name(), [&](Vm& vm) { *vm.mutable_network() = before; });
  return absl::IsNotFound(restored) ? absl::OkStatus() : restored;
}

}  // namespace drover::core
