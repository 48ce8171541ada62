#include "controller/core/agent_facts.h"

#include <memory>
#include <thread>

#include "absl/strings/str_cat.h"
#include "controller/core/command_tracker.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "proto/support/status.h"
#include "proto/support/time.h"
#include "tests/testing/test_store.h"

namespace drover::core {
namespace {

using drover::agent::v1::AgentEvent;
using drover::agent::v1::Command;
using drover::agent::v1::CommandUpdate;
using drover::v1::Vm;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::SizeIs;

class RecordingGateway : public AgentGateway {
 public:
  absl::StatusOr<EnrolmentKit> NewEnrolmentKit(absl::string_view, absl::string_view,
                                               absl::Duration) override {
    return absl::UnimplementedError("not in this test");
  }
  absl::Status Revoke(absl::string_view) override { return absl::OkStatus(); }
  absl::Status LiftQuarantine(absl::string_view) override { return absl::OkStatus(); }
  bool IsConnected(absl::string_view) override { return connected; }
  absl::Status Send(absl::string_view, const Command& command) override {
    if (breaks) {
      connected = false;
      return MakeError(absl::StatusCode::kUnavailable, "AGENT_NOT_CONNECTED", "it left");
    }
    sent.push_back(command);
    return absl::OkStatus();
  }
  absl::Status CancelCommand(absl::string_view, absl::string_view id) override {
    cancelled.push_back(std::string(id));
    return absl::OkStatus();
  }
  void DesiredStateChanged(absl::string_view uid) override { changed.push_back(std::string(uid)); }

  bool connected = false;
  // The stream ends at the next order.
  bool breaks = false;
  std::vector<Command> sent;
  std::vector<std::string> cancelled;
  std::vector<std::string> changed;
};

AgentEvent GivenUp(int64_t sequence, absl::Time time) {
  AgentEvent event;
  event.set_sequence(sequence);
  *event.mutable_time() = ToProto(time);
  event.mutable_service_given_up()->set_service("nginx");
  event.mutable_service_given_up()->set_attempts(3);
  event.mutable_service_given_up()->set_last_output("bind: address in use");
  *event.mutable_service_given_up()->mutable_died_at() = ToProto(time - absl::Seconds(9));
  return event;
}

AgentEvent Recovered(int64_t sequence, absl::Time time) {
  AgentEvent event;
  event.set_sequence(sequence);
  *event.mutable_time() = ToProto(time);
  event.mutable_service_recovered()->set_service("nginx");
  event.mutable_service_recovered()->set_attempts(1);
  *event.mutable_service_recovered()->mutable_died_at() = ToProto(time - absl::Seconds(2));
  return event;
}

AgentEvent Died(int64_t sequence, absl::Time time) {
  AgentEvent event;
  event.set_sequence(sequence);
  *event.mutable_time() = ToProto(time);
  event.mutable_service_died()->set_service("nginx");
  event.mutable_service_died()->set_how("signal 9");
  return event;
}

class AgentFactsTest : public ::testing::Test {
 protected:
  AgentFactsTest() { Restart(); }

  void Restart() {
    facts_.reset();
    commands_.reset();
    events_.reset();
    inventory_.reset();
    files_.Reopen();
    inventory_ = std::make_unique<Inventory>(&files_.store(), &files_.vault(), &files_.clock());
    events_ = std::make_unique<EventLog>(&files_.store(), &files_.vault(), &files_.clock(),
                                         files_.directory());
    commands_ = std::make_unique<CommandTracker>(&files_.store(), &files_.vault(), &files_.clock());
    facts_ = std::make_unique<AgentFacts>(&files_.store(), inventory_.get(), events_.get(),
                                          commands_.get(), &files_.clock());
    ASSERT_TRUE(inventory_->Load().ok());
    ASSERT_TRUE(commands_->Load().ok());
    commands_->SetGateway(&gateway_);
    facts_->SetGateway(&gateway_);
    events_->OnEvent([this](const drover::v1::Event& event) {
      kinds_.push_back(event.kind());
      last_ = event;
    });
  }

