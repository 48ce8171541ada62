// Batches whose VMs' agents answer, hang, are away or come back; few workers, real store.
#include "controller/core/agent_orders.h"

#include <malloc.h>

#include <functional>
#include <map>
#include <memory>

#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/strings/strip.h"
#include "controller/core/guest_operations.h"
#include "controller/core/operation_record.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "proto/support/status.h"
#include "tests/testing/answering_agents.h"
#include "tests/testing/faulty_store.h"
#include "tests/testing/test_store.h"

namespace drover::core {
namespace {

using drover::agent::v1::CommandUpdate;
using drover::v1::ControlServicesRequest;
using drover::v1::Operation;
using drover::v1::Vm;
using testing::AnsweringAgents;
using Target = drover::v1::Operation::Target;

std::string UidOf(int vm) { return absl::StrCat("uid-", vm); }

class AgentOrdersTest : public ::testing::Test {
 protected:
  // A controller's life; the store and the agents outlive it.
  struct Life {
    Life(Store* store, testing::TestStore& files, AnsweringAgents* agents, int workers)
        : inventory(store, &files.vault(), &files.clock()),
          tracker(store, &files.vault(), &files.clock()),
          runner(store, &files.vault(), &files.clock(), {.workers = workers, .per_batch = workers}),
          guests(&inventory, &tracker, agents, &runner, &files.clock()) {}
    ~Life() { runner.Stop(); }
    Inventory inventory;
    CommandTracker tracker;
    OperationRunner runner;
    GuestOperations guests;
  };

  void Begin(int workers = 2, Store* store = nullptr) {
    life_.reset();
    life_ = std::make_unique<Life>(store == nullptr ? &files_.store() : store, files_, &agents_,
                                   workers);
    ASSERT_TRUE(life_->inventory.Load().ok());
    ASSERT_TRUE(life_->tracker.Load().ok());
    life_->tracker.SetGateway(&agents_);
    agents_.SetTracker(&life_->tracker);
    life_->guests.Register();
    life_->runner.OnChange([this](absl::string_view) { Changed(); });
    ASSERT_TRUE(life_->runner.Start().ok());
  }
  void AddVms(int count) {
    ASSERT_TRUE(life_->inventory.AddEnvironment("prod", {}).ok());
    drover::v1::VmType type;
    type.set_template_("tpl");
    type.add_services()->set_name("nginx");
    type.mutable_services(0)->set_systemd_unit("nginx");
    ASSERT_TRUE(life_->inventory.AddType("web", type).ok());
    for (int i = 0; i < count; ++i) {
      Vm vm;
      vm.set_name(absl::StrCat("vms/web-", i));
      vm.set_uid(UidOf(i));
      vm.set_environment("environments/prod");
      vm.set_type("types/web");
      vm.set_state(Vm::STATE_READY);
      vm.set_agent_state(drover::v1::AGENT_STATE_CONTACT_LOST);
      ASSERT_TRUE(life_->inventory.AddVm(vm).ok());
    }
  }
  std::string Restart(int first, int last, int time_to_live_seconds = 0) {
    ControlServicesRequest request;
    for (int i = first; i < last; ++i) request.add_vms(absl::StrCat("vms/web-", i));
    request.add_services("nginx");
    request.set_action(drover::v1::SERVICE_ACTION_RESTART);
    request.set_time_to_live_seconds(time_to_live_seconds);
    const auto operation = life_->guests.Control(request, {});
    EXPECT_TRUE(operation.ok()) << operation.status();
    return operation.ok() ? operation->name() : "";
  }
  void Changed() {
    absl::MutexLock lock(&mutex_);
    ++changes_;
  }
  Operation Await(const std::string& name, const std::function<bool(const Operation&)>& enough) {
    for (;;) {
      int64_t seen = 0;
      {
        absl::MutexLock lock(&mutex_);
        seen = changes_;
      }
      const auto operation = life_->runner.Get(name);
      EXPECT_TRUE(operation.ok()) << operation.status();
      if (!operation.ok() || enough(*operation)) return operation.value_or(Operation());
      absl::MutexLock lock(&mutex_);
      const auto changed = [&]() ABSL_NO_THREAD_SAFETY_ANALYSIS { return changes_ != seen; };
      mutex_.Await(absl::Condition(&changed));
    }
  }
  Operation AwaitEnd(const std::string& name) {
    return Await(name, [](const Operation& operation) { return operation.has_end_time(); });
  }
  static std::map<Target::State, int> Count(const Operation& operation) {
    std::map<Target::State, int> counts;
    for (const Target& target : operation.targets()) ++counts[target.state()];
    return counts;
  }
  // The first so many of an operation's VMs fare so.
  Operation AwaitCount(const std::string& name, Target::State state, int count) {
    return Await(name,
                 [&](const Operation& operation) { return Count(operation)[state] == count; });
  }
  void AwaitDetail(const std::string& name, int target, const std::string& detail) {
    Await(name, [&](const Operation& parent) {
      return absl::StrContains(parent.targets(target).detail(), detail);
    });
  }
  void ComesBack(int vm, AnsweringAgents::Answer answer = {}) {
    agents_.Answers(UidOf(vm), std::move(answer));
    life_->tracker.OnConnected(UidOf(vm));
  }

