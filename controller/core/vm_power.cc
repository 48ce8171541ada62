#include "absl/strings/str_cat.h"
#include "controller/core/vm_changes.h"
#include "proto/support/log.h"
#include "proto/support/resource_name.h"
#include "proto/support/status.h"

namespace drover::core {
namespace {

using drover::v1::PowerVmsRequest;

constexpr absl::Duration kShutdownDeadline = absl::Seconds(120);
// Beyond what a shutdown may take; an agent that is still there then goes on as before.
constexpr absl::Duration kSlack = absl::Seconds(30);
constexpr absl::Duration kAgentPatience = absl::Seconds(2);

absl::Duration PatienceOf(const PowerVmsRequest& request) {
  return request.shutdown_deadline_seconds() > 0
             ? absl::Seconds(request.shutdown_deadline_seconds())
             : kShutdownDeadline;
}

}  // namespace

absl::string_view PowerVerb(drover::v1::PowerAction action) {
  switch (action) {
    case drover::v1::POWER_ACTION_ON:
      return "power on";
    case drover::v1::POWER_ACTION_OFF:
      return "power off";
    case drover::v1::POWER_ACTION_RESTART:
      return "restart";
    case drover::v1::POWER_ACTION_HARD_OFF:
      return "cut power of";
    case drover::v1::POWER_ACTION_RESET:
      return "reset";
    default:
      return "leave";
  }
}

absl::StatusOr<OperationRequest> VmPower::Operation(absl::string_view vm_name,
                                                    drover::v1::PowerAction action,
                                                    int shutdown_deadline_seconds) const {
  DROVER_ASSIGN_OR_RETURN(const drover::v1::Vm vm, world_->inventory->GetVm(vm_name));
  PowerVmsRequest request;
  request.add_names(vm.name());
  request.set_action(action);
  request.set_shutdown_deadline_seconds(shutdown_deadline_seconds);
  return RequestFor(kKind, absl::StrCat(PowerVerb(action), " ", IdOf(vm.name())), vm,
                    std::move(request));
}

// Services that end because their machine goes down on order are no outage (MON-2). An agent that
// does not answer keeps nobody waiting.
void VmPower::TellAgent(const drover::v1::Vm& vm, absl::Duration window,
                        std::stop_token stop) const {
  if (world_->commands == nullptr || !world_->agents->IsConnected(vm.uid())) return;
  drover::agent::v1::Command command;
  command.mutable_prepare_shutdown()->set_seconds(
      static_cast<int32_t>(absl::ToInt64Seconds(window)));
  const absl::Status told =
      world_->commands->Ask(vm.uid(), std::move(command), kAgentPatience, stop).status();
  if (!told.ok()) LogDebug("shutdown of ", vm.name(), ": ", told.message());
}

absl::Status VmPower::RunPrepared(const drover::v1::Vm& vm, absl::Duration window,
                                  std::stop_token stop,
                                  absl::FunctionRef<absl::Status()> go_down) const {
  TellAgent(vm, window + kSlack, stop);
  absl::Status down = go_down();
  if (!down.ok()) TellAgent(vm, absl::ZeroDuration(), stop);
  return down;
}

absl::Status VmPower::Run(const PowerVmsRequest& request, OperationContext& context) const {
  const std::string& name = request.names(0);
  DROVER_ASSIGN_OR_RETURN(const PlacedVm placed, FindPlacedVm(*world_, name));
  const std::string& object = placed.vm.hypervisor_object();
  Hypervisor& host = *placed.host;
  DROVER_ASSIGN_OR_RETURN(const HypervisorVm now, host.GetVm(object));
  const bool on = now.power() == drover::v1::POWER_STATE_ON;
  switch (request.action()) {
    case drover::v1::POWER_ACTION_ON:
      return host.PowerOn(object, context);
    case drover::v1::POWER_ACTION_OFF:
      if (!on) return host.PowerOff(object, PatienceOf(request), context);
      return RunPrepared(placed.vm, PatienceOf(request), context.stop(),
                         [&] { return host.PowerOff(object, PatienceOf(request), context); });
    case drover::v1::POWER_ACTION_HARD_OFF:
      return host.PowerOff(object, absl::ZeroDuration(), context);
    case drover::v1::POWER_ACTION_RESTART:
      // Running VMs reboot, stopped ones power on (ENV-2).
      if (!on) return host.PowerOn(object, context);
      return RunPrepared(placed.vm, kShutdownDeadline, context.stop(),
                         [&] { return host.Restart(object, /*hard=*/false, context); });
    case drover::v1::POWER_ACTION_RESET:
      return on ? host.Restart(object, /*hard=*/true, context) : host.PowerOn(object, context);
    default:
      return InvalidField("action", "give what to do");
  }
}

std::vector<OperationStep> VmPower::Steps(const OperationRecord& record) const {
  const auto request = RequestOf<PowerVmsRequest>(record);
  OperationStep step;
  step.title = std::string(PowerVerb(request.action()));
  step.run = [this, request](OperationContext& context) -> absl::Status {
    DROVER_RETURN_IF_ERROR(Run(request, context));
    DROVER_ASSIGN_OR_RETURN(const PlacedVm placed, FindPlacedVm(*world_, request.names(0)));
    // The host's own report follows; who asks now shall not see the past.
    DROVER_ASSIGN_OR_RETURN(const HypervisorVm now,
                            placed.host->GetVm(placed.vm.hypervisor_object()));
    return world_->inventory->ChangeVm(request.names(0),
                                       [&](drover::v1::Vm& vm) { vm.set_power(now.power()); });
  };
  return {step};
}

}  // namespace drover::core
