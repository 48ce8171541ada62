#include "tests/agent/test_loop.h"

#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <set>

#include "absl/strings/match.h"
#include "agent/child_process.h"
#include "agent/process_watch.h"

namespace drover::agent {

absl::Time FakeClock::Now() const {
  absl::MutexLock lock(&mutex_);
  return now_;
}

absl::Duration FakeClock::Uptime() const {
  absl::MutexLock lock(&mutex_);
  return uptime_;
}

void FakeClock::Advance(absl::Duration duration) {
  absl::MutexLock lock(&mutex_);
  now_ += duration;
  uptime_ += duration;
}

void FakeClock::JumpWall(absl::Duration duration) {
  absl::MutexLock lock(&mutex_);
  now_ += duration;
}

namespace {

std::set<pid_t> ProcessesWith(const std::string& text) {
  std::set<pid_t> found;
  ForEachPid([&](pid_t pid) {
    const auto process = ReadProcess(pid);
    if (pid == getpid() || !process || process->dead()) return true;
    if (absl::StrContains(ReadCommandLine(pid), text) || absl::StrContains(ReadExe(pid), text)) {
      for (pid_t member : ProcessTree(pid, "none")) found.insert(member);
    }
    return true;
  });
  return found;
}

}  // namespace

int CountWith(const std::string& text) { return ProcessesWith(text).size(); }

void EndAllWith(const std::string& text) {
  for (;;) {
    const std::set<pid_t> left = ProcessesWith(text);
    if (left.empty()) return;
    for (pid_t pid : left) kill(pid, SIGKILL);
  }
}

void TestLoop::Until(const std::function<bool()>& condition) {
  while (!condition()) loop.RunOnce(absl::Milliseconds(5));
}

void TestLoop::UntilAdvancing(absl::Duration step, const std::function<bool()>& condition) {
  while (!condition()) {
    loop.RunOnce(absl::Milliseconds(5));
    clock.Advance(step);
  }
}

void TestLoop::Pass(absl::Duration duration) {
  while (duration > absl::ZeroDuration()) {
    const absl::Duration step = std::min(duration, absl::Duration(absl::Seconds(1)));
    clock.Advance(step);
    duration -= step;
    loop.RunOnce(absl::ZeroDuration());
  }
}

}  // namespace drover::agent
