// An event loop that a test drives on its own thread, with a clock that moves only when told:
// programs, sockets and pidfds are real, waiting is not.
//
// Thread promise: one thread; FakeClock from any.
#pragma once

#include <functional>
#include <string>

#include "absl/base/thread_annotations.h"
#include "absl/synchronization/mutex.h"
#include "absl/time/time.h"
#include "agent/clock.h"
#include "agent/event_loop.h"

namespace drover::agent {

class FakeClock : public Clock {
 public:
  absl::Time Now() const override;
  absl::Duration Uptime() const override;
  // Both clocks go on.
  void Advance(absl::Duration duration);
  // The wall clock alone jumps.
  void JumpWall(absl::Duration duration);

 private:
  mutable absl::Mutex mutex_;
  absl::Time now_ ABSL_GUARDED_BY(mutex_) = absl::FromUnixSeconds(1767225600);
  absl::Duration uptime_ ABSL_GUARDED_BY(mutex_) = absl::Hours(1);
};

// Ends all processes that have `text` in their command line or executable's path, and their
// descendants; returns when they are gone.
void EndAllWith(const std::string& text);
// How many such processes there are, zombies not counted.
int CountWith(const std::string& text);

class TestLoop {
 public:
  TestLoop() : loop(&clock) {}

  // Runs the loop until `condition` holds; as long as that takes.
  void Until(const std::function<bool()>& condition);
  // The same, with the clock going on by `step` per round.
  void UntilAdvancing(absl::Duration step, const std::function<bool()>& condition);
  // Moves the clock by steps of at most a second, handling what becomes due.
  void Pass(absl::Duration duration);

  FakeClock clock;
  EventLoop loop;
};

}  // namespace drover::agent
