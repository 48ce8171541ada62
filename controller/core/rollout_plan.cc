#include "controller/core/rollout_plan.h"

#include <algorithm>

#include "absl/strings/str_cat.h"
#include "controller/core/operation_record.h"

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

void Count(const Targets& targets, int begin, int end, Counts& counts) {
  for (int i = begin; i < end; ++i) {
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
}

int AllowedFailures(const RolloutSpec& limits, int targets) {
  if (limits.max_failure_percent() == 0) return limits.max_failures();
  const int share = static_cast<int>(int64_t{targets} * limits.max_failure_percent() / 100);
  return limits.max_failures() == 0 ? share : std::min(share, limits.max_failures());
}

// "" while a further wave may begin.
std::string Objection(const RolloutSpec& limits, const Counts& counts, int targets, bool canaries) {
  const int allowed = AllowedFailures(limits, targets);
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
  Counts counts;
  int looked_at = 0;
  for (const int size : WaveSizes(limits, targets.size())) {
    const int before = decision.released;
    const bool final = std::all_of(targets.begin() + looked_at, targets.begin() + before,
                                   [](const Target& target) { return IsFinal(target.state()); });
    if (!final) return decision;
    if (before > 0) {
      Count(targets, looked_at, before, counts);
      const bool canaries = decision.wave == 1 && limits.canaries() > 0;
      decision.reason = Objection(limits, counts, targets.size(), canaries);
      decision.stop = !decision.reason.empty();
      if (decision.stop) return decision;
    }
    looked_at = before;
    decision.released = before + size;
    ++decision.wave;
  }
  return decision;
}

}  // namespace drover::core
