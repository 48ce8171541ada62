// The live feed of what happens and changes: a bounded ring of events, and everybody who watches.
// Nobody who watches slowly holds anybody up: what does not fit is not sent, and the watcher is
// told of a gap and lists again.
//
// Thread promise: all methods from any thread; sinks are called without locks held, one call at a
// time for each watcher. Owns the heartbeat thread. Survives a restart: nothing; a watcher that
// comes back with the number of an event the ring does not hold any more gets a gap.
#pragma once

#include <deque>
#include <functional>
#include <memory>
#include <stop_token>
#include <string>
#include <thread>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/container/flat_hash_set.h"
#include "absl/strings/string_view.h"
#include "absl/synchronization/mutex.h"
#include "controller/core/ports.h"
#include "drover/v1/activity.pb.h"

namespace drover::core {

class ChangeHub {
 public:
  // False when there is no room: the message was not taken.
  using Sink = std::function<bool(const drover::v1::WatchResponse&)>;
  // "environments/x" of a VM, "" when it has none (any more).
  using EnvironmentOf = std::function<std::string(absl::string_view vm)>;
  class Watch;

  // Keeps the last `ring_size` events.
  ChangeHub(Clock* clock, EnvironmentOf environment_of, size_t ring_size = 2048);
  ~ChangeHub();

  // Begins to send heartbeats, one every 15 s to who got nothing else.
  void Start();
  void Stop();

  void PublishEvent(const drover::v1::Event& event) ABSL_LOCKS_EXCLUDED(mutex_);
  // A resource, by name.
  void PublishChange(absl::string_view name, bool deleted) ABSL_LOCKS_EXCLUDED(mutex_);

  // What the request asks for from before comes first. Ends with the last reference; then the sink
  // is called no more.
  std::shared_ptr<Watch> Subscribe(const drover::v1::WatchRequest& request, Sink sink)
      ABSL_LOCKS_EXCLUDED(mutex_);

  // A heartbeat now, unless it got something already: who has it misses nothing from here on.
  void Greet(Watch& watch);

  // What the heartbeat thread does.
  void Beat() ABSL_LOCKS_EXCLUDED(mutex_);

 private:
  std::vector<std::shared_ptr<Watch>> Watches() ABSL_LOCKS_EXCLUDED(mutex_);

  Clock* const clock_;
  const EnvironmentOf environment_of_;
  const size_t ring_size_;
  absl::Mutex mutex_;
  std::deque<drover::v1::Event> ring_ ABSL_GUARDED_BY(mutex_);
  std::vector<std::weak_ptr<Watch>> watches_ ABSL_GUARDED_BY(mutex_);
  std::jthread thread_;
};

// One who watches.
class ChangeHub::Watch {
 public:
  Watch(drover::v1::WatchRequest request, Sink sink)
      : request_(std::move(request)),
        sink_(std::move(sink)),
        sent_event_(request_.after_sequence()) {}

  // The sink has room again.
  void OnRoom() ABSL_LOCKS_EXCLUDED(mutex_);
  // No call of the sink is under way when it returns, and none comes after it. Not from the sink.
  void End() ABSL_LOCKS_EXCLUDED(mutex_);

 private:
  friend class ChangeHub;

  bool Wants(const drover::v1::Event& event) const;
  void Offer(drover::v1::WatchResponse response) ABSL_LOCKS_EXCLUDED(mutex_);
  void Beat(absl::Time now) ABSL_LOCKS_EXCLUDED(mutex_);
  void Drain() ABSL_LOCKS_EXCLUDED(mutex_);
  void Miss() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);

  const drover::v1::WatchRequest request_;
  const Sink sink_;
  absl::Mutex mutex_;
  std::deque<drover::v1::WatchResponse> waiting_ ABSL_GUARDED_BY(mutex_);
  // Changed resources that wait, so that one that changes often waits once.
  absl::flat_hash_set<std::string> waiting_names_ ABSL_GUARDED_BY(mutex_);
  bool draining_ ABSL_GUARDED_BY(mutex_) = false;
  bool ended_ ABSL_GUARDED_BY(mutex_) = false;
  // The sink said so; nothing is sent until it has room.
  bool full_ ABSL_GUARDED_BY(mutex_) = false;
  bool missed_ ABSL_GUARDED_BY(mutex_) = false;
  bool quiet_ ABSL_GUARDED_BY(mutex_) = true;
  int64_t sent_event_ ABSL_GUARDED_BY(mutex_);
};

}  // namespace drover::core
