// A change of the network and its way back: real files and a real inbox, a network and a clock that
// are made up.
#include "agent/network_change.h"

#include <sched.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include <functional>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "agent/command_runner.h"
#include "agent/durable_file.h"
#include "agent/outbox.h"
#include "agent/supervisor.h"
#include "gtest/gtest.h"
#include "proto/support/status.h"
#include "tests/agent/test_loop.h"
#include "tests/testing/temp_dir.h"

namespace drover::agent {
namespace {

constexpr char kOld[] =
    "auto eth0\niface eth0 inet static\n    address 10.0.0.5\n    netmask 255.255.255.0\n"
    "    gateway 10.0.0.1\n";
constexpr char kPath[] = "/etc/network/interfaces";

// What outlives the agent: files below a folder, what the kernel has, who else is on the cable.
struct World {
  std::string root;
  CardState state{"eth0", "00:50:56:00:00:01", {{"10.0.0.5", "255.255.255.0"}}, "10.0.0.1", {}};
  std::set<std::string> others = {"10.0.0.1"};
  // Commands fail, or never end.
  int refuse = 0;
  bool hang = false;
  int applied = 0;
  int directly = 0;
};

// ifup, as far as it matters: the kernel gets what the file says.
class FakeNetwork : public NetworkSystem {
 public:
  FakeNetwork(EventLoop* loop, World* world) : loop_(loop), world_(world) {}
  CardState Read(const std::string&) override { return world_->state; }
  FileTexts Files() override {
    FileTexts files;
    if (auto text = ReadWholeFile(world_->root + kPath); text.ok()) files[kPath] = *text;
    return files;
  }
  NetworkPrograms Programs() override { return {.ifup = true}; }
  void Apply(NetworkTool, const std::string&, const std::string&, const std::string&,
             std::function<void(absl::Status)> done) override {
    ++world_->applied;
    if (world_->hang) return;
    if (world_->refuse > 0) {
      --world_->refuse;
      return Later([done] { done(absl::FailedPreconditionError("RTNETLINK says no")); });
    }
    BringUp();
    Later([done] { done(absl::OkStatus()); });
  }
  void ApplyDirectly(const CardSettings& settings,
                     std::function<void(absl::Status)> done) override {
    ++world_->directly;
    world_->state.addresses = {{settings.ip, settings.netmask}};
    world_->state.gateway = settings.gateway;
    Later([done] { done(absl::OkStatus()); });
  }
  void Ask(const std::string&, const std::string& target, const std::string&,
           std::function<void(bool)> done) override {
    Later([done, answered = world_->others.count(target) > 0] { done(answered); });
  }
  void StopStrays(std::function<void()> done) override { Later(done); }

  // As a boot does it.
  void BringUp() {
    const std::string text = ReadWholeFile(world_->root + kPath).value_or("");
    const auto value = [&](const std::string& key) {
      const size_t at = text.find(key + " ");
      return at == std::string::npos
                 ? std::string()
                 : text.substr(at + key.size() + 1, text.find('\n', at) - at - key.size() - 1);
    };
    world_->state.addresses = {{value("address"), value("netmask")}};
    world_->state.gateway = value("gateway");
  }

 private:
  void Later(std::function<void()> what) {
    loop_->Post([what = std::move(what), alive = alive_] {
      if (*alive) what();
    });
  }
  EventLoop* const loop_;
  World* const world_;
  std::shared_ptr<bool> alive_ = std::make_shared<bool>(true);

 public:
  ~FakeNetwork() override { *alive_ = false; }
};

class NetworkChangeTest : public ::testing::Test {
 protected:
  NetworkChangeTest() {
    world_.root = dir_.path() + "/root";
    EXPECT_TRUE(MakeDirectory(world_.root + "/etc/network").ok());
    EXPECT_TRUE(MakeDirectory(state()).ok());
    EXPECT_TRUE(WriteWholeFile(world_.root + kPath, kOld, 0640).ok());
    Start();
  }
  ~NetworkChangeTest() override { Kill(); }

  std::string state() const { return dir_.path() + "/state"; }

