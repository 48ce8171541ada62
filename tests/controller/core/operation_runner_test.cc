// Long because one world of things serves every behaviour of the runner.
#include "controller/core/operation_runner.h"

#include <map>
#include <set>

#include "absl/strings/str_cat.h"
#include "absl/synchronization/mutex.h"
#include "absl/synchronization/notification.h"
#include "controller/core/operation_record.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "proto/support/resource_name.h"
#include "proto/support/status.h"
#include "tests/testing/faulty_store.h"
#include "tests/testing/test_store.h"

namespace drover::core {
namespace {

using drover::v1::Operation;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using Target = Operation::Target;

// What steps did, and how they shall behave; outlives the runners of a test, as the world does.
class World {
 public:
  void Make(const std::string& thing) {
    absl::MutexLock lock(&mutex_);
    things_.insert(thing);
    ++made_[thing];
  }
  void Remove(const std::string& thing) {
    absl::MutexLock lock(&mutex_);
    things_.erase(thing);
  }
  void FailAt(const std::string& thing, absl::Status status) {
    absl::MutexLock lock(&mutex_);
    failures_[thing] = status;
  }
  absl::Status FailureOf(const std::string& thing) {
    absl::MutexLock lock(&mutex_);
    const auto it = failures_.find(thing);
    return it == failures_.end() ? absl::OkStatus() : it->second;
  }
  std::set<std::string> things() {
    absl::MutexLock lock(&mutex_);
    return things_;
  }
  int made(const std::string& thing) {
    absl::MutexLock lock(&mutex_);
    return made_[thing];
  }
  // Steps of things in here wait until they may go on, or are stopped.
  void Hold(const std::string& thing) {
    absl::MutexLock lock(&mutex_);
    held_.insert(thing);
  }
  void LetGo(const std::string& thing) {
    absl::MutexLock lock(&mutex_);
    held_.erase(thing);
  }
  void AwaitWaiting(const std::string& thing) {
    absl::MutexLock lock(&mutex_);
    const auto waits = [&]() ABSL_NO_THREAD_SAFETY_ANALYSIS { return waiting_.contains(thing); };
    mutex_.Await(absl::Condition(&waits));
  }
  absl::Status Wait(const std::string& thing, const std::stop_token& stop) {
    std::stop_callback wake(stop, [this] { absl::MutexLock lock(&mutex_); });
    absl::MutexLock lock(&mutex_);
    waiting_.insert(thing);
    const auto free = [&]() ABSL_NO_THREAD_SAFETY_ANALYSIS {
      return !held_.contains(thing) || stop.stop_requested();
    };
    mutex_.Await(absl::Condition(&free));
    waiting_.erase(thing);
    return stop.stop_requested() ? absl::CancelledError("stopped") : absl::OkStatus();
  }
  // At most so many at a time of what has this name.
  void Enter(const std::string& name) {
    absl::MutexLock lock(&mutex_);
    most_[name] = std::max(most_[name], ++inside_[name]);
  }
  void Leave(const std::string& name) {
    absl::MutexLock lock(&mutex_);
    --inside_[name];
  }
  int most(const std::string& name) {
    absl::MutexLock lock(&mutex_);
    return most_[name];
  }

