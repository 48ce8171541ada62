#include "controller/core/guest_operations.h"

#include <functional>
#include <memory>

#include "absl/strings/str_cat.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "proto/support/status.h"
#include "tests/testing/answering_agents.h"
#include "tests/testing/test_store.h"

namespace drover::core {
namespace {

using drover::agent::v1::CommandUpdate;
using drover::v1::ControlServicesRequest;
using drover::v1::Operation;
using drover::v1::Vm;
using testing::AnsweringAgents;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using Target = drover::v1::Operation::Target;

class GuestOperationsTest : public ::testing::Test {
 protected:
  GuestOperationsTest() {
    tracker_.SetGateway(&agents_);
    agents_.SetTracker(&tracker_);
    guests_.Register();
    runner_.OnChange([this](absl::string_view) {
      absl::MutexLock lock(&mutex_);
      ++changes_;
    });
  }
  ~GuestOperationsTest() override { runner_.Stop(); }

  void SetUp() override {
    ASSERT_TRUE(inventory_.AddEnvironment("prod", {}).ok());
    drover::v1::VmType type;
    type.set_template_("tpl");
    type.add_services()->set_name("nginx");
    type.mutable_services(0)->set_systemd_unit("nginx");
    ASSERT_TRUE(inventory_.AddType("web", type).ok());
    for (int i = 1; i <= 3; ++i) {
      Vm vm;
      vm.set_name(absl::StrCat("vms/web-", i));
      vm.set_uid(absl::StrCat("uid-", i));
      vm.set_environment("environments/prod");
      vm.set_type("types/web");
      vm.set_state(Vm::STATE_READY);
      vm.set_agent_state(drover::v1::AGENT_STATE_CONTACT_LOST);
      ASSERT_TRUE(inventory_.AddVm(vm).ok());
    }
    ASSERT_TRUE(runner_.Start().ok());
  }

  static ControlServicesRequest Restart(std::initializer_list<int> vms) {
    ControlServicesRequest request;
    for (int i : vms) request.add_vms(absl::StrCat("vms/web-", i));
    request.add_services("nginx");
    request.set_action(drover::v1::SERVICE_ACTION_RESTART);
    return request;
  }
  Operation Await(const std::string& name, const std::function<bool(const Operation&)>& enough) {
    int64_t seen = -1;
    for (;;) {
      {
        absl::MutexLock lock(&mutex_);
        auto changed = [&]() ABSL_NO_THREAD_SAFETY_ANALYSIS { return changes_ != seen; };
        mutex_.Await(absl::Condition(&changed));
        seen = changes_;
      }
      auto operation = runner_.Get(name);
      if (!operation.ok() || enough(*operation)) return operation.value_or(Operation());
    }
  }
  Operation AwaitEnd(const std::string& name) {
    return Await(name, [](const Operation& operation) { return operation.has_end_time(); });
  }

  // The only child is told to be at this.
  void AwaitDetail(const std::string& name, const std::string& detail) {
    Await(name, [&](const Operation& parent) {
      if (parent.targets_size() == 0 || parent.targets(0).operation().empty()) return false;
      const auto child = runner_.Get(parent.targets(0).operation());
      return child.ok() && child->steps(0).detail() == detail;
    });
  }
  int KeptCommands() {
    int kept = 0;
    const absl::Status read = files_.store().Read([&](StoreReader& reader) {
      kept = static_cast<int>(reader.List(Table::kCommands, {})->size());
      return absl::OkStatus();
    });
    EXPECT_TRUE(read.ok()) << read;
    return kept;
  }

