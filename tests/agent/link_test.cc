// The whole agent against a controller that is real gRPC with real TLS.
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <memory>
#include <string>

#include "absl/strings/str_cat.h"
#include "agent/agent.h"
#include "agent/durable_file.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "proto/support/status.h"
#include "tests/agent/fake_controller.h"
#include "tests/agent/test_loop.h"
#include "tests/testing/temp_dir.h"

namespace drover::agent {
namespace {

using ::testing::ElementsAre;

class LinkTest : public ::testing::Test {
 protected:
  LinkTest() {
    config_.controller = controller_.address();
    config_.authority = dir_.path() + "/authority.pem";
    config_.token_file = dir_.path() + "/token";
    config_.state_directory = dir_.path() + "/state";
    config_.bios_uuid = "4210AAAA-0000";
    EXPECT_TRUE(WriteWholeFile(config_.authority, controller_.authority_pem()).ok());
  }

  void GiveToken(const std::string& token) {
    controller_.AddToken(token);
    ASSERT_TRUE(WriteWholeFile(config_.token_file, token + "\n").ok());
  }

  void Start() {
    auto agent = Agent::Make(&loop_.loop, config_);
    ASSERT_TRUE(agent.ok()) << agent.status();
    agent_ = *std::move(agent);
  }

  void Enrolled() {
    GiveToken("t1");
    Start();
    Until([&] { return agent_->link().established() && controller_.heard().hellos.size() == 1; });
  }

  void Until(const std::function<bool()>& condition) {
    loop_.UntilAdvancing(absl::Milliseconds(10), condition);
  }

  // The last update of a command that ended.
  std::optional<v1::CommandUpdate> Result(const std::string& id) {
    std::optional<v1::CommandUpdate> result;
    for (const v1::CommandUpdate& update : controller_.heard().updates) {
      if (update.command_id() == id && update.state() >= v1::CommandUpdate::STATE_SUCCEEDED) {
        result = update;
      }
    }
    return result;
  }

  int Results(const std::string& id) {
    int count = 0;
    for (const v1::CommandUpdate& update : controller_.heard().updates) {
      count += update.command_id() == id && update.state() >= v1::CommandUpdate::STATE_SUCCEEDED;
    }
    return count;
  }

  v1::CommandUpdate Do(const v1::Command& command) {
    v1::ControllerMessage message;
    *message.mutable_command() = command;
    controller_.Send(message);
    Until([&] { return Result(command.id()).has_value(); });
    return *Result(command.id());
  }

