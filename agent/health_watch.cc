#include "agent/health_watch.h"

#include <algorithm>
#include <utility>

#include "absl/strings/str_cat.h"
#include "proto/support/status.h"

namespace drover::agent {
namespace {

using drover::v1::ServiceStatus;

constexpr absl::Duration kTick = absl::Milliseconds(500);
constexpr absl::Duration kUsualPatience = absl::Seconds(60);

absl::Status Unwell(const ServiceStatus& status, absl::string_view how) {
  std::string message = absl::StrCat("service ", status.name(), " ", how);
  if (!status.last_output().empty()) absl::StrAppend(&message, ": ", status.last_output());
  return MakeError(absl::StatusCode::kFailedPrecondition, "HEALTH_GATE", message,
                   {{"service", status.name()}});
}

}  // namespace

HealthWatch::HealthWatch(EventLoop* loop, Statuses statuses, const v1::WatchHealth& order,
                         OrderVoice voice)
    : loop_(loop),
      statuses_(std::move(statuses)),
      voice_(std::move(voice)),
      stay_(absl::Seconds(order.seconds())),
      patience_end_(loop->clock().Uptime() + (order.patience_seconds() > 0
                                                  ? absl::Seconds(order.patience_seconds())
                                                  : kUsualPatience)) {}

HealthWatch::~HealthWatch() { loop_->CancelTimer(tick_); }

absl::StatusOr<std::unique_ptr<OrderWork>> HealthWatch::Start(EventLoop* loop, Statuses statuses,
                                                              const v1::WatchHealth& order,
                                                              OrderVoice voice) {
  if (order.seconds() < 0) return InvalidField("seconds", "must not be negative");
  std::unique_ptr<HealthWatch> watch(
      new HealthWatch(loop, std::move(statuses), order, std::move(voice)));
  std::map<std::string, ServiceStatus::State> known;
  for (const ServiceStatus& status : watch->statuses_()) known[status.name()] = status.state();
  for (const std::string& name : order.services()) {
    if (known.count(name) == 0) {
      return MakeError(absl::StatusCode::kNotFound, "SERVICE_NOT_FOUND",
                       absl::StrCat("this machine has no service ", name));
    }
    watch->watched_[name] = {};
  }
  for (const auto& [name, state] : known) {
    if (order.services().empty() && state != ServiceStatus::STATE_STOPPED)
      watch->watched_[name] = {};
  }
  watch->Look();
  return watch;
}

void HealthWatch::Abort(std::function<void(absl::Status)> ended) {
  loop_->CancelTimer(std::exchange(tick_, 0));
  ended(absl::OkStatus());
}

absl::Status HealthWatch::Judge(const ServiceStatus& status, absl::Duration now) {
  Watched& its = watched_[status.name()];
  const bool was_up = its.since != absl::InfiniteDuration();
  const bool up = status.state() == ServiceStatus::STATE_RUNNING;
  if (status.state() == ServiceStatus::STATE_GIVEN_UP) return Unwell(status, "was given up");
  if (was_up) {
    if (status.state() == ServiceStatus::STATE_UNHEALTHY) return Unwell(status, "is not healthy");
    if (!up) return Unwell(status, "did not stay up");
    if (status.pid() != its.pid || status.restarts() != its.restarts) {
      return Unwell(status, "did not stay up and was started again");
    }
    return absl::OkStatus();
  }
  if (up) {
    its = {now, status.pid(), status.restarts()};
    return absl::OkStatus();
  }
  if (now < patience_end_) return absl::OkStatus();
  return Unwell(status, status.state() == ServiceStatus::STATE_UNHEALTHY ? "is not healthy"
                                                                         : "does not come up");
}

void HealthWatch::Look() {
  const absl::Duration now = loop_->clock().Uptime();
  bool all = true;
  size_t seen = 0;
  for (const ServiceStatus& status : statuses_()) {
    const auto its = watched_.find(status.name());
    if (its == watched_.end()) continue;
    ++seen;
    if (absl::Status well = Judge(status, now); !well.ok()) return voice_.done(well, {});
    all = all && its->second.since != absl::InfiniteDuration() && now - its->second.since >= stay_;
  }
  if (seen < watched_.size()) {
    return voice_.done(MakeError(absl::StatusCode::kFailedPrecondition, "HEALTH_GATE",
                                 "a service is not watched any more"),
                       {});
  }
  if (all) return voice_.done(absl::OkStatus(), {});
  tick_ = loop_->RunAfter(kTick, [this] { Look(); });
}

}  // namespace drover::agent
