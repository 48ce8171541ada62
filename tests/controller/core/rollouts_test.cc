#include "controller/core/rollouts.h"

#include <algorithm>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "proto/support/status.h"
#include "tests/controller/core/upgrade_bench.h"
#include "tests/testing/temp_dir.h"

namespace drover::core {
namespace {

using ::testing::AnyOf;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsSupersetOf;

class RolloutsTest : public UpgradeBench {};

TEST_F(RolloutsTest, WaveByWave) {
  AddVms(6);
  const Rollout done = AwaitEnd(Start(To(7, 1, 3)));
  EXPECT_EQ(done.operation().state(), Operation::STATE_SUCCEEDED)
      << done.operation().error().message();
  EXPECT_EQ(done.waves(), 3);
  for (int i = 1; i <= 6; ++i) {
    EXPECT_EQ(world_.guest(Uid(i)).revision, 7);
    EXPECT_EQ(world_.guest(Uid(i)).running, 7);
    EXPECT_EQ(world_.guest(Uid(i)).updates, 1);
  }
  // The next wave begins when the one before was well for long enough.
  for (int i = 2; i <= 4; ++i) EXPECT_GT(Place(Uid(i), "look"), Place("uid-1", "watch"));
  for (int late = 5; late <= 6; ++late) {
    for (int i = 2; i <= 4; ++i) EXPECT_GT(Place(Uid(late), "look"), Place(Uid(i), "watch"));
  }
  // What was read on the way is in the list.
  drover::v1::ListWorkingCopiesRequest request;
  const auto list = copies_->List(request);
  ASSERT_TRUE(list.ok());
  ASSERT_EQ(list->working_copies_size(), 6);
  EXPECT_EQ(list->working_copies(0).revision(), 7);
  EXPECT_EQ(list->working_copies(0).previous_revision(), 5);
  EXPECT_TRUE(world_.SawPassword(kPassword));
  End();
  files_.Close();
  EXPECT_EQ(testing::FilesContaining(files_.directory(), kPassword), "");
}

TEST_F(RolloutsTest, ABadRevisionGoesBackByItselfAndStops) {
  AddVms(5);
  world_.SetBad(7);
  const Rollout done = AwaitEnd(Start(To(7, 2, 3, 9)));
  EXPECT_EQ(done.operation().state(), Operation::STATE_FAILED);
  EXPECT_EQ(CountOf(done, Target::STATE_FAILED), 2);
  EXPECT_EQ(CountOf(done, Target::STATE_CANCELLED), 3);
  EXPECT_EQ(ReasonOf(FromRpcStatus(done.operation().targets(0).error())), "HEALTH_GATE");
  for (int i = 1; i <= 2; ++i) {
    EXPECT_EQ(world_.guest(Uid(i)).revision, 5);
    EXPECT_EQ(world_.guest(Uid(i)).running, 5);
    EXPECT_EQ(world_.guest(Uid(i)).updates, 2);
  }
  for (int i = 3; i <= 5; ++i) EXPECT_EQ(Place(Uid(i), "look"), -1);
}

TEST_F(RolloutsTest, LocalEditsAreRefusedBeforeAnythingIsTouched) {
  AddVms(3);
  world_.Change("uid-2", [](UpgradeWorld::Guest& guest) { guest.edits = {"M settings.py"}; });
  const Rollout done = AwaitEnd(Start(To(7, 0, 3, 1)));
  EXPECT_EQ(done.operation().state(), Operation::STATE_PARTLY_FAILED);
  EXPECT_EQ(world_.guest("uid-2").updates, 0);
  EXPECT_EQ(world_.guest("uid-2").restarts, 0);
  EXPECT_EQ(ReasonOf(FromRpcStatus(done.operation().targets(1).error())), "LOCAL_EDITS");
}

TEST_F(RolloutsTest, OutOfReachIsCountedApart) {
  AddVms(3);
  world_.Change("uid-1", [](UpgradeWorld::Guest& guest) { guest.connected = false; });
  StartRolloutRequest request = To(7, 0, 2);
  request.mutable_spec()->set_max_unreachable(1);
  const std::string name = Start(request);
  Await(name,
        [&](const Rollout& rollout) { return CountOf(rollout, Target::STATE_SUCCEEDED) == 1; });
  files_.clock().WaitForSleepers(1);
  files_.clock().Advance(absl::Seconds(61));
  const Rollout rollout = AwaitEnd(name);
  EXPECT_EQ(CountOf(rollout, Target::STATE_EXPIRED), 1);
  EXPECT_EQ(CountOf(rollout, Target::STATE_SUCCEEDED), 2);
  EXPECT_EQ(rollout.operation().state(), Operation::STATE_PARTLY_FAILED);
}

TEST_F(RolloutsTest, PausedNothingBeginsUntilItIsResumed) {
  AddVms(3);
  world_.Hold("uid-1");
  const std::string name = Start(To(7, 1, 2));
  world_.AwaitHeld("uid-1");
  ASSERT_TRUE(rollouts_->Pause(name).ok());
  EXPECT_EQ(ReasonOf(rollouts_->Pause(name).status()), "ALREADY_PAUSED");
  world_.LetGo("uid-1");
  Rollout paused = Await(
      name, [&](const Rollout& rollout) { return CountOf(rollout, Target::STATE_SUCCEEDED) == 1; });
  EXPECT_EQ(paused.operation().state(), Operation::STATE_PAUSED);
  // Also for the next controller.
  End();
  Run();
  EXPECT_EQ(rollouts_->Get(name)->operation().state(), Operation::STATE_PAUSED);
  EXPECT_EQ(Place("uid-2", "look"), -1);
  ASSERT_TRUE(rollouts_->Resume(name).ok());
  EXPECT_EQ(AwaitEnd(name).operation().state(), Operation::STATE_SUCCEEDED);
  EXPECT_EQ(ReasonOf(rollouts_->Resume(name).status()), "OPERATION_DONE");
}

TEST_F(RolloutsTest, CancelledTheTouchedGoBack) {
  AddVms(4);
  world_.Hold("uid-2");
  const std::string name = Start(To(7, 1, 2));
  world_.AwaitHeld("uid-2");
  Await(name,
        [&](const Rollout& rollout) { return CountOf(rollout, Target::STATE_SUCCEEDED) == 2; });
  drover::v1::CancelRolloutRequest request;
  request.set_name(name);
  request.set_return_touched(true);
  ASSERT_TRUE(rollouts_->Cancel(request, caller_).ok());
  world_.LetGo("uid-2");
  const Rollout cancelled = AwaitEnd(name);
  EXPECT_EQ(CountOf(cancelled, Target::STATE_CANCELLED), 2);
  const auto list = rollouts_->List({});
  ASSERT_TRUE(list.ok());
  ASSERT_EQ(list->rollouts_size(), 2);
  EXPECT_EQ(AwaitEnd(list->rollouts(0).name()).operation().state(), Operation::STATE_SUCCEEDED);
  for (int i = 1; i <= 4; ++i) {
    EXPECT_EQ(world_.guest(Uid(i)).revision, 5) << i;
    EXPECT_EQ(world_.guest(Uid(i)).running, 5) << i;
  }
  EXPECT_EQ(Place("uid-4", "look"), -1);
}

TEST_F(RolloutsTest, ContinueGoesOnAtTheStepThatFailed) {
  AddVms(3);
  world_.BreakRestart("uid-2", true);
  StartRolloutRequest request = To(7, 0, 3);
  request.mutable_spec()->set_keep_failed(true);
  const std::string name = Start(request);
  const Rollout failed = AwaitEnd(name);
  EXPECT_EQ(failed.operation().state(), Operation::STATE_PARTLY_FAILED);
  EXPECT_EQ(world_.guest("uid-2").revision, 7);
  world_.BreakRestart("uid-2", false);
  const auto again = runner_->Continue(failed.operation().name(), caller_, "once more");
  ASSERT_TRUE(again.ok()) << again.status();
  const Rollout done = AwaitEnd(absl::StrCat("rollouts/", again->name().substr(11)));
  EXPECT_EQ(done.operation().state(), Operation::STATE_SUCCEEDED);
  EXPECT_EQ(done.operation().targets_size(), 1);
  EXPECT_EQ(world_.guest("uid-2").updates, 1);
  EXPECT_EQ(Place("uid-2", "update to 7"), Place("uid-2", "update to 7", /*last=*/true));
  EXPECT_EQ(world_.guest("uid-2").running, 7);
  EXPECT_EQ(world_.guest("uid-1").restarts, 1);
}

TEST_F(RolloutsTest, RollBackToEachVmsPreviousRevision) {
  AddVms(2);
  AwaitEnd(Start(To(7, 0, 2)));
  world_.Change("uid-2", [](UpgradeWorld::Guest& guest) { guest.previous = 0; });
  StartRolloutRequest back = To(0, 0, 2, 1);
  back.mutable_spec()->set_previous(true);
  const Rollout done = AwaitEnd(Start(back));
  EXPECT_EQ(done.operation().state(), Operation::STATE_PARTLY_FAILED);
  EXPECT_EQ(world_.guest("uid-1").revision, 5);
  EXPECT_EQ(world_.guest("uid-2").revision, 7);
  EXPECT_EQ(ReasonOf(FromRpcStatus(done.operation().targets(1).error())), "NO_PREVIOUS_REVISION");
}

TEST_F(RolloutsTest, ThePlanTellsWhatWouldBeAndChangesNothing) {
  AddVms(3);
  world_.Change("uid-2", [](UpgradeWorld::Guest& guest) { guest.edits = {"M settings.py"}; });
  world_.Change("uid-3", [](UpgradeWorld::Guest& guest) { guest.connected = false; });
  StartRolloutRequest request = To(0, 1, 2);
  request.mutable_spec()->set_head(true);
  const auto plan = rollouts_->Plan(request.spec());
  ASSERT_TRUE(plan.ok()) << plan.status();
  EXPECT_EQ(plan->target_revision(), 9);
  ASSERT_EQ(plan->waves_size(), 2);
  EXPECT_TRUE(plan->waves(0).canary());
  EXPECT_THAT(plan->waves(0).vms(), ElementsAre("vms/web-1"));
  ASSERT_EQ(plan->log_size(), 4);
  EXPECT_EQ(plan->log(0).revision(), 9);
  EXPECT_THAT(plan->warnings(),
              IsSupersetOf({HasSubstr("out of reach"), HasSubstr("will be refused")}));
  for (const std::string& entry : world_.journal()) {
    EXPECT_THAT(entry, AnyOf(HasSubstr("look"), HasSubstr("revisions")));
  }
  request.mutable_spec()->set_revision(4711);
  EXPECT_EQ(ReasonOf(rollouts_->Plan(request.spec()).status()), "REVISION_UNKNOWN");
  EXPECT_EQ(ReasonOf(rollouts_->Start(request, caller_).status()), "REVISION_UNKNOWN");
}

TEST_F(RolloutsTest, BadRequestsNameTheField) {
  AddVms(1);
  const auto refused = [&](const std::function<void(RolloutSpec&)>& change) {
    StartRolloutRequest request = To(7, 0, 1);
    change(*request.mutable_spec());
    const auto started = rollouts_->Start(request, caller_);
    EXPECT_FALSE(started.ok());
    return started.status();
  };
  EXPECT_THAT(refused([](RolloutSpec& spec) { spec.clear_to(); }).message(), HasSubstr("where to"));
  EXPECT_THAT(refused([](RolloutSpec& spec) { spec.add_vms("vms/web-1"); }).message(),
              HasSubstr("spec.vms"));
  EXPECT_EQ(ReasonOf(refused([](RolloutSpec& spec) {
              spec.clear_environment();
              spec.clear_type();
              spec.add_vms("vms/web-1");
              spec.add_working_copies("nothing");
            })),
            "WORKING_COPY_UNKNOWN");
}

// The controller dies after every write of a rollout in three waves; the next one brings it to the
// same end, and no VM is updated or restarted twice.
TEST_F(RolloutsTest, CrashAfterEveryWriteEndsTheSame) {
  AddVms(5);
  int64_t revision = 5;
  // The first three are those of asking an agent what the newest revision is.
  for (int writes = 4;; ++writes) {
    SCOPED_TRACE(absl::StrCat(writes, " writes"));
    ++revision;
    world_.SetHead(revision);
    const std::vector<UpgradeWorld::Guest> before = Guests(5);
    bool died = false;
    const std::string name = DieWhile(To(revision, 1, 2), writes, &died);
    const Rollout ended = AwaitEnd(name);
    EXPECT_EQ(ended.operation().state(), Operation::STATE_SUCCEEDED)
        << ended.operation().error().message();
    for (int i = 1; i <= 5; ++i) {
      const UpgradeWorld::Guest guest = world_.guest(Uid(i));
      const UpgradeWorld::Guest& old = before[static_cast<size_t>(i - 1)];
      EXPECT_EQ(guest.revision, revision);
      EXPECT_EQ(guest.running, revision);
      EXPECT_EQ(guest.updates, old.updates + 1);
      EXPECT_EQ(guest.restarts, old.restarts + 1);
    }
    if (!died) {
      EXPECT_GT(writes, 20);
      break;
    }
  }
}

}  // namespace
}  // namespace drover::core