  testing::TestStore files_;
  AnsweringAgents agents_;
  Inventory inventory_{&files_.store(), &files_.vault(), &files_.clock()};
  CommandTracker tracker_{&files_.store(), &files_.vault(), &files_.clock()};
  absl::Mutex mutex_;
  int64_t changes_ ABSL_GUARDED_BY(mutex_) = 0;
  OperationRunner runner_{&files_.store(), &files_.vault(), &files_.clock()};
  GuestOperations guests_{&inventory_, &tracker_, &agents_, &runner_, &files_.clock()};
};

TEST_F(GuestOperationsTest, EachVmOfABatchHasItsOwnOutcome) {
  agents_.Answers("uid-1", {});
  agents_.Answers("uid-2",
                  {CommandUpdate::STATE_FAILED, "",
                   MakeError(absl::StatusCode::kInternal, "START_FAILED", "no such file")});
  auto submitted = guests_.Control(Restart({1, 2, 3}), {});
  ASSERT_TRUE(submitted.ok()) << submitted.status();
  // The third is away until its command expires, without a worker.
  Await(submitted->name(), [](const Operation& operation) {
    std::map<std::string, Target::State> states;
    for (const Target& target : operation.targets()) states[target.vm()] = target.state();
    return states["vms/web-1"] == Target::STATE_SUCCEEDED &&
           states["vms/web-2"] == Target::STATE_FAILED &&
           states["vms/web-3"] == Target::STATE_QUEUED;
  });
  files_.clock().WaitForSleepers(1);
  files_.clock().Advance(absl::Minutes(11));
  Operation ended = AwaitEnd(submitted->name());
  EXPECT_EQ(ended.state(), Operation::STATE_PARTLY_FAILED);
  std::map<std::string, Target> targets;
  for (const Target& target : ended.targets()) targets[target.vm()] = target;
  EXPECT_EQ(targets["vms/web-1"].state(), Target::STATE_SUCCEEDED);
  EXPECT_EQ(targets["vms/web-2"].state(), Target::STATE_FAILED);
  EXPECT_THAT(targets["vms/web-2"].error().message(), HasSubstr("no such file"));
  EXPECT_EQ(targets["vms/web-3"].state(), Target::STATE_EXPIRED);
  EXPECT_THAT(agents_.orders(), ::testing::UnorderedElementsAre("uid-1 3 1", "uid-2 3 1"));
  // Nothing of it is left to be delivered.
  ASSERT_TRUE(files_.store()
                  .Read([](StoreReader& reader) {
                    EXPECT_THAT(*reader.List(Table::kCommands, {}), ::testing::IsEmpty());
                    return absl::OkStatus();
                  })
                  .ok());
}

TEST_F(GuestOperationsTest, RequestsThatCannotBeAreRefusedWhole) {
  agents_.Answers("uid-1", {});
  ControlServicesRequest request;
  EXPECT_EQ(guests_.Control(request, {}).status().code(), absl::StatusCode::kInvalidArgument);
  request = Restart({1});
  request.clear_action();
  EXPECT_EQ(guests_.Control(request, {}).status().code(), absl::StatusCode::kInvalidArgument);
  request = Restart({1});
  request.add_services("apache");
  absl::Status refused = guests_.Control(request, {}).status();
  EXPECT_EQ(ViolationsOf(refused).field_violations(0).field(), "services[1]");
  EXPECT_THAT(std::string(refused.message()), HasSubstr("it has nginx"));
  request = Restart({1, 9});
  EXPECT_EQ(ReasonOf(guests_.Control(request, {}).status()), "VM_NOT_FOUND");
  ASSERT_TRUE(inventory_
                  .ChangeVm("vms/web-2",
                            [](Vm& vm) { vm.set_agent_state(drover::v1::AGENT_STATE_QUARANTINED); })
                  .ok());
  EXPECT_EQ(ReasonOf(guests_.Control(Restart({1, 2}), {}).status()), "AGENT_QUARANTINED");
  ASSERT_TRUE(
      inventory_
          .ChangeVm("vms/web-2", [](Vm& vm) { vm.set_agent_state(drover::v1::AGENT_STATE_NONE); })
          .ok());
  EXPECT_EQ(ReasonOf(guests_.Control(Restart({1, 2}), {}).status()), "AGENT_MISSING");
  EXPECT_THAT(agents_.orders(), ::testing::IsEmpty());
  request = Restart({1, 3, 1});
  request.set_validate_only(true);
  auto preview = guests_.Control(request, {});
  ASSERT_TRUE(preview.ok()) << preview.status();
  EXPECT_EQ(preview->targets_size(), 2);
  EXPECT_EQ(preview->name(), "");
  EXPECT_THAT(agents_.orders(), ::testing::IsEmpty());
}

TEST_F(GuestOperationsTest, TheSameRequestIdIsTheSameOperation) {
  agents_.Answers("uid-1", {});
  ControlServicesRequest request = Restart({1});
  request.set_request_id("7b0f4d0e-0000-4000-8000-000000000001");
  Caller caller;
  caller.user = "ann";
  auto first = guests_.Control(request, caller);
  ASSERT_TRUE(first.ok()) << first.status();
  AwaitEnd(first->name());
  auto again = guests_.Control(request, caller);
  ASSERT_TRUE(again.ok()) << again.status();
  EXPECT_EQ(again->name(), first->name());
  EXPECT_THAT(agents_.orders(), ElementsAre("uid-1 3 1"));
}

TEST_F(GuestOperationsTest, CancelEndsWhatWaits) {
  auto submitted = guests_.Control(Restart({3}), {});
  ASSERT_TRUE(submitted.ok()) << submitted.status();
  AwaitDetail(submitted->name(), "waits for the agent to come back");
  ASSERT_TRUE(runner_.Cancel(submitted->name()).ok());
  Operation ended = AwaitEnd(submitted->name());
  EXPECT_EQ(ended.state(), Operation::STATE_CANCELLED);
  // It comes back, and there is nothing for it.
  agents_.Answers("uid-3", {});
  tracker_.OnConnected("uid-3");
  EXPECT_THAT(agents_.orders(), ::testing::IsEmpty());
}

TEST_F(GuestOperationsTest, CancelIsConfirmedByTheAgent) {
  agents_.Answers("uid-1", {CommandUpdate::STATE_RUNNING, "", absl::OkStatus()});
  auto submitted = guests_.Control(Restart({1}), {});
  ASSERT_TRUE(submitted.ok()) << submitted.status();
  AwaitDetail(submitted->name(), "is being done");
  ASSERT_TRUE(runner_.Cancel(submitted->name()).ok());
  EXPECT_EQ(AwaitEnd(submitted->name()).state(), Operation::STATE_CANCELLED);
  EXPECT_THAT(agents_.orders(), ElementsAre("uid-1 3 1", "uid-1 cancel"));
  EXPECT_EQ(KeptCommands(), 0);
}

TEST_F(GuestOperationsTest, AnAgentThatIsAwayStopsWhenItIsBack) {
  agents_.Answers("uid-1", {CommandUpdate::STATE_RUNNING, "", absl::OkStatus()});
  auto submitted = guests_.Control(Restart({1}), {});
  ASSERT_TRUE(submitted.ok()) << submitted.status();
  AwaitDetail(submitted->name(), "is being done");
  agents_.Leaves("uid-1");
  ASSERT_TRUE(runner_.Cancel(submitted->name()).ok());
  EXPECT_EQ(AwaitEnd(submitted->name()).state(), Operation::STATE_CANCELLED);
  EXPECT_EQ(KeptCommands(), 1);
  // The controller has been started anew meanwhile.
  CommandTracker later{&files_.store(), &files_.vault(), &files_.clock()};
  ASSERT_TRUE(later.Load().ok());
  later.SetGateway(&agents_);
  agents_.SetTracker(&later);
  agents_.Answers("uid-1", {CommandUpdate::STATE_RUNNING, "", absl::OkStatus()});
  later.OnConnected("uid-1");
  EXPECT_THAT(agents_.orders(), ElementsAre("uid-1 3 1", "uid-1 cancel"));
  EXPECT_EQ(KeptCommands(), 0);
}

TEST_F(GuestOperationsTest, OutputComesFromTheAgent) {
  drover::v1::GetServiceOutputRequest request;
  request.set_vm("vms/web-1");
  request.set_service("nginx");
  EXPECT_EQ(ReasonOf(guests_.Output(request).status()), "AGENT_NOT_CONNECTED");
  agents_.Answers("uid-1", {CommandUpdate::STATE_SUCCEEDED, "started\n", absl::OkStatus()});
  auto output = guests_.Output(request);
  ASSERT_TRUE(output.ok()) << output.status();
  EXPECT_EQ(output->text(), "started\n");
  request.set_service("apache");
  EXPECT_EQ(guests_.Output(request).status().code(), absl::StatusCode::kInvalidArgument);
}

}  // namespace
}  // namespace drover::core
