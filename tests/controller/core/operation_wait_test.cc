// Steps that wait without a worker, seen from the runner alone.
#include <map>

#include "absl/strings/str_cat.h"
#include "absl/synchronization/mutex.h"
#include "controller/core/operation_record.h"
#include "controller/core/operation_runner.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "proto/support/status.h"
#include "tests/testing/test_store.h"

namespace drover::core {
namespace {

using drover::v1::Operation;
using ::testing::ElementsAre;
using Target = Operation::Target;

class OperationWaitTest : public ::testing::Test {
 protected:
  ~OperationWaitTest() override { runner_->Stop(); }

  void Start(int workers = 1) {
    runner_ = std::make_unique<OperationRunner>(&files_.store(), &files_.vault(), &files_.clock(),
                                                RunnerLimits{.workers = workers});
    runner_->Register("wait", [this](const OperationRecord&) {
      OperationStep step;
      step.title = "wait";
      step.run = [this](OperationContext& context) {
        return Look(context, std::string(context.record().holds(0)));
      };
      step.undo = [this](OperationContext& context) {
        return Look(context, "undo " + std::string(context.record().holds(0)));
      };
      return std::vector<OperationStep>{step};
    });
    runner_->OnChange([this](absl::string_view) {
      absl::MutexLock lock(&mutex_);
      ++changes_;
    });
    ASSERT_TRUE(runner_->Start().ok());
  }
  absl::Status Look(OperationContext& context, const std::string& what) {
    std::function<void(WaitingStep&)> while_looking;
    {
      absl::MutexLock lock(&mutex_);
      ++runs_[what];
      if (done_.contains(what)) return absl::OkStatus();
      steps_[what] = context.Waiting();
      while_looking = std::exchange(while_looking_, nullptr);
    }
    if (while_looking) while_looking(*context.Waiting());
    return context.WaitForWake(absl::Minutes(5));
  }
  void Done(const std::string& what) {
    absl::MutexLock lock(&mutex_);
    done_.insert(what);
  }
  std::shared_ptr<WaitingStep> StepOf(const std::string& what) {
    absl::MutexLock lock(&mutex_);
    return steps_[what];
  }
  int runs(const std::string& what) {
    absl::MutexLock lock(&mutex_);
    return runs_[what];
  }
  void AwaitRuns(const std::string& what, int count) {
    absl::MutexLock lock(&mutex_);
    auto enough = [&]() ABSL_NO_THREAD_SAFETY_ANALYSIS { return runs_[what] >= count; };
    mutex_.Await(absl::Condition(&enough));
  }
  std::string Submit(const std::string& vm) {
    OperationRequest request;
    request.kind = "wait";
    request.holds = {"vms/" + vm};
    const auto operation = runner_->Submit(std::move(request));
    EXPECT_TRUE(operation.ok()) << operation.status();
    return operation.ok() ? operation->name() : "";
  }
  Operation AwaitEnd(const std::string& name) {
    for (;;) {
      int64_t seen = 0;
      {
        absl::MutexLock lock(&mutex_);
        seen = changes_;
      }
      const absl::StatusOr<Operation> operation = runner_->Get(name);
      EXPECT_TRUE(operation.ok()) << operation.status();
      if (!operation.ok() || IsDone(operation->state())) return operation.value_or(Operation());
      absl::MutexLock lock(&mutex_);
      const auto changed = [&]() ABSL_NO_THREAD_SAFETY_ANALYSIS { return changes_ != seen; };
      mutex_.Await(absl::Condition(&changed));
    }
  }