  void SetUp() override {
    ASSERT_TRUE(inventory_->AddEnvironment("prod", {}).ok());
    drover::v1::VmType type;
    type.set_template_("tpl-web");
    auto* service = type.add_services();
    service->set_name("nginx");
    service->set_systemd_unit("nginx");
    service->add_owners("nginx@example.net");
    type.add_owners("web@example.net");
    ASSERT_TRUE(inventory_->AddType("web", type).ok());
    Vm vm;
    vm.set_name("vms/web-1");
    vm.set_uid("uid-1");
    vm.set_environment("environments/prod");
    vm.set_type("types/web");
    vm.mutable_network()->set_ip("10.0.0.1");
    vm.set_agent_state(drover::v1::AGENT_STATE_ENROLLING);
    ASSERT_TRUE(inventory_->AddVm(vm).ok());
    ASSERT_TRUE(
        files_.store()
            .Write([](StoreWriter& writer) {
              return writer.Put(Table::kAgents, {"uid-1", "", AgentRecord().SerializeAsString()});
            })
            .ok());
  }

  absl::Time Now() { return files_.clock().Now(); }
  std::vector<std::string> Kinds() { return std::exchange(kinds_, {}); }
  std::vector<drover::v1::LogEntry> Log() { return *files_.store().ReadLog(0, 100); }