 private:
  absl::Mutex mutex_;
  std::set<std::string> things_ ABSL_GUARDED_BY(mutex_);
  std::map<std::string, int> made_ ABSL_GUARDED_BY(mutex_);
  std::map<std::string, absl::Status> failures_ ABSL_GUARDED_BY(mutex_);
  std::set<std::string> held_ ABSL_GUARDED_BY(mutex_);
  std::set<std::string> waiting_ ABSL_GUARDED_BY(mutex_);
  std::map<std::string, int> inside_ ABSL_GUARDED_BY(mutex_);
  std::map<std::string, int> most_ ABSL_GUARDED_BY(mutex_);
};

// "vms/x" + "disk" -> "x disk".
std::string ThingOf(const OperationRecord& record, const std::string& what) {
  const std::string vm = record.holds_size() > 0 ? record.holds(0) : "";
  return absl::StrCat(IdOf(vm), " ", what);
}

OperationStep MakeStep(World* world, const std::string& what) {
  OperationStep step;
  step.title = absl::StrCat("make ", what);
  step.run = [world, what](OperationContext& context) -> absl::Status {
    const std::string thing = ThingOf(context.record(), what);
    world->Enter(std::string(context.record().holds(0)));
    const absl::Status waited = world->Wait(thing, context.stop());
    world->Leave(std::string(context.record().holds(0)));
    DROVER_RETURN_IF_ERROR(waited);
    DROVER_RETURN_IF_ERROR(world->FailureOf(thing));
    world->Make(thing);
    return absl::OkStatus();
  };
  step.undo = [world, what](OperationContext& context) -> absl::Status {
    const std::string thing = ThingOf(context.record(), what);
    DROVER_RETURN_IF_ERROR(world->FailureOf("undo " + thing));
    world->Remove(thing);
    return absl::OkStatus();
  };
  return step;
}

class OperationRunnerTest : public ::testing::Test {
 protected:
  ~OperationRunnerTest() override {
    if (runner_ != nullptr) runner_->Stop();
  }

  void Run(Store* store = nullptr, RunnerLimits limits = {.workers = 4}) {
    runner_ = std::make_unique<OperationRunner>(store == nullptr ? &files_.store() : store,
                                                &files_.vault(), &files_.clock(), limits);
    runner_->Register("make", [this](const OperationRecord&) {
      return std::vector<OperationStep>{MakeStep(&world_, "name"), MakeStep(&world_, "disk"),
                                        MakeStep(&world_, "agent")};
    });
    runner_->Register("commit", [this](const OperationRecord&) {
      std::vector<OperationStep> steps = {MakeStep(&world_, "first"), MakeStep(&world_, "second")};
      steps[0].commits = true;
      return steps;
    });
    runner_->Register("batch", [](const OperationRecord&) { return std::vector<OperationStep>(); });
    runner_->Register("framed", [this](const OperationRecord&) {
      OperationStep open{.title = "open", .run = [this](OperationContext&) {
                           world_.Make("open");
                           return world_.FailureOf("open");
                         }};
      OperationStep close{.title = "close", .run = [this](OperationContext&) {
                            world_.Make("close");
                            return absl::OkStatus();
                          }};
      close.after_children = true;
      return std::vector<OperationStep>{open, close};
    });
    runner_->OnChange([this](absl::string_view) {
      absl::MutexLock lock(&mutex_);
      ++changes_;
    });
    ASSERT_TRUE(runner_->Start().ok());
  }

  static OperationRequest Request(const std::string& vm, const std::string& kind = "make") {
    OperationRequest request;
    request.kind = kind;
    request.title = absl::StrCat(kind, " ", vm);
    if (!vm.empty()) {
      request.holds = {"vms/" + vm};
      request.resource_names = {"vms/" + vm};
    }
    request.caller.user = "ada";
    return request;
  }
  std::string Submit(OperationRequest request) {
    const absl::StatusOr<Operation> operation = runner_->Submit(std::move(request));
    EXPECT_TRUE(operation.ok()) << operation.status();
    return operation.ok() ? operation->name() : "";
  }
  std::string SubmitBatch(const std::vector<std::string>& vms, const std::string& kind = "batch",
                          int at_once = 0) {
    std::vector<OperationRequest> children;
    for (const std::string& vm : vms) children.push_back(Request(vm));
    const absl::StatusOr<Operation> operation =
        runner_->SubmitBatch(Request("", kind), std::move(children), at_once);
    EXPECT_TRUE(operation.ok()) << operation.status();
    return operation.ok() ? operation->name() : "";
  }
  // Waits for changes until `enough` of the operation.
  template <typename Enough>
  Operation Await(const std::string& name, Enough enough) {
    for (;;) {
      int64_t seen = 0;
      {
        absl::MutexLock lock(&mutex_);
        seen = changes_;
      }
      absl::StatusOr<Operation> operation = runner_->Get(name);
      EXPECT_TRUE(operation.ok()) << operation.status();
      if (!operation.ok() || enough(*operation)) return operation.value_or(Operation());
      absl::MutexLock lock(&mutex_);
      const auto changed = [&]() ABSL_NO_THREAD_SAFETY_ANALYSIS { return changes_ != seen; };
      mutex_.Await(absl::Condition(&changed));
    }
  }
  Operation AwaitEnd(const std::string& name) {
    return Await(name, [](const Operation& operation) { return IsDone(operation.state()); });
  }

