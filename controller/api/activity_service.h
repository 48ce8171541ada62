// Events, the live watch and the dashboard. Operations are in operation_service, the platform log
// in log_service. Thread promise: Register once before the server starts; handlers from any thread.
#pragma once

#include <functional>

#include "controller/api/dispatcher.h"
#include "controller/core/change_hub.h"
#include "controller/core/event_log.h"
#include "controller/core/inventory.h"
#include "controller/core/reachability.h"

namespace drover::api {

class ActivityService {
 public:
  // `count_running` tells how many operations are under way.
  ActivityService(core::Inventory* inventory, core::EventLog* events, core::ChangeHub* hub,
                  core::ReachabilitySweep* sweep, std::function<int()> count_running)
      : inventory_(inventory),
        events_(events),
        hub_(hub),
        sweep_(sweep),
        count_running_(std::move(count_running)) {}

  void Register(Dispatcher& dispatcher);

 private:
  v1::Dashboard Describe() const;

  core::Inventory* const inventory_;
  core::EventLog* const events_;
  core::ChangeHub* const hub_;
  core::ReachabilitySweep* const sweep_;
  const std::function<int()> count_running_;
};

}  // namespace drover::api
