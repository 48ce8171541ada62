// Slows down floods of attempts to sign in, before they cost the controller anything. The
// controller's own throttle knows users; this one only addresses.
//
// Thread promise: Allow from any thread. Holds at most 10,000 addresses. A restart forgets all.
#pragma once

#include <string>

#include "absl/base/thread_annotations.h"
#include "absl/container/flat_hash_map.h"
#include "absl/strings/string_view.h"
#include "absl/synchronization/mutex.h"
#include "absl/time/time.h"

namespace drover::gateway {

class LoginLimiter {
 public:
  // So many at once, and so many more each minute.
  explicit LoginLimiter(int per_minute) : per_minute_(per_minute) {}

  // Zero: go on. Else how long to wait.
  absl::Duration Ask(absl::string_view address, absl::Time now) ABSL_LOCKS_EXCLUDED(mutex_);

 private:
  struct Bucket {
    double left = 0;
    absl::Time filled;
  };
  void Refill(Bucket& bucket, absl::Time now) const;

  const double per_minute_;
  absl::Mutex mutex_;
  absl::flat_hash_map<std::string, Bucket> buckets_ ABSL_GUARDED_BY(mutex_);
};

}  // namespace drover::gateway
