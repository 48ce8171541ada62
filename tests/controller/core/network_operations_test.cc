// Changes of a VM's network by its agent and through VMware Tools, repair, and passwords.
#include "controller/core/network_operations.h"

#include <optional>
#include <string>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "proto/support/status.h"
#include "tests/controller/core/vm_test_bench.h"

namespace drover::core {
namespace {

using drover::agent::v1::Command;
using drover::agent::v1::CommandUpdate;
using drover::v1::Operation;
using drover::v1::Vm;
using ::testing::Contains;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::Not;

constexpr char kName[] = "vms/web-01";
constexpr char kOld[] = "10.0.0.15";
constexpr char kNew[] = "10.0.0.77";

std::string ReasonOf(const Operation& operation) {
  return drover::ReasonOf(FromRpcStatus(operation.error()));
}

class NetworkOperationsTest : public ::testing::Test {
 protected:
  void SetUp() override {
    const Operation created = bench_.AwaitEnd(bench_.Create("web-01", kOld));
    ASSERT_EQ(created.state(), Operation::STATE_SUCCEEDED) << created.DebugString();
    uid_ = bench_.inventory().GetVm(kName)->uid();
    ObedientAgent();
  }
  // Does what it is told, and is heard of again.
  void ObedientAgent() {
    bench_.AnswerOrders([this](absl::string_view, const Command& command) {
      if (command.has_set_network()) bench_.host().SetAddress("web-01", command.set_network().ip());
      CommandUpdate done;
      done.set_state(CommandUpdate::STATE_SUCCEEDED);
      return std::optional(done);
    });
  }
  static drover::v1::SetVmNetworkRequest Request(const std::string& ip = kNew) {
    drover::v1::SetVmNetworkRequest request;
    request.set_name(kName);
    request.mutable_network()->set_ip(ip);
    request.mutable_network()->set_netmask("255.255.255.0");
    request.mutable_network()->set_gateway("10.0.0.1");
    request.mutable_network()->set_dns1("10.0.0.2");
    return request;
  }
  absl::StatusOr<Operation> Set(const drover::v1::SetVmNetworkRequest& request) {
    return bench_.network().Set(request, {});
  }
  std::string Ip() { return bench_.inventory().GetVm(kName)->network().ip(); }
  std::vector<std::string> ToolsLog() {
    drover::v1::SearchLogRequest request;
    std::vector<std::string> actions;
    const auto found = bench_.events().Search(request);
    EXPECT_TRUE(found.ok()) << found.status();
    for (const auto& entry : found->entries()) {
      if (absl::StrContains(entry.action(), "VMware Tools")) actions.push_back(entry.action());
    }
    return actions;
  }
  void ExpectAsBefore() {
    EXPECT_EQ(Ip(), kOld);
    EXPECT_EQ(bench_.host().Vm("web-01").ip(), kOld);
    EXPECT_EQ(bench_.inventory().HolderOf(kNew), "");
    EXPECT_EQ(bench_.inventory().HolderOf(kOld), kName);
  }

