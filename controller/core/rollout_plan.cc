#include "controller/core/rollout_plan.h"

#include <algorithm>

#include "absl/strings/str_cat.h"

namespace drover::core {
namespace {

using drover::v1::Operation;
using drover::v1::RolloutSpec;
using Target = drover::v1::Operation::Target;
using Targets = google::protobuf::RepeatedPtrField<Target>;

constexpr int kUsualWave = 10;

struct Counts {
  int failed = 0;
  int unreachable = 0;
  int succeeded = 0;
};

Counts Count(const Targets& targets, int end) {
  Counts counts;
  for (int i = 0; i < end; ++i) {
    switch (targets.at(i).state()) {
      case Target::STATE_SUCCEEDED:
        ++counts.succeeded;
        break;
      case Target::STATE_FAILED:
      case Target::STATE_TIMED_OUT:
        ++counts.failed;
        break;
      case Target::STATE_EXPIRED:
      case Target::STATE_CONTACT_LOST:
        ++counts.unreachable;
        break;
      default:
        break;
    }
  }
  return counts;
}

int AllowedFailures(const RolloutSpec& limits, int targets) {
  if (limits.max_failure_percent() == 0) return limits.max_failures();
  const int share = static_cast<int>(int64_t{targets} * limits.max_failure_percent() / 100);
  return limits.max_failures() == 0 ? share : std::min(share, limits.max_failures());
}

// "" while a further wave may begin.
std::string Objection(const RolloutSpec& limits, const Targets& targets, int end, bool canaries) {
  const Counts counts = Count(targets, end);
  const int allowed = AllowedFailures(limits, targets.size());
  if (counts.failed > allowed) {
    return absl::StrCat(counts.failed, " VMs failed, ", allowed, " are allowed to");
  }
  if (counts.unreachable > limits.max_unreachable()) {
    return absl::StrCat(counts.unreachable, " VMs are out of reach, ", limits.max_unreachable(),
                        " are allowed to be");
  }
  if (!canaries) return "";
  if (counts.failed > 0) return "a canary failed";
  if (counts.succeeded == 0) return "no canary succeeded";
  return "";
}

}  // namespace

bool IsFinalTarget(Target::State state) {
  return state != Target::STATE_UNSPECIFIED && state != Target::STATE_QUEUED &&
         state != Target::STATE_DELIVERED && state != Target::STATE_RUNNING;
}

std::vector<int> WaveSizes(const RolloutSpec& limits, int targets) {
  std::vector<int> sizes;
  int left = targets;
  const auto add = [&](int size) {
    sizes.push_back(std::min(size, left));
    left -= sizes.back();
  };
  if (limits.canaries() > 0 && left > 0) add(limits.canaries());
  while (left > 0) add(limits.wave_size() > 0 ? limits.wave_size() : kUsualWave);
  return sizes;
}

RolloutDecision Decide(const RolloutSpec& limits, const Targets& targets) {
  RolloutDecision decision;
  for (const int size : WaveSizes(limits, targets.size())) {
    const int before = decision.released;
    const bool final =
        std::all_of(targets.begin(), targets.begin() + before,
                    [](const Target& target) { return IsFinalTarget(target.state()); });
    if (!final) return decision;
    if (before > 0) {
      const bool canaries = decision.wave == 1 && limits.canaries() > 0;
      decision.reason = Objection(limits, targets, before, canaries);
      decision.stop = !decision.reason.empty();
      if (decision.stop) return decision;
    }
    decision.released = before + size;
    ++decision.wave;
  }
  return decision;
}

}  // namespace drover::core
