// A clock that stands still until a test moves it.
//
// Thread promise: all methods from any thread. Sleepers wake when the time they wait for is
// reached, never by the time of the machine.
#pragma once

#include <set>
#include <stop_token>

#include "absl/base/thread_annotations.h"
#include "absl/status/status.h"
#include "absl/synchronization/mutex.h"
#include "absl/time/time.h"
#include "controller/core/ports.h"

namespace drover::testing {

class FakeClock : public core::Clock {
 public:
  // Starts at 2026-01-01 00:00 UTC when no time is given.
  FakeClock();
  explicit FakeClock(absl::Time start);

  absl::Time Now() const override;
  absl::Status Sleep(absl::Duration duration, std::stop_token stop) override;

  void Advance(absl::Duration duration);
  void Set(absl::Time time);
  // Returns when at least `count` threads sleep.
  void WaitForSleepers(int count);
  int sleepers() const;
  // Waits until somebody sleeps, then moves to the time the first of them waits for.
  void AdvanceToNextSleeper();

 private:
  // Those whose time has come, but who did not wake yet, sleep no more.
  int CountSleepers() const ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);

  mutable absl::Mutex mutex_;
  absl::Time now_ ABSL_GUARDED_BY(mutex_);
  std::multiset<absl::Time> deadlines_ ABSL_GUARDED_BY(mutex_);
};

}  // namespace drover::testing
