// The platform log's part of ActivityService, handed to core::EventLog. Thread promise: Register
// before the server starts; the handlers from any thread. `log` outlives the dispatcher.
#pragma once

#include "controller/api/dispatcher.h"
#include "controller/core/event_log.h"

namespace drover::api {

void RegisterLogService(Dispatcher& dispatcher, core::EventLog* log);

}  // namespace drover::api
