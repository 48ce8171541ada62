// Tables for what decides without touching anything.
#include <vector>

#include "agent/config.h"
#include "agent/controller_link.h"
#include "agent/machine.h"
#include "agent/process_watch.h"
#include "agent/restart_policy.h"
#include "agent/sampler.h"
#include "agent/service_probe.h"
#include "agent/setup.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace drover::agent {
namespace {

using drover::v1::ServiceSpec;
using ::testing::HasSubstr;

TEST(RestartPolicy, DelaysGrowUpToAnHour) {
  struct Row {
    const char* name;
    int attempts, delay, made;
    bool give_up;
    absl::Duration wait;
  };
  const Row rows[] = {
      {"the first attempt comes at once", 0, 0, 0, false, absl::ZeroDuration()},
      {"the second after the standard second", 0, 0, 1, false, absl::Seconds(1)},
      {"the third after two", 0, 0, 2, false, absl::Seconds(2)},
      {"three is the standard", 0, 0, 3, true, absl::ZeroDuration()},
      {"one attempt only", 1, 5, 1, true, absl::ZeroDuration()},
      {"the spec's delay", 10, 5, 1, false, absl::Seconds(5)},
      {"the spec's delay, doubled twice", 10, 5, 3, false, absl::Seconds(20)},
      {"capped", 100, 5, 20, false, absl::Hours(1)},
      {"capped, far out", 100, 3600, 99, false, absl::Hours(1)},
      {"more made than allowed", 3, 1, 7, true, absl::ZeroDuration()},
  };
  for (const Row& row : rows) {
    SCOPED_TRACE(row.name);
    ServiceSpec spec;
    spec.set_attempts(row.attempts);
    spec.set_delay_seconds(row.delay);
    const RestartPolicy::Step step = RestartPolicy(spec).Next(row.made);
    EXPECT_EQ(step.give_up, row.give_up);
    EXPECT_EQ(step.delay, row.wait);
  }
}

TEST(RestartPolicy, ForgetsAttemptsAfterAMinuteOrTheLastDelay) {
  ServiceSpec spec;
  spec.set_attempts(10);
  spec.set_delay_seconds(50);
  const RestartPolicy policy(spec);
  EXPECT_EQ(policy.StableAfter(1), absl::Minutes(1));
  EXPECT_EQ(policy.StableAfter(2), absl::Minutes(1));
  EXPECT_EQ(policy.StableAfter(3), absl::Seconds(100));
  EXPECT_EQ(policy.StableAfter(10), absl::Hours(1));
}

TEST(ProcessWatch, ParsesStat) {
  const auto plain =
      ParseStat("42 (nginx) S 1 42 40 0 -1 4194560 1 2 3 4 5 6 7 8 20 0 1 0 98765 1000 2 184467 1");
  ASSERT_TRUE(plain);
  EXPECT_EQ(plain->pid, 42);
  EXPECT_EQ(plain->parent, 1);
  EXPECT_EQ(plain->session, 40);
  EXPECT_EQ(plain->start_ticks, 98765u);
  EXPECT_FALSE(plain->dead());
  const auto odd =
      ParseStat("7 (a) Z 1 b) Z 3 7 7 0 -1 4194560 1 2 3 4 5 6 7 8 20 0 1 0 11 1000 2 184467 1\n");
  ASSERT_TRUE(odd);
  EXPECT_EQ(odd->parent, 3);
  EXPECT_EQ(odd->start_ticks, 11u);
  EXPECT_TRUE(odd->dead());
  for (const char* bad : {"", "1", "1 (x", "1 (x) S", "x (y) S 1 1 1", ") 1 ("}) {
    EXPECT_FALSE(ParseStat(bad)) << bad;
  }
}

TEST(ProcessWatch, FindsTheUnitInBothVersionsOfControlGroups) {
  struct Row {
    const char* text;
    const char* unit;
  };
  const Row rows[] = {
      {"0::/system.slice/nginx.service\n", "nginx.service"},
      {"0::/system.slice/nginx.service/workers\n", "nginx.service"},
      {"0::/system.slice/system-getty.slice/getty@tty1.service\n", "getty@tty1.service"},
      {"12:memory:/other.service\n1:name=systemd:/system.slice/redis.service\n", "redis.service"},
      {"0::/user.slice/user-0.slice/session-1.scope\n", "session-1.scope"},
      {"0::/\n", ""},
      {"", ""},
  };
  for (const Row& row : rows) EXPECT_EQ(UnitOfControlGroup(row.text), row.unit) << row.text;
}

ProcessInfo Process(pid_t pid, pid_t parent, uint64_t start, char state = 'S') {
  ProcessInfo process;
  process.pid = pid;
  process.parent = parent;
  process.start_ticks = start;
  process.state = state;
  return process;
}

TEST(ProcessWatch, PicksTheTopmostThenTheOldest) {
  struct Row {
    const char* name;
    std::vector<ProcessInfo> matching;
    pid_t picked;
  };
  const Row rows[] = {
      {"none", {}, 0},
      {"one", {Process(5, 1, 10)}, 5},
      {"a master before its workers", {Process(6, 5, 11), Process(5, 1, 10), Process(7, 5, 11)}, 5},
      {"pids wrapped around: the master has the higher one",
       {Process(6, 900, 11), Process(900, 1, 10)},
       900},
      {"two masters: the older", {Process(8, 1, 12), Process(9, 1, 11)}, 9},
      {"equally old: the lower pid", {Process(9, 1, 11), Process(8, 1, 11)}, 8},
      {"a dead one does not count", {Process(5, 1, 10, 'Z'), Process(6, 1, 11)}, 6},
  };
  for (const Row& row : rows) {
    SCOPED_TRACE(row.name);
    const auto picked = PickProcess(row.matching);
    EXPECT_EQ(picked ? picked->pid : 0, row.picked);
  }
}

TEST(ProcessMatcher, MatchesBySpec) {
  ProcessInfo process = Process(5, 1, 10);
  process.exe = "/usr/bin/python3.11";
  process.command_line = "python3 /srv/shop/app.py --port 80";
  process.unit = "shop.service";
  struct Row {
    const char* name;
    const char *unit, *exe, *command_line, *start;
    bool matches;
  };
  const Row rows[] = {
      {"unit", "shop.service", "", "", "", true},
      {"unit without ending", "shop", "", "", "", true},
      {"another unit", "shopping", "", "", "", false},
      {"exe", "", "/usr/bin/python3.11", "", "", true},
      {"another exe", "", "/usr/bin/python3.12", "", "", false},
      {"part of the command line", "", "", "app\\.py", "", true},
      {"anchored command line", "", "", "^python3 /srv/shop/app\\.py --port 80$", "", true},
      {"another command line", "", "", "app\\.rb", "", false},
      {"exe and command line", "", "/usr/bin/python3.11", "--port 80", "", true},
      {"exe but not the command line", "", "/usr/bin/python3.11", "--port 81", "", false},
      {"unit but not the command line", "shop", "", "--port 81", "", false},
  };
  for (const Row& row : rows) {
    SCOPED_TRACE(row.name);
    ServiceSpec spec;
    spec.set_systemd_unit(row.unit);
    spec.set_exe(row.exe);
    spec.set_command_line(row.command_line);
    const auto matcher = ProcessMatcher::Make(spec);
    ASSERT_TRUE(matcher.ok()) << matcher.status();
    EXPECT_EQ((*matcher)->Matches(process), row.matches);
    ProcessInfo dead = process;
    dead.state = 'Z';
    EXPECT_FALSE((*matcher)->Matches(dead));
  }
}

TEST(ProcessMatcher, TheShellOfTheStartCommandIsNotTheService) {
  ServiceSpec spec;
  spec.set_command_line("app\\.py");
  spec.set_start_command("cd /srv && python3 app.py");
  const auto matcher = ProcessMatcher::Make(spec);
  ASSERT_TRUE(matcher.ok());
  ProcessInfo process = Process(5, 1, 10);
  process.command_line = "/bin/sh -c cd /srv && python3 app.py";
  EXPECT_FALSE((*matcher)->Matches(process));
  process.command_line = "python3 app.py";
  EXPECT_TRUE((*matcher)->Matches(process));
}

TEST(ProcessMatcher, RefusesWhatItCannotUse) {
  struct Row {
    const char *pid_file, *exe, *command_line, *says;
  };
  const Row rows[] = {
      {"", "", "", "cannot be recognised"},
      {"run/x.pid", "", "", "pid_file"},
      {"", "bin/x", "", "exe"},
      {"", "", "(", "command_line"},
  };
  for (const Row& row : rows) {
    ServiceSpec spec;
    spec.set_pid_file(row.pid_file);
    spec.set_exe(row.exe);
    spec.set_command_line(row.command_line);
    const auto matcher = ProcessMatcher::Make(spec);
    ASSERT_FALSE(matcher.ok());
    EXPECT_THAT(matcher.status().ToString(), HasSubstr(row.says));
  }
}

TEST(ProcessWatch, JoinsCommandLines) {
  EXPECT_EQ(JoinCommandLine(absl::string_view("a\0b c\0", 6)), "a b c");
  EXPECT_EQ(JoinCommandLine(""), "");
}

TEST(Sampler, ParsesProc) {
  const auto cpu = ParseCpu("cpu  100 5 20 800 50 1 2 3 40 0\ncpu0 1 1 1 1\n");
  ASSERT_TRUE(cpu);
  EXPECT_EQ(cpu->busy, 131u);
  EXPECT_EQ(cpu->total, 981u);
  EXPECT_FALSE(ParseCpu("intr 1 2 3 4 5"));
  const auto memory = ParseMemory(
      "MemTotal:        2097152 kB\nMemFree:          100 kB\nMemAvailable:    1048576 kB\n");
  ASSERT_TRUE(memory);
  EXPECT_EQ(memory->used_mb, 1024);
  EXPECT_EQ(memory->total_mb, 2048);
  const auto old =
      ParseMemory("MemTotal: 4096 kB\nMemFree: 1024 kB\nBuffers: 512 kB\nCached: 512 kB\n");
  ASSERT_TRUE(old);
  EXPECT_EQ(old->used_mb, 2);
  EXPECT_FALSE(ParseMemory(""));
  const NetworkBytes network = ParseNetwork(
      "Inter-|   Receive  |  Transmit\n"
      " face |bytes    packets errs drop fifo frame compressed multicast|bytes packets\n"
      "    lo: 999 1 0 0 0 0 0 0 999 1 0 0 0 0 0 0\n"
      "  eth0:100 1 0 0 0 0 0 0 200 1 0 0 0 0 0 0\n"
      "  eth1: 10 1 0 0 0 0 0 0 20 1 0 0 0 0 0 0\n");
  EXPECT_EQ(network.received, 110u);
  EXPECT_EQ(network.sent, 220u);
}

TEST(Machine, ReadsTextFiles) {
  EXPECT_EQ(PrettyName("NAME=x\nPRETTY_NAME=\"Debian GNU/Linux 12 (bookworm)\"\n"),
            "Debian GNU/Linux 12 (bookworm)");
  EXPECT_EQ(PrettyName("ID=x\n"), "Linux");
  const DefaultRoute route = FindDefaultRoute(
      "Iface\tDestination\tGateway\tFlags\tRefCnt\tUse\tMetric\tMask\tMTU\tWindow\tIRTT\n"
      "eth1\t00000000\t0200D50A\t0003\t0\t0\t200\t00000000\t0\t0\t0\n"
      "eth0\t00000000\t0100D50A\t0003\t0\t0\t100\t00000000\t0\t0\t0\n"
      "eth0\t0000D50A\t00000000\t0001\t0\t0\t0\t0000FFFF\t0\t0\t0\n");
  EXPECT_EQ(route.card, "eth0");
  EXPECT_EQ(route.gateway, "10.213.0.1");
  EXPECT_EQ(FindDefaultRoute("").card, "");
}

TEST(Config, ReadsAndRefuses) {
  const auto good = ParseConfig(
      "controller = \"10.213.0.1:8444\"\nbios_uuid = \"42\"\nstate_directory = \"/x\"\n", "f");
  ASSERT_TRUE(good.ok()) << good.status();
  EXPECT_EQ(good->controller, "10.213.0.1:8444");
  EXPECT_EQ(good->state_directory, "/x");
  EXPECT_EQ(good->authority, "/etc/drover/authority.pem");
  struct Row {
    const char *text, *says;
  };
  const Row rows[] = {
      {"", "controller"},
      {"controller = 5", "controller: must be a string"},
      {"controller = \"host\"", "address and port"},
      {"controller = \"host:70000\"", "address and port"},
      {"controller = \"h:1\"\nstate_directory = \"var\"", "state_directory: must be an absolute"},
      {"controller = \"h:1\"\ncolour = \"red\"", "colour"},
      {"controller = ", "line 1"},
  };
  for (const Row& row : rows) {
    const auto bad = ParseConfig(row.text, "agent.toml");
    ASSERT_FALSE(bad.ok()) << row.text;
    EXPECT_THAT(std::string(bad.status().message()), HasSubstr(row.says)) << row.text;
    EXPECT_THAT(std::string(bad.status().message()), HasSubstr("agent.toml"));
  }
}

TEST(ServiceProbe, ReadsTargetsAndAnswers) {
  const auto target = ParseHttpTarget("8080/healthz?x=1");
  ASSERT_TRUE(target.ok());
  EXPECT_EQ(target->port, 8080);
  EXPECT_EQ(target->path, "/healthz?x=1");
  EXPECT_EQ(ParseHttpTarget("80")->path, "/");
  for (const char* bad : {"", "/x", "0/x", "70000/", "80/a b", "80/a\r\nX: y"}) {
    EXPECT_FALSE(ParseHttpTarget(bad).ok()) << bad;
  }
  EXPECT_EQ(HttpStatusCode("HTTP/1.1 302 Found\r\n"), 302);
  EXPECT_EQ(HttpStatusCode("HTTP/1.0 200"), 200);
  for (const char* bad : {"", "SSH-2.0-OpenSSH", "HTTP/1.1 abc", "HTTP/2 200 OK"}) {
    EXPECT_EQ(HttpStatusCode(bad), 0) << bad;
  }
}

TEST(ControllerLink, WaitsLongerUpToHalfAMinute) {
  EXPECT_EQ(ReconnectCeiling(1), absl::Seconds(1));
  EXPECT_EQ(ReconnectCeiling(2), absl::Seconds(2));
  EXPECT_EQ(ReconnectCeiling(5), absl::Seconds(16));
  EXPECT_EQ(ReconnectCeiling(6), absl::Seconds(30));
  EXPECT_EQ(ReconnectCeiling(1000000), absl::Seconds(30));
}

TEST(Setup, WritesTheBootLineOnceAndFirst) {
  const std::string line = "/usr/local/sbin/drover-agent setup --config /etc/drover/agent.toml\n";
  auto with = [](absl::string_view old) {
    return WithBootLine(old, "/usr/local/sbin/drover-agent", "/etc/drover/agent.toml");
  };
  EXPECT_EQ(with(""), "#!/bin/sh\n" + line);
  EXPECT_EQ(with("#!/bin/sh -e\nexit 0\n"), "#!/bin/sh -e\n" + line + "exit 0\n");
  EXPECT_EQ(with("#!/bin/sh"), "#!/bin/sh\n" + line);
  EXPECT_EQ(with("echo no shebang\n"), "#!/bin/sh\n" + line + "echo no shebang\n");
  for (const char* old : {"", "#!/bin/sh -e\nexit 0\n", "#!/bin/sh"}) {
    EXPECT_EQ(with(with(old)), with(old));
  }
  EXPECT_THAT(UnitFile("/a/b", "/c/d"), HasSubstr("ExecStart=/a/b run --config /c/d\n"));
  EXPECT_THAT(UnitFile("/a/b", "/c/d"), HasSubstr("KillMode=process\n"));
}

}  // namespace
}  // namespace drover::agent
