#include "controller/api/upgrade_service.h"

#include <utility>

#include "google/protobuf/empty.pb.h"
#include "proto/support/status.h"

namespace drover::api {
namespace {

// Takes the operation's changes and tells the rollout's.
class RolloutSink : public StreamSink {
 public:
  RolloutSink(v1::RolloutSpec spec, std::shared_ptr<StreamSink> sink)
      : spec_(std::move(spec)), sink_(std::move(sink)) {}

  bool Push(const google::protobuf::Message& message) override {
    return sink_->Push(core::Rollouts::ViewOf(spec_, static_cast<const v1::Operation&>(message)));
  }
  void Finish(absl::Status status) override { sink_->Finish(std::move(status)); }

 private:
  const v1::RolloutSpec spec_;
  const std::shared_ptr<StreamSink> sink_;
};

}  // namespace

void UpgradeService::Register(Dispatcher& dispatcher) {
  dispatcher.OnUnary<v1::ListWorkingCopiesRequest, v1::ListWorkingCopiesResponse>(
      "UpgradeService.ListWorkingCopies",
      [this](const Call&, const auto& request) { return copies_->List(request); });
  dispatcher.OnUnary<v1::ListAutomaticUpgradesRequest, v1::ListAutomaticUpgradesResponse>(
      "UpgradeService.ListAutomaticUpgrades",
      [this](const Call&, const auto& request) { return automatic_->List(request); });
  dispatcher.OnUnary<v1::SetAutomaticUpgradeRequest, v1::AutomaticUpgrade>(
      "UpgradeService.SetAutomaticUpgrade", [this](const Call&, const auto& request) {
        return automatic_->Set(request.automatic_upgrade());
      });
  dispatcher.OnUnary<v1::NotifyCommitRequest, google::protobuf::Empty>(
      "UpgradeService.NotifyCommit",
      [this](const Call&, const auto& request) -> absl::StatusOr<google::protobuf::Empty> {
        DROVER_RETURN_IF_ERROR(automatic_->Notify(request));
        return google::protobuf::Empty();
      });
  RegisterRollouts(dispatcher);
}

void UpgradeService::RegisterRollouts(Dispatcher& dispatcher) {
  dispatcher.OnUnary<v1::PlanRolloutRequest, v1::RolloutPlan>(
      "UpgradeService.PlanRollout",
      [this](const Call&, const auto& request) { return rollouts_->Plan(request.spec()); });
  dispatcher.OnUnary<v1::StartRolloutRequest, v1::Rollout>(
      "UpgradeService.StartRollout", [this](const Call& call, const auto& request) {
        return rollouts_->Start(request, call.caller);
      });
  dispatcher.OnUnary<v1::GetRolloutRequest, v1::Rollout>(
      "UpgradeService.GetRollout",
      [this](const Call&, const auto& request) { return rollouts_->Get(request.name()); });
  dispatcher.OnUnary<v1::ListRolloutsRequest, v1::ListRolloutsResponse>(
      "UpgradeService.ListRollouts",
      [this](const Call&, const auto& request) { return rollouts_->List(request); });
  dispatcher.OnUnary<v1::PauseRolloutRequest, v1::Rollout>(
      "UpgradeService.PauseRollout",
      [this](const Call&, const auto& request) { return rollouts_->Pause(request.name()); });
  dispatcher.OnUnary<v1::ResumeRolloutRequest, v1::Rollout>(
      "UpgradeService.ResumeRollout",
      [this](const Call&, const auto& request) { return rollouts_->Resume(request.name()); });
  dispatcher.OnUnary<v1::CancelRolloutRequest, v1::Rollout>(
      "UpgradeService.CancelRollout", [this](const Call& call, const auto& request) {
        return rollouts_->Cancel(request, call.caller);
      });
  dispatcher.OnStream<v1::WatchRolloutRequest, v1::Rollout>(
      "UpgradeService.WatchRollout",
      [this](const Call&, const v1::WatchRolloutRequest& request,
             std::shared_ptr<StreamSink> sink) { return Watch(request, std::move(sink)); });
}

absl::StatusOr<std::unique_ptr<Subscription>> UpgradeService::Watch(
    const v1::WatchRolloutRequest& request, std::shared_ptr<StreamSink> sink) {
  DROVER_ASSIGN_OR_RETURN(const v1::Rollout rollout, rollouts_->Get(request.name()));
  return operations_->WatchOperation(
      rollout.operation().name(), std::make_shared<RolloutSink>(rollout.spec(), std::move(sink)));
}

}  // namespace drover::api
