// WatchHealth: are services well, and do they stay so for a while.
//
// Thread promise: belongs to the event loop's thread; the supervisor outlives it. Nothing survives
// a restart: an interrupted watch is begun anew.
#pragma once

#include <functional>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "agent/event_loop.h"
#include "agent/order_work.h"
#include "drover/agent/v1/agent_link.pb.h"

namespace drover::agent {

class HealthWatch : public OrderWork {
 public:
  // The services as they are now; Supervisor::Statuses.
  using Statuses = std::function<std::vector<drover::v1::ServiceStatus>()>;

  // SERVICE_NOT_FOUND for one that is not watched; INVALID_ARGUMENT naming the field.
  static absl::StatusOr<std::unique_ptr<OrderWork>> Start(EventLoop* loop, Statuses statuses,
                                                          const v1::WatchHealth& order,
                                                          OrderVoice voice);
  ~HealthWatch() override;
  // Nothing it does needs ending.
  void Abort(std::function<void(absl::Status)> ended) override;

 private:
  struct Watched {
    // Since it is up without a break; InfiniteFuture before.
    absl::Duration since = absl::InfiniteDuration();
    int pid = 0;
    int restarts = 0;
  };

  HealthWatch(EventLoop* loop, Statuses statuses, const v1::WatchHealth& order, OrderVoice voice);
  void Look();
  absl::Status Judge(const drover::v1::ServiceStatus& status, absl::Duration now);

  EventLoop* const loop_;
  const Statuses statuses_;
  const OrderVoice voice_;
  const absl::Duration stay_;
  const absl::Duration patience_end_;
  std::map<std::string, Watched> watched_;
  EventLoop::TimerId tick_ = 0;
};

}  // namespace drover::agent
