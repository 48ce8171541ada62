#include "controller/core/operation_record.h"

#include <tuple>

#include "absl/strings/str_cat.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "proto/support/status.h"

namespace drover::core {
namespace {

using drover::v1::Operation;
using Step = Operation::Step;
using Target = Operation::Target;

const absl::Time kNow = absl::FromUnixSeconds(1767225600);

OperationRecord RecordOf(const std::vector<int>& weights) {
  OperationRecord record;
  for (const int weight : weights) {
    Step& step = *record.mutable_operation()->add_steps();
    step.set_title(absl::StrCat("step ", record.operation().steps_size()));
    step.set_state(Step::STATE_PENDING);
    record.add_weights(weight);
  }
  record.mutable_operation()->set_state(Operation::STATE_QUEUED);
  return record;
}

TEST(OperationId, SortsByTimeAndNeverRepeats) {
  const std::string first = NextOperationId(kNow, "");
  EXPECT_EQ(first.size(), 11u);
  EXPECT_GT(NextOperationId(kNow, first), first);
  EXPECT_GT(NextOperationId(kNow + absl::Hours(1), first), first);
  // The clock went back.
  EXPECT_GT(NextOperationId(kNow - absl::Hours(1), first), first);
  EXPECT_GT(NextOperationId(absl::FromUnixSeconds(9999999999), first), first);
}

TEST(OperationRecord, StepsGoInOrderAndPercentByWeight) {
  OperationRecord record = RecordOf({1, 3});
  Start(record, kNow);
  EXPECT_EQ(NextStep(record, false), 0);
  BeginStep(record, 0, kNow);
  EXPECT_EQ(NextStep(record, false), 0) << "a step that only began is not done";
  EndStep(record, 0, kNow);
  EXPECT_EQ(record.operation().percent(), 25);
  EXPECT_EQ(NextStep(record, false), 1);
  BeginStep(record, 1, kNow);
  record.mutable_operation()->mutable_steps(1)->set_percent(50);
  SetPercent(record);
  EXPECT_EQ(record.operation().percent(), 62);
  EndStep(record, 1, kNow);
  EXPECT_EQ(NextStep(record, false), -1);
  Finish(record, Operation::STATE_SUCCEEDED, kNow);
  EXPECT_EQ(record.operation().percent(), 100);
  EXPECT_TRUE(record.operation().has_end_time());
}

TEST(OperationRecord, FailureIsUndoneBackwardsWhereItCanBe) {
  OperationRecord record = RecordOf({1, 1, 1, 1});
  Start(record, kNow);
  for (const int step : {0, 1}) {
    BeginStep(record, step, kNow);
    EndStep(record, step, kNow);
  }
  BeginStep(record, 2, kNow);
  FailStep(record, 2, MakeError(absl::StatusCode::kResourceExhausted, "NO_SPACE", "disk is full"),
           kNow);
  EXPECT_EQ(record.operation().state(), Operation::STATE_UNDOING);
  EXPECT_EQ(record.operation().error().message(), "step 3: disk is full");
  EXPECT_EQ(ReasonOf(FromRpcStatus(record.operation().error())), "NO_SPACE");
  const std::vector<bool> can_undo = {true, false, true, true};
  EXPECT_EQ(NextToUndo(record, can_undo), 2);
  EndUndo(record, 2, kNow);
  EXPECT_EQ(NextToUndo(record, can_undo), 0);
  EndUndo(record, 0, kNow);
  EXPECT_EQ(NextToUndo(record, can_undo), -1);
  EXPECT_EQ(StateAfterUndo(record), Operation::STATE_FAILED);
  Finish(record, StateAfterUndo(record), kNow);
  EXPECT_EQ(record.operation().steps(0).state(), Step::STATE_UNDONE);
  EXPECT_EQ(record.operation().steps(1).state(), Step::STATE_DONE);
  EXPECT_EQ(record.operation().steps(3).state(), Step::STATE_SKIPPED);
}

TEST(OperationRecord, CancelEndsAsCancelledUnlessUndoFails) {
  OperationRecord record = RecordOf({1});
  Start(record, kNow);
  BeginStep(record, 0, kNow);
  StopForCancel(record, kNow);
  EXPECT_EQ(NextToUndo(record, {true}), 0);
  EXPECT_EQ(StateAfterUndo(record), Operation::STATE_CANCELLED);
  GiveUpUndo(record, 0, absl::UnavailableError("host is away"), kNow);
  EXPECT_EQ(NextToUndo(record, {true}), -1);
  EXPECT_EQ(StateAfterUndo(record), Operation::STATE_FAILED);
  EXPECT_THAT(record.operation().error().message(),
              ::testing::HasSubstr("\"step 1\" could not be undone: host is away"));
}

TEST(OperationRecord, SecretsGoWithSuccessOnly) {
  for (const auto& [state, kept] :
       {std::pair(Operation::STATE_SUCCEEDED, false), std::pair(Operation::STATE_FAILED, true)}) {
    OperationRecord record = RecordOf({});
    record.set_sealed_secrets("sealed");
    (*record.mutable_memory())[0];
    Finish(record, state, kNow);
    EXPECT_EQ(!record.sealed_secrets().empty(), kept);
    EXPECT_EQ(record.memory_size(), 0);
  }
}

TEST(OperationRecord, LogIsBounded) {
  OperationRecord record;
  for (int i = 0; i < kMaxOperationLog + 5; ++i) AppendLogLine(record, absl::StrCat(i), kNow);
  EXPECT_EQ(record.operation().log_size(), kMaxOperationLog);
  // With the line that says so.
  EXPECT_EQ(record.operation().log(0).text(), "(6 earlier lines left out)");
  EXPECT_EQ(record.operation().log(1).text(), "6");
  EXPECT_EQ(record.operation().log(kMaxOperationLog - 1).text(), "204");
}

TEST(OperationRecord, ClosingStepsWaitForChildren) {
  OperationRecord parent = RecordOf({1, 1});
  parent.set_has_children(true);
  parent.set_opening_steps(1);
  EXPECT_EQ(NextStep(parent, false), 0);
  EndStep(parent, 0, kNow);
  EXPECT_EQ(NextStep(parent, false), -1);
  EXPECT_EQ(NextStep(parent, true), 1);
}

struct OutcomeCase {
  const char* name;
  std::vector<Target::State> targets;
  Operation::State state;
  const char* error;
};

TEST(OperationRecord, OutcomeFollowsFromTargets) {
  const std::vector<OutcomeCase> cases = {
      {"none", {}, Operation::STATE_SUCCEEDED, ""},
      {"all", {Target::STATE_SUCCEEDED, Target::STATE_SUCCEEDED}, Operation::STATE_SUCCEEDED, ""},
      {"some",
       {Target::STATE_SUCCEEDED, Target::STATE_FAILED},
       Operation::STATE_PARTLY_FAILED,
       "1 of 2 VMs failed; vms/1: no"},
      {"no success",
       {Target::STATE_FAILED, Target::STATE_CANCELLED},
       Operation::STATE_FAILED,
       "1 of 2 VMs failed; vms/0: no"},
      {"cancelled", {Target::STATE_CANCELLED}, Operation::STATE_CANCELLED, ""},
      {"cancelled after some",
       {Target::STATE_SUCCEEDED, Target::STATE_CANCELLED},
       Operation::STATE_PARTLY_FAILED,
       ""},
  };
  for (const OutcomeCase& c : cases) {
    OperationRecord parent;
    int i = 0;
    for (const Target::State state : c.targets) {
      Target& target = *parent.mutable_operation()->add_targets();
      target.set_vm(absl::StrCat("vms/", i++));
      target.set_state(state);
      if (state == Target::STATE_FAILED) {
        *target.mutable_error() = ToRpcStatus(absl::InternalError("no"));
      }
    }
    google::rpc::Status error;
    EXPECT_EQ(OutcomeOf(parent, &error), c.state) << c.name;
    EXPECT_EQ(error.message(), c.error) << c.name;
    EXPECT_TRUE(ChildrenDone(parent)) << c.name;
  }
}

}  // namespace
}  // namespace drover::core