  void Start() {
    supervisor_ = std::make_unique<Supervisor>(
        &loop_.loop, Supervisor::Options{state(), "boot"},
        Supervisor::Listener{.event = [](v1::AgentEvent) {}, .status_changed = [] {}});
    auto commands = CommandRunner::Open(
        state() + "/inbox.log", &loop_.loop, supervisor_.get(),
        [this](v1::CommandUpdate update) { updates_.push_back(std::move(update)); });
    ASSERT_TRUE(commands.ok()) << commands.status();
    commands_ = *std::move(commands);
    network_ = std::make_unique<FakeNetwork>(&loop_.loop, &world_);
    NetworkChange::Parts parts;
    parts.loop = &loop_.loop;
    parts.system = network_.get();
    parts.commands = commands_.get();
    parts.state_directory = state();
    parts.boot_id = boot_;
    parts.root = world_.root;
    parts.connect_anew = [this] { ++kicks_; };
    parts.urgent = [](bool) {};
    parts.tell = [this](v1::AgentEvent event) { events_.push_back(std::move(event)); };
    change_ = std::make_unique<NetworkChange>(std::move(parts));
  }
  // As kill -9: nothing is told or tidied.
  void Kill() {
    change_.reset();
    network_.reset();
    commands_.reset();
    supervisor_.reset();
    // What was posted by the dead one is gone with it.
    loop_.loop.RunOnce(absl::ZeroDuration());
  }
  void Reboot() {
    Kill();
    boot_ += "+";
    FakeNetwork(&loop_.loop, &world_).BringUp();
    Start();
  }

  v1::Command Order(const std::string& gateway = "10.1.0.1") {
    v1::Command command;
    command.set_id("c1");
    v1::SetNetwork& order = *command.mutable_set_network();
    order.set_ip("10.1.2.3");
    order.set_netmask("255.255.0.0");
    order.set_gateway(gateway);
    order.set_deadline_seconds(30);
    return command;
  }
  void Until(const std::function<bool()>& condition) {
    loop_.UntilAdvancing(absl::Milliseconds(100), condition);
  }
  std::optional<v1::CommandUpdate> Result() {
    for (const v1::CommandUpdate& update : updates_) {
      if (update.state() >= v1::CommandUpdate::STATE_SUCCEEDED) return update;
    }
    return std::nullopt;
  }
  std::string File() { return ReadWholeFile(world_.root + kPath).value_or(""); }
  bool Has(const std::string& ip) {
    return !world_.state.addresses.empty() && world_.state.addresses[0].first == ip;
  }
  void ExpectAllIsBack(const std::string& why) {
    Until([&] { return Result().has_value(); });
    EXPECT_EQ(Result()->state(), v1::CommandUpdate::STATE_FAILED);
    EXPECT_TRUE(HasReason(FromRpcStatus(Result()->error()), "NETWORK_PUT_BACK"))
        << Result()->error().message();
    EXPECT_NE(Result()->error().message().find(why), std::string::npos)
        << Result()->error().message();
    EXPECT_EQ(File(), kOld);
    EXPECT_TRUE(Has("10.0.0.5"));
    EXPECT_EQ(world_.state.gateway, "10.0.0.1");
    ASSERT_EQ(events_.size(), 1u);
    EXPECT_EQ(events_[0].network_put_back().command_id(), "c1");
    EXPECT_NE(access((state() + "/network.state").c_str(), F_OK), 0);
    struct stat info;
    ASSERT_EQ(stat((world_.root + kPath).c_str(), &info), 0);
    EXPECT_EQ(info.st_mode & 07777, 0640u);
  }

