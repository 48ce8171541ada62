#include "agent/setup.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <vector>

#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "agent/durable_file.h"
#include "proto/support/log.h"
#include "proto/support/status.h"

namespace drover::agent {
namespace {

constexpr char kUnitPath[] = "/etc/systemd/system/drover-agent.service";
constexpr char kRcLocal[] = "/etc/rc.local";
constexpr unsigned kSecondsToEnd = 15;

// Runs a program to its end; false unless it ended with 0.
bool RunToEnd(const std::vector<const char*>& arguments) {
  const pid_t pid = fork();
  if (pid == 0) {
    std::vector<char*> argv;
    for (const char* argument : arguments) argv.push_back(const_cast<char*>(argument));
    argv.push_back(nullptr);
    execvp(argv[0], argv.data());
    _exit(127);
  }
  int status = 0;
  return pid > 0 && waitpid(pid, &status, 0) == pid && WIFEXITED(status) &&
         WEXITSTATUS(status) == 0;
}

bool IsPlainPath(absl::string_view path) {
  return absl::StartsWith(path, "/") && std::all_of(path.begin(), path.end(), [](unsigned char c) {
           return absl::ascii_isalnum(c) || c == '/' || c == '.' || c == '_' || c == '-';
         });
}

absl::Status WriteIfDifferent(const std::string& path, const std::string& text, int mode) {
  if (auto old = ReadWholeFile(path); old.ok() && *old == text) return absl::OkStatus();
  return WriteWholeFile(path, text, mode);
}

absl::Status SetUpSystemd(const std::string& config_path, const std::string& program) {
  DROVER_RETURN_IF_ERROR(WriteIfDifferent(kUnitPath, UnitFile(program, config_path), 0644));
  for (const std::vector<const char*>& command :
       {std::vector<const char*>{"systemctl", "daemon-reload"},
        {"systemctl", "--quiet", "enable", "drover-agent.service"},
        {"systemctl", "restart", "drover-agent.service"},
        {"systemctl", "--quiet", "is-active", "drover-agent.service"}}) {
    if (!RunToEnd(command)) {
      return absl::InternalError(
          absl::StrCat("systemctl ", command[1], " failed; see journalctl -u drover-agent"));
    }
  }
  return absl::OkStatus();
}

absl::Status InstallBootLine(const std::string& config_path, const std::string& program) {
  char resolved[PATH_MAX];
  const std::string path = realpath(kRcLocal, resolved) == nullptr ? kRcLocal : resolved;
  const std::string old = ReadWholeFile(path).value_or("");
  DROVER_RETURN_IF_ERROR(WriteIfDifferent(path, WithBootLine(old, program, config_path), 0755));
  if (chmod(path.c_str(), 0755) != 0) return FileError(path, "make executable");
  return absl::OkStatus();
}

absl::Time ChangedAt(const std::string& path) {
  struct stat info;
  return stat(path.c_str(), &info) == 0 ? absl::TimeFromTimespec(info.st_mtim)
                                        : absl::InfinitePast();
}

// The program on the disk is another one than the running process's.
bool IsOtherProgram(pid_t pid, const std::string& program) {
  struct stat running;
  struct stat installed;
  return stat(absl::StrCat("/proc/", pid, "/exe").c_str(), &running) != 0 ||
         stat(program.c_str(), &installed) != 0 || running.st_ino != installed.st_ino ||
         running.st_dev != installed.st_dev;
}

void OnAlarm(int) {}

// Ends the agent that runs and takes its place.
absl::StatusOr<AgentLock> Replace(const std::string& directory, pid_t pid) {
  struct sigaction interrupt = {};
  interrupt.sa_handler = OnAlarm;
  sigaction(SIGALRM, &interrupt, nullptr);
  UniqueFd fd(open((directory + "/agent.lock").c_str(), O_RDWR | O_CLOEXEC));
  for (int signal : {SIGTERM, SIGKILL}) {
    kill(pid, signal);
    alarm(kSecondsToEnd);
    const bool free = flock(fd.get(), LOCK_EX) == 0;
    alarm(0);
    // Given back at once: Take is the one way to it.
    if (free) {
      fd.reset();
      return AgentLock::Take(directory);
    }
  }
  return absl::DeadlineExceededError(
      absl::StrCat("the agent that runs, process ", pid, ", does not end"));
}

// An empty optional when the agent that runs may stay.
absl::StatusOr<std::optional<AgentLock>> TakeOver(const Config& config,
                                                  const std::string& config_path,
                                                  const std::string& program) {
  auto lock = AgentLock::Take(config.state_directory);
  if (lock.ok()) return std::optional<AgentLock>(*std::move(lock));
  pid_t pid = 0;
  if (!HasReason(lock.status(), "AGENT_RUNNING") ||
      !absl::SimpleAtoi(ErrorMetadata(lock.status(), "pid"), &pid) || pid <= 1) {
    return lock.status();
  }
  const absl::Time started = ChangedAt(config.state_directory + "/agent.lock");
  if (access(config.token_file.c_str(), F_OK) != 0 && !IsOtherProgram(pid, program) &&
      ChangedAt(config_path) <= started && ChangedAt(config.authority) <= started) {
    LogInfo("the agent runs already, process ", pid);
    return std::optional<AgentLock>();
  }
  LogInfo("replacing the agent that runs, process ", pid);
  DROVER_ASSIGN_OR_RETURN(AgentLock taken, Replace(config.state_directory, pid));
  return std::optional<AgentLock>(std::move(taken));
}

volatile sig_atomic_t g_worker = 0;
volatile sig_atomic_t g_ending = 0;

void PassOn(int signal) {
  g_ending = 1;
  if (g_worker > 0) kill(g_worker, signal);
}

// The keeper: starts the agent, and again when it ended unasked. Never returns.
[[noreturn]] void Keep(const Config& config, const RunAgent& run, UniqueFd report) {
  struct sigaction pass = {};
  pass.sa_handler = PassOn;
  sigaction(SIGTERM, &pass, nullptr);
  sigaction(SIGINT, &pass, nullptr);
  for (unsigned pause = 1;; pause = std::min(pause * 2, 30u)) {
    const pid_t keeper = getpid();
    const pid_t worker = fork();
    if (worker == 0) {
      signal(SIGTERM, SIG_DFL);
      signal(SIGINT, SIG_DFL);
      prctl(PR_SET_PDEATHSIG, SIGTERM);
      if (getppid() != keeper) _exit(0);
      _exit(run(config, [&report] {
        // A reader that went away does not matter.
        if (report.valid() && write(report.get(), "ready", 5) < 0)
          LogWarning("nobody waits for the start");
        report.reset();
      }));
    }
    g_worker = worker;
    report.reset();
    int status = 0;
    while (waitpid(worker, &status, 0) < 0 && errno == EINTR) {
    }
    if (g_ending != 0 || (WIFEXITED(status) && WEXITSTATUS(status) == 0)) _exit(0);
    LogError("the agent ended by itself; starting it again in ", pause, " s");
    for (unsigned left = pause; left > 0 && g_ending == 0;) left = sleep(left);
    if (g_ending != 0) _exit(0);
  }
}

// In the process that becomes the keeper: nothing of the caller's stays open.
void Detach(const std::string& log_path) {
  setsid();
  if (fork() != 0) _exit(0);
  umask(022);
  if (chdir("/") != 0) _exit(1);
  UniqueFd nowhere(open("/dev/null", O_RDWR | O_CLOEXEC));
  UniqueFd log(open(log_path.c_str(), O_RDWR | O_CREAT | O_APPEND | O_CLOEXEC, 0600));
  dup2(nowhere.get(), 0);
  dup2(log.valid() ? log.get() : nowhere.get(), 1);
  dup2(log.valid() ? log.get() : nowhere.get(), 2);
  signal(SIGHUP, SIG_IGN);
}

absl::Status StartDetached(const Config& config, AgentLock lock, const RunAgent& run) {
  int ends[2];
  if (pipe2(ends, O_CLOEXEC) != 0) return FileError("pipe", "make");
  UniqueFd reading(ends[0]);
  UniqueFd writing(ends[1]);
  const std::string log_path = config.state_directory + "/agent.log";
  const pid_t first = fork();
  if (first < 0) return FileError("process", "start");
  if (first == 0) {
    reading.reset();
    Detach(log_path);
    if (!lock.WritePid().ok()) _exit(1);
    Keep(config, run, std::move(writing));
  }
  writing.reset();
  waitpid(first, nullptr, 0);
  char answer[8];
  ssize_t length;
  do {
    length = read(reading.get(), answer, sizeof(answer));
  } while (length < 0 && errno == EINTR);
  if (length > 0) return absl::OkStatus();
  return absl::InternalError(absl::StrCat("the agent did not come up; see ", log_path));
}

}  // namespace

std::string UnitFile(absl::string_view program, absl::string_view config_path) {
  return absl::StrCat(
      "[Unit]\n"
      "Description=Drover agent: supervises this machine's services\n"
      "After=network.target\n"
      "StartLimitIntervalSec=0\n"
      "\n"
      "[Service]\n"
      "ExecStart=",
      program, " run --config ", config_path,
      "\n"
      "Restart=always\n"
      "RestartSec=1\n"
      // Services it started are not its own: they stay when it goes.
      "KillMode=process\n"
      "\n"
      "[Install]\n"
      "WantedBy=multi-user.target\n");
}

std::string WithBootLine(absl::string_view rc_local, absl::string_view program,
                         absl::string_view config_path) {
  const std::string line = absl::StrCat(program, " setup --config ", config_path, "\n");
  if (absl::StrContains(absl::StrCat("\n", rc_local), absl::StrCat("\n", line))) {
    return std::string(rc_local);
  }
  if (!absl::StartsWith(rc_local, "#!")) return absl::StrCat("#!/bin/sh\n", line, rc_local);
  // Behind the first line: what follows may end early.
  const size_t end = rc_local.find('\n');
  if (end == absl::string_view::npos) return absl::StrCat(rc_local, "\n", line);
  return absl::StrCat(rc_local.substr(0, end + 1), line, rc_local.substr(end + 1));
}

absl::StatusOr<AgentLock> AgentLock::Take(const std::string& state_directory) {
  DROVER_RETURN_IF_ERROR(MakeDirectory(state_directory));
  const std::string path = state_directory + "/agent.lock";
  UniqueFd fd(open(path.c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0600));
  if (!fd.valid()) return FileError(path, "open");
  if (flock(fd.get(), LOCK_EX | LOCK_NB) == 0) return AgentLock(std::move(fd));
  if (errno != EWOULDBLOCK) return FileError(path, "lock");
  const std::string pid(absl::StripAsciiWhitespace(ReadWholeFile(path).value_or("")));
  return MakeError(absl::StatusCode::kFailedPrecondition, "AGENT_RUNNING",
                   absl::StrCat("an agent runs already on ", state_directory, ", process ", pid),
                   {{"pid", pid}});
}

absl::Status AgentLock::WritePid() {
  const std::string text = absl::StrCat(getpid(), "\n");
  if (ftruncate(fd_.get(), 0) != 0 ||
      pwrite(fd_.get(), text.data(), text.size(), 0) != static_cast<ssize_t>(text.size())) {
    return FileError("agent.lock", "write");
  }
  return absl::OkStatus();
}

absl::Status SetUp(const Config& config, const std::string& config_path, const std::string& program,
                   const RunAgent& run) {
  for (const std::string& path : {config_path, program}) {
    if (IsPlainPath(path)) continue;
    return absl::InvalidArgumentError(absl::StrCat(
        "\"", path, "\" has to be an absolute path of letters, digits and / . _ - only"));
  }
  if (access("/run/systemd/system", F_OK) == 0) return SetUpSystemd(config_path, program);
  DROVER_RETURN_IF_ERROR(InstallBootLine(config_path, program));
  DROVER_ASSIGN_OR_RETURN(std::optional<AgentLock> lock, TakeOver(config, config_path, program));
  if (!lock) return absl::OkStatus();
  return StartDetached(config, *std::move(lock), run);
}

}  // namespace drover::agent