  testing::TestStore files_;
  absl::Mutex mutex_;
  int64_t changes_ ABSL_GUARDED_BY(mutex_) = 0;
  std::map<std::string, int> runs_ ABSL_GUARDED_BY(mutex_);
  std::set<std::string> done_ ABSL_GUARDED_BY(mutex_);
  std::map<std::string, std::shared_ptr<WaitingStep>> steps_ ABSL_GUARDED_BY(mutex_);
  std::function<void(WaitingStep&)> while_looking_ ABSL_GUARDED_BY(mutex_);
  std::unique_ptr<OperationRunner> runner_;
};

TEST_F(OperationWaitTest, WakesByNameAndHoldsItsVmMeanwhile) {
  Start();
  const std::string first = Submit("a");
  AwaitRuns("vms/a", 1);
  const std::string second = Submit("a");
  // The only worker is free for others.
  Done("vms/b");
  EXPECT_EQ(AwaitEnd(Submit("b")).state(), Operation::STATE_SUCCEEDED);
  EXPECT_THAT(runner_->QueueOf("vms/a"), ElementsAre(first, second));
  EXPECT_EQ(runner_->Get(first)->state(), Operation::STATE_RUNNING);
  EXPECT_EQ(runs("vms/a"), 1);
  Done("vms/a");
  runner_->Wake(first);
  EXPECT_EQ(AwaitEnd(first).state(), Operation::STATE_SUCCEEDED);
  EXPECT_EQ(AwaitEnd(second).state(), Operation::STATE_SUCCEEDED);
}

TEST_F(OperationWaitTest, AWakeWhileItLooksIsNotMissed) {
  Start();
  {
    absl::MutexLock lock(&mutex_);
    while_looking_ = [this](WaitingStep& step) {
      Done("vms/a");
      step.Wake();
    };
  }
  EXPECT_EQ(AwaitEnd(Submit("a")).state(), Operation::STATE_SUCCEEDED);
  EXPECT_EQ(runs("vms/a"), 2);
}

TEST_F(OperationWaitTest, RunsAgainWhenTheTimeIsOver) {
  Start();
  const std::string name = Submit("a");
  AwaitRuns("vms/a", 1);
  files_.clock().WaitForSleepers(1);
  Done("vms/a");
  files_.clock().Advance(absl::Minutes(5));
  EXPECT_EQ(AwaitEnd(name).state(), Operation::STATE_SUCCEEDED);
  EXPECT_EQ(runs("vms/a"), 2);
}

TEST_F(OperationWaitTest, NewsReachTheOperationWhileNobodyRunsIt) {
  Start();
  const std::string name = Submit("a");
  AwaitRuns("vms/a", 1);
  const auto step = StepOf("vms/a");
  step->Report(40, "half way", Target::STATE_DELIVERED);
  step->LogOutput("k", "one\ntw", 0, false);
  step->LogOutput("k", "o\n", 6, false);
  Operation operation = *runner_->Get(name);
  EXPECT_EQ(operation.percent(), 40);
  EXPECT_EQ(operation.steps(0).detail(), "half way");
  EXPECT_EQ(operation.targets(0).state(), Target::STATE_DELIVERED);
  EXPECT_EQ(operation.targets(0).detail(), "wait: half way");
  ASSERT_EQ(operation.log_size(), 2);
  EXPECT_EQ(operation.log(1).text(), "two");
  Done("vms/a");
  step->Wake();
  operation = AwaitEnd(name);
  EXPECT_EQ(operation.targets(0).state(), Target::STATE_SUCCEEDED);
  // Late news change nothing.
  step->Report(10, "late", Target::STATE_QUEUED);
  EXPECT_EQ(runner_->Get(name)->steps(0).detail(), "half way");
}

TEST_F(OperationWaitTest, CancelWakesAndUndoWaitsWithoutAWorker) {
  Start();
  const std::string name = Submit("a");
  AwaitRuns("vms/a", 1);
  ASSERT_TRUE(runner_->Cancel(name).ok());
  AwaitRuns("undo vms/a", 1);
  Done("vms/b");
  EXPECT_EQ(AwaitEnd(Submit("b")).state(), Operation::STATE_SUCCEEDED);
  EXPECT_EQ(runner_->Get(name)->state(), Operation::STATE_UNDOING);
  Done("undo vms/a");
  runner_->Wake(name);
  const Operation ended = AwaitEnd(name);
  EXPECT_EQ(ended.state(), Operation::STATE_CANCELLED);
  // Waiting is no failed attempt.
  ASSERT_EQ(ended.log_size(), 1);
  EXPECT_EQ(ended.log(0).text(), "cancelled");
}

TEST_F(OperationWaitTest, WaitsOnAfterARestart) {
  Start();
  const std::string name = Submit("a");
  AwaitRuns("vms/a", 1);
  const auto before = StepOf("vms/a");
  runner_->Stop();
  runner_.reset();
  // Of a runner that is gone.
  before->Wake();
  before->Report(1, "late", Target::STATE_RUNNING);
  Start();
  AwaitRuns("vms/a", 2);
  Done("vms/a");
  runner_->Wake(name);
  EXPECT_EQ(AwaitEnd(name).state(), Operation::STATE_SUCCEEDED);
}

}  // namespace
}  // namespace drover::core
