// The end of an operation as an event, and, when it failed, as an entry of the platform log.
//
// Thread promise: pure functions; LogEnds once before the runner starts.
#pragma once

#include <optional>

#include "controller/core/event_log.h"
#include "controller/core/operation_runner.h"
#include "controller/core/records.pb.h"

namespace drover::core {

// "operation.finished". Nothing for a part that succeeded: its batch tells that.
std::optional<drover::v1::Event> EndEvent(const OperationRecord& record);

// Both outlive the runner's last operation.
void LogEnds(OperationRunner& runner, EventLog* events);

}  // namespace drover::core
