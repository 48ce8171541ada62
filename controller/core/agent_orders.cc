#include "controller/core/agent_orders.h"

#include <optional>
#include <string>
#include <utility>

#include "absl/strings/str_cat.h"
#include "proto/support/resource_name.h"
#include "proto/support/status.h"
#include "proto/support/time.h"

namespace drover::core {
namespace {

using drover::agent::v1::CommandUpdate;

constexpr absl::Duration kStopPatience = absl::Seconds(15);

using Target = drover::v1::Operation::Target;

constexpr char kAway[] = "waits for the agent to come back";

// How an order that has not ended is told.
void Tell(WaitingStep& step, CommandUpdate::State state) {
  switch (state) {
    case CommandUpdate::STATE_RUNNING:
      return step.Report(50, "is being done", Target::STATE_RUNNING);
    case CommandUpdate::STATE_DELIVERED:
      return step.Report(50, "delivered", Target::STATE_DELIVERED);
    default:
      return step.Report(0, "sent", Target::STATE_QUEUED);
  }
}

bool IsFinal(const CommandUpdate& update) { return core::IsFinal(update.state()); }

}  // namespace

absl::StatusOr<AgentOrders::Update> AgentOrders::CarryOut(OperationContext& context,
                                                          absl::string_view key,
                                                          const drover::v1::Vm& vm, Command command,
                                                          absl::Duration time_to_live) {
  std::string id = context.Recall(key);
  if (id.empty()) {
    id = commands_->NewId();
    DROVER_RETURN_IF_ERROR(context.Remember(key, id));
  }
  command.set_id(id);
  *command.mutable_expire_time() = ToProto(commands_->Now() + time_to_live);
  const std::shared_ptr<WaitingStep> step = context.Waiting();
  auto watcher = [step, key = std::string(key)](const CommandUpdate& news) {
    if (IsFinal(news)) return step->Wake();
    step->LogOutput(key, news.output(), news.output_offset(), /*whole=*/false);
    Tell(*step, news.state());
  };
  DROVER_RETURN_IF_ERROR(
      commands_->Order(vm.uid(), command, context.record().operation().name(), std::move(watcher)));
  DROVER_ASSIGN_OR_RETURN(const CommandTracker::Glance glance, commands_->Look(id));
  if (!IsFinal(glance.update)) {
    if (agents_->IsConnected(vm.uid())) {
      Tell(*step, glance.update.state());
    } else {
      step->Report(0, kAway, glance.handed ? Target::STATE_DELIVERED : Target::STATE_QUEUED);
    }
    return context.WaitForWake(glance.next - commands_->Now());
  }
  step->LogOutput(key, glance.update.output(), glance.update.output_offset(), /*whole=*/true);
  step->Report(50, "", Target::STATE_UNSPECIFIED);
  DROVER_RETURN_IF_ERROR(commands_->Forget(id));
  return glance.update;
}

absl::Status AgentOrders::Withdraw(OperationContext& context, absl::string_view key) {
  const std::string id = context.Recall(key);
  if (id.empty()) return absl::OkStatus();
  commands_->Watch(id, [step = context.Waiting()](const CommandUpdate& news) {
    if (IsFinal(news)) step->Wake();
  });
  // The operation is over when the agent has said so, or is not there to say it.
  bool confirmed = false;
  DROVER_ASSIGN_OR_RETURN(const std::optional<absl::Time> again,
                          commands_->Stop(id, kStopPatience, &confirmed));
  if (again.has_value()) return context.WaitForWake(*again - commands_->Now());
  if (!confirmed) {
    context.Log("the agent has not confirmed that it stopped; it is told when it is back");
  }
  return absl::OkStatus();
}

absl::Status StatusOf(const drover::agent::v1::CommandUpdate& update) {
  switch (update.state()) {
    case CommandUpdate::STATE_SUCCEEDED:
      return absl::OkStatus();
    case CommandUpdate::STATE_TIMED_OUT:
      return MakeError(absl::StatusCode::kDeadlineExceeded, "COMMAND_TIMED_OUT",
                       "the agent ended the command because it took too long");
    case CommandUpdate::STATE_EXPIRED:
      return MakeError(absl::StatusCode::kDeadlineExceeded, "COMMAND_EXPIRED",
                       "the agent did not come for the command in time; nothing was done");
    case CommandUpdate::STATE_CANCELLED:
      return absl::CancelledError("the command was cancelled");
    default:
      break;
  }
  absl::Status failed = FromRpcStatus(update.error());
  if (!failed.ok()) return failed;
  return absl::InternalError("the agent says that the command failed, and not why");
}

absl::Status CheckAgent(const drover::v1::Vm& vm) {
  switch (vm.agent_state()) {
    case drover::v1::AGENT_STATE_CONNECTED:
    case drover::v1::AGENT_STATE_CONTACT_LOST:
      return absl::OkStatus();
    case drover::v1::AGENT_STATE_QUARANTINED:
      return MakeError(absl::StatusCode::kFailedPrecondition, "AGENT_QUARANTINED",
                       absl::StrCat("the agent of ", IdOf(vm.name()),
                                    " is away, and another machine shows its identity; nothing "
                                    "is sent before the VM itself is back"),
                       {{"vm", vm.name()}});
    default:
      return MakeError(absl::StatusCode::kFailedPrecondition, "AGENT_MISSING",
                       absl::StrCat("VM ", IdOf(vm.name()), " has no agent yet"),
                       {{"vm", vm.name()}});
  }
}

}  // namespace drover::core
