#include "controller/core/rollout_plan.h"

#include <algorithm>
#include <random>
#include <string>
#include <vector>

#include "controller/core/operation_record.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace drover::core {
namespace {

using drover::v1::RolloutSpec;
using ::testing::ElementsAre;
using ::testing::IsEmpty;
using Target = drover::v1::Operation::Target;
using Targets = google::protobuf::RepeatedPtrField<Target>;

RolloutSpec Limits(int canaries, int wave, int failures, int percent = 0, int unreachable = 0) {
  RolloutSpec spec;
  spec.set_canaries(canaries);
  spec.set_wave_size(wave);
  spec.set_max_failures(failures);
  spec.set_max_failure_percent(percent);
  spec.set_max_unreachable(unreachable);
  return spec;
}

// "s" succeeded, "f" failed, "t" timed out, "e" expired, "l" contact lost, "c" cancelled, "r"
// running, "q" queued.
Targets States(const std::string& letters) {
  Targets targets;
  for (const char letter : letters) {
    targets.Add()->set_state(letter == 's'   ? Target::STATE_SUCCEEDED
                             : letter == 'f' ? Target::STATE_FAILED
                             : letter == 't' ? Target::STATE_TIMED_OUT
                             : letter == 'e' ? Target::STATE_EXPIRED
                             : letter == 'l' ? Target::STATE_CONTACT_LOST
                             : letter == 'c' ? Target::STATE_CANCELLED
                             : letter == 'r' ? Target::STATE_RUNNING
                                             : Target::STATE_QUEUED);
  }
  return targets;
}

TEST(RolloutPlan, Waves) {
  EXPECT_THAT(WaveSizes(Limits(1, 3, 0), 8), ElementsAre(1, 3, 3, 1));
  EXPECT_THAT(WaveSizes(Limits(0, 3, 0), 6), ElementsAre(3, 3));
  EXPECT_THAT(WaveSizes(Limits(5, 3, 0), 2), ElementsAre(2));
  EXPECT_THAT(WaveSizes(Limits(0, 0, 0), 12), ElementsAre(10, 2));
  EXPECT_THAT(WaveSizes(Limits(2, 3, 0), 0), IsEmpty());
}

TEST(RolloutPlan, Decisions) {
  struct Row {
    const char* name;
    RolloutSpec limits;
    const char* states;
    int released;
    int wave;
    bool stop;
  };
  const std::vector<Row> rows = {
      {"begins with the canaries", Limits(1, 2, 0), "qqqqq", 1, 1, false},
      {"waits for them", Limits(1, 2, 0), "rqqqq", 1, 1, false},
      {"then the first wave", Limits(1, 2, 0), "sqqqq", 3, 2, false},
      {"waits for the slowest", Limits(1, 2, 0), "ssrqq", 3, 2, false},
      {"a wave of its own each", Limits(1, 2, 0), "sssqq", 5, 3, false},
      {"all done", Limits(1, 2, 0), "sssss", 5, 3, false},
      {"a failure stops", Limits(0, 2, 0), "sfqq", 2, 1, true},
      {"an allowed one does not", Limits(0, 2, 1), "sfqq", 4, 2, false},
      {"a time-out is a failure", Limits(0, 2, 0), "stqq", 2, 1, true},
      {"a canary's failure stops whatever is allowed", Limits(1, 2, 9), "fqqq", 1, 1, true},
      {"a canary out of reach proves nothing", Limits(1, 2, 9, 0, 9), "eqqq", 1, 1, true},
      {"one of two canaries is enough", Limits(2, 2, 0, 0, 1), "esqq", 4, 2, false},
      {"out of reach has its own count", Limits(0, 2, 0, 0, 1), "slqq", 4, 2, false},
      {"and its own end", Limits(0, 2, 9, 0, 1), "elqq", 2, 1, true},
      {"failures do not use it up", Limits(0, 2, 0, 0, 9), "sfqq", 2, 1, true},
      {"percent of all", Limits(0, 2, 0, 50), "ffqq", 4, 2, false},
      {"percent exceeded", Limits(0, 2, 0, 25), "ffqq", 2, 1, true},
      {"the stricter of both", Limits(0, 2, 1, 50), "ffqq", 2, 1, true},
      {"cancelled is neither", Limits(0, 2, 0), "scqq", 4, 2, false},
      {"nothing to do", Limits(0, 2, 0), "", 0, 0, false},
  };
  for (const Row& row : rows) {
    SCOPED_TRACE(row.name);
    const RolloutDecision decision = Decide(row.limits, States(row.states));
    EXPECT_EQ(decision.released, row.released);
    EXPECT_EQ(decision.wave, row.wave);
    EXPECT_EQ(decision.stop, row.stop);
    EXPECT_EQ(decision.reason.empty(), !row.stop);
  }
}

// One rollout with outcomes by chance: what is promised holds at every moment, and a decision made
// anew, as after a crash, is the same.
void RunByChance(std::mt19937& random) {
  const auto chance = [&](int low, int high) {
    return std::uniform_int_distribution<int>(low, high)(random);
  };
  const int count = chance(1, 60);
  const RolloutSpec limits = Limits(chance(0, 3), chance(1, 9), chance(0, 4),
                                    chance(0, 2) == 0 ? chance(1, 40) : 0, chance(0, 4));
  Targets targets = States(std::string(static_cast<size_t>(count), 'q'));
  int released = 0;
  bool stopped = false;
  const int sick = chance(0, 40);
  for (;;) {
    const RolloutDecision decision = Decide(limits, targets);
    const RolloutDecision again = Decide(limits, Targets(targets));
    ASSERT_EQ(again.released, decision.released);
    ASSERT_EQ(again.stop, decision.stop);
    ASSERT_GE(decision.released, released);
    if (stopped) {
      ASSERT_EQ(decision.released, released);
    }
    stopped = stopped || decision.stop;
    released = decision.released;
    std::vector<int> open;
    int failed = 0;
    int lost = 0;
    for (int i = 0; i < released; ++i) {
      const Target::State state = targets.at(i).state();
      if (!IsFinal(state)) open.push_back(i);
      failed += state == Target::STATE_FAILED ? 1 : 0;
      lost += state == Target::STATE_EXPIRED ? 1 : 0;
    }
    ASSERT_LE(static_cast<int>(open.size()), std::max(limits.wave_size(), limits.canaries()));
    // What is beyond the limits happened in the last wave that was begun within them.
    if (!open.empty()) {
      int before_failed = 0;
      int before_lost = 0;
      const std::vector<int> waves = WaveSizes(limits, count);
      int begin = released - waves[static_cast<size_t>(decision.wave - 1)];
      for (int i = 0; i < begin; ++i) {
        before_failed += targets.at(i).state() == Target::STATE_FAILED ? 1 : 0;
        before_lost += targets.at(i).state() == Target::STATE_EXPIRED ? 1 : 0;
      }
      if (limits.max_failure_percent() == 0) {
        ASSERT_LE(before_failed, limits.max_failures());
      }
      ASSERT_LE(before_failed * 100,
                std::max(limits.max_failure_percent() * count,
                         limits.max_failure_percent() == 0 ? 100 * limits.max_failures() : 0));
      ASSERT_LE(before_lost, limits.max_unreachable());
    }
    if (open.empty()) {
      ASSERT_TRUE(decision.stop || released == count) << "nobody goes on";
      return;
    }
    // Whichever ends next.
    const int next = open[static_cast<size_t>(chance(0, static_cast<int>(open.size()) - 1))];
    const int fate = chance(0, 99);
    targets.Mutable(next)->set_state(fate < sick / 2 ? Target::STATE_FAILED
                                     : fate < sick   ? Target::STATE_EXPIRED
                                                     : Target::STATE_SUCCEEDED);
  }
}

TEST(RolloutPlan, LimitsHoldWhateverHappens) {
  std::mt19937 random(20260102);
  for (int i = 0; i < 2000; ++i) ASSERT_NO_FATAL_FAILURE(RunByChance(random)) << "rollout " << i;
}

}  // namespace
}  // namespace drover::core
