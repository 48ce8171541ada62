#include "agent/restart_policy.h"

#include <algorithm>

namespace drover::agent {
namespace {

constexpr absl::Duration kLongestDelay = absl::Hours(1);
constexpr absl::Duration kStable = absl::Minutes(1);

}  // namespace

RestartPolicy::RestartPolicy(const drover::v1::ServiceSpec& spec)
    : attempts_(spec.attempts() > 0 ? spec.attempts() : 3),
      delay_(absl::Seconds(spec.delay_seconds() > 0 ? spec.delay_seconds() : 1)) {}

RestartPolicy::Step RestartPolicy::Next(int attempts_made) const {
  if (attempts_made >= attempts_) return {.give_up = true};
  if (attempts_made <= 0) return {};
  // Twelve doublings of a second are past the hour.
  const int doublings = std::min(attempts_made - 1, 12);
  return {.delay = std::min(delay_ * (1 << doublings), kLongestDelay)};
}

absl::Duration RestartPolicy::StableAfter(int attempts_made) const {
  return attempts_made > 1 ? std::max(kStable, Next(std::min(attempts_made, attempts_) - 1).delay)
                           : kStable;
}

}  // namespace drover::agent
