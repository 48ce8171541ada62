#include "controller/core/change_hub.h"

#include <algorithm>
#include <utility>

#include "absl/strings/match.h"
#include "proto/support/time.h"

namespace drover::core {
namespace {

using drover::v1::Event;
using drover::v1::WatchResponse;

constexpr absl::Duration kHeartbeat = absl::Seconds(15);
// More than this waits only when the sink is called slower than things happen.
constexpr size_t kLongestWait = 4096;

}  // namespace

ChangeHub::ChangeHub(Clock* clock, EnvironmentOf environment_of, size_t ring_size)
    : clock_(clock), environment_of_(std::move(environment_of)), ring_size_(ring_size) {}

ChangeHub::~ChangeHub() { Stop(); }

void ChangeHub::Start() {
  thread_ = std::jthread([this](std::stop_token stop) {
    while (clock_->Sleep(kHeartbeat, stop).ok()) Beat();
  });
}

void ChangeHub::Stop() {
  if (!thread_.joinable()) return;
  thread_.request_stop();
  thread_.join();
}

std::vector<std::shared_ptr<ChangeHub::Watch>> ChangeHub::Watches() {
  std::vector<std::shared_ptr<Watch>> alive;
  absl::MutexLock lock(&mutex_);
  for (const std::weak_ptr<Watch>& watch : watches_) {
    if (auto held = watch.lock()) alive.push_back(std::move(held));
  }
  watches_.assign(alive.begin(), alive.end());
  return alive;
}

void ChangeHub::PublishEvent(const Event& event) {
  std::vector<std::shared_ptr<Watch>> watches;
  {
    // In one step with who watches, so that nobody gets it twice or not at all.
    absl::MutexLock lock(&mutex_);
    ring_.push_back(event);
    if (ring_.size() > ring_size_) ring_.pop_front();
    for (const std::weak_ptr<Watch>& watch : watches_) {
      if (auto held = watch.lock()) watches.push_back(std::move(held));
    }
  }
  WatchResponse response;
  *response.mutable_event() = event;
  for (const auto& watch : watches) {
    if (watch->Wants(event)) watch->Offer(response);
  }
}

void ChangeHub::PublishChange(absl::string_view name, bool deleted) {
  WatchResponse response;
  (deleted ? *response.mutable_deleted() : *response.mutable_changed()) = std::string(name);
  for (const auto& watch : Watches()) {
    const drover::v1::WatchRequest& request = watch->request_;
    if (request.events_only()) continue;
    if (!request.vm().empty() && request.vm() != name) continue;
    if (!request.environment().empty() && request.environment() != name) {
      // A VM that is gone is told to all: where it was is not known any more.
      bool vm = absl::StartsWith(name, "vms/");
      if (!vm || (!deleted && environment_of_(name) != request.environment())) continue;
    }
    watch->Offer(response);
  }
}

std::shared_ptr<ChangeHub::Watch> ChangeHub::Subscribe(const drover::v1::WatchRequest& request,
                                                       Sink sink) {
  auto watch = std::make_shared<Watch>(request, std::move(sink));
  {
    absl::MutexLock lock(&mutex_);
    absl::MutexLock watch_lock(&watch->mutex_);
    if (request.after_sequence() > 0 && !ring_.empty()) {
      // What lies between the number and the ring is not here any more.
      watch->missed_ = ring_.front().sequence() > request.after_sequence() + 1;
      for (const Event& event : ring_) {
        if (event.sequence() <= request.after_sequence() || !watch->Wants(event)) continue;
        *watch->waiting_.emplace_back().mutable_event() = event;
      }
    } else if (request.after_sequence() > 0) {
      // Nothing happened since the start; what happened before it is not known here.
      watch->missed_ = true;
    }
    watches_.push_back(watch);
  }
  watch->Drain();
  return watch;
}

void ChangeHub::Greet(Watch& watch) { watch.Beat(clock_->Now()); }

void ChangeHub::Beat() {
  absl::Time now = clock_->Now();
  for (const auto& watch : Watches()) watch->Beat(now);
}

bool ChangeHub::Watch::Wants(const Event& event) const {
  return (request_.vm().empty() || request_.vm() == event.vm()) &&
         (request_.environment().empty() || request_.environment() == event.environment());
}

void ChangeHub::Watch::Miss() {
  missed_ = true;
  waiting_.clear();
  waiting_names_.clear();
}

void ChangeHub::Watch::Offer(WatchResponse response) {
  {
    absl::MutexLock lock(&mutex_);
    if (ended_) return;
    if (full_ || waiting_.size() >= kLongestWait) {
      Miss();
    } else {
      if (response.has_changed() && !waiting_names_.insert(response.changed()).second) return;
      waiting_.push_back(std::move(response));
    }
  }
  Drain();
}

void ChangeHub::Watch::Beat(absl::Time now) {
  WatchResponse beat;
  {
    absl::MutexLock lock(&mutex_);
    bool quiet = std::exchange(quiet_, true);
    if (!quiet || full_ || ended_) return;
    *beat.mutable_heartbeat()->mutable_time() = ToProto(now);
    waiting_.push_back(std::move(beat));
  }
  Drain();
}

void ChangeHub::Watch::OnRoom() {
  {
    absl::MutexLock lock(&mutex_);
    full_ = false;
  }
  Drain();
}

void ChangeHub::Watch::End() {
  absl::MutexLock lock(&mutex_);
  ended_ = true;
  waiting_.clear();
  auto still = [this]() ABSL_NO_THREAD_SAFETY_ANALYSIS { return !draining_; };
  mutex_.Await(absl::Condition(&still));
}

// One thread at a time sends what waits, in order; the others leave it to that one.
void ChangeHub::Watch::Drain() {
  for (;;) {
    WatchResponse next;
    {
      absl::MutexLock lock(&mutex_);
      if (draining_ || full_ || ended_ || (waiting_.empty() && !missed_)) return;
      if (missed_) {
        next.mutable_gap()->set_after_sequence(sent_event_);
      } else {
        next = std::move(waiting_.front());
        waiting_.pop_front();
        if (next.has_changed()) waiting_names_.erase(next.changed());
      }
      draining_ = true;
    }
    bool taken = sink_(next);
    absl::MutexLock lock(&mutex_);
    draining_ = false;
    if (!taken) {
      full_ = true;
      Miss();
      return;
    }
    if (!next.has_heartbeat()) quiet_ = false;
    if (next.has_gap()) missed_ = false;
    if (next.has_event()) sent_event_ = next.event().sequence();
  }
}

}  // namespace drover::core
