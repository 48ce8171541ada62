// Supervision of real programs: copies of /bin/sleep, so that each service has an executable of its
// own.
#include <signal.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <memory>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "agent/child_process.h"
#include "agent/process_watch.h"
#include "agent/supervisor.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "proto/support/status.h"
#include "proto/support/time.h"
#include "tests/agent/test_loop.h"
#include "tests/testing/temp_dir.h"

namespace drover::agent {
namespace {

using drover::v1::ServiceSpec;
using drover::v1::ServiceStatus;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

class SupervisorTest : public ::testing::Test {
 protected:
  SupervisorTest() {
    program_ = dir_.File("service");
    testing::WriteFile(program_, testing::ReadFile("/bin/sleep"));
    EXPECT_EQ(chmod(program_.c_str(), 0755), 0);
    Restart("boot-1");
  }
  ~SupervisorTest() override {
    supervisor_.reset();
    EndAllWith(dir_.path());
  }

  // An agent that was not there for a moment, or a machine that booted.
  void Restart(const std::string& boot_id) {
    supervisor_.reset();
    supervisor_ = std::make_unique<Supervisor>(
        &loop_.loop, Supervisor::Options{dir_.path(), boot_id},
        Supervisor::Listener{[this](v1::AgentEvent event) { events_.push_back(std::move(event)); },
                             [this] { ++changes_; }});
  }

  // In the foreground: the start command becomes the service.
  ServiceSpec Foreground() {
    ServiceSpec spec;
    spec.set_name("web");
    spec.set_exe(program_);
    spec.set_start_command(absl::StrCat("exec ", program_, " 1000"));
    return spec;
  }

  void Apply(const std::vector<ServiceSpec>& specs) {
    v1::DesiredState desired;
    desired.set_generation(++generation_);
    for (const ServiceSpec& spec : specs) *desired.add_services() = spec;
    ASSERT_TRUE(supervisor_->Apply(desired).ok());
  }

  ServiceStatus Status() { return supervisor_->Statuses().at(0); }
  bool Is(ServiceStatus::State state) { return Status().state() == state; }
  void UntilRunning() {
    loop_.UntilAdvancing(absl::Milliseconds(5), [&] { return Is(ServiceStatus::STATE_RUNNING); });
  }
  // At once: without so much as the shortest delay passing.
  void UntilSuccessorOf(pid_t before) {
    const absl::Duration from = loop_.clock.Uptime();
    loop_.UntilAdvancing(absl::Microseconds(100), [&] {
      return Is(ServiceStatus::STATE_RUNNING) && Status().pid() != before;
    });
    EXPECT_LT(loop_.clock.Uptime() - from, absl::Seconds(1));
  }

  absl::Status Order(v1::ControlService::Action action) {
    v1::ControlService order;
    order.add_services("web");
    order.set_action(action);
    bool ended = false;
    absl::Status outcome;
    supervisor_->Control(order, [&](absl::Status status) {
      ended = true;
      outcome = status;
    });
    loop_.UntilAdvancing(absl::Milliseconds(10), [&] { return ended; });
    loop_.loop.RunOnce(absl::ZeroDuration());
    return outcome;
  }

  std::vector<std::string> Events() const {
    std::vector<std::string> names;
    for (const v1::AgentEvent& event : events_) {
      switch (event.event_case()) {
        case v1::AgentEvent::kServiceDied:
          names.push_back(absl::StrCat("died: ", event.service_died().how()));
          break;
        case v1::AgentEvent::kServiceRecovered:
          names.push_back(absl::StrCat("recovered after ", event.service_recovered().attempts()));
          break;
        case v1::AgentEvent::kServiceGivenUp:
          names.push_back(absl::StrCat("given up after ", event.service_given_up().attempts()));
          break;
        case v1::AgentEvent::kServiceUnhealthy:
          names.push_back("unhealthy");
          break;
        default:
          names.push_back("?");
      }
    }
    return names;
  }