  testing::TempDir dir_;
  FakeController controller_;
  TestLoop loop_;
  Config config_;
  std::unique_ptr<Agent> agent_;
};

v1::Command Nop(const std::string& id) {
  v1::Command command;
  command.set_id(id);
  command.mutable_nop();
  return command;
}

TEST_F(LinkTest, EnrolsOnceAndComesBackWithItsCertificate) {
  Enrolled();
  auto heard = controller_.heard();
  ASSERT_EQ(heard.enrolments.size(), 1u);
  EXPECT_EQ(heard.enrolments[0].token(), "t1");
  EXPECT_FALSE(heard.enrolments[0].identity().machine_fingerprint().empty());
  EXPECT_NE(access(config_.token_file.c_str(), F_OK), 0);
  struct stat info;
  ASSERT_EQ(stat((config_.state_directory + "/identity.pem").c_str(), &info), 0);
  EXPECT_EQ(info.st_mode & 0777, 0600u);
  const v1::Hello first = heard.hellos[0];
  EXPECT_EQ(first.capability_level(), ControllerLink::kCapabilityLevel);
  EXPECT_EQ(first.incarnation(), 1);

  agent_.reset();
  Start();
  Until([&] { return controller_.heard().hellos.size() == 2; });
  heard = controller_.heard();
  EXPECT_EQ(heard.enrolments.size(), 1u);
  EXPECT_EQ(heard.hellos[1].incarnation(), 2);
  EXPECT_EQ(heard.hellos[1].identity().instance_id(), first.identity().instance_id());
}

TEST_F(LinkTest, ARefusedTokenIsTriedAgainWithTheSameKey) {
  ASSERT_TRUE(WriteWholeFile(config_.token_file, "late").ok());
  Start();
  Until([&] { return controller_.heard().enrolments.size() >= 2; });
  EXPECT_EQ(access(config_.token_file.c_str(), F_OK), 0);
  controller_.AddToken("late");
  Until([&] { return agent_->link().established(); });
  const auto heard = controller_.heard();
  EXPECT_NE(access(config_.token_file.c_str(), F_OK), 0);
  EXPECT_NE(access((config_.state_directory + "/enrolment-key.pem").c_str(), F_OK), 0);
}

TEST_F(LinkTest, AnotherAuthorityIsNotBelieved) {
  FakeController stranger;
  controller_.Set({});
  ASSERT_TRUE(WriteWholeFile(config_.authority, stranger.authority_pem()).ok());
  GiveToken("secret");
  Start();
  // Long enough for several tries.
  loop_.UntilAdvancing(absl::Milliseconds(50), [&, end = loop_.clock.Uptime() + absl::Seconds(15)] {
    return loop_.clock.Uptime() > end;
  });
  EXPECT_TRUE(controller_.heard().enrolments.empty());
  EXPECT_EQ(access(config_.token_file.c_str(), F_OK), 0);
}

TEST_F(LinkTest, EventsAreSentAgainUntilAcknowledged) {
  controller_.Set({.acknowledge_events = false});
  Enrolled();
  Until([&] { return controller_.heard().events.size() == 1; });
  EXPECT_EQ(controller_.heard().events[0].sequence(), 1);
  EXPECT_EQ(controller_.heard().events[0].agent_started().reason(), "boot");
  controller_.Restart();
  Until([&] { return controller_.heard().events.size() == 2; });
  EXPECT_EQ(controller_.heard().events[1].sequence(), 1);
  EXPECT_EQ(controller_.heard().hellos.back().first_unacknowledged_event(), 1);
  controller_.Set({});
  controller_.Restart();
  Until([&] { return agent_->outbox().size() == 0; });
  controller_.Restart();
  Until([&] { return controller_.heard().hellos.size() == 4; });
  EXPECT_EQ(controller_.heard().hellos.back().first_unacknowledged_event(), 0);
  EXPECT_EQ(controller_.heard().events.size(), 3u);
}

TEST_F(LinkTest, ADiskPutBackNumbersOnBehindWhatTheControllerHas) {
  controller_.Set({.acknowledge_events = false, .last_event = 70});
  Enrolled();
  Until([&] { return !controller_.heard().events.empty(); });
  EXPECT_EQ(controller_.heard().events[0].sequence(), 71);
}

TEST_F(LinkTest, ACommandSentTwiceIsCarriedOutOnce) {
  controller_.Set({.acknowledge_commands = false});
  Enrolled();
  const v1::CommandUpdate first = Do(Nop("c1"));
  EXPECT_EQ(first.state(), v1::CommandUpdate::STATE_SUCCEEDED);
  v1::ControllerMessage message;
  *message.mutable_command() = Nop("c1");
  controller_.Send(message);
  Until([&] { return Results("c1") == 2; });
  EXPECT_EQ(Result("c1")->time().seconds(), first.time().seconds());
  EXPECT_EQ(Result("c1")->time().nanos(), first.time().nanos());

  // The result outlives the agent, and is told again by itself.
  agent_.reset();
  Start();
  Until([&] { return Results("c1") == 3; });
  EXPECT_EQ(Result("c1")->time().nanos(), first.time().nanos());
  v1::ControllerMessage acknowledged;
  acknowledged.set_command_acknowledged("c1");
  controller_.Send(acknowledged);
  EXPECT_EQ(Do(Nop("c2")).state(), v1::CommandUpdate::STATE_SUCCEEDED);
  agent_.reset();
  Start();
  Until([&] { return Results("c2") == 2; });
  EXPECT_EQ(Results("c1"), 3);
}

TEST_F(LinkTest, OrdersEndInANamedState) {
  Enrolled();
  struct Row {
    const char* id;
    std::function<void(v1::Command&)> fill;
    v1::CommandUpdate::State state;
    const char* reason;
  };
  const Row rows[] = {
      {"unknown", [](v1::Command&) {}, v1::CommandUpdate::STATE_FAILED, "UNKNOWN_ORDER"},
      {"no-service", [](v1::Command& c) { c.mutable_get_service_output()->set_service("x"); },
       v1::CommandUpdate::STATE_FAILED, "SERVICE_NOT_FOUND"},
      {"no-such-control",
       [](v1::Command& c) {
         c.mutable_control_service()->add_services("x");
         c.mutable_control_service()->set_action(v1::ControlService::ACTION_START);
       },
       v1::CommandUpdate::STATE_FAILED, "SERVICE_NOT_FOUND"},
      {"late",
       [](v1::Command& c) {
         c.mutable_nop();
         c.mutable_expire_time()->set_seconds(1000);
       },
       v1::CommandUpdate::STATE_EXPIRED, ""},
      {"two-lines", [](v1::Command& c) { c.mutable_set_password()->set_password("a\nroot:b"); },
       v1::CommandUpdate::STATE_FAILED, ""},
      {"two-fields",
       [](v1::Command& c) {
         c.mutable_set_password()->set_account("x:y");
         c.mutable_set_password()->set_password("a");
       },
       v1::CommandUpdate::STATE_FAILED, ""},
      {"no-account",
       [](v1::Command& c) {
         c.mutable_set_password()->set_account("nobody-of-that-name");
         c.mutable_set_password()->set_password("Canary-4711");
       },
       v1::CommandUpdate::STATE_FAILED, "PASSWORD_REFUSED"},
  };
  for (const Row& row : rows) {
    SCOPED_TRACE(row.id);
    v1::Command command;
    command.set_id(row.id);
    row.fill(command);
    const v1::CommandUpdate result = Do(command);
    EXPECT_EQ(result.state(), row.state) << result.ShortDebugString();
    EXPECT_EQ(ReasonOf(FromRpcStatus(result.error())), row.reason);
    EXPECT_THAT(result.ShortDebugString(), ::testing::Not(::testing::HasSubstr("Canary-4711")));
  }
}

TEST_F(LinkTest, SilenceEndsTheStreamAndItComesBack) {
  constexpr absl::Duration kInterval = absl::Seconds(100);
  controller_.Set({.heartbeat_seconds = 100});
  Enrolled();
  int beats = 0;
  auto next_beat = [&] {
    loop_.clock.Advance(kInterval);
    loop_.Until([&] { return controller_.heard().heartbeats > beats; });
    ++beats;
  };
  for (int i = 0; i < 6; ++i) next_beat();
  EXPECT_EQ(controller_.heard().hellos.size(), 1u);
  controller_.Set({.heartbeat_seconds = 100, .answer_heartbeats = false});
  for (int i = 0; i < 2; ++i) next_beat();
  EXPECT_TRUE(agent_->link().established());
  loop_.clock.Advance(2 * kInterval);
  loop_.Until([&] { return !agent_->link().established(); });
  Until([&] { return agent_->link().established() && controller_.heard().hellos.size() == 2; });
}

TEST_F(LinkTest, DesiredStateIsAppliedKeptAndReported) {
  Enrolled();
  v1::ControllerMessage message;
  message.mutable_desired_state()->set_generation(7);
  auto* spec = message.mutable_desired_state()->add_services();
  spec->set_name("never");
  spec->set_exe(dir_.path() + "/no-such-program");
  controller_.Send(message);
  Until([&] { return !controller_.heard().applied.empty(); });
  EXPECT_THAT(controller_.heard().applied, ElementsAre(7));
  Until([&] {
    const auto states = controller_.heard().states;
    return !states.empty() && states.back().services_size() == 1 &&
           states.back().services(0).state() == drover::v1::ServiceStatus::STATE_GIVEN_UP;
  });
  agent_.reset();
  controller_.Stop();
  Start();
  EXPECT_EQ(agent_->supervisor().generation(), 7);
}

TEST_F(LinkTest, SamplesArriveAtTheIntervalAsked) {
  controller_.Set({.sample_seconds = 2});
  Enrolled();
  Until([&] { return controller_.heard().samples.size() >= 3; });
  const auto samples = controller_.heard().samples;
  EXPECT_GT(samples.back().memory_total_mb(), 0);
  EXPECT_GT(samples.back().disk_total_mb(), 0);
  EXPECT_EQ(samples[2].time().seconds() - samples[1].time().seconds(), 2);
}

TEST_F(LinkTest, ACopiedDiskWithATokenBecomesItsOwnMachine) {
  Enrolled();
  const v1::Hello original = controller_.heard().hellos[0];
  agent_.reset();
  // What a copy of the disk in another machine reads: a record of somebody else.
  v1::StoredIdentity stored;
  ASSERT_TRUE(ReadMessage(config_.state_directory + "/identity.state", stored).ok());
  stored.set_machine_fingerprint("of the original");
  ASSERT_TRUE(WriteMessage(config_.state_directory + "/identity.state", stored).ok());
  GiveToken("t2");
  Start();
  Until([&] { return controller_.heard().hellos.size() == 2; });
  const auto heard = controller_.heard();
  EXPECT_EQ(heard.enrolments.size(), 2u);
  EXPECT_NE(heard.enrolments[0].certificate_request(), heard.enrolments[1].certificate_request());
  EXPECT_NE(heard.hellos[1].identity().instance_id(), original.identity().instance_id());
  EXPECT_EQ(heard.hellos[1].incarnation(), 1);
}

TEST_F(LinkTest, EnrolledAsAnotherVmItBeginsAnew) {
  Enrolled();
  agent_.reset();
  GiveToken("t2");
  Start();
  Until([&] { return agent_->must_begin_anew(); });
  agent_.reset();
  Start();
  Until([&] { return agent_->link().established(); });
  EXPECT_FALSE(agent_->must_begin_anew());
}

}  // namespace
}  // namespace drover::agent
