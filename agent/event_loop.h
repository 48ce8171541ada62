// The agent's one thread of work: file descriptors by epoll, timers, and functions posted by other
// threads. Everything in the agent but gRPC's own threads runs in it, so that nothing else needs a
// lock.
//
// Thread promise: Post and Stop may be called from any thread; everything else on the thread that
// runs the loop, or before it runs. Ownership: descriptors stay the caller's. Nothing survives a
// restart.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <utility>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/functional/any_invocable.h"
#include "absl/synchronization/mutex.h"
#include "absl/time/time.h"
#include "agent/clock.h"
#include "agent/unique_fd.h"

namespace drover::agent {

class EventLoop {
 public:
  // Never 0.
  using TimerId = int64_t;

  explicit EventLoop(const Clock* clock);
  EventLoop(const EventLoop&) = delete;
  EventLoop& operator=(const EventLoop&) = delete;

  // Runs `task` once after `delay`.
  TimerId RunAfter(absl::Duration delay, absl::AnyInvocable<void()> task);
  // Does nothing for a timer that ran, and for 0.
  void CancelTimer(TimerId id);

  // Calls `ready` whenever `fd` can be read, until Unwatch. A descriptor is watched for one thing
  // only.
  void WatchReadable(int fd, std::function<void()> ready);
  void WatchWritable(int fd, std::function<void()> ready);
  // Must come before the descriptor is closed. Does nothing for one that is not watched.
  void Unwatch(int fd);

  void Post(absl::AnyInvocable<void()> task) ABSL_LOCKS_EXCLUDED(mutex_);

  // Runs until Stop.
  void Run();
  // Handles what is due, after waiting at most `longest` of real time for something to be.
  void RunOnce(absl::Duration longest);
  void Stop();

  const Clock& clock() const { return *clock_; }

 private:
  void Watch(int fd, uint32_t events, std::function<void()> ready);
  void RunTimers();
  void RunPosted() ABSL_LOCKS_EXCLUDED(mutex_);
  int WaitMilliseconds(absl::Duration longest) ABSL_LOCKS_EXCLUDED(mutex_);

  const Clock* const clock_;
  UniqueFd epoll_;
  UniqueFd wake_;
  TimerId next_timer_ = 1;
  // By due time, then by age.
  std::map<std::pair<absl::Duration, TimerId>, absl::AnyInvocable<void()>> timers_;
  std::map<TimerId, absl::Duration> due_;
  // Shared, because a handler may unwatch itself.
  std::map<int, std::shared_ptr<std::function<void()>>> watched_;
  bool stopped_ = false;

  absl::Mutex mutex_;
  std::vector<absl::AnyInvocable<void()>> posted_ ABSL_GUARDED_BY(mutex_);
};

}  // namespace drover::agent
