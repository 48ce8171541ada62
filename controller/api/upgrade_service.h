// The calls of UpgradeService: working copies, rollouts, automatic upgrade.
//
// Thread promise: Register once before the server starts; handlers from any thread.
#pragma once

#include <memory>

#include "absl/status/statusor.h"
#include "controller/api/dispatcher.h"
#include "controller/api/operation_service.h"
#include "controller/core/automatic_upgrades.h"
#include "controller/core/rollouts.h"
#include "controller/core/working_copies.h"

namespace drover::api {

class UpgradeService {
 public:
  UpgradeService(core::WorkingCopies* copies, core::Rollouts* rollouts,
                 core::AutomaticUpgrades* automatic, OperationService* operations)
      : copies_(copies), rollouts_(rollouts), automatic_(automatic), operations_(operations) {}

  void Register(Dispatcher& dispatcher);

 private:
  void RegisterRollouts(Dispatcher& dispatcher);
  absl::StatusOr<std::unique_ptr<Subscription>> Watch(const v1::WatchRolloutRequest& request,
                                                      std::shared_ptr<StreamSink> sink);

  core::WorkingCopies* const copies_;
  core::Rollouts* const rollouts_;
  core::AutomaticUpgrades* const automatic_;
  OperationService* const operations_;
};

}  // namespace drover::api