  VmTestBench bench_;
  std::string uid_;
};

TEST_F(NetworkOperationsTest, TheInventoryFollowsTheAgent) {
  std::string holder_meanwhile;
  std::string old_meanwhile;
  Command order;
  bench_.AnswerOrders([&](absl::string_view, const Command& command) {
    holder_meanwhile = bench_.inventory().HolderOf(kNew);
    old_meanwhile = bench_.inventory().HolderOf(kOld);
    order = command;
    bench_.host().SetAddress("web-01", kNew);
    CommandUpdate done;
    done.set_state(CommandUpdate::STATE_SUCCEEDED);
    return std::optional(done);
  });
  const Operation ended = bench_.AwaitEnd(Set(Request()));
  ASSERT_EQ(ended.state(), Operation::STATE_SUCCEEDED) << ended.DebugString();
  EXPECT_EQ(holder_meanwhile, kName) << "nobody else can get it meanwhile";
  EXPECT_EQ(old_meanwhile, kName);
  EXPECT_EQ(order.set_network().ip(), kNew);
  EXPECT_THAT(order.set_network().dns(), ElementsAre("10.0.0.2"));
  EXPECT_EQ(order.set_network().deadline_seconds(), 60);
  EXPECT_GT(order.timeout_seconds(), 60);
  EXPECT_EQ(Ip(), kNew);
  EXPECT_EQ(bench_.inventory().HolderOf(kOld), "");
  EXPECT_THAT(ToolsLog(), IsEmpty());
}

TEST_F(NetworkOperationsTest, WhatTheAgentPutBackLeavesEverythingAsItWas) {
  bench_.AnswerOrders([](absl::string_view, const Command&) {
    CommandUpdate done;
    done.set_state(CommandUpdate::STATE_FAILED);
    *done.mutable_error() = ToRpcStatus(
        MakeError(absl::StatusCode::kAborted, "NETWORK_PUT_BACK", "the gateway does not answer"));
    return std::optional(done);
  });
  const Operation ended = bench_.AwaitEnd(Set(Request()));
  EXPECT_EQ(ended.state(), Operation::STATE_FAILED);
  EXPECT_EQ(ReasonOf(ended), "NETWORK_PUT_BACK");
  ExpectAsBefore();
}

TEST_F(NetworkOperationsTest, BadRequestsAreRefusedBeforeAnythingIsRecorded) {
  EXPECT_THAT(Set(Request("")).status().message(), HasSubstr("network.ip"));
  EXPECT_THAT(Set(Request("10.9.9.9")).status().message(), HasSubstr("is not in the network"));
  EXPECT_THAT(Set(Request("10.0.0.255")).status().message(), HasSubstr("broadcast"));
  EXPECT_THAT(Set(Request("10.0.0.1")).status().message(), HasSubstr("own address"));
  ASSERT_EQ(bench_.AwaitEnd(bench_.Create("web-02", "10.0.0.16")).state(),
            Operation::STATE_SUCCEEDED);
  EXPECT_EQ(drover::ReasonOf(Set(Request("10.0.0.16")).status()), "ADDRESS_TAKEN");
  bench_.prober().AddStranger("10.0.0.99");
  const absl::Status stranger = Set(Request("10.0.0.99")).status();
  EXPECT_EQ(drover::ReasonOf(stranger), "ADDRESS_TAKEN");
  EXPECT_THAT(stranger.message(), HasSubstr("answers pings"));
  drover::v1::SetVmNetworkRequest request = Request();
  request.set_validate_only(true);
  const auto preview = Set(request);
  ASSERT_TRUE(preview.ok());
  EXPECT_EQ(preview->name(), "");
  ExpectAsBefore();
}

TEST_F(NetworkOperationsTest, WithoutAnAgentThroughVmwareTools) {
  bench_.agents().Lose(uid_);
  const Operation ended = bench_.AwaitEnd(Set(Request()), /*tick=*/true);
  ASSERT_EQ(ended.state(), Operation::STATE_SUCCEEDED) << ended.DebugString();
  EXPECT_EQ(Ip(), kNew);
  EXPECT_EQ(bench_.host().Vm("web-01").ip(), kNew);
  EXPECT_THAT(ToolsLog(), ElementsAre("change network through VMware Tools"));
}

TEST_F(NetworkOperationsTest, ThroughVmwareToolsItComesBackToo) {
  bench_.agents().Lose(uid_);
  bench_.host().Unroute(kNew);
  const Operation ended = bench_.AwaitEnd(Set(Request()), /*tick=*/true);
  EXPECT_EQ(ended.state(), Operation::STATE_FAILED);
  EXPECT_EQ(ReasonOf(ended), "NETWORK_PUT_BACK");
  ExpectAsBefore();
  EXPECT_THAT(ToolsLog(), Contains("put network back through VMware Tools"));
}

TEST_F(NetworkOperationsTest, ToolsThatAreAwayHaveAClearReason) {
  bench_.agents().Lose(uid_);
  bench_.host().FailMethod("WaitForTools", MakeError(absl::StatusCode::kDeadlineExceeded,
                                                     "TOOLS_NOT_RUNNING", "no tools"));
  const Operation ended = bench_.AwaitEnd(Set(Request()), /*tick=*/true);
  EXPECT_EQ(ended.state(), Operation::STATE_FAILED);
  EXPECT_EQ(ReasonOf(ended), "TOOLS_NOT_RUNNING");
  EXPECT_THAT(ended.error().message(), HasSubstr("neither by its agent nor by them"));
  ExpectAsBefore();
}

// It took the order and died of it: what it left is changed through the second door.
TEST_F(NetworkOperationsTest, AnAgentThatFallsSilentInTheMiddle) {
  bench_.AnswerOrders([this](absl::string_view, const Command&) {
    bench_.agents().Lose(uid_);
    bench_.host().SetAddress("web-01", "");
    return std::optional<CommandUpdate>();
  });
  const Operation ended = bench_.AwaitEnd(Set(Request()), /*tick=*/true);
  ASSERT_EQ(ended.state(), Operation::STATE_SUCCEEDED) << ended.DebugString();
  EXPECT_EQ(Ip(), kNew);
  EXPECT_EQ(bench_.host().Vm("web-01").ip(), kNew);
}

TEST_F(NetworkOperationsTest, CrashAtEveryWrite) {
  for (int writes = 0;; ++writes) {
    SCOPED_TRACE(absl::StrCat(writes, " writes"));
    ASSERT_LT(writes, 60);
    const std::string from = Ip();
    const std::string to = from == kOld ? kNew : kOld;
    bench_.store().DieAfterWrites(writes);
    const absl::StatusOr<Operation> operation = Set(Request(to));
    if (operation.ok()) bench_.AwaitEndOrDeath(operation->name());
    const bool died = bench_.store().died();
    bench_.Stop();
    bench_.store().Revive();
    bench_.Start();
    if (!operation.ok()) {
      EXPECT_EQ(Ip(), from);
      continue;
    }
    const Operation ended = bench_.AwaitEnd(bench_.runner().Get(operation->name()), /*tick=*/true);
    EXPECT_EQ(ended.state(), Operation::STATE_SUCCEEDED) << ended.DebugString();
    EXPECT_EQ(Ip(), to);
    EXPECT_EQ(bench_.host().Vm("web-01").ip(), to);
    EXPECT_EQ(bench_.inventory().HolderOf(from), "");
    if (!died) break;
  }
}

TEST_F(NetworkOperationsTest, ACancelBringsTheOldBackAndLetsTheNewGo) {
  bench_.AnswerOrders(
      [](absl::string_view, const Command&) { return std::optional<CommandUpdate>(); });
  const auto operation = Set(Request());
  ASSERT_TRUE(operation.ok());
  bench_.Await(operation->name(),
               [&](const Operation&) { return bench_.inventory().HolderOf(kNew) == kName; });
  ASSERT_TRUE(bench_.runner().Cancel(operation->name()).ok());
  const Operation ended = bench_.AwaitEnd(operation, /*tick=*/true);
  EXPECT_EQ(ended.state(), Operation::STATE_CANCELLED) << ended.DebugString();
  ExpectAsBefore();
}

// ---------------------------------------------------------------- repair

TEST_F(NetworkOperationsTest, RepairRestoresContact) {
  bench_.agents().Lose(uid_);
  bench_.host().Disconnect("web-01", true);
  drover::v1::RepairVmRequest request;
  request.set_name(kName);
  const Operation ended = bench_.AwaitEnd(bench_.repair().Repair(request, {}), /*tick=*/true);
  ASSERT_EQ(ended.state(), Operation::STATE_SUCCEEDED) << ended.DebugString();
  EXPECT_TRUE(bench_.agents().IsConnected(uid_));
  EXPECT_TRUE(bench_.host().Answers(kOld));
  const auto log = ToolsLog();
  EXPECT_THAT(log, Contains("look inside through VMware Tools"));
  EXPECT_THAT(log, Contains("set network again through VMware Tools"));
  EXPECT_THAT(log, Contains("restart agent through VMware Tools"));
}

TEST_F(NetworkOperationsTest, RepairOfWhatIsWell) {
  drover::v1::RepairVmRequest request;
  request.set_name(kName);
  EXPECT_EQ(drover::ReasonOf(bench_.repair().Repair(request, {}).status()), "AGENT_CONNECTED");
  request.set_reinstall_agent(true);
  const Operation ended = bench_.AwaitEnd(bench_.repair().Repair(request, {}), /*tick=*/true);
  EXPECT_EQ(ended.state(), Operation::STATE_SUCCEEDED) << ended.DebugString();
  EXPECT_THAT(ToolsLog(), Contains("install agent through VMware Tools"));
  EXPECT_THAT(ToolsLog(), Not(Contains("set network again through VMware Tools")));
}

TEST_F(NetworkOperationsTest, RepairWithoutToolsSaysSo) {
  bench_.agents().Lose(uid_);
  bench_.host().FailMethod("WaitForTools", MakeError(absl::StatusCode::kDeadlineExceeded,
                                                     "TOOLS_NOT_RUNNING", "no tools"));
  drover::v1::RepairVmRequest request;
  request.set_name(kName);
  const Operation ended = bench_.AwaitEnd(bench_.repair().Repair(request, {}), /*tick=*/true);
  EXPECT_EQ(ended.state(), Operation::STATE_FAILED);
  EXPECT_EQ(ReasonOf(ended), "TOOLS_NOT_RUNNING");
}

// ---------------------------------------------------------------- passwords

drover::v1::SetVmPasswordRequest Password(const std::string& account) {
  drover::v1::SetVmPasswordRequest request;
  request.set_name(kName);
  request.set_account(account);
  request.set_password("fresh-canary-0815");
  return request;
}

TEST_F(NetworkOperationsTest, ThePasswordOfOurOwnAccountIsKept) {
  Command order;
  bench_.AnswerOrders([&](absl::string_view, const Command& command) {
    order = command;
    CommandUpdate done;
    done.set_state(CommandUpdate::STATE_SUCCEEDED);
    return std::optional(done);
  });
  const Operation ended = bench_.AwaitEnd(bench_.passwords().Set(Password(""), {}));
  ASSERT_EQ(ended.state(), Operation::STATE_SUCCEEDED) << ended.DebugString();
  EXPECT_EQ(order.set_password().account(), "root");
  EXPECT_EQ(order.set_password().password(), "fresh-canary-0815");
  EXPECT_EQ(bench_.inventory().GuestLoginOf(kName)->password(), "fresh-canary-0815");
  EXPECT_EQ(testing::FilesContaining(bench_.files().directory(), "fresh-canary-0815"), "");
  EXPECT_FALSE(absl::StrContains(ended.DebugString(), "fresh-canary-0815"));
}

TEST_F(NetworkOperationsTest, ThatOfAnotherAccountIsNobodysBusiness) {
  const Operation ended = bench_.AwaitEnd(bench_.passwords().Set(Password("deploy"), {}));
  ASSERT_EQ(ended.state(), Operation::STATE_SUCCEEDED) << ended.DebugString();
  EXPECT_EQ(bench_.inventory().GuestLoginOf(kName)->password(), VmTestBench::kPassword);
}

TEST_F(NetworkOperationsTest, WithoutAnAgentThePasswordGoesThroughVmwareTools) {
  bench_.agents().Lose(uid_);
  const Operation ended =
      bench_.AwaitEnd(bench_.passwords().Set(Password("root"), {}), /*tick=*/true);
  ASSERT_EQ(ended.state(), Operation::STATE_SUCCEEDED) << ended.DebugString();
  EXPECT_EQ(bench_.host().GuestPassword("web-01"), "fresh-canary-0815");
  EXPECT_EQ(bench_.inventory().GuestLoginOf(kName)->password(), "fresh-canary-0815");
  EXPECT_THAT(ToolsLog(), ElementsAre("set password of root through VMware Tools"));
  for (const std::string& arguments : bench_.host().Arguments()) {
    EXPECT_FALSE(absl::StrContains(arguments, "fresh-canary-0815")) << arguments;
  }
}

TEST_F(NetworkOperationsTest, WordsThatChpasswdCannotBeToldAreRefused) {
  auto request = Password("root\nx");
  EXPECT_TRUE(absl::IsInvalidArgument(bench_.passwords().Set(request, {}).status()));
  request = Password("root");
  request.set_password("a\nroot:b");
  const absl::Status status = bench_.passwords().Set(request, {}).status();
  EXPECT_TRUE(absl::IsInvalidArgument(status));
  EXPECT_THAT(std::string(status.message()), Not(HasSubstr("root:b")));
}

}  // namespace
}  // namespace drover::core