  testing::TestStore files_;
  RecordingGateway gateway_;
  std::unique_ptr<Inventory> inventory_;
  std::unique_ptr<EventLog> events_;
  std::unique_ptr<CommandTracker> commands_;
  std::unique_ptr<AgentFacts> facts_;
  std::vector<std::string> kinds_;
  drover::v1::Event last_;
};

TEST_F(AgentFactsTest, ContactIsToldWhenItIsNews) {
  drover::agent::v1::Hello hello;
  hello.set_version("0.1.0");
  hello.set_os_version("Debian 12");
  ASSERT_TRUE(facts_->OnConnected("uid-1", hello).ok());
  auto vm = inventory_->GetVm("vms/web-1");
  EXPECT_EQ(vm->agent_state(), drover::v1::AGENT_STATE_CONNECTED);
  EXPECT_EQ(vm->os_version(), "Debian 12");
  facts_->OnDisconnected("uid-1", "silent");
  EXPECT_EQ(inventory_->GetVm("vms/web-1")->agent_state(), drover::v1::AGENT_STATE_CONTACT_LOST);
  ASSERT_TRUE(facts_->OnConnected("uid-1", hello).ok());
  EXPECT_THAT(Kinds(), ElementsAre("agent.connected", "agent.lost", "agent.connected"));
  // After a restart of the controller nobody was lost.
  Restart();
  ASSERT_TRUE(facts_->OnConnected("uid-1", hello).ok());
  EXPECT_THAT(Kinds(), IsEmpty());
  // A copy's visit is no change of the VM while the VM is there.
  gateway_.connected = true;
  facts_->OnQuarantined("uid-1", "seen from 10.0.0.8");
  EXPECT_EQ(inventory_->GetVm("vms/web-1")->agent_state(), drover::v1::AGENT_STATE_CONNECTED);
  EXPECT_THAT(Kinds(), ElementsAre("agent.quarantined"));
  gateway_.connected = false;
  facts_->OnQuarantined("uid-1", "seen from 10.0.0.9");
  EXPECT_EQ(inventory_->GetVm("vms/web-1")->agent_state(), drover::v1::AGENT_STATE_QUARANTINED);
  EXPECT_EQ(ReasonOf(facts_->OnConnected("uid-none", hello)), "VM_NOT_FOUND");
}

TEST_F(AgentFactsTest, EventsAreStoredOnce) {
  ASSERT_TRUE(facts_->OnEvents("uid-1", {Died(1, Now()), GivenUp(2, Now())}).ok());
  ASSERT_TRUE(
      facts_->OnEvents("uid-1", {Died(1, Now()), GivenUp(2, Now()), Recovered(3, Now())}).ok());
  EXPECT_THAT(Kinds(), ElementsAre("service.died", "service.given_up", "service.recovered"));
  Restart();
  ASSERT_TRUE(facts_->OnEvents("uid-1", {Recovered(3, Now())}).ok());
  EXPECT_THAT(Kinds(), IsEmpty());
  EXPECT_THAT(*files_.store().ReadEvents(0, 100), SizeIs(3));
  // A VM whose agent was revoked tells nothing.
  EXPECT_FALSE(facts_->OnEvents("uid-none", {Died(1, Now())}).ok());
}

TEST_F(AgentFactsTest, OutagesAreInThePlatformLogWithTheirTimes) {
  absl::Time died = Now() - absl::Minutes(5);
  ASSERT_TRUE(
      facts_->OnEvents("uid-1", {Died(1, died), Recovered(2, died + absl::Seconds(2))}).ok());
  std::vector<drover::v1::LogEntry> log = Log();
  ASSERT_THAT(log, SizeIs(2));
  EXPECT_EQ(log[0].kind(), drover::v1::LOG_KIND_ERROR);
  EXPECT_EQ(log[0].vm(), "vms/web-1");
  EXPECT_EQ(log[0].vm_type(), "types/web");
  EXPECT_EQ(log[0].environment(), "environments/prod");
  EXPECT_THAT(log[0].detail(), HasSubstr("10.0.0.1"));
  EXPECT_THAT(log[0].detail(), HasSubstr("2025-12-31T23:55:00Z"));
  EXPECT_EQ(log[1].result(), "OK");
  EXPECT_THAT(log[1].detail(), HasSubstr("2025-12-31T23:55:02Z"));
  EXPECT_THAT(log[1].detail(), HasSubstr("2025-12-31T23:55:00Z"));
  // The event is of the time it happened; a clock that is ahead is not believed.
  EXPECT_EQ(FromProto(last_.time()), died + absl::Seconds(2));
  ASSERT_TRUE(facts_->OnEvents("uid-1", {Died(3, Now() + absl::Hours(5))}).ok());
  EXPECT_EQ(FromProto(last_.time()), Now());
}

TEST_F(AgentFactsTest, AgentsLearnOfChangedServicesAtOnce) {
  auto before = facts_->DesiredStateOf("uid-1");
  ASSERT_TRUE(before.ok());
  ASSERT_EQ(before->services_size(), 1);
  EXPECT_THAT(before->services(0).owners(), IsEmpty());
  drover::v1::VmType type;
  type.set_name("types/web");
  type.set_description("x");
  ASSERT_TRUE(inventory_->UpdateType(type, {}).ok());
  EXPECT_THAT(gateway_.changed, IsEmpty());
  auto* service = type.add_services();
  service->set_name("php");
  service->set_systemd_unit("php");
  ASSERT_TRUE(inventory_->UpdateType(type, {}).ok());
  EXPECT_THAT(gateway_.changed, ElementsAre("uid-1"));
  EXPECT_GT(facts_->DesiredStateOf("uid-1")->generation(), before->generation());
}

TEST_F(AgentFactsTest, AgentsLearnWhomToTellOnlyWhereThatIsSetUp) {
  EXPECT_FALSE(facts_->DesiredStateOf("uid-1")->has_mail_fallback());
  facts_->SetMailRelay(
      {"10.0.0.5:25", "drover@example.net", absl::Minutes(15), [](absl::string_view address) {
         return std::string(address == "web@example.net" ? "zh-CN" : "en");
       }});
  const auto fallback = facts_->DesiredStateOf("uid-1")->mail_fallback();
  EXPECT_EQ(fallback.relay(), "10.0.0.5:25");
  EXPECT_EQ(fallback.after_seconds(), 900);
  EXPECT_EQ(fallback.vm(), "vms/web-1");
  ASSERT_EQ(fallback.owners_size(), 1);
  ASSERT_EQ(fallback.owners(0).recipients_size(), 2);
  EXPECT_EQ(fallback.owners(0).recipients(1).address(), "web@example.net");
  EXPECT_EQ(fallback.owners(0).recipients(1).language(), "zh-CN");
}

TEST_F(AgentFactsTest, StateAndSamplesAreInTheModel) {
  drover::agent::v1::StateReport state;
  state.add_services()->set_name("nginx");
  state.mutable_services(0)->set_state(drover::v1::ServiceStatus::STATE_GIVEN_UP);
  facts_->OnState("uid-1", state);
  drover::agent::v1::Samples samples;
  samples.add_samples()->set_cpu_percent(1);
  samples.add_samples()->set_cpu_percent(42);
  facts_->OnSamples("uid-1", samples);
  facts_->OnSamples("uid-1", {});
  facts_->OnState("uid-none", state);
  auto vm = inventory_->GetVm("vms/web-1");
  EXPECT_EQ(vm->cpu_percent(), 42);
  ASSERT_EQ(vm->services_size(), 1);
  EXPECT_EQ(inventory_->DescribeEnvironment("environments/prod")->health(),
            drover::v1::Environment::HEALTH_DEGRADED);
}

TEST_F(AgentFactsTest, NothingIsLeftOfAVmThatIsGone) {
  Command command;
  command.set_id("c1");
  *command.mutable_expire_time() = ToProto(Now() + absl::Minutes(1));
  ASSERT_TRUE(commands_->Order("uid-1", command, "").ok());
  auto count = [this](Table table) {
    size_t found = 0;
    EXPECT_TRUE(files_.store()
                    .Read([&](StoreReader& reader) {
                      found = reader.List(table, {})->size();
                      return absl::OkStatus();
                    })
                    .ok());
    return found;
  };
  Restart();
  EXPECT_EQ(count(Table::kCommands), 1);
  ASSERT_TRUE(inventory_->RemoveVm("vms/web-1").ok());
  Restart();
  EXPECT_EQ(count(Table::kCommands), 0);
}

// ---------------------------------------------------------------- commands

class CommandTrackerTest : public AgentFactsTest {
 protected:
  Command NewCommand(const std::string& id) {
    Command command;
    command.set_id(id);
    *command.mutable_expire_time() = ToProto(Now() + absl::Minutes(10));
    command.mutable_control_service()->add_services("nginx");
    return command;
  }
  absl::Status Update(const std::string& id, CommandUpdate::State state,
                      const std::string& output = "", int64_t offset = 0) {
    CommandUpdate update;
    update.set_command_id(id);
    update.set_state(state);
    update.set_output(output);
    update.set_output_offset(offset);
    return facts_->OnCommandUpdate("uid-1", update);
  }
  absl::StatusOr<CommandUpdate> Wait(const std::string& id) {
    return commands_->Wait(id, std::stop_token(), [](const CommandUpdate&) {});
  }
};

TEST_F(CommandTrackerTest, ResultsComeBackWithTheirOutput) {
  gateway_.connected = true;
  ASSERT_TRUE(commands_->Order("uid-1", NewCommand("c1"), "operations/a").ok());
  ASSERT_THAT(gateway_.sent, SizeIs(1));
  // The same order again is the same command.
  ASSERT_TRUE(commands_->Order("uid-1", NewCommand("c1"), "operations/a").ok());
  EXPECT_THAT(gateway_.sent, SizeIs(1));
  ASSERT_TRUE(Update("c1", CommandUpdate::STATE_RUNNING, "one ").ok());
  ASSERT_TRUE(Update("c1", CommandUpdate::STATE_SUCCEEDED, "two", 4).ok());
  auto ended = Wait("c1");
  ASSERT_TRUE(ended.ok()) << ended.status();
  EXPECT_EQ(ended->state(), CommandUpdate::STATE_SUCCEEDED);
  EXPECT_EQ(ended->output(), "one two");
  // The first end counts, and it survives a restart.
  ASSERT_TRUE(Update("c1", CommandUpdate::STATE_FAILED).ok());
  Restart();
  EXPECT_EQ(Wait("c1")->state(), CommandUpdate::STATE_SUCCEEDED);
  ASSERT_TRUE(commands_->Forget("c1").ok());
  EXPECT_EQ(Wait("c1").status().code(), absl::StatusCode::kNotFound);
  EXPECT_TRUE(Update("c1", CommandUpdate::STATE_SUCCEEDED).ok());
}

TEST_F(CommandTrackerTest, AnAgentThatWasAwayGetsItLater) {
  ASSERT_TRUE(commands_->Order("uid-1", NewCommand("c1"), "").ok());
  EXPECT_THAT(gateway_.sent, IsEmpty());
  gateway_.connected = true;
  ASSERT_TRUE(facts_->OnConnected("uid-1", {}).ok());
  EXPECT_THAT(gateway_.sent, SizeIs(1));
  // Not answered: sent again when it comes back, also after a restart; the agent knows the id.
  Restart();
  ASSERT_TRUE(facts_->OnConnected("uid-1", {}).ok());
  EXPECT_THAT(gateway_.sent, SizeIs(2));
  ASSERT_TRUE(Update("c1", CommandUpdate::STATE_SUCCEEDED).ok());
  ASSERT_TRUE(facts_->OnConnected("uid-1", {}).ok());
  EXPECT_THAT(gateway_.sent, SizeIs(2));
}

TEST_F(CommandTrackerTest, WhatNobodyCameForExpires) {
  ASSERT_TRUE(commands_->Order("uid-1", NewCommand("c1"), "").ok());
  files_.clock().Advance(absl::Minutes(10));
  auto ended = Wait("c1");
  ASSERT_TRUE(ended.ok()) << ended.status();
  EXPECT_EQ(ended->state(), CommandUpdate::STATE_EXPIRED);
  gateway_.connected = true;
  ASSERT_TRUE(facts_->OnConnected("uid-1", {}).ok());
  EXPECT_THAT(gateway_.sent, IsEmpty());
}

TEST_F(CommandTrackerTest, WhatWasTakenAndNotAnsweredIsContactLost) {
  gateway_.connected = true;
  ASSERT_TRUE(commands_->Order("uid-1", NewCommand("c1"), "").ok());
  files_.clock().Advance(absl::Minutes(22));
  EXPECT_EQ(ReasonOf(Wait("c1").status()), "CONTACT_LOST");
}

TEST_F(CommandTrackerTest, ARestartKnowsWhatWasHandedOver) {
  ASSERT_TRUE(commands_->Order("uid-1", NewCommand("c1"), "").ok());
  ASSERT_TRUE(commands_->Order("uid-1", NewCommand("c2"), "").ok());
  gateway_.connected = true;
  ASSERT_TRUE(commands_->Order("uid-1", NewCommand("c3"), "").ok());
  CommandTracker later(&files_.store(), &files_.vault(), &files_.clock());
  ASSERT_TRUE(later.Load().ok());
  EXPECT_FALSE(later.Look("c1")->handed);
  EXPECT_TRUE(later.Look("c3")->handed);
  later.SetGateway(&gateway_);
  later.OnConnected("uid-1");
  CommandTracker last(&files_.store(), &files_.vault(), &files_.clock());
  ASSERT_TRUE(last.Load().ok());
  EXPECT_TRUE(last.Look("c1")->handed);
  EXPECT_TRUE(last.Look("c2")->handed);
  files_.clock().Advance(absl::Minutes(22));
  EXPECT_EQ(ReasonOf(last.Look("c1").status()), "CONTACT_LOST");
}

TEST_F(CommandTrackerTest, WhatTheStreamDidNotTakeCanStillExpire) {
  gateway_.connected = true;
  gateway_.breaks = true;
  ASSERT_TRUE(commands_->Order("uid-1", NewCommand("c1"), "").ok());
  EXPECT_FALSE(commands_->Look("c1")->handed);
  files_.clock().Advance(absl::Minutes(10));
  EXPECT_EQ(commands_->Look("c1")->update.state(), CommandUpdate::STATE_EXPIRED);
}

TEST_F(CommandTrackerTest, CancelIsAtOnceBeforeAndAnOrderAfterHandingOver) {
  ASSERT_TRUE(commands_->Order("uid-1", NewCommand("c1"), "").ok());
  ASSERT_TRUE(commands_->Cancel("c1").ok());
  EXPECT_EQ(Wait("c1")->state(), CommandUpdate::STATE_CANCELLED);
  gateway_.connected = true;
  ASSERT_TRUE(facts_->OnConnected("uid-1", {}).ok());
  EXPECT_THAT(gateway_.sent, IsEmpty());
  ASSERT_TRUE(commands_->Order("uid-1", NewCommand("c2"), "").ok());
  ASSERT_TRUE(commands_->Cancel("c2").ok());
  EXPECT_THAT(gateway_.cancelled, ElementsAre("c2"));
  std::stop_source stop;
  std::thread waiter([&] {
    EXPECT_EQ(commands_->Wait("c2", stop.get_token(), [](const CommandUpdate&) {}).status().code(),
              absl::StatusCode::kCancelled);
  });
  stop.request_stop();
  waiter.join();
}

TEST_F(CommandTrackerTest, SecretsOfCommandsAreSealed) {
  Command command = NewCommand("c1");
  command.mutable_set_password()->set_password("new-password-9");
  ASSERT_TRUE(commands_->Order("uid-1", command, "").ok());
  EXPECT_EQ(testing::FilesContaining(files_.directory(), "new-password-9"), "");
  gateway_.connected = true;
  ASSERT_TRUE(facts_->OnConnected("uid-1", {}).ok());
  ASSERT_THAT(gateway_.sent, SizeIs(1));
  EXPECT_EQ(gateway_.sent[0].set_password().password(), "new-password-9");
}

}  // namespace
}  // namespace drover::core