  testing::TempDir dir_;
  TestLoop loop_;
  World world_;
  std::string boot_ = "boot";
  std::unique_ptr<Supervisor> supervisor_;
  std::unique_ptr<CommandRunner> commands_;
  std::unique_ptr<FakeNetwork> network_;
  std::unique_ptr<NetworkChange> change_;
  std::vector<v1::CommandUpdate> updates_;
  std::vector<v1::AgentEvent> events_;
  int kicks_ = 0;
};

TEST_F(NetworkChangeTest, StaysWhenTheControllerIsReachedAnew) {
  world_.others.insert("10.1.0.1");
  commands_->Accept(Order());
  Until([&] { return kicks_ == 1; });
  EXPECT_TRUE(Has("10.1.2.3"));
  EXPECT_FALSE(Result());
  change_->LinkEstablished();
  Until([&] { return Result().has_value(); });
  EXPECT_EQ(Result()->state(), v1::CommandUpdate::STATE_SUCCEEDED) << Result()->error().message();
  EXPECT_TRUE(events_.empty());
  EXPECT_TRUE(change_->idle());
  // Long after the deadline it is still so.
  loop_.Pass(absl::Minutes(2));
  EXPECT_TRUE(Has("10.1.2.3"));
  struct stat info;
  ASSERT_EQ(stat((world_.root + kPath).c_str(), &info), 0);
  EXPECT_EQ(info.st_mode & 07777, 0640u);
}

TEST_F(NetworkChangeTest, AStreamOfBeforeIsNoProof) {
  commands_->Accept(Order(""));
  change_->LinkEstablished();
  Until([&] { return kicks_ == 1; });
  EXPECT_FALSE(Result());
  change_->LinkEstablished();
  Until([&] { return Result().has_value(); });
  EXPECT_EQ(Result()->state(), v1::CommandUpdate::STATE_SUCCEEDED);
}

TEST_F(NetworkChangeTest, ComesBackWhenTheControllerIsNotReached) {
  commands_->Accept(Order());
  Until([&] { return kicks_ == 1; });
  loop_.Pass(absl::Seconds(28));
  EXPECT_TRUE(Has("10.1.2.3"));
  EXPECT_FALSE(Result());
  loop_.Pass(absl::Seconds(3));
  ExpectAllIsBack("the controller could not be reached");
  EXPECT_EQ(kicks_, 2) << "the link is made anew over the old settings";
}

TEST_F(NetworkChangeTest, ComesBackWhenTheGatewayIsWrongThoughTheControllerIsNear) {
  commands_->Accept(Order("10.1.99.99"));
  Until([&] { return kicks_ == 1; });
  change_->LinkEstablished();
  loop_.Pass(absl::Seconds(31));
  ExpectAllIsBack("10.1.99.99 does not answer");
}

TEST_F(NetworkChangeTest, AnAddressOfSomebodyElseIsNotTaken) {
  world_.others.insert("10.1.2.3");
  commands_->Accept(Order());
  Until([&] { return Result().has_value(); });
  EXPECT_TRUE(HasReason(FromRpcStatus(Result()->error()), "ADDRESS_IN_USE"));
  EXPECT_EQ(File(), kOld);
  EXPECT_EQ(world_.applied, 0);
  EXPECT_TRUE(change_->idle());
}

TEST_F(NetworkChangeTest, WhatTheToolRefusesComesBackAtOnce) {
  world_.refuse = 1;
  commands_->Accept(Order());
  ExpectAllIsBack("RTNETLINK says no");
}

TEST_F(NetworkChangeTest, AToolThatHangsIsNotWaitedForLongerThanTheDeadline) {
  world_.hang = true;
  commands_->Accept(Order());
  loop_.Pass(absl::Seconds(29));
  EXPECT_FALSE(Result());
  world_.hang = false;
  ExpectAllIsBack("did not end");
}

TEST_F(NetworkChangeTest, WhereTheToolFailsOnTheWayBackTheSettingsAreSetDirectly) {
  commands_->Accept(Order());
  Until([&] { return kicks_ == 1; });
  world_.refuse = 1;
  loop_.Pass(absl::Seconds(31));
  ExpectAllIsBack("the controller could not be reached");
  EXPECT_EQ(world_.directly, 1);
}

TEST_F(NetworkChangeTest, ACancelBringsEverythingBack) {
  commands_->Accept(Order());
  Until([&] { return kicks_ == 1; });
  commands_->Cancel("c1");
  Until([&] { return Result().has_value(); });
  EXPECT_EQ(Result()->state(), v1::CommandUpdate::STATE_CANCELLED);
  EXPECT_EQ(File(), kOld);
  EXPECT_TRUE(Has("10.0.0.5"));
}

TEST_F(NetworkChangeTest, ACancelWhileItAsksChangesNothing) {
  commands_->Accept(Order());
  commands_->Cancel("c1");
  Until([&] { return Result().has_value(); });
  EXPECT_EQ(Result()->state(), v1::CommandUpdate::STATE_CANCELLED);
  loop_.Pass(absl::Seconds(5));
  EXPECT_EQ(world_.applied, 0);
  EXPECT_EQ(File(), kOld);
}

TEST_F(NetworkChangeTest, AnAgentThatStartsAnewInTheWindowHasTheRestOfIt) {
  world_.others.insert("10.1.0.1");
  commands_->Accept(Order());
  Until([&] { return kicks_ == 1; });
  loop_.Pass(absl::Seconds(10));
  Kill();
  Start();
  EXPECT_TRUE(Has("10.1.2.3"));
  change_->LinkEstablished();
  Until([&] { return Result().has_value(); });
  EXPECT_EQ(Result()->state(), v1::CommandUpdate::STATE_SUCCEEDED) << Result()->error().message();
}

TEST_F(NetworkChangeTest, AnAgentThatStartsAnewInTheWindowGoesBackInTime) {
  commands_->Accept(Order());
  Until([&] { return kicks_ == 1; });
  loop_.Pass(absl::Seconds(20));
  Kill();
  Start();
  loop_.Pass(absl::Seconds(9));
  EXPECT_FALSE(Result());
  loop_.Pass(absl::Seconds(2));
  ExpectAllIsBack("the controller could not be reached");
}

TEST_F(NetworkChangeTest, ARestartOfTheMachineInTheWindowGoesBackInTime) {
  commands_->Accept(Order());
  Until([&] { return kicks_ == 1; });
  loop_.Pass(absl::Seconds(20));
  Reboot();
  EXPECT_TRUE(Has("10.1.2.3")) << "the files are the new ones";
  loop_.Pass(absl::Seconds(9));
  EXPECT_FALSE(Result());
  loop_.Pass(absl::Seconds(2));
  ExpectAllIsBack("the controller could not be reached");
}

TEST_F(NetworkChangeTest, ARestartOfTheMachineInTheWindowIsConfirmedToo) {
  world_.others.insert("10.1.0.1");
  commands_->Accept(Order());
  Until([&] { return kicks_ == 1; });
  Reboot();
  change_->LinkEstablished();
  Until([&] { return Result().has_value(); });
  EXPECT_EQ(Result()->state(), v1::CommandUpdate::STATE_SUCCEEDED) << Result()->error().message();
}

TEST_F(NetworkChangeTest, AWallClockThatJumpsAtARestartDoesNotMakeTheWindowLonger) {
  commands_->Accept(Order());
  Until([&] { return kicks_ == 1; });
  loop_.clock.JumpWall(-absl::Hours(1000));
  Reboot();
  loop_.Pass(absl::Seconds(31));
  ExpectAllIsBack("the controller could not be reached");
}

// The agent is killed after every single turn of its loop, and the machine restarted after every
// other one: it always ends one way or the other, whole.
TEST_F(NetworkChangeTest, KilledAtEveryPoint) {
  for (int turns = 0; turns < 40; ++turns) {
    SCOPED_TRACE(turns);
    updates_.clear();
    events_.clear();
    kicks_ = 0;
    v1::Command order = Order();
    order.set_id("c" + std::to_string(turns));
    order.mutable_set_network()->set_deadline_seconds(10);
    commands_->Accept(order);
    for (int i = 0; i < turns; ++i) {
      loop_.clock.Advance(absl::Milliseconds(500));
      loop_.loop.RunOnce(absl::ZeroDuration());
    }
    if (turns % 2 == 0) {
      Kill();
      Start();
    } else {
      Reboot();
    }
    // The controller sends what it has no end of.
    commands_->Resend();
    if (!Result()) commands_->Accept(order);
    Until([&] { return Result().has_value() && change_->idle(); });
    EXPECT_EQ(Result()->state(), v1::CommandUpdate::STATE_FAILED);
    EXPECT_EQ(File(), kOld);
    EXPECT_TRUE(Has("10.0.0.5"));
    EXPECT_LE(events_.size(), 1u);
    commands_->Acknowledge(order.id());
  }
}

// The real commands and tables, in a network of the test's own.
TEST(LinuxNetworkTest, SetsAndReads) {
  if (unshare(CLONE_NEWNET) != 0) GTEST_SKIP() << "needs root";
  if (system("ip link add eth0 type veth peer name other && ip link set other up") != 0) {
    GTEST_SKIP() << "no pairs of cards here";
  }
  TestLoop loop;
  LinuxNetwork network(&loop.loop);
  std::optional<absl::Status> done;
  const auto take = [&](const absl::Status& status) { done = status; };
  network.ApplyDirectly({"eth0", "", "10.9.8.7", "255.255.255.0", "10.9.8.1", {}}, take);
  loop.Until([&] { return done.has_value(); });
  ASSERT_TRUE(done->ok()) << *done;
  CardState state = network.Read("");
  EXPECT_EQ(state.card, "eth0");
  EXPECT_EQ(state.mac.size(), 17u);
  EXPECT_EQ(state.gateway, "10.9.8.1");
  ASSERT_EQ(state.addresses.size(), 1u);
  EXPECT_EQ(state.addresses[0].first, "10.9.8.7");
  EXPECT_EQ(state.addresses[0].second, "255.255.255.0");

  done.reset();
  network.Apply(NetworkTool::kNone, "eth0", "", "", take);
  loop.Until([&] { return done.has_value(); });
  EXPECT_FALSE(done->ok());

  // Nobody is there to answer.
  std::optional<bool> answered;
  network.Ask("eth0", "10.9.8.1", "10.9.8.7", [&](bool its) { answered = its; });
  loop.UntilAdvancing(absl::Milliseconds(50), [&] { return answered.has_value(); });
  EXPECT_FALSE(*answered);
  // One of whom nothing can be learnt counts as there for a gateway, as free for an address.
  answered.reset();
  network.Ask("none0", "10.9.8.1", "10.9.8.7", [&](bool its) { answered = its; });
  loop.Until([&] { return answered.has_value(); });
  EXPECT_TRUE(*answered);
}

TEST_F(NetworkChangeTest, BadSettingsAreRefused) {
  v1::Command order = Order();
  order.mutable_set_network()->set_gateway("10.1.0.1; reboot");
  commands_->Accept(order);
  Until([&] { return Result().has_value(); });
  EXPECT_EQ(FromRpcStatus(Result()->error()).code(), absl::StatusCode::kInvalidArgument);
  EXPECT_EQ(world_.applied, 0);
}

}  // namespace
}  // namespace drover::agent
