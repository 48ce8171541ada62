#include "controller/core/reachability.h"

#include <deque>

#include "absl/strings/str_cat.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/testing/test_store.h"

namespace drover::core {
namespace {

using drover::v1::Vm;
using ::testing::ElementsAre;
using ::testing::IsEmpty;

// Answers by script: for each sweep the addresses that are silent.
class FakeProber : public Prober {
 public:
  absl::StatusOr<std::vector<bool>> Sweep(const std::vector<ProbeTarget>& targets,
                                          absl::Duration) override {
    std::string asked;
    std::vector<bool> answered;
    std::string silent = sweeps.empty() ? "" : sweeps.front();
    if (!sweeps.empty()) sweeps.pop_front();
    if (silent == "broken") return absl::UnavailableError("no socket");
    for (const ProbeTarget& target : targets) {
      absl::StrAppend(&asked, asked.empty() ? "" : " ", target.address);
      answered.push_back(silent.find(target.address) == std::string::npos);
    }
    asked_.push_back(asked);
    return answered;
  }
  std::vector<std::string> asked() { return std::exchange(asked_, {}); }

  std::deque<std::string> sweeps;

 private:
  std::vector<std::string> asked_;
};

class ReachabilityTest : public ::testing::Test {
 protected:
  void SetUp() override {
    ASSERT_TRUE(inventory_.AddEnvironment("prod", {}).ok());
    drover::v1::VmType type;
    type.set_template_("tpl");
    ASSERT_TRUE(inventory_.AddType("web", type).ok());
    for (int i = 1; i <= 3; ++i) {
      Vm vm;
      vm.set_name(absl::StrCat("vms/web-", i));
      vm.set_environment("environments/prod");
      vm.set_type("types/web");
      // The third has none.
      if (i < 3) vm.mutable_network()->set_ip(absl::StrCat("10.0.0.", i));
      ASSERT_TRUE(inventory_.AddVm(vm).ok());
    }
    events_.OnEvent([this](const drover::v1::Event& event) {
      told_.push_back(absl::StrCat(event.kind(), " ", event.vm(), " ", event.severity()));
    });
  }
  std::string State() {
    std::string state;
    const auto rows = inventory_.Vms();
    for (const VmRowPtr& row : *rows) {
      state += "?-UD"[row->vm.reachability()];
    }
    return state;
  }
  std::vector<std::string> Told() { return std::exchange(told_, {}); }

  testing::TestStore files_;
  FakeProber prober_;
  Inventory inventory_{&files_.store(), &files_.vault(), &files_.clock()};
  EventLog events_{&files_.store(), &files_.vault(), &files_.clock(), files_.directory()};
  ReachabilitySweep sweep_{&prober_, &files_.store(), &inventory_,
                           &events_, &files_.clock(), absl::Seconds(3)};
  std::vector<std::string> told_;
};

TEST_F(ReachabilityTest, SeesWhoAnswers) {
  EXPECT_EQ(sweep_.swept_at(), absl::InfinitePast());
  prober_.sweeps = {"10.0.0.2"};
  ASSERT_TRUE(sweep_.Sweep().ok());
  EXPECT_EQ(State(), "UD-");
  EXPECT_EQ(sweep_.swept_at(), files_.clock().Now());
  EXPECT_THAT(prober_.asked(), ElementsAre("10.0.0.1 10.0.0.2"));
  // What was not known before is no event.
  EXPECT_THAT(Told(), IsEmpty());
}

TEST_F(ReachabilityTest, OneMissIsAskedAgainAtOnce) {
  ASSERT_TRUE(sweep_.Sweep().ok());
  prober_.asked();
  prober_.sweeps = {"10.0.0.1"};
  ASSERT_TRUE(sweep_.Sweep().ok());
  EXPECT_THAT(prober_.asked(), ElementsAre("10.0.0.1 10.0.0.2", "10.0.0.1"));
  EXPECT_EQ(State(), "UU-");
  // Two are an outage, in the same sweep, and told once.
  prober_.sweeps = {"10.0.0.1", "10.0.0.1", "10.0.0.1"};
  ASSERT_TRUE(sweep_.Sweep().ok());
  EXPECT_EQ(State(), "DU-");
  ASSERT_TRUE(sweep_.Sweep().ok());
  EXPECT_THAT(Told(), ElementsAre("vm.unreachable vms/web-1 3"));
  ASSERT_TRUE(sweep_.Sweep().ok());
  EXPECT_THAT(Told(), ElementsAre("vm.reachable vms/web-1 1"));
}

TEST_F(ReachabilityTest, WhatIsOffOrBeingChangedIsNoError) {
  ASSERT_TRUE(
      inventory_.ChangeVm("vms/web-1", [](Vm& vm) { vm.set_power(drover::v1::POWER_STATE_OFF); })
          .ok());
  inventory_.SetQueueOf([](absl::string_view vm) {
    return vm == "vms/web-2" ? std::vector<std::string>{"operations/a"}
                             : std::vector<std::string>();
  });
  ASSERT_TRUE(sweep_.Sweep().ok());
  prober_.sweeps = {"10.0.0.1 10.0.0.2", "10.0.0.1 10.0.0.2"};
  ASSERT_TRUE(sweep_.Sweep().ok());
  EXPECT_THAT(Told(), ElementsAre("vm.unreachable vms/web-1 1", "vm.unreachable vms/web-2 1"));
}

TEST_F(ReachabilityTest, ABrokenProberChangesNothing) {
  ASSERT_TRUE(sweep_.Sweep().ok());
  prober_.sweeps = {"broken"};
  EXPECT_FALSE(sweep_.Sweep().ok());
  EXPECT_EQ(State(), "UU-");
}

TEST_F(ReachabilityTest, SweepsAtItsPace) {
  sweep_.Start();
  files_.clock().WaitForSleepers(1);
  EXPECT_THAT(prober_.asked(), ::testing::SizeIs(1));
  files_.clock().Advance(absl::Milliseconds(2999));
  EXPECT_EQ(files_.clock().sleepers(), 1);
  files_.clock().AdvanceToNextSleeper();
  files_.clock().WaitForSleepers(1);
  EXPECT_THAT(prober_.asked(), ::testing::SizeIs(1));
  sweep_.Stop();
}

}  // namespace
}  // namespace drover::core
