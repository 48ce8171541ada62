// Which VMs of a rollout may be changed now (UPG-2, P12): canaries, waves, and when no more is
// begun. All of it follows from the limits and the state of each target, so that a controller that
// died decides the same again.
//
// Thread promise: pure functions.
#pragma once

#include <string>
#include <vector>

#include "drover/v1/activity.pb.h"
#include "drover/v1/upgrade.pb.h"

namespace drover::core {

// How many targets each wave has; the first is the canaries' when there are any.
std::vector<int> WaveSizes(const drover::v1::RolloutSpec& limits, int targets);

struct RolloutDecision {
  // So many of the targets, in their order, may be begun; never fewer than before.
  int released = 0;
  // The wave they belong to, from 1; 0 without targets.
  int wave = 0;
  // Nothing beyond them is begun any more.
  bool stop = false;
  // Why, for people.
  std::string reason;
};

// A wave begins when every target before it is final and the limits hold:
//   failed or timed out targets: at most max_failures, and at most max_failure_percent of all;
//   a percentage without a count is the only limit
//   expired or lost targets: at most max_unreachable, counted apart
//   canaries: none failed, and one succeeded
RolloutDecision Decide(
    const drover::v1::RolloutSpec& limits,
    const google::protobuf::RepeatedPtrField<drover::v1::Operation::Target>& targets);

}  // namespace drover::core
