#include "controller/system_clock.h"

#include <chrono>
#include <condition_variable>
#include <mutex>

#include "absl/time/clock.h"

namespace drover {

absl::Time SystemClock::Now() const { return absl::Now(); }

absl::Status SystemClock::Sleep(absl::Duration duration, std::stop_token stop) {
  // The standard's condition variable is the one that knows stop tokens.
  std::mutex mutex;
  std::condition_variable_any woken;
  std::unique_lock<std::mutex> lock(mutex);
  woken.wait_for(lock, stop, absl::ToChronoNanoseconds(duration), [] { return false; });
  return stop.stop_requested() ? absl::CancelledError("stopped") : absl::OkStatus();
}

}  // namespace drover
