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
  const drover::v1::Operation& operation = context.record().operation();
  command.set_id(id);
  *command.mutable_expire_time() = ToProto(FromProto(operation.create_time()) + time_to_live);
  DROVER_RETURN_IF_ERROR(commands_->Order(vm.uid(), command, operation.name()));
  context.Report(0, agents_->IsConnected(vm.uid()) ? "sent" : "waits for the agent to come back");
  auto ended = commands_->Wait(id, context.stop(), [&](const CommandUpdate& update) {
    context.Report(50,
                   update.state() == CommandUpdate::STATE_RUNNING ? "is being done" : "delivered");
  });
  // The command goes on without the wait; whoever continues the operation finds it.
  DROVER_RETURN_IF_ERROR(ended.status());
  if (!ended->output().empty()) context.Log(ended->output());
  DROVER_RETURN_IF_ERROR(commands_->Forget(id));
  return ended;
}

absl::Status AgentOrders::Withdraw(OperationContext& context, absl::string_view key) {
  const std::string id = context.Recall(key);
  if (id.empty()) return absl::OkStatus();
  // The operation is over when the agent has said so, or is not there to say it.
  DROVER_ASSIGN_OR_RETURN(const std::optional<CommandUpdate> ended,
                          commands_->Stop(id, kStopPatience, context.stop()));
  if (!ended)
    context.Log("the agent has not confirmed that it stopped; it is told when it is back");
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
