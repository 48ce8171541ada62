#include "tests/agent/test_loop.h"

#include <algorithm>

namespace drover::agent {

absl::Time FakeClock::Now() const {
  absl::MutexLock lock(&mutex_);
  return now_;
}

absl::Duration FakeClock::Uptime() const {
  absl::MutexLock lock(&mutex_);
  return uptime_;
}

void FakeClock::Advance(absl::Duration duration) {
  absl::MutexLock lock(&mutex_);
  now_ += duration;
  uptime_ += duration;
}

void FakeClock::JumpWall(absl::Duration duration) {
  absl::MutexLock lock(&mutex_);
  now_ += duration;
}

void TestLoop::Until(const std::function<bool()>& condition) {
  while (!condition()) loop.RunOnce(absl::Milliseconds(5));
}

void TestLoop::UntilAdvancing(absl::Duration step, const std::function<bool()>& condition) {
  while (!condition()) {
    loop.RunOnce(absl::Milliseconds(5));
    clock.Advance(step);
  }
}

void TestLoop::Pass(absl::Duration duration) {
  while (duration > absl::ZeroDuration()) {
    const absl::Duration step = std::min(duration, absl::Duration(absl::Seconds(1)));
    clock.Advance(step);
    duration -= step;
    loop.RunOnce(absl::ZeroDuration());
  }
}

}  // namespace drover::agent
