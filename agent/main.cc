// drover-agent: the program in every VM.
#include <limits.h>
#include <malloc.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/signalfd.h>
#include <unistd.h>

#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "agent/agent.h"
#include "agent/child_process.h"
#include "agent/clock.h"
#include "agent/config.h"
#include "agent/event_loop.h"
#include "agent/setup.h"
#include "agent/version.h"
#include "proto/support/log.h"
#include "proto/support/process.h"
#include "proto/support/status.h"

namespace drover::agent {
namespace {

constexpr char kUsage[] =
    "usage: drover-agent [run] --config FILE    run in the foreground\n"
    "       drover-agent setup --config FILE    install, so that it runs now and after every boot\n"
    "       drover-agent --version\n";
constexpr char kStandardConfig[] = "/etc/drover/agent.toml";
constexpr absl::Duration kTrimLog = absl::Minutes(1);

// Ends the loop on SIGTERM and SIGINT. Blocked before any thread is made, so that all threads have
// them blocked.
UniqueFd CatchSignals(EventLoop* loop) {
  signal(SIGPIPE, SIG_IGN);
  sigset_t signals;
  sigemptyset(&signals);
  sigaddset(&signals, SIGTERM);
  sigaddset(&signals, SIGINT);
  sigprocmask(SIG_BLOCK, &signals, nullptr);
  UniqueFd fd(signalfd(-1, &signals, SFD_CLOEXEC | SFD_NONBLOCK));
  loop->WatchReadable(fd.get(), [loop, raw = fd.get()] {
    signalfd_siginfo info;
    if (read(raw, &info, sizeof(info)) == sizeof(info)) loop->Stop();
  });
  return fd;
}

// The detached agent's log is a file that nobody else keeps small.
void TrimLog(EventLoop* loop, const std::string& path) {
  loop->RunAfter(kTrimLog, [loop, path] {
    if (access(path.c_str(), F_OK) == 0) {
      if (auto log = OutputFile::At(path); log.ok()) log->Trim();
    }
    TrimLog(loop, path);
  });
}

int Run(const Config& config, const std::function<void()>& ready) {
  EventLoop loop(&SystemClock());
  const UniqueFd signals = CatchSignals(&loop);
  TrimLog(&loop, config.state_directory + "/agent.log");
  for (bool again = true; again;) {
    auto agent = Agent::Make(&loop, config);
    if (!agent.ok()) {
      LogError(agent.status().message());
      return ExitCodeOf(agent.status().code());
    }
    LogInfo("drover-agent ", kVersion, " is up");
    ready();
    loop.Run();
    again = (*agent)->must_begin_anew();
  }
  loop.Unwatch(signals.get());
  return 0;
}

int RunInForeground(const Config& config) {
  auto lock = AgentLock::Take(config.state_directory);
  const absl::Status written = lock.ok() ? lock->WritePid() : lock.status();
  if (!written.ok()) {
    LogError(written.message());
    return ExitCodeOf(written.code());
  }
  return Run(config, [] {});
}

int SetUpAndStart(const Config& config, const std::string& config_path) {
  char program[PATH_MAX];
  const ssize_t length = readlink("/proc/self/exe", program, sizeof(program));
  const absl::Status status =
      SetUp(config, config_path, std::string(program, std::max<ssize_t>(length, 0)), Run);
  if (status.ok()) return 0;
  LogError(status.message());
  return ExitCodeOf(status.code());
}

int Main(const std::vector<std::string>& arguments) {
  std::string verb = "run";
  std::string config_path = kStandardConfig;
  for (size_t i = 0; i < arguments.size(); ++i) {
    if (arguments[i] == "--config" && i + 1 < arguments.size()) {
      config_path = arguments[++i];
    } else if (i == 0 && (arguments[i] == "run" || arguments[i] == "setup")) {
      verb = arguments[i];
    } else if (arguments[i] == "--version") {
      printf("drover-agent %s\n", kVersion);
      return 0;
    } else {
      const bool help = arguments[i] == "--help" || arguments[i] == "-h";
      fputs(kUsage, help ? stdout : stderr);
      return help ? 0 : 2;
    }
  }
  auto config = ReadConfig(config_path);
  if (!config.ok()) {
    LogError(config.status().message());
    return ExitCodeOf(config.status().code());
  }
  return verb == "setup" ? SetUpAndStart(*config, config_path) : RunInForeground(*config);
}

}  // namespace
}  // namespace drover::agent

int main(int argc, char** argv) {
  drover::SetUpProcess();
  // A few threads that are mostly idle need no heaps of their own.
  mallopt(M_ARENA_MAX, 1);
  // What it has to say about a connection comes with the status, and is logged once.
  setenv("GRPC_VERBOSITY", "NONE", 0);
  return drover::agent::Main({argv + 1, argv + argc});
}