  testing::TestStore files_;
  World world_;
  absl::Mutex mutex_;
  int64_t changes_ ABSL_GUARDED_BY(mutex_) = 0;
  std::unique_ptr<OperationRunner> runner_;
};

TEST_F(OperationRunnerTest, RunsStepsInOrderToTheEnd) {
  Run();
  const Operation ended = AwaitEnd(Submit(Request("a")));
  EXPECT_EQ(ended.state(), Operation::STATE_SUCCEEDED);
  EXPECT_EQ(ended.percent(), 100);
  EXPECT_EQ(ended.steps_size(), 3);
  for (const auto& step : ended.steps()) EXPECT_EQ(step.state(), Operation::Step::STATE_DONE);
  ASSERT_EQ(ended.targets_size(), 1);
  EXPECT_EQ(ended.targets(0).vm(), "vms/a");
  EXPECT_EQ(ended.targets(0).state(), Target::STATE_SUCCEEDED);
  EXPECT_THAT(world_.things(), ElementsAre("a agent", "a disk", "a name"));
}

TEST_F(OperationRunnerTest, FailureUndoesWhatWasDone) {
  Run();
  world_.FailAt("a agent", MakeError(absl::StatusCode::kUnavailable, "AWAY", "no contact"));
  const Operation ended = AwaitEnd(Submit(Request("a")));
  EXPECT_EQ(ended.state(), Operation::STATE_FAILED);
  EXPECT_EQ(ended.error().message(), "make agent: no contact");
  EXPECT_EQ(ended.targets(0).state(), Target::STATE_FAILED);
  EXPECT_TRUE(world_.things().empty());
  EXPECT_TRUE(runner_->QueueOf("vms/a").empty());
}

TEST_F(OperationRunnerTest, UndoIsTriedAgainAndSaysWhatIsLeft) {
  Run();
  world_.FailAt("a agent", absl::InternalError("broken"));
  world_.FailAt("undo a disk", absl::InternalError("stuck"));
  const std::string name = Submit(Request("a"));
  for (int attempt = 1; attempt <= 3; ++attempt) {
    // The failure itself is the first line.
    Await(name, [&](const Operation& operation) { return operation.log_size() == 1 + attempt; });
    files_.clock().WaitForSleepers(1);
    files_.clock().Advance(absl::Minutes(1));
  }
  const Operation ended = AwaitEnd(name);
  EXPECT_EQ(ended.state(), Operation::STATE_FAILED);
  EXPECT_THAT(ended.error().message(), HasSubstr("broken"));
  EXPECT_THAT(ended.error().message(), HasSubstr("\"make disk\" could not be undone: stuck"));
  EXPECT_THAT(world_.things(), ElementsAre("a disk"));
}

TEST_F(OperationRunnerTest, OneChangeAtATimePerVmAndTheQueueIsSeen) {
  Run();
  world_.Hold("a name");
  const std::string first = Submit(Request("a"));
  const std::string second = Submit(Request("a"));
  const std::string other = Submit(Request("b"));
  world_.AwaitWaiting("a name");
  AwaitEnd(other);
  EXPECT_THAT(runner_->QueueOf("vms/a"), ElementsAre(first, second));
  const absl::StatusOr<Operation> waiting = runner_->Get(second);
  ASSERT_TRUE(waiting.ok());
  EXPECT_EQ(waiting->state(), Operation::STATE_QUEUED);
  EXPECT_THAT(waiting->waits_for(), ElementsAre(first));
  world_.LetGo("a name");
  EXPECT_EQ(AwaitEnd(second).state(), Operation::STATE_SUCCEEDED);
  EXPECT_EQ(world_.most("vms/a"), 1);
}

TEST_F(OperationRunnerTest, CancelStopsAtEachStepAndUndoes) {
  for (const std::string step : {"name", "disk", "agent"}) {
    SCOPED_TRACE(step);
    Run();
    world_.Hold("a " + step);
    const std::string name = Submit(Request("a"));
    world_.AwaitWaiting("a " + step);
    ASSERT_TRUE(runner_->Cancel(name).ok());
    const Operation ended = AwaitEnd(name);
    EXPECT_EQ(ended.state(), Operation::STATE_CANCELLED);
    EXPECT_FALSE(ended.has_error());
    EXPECT_EQ(ended.targets(0).state(), Target::STATE_CANCELLED);
    EXPECT_TRUE(world_.things().empty());
    EXPECT_EQ(ReasonOf(runner_->Cancel(name).status()), "OPERATION_DONE");
    world_.LetGo("a " + step);
    runner_->Stop();
  }
}

TEST_F(OperationRunnerTest, CancelOfAWaitingOneEndsItAtOnce) {
  Run();
  world_.Hold("a name");
  const std::string first = Submit(Request("a"));
  world_.AwaitWaiting("a name");
  const std::string second = Submit(Request("a"));
  const absl::StatusOr<Operation> cancelled = runner_->Cancel(second);
  ASSERT_TRUE(cancelled.ok());
  EXPECT_EQ(cancelled->state(), Operation::STATE_CANCELLED);
  EXPECT_THAT(runner_->QueueOf("vms/a"), ElementsAre(first));
  world_.LetGo("a name");
  EXPECT_EQ(AwaitEnd(first).state(), Operation::STATE_SUCCEEDED);
}

TEST_F(OperationRunnerTest, CancelComesTooLateAfterACommit) {
  Run();
  world_.Hold("a second");
  const std::string name = Submit(Request("a", "commit"));
  world_.AwaitWaiting("a second");
  EXPECT_EQ(ReasonOf(runner_->Cancel(name).status()), "OPERATION_COMMITTED");
  world_.LetGo("a second");
  EXPECT_EQ(AwaitEnd(name).state(), Operation::STATE_SUCCEEDED);
}

TEST_F(OperationRunnerTest, FailureAfterACommitLeavesWhatIsDone) {
  Run();
  world_.FailAt("a second", absl::InternalError("broken"));
  EXPECT_EQ(AwaitEnd(Submit(Request("a", "commit"))).state(), Operation::STATE_FAILED);
  EXPECT_THAT(world_.things(), ElementsAre("a first"));
}

TEST_F(OperationRunnerTest, BatchEndsPartlyFailedAndContinuesWithTheFailedOnly) {
  Run();
  world_.FailAt("b disk", absl::ResourceExhaustedError("no space"));
  const std::string name = SubmitBatch({"a", "b", "c"});
  const Operation ended = AwaitEnd(name);
  EXPECT_EQ(ended.state(), Operation::STATE_PARTLY_FAILED);
  EXPECT_EQ(ended.error().message(), "1 of 3 VMs failed; vms/b: make disk: no space");
  ASSERT_EQ(ended.targets_size(), 3);
  EXPECT_EQ(ended.targets(0).state(), Target::STATE_SUCCEEDED);
  EXPECT_EQ(ended.targets(1).state(), Target::STATE_FAILED);
  EXPECT_FALSE(ended.targets(1).operation().empty());

  world_.FailAt("b disk", absl::OkStatus());
  const absl::StatusOr<Operation> again = runner_->Continue(name, Request("").caller, "id-1");
  ASSERT_TRUE(again.ok()) << again.status();
  const Operation second = AwaitEnd(again->name());
  EXPECT_EQ(second.state(), Operation::STATE_SUCCEEDED);
  ASSERT_EQ(second.targets_size(), 1);
  EXPECT_EQ(second.targets(0).vm(), "vms/b");
  EXPECT_EQ(world_.made("a disk"), 1);
  EXPECT_EQ(world_.made("b disk"), 1);
  // The same request again makes no third one.
  EXPECT_EQ(runner_->Continue(name, Request("").caller, "id-1")->name(), second.name());
  EXPECT_EQ(ReasonOf(runner_->Continue(second.name(), Request("").caller, "").status()),
            "NOTHING_TO_CONTINUE");
}

TEST_F(OperationRunnerTest, BatchKeepsItsLimit) {
  Run();
  std::vector<std::string> vms;
  for (int i = 0; i < 6; ++i) {
    vms.push_back(absl::StrCat("v", i));
    world_.Hold(absl::StrCat("v", i, " name"));
  }
  const std::string name = SubmitBatch(vms, "batch", /*at_once=*/2);
  world_.AwaitWaiting("v0 name");
  world_.AwaitWaiting("v1 name");
  const Operation half = *runner_->Get(name);
  EXPECT_EQ(half.state(), Operation::STATE_RUNNING);
  EXPECT_EQ(half.targets(2).state(), Target::STATE_QUEUED);
  for (const std::string& vm : vms) world_.LetGo(vm + " name");
  EXPECT_EQ(AwaitEnd(name).state(), Operation::STATE_SUCCEEDED);
}

TEST_F(OperationRunnerTest, ParentStepsFrameTheChildren) {
  Run();
  world_.Hold("a name");
  const std::string name = SubmitBatch({"a", "b"}, "framed");
  world_.AwaitWaiting("a name");
  EXPECT_TRUE(world_.things().contains("open"));
  EXPECT_FALSE(world_.things().contains("close"));
  world_.LetGo("a name");
  EXPECT_EQ(AwaitEnd(name).state(), Operation::STATE_SUCCEEDED);
  EXPECT_TRUE(world_.things().contains("close"));
  // Without children it is its steps alone.
  EXPECT_EQ(AwaitEnd(SubmitBatch({}, "framed")).state(), Operation::STATE_SUCCEEDED);
}

TEST_F(OperationRunnerTest, ParentThatCannotOpenRunsNoChild) {
  Run();
  world_.FailAt("open", absl::InternalError("no"));
  const Operation ended = AwaitEnd(SubmitBatch({"a"}, "framed"));
  EXPECT_EQ(ended.state(), Operation::STATE_FAILED);
  EXPECT_EQ(ended.targets(0).state(), Target::STATE_CANCELLED);
  EXPECT_EQ(world_.things().count("a name"), 0u);
}

TEST_F(OperationRunnerTest, ParentDoesNotCloseWhenAChildFailed) {
  Run();
  world_.FailAt("a name", absl::InternalError("no"));
  EXPECT_EQ(AwaitEnd(SubmitBatch({"a", "b"}, "framed")).state(), Operation::STATE_PARTLY_FAILED);
  EXPECT_EQ(world_.things().count("close"), 0u);
}

TEST_F(OperationRunnerTest, CancelOfABatchReachesAllChildren) {
  Run();
  world_.Hold("a disk");
  const std::string name = SubmitBatch({"a", "b", "c"}, "batch", /*at_once=*/1);
  world_.AwaitWaiting("a disk");
  ASSERT_TRUE(runner_->Cancel(name).ok());
  const Operation ended = AwaitEnd(name);
  EXPECT_EQ(ended.state(), Operation::STATE_CANCELLED);
  for (const Target& target : ended.targets()) EXPECT_EQ(target.state(), Target::STATE_CANCELLED);
  EXPECT_THAT(world_.things(), ElementsAre()) << ended.DebugString();
}

TEST_F(OperationRunnerTest, SameRequestIdIsAnsweredTheSame) {
  Run();
  const auto request = [](const std::string& user, const std::string& name) {
    OperationRequest request = Request("a");
    request.caller.user = user;
    request.request_id = "r-1";
    auto message = std::make_unique<drover::v1::GetVmRequest>();
    message->set_name(name);
    request.request = std::move(message);
    return request;
  };
  const std::string first = Submit(request("ada", "vms/a"));
  EXPECT_EQ(Submit(request("ada", "vms/a")), first);
  AwaitEnd(first);
  EXPECT_EQ(Submit(request("ada", "vms/a")), first);
  EXPECT_NE(Submit(request("bob", "vms/a")), first);
  EXPECT_EQ(ReasonOf(runner_->Submit(request("ada", "vms/b")).status()), "REQUEST_ID_REUSED");
  drover::v1::GetVmRequest message;
  message.set_name("vms/a");
  const auto earlier = runner_->Earlier(request("ada", "").caller, "r-1", message);
  ASSERT_TRUE(earlier.ok() && earlier->has_value());
  EXPECT_EQ((*earlier)->name(), first);
}

TEST_F(OperationRunnerTest, ListsNewestFirstInPages) {
  Run();
  std::vector<std::string> names;
  for (const char* vm : {"a", "b", "c"}) {
    names.push_back(Submit(Request(vm)));
    AwaitEnd(names.back());
  }
  drover::v1::ListOperationsRequest request;
  request.set_page_size(2);
  auto page = *runner_->List(request);
  ASSERT_EQ(page.operations_size(), 2);
  EXPECT_EQ(page.operations(0).name(), names[2]);
  EXPECT_EQ(page.operations(1).name(), names[1]);
  request.set_page_token(page.next_page_token());
  page = *runner_->List(request);
  ASSERT_EQ(page.operations_size(), 1);
  EXPECT_EQ(page.operations(0).name(), names[0]);
  EXPECT_EQ(page.next_page_token(), "");
  request.Clear();
  request.set_resource_name("vms/b");
  EXPECT_EQ(runner_->List(request)->operations_size(), 1);
  request.Clear();
  request.add_states(Operation::STATE_RUNNING);
  EXPECT_EQ(runner_->List(request)->operations_size(), 0);
  request.set_page_token("../x");
  EXPECT_EQ(runner_->List(request).status().code(), absl::StatusCode::kInvalidArgument);
  EXPECT_EQ(ReasonOf(runner_->Get("operations/none").status()), "OPERATION_NOT_FOUND");
}

TEST_F(OperationRunnerTest, OldOnesAreDeletedWithTheirChildren) {
  Run();
  const std::string old = SubmitBatch({"a", "b"});
  const std::string child = AwaitEnd(old).targets(0).operation();
  runner_->Stop();
  files_.clock().Advance(absl::Hours(24 * 31));
  Run();
  AwaitEnd(Submit(Request("c")));
  runner_->Stop();
  EXPECT_FALSE(runner_->Get(old).ok());
  EXPECT_FALSE(runner_->Get(child).ok());
}

TEST_F(OperationRunnerTest, RestartGoesOnWithAllThatIsQueued) {
  Run(nullptr, {.workers = 2});
  world_.Hold("v0 name");
  world_.Hold("v1 name");
  std::vector<std::string> names;
  for (int i = 0; i < 200; ++i) names.push_back(Submit(Request(absl::StrCat("v", i % 50))));
  world_.AwaitWaiting("v0 name");
  world_.AwaitWaiting("v1 name");
  runner_->Stop();
  world_.LetGo("v0 name");
  world_.LetGo("v1 name");
  Run(nullptr, {.workers = 8, .per_lane = 8, .per_batch = 8});
  for (const std::string& name : names) {
    EXPECT_EQ(AwaitEnd(name).state(), Operation::STATE_SUCCEEDED);
  }
  for (int i = 0; i < 50; ++i) EXPECT_EQ(world_.most(absl::StrCat("vms/v", i)), 1);
}

// The controller dies after every recorded step, whatever was recorded: the next one brings it to
// the same end.
TEST_F(OperationRunnerTest, CrashAfterEveryWriteEndsTheSame) {
  for (const bool fails : {false, true}) {
    for (int writes = 1;; ++writes) {
      SCOPED_TRACE(absl::StrCat(fails ? "failing, " : "", writes, " writes"));
      const std::string vm = absl::StrCat("v", writes, fails ? "f" : "s");
      if (fails) world_.FailAt(vm + " agent", absl::InternalError("broken"));
      testing::FaultyStore store(&files_.store());
      store.OnRefusal([this] {
        absl::MutexLock lock(&mutex_);
        ++changes_;
      });
      Run(&store);
      store.DieAfterWrites(writes);
      const absl::StatusOr<Operation> parent = [&] {
        std::vector<OperationRequest> children;
        children.push_back(Request(vm));
        return runner_->SubmitBatch(Request("", "framed"), std::move(children), 0);
      }();
      ASSERT_TRUE(parent.ok()) << parent.status();
      Await(parent->name(),
            [&](const Operation& operation) { return store.died() || IsDone(operation.state()); });
      const bool died = store.died();
      runner_->Stop();
      Run();
      const Operation ended = AwaitEnd(parent->name());
      EXPECT_EQ(ended.state(), fails ? Operation::STATE_FAILED : Operation::STATE_SUCCEEDED);
      for (const char* what : {" name", " disk", " agent"}) {
        EXPECT_EQ(world_.things().contains(vm + what), !fails);
      }
      EXPECT_TRUE(runner_->QueueOf("vms/" + vm).empty());
      runner_->Stop();
      if (!died) {
        EXPECT_GT(writes, 5);
        break;
      }
    }
  }
}

TEST_F(OperationRunnerTest, AStoreThatFailsForAWhileLosesNothing) {
  testing::FaultyStore store(&files_.store());
  Run(&store);
  store.DieAfterWrites(2);
  const std::string name = Submit(Request("a"));
  files_.clock().WaitForSleepers(1);
  EXPECT_FALSE(runner_->Submit(Request("b")).ok());
  store.Revive();
  files_.clock().AdvanceToNextSleeper();
  EXPECT_EQ(AwaitEnd(name).state(), Operation::STATE_SUCCEEDED);
  EXPECT_TRUE(runner_->QueueOf("vms/b").empty());
  runner_->Stop();
}

TEST_F(OperationRunnerTest, EndIsRecordedWithItsEvents) {
  absl::Notification told;
  runner_ = std::make_unique<OperationRunner>(&files_.store(), &files_.vault(), &files_.clock(),
                                              RunnerLimits{.workers = 1});
  runner_->Register("make", [this](const OperationRecord&) {
    return std::vector<OperationStep>{MakeStep(&world_, "name")};
  });
  runner_->OnEnd(
      [](StoreWriter& writer, const OperationRecord& record,
         std::vector<drover::v1::Event>* events) {
        events->emplace_back().set_subject(record.operation().name());
        return writer.Put(Table::kSettings, {"ended", "", record.operation().name()});
      },
      [&](const std::vector<drover::v1::Event>& events) {
        EXPECT_EQ(events.size(), 1u);
        told.Notify();
      });
  ASSERT_TRUE(runner_->Start().ok());
  const std::string name = Submit(Request("a"));
  told.WaitForNotification();
  EXPECT_TRUE(files_.store()
                  .Read([&](StoreReader& reader) {
                    const auto document = reader.Get(Table::kSettings, "ended");
                    EXPECT_EQ(document->body, name);
                    return document.status();
                  })
                  .ok());
}

TEST_F(OperationRunnerTest, SecretsAreSealedInTheStoreAndGoneAfterSuccess) {
  std::string seen;
  runner_ = std::make_unique<OperationRunner>(&files_.store(), &files_.vault(), &files_.clock(),
                                              RunnerLimits{.workers = 1});
  runner_->Register("make", [&](const OperationRecord&) {
    OperationStep step{.title = "use", .run = [&](OperationContext& context) -> absl::Status {
                         DROVER_ASSIGN_OR_RETURN(seen, context.Secrets());
                         return absl::OkStatus();
                       }};
    return std::vector<OperationStep>{step};
  });
  absl::Notification ended;
  runner_->OnChange([&](absl::string_view name) {
    if (IsDone(runner_->Get(name)->state()) && !ended.HasBeenNotified()) ended.Notify();
  });
  ASSERT_TRUE(runner_->Start().ok());
  OperationRequest request = Request("a");
  request.secrets = "canary-4711";
  Submit(std::move(request));
  ended.WaitForNotification();
  runner_->Stop();
  EXPECT_EQ(seen, "canary-4711");
  EXPECT_EQ(testing::FilesContaining(files_.directory(), "canary-4711"), "");
}

}  // namespace
}  // namespace drover::core
