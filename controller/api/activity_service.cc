#include "controller/api/activity_service.h"

#include <memory>
#include <utility>

#include "controller/core/vm_query.h"
#include "proto/support/time.h"

namespace drover::api {
namespace {

class WatchSubscription : public Subscription {
 public:
  explicit WatchSubscription(std::shared_ptr<core::ChangeHub::Watch> watch)
      : watch_(std::move(watch)) {}
  ~WatchSubscription() override { watch_->End(); }
  void OnRoom() override { watch_->OnRoom(); }

 private:
  const std::shared_ptr<core::ChangeHub::Watch> watch_;
};

}  // namespace

void ActivityService::Register(Dispatcher& dispatcher) {
  dispatcher.OnUnary<v1::ListEventsRequest, v1::ListEventsResponse>(
      "ActivityService.ListEvents",
      [this](const Call&, const auto& request) { return events_->ListEvents(request); });
  dispatcher.OnUnary<v1::GetDashboardRequest, v1::Dashboard>(
      "ActivityService.GetDashboard",
      [this](const Call&, const auto&) -> absl::StatusOr<v1::Dashboard> { return Describe(); });
  dispatcher.OnStream<v1::WatchRequest, v1::WatchResponse>(
      "ActivityService.Watch",
      [this](const Call&, const v1::WatchRequest& request,
             std::shared_ptr<StreamSink> sink) -> absl::StatusOr<std::unique_ptr<Subscription>> {
        auto watch = hub_->Subscribe(
            request, [sink](const v1::WatchResponse& change) { return sink->Push(change); });
        hub_->Greet(*watch);
        return std::make_unique<WatchSubscription>(std::move(watch));
      });
}

v1::Dashboard ActivityService::Describe() const {
  const core::VmTotals totals = core::CountVms(*inventory_->Vms());
  v1::Dashboard dashboard;
  dashboard.set_total(totals.all.total);
  dashboard.set_up(totals.all.up);
  dashboard.set_down(totals.all.down);
  dashboard.set_unknown(totals.all.unknown);
  dashboard.set_agents_connected(totals.all.agents_connected);
  dashboard.set_running_operations(count_running_());
  // Types without VMs have a card too.
  for (const v1::VmType& type : inventory_->Types()) {
    auto found = totals.by_type.find(type.name());
    const core::VmCounts counts = found == totals.by_type.end() ? core::VmCounts() : found->second;
    v1::Dashboard::TypeCount* count = dashboard.add_types();
    count->set_type(type.name());
    count->set_total(counts.total);
    count->set_up(counts.up);
    count->set_down(counts.down);
    count->set_unknown(counts.unknown);
  }
  const absl::Time swept_at = sweep_->swept_at();
  if (swept_at != absl::InfinitePast()) *dashboard.mutable_swept_at() = ToProto(swept_at);
  return dashboard;
}

}  // namespace drover::api
