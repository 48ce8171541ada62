#include "web-gateway/login_limiter.h"

#include <algorithm>

namespace drover::gateway {
namespace {

constexpr size_t kMostAddresses = 10000;

}  // namespace

void LoginLimiter::Refill(Bucket& bucket, absl::Time now) const {
  const double minutes = std::max(0.0, absl::ToDoubleMinutes(now - bucket.filled));
  bucket.left = std::min(per_minute_, bucket.left + minutes * per_minute_);
  bucket.filled = now;
}

absl::Duration LoginLimiter::Ask(absl::string_view address, absl::Time now) {
  absl::MutexLock lock(&mutex_);
  if (buckets_.size() >= kMostAddresses && !buckets_.contains(address)) {
    // Full buckets are as good as none.
    absl::erase_if(buckets_, [this, now](auto& entry) {
      Refill(entry.second, now);
      return entry.second.left >= per_minute_;
    });
    if (buckets_.size() >= kMostAddresses) return absl::Minutes(1);
  }
  const auto [found, fresh] = buckets_.try_emplace(std::string(address));
  Bucket& bucket = found->second;
  if (fresh) {
    bucket.left = per_minute_;
    bucket.filled = now;
  }
  Refill(bucket, now);
  if (bucket.left < 1) return absl::Minutes((1 - bucket.left) / per_minute_);
  bucket.left -= 1;
  return absl::ZeroDuration();
}

}  // namespace drover::gateway
