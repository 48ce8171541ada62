#include "tests/testing/fake_clock.h"

#include <iterator>

namespace drover::testing {

FakeClock::FakeClock() : FakeClock(absl::FromUnixSeconds(1767225600)) {}

FakeClock::FakeClock(absl::Time start) : now_(start) {}

absl::Time FakeClock::Now() const {
  absl::MutexLock lock(&mutex_);
  return now_;
}

absl::Status FakeClock::Sleep(absl::Duration duration, std::stop_token stop) {
  // Taking the mutex is enough to wake the waiter: Mutex conditions are evaluated when it is
  // released.
  std::stop_callback wake(stop, [this] { absl::MutexLock lock(&mutex_); });
  absl::MutexLock lock(&mutex_);
  const absl::Time deadline = now_ + duration;
  const auto mine = deadlines_.insert(deadline);
  auto done = [&]() ABSL_NO_THREAD_SAFETY_ANALYSIS {
    return now_ >= deadline || stop.stop_requested();
  };
  mutex_.Await(absl::Condition(&done));
  deadlines_.erase(mine);
  return stop.stop_requested() ? absl::CancelledError("the wait was ended") : absl::OkStatus();
}

void FakeClock::Advance(absl::Duration duration) {
  absl::MutexLock lock(&mutex_);
  now_ += duration;
}

void FakeClock::Set(absl::Time time) {
  absl::MutexLock lock(&mutex_);
  now_ = time;
}

void FakeClock::WaitForSleepers(int count) {
  absl::MutexLock lock(&mutex_);
  auto enough = [&]() ABSL_NO_THREAD_SAFETY_ANALYSIS { return CountSleepers() >= count; };
  mutex_.Await(absl::Condition(&enough));
}

int FakeClock::sleepers() const {
  absl::MutexLock lock(&mutex_);
  return CountSleepers();
}

int FakeClock::CountSleepers() const {
  return static_cast<int>(std::distance(deadlines_.upper_bound(now_), deadlines_.end()));
}

void FakeClock::AdvanceToNextSleeper() {
  absl::MutexLock lock(&mutex_);
  auto somebody = [&]() ABSL_NO_THREAD_SAFETY_ANALYSIS { return CountSleepers() > 0; };
  mutex_.Await(absl::Condition(&somebody));
  now_ = *deadlines_.upper_bound(now_);
}

}  // namespace drover::testing
