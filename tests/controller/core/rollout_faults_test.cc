// Faults of upgrades: whatever happens to agents, repositories and the controller, every VM ends in
// a named state, nothing is done twice, and what failed is where it was.
#include <algorithm>
#include <memory>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "proto/support/status.h"
#include "tests/controller/core/upgrade_bench.h"

namespace drover::core {
namespace {

class RolloutFaultsTest : public UpgradeBench {
 protected:
  // The same end, with the clock going on whenever nothing happens: what waits for a time comes to
  // it.
  Rollout AwaitEndInTime(const std::string& name, absl::Duration step) {
    int64_t seen = -1;
    for (;;) {
      bool changed = false;
      {
        absl::MutexLock lock(&mutex_);
        auto other = [&]() ABSL_NO_THREAD_SAFETY_ANALYSIS { return changes_ != seen; };
        changed = mutex_.AwaitWithTimeout(absl::Condition(&other), absl::Milliseconds(100));
        seen = changes_;
      }
      const auto rollout = rollouts_->Get(name);
      if (!rollout.ok() || IsDone(rollout->operation().state())) {
        return rollout.value_or(Rollout());
      }
      if (!changed) files_.clock().Advance(step);
    }
  }
};

// What svn or the agent says of one VM is that VM's own end; it is where it was, and so is
// everybody after it.
TEST_F(RolloutFaultsTest, EachRefusalOfAnUpdateIsANamedEnd) {
  AddVms(3);
  for (const char* reason :
       {"SVN_LOGIN_REFUSED", "REVISION_UNKNOWN", "WORKING_COPY_MISSING", "WORKING_COPY_SWITCHED",
        "WORKING_COPY_BUSY", "CONFLICT", "NO_SPACE", "REPOSITORY_UNREACHABLE"}) {
    SCOPED_TRACE(reason);
    world_.BreakUpdate("uid-1", reason);
    const Rollout ended = AwaitEndInTime(Start(To(7, 1, 3)), absl::Seconds(1));
    EXPECT_EQ(ended.operation().state(), Operation::STATE_FAILED);
    EXPECT_EQ(ended.operation().targets(0).state(), Target::STATE_FAILED);
    EXPECT_EQ(ReasonOf(FromRpcStatus(ended.operation().targets(0).error())), reason);
    EXPECT_EQ(CountOf(ended, Target::STATE_CANCELLED), 2);
    for (int i = 1; i <= 3; ++i) {
      EXPECT_EQ(world_.guest(Uid(i)).revision, 5);
      EXPECT_EQ(world_.guest(Uid(i)).updates, 0);
      EXPECT_EQ(world_.guest(Uid(i)).restarts, 0);
    }
  }
}

// P5: in waves of twenty; those that are away are told, and get nothing when it is over.
TEST_F(RolloutFaultsTest, OfTwoHundredFiftyAreAway) {
  constexpr int kAll = 200;
  AddVms(kAll);
  const auto away = [](int i) { return i % 4 == 0; };
  for (int i = 1; i <= kAll; ++i) {
    if (!away(i)) continue;
    world_.Change(Uid(i), [](UpgradeWorld::Guest& guest) { guest.connected = false; });
  }
  StartRolloutRequest request = To(7, 0, 20);
  request.mutable_spec()->set_max_unreachable(50);
  const Rollout ended = AwaitEndInTime(Start(request), absl::Seconds(61));
  EXPECT_EQ(ended.operation().state(), Operation::STATE_PARTLY_FAILED);
  EXPECT_EQ(CountOf(ended, Target::STATE_SUCCEEDED), 150);
  EXPECT_EQ(CountOf(ended, Target::STATE_EXPIRED), 50);
  for (int i = 1; i <= kAll; ++i) {
    world_.Change(Uid(i), [](UpgradeWorld::Guest& guest) { guest.connected = true; });
    tracker_->OnConnected(Uid(i));
    const UpgradeWorld::Guest guest = world_.guest(Uid(i));
    EXPECT_EQ(guest.revision, away(i) ? 5 : 7) << i;
    EXPECT_EQ(guest.updates, away(i) ? 0 : 1) << i;
    EXPECT_EQ(guest.restarts, away(i) ? 0 : 1) << i;
  }
}

// The controller dies after every write of a rollout whose revision is bad, those of the way back
// included: the canary goes there and back once, and nobody else is touched.
TEST_F(RolloutFaultsTest, CrashAfterEveryWriteOfABadRevisionGoesBack) {
  AddVms(3);
  int64_t revision = 10;
  // The first three are those of asking an agent what the newest revision is.
  for (int writes = 4;; ++writes) {
    SCOPED_TRACE(absl::StrCat(writes, " writes"));
    ++revision;
    world_.SetHead(revision);
    world_.SetBad(revision);
    const std::vector<UpgradeWorld::Guest> before = Guests(3);
    bool died = false;
    const std::string name = DieWhile(To(revision, 1, 2), writes, &died);
    const Rollout ended = AwaitEndInTime(name, absl::Seconds(1));
    EXPECT_EQ(ended.operation().state(), Operation::STATE_FAILED);
    EXPECT_EQ(ReasonOf(FromRpcStatus(ended.operation().targets(0).error())), "HEALTH_GATE");
    EXPECT_EQ(CountOf(ended, Target::STATE_CANCELLED), 2);
    for (int i = 1; i <= 3; ++i) {
      const UpgradeWorld::Guest guest = world_.guest(Uid(i));
      const UpgradeWorld::Guest& old = before[static_cast<size_t>(i - 1)];
      EXPECT_EQ(guest.revision, 5);
      EXPECT_EQ(guest.running, 5);
      EXPECT_EQ(guest.updates, old.updates + (i == 1 ? 2 : 0));
      EXPECT_EQ(guest.restarts, old.restarts + (i == 1 ? 2 : 0));
    }
    if (!died) {
      EXPECT_GT(writes, 20);
      break;
    }
  }
}

}  // namespace
}  // namespace drover::core