  testing::TempDir dir_;
  std::string program_;
  TestLoop loop_;
  std::vector<v1::AgentEvent> events_;
  int changes_ = 0;
  int64_t generation_ = 0;
  std::unique_ptr<Supervisor> supervisor_;
};

TEST_F(SupervisorTest, WhatEndsWhileTheMachineGoesDownIsNoOutage) {
  Apply({Foreground()});
  UntilRunning();
  supervisor_->PrepareShutdown(absl::Seconds(60));
  kill(Status().pid(), SIGTERM);
  loop_.UntilAdvancing(absl::Milliseconds(5), [&] { return !Is(ServiceStatus::STATE_RUNNING); });
  loop_.Pass(absl::Seconds(30));
  EXPECT_FALSE(Is(ServiceStatus::STATE_RUNNING));
  // The machine went down and came up.
  Restart("boot-2");
  UntilRunning();
  loop_.Pass(absl::Seconds(10));
  EXPECT_THAT(Events(), IsEmpty());
}

TEST_F(SupervisorTest, AMachineThatStaysUpAfterAllHasItsOutagesTold) {
  for (const bool in_time : {true, false}) {
    Apply({Foreground()});
    UntilRunning();
    const pid_t before = Status().pid();
    supervisor_->PrepareShutdown(absl::Seconds(60));
    kill(before, SIGTERM);
    loop_.UntilAdvancing(absl::Milliseconds(5), [&] { return !Is(ServiceStatus::STATE_RUNNING); });
    EXPECT_THAT(Events(), IsEmpty());
    if (in_time) {
      supervisor_->PrepareShutdown(absl::ZeroDuration());
    } else {
      loop_.Pass(absl::Seconds(61));
    }
    loop_.UntilAdvancing(absl::Milliseconds(5), [&] { return events_.size() == 2; });
    EXPECT_THAT(Events(), ElementsAre(HasSubstr("died: "), HasSubstr("recovered after ")))
        << in_time;
    EXPECT_NE(Status().pid(), before);
    events_.clear();
  }
}

TEST_F(SupervisorTest, StartsWhatIsNotThereWithoutAnOutage) {
  Apply({Foreground()});
  UntilRunning();
  loop_.Pass(absl::Seconds(10));
  EXPECT_THAT(Events(), IsEmpty());
  EXPECT_EQ(Status().restarts(), 0);
  EXPECT_GT(changes_, 0);
}

TEST_F(SupervisorTest, AKilledServiceHasASuccessorAtOnce) {
  Apply({Foreground()});
  UntilRunning();
  const pid_t first = Status().pid();
  kill(first, SIGKILL);
  UntilSuccessorOf(first);
  EXPECT_EQ(Status().restarts(), 1);
  EXPECT_THAT(Events(), ElementsAre("died: signal 9"));
  loop_.Pass(absl::Seconds(4));
  EXPECT_THAT(Events(), ElementsAre("died: signal 9", "recovered after 1"));
  EXPECT_EQ(events_[1].service_recovered().pid(), Status().pid());
  EXPECT_EQ(events_[1].service_recovered().died_at().seconds(), events_[0].time().seconds());
}

TEST_F(SupervisorTest, ADaemonThatForksAndExitsIsOneService) {
  ServiceSpec spec = Foreground();
  spec.set_start_command(absl::StrCat("setsid ", program_, " 1000 >/dev/null 2>&1 & exit 0"));
  Apply({spec});
  UntilRunning();
  const pid_t first = Status().pid();
  const auto process = ReadProcess(first);
  ASSERT_TRUE(process);
  loop_.Pass(absl::Seconds(5));
  EXPECT_THAT(Events(), IsEmpty());
  EXPECT_EQ(Status().pid(), first);
  kill(first, SIGKILL);
  UntilSuccessorOf(first);
  EXPECT_THAT(Events(), ElementsAre("died: gone"));
}

TEST_F(SupervisorTest, ADaemonIsRecognisedByItsPidFile) {
  ServiceSpec spec;
  spec.set_name("web");
  spec.set_pid_file(dir_.File("web.pid"));
  spec.set_start_command(
      absl::StrCat("start-stop-daemon --start --background --make-pidfile --pidfile ",
                   spec.pid_file(), " --exec ", program_, " -- 1000"));
  Apply({spec});
  UntilRunning();
  const pid_t first = Status().pid();
  // Its pid is in the file before it becomes the program.
  loop_.Until([&] { return ReadExe(first) == program_; });
  kill(first, SIGKILL);
  UntilSuccessorOf(first);
  loop_.Until([&] { return ReadExe(Status().pid()) == program_; });
}

TEST_F(SupervisorTest, DiesAtOnceForEverIsGivenUpOnce) {
  ServiceSpec spec = Foreground();
  spec.set_attempts(4);
  Apply({spec});
  UntilRunning();
  testing::WriteFile(dir_.File("broken"), "");
  spec.set_start_command("echo cannot bind the port; exit 3");
  const pid_t first = Status().pid();
  Apply({spec});
  ASSERT_EQ(Status().pid(), first);
  kill(first, SIGKILL);
  const absl::Duration died = loop_.clock.Uptime();
  loop_.UntilAdvancing(absl::Milliseconds(20), [&] { return Is(ServiceStatus::STATE_GIVEN_UP); });
  // At once, then after one, two and four seconds.
  EXPECT_GE(loop_.clock.Uptime() - died, absl::Seconds(7));
  loop_.Pass(absl::Minutes(10));
  EXPECT_THAT(Events(), ElementsAre("died: gone", "given up after 4"));
  EXPECT_THAT(events_[1].service_given_up().last_output(),
              HasSubstr("cannot bind the port\nstart command ended with exit code 3"));
  EXPECT_EQ(events_[1].service_given_up().died_at().seconds(), events_[0].time().seconds());
  EXPECT_THAT(Status().last_output(), HasSubstr("cannot bind the port"));
  EXPECT_THAT(*supervisor_->Output("web"), HasSubstr("cannot bind the port"));
  // Also for an agent that comes anew.
  Restart("boot-1");
  loop_.Pass(absl::Minutes(1));
  EXPECT_TRUE(Is(ServiceStatus::STATE_GIVEN_UP));
  EXPECT_EQ(Events().size(), 2u);
}

TEST_F(SupervisorTest, AServiceThatStartsAndDiesWithinSecondsIsOneOutage) {
  ServiceSpec spec = Foreground();
  spec.set_start_command(absl::StrCat("exec ", program_, " 1000"));
  spec.set_attempts(3);
  Apply({spec});
  UntilRunning();
  for (int death = 1; death <= 4; ++death) {
    const pid_t pid = Status().pid();
    kill(pid, SIGKILL);
    loop_.UntilAdvancing(absl::Milliseconds(5), [&] {
      return Is(ServiceStatus::STATE_GIVEN_UP) || (Status().pid() != 0 && Status().pid() != pid);
    });
    if (Is(ServiceStatus::STATE_GIVEN_UP)) break;
  }
  EXPECT_THAT(Events(), ElementsAre("died: signal 9", "given up after 3"));
}

TEST_F(SupervisorTest, AttemptsAreForgottenAfterAMinute) {
  ServiceSpec spec = Foreground();
  spec.set_attempts(1);
  Apply({spec});
  UntilRunning();
  for (int death = 0; death < 3; ++death) {
    loop_.Pass(absl::Seconds(61));
    const pid_t pid = Status().pid();
    kill(pid, SIGKILL);
    UntilSuccessorOf(pid);
  }
  loop_.Pass(absl::Seconds(5));
  EXPECT_THAT(Events(), ElementsAre("died: signal 9", "recovered after 1", "died: signal 9",
                                    "recovered after 1", "died: signal 9", "recovered after 1"));
}

TEST_F(SupervisorTest, AStopOnOrderIsNoOutage) {
  Apply({Foreground()});
  UntilRunning();
  const pid_t pid = Status().pid();
  EXPECT_TRUE(Order(v1::ControlService::ACTION_STOP).ok());
  EXPECT_TRUE(Is(ServiceStatus::STATE_STOPPED));
  EXPECT_EQ(CountWith(program_), 0);
  EXPECT_FALSE(ReadProcess(pid) && !ReadProcess(pid)->dead());
  loop_.Pass(absl::Minutes(2));
  EXPECT_TRUE(Is(ServiceStatus::STATE_STOPPED));
  for (const char* boot : {"boot-1", "boot-2"}) {
    Restart(boot);
    loop_.Pass(absl::Minutes(1));
    EXPECT_TRUE(Is(ServiceStatus::STATE_STOPPED)) << boot;
  }
  EXPECT_TRUE(Order(v1::ControlService::ACTION_STOP).ok());
  EXPECT_TRUE(Order(v1::ControlService::ACTION_START).ok());
  EXPECT_TRUE(Is(ServiceStatus::STATE_RUNNING));
  EXPECT_THAT(Events(), IsEmpty());
  // From here on its end is an outage again.
  kill(Status().pid(), SIGKILL);
  loop_.Until([&] { return !events_.empty(); });
}

TEST_F(SupervisorTest, ARestartOnOrderIsNoOutage) {
  Apply({Foreground()});
  UntilRunning();
  const pid_t pid = Status().pid();
  EXPECT_TRUE(Order(v1::ControlService::ACTION_RESTART).ok());
  EXPECT_NE(Status().pid(), pid);
  EXPECT_EQ(Status().restarts(), 0);
  loop_.Pass(absl::Seconds(10));
  EXPECT_THAT(Events(), IsEmpty());
}

TEST_F(SupervisorTest, AStopThatFailsSaysSoAndSupervisionGoesOn) {
  ServiceSpec spec = Foreground();
  spec.set_stop_command("echo no permission; exit 4");
  Apply({spec});
  UntilRunning();
  const absl::Status outcome = Order(v1::ControlService::ACTION_STOP);
  EXPECT_EQ(ReasonOf(outcome), "SERVICE_NOT_STOPPED");
  EXPECT_THAT(std::string(outcome.message()), HasSubstr("exit code 4"));
  EXPECT_THAT(std::string(outcome.message()), HasSubstr("no permission"));
  EXPECT_TRUE(Is(ServiceStatus::STATE_RUNNING));
  const pid_t pid = Status().pid();
  kill(pid, SIGKILL);
  UntilSuccessorOf(pid);
}

TEST_F(SupervisorTest, AServiceThatIgnoresSigtermIsKilled) {
  ServiceSpec spec = Foreground();
  spec.set_exe("");
  spec.set_command_line(absl::StrCat("^/bin/sh ", dir_.File("stubborn"), "$"));
  testing::WriteFile(dir_.File("stubborn"), "trap '' TERM\nwhile :; do sleep 1000; done\n");
  spec.set_start_command(absl::StrCat("exec /bin/sh ", dir_.File("stubborn")));
  Apply({spec});
  UntilRunning();
  EXPECT_TRUE(Order(v1::ControlService::ACTION_STOP).ok());
  EXPECT_TRUE(Is(ServiceStatus::STATE_STOPPED));
}

TEST_F(SupervisorTest, AStartOnOrderThatFailsTellsTheOutput) {
  ServiceSpec spec = Foreground();
  spec.set_attempts(1);
  spec.set_start_command("echo port in use >&2; exit 9");
  Apply({spec});
  loop_.UntilAdvancing(absl::Milliseconds(10), [&] { return Is(ServiceStatus::STATE_GIVEN_UP); });
  EXPECT_THAT(Events(), ElementsAre("given up after 1"));
  const absl::Status outcome = Order(v1::ControlService::ACTION_START);
  EXPECT_EQ(ReasonOf(outcome), "SERVICE_NOT_STARTED");
  EXPECT_THAT(std::string(outcome.message()), HasSubstr("port in use"));
}

TEST_F(SupervisorTest, AStartThatHangsIsEndedWithAllItsDescendants) {
  ServiceSpec spec = Foreground();
  spec.set_attempts(1);
  spec.set_start_timeout_seconds(5);
  // A grandchild that left session and parents.
  spec.set_start_command(
      absl::StrCat("setsid sh -c 'sleep 1000; : ", dir_.path(), "' & sleep 1000; : ", dir_.path()));
  Apply({spec});
  loop_.UntilAdvancing(absl::Milliseconds(10), [&] { return Is(ServiceStatus::STATE_GIVEN_UP); });
  EXPECT_EQ(CountWith(dir_.path()), 0);
  EXPECT_THAT(Status().last_output(), HasSubstr("no process that matches 5s after"));
}

TEST_F(SupervisorTest, MegabytesOfOutputKeepTheirEnd) {
  ServiceSpec spec = Foreground();
  spec.set_attempts(1);
  spec.set_start_command("head -c 5000000 /dev/zero | tr '\\0' x; echo the end; exit 1");
  Apply({spec});
  loop_.UntilAdvancing(absl::Milliseconds(5), [&] { return Is(ServiceStatus::STATE_GIVEN_UP); });
  loop_.Pass(absl::Seconds(2));
  EXPECT_THAT(Status().last_output(), HasSubstr("xthe end\nstart command ended"));
  EXPECT_LE(testing::ReadFile(dir_.File("output/web.out")).size(), 2 * OutputFile::kKept);
  EXPECT_LE(supervisor_->Output("web")->size(), OutputFile::kKept);
}

TEST_F(SupervisorTest, AnAgentThatComesAnewLeavesHealthyServicesAlone) {
  Apply({Foreground()});
  UntilRunning();
  const pid_t pid = Status().pid();
  loop_.Pass(absl::Seconds(2));
  Restart("boot-1");
  EXPECT_TRUE(Is(ServiceStatus::STATE_RUNNING));
  EXPECT_EQ(Status().pid(), pid);
  loop_.Pass(absl::Seconds(10));
  EXPECT_THAT(Events(), IsEmpty());
  EXPECT_EQ(CountWith(program_), 1);
}

TEST_F(SupervisorTest, ADeathWhileTheAgentWasAwayIsAnOutageAfterABootItIsNot) {
  ServiceSpec spec = Foreground();
  spec.set_start_command(absl::StrCat("setsid ", program_, " 1000 >/dev/null 2>&1 &"));
  Apply({spec});
  UntilRunning();
  loop_.Pass(absl::Seconds(2));
  supervisor_.reset();
  EndAllWith(program_);
  Restart("boot-1");
  UntilRunning();
  EXPECT_THAT(Events(), ElementsAre("died: gone while the agent was away"));
  loop_.Pass(absl::Seconds(5));
  supervisor_.reset();
  EndAllWith(program_);
  events_.clear();
  Restart("boot-2");
  loop_.Pass(absl::Seconds(5));
  UntilRunning();
  loop_.Pass(absl::Seconds(5));
  EXPECT_THAT(Events(), IsEmpty());
}

TEST_F(SupervisorTest, AServiceStartedByHandIsTakenUpAgain) {
  Apply({Foreground()});
  UntilRunning();
  EXPECT_TRUE(Order(v1::ControlService::ACTION_STOP).ok());
  Program by_hand;
  by_hand.argv = {program_, "1000"};
  auto child = ChildProcess::Start(&loop_.loop, by_hand, [](ExitStatus) {});
  ASSERT_TRUE(child.ok());
  UntilRunning();
  EXPECT_EQ(Status().pid(), (*child)->pid());
}

TEST_F(SupervisorTest, AZombieIsDead) {
  // A child of this test that nobody waits for.
  const pid_t zombie = fork();
  if (zombie == 0) {
    execl(program_.c_str(), program_.c_str(), "1000", nullptr);
    _exit(127);
  }
  loop_.Until([&] { return ReadExe(zombie) == program_; });
  Apply({Foreground()});
  ASSERT_TRUE(Is(ServiceStatus::STATE_RUNNING));
  ASSERT_EQ(Status().pid(), zombie);
  kill(zombie, SIGKILL);
  UntilSuccessorOf(zombie);
  EXPECT_EQ(ReadProcess(zombie)->state, 'Z');
  EXPECT_THAT(Events(), ElementsAre("died: gone"));
  waitpid(zombie, nullptr, 0);
}

TEST_F(SupervisorTest, APidOfSomebodyElseIsNotHeld) {
  const auto self = ReadProcess(getppid());
  ASSERT_TRUE(self);
  EXPECT_NE(HeldProcess::Hold(&loop_.loop, self->pid, self->start_ticks, [] {}), nullptr);
  // The same pid, another life.
  EXPECT_EQ(HeldProcess::Hold(&loop_.loop, self->pid, self->start_ticks + 1, [] {}), nullptr);
}

TEST_F(SupervisorTest, AChangedSpecLeavesTheProcessAndARemovedOneIsNotWatched) {
  Apply({Foreground()});
  UntilRunning();
  const pid_t pid = Status().pid();
  ServiceSpec spec = Foreground();
  spec.set_attempts(9);
  Apply({spec});
  EXPECT_EQ(Status().pid(), pid);
  Apply({});
  EXPECT_THAT(supervisor_->Statuses(), IsEmpty());
  loop_.Pass(absl::Seconds(5));
  EXPECT_EQ(CountWith(program_), 1);
  EXPECT_THAT(Events(), IsEmpty());
}

TEST_F(SupervisorTest, ABadSpecIsToldAndHarmsNobody) {
  ServiceSpec bad;
  bad.set_name("bad");
  bad.set_command_line("(");
  ServiceSpec path = Foreground();
  path.set_name("../../etc/x");
  Apply({Foreground(), bad, path, Foreground()});
  UntilRunning();
  const auto statuses = supervisor_->Statuses();
  EXPECT_EQ(statuses[1].state(), ServiceStatus::STATE_GIVEN_UP);
  EXPECT_THAT(statuses[1].last_output(), HasSubstr("command_line"));
  EXPECT_EQ(statuses[2].state(), ServiceStatus::STATE_GIVEN_UP);
  EXPECT_EQ(CountWith(program_), 1);
}

TEST_F(SupervisorTest, AnAccountIsSwitchedTo) {
  if (geteuid() != 0) GTEST_SKIP() << "needs root";
  ASSERT_EQ(chmod(dir_.path().c_str(), 0755), 0);
  ServiceSpec spec = Foreground();
  spec.set_run_as("nobody");
  Apply({spec});
  UntilRunning();
  struct stat info;
  ASSERT_EQ(stat(absl::StrCat("/proc/", Status().pid()).c_str(), &info), 0);
  EXPECT_NE(info.st_uid, 0u);
  spec.set_run_as("no-such-account");
  spec.set_attempts(1);
  Apply({spec});
  kill(Status().pid(), SIGKILL);
  loop_.UntilAdvancing(absl::Milliseconds(10), [&] { return Is(ServiceStatus::STATE_GIVEN_UP); });
  EXPECT_THAT(Status().last_output(), HasSubstr("no-such-account"));
}

TEST_F(SupervisorTest, AProbeTellsAHungServiceAndItsReturn) {
  ServiceSpec spec = Foreground();
  spec.mutable_probe()->set_command(absl::StrCat("test ! -e ", dir_.File("hung")));
  spec.mutable_probe()->set_interval_seconds(2);
  spec.mutable_probe()->set_timeout_seconds(600);
  Apply({spec});
  UntilRunning();
  auto until = [&](ServiceStatus::State state) {
    loop_.UntilAdvancing(absl::Milliseconds(20), [&] { return Is(state); });
  };
  testing::WriteFile(dir_.File("hung"), "");
  until(ServiceStatus::STATE_UNHEALTHY);
  unlink(dir_.File("hung").c_str());
  until(ServiceStatus::STATE_RUNNING);
  loop_.loop.RunOnce(absl::ZeroDuration());
  EXPECT_THAT(Events(), ElementsAre("unhealthy", "recovered after 0"));
  EXPECT_EQ(events_[0].service_unhealthy().detail(), "the command ended with exit code 1");
}

// A stopped process answers neither its probe nor SIGTERM.
TEST_F(SupervisorTest, AHungServiceIsEndedAndStartedAgainWhereItsProbeSaysSo) {
  ServiceSpec spec = Foreground();
  spec.set_stop_command("false");
  spec.mutable_probe()->set_command(absl::StrCat("test ! -e ", dir_.File("hung")));
  spec.mutable_probe()->set_interval_seconds(2);
  spec.mutable_probe()->set_timeout_seconds(600);
  spec.mutable_probe()->set_restart(true);
  Apply({spec});
  UntilRunning();
  const pid_t first = Status().pid();
  kill(first, SIGSTOP);
  testing::WriteFile(dir_.File("hung"), "");
  loop_.UntilAdvancing(absl::Milliseconds(20), [&] { return events_.size() == 2; });
  unlink(dir_.File("hung").c_str());
  loop_.UntilAdvancing(absl::Milliseconds(20),
                       [&] { return Is(ServiceStatus::STATE_RUNNING) && Status().pid() != first; });
  EXPECT_NE(kill(first, 0), 0);
  loop_.Pass(absl::Seconds(4));
  EXPECT_THAT(Events(), ElementsAre("unhealthy", "died: ended, because its probe failed",
                                    "recovered after 1"));
  EXPECT_TRUE(events_[2].service_recovered().has_died_at());
  EXPECT_EQ(Status().restarts(), 1);
}

TEST_F(SupervisorTest, AServiceThatHangsEachTimeIsGivenUp) {
  ServiceSpec spec = Foreground();
  spec.set_attempts(2);
  spec.mutable_probe()->set_command("false");
  spec.mutable_probe()->set_interval_seconds(1);
  spec.mutable_probe()->set_timeout_seconds(600);
  spec.mutable_probe()->set_threshold(1);
  spec.mutable_probe()->set_restart(true);
  Apply({spec});
  loop_.UntilAdvancing(absl::Milliseconds(20), [&] { return Is(ServiceStatus::STATE_GIVEN_UP); });
  loop_.Pass(absl::Minutes(5));
  EXPECT_THAT(Events(), ElementsAre("unhealthy", "died: ended, because its probe failed",
                                    "unhealthy", "unhealthy", "given up after 2"));
  EXPECT_TRUE(Is(ServiceStatus::STATE_GIVEN_UP));
}

TEST_F(SupervisorTest, AClockThatJumpsRestartsNothing) {
  Apply({Foreground()});
  UntilRunning();
  const pid_t pid = Status().pid();
  for (absl::Duration jump : {absl::Hours(1000), -absl::Hours(2000)}) {
    loop_.clock.JumpWall(jump);
    loop_.Pass(absl::Seconds(5));
    EXPECT_EQ(Status().pid(), pid);
  }
  EXPECT_THAT(Events(), IsEmpty());
}

}  // namespace
}  // namespace drover::agent
