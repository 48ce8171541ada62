// One order to one VM's agent as a part of an operation's step: ordered once whatever happens to
// the controller, its result fetched, its end awaited without holding a worker.
//
// Thread promise: all methods from any thread; must outlive the runner's work. Survives a restart:
// orders that were given, under the key they were given for.
#pragma once

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/time/time.h"
#include "controller/core/command_tracker.h"
#include "controller/core/operation_runner.h"
#include "controller/core/ports.h"

namespace drover::core {

class AgentOrders {
 public:
  using Command = drover::agent::v1::Command;
  using Update = drover::agent::v1::CommandUpdate;

  AgentOrders(CommandTracker* commands, AgentGateway* agents)
      : commands_(commands), agents_(agents) {}

  // Carries out `command` (order and timeout; id and expire time are set here) on the VM for this
  // step: the first call gives the order and remembers it under `key`, which is the step's own; any
  // later call, also after a restart, finds it again. The final update when there is one; its state
  // is not interpreted, see StatusOf. Any other status is what the step's `run` returns at once:
  // mostly that it waits, in which case `run` is called again when the order has ended. A step with
  // several orders gives them all before it returns such a status.
  // The agent may come for it until `time_to_live` after the order. Output goes to the operation's
  // log, its state to the step's detail and the target.
  absl::StatusOr<Update> CarryOut(OperationContext& context, absl::string_view key,
                                  const drover::v1::Vm& vm, Command command,
                                  absl::Duration time_to_live);
  // For a step's undo: cancels the order given for `key`, if any, and waits a while for the agent's
  // word that it has ended (P15), as CarryOut waits; without it the agent is told again whenever it
  // is back.
  absl::Status Withdraw(OperationContext& context, absl::string_view key);

 private:
  CommandTracker* const commands_;
  AgentGateway* const agents_;
};

// OK for SUCCEEDED; DEADLINE_EXCEEDED, reasons COMMAND_TIMED_OUT and COMMAND_EXPIRED; CANCELLED;
// the agent's own error for FAILED. The reasons become the targets' states.
absl::Status StatusOf(const drover::agent::v1::CommandUpdate& update);

// FAILED_PRECONDITION, reasons AGENT_MISSING and AGENT_QUARANTINED, where no order can ever reach
// the VM; OK for one that is away now.
absl::Status CheckAgent(const drover::v1::Vm& vm);

}  // namespace drover::core