  testing::TestStore files_;
  AnsweringAgents agents_;
  absl::Mutex mutex_;
  int64_t changes_ ABSL_GUARDED_BY(mutex_) = 0;
  std::unique_ptr<Life> life_;
};

// P5.
TEST_F(AgentOrdersTest, OfTwoHundredFiftyAreAwayAndTheOthersEndAtOnce) {
  Begin();
  AddVms(200);
  for (int i = 50; i < 200; ++i) agents_.Answers(UidOf(i), {});
  const std::string name = Restart(0, 200, /*time_to_live_seconds=*/600);
  const Operation now = AwaitCount(name, Target::STATE_SUCCEEDED, 150);
  EXPECT_EQ(Count(now)[Target::STATE_QUEUED], 50);
  EXPECT_EQ(now.state(), Operation::STATE_RUNNING);
  for (int i = 0; i < 25; ++i) ComesBack(i);
  AwaitCount(name, Target::STATE_SUCCEEDED, 175);
  for (int i = 25; i < 50; ++i) AwaitDetail(name, i, "waits for the agent to come back");
  files_.clock().WaitForSleepers(1);
  files_.clock().Advance(absl::Minutes(11));
  const Operation ended = AwaitEnd(name);
  EXPECT_EQ(ended.state(), Operation::STATE_PARTLY_FAILED);
  EXPECT_EQ(Count(ended)[Target::STATE_EXPIRED], 25);
  EXPECT_EQ(agents_.orders().size(), 175u);
  // Nothing waits for those that come too late.
  for (int i = 25; i < 50; ++i) ComesBack(i);
  EXPECT_EQ(agents_.orders().size(), 175u);
}

// P13.
TEST_F(AgentOrdersTest, ThreeHangAndTheRestEnd) {
  Begin();
  AddVms(60);
  for (int i = 0; i < 60; ++i) {
    agents_.Answers(UidOf(i),
                    {i < 3 ? CommandUpdate::STATE_RUNNING : CommandUpdate::STATE_SUCCEEDED});
  }
  const std::string name = Restart(0, 60);
  const Operation now = AwaitCount(name, Target::STATE_SUCCEEDED, 57);
  AwaitCount(name, Target::STATE_RUNNING, 3);
  EXPECT_EQ(now.state(), Operation::STATE_RUNNING);
  // Their agents give up on one, and are not heard of again for the others.
  CommandUpdate update;
  update.set_state(CommandUpdate::STATE_TIMED_OUT);
  agents_.Tell(UidOf(0), update);
  AwaitCount(name, Target::STATE_TIMED_OUT, 1);
  for (int i = 1; i < 3; ++i) AwaitDetail(name, i, "is being done");
  files_.clock().WaitForSleepers(1);
  files_.clock().Advance(absl::Minutes(22));
  const Operation ended = AwaitEnd(name);
  EXPECT_EQ(Count(ended)[Target::STATE_CONTACT_LOST], 2);
  EXPECT_EQ(ended.state(), Operation::STATE_PARTLY_FAILED);
}

// P15.
TEST_F(AgentOrdersTest, CancelEndsThoseThatWait) {
  Begin();
  AddVms(40);
  for (int i = 20; i < 40; ++i) agents_.Answers(UidOf(i), {CommandUpdate::STATE_RUNNING});
  const std::string name = Restart(0, 40);
  for (int i = 20; i < 40; ++i) AwaitDetail(name, i, "is being done");
  ASSERT_TRUE(life_->runner.Cancel(name).ok());
  const Operation ended = AwaitEnd(name);
  EXPECT_EQ(ended.state(), Operation::STATE_CANCELLED);
  EXPECT_EQ(Count(ended)[Target::STATE_CANCELLED], 40);
  int cancels = 0;
  for (const std::string& order : agents_.orders()) cancels += absl::StrContains(order, "cancel");
  EXPECT_EQ(cancels, 20);
}

TEST_F(AgentOrdersTest, AnAgentThatDoesNotConfirmACancelHoldsNoWorker) {
  Begin(/*workers=*/1);
  AddVms(2);
  agents_.Answers(UidOf(0), {.state = CommandUpdate::STATE_RUNNING, .ignores_cancel = true});
  agents_.Answers(UidOf(1), {});
  const std::string name = Restart(0, 1);
  AwaitCount(name, Target::STATE_RUNNING, 1);
  AwaitDetail(name, 0, "is being done");
  ASSERT_TRUE(life_->runner.Cancel(name).ok());
  EXPECT_EQ(AwaitEnd(Restart(1, 2)).state(), Operation::STATE_SUCCEEDED);
  EXPECT_FALSE(life_->runner.Get(name)->has_end_time());
  files_.clock().WaitForSleepers(1);
  files_.clock().Advance(absl::Seconds(15));
  const Operation ended = AwaitEnd(name);
  EXPECT_EQ(ended.state(), Operation::STATE_CANCELLED);
  const Operation child = *life_->runner.Get(ended.targets(0).operation());
  EXPECT_THAT(child.log(child.log_size() - 1).text(),
              ::testing::HasSubstr("has not confirmed that it stopped"));
}

// P8: a restart finds those that wait as they are.
TEST_F(AgentOrdersTest, RestartWhileTheyWait) {
  Begin();
  AddVms(4);
  agents_.Answers(UidOf(2), {CommandUpdate::STATE_RUNNING});
  agents_.Answers(UidOf(3), {CommandUpdate::STATE_RUNNING});
  const std::string name = Restart(0, 4);
  for (int i = 2; i < 4; ++i) AwaitDetail(name, i, "is being done");
  agents_.Leaves(UidOf(2));
  agents_.Leaves(UidOf(3));
  life_.reset();
  Begin();
  AwaitDetail(name, 3, "waits for the agent to come back");
  // One comes back that has had nothing, one that has the answer.
  ComesBack(0);
  CommandUpdate update;
  update.set_state(CommandUpdate::STATE_SUCCEEDED);
  agents_.Tell(UidOf(2), update);
  AwaitCount(name, Target::STATE_SUCCEEDED, 2);
  files_.clock().WaitForSleepers(1);
  files_.clock().Advance(absl::Minutes(11));
  // The one nobody had is told so, the one somebody had may still come.
  AwaitCount(name, Target::STATE_EXPIRED, 1);
  files_.clock().WaitForSleepers(1);
  files_.clock().Advance(absl::Minutes(11));
  const Operation ended = AwaitEnd(name);
  EXPECT_EQ(Count(ended)[Target::STATE_CONTACT_LOST], 1);
  EXPECT_EQ(agents_.orders().size(), 3u);
}

// P17: what the agent says is seen before it has ended, once, also when the end repeats it.
TEST_F(AgentOrdersTest, OutputIsSeenWhileItWaits) {
  Begin();
  AddVms(1);
  agents_.Answers(UidOf(0), {CommandUpdate::STATE_RUNNING, "stopping\nstar"});
  const std::string name = Restart(0, 1);
  AwaitDetail(name, 0, "is being done");
  CommandUpdate update;
  update.set_state(CommandUpdate::STATE_RUNNING);
  update.set_output("ting\n");
  update.set_output_offset(13);
  agents_.Tell(UidOf(0), update);
  const std::string child = life_->runner.Get(name)->targets(0).operation();
  const auto texts = [&] {
    std::vector<std::string> lines;
    const Operation operation = *life_->runner.Get(child);
    for (const auto& line : operation.log()) lines.push_back(line.text());
    return lines;
  };
  EXPECT_THAT(texts(), ::testing::ElementsAre("stopping", "starting"));
  update.set_state(CommandUpdate::STATE_SUCCEEDED);
  update.set_output("done");
  update.set_output_offset(18);
  agents_.Tell(UidOf(0), update);
  EXPECT_EQ(AwaitEnd(name).state(), Operation::STATE_SUCCEEDED);
  EXPECT_THAT(texts(), ::testing::ElementsAre("stopping", "starting", "done"));
}

// P17: what is not kept is counted, in the log and in what is held of an order.
TEST_F(AgentOrdersTest, AThousandAgentsThatTellTwentyLinesASecond) {
  constexpr int kAgents = 1000;
  constexpr int kRounds = 60;
  constexpr int kLines = 10;
  Begin();
  AddVms(kAgents);
  for (int i = 0; i < kAgents; ++i) agents_.Answers(UidOf(i), {CommandUpdate::STATE_RUNNING});
  const std::string name = Restart(0, kAgents);
  Await(name,
        [&](const Operation& parent) { return Count(parent)[Target::STATE_RUNNING] == kAgents; });
  std::vector<std::string> children;
  const Operation parent = *life_->runner.Get(name);
  for (const Target& target : parent.targets()) children.push_back(target.operation());
  int64_t offset = 0;
  CommandUpdate update;
  update.set_state(CommandUpdate::STATE_RUNNING);
  const size_t before = mallinfo2().uordblks;
  size_t half = 0;
  int seen = -1;
  // Half a second each.
  for (int round = 0; round < kRounds; ++round) {
    std::string piece;
    for (int line = 0; line < kLines; ++line) {
      absl::StrAppendFormat(&piece, "line %06d of what a restart of nginx has to say to people\n",
                            round * kLines + line);
    }
    update.set_output(piece);
    update.set_output_offset(offset);
    offset += static_cast<int64_t>(piece.size());
    for (int i = 0; i < kAgents; ++i) agents_.Tell(UidOf(i), update);
    files_.clock().Advance(absl::Milliseconds(500));
    if (round == kRounds / 2) half = mallinfo2().uordblks;
    // Who looks each time misses nothing.
    const Operation watched = *life_->runner.Get(children[static_cast<size_t>(round)]);
    EXPECT_EQ(watched.log(watched.log_size() - 1).text().substr(5, 6),
              absl::StrFormat("%06d", round * kLines + kLines - 1));
    const Operation followed = *life_->runner.Get(children[0]);
    for (const auto& line : followed.log()) {
      absl::string_view text = line.text();
      int number = 0;
      if (!absl::ConsumePrefix(&text, "line ")) continue;
      ASSERT_TRUE(absl::SimpleAtoi(text.substr(0, 6), &number)) << text;
      if (number > seen) {
        EXPECT_EQ(number, seen + 1);
        seen = number;
      }
    }
  }
  EXPECT_EQ(seen, kRounds * kLines - 1);
  const size_t after = mallinfo2().uordblks;
  EXPECT_LT(after, before + size_t{kAgents} * (128 << 10));
  // By then each has as much as it keeps.
  EXPECT_LT(after, half + size_t{kAgents} * (24 << 10));
  // Who looks for the first time is told what is gone.
  const Operation late = *life_->runner.Get(children[kAgents - 1]);
  EXPECT_EQ(late.log_size(), kMaxOperationLog);
  EXPECT_EQ(late.log(0).text(),
            absl::StrCat("(", kRounds * kLines - kMaxOperationLog + 1, " earlier lines left out)"));
  update.clear_output();
  update.set_state(CommandUpdate::STATE_SUCCEEDED);
  for (int i = 0; i < kAgents; ++i) agents_.Tell(UidOf(i), update);
  EXPECT_EQ(Count(AwaitEnd(name))[Target::STATE_SUCCEEDED], kAgents);
}

// What is held of an order is its newest output, and from where on that is.
TEST_F(AgentOrdersTest, OfLongOutputTheNewestIsKept) {
  Begin();
  AddVms(1);
  agents_.Answers(UidOf(0), {CommandUpdate::STATE_RUNNING});
  const std::string name = Restart(0, 1);
  AwaitDetail(name, 0, "is being done");
  const std::string id = agents_.LastCommandOf(UidOf(0));
  CommandUpdate update;
  update.set_state(CommandUpdate::STATE_RUNNING);
  for (int piece = 0; piece < 3; ++piece) {
    update.set_output(std::string(60000, static_cast<char>('a' + piece)));
    update.set_output_offset(piece * 60000);
    agents_.Tell(UidOf(0), update);
  }
  auto glance = life_->tracker.Look(id);
  ASSERT_TRUE(glance.ok()) << glance.status();
  EXPECT_EQ(glance->update.output().size(), size_t{64} << 10);
  EXPECT_EQ(glance->update.output_offset(), 180000 - (64 << 10));
  EXPECT_EQ(glance->update.output().back(), 'c');
  // Told again, older or with a hole before it.
  update.set_output("aa");
  update.set_output_offset(10);
  agents_.Tell(UidOf(0), update);
  EXPECT_EQ(life_->tracker.Look(id)->update.output(), glance->update.output());
  update.set_output("late");
  update.set_output_offset(200000);
  agents_.Tell(UidOf(0), update);
  glance = life_->tracker.Look(id);
  EXPECT_EQ(glance->update.output(), "late");
  EXPECT_EQ(glance->update.output_offset(), 200000);
}

// P8: the controller dies after every write; each VM has its end, and its agent one order.
TEST_F(AgentOrdersTest, CrashAfterEveryWriteEndsTheSame) {
  Begin();
  AddVms(2);
  agents_.Answers(UidOf(1), {});
  for (int writes = 1;; ++writes) {
    SCOPED_TRACE(writes);
    agents_.Leaves(UidOf(0));
    testing::FaultyStore store(&files_.store());
    store.OnRefusal([this] { Changed(); });
    Begin(2, &store);
    store.DieAfterWrites(writes);
    const std::string name = Restart(0, 2);
    Await(name, [&](const Operation& operation) {
      return store.died() || (operation.targets(1).state() == Target::STATE_SUCCEEDED &&
                              absl::StrContains(operation.targets(0).detail(), "come back"));
    });
    if (!store.died()) {
      ComesBack(0);
      Await(name,
            [&](const Operation& operation) { return store.died() || operation.has_end_time(); });
    }
    const bool died = store.died();
    Begin();
    // As agents do when the controller is there again.
    ComesBack(0);
    ComesBack(1);
    const Operation ended = AwaitEnd(name);
    EXPECT_EQ(ended.state(), Operation::STATE_SUCCEEDED) << ended.DebugString();
    EXPECT_EQ(agents_.CountOrdersOf(UidOf(0)), writes);
    EXPECT_EQ(agents_.CountOrdersOf(UidOf(1)), writes);
    if (!died) {
      EXPECT_GT(writes, 6);
      break;
    }
  }
}

}  // namespace
}  // namespace drover::core
