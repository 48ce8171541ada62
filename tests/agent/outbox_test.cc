// The outbox and the inbox under crashes: files cut at every byte, a disk that is full, orders that
// come again.
#include <sys/resource.h>
#include <unistd.h>

#include <csignal>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "agent/command_runner.h"
#include "agent/durable_file.h"
#include "agent/outbox.h"
#include "agent/supervisor.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "proto/support/status.h"
#include "proto/support/time.h"
#include "tests/agent/test_loop.h"
#include "tests/testing/temp_dir.h"

namespace drover::agent {
namespace {

using ::testing::ElementsAre;
using ::testing::IsEmpty;

class OutboxTest : public ::testing::Test {
 protected:
  std::unique_ptr<Outbox> Open(OutboxLimits limits = {}) {
    auto outbox = Outbox::Open(path_, &clock_, limits);
    EXPECT_TRUE(outbox.ok()) << outbox.status();
    return *std::move(outbox);
  }

  static std::vector<int64_t> Waiting(const Outbox& outbox) {
    std::vector<int64_t> numbers;
    for (const v1::AgentEvent* event = outbox.After(0); event != nullptr;
         event = outbox.After(event->sequence())) {
      numbers.push_back(event->sequence());
    }
    return numbers;
  }

  testing::TempDir dir_;
  const std::string path_ = dir_.File("outbox.log");
  FakeClock clock_;
};

v1::AgentEvent Died(const std::string& service) {
  v1::AgentEvent event;
  event.mutable_service_died()->set_service(service);
  return event;
}

v1::AgentEvent Started() {
  v1::AgentEvent event;
  event.mutable_agent_started()->set_reason("restart");
  return event;
}

v1::AgentEvent GivenUp(const std::string& service) {
  v1::AgentEvent event;
  event.mutable_service_given_up()->set_service(service);
  return event;
}

TEST_F(OutboxTest, KeepsEventsAndNumbersOverRestarts) {
  {
    auto outbox = Open();
    outbox->Add(Died("a"));
    outbox->Add(Died("b"));
    outbox->Acknowledge(1);
  }
  auto outbox = Open();
  EXPECT_THAT(Waiting(*outbox), ElementsAre(2));
  EXPECT_EQ(outbox->FirstUnacknowledged(), 2);
  EXPECT_EQ(outbox->After(0)->service_died().service(), "b");
  EXPECT_EQ(FromProto(outbox->After(0)->time()), clock_.Now());
  outbox->Acknowledge(2);
  outbox.reset();
  outbox = Open();
  EXPECT_THAT(Waiting(*outbox), IsEmpty());
  outbox->Add(Died("c"));
  EXPECT_THAT(Waiting(*outbox), ElementsAre(3));
}

TEST_F(OutboxTest, AnAcknowledgementOfNumbersNeverGivenIsNotBelieved) {
  auto outbox = Open();
  outbox->Add(Died("a"));
  outbox->Acknowledge(900);
  outbox->Add(Died("b"));
  EXPECT_THAT(Waiting(*outbox), ElementsAre(2));
}

TEST_F(OutboxTest, CutAtEveryByteItHoldsTheWholeRecordsBeforeTheCut) {
  std::vector<size_t> ends = {0};
  {
    auto outbox = Open();
    for (int i = 0; i < 4; ++i) {
      outbox->Add(Died(std::string(i * 7, 'x')));
      ends.push_back(testing::ReadFile(path_).size());
    }
  }
  const std::string whole = testing::ReadFile(path_);
  for (size_t cut = 0; cut <= whole.size(); ++cut) {
    testing::WriteFile(path_, absl::string_view(whole).substr(0, cut));
    auto outbox = Open();
    const size_t expected = std::upper_bound(ends.begin(), ends.end(), cut) - ends.begin() - 1;
    ASSERT_EQ(Waiting(*outbox).size(), expected) << "cut at " << cut;
    outbox->Add(Died("after"));
    outbox.reset();
    outbox = Open();
    ASSERT_EQ(Waiting(*outbox).size(), expected + 1) << "cut at " << cut;
    ASSERT_EQ(Waiting(*outbox).back(), static_cast<int64_t>(expected) + 1);
  }
}

TEST_F(OutboxTest, AFlippedByteNeverYieldsAnEventThatWasNotWritten) {
  {
    auto outbox = Open();
    for (const char* service : {"a", "b", "c"}) outbox->Add(Died(service));
  }
  const std::string whole = testing::ReadFile(path_);
  for (size_t at = 0; at < whole.size(); ++at) {
    std::string damaged = whole;
    damaged[at] = static_cast<char>(damaged[at] ^ 0x55);
    testing::WriteFile(path_, damaged);
    auto outbox = Open();
    const std::vector<int64_t> waiting = Waiting(*outbox);
    ASSERT_LT(waiting.size(), 3u) << "byte " << at;
    for (size_t i = 0; i < waiting.size(); ++i) ASSERT_EQ(waiting[i], static_cast<int64_t>(i) + 1);
  }
}

TEST_F(OutboxTest, ZerosAfterACrashAreNoEvents) {
  { Open()->Add(Died("a")); }
  testing::WriteFile(path_, testing::ReadFile(path_) + std::string(4096, '\0'));
  EXPECT_THAT(Waiting(*Open()), ElementsAre(1));
}

TEST_F(OutboxTest, ShrinksOnceAcknowledged) {
  auto outbox = Open();
  for (int i = 0; i < 2000; ++i) {
    outbox->Add(Died("some-service-with-a-name"));
    outbox->Acknowledge(i + 1);
  }
  EXPECT_LT(testing::ReadFile(path_).size(), 130u << 10);
  outbox->Add(Died("last"));
  outbox.reset();
  EXPECT_THAT(Waiting(*Open()), ElementsAre(2001));
}

TEST_F(OutboxTest, WhenFullTheLeastImportantGoAndAreCounted) {
  const OutboxLimits limits = {.events = 4, .bytes = 1 << 20};
  auto outbox = Open(limits);
  outbox->Add(GivenUp("a"));  // 1
  outbox->Add(Started());     // 2
  outbox->Add(Died("a"));     // 3
  outbox->Add(Started());     // 4
  outbox->Add(Died("b"));     // 5: the start 2 goes
  EXPECT_THAT(Waiting(*outbox), ElementsAre(1, 3, 4, 5));
  outbox->Add(Died("c"));  // 6: the start 4 goes
  outbox->Add(Died("d"));  // 7: the death 3 goes
  EXPECT_THAT(Waiting(*outbox), ElementsAre(1, 5, 6, 7));
  EXPECT_EQ(outbox->dropped(), 3);
  // The count is on disk, too.
  outbox.reset();
  outbox = Open(limits);
  EXPECT_EQ(outbox->dropped(), 3);
  EXPECT_THAT(Waiting(*outbox), ElementsAre(1, 5, 6, 7));
  outbox->Acknowledge(5);
  EXPECT_EQ(outbox->dropped(), 0);
  EXPECT_THAT(Waiting(*outbox), ElementsAre(6, 7, 8));
  EXPECT_EQ(outbox->After(7)->events_dropped().count(), 3);
  outbox.reset();
  EXPECT_EQ(Open(limits)->dropped(), 0);
}

TEST_F(OutboxTest, NumbersOnBehindTheController) {
  auto outbox = Open();
  outbox->Add(Died("a"));
  outbox->Add(Died("b"));
  outbox->CatchUp(1);
  EXPECT_THAT(Waiting(*outbox), ElementsAre(2));
  outbox->CatchUp(50);
  EXPECT_THAT(Waiting(*outbox), ElementsAre(51));
  outbox.reset();
  outbox = Open();
  EXPECT_THAT(Waiting(*outbox), ElementsAre(51));
  outbox->Add(Died("c"));
  EXPECT_THAT(Waiting(*outbox), ElementsAre(51, 52));
}

// Files of this process cannot grow while it lives: what a full disk does, without filling one.
class FullDisk {
 public:
  explicit FullDisk(rlim_t bytes) {
    signal(SIGXFSZ, SIG_IGN);
    getrlimit(RLIMIT_FSIZE, &before_);
    const rlimit limit = {bytes, before_.rlim_max};
    setrlimit(RLIMIT_FSIZE, &limit);
  }
  ~FullDisk() { setrlimit(RLIMIT_FSIZE, &before_); }

