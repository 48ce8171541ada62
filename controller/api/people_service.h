// PeopleService's calls, handed to core::People. Thread promise: Register before the server starts;
// the handlers from any thread. `people` outlives the dispatcher.
#pragma once

#include "controller/api/dispatcher.h"
#include "controller/core/people.h"

namespace drover::api {

void RegisterPeopleService(Dispatcher& dispatcher, core::People* people);

}  // namespace drover::api