 private:
  rlimit before_;
};

TEST_F(OutboxTest, AFullDiskCostsNoEventWhileTheAgentRuns) {
  auto outbox = Open();
  outbox->Add(Died("a"));
  {
    // One byte more fits, so that a record is cut short.
    FullDisk full(testing::ReadFile(path_).size() + 1);
    outbox->Add(Died("b"));
    outbox->Add(Died("c"));
    EXPECT_THAT(Waiting(*outbox), ElementsAre(1, 2, 3));
  }
  outbox->Add(Died("d"));
  outbox.reset();
  EXPECT_THAT(Waiting(*Open()), ElementsAre(1, 2, 3, 4));
}

class InboxTest : public ::testing::Test {
 protected:
  InboxTest() { Start(); }
  ~InboxTest() override { EndAllWith(dir_.path()); }

  void Start() {
    runner_.reset();
    supervisor_.reset();
    supervisor_ =
        std::make_unique<Supervisor>(&loop_.loop, Supervisor::Options{dir_.path(), "boot"},
                                     Supervisor::Listener{[](v1::AgentEvent) {}, [] {}});
    auto runner = CommandRunner::Open(
        dir_.File("inbox.log"), &loop_.loop, supervisor_.get(),
        [this](v1::CommandUpdate update) { told_.push_back(std::move(update)); });
    ASSERT_TRUE(runner.ok()) << runner.status();
    runner_ = *std::move(runner);
  }

  // A service that is there, and whose stop command never ends.
  void WatchSlowService() {
    v1::DesiredState desired;
    auto* spec = desired.add_services();
    spec->set_name("slow");
    // This test itself cannot be the service; its parent is always there.
    spec->set_pid_file(dir_.File("slow.pid"));
    spec->set_stop_command("sleep 1000; : " + dir_.path());
    testing::WriteFile(dir_.File("slow.pid"), absl::StrCat(getppid(), "\n"));
    ASSERT_TRUE(supervisor_->Apply(desired).ok());
  }

  static v1::Command StopSlow(const std::string& id) {
    v1::Command command;
    command.set_id(id);
    command.mutable_control_service()->add_services("slow");
    command.mutable_control_service()->set_action(v1::ControlService::ACTION_STOP);
    return command;
  }

  testing::TempDir dir_;
  TestLoop loop_;
  std::vector<v1::CommandUpdate> told_;
  std::unique_ptr<Supervisor> supervisor_;
  std::unique_ptr<CommandRunner> runner_;
};

TEST_F(InboxTest, AnInterruptedOrderIsNotBegunAgain) {
  WatchSlowService();
  runner_->Accept(StopSlow("c1"));
  ASSERT_EQ(told_.size(), 1u);
  EXPECT_EQ(told_[0].state(), v1::CommandUpdate::STATE_RUNNING);
  // It comes again while it runs.
  runner_->Accept(StopSlow("c1"));
  EXPECT_EQ(told_.back().state(), v1::CommandUpdate::STATE_RUNNING);
  Start();
  told_.clear();
  runner_->Accept(StopSlow("c1"));
  ASSERT_EQ(told_.size(), 1u);
  EXPECT_EQ(told_[0].state(), v1::CommandUpdate::STATE_FAILED);
  EXPECT_EQ(ReasonOf(FromRpcStatus(told_[0].error())), "INTERRUPTED");
  runner_->Acknowledge("c1");
  told_.clear();
  runner_->Resend();
  EXPECT_THAT(told_, IsEmpty());
}

TEST_F(InboxTest, TimeoutAndCancelEndTheWholeTree) {
  WatchSlowService();
  v1::Command command = StopSlow("timeout");
  command.set_timeout_seconds(5);
  runner_->Accept(command);
  loop_.UntilAdvancing(absl::Milliseconds(10), [&] { return told_.size() == 2; });
  EXPECT_EQ(told_.back().state(), v1::CommandUpdate::STATE_TIMED_OUT);
  runner_->Accept(StopSlow("cancel"));
  loop_.loop.RunOnce(absl::ZeroDuration());
  runner_->Cancel("cancel");
  loop_.UntilAdvancing(absl::Milliseconds(1), [&] { return told_.size() == 4; });
  EXPECT_EQ(told_.back().state(), v1::CommandUpdate::STATE_CANCELLED);
  EXPECT_EQ(CountWith(dir_.path()), 0);
  // The service was never stopped, so it is still supervised.
  EXPECT_EQ(supervisor_->Statuses()[0].state(), drover::v1::ServiceStatus::STATE_RUNNING);
}

TEST_F(InboxTest, CancelledBeforeItComesItNeverBegins) {
  runner_->Cancel("early");
  v1::Command nop;
  nop.set_id("early");
  nop.mutable_nop();
  runner_->Accept(nop);
  ASSERT_EQ(told_.size(), 2u);
  EXPECT_EQ(told_[0].state(), v1::CommandUpdate::STATE_CANCELLED);
  EXPECT_EQ(told_[1].state(), v1::CommandUpdate::STATE_CANCELLED);
}

TEST_F(InboxTest, CutAtEveryByteNoOrderIsCarriedOutAndThenToldOtherwise) {
  v1::Command nop;
  nop.mutable_nop();
  for (const char* id : {"a", "b"}) {
    nop.set_id(id);
    runner_->Accept(nop);
  }
  runner_.reset();
  const std::string whole = testing::ReadFile(dir_.File("inbox.log"));
  for (size_t cut = 0; cut <= whole.size(); ++cut) {
    testing::WriteFile(dir_.File("inbox.log"), absl::string_view(whole).substr(0, cut));
    Start();
    told_.clear();
    runner_->Resend();
    const size_t kept = told_.size();
    for (const v1::CommandUpdate& update : told_) {
      ASSERT_EQ(update.state(), v1::CommandUpdate::STATE_SUCCEEDED) << "cut at " << cut;
    }
    nop.set_id("a");
    runner_->Accept(nop);
    ASSERT_EQ(told_.back().state(), v1::CommandUpdate::STATE_SUCCEEDED);
    ASSERT_LE(kept, 2u);
    ASSERT_EQ(kept == 2, cut == whole.size());
  }
}

TEST_F(InboxTest, WhatCannotBeRecordedIsNotBegun) {
  WatchSlowService();
  FullDisk full(0);
  runner_->Accept(StopSlow("c1"));
  ASSERT_EQ(told_.size(), 1u);
  EXPECT_EQ(told_[0].state(), v1::CommandUpdate::STATE_FAILED);
  EXPECT_EQ(ReasonOf(FromRpcStatus(told_[0].error())), "COMMAND_NOT_RECORDED");
}

TEST_F(InboxTest, ForgetsWhatIsAcknowledgedAndExpired) {
  v1::Command nop;
  nop.mutable_nop();
  for (int i = 0; i < 1500; ++i) {
    nop.set_id(absl::StrCat("c", i));
    runner_->Accept(nop);
    runner_->Acknowledge(nop.id());
  }
  EXPECT_LE(runner_->size(), 1001u);
  EXPECT_LT(testing::ReadFile(dir_.File("inbox.log")).size(), 512u << 10);
}

TEST_F(InboxTest, ExpiryGoesByTheControllersClock) {
  v1::Command nop;
  nop.mutable_nop();
  *nop.mutable_expire_time() = ToProto(loop_.clock.Now() + absl::Minutes(1));
  // The guest's clock is an hour ahead.
  loop_.clock.JumpWall(absl::Hours(1));
  nop.set_id("wrong-clock");
  runner_->Accept(nop);
  EXPECT_EQ(told_.back().state(), v1::CommandUpdate::STATE_EXPIRED);
  runner_->SetClockOffset(-absl::Hours(1));
  nop.set_id("offset-known");
  runner_->Accept(nop);
  EXPECT_EQ(told_.back().state(), v1::CommandUpdate::STATE_SUCCEEDED);
}

}  // namespace
}  // namespace drover::agent
