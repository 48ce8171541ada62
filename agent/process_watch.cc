#include "agent/process_watch.h"

#include <dirent.h>
#include <fcntl.h>
#include <limits.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/syscall.h>

#include <algorithm>
#include <cerrno>
#include <set>

#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "absl/strings/strip.h"
#include "proto/support/status.h"

namespace drover::agent {
namespace {

// As much of a command line as patterns are held against.
constexpr size_t kLongestCommandLine = 16384;

// Reads a small file of /proc in one go; "" when it is gone.
std::string ReadProcFile(pid_t pid, const char* name, size_t limit) {
  char path[64];
  snprintf(path, sizeof(path), "/proc/%d/%s", pid, name);
  UniqueFd fd(open(path, O_RDONLY | O_CLOEXEC));
  if (!fd.valid()) return "";
  std::string text(limit, '\0');
  size_t length = 0;
  while (length < limit) {
    const ssize_t count = read(fd.get(), text.data() + length, limit - length);
    if (count < 0 && errno == EINTR) continue;
    if (count <= 0) break;
    length += count;
    // /proc answers these whole, unless the buffer is short.
    if (length < limit) break;
  }
  text.resize(length);
  return text;
}

std::string WithUnitEnding(absl::string_view unit) {
  if (unit.empty() || absl::StrContains(unit, ".")) return std::string(unit);
  return absl::StrCat(unit, ".service");
}

std::string Canonical(const std::string& path) {
  char resolved[PATH_MAX];
  return realpath(path.c_str(), resolved) == nullptr ? path : resolved;
}

int OpenPidfd(pid_t pid) { return syscall(SYS_pidfd_open, pid, 0); }

}  // namespace

std::optional<ProcessInfo> ParseStat(absl::string_view stat) {
  // "123 (name) S ppid pgrp session ..."; the name is the program's choice, so the last bracket
  // counts.
  const size_t open = stat.find('(');
  const size_t close = stat.rfind(')');
  if (open == absl::string_view::npos || close == absl::string_view::npos || close < open) {
    return std::nullopt;
  }
  ProcessInfo process;
  const std::vector<absl::string_view> fields =
      absl::StrSplit(absl::StripAsciiWhitespace(stat.substr(close + 1)), ' ');
  constexpr size_t kStartTime = 19;
  if (fields.size() <= kStartTime || fields[0].size() != 1 ||
      !absl::SimpleAtoi(stat.substr(0, open), &process.pid) ||
      !absl::SimpleAtoi(fields[1], &process.parent) ||
      !absl::SimpleAtoi(fields[3], &process.session) ||
      !absl::SimpleAtoi(fields[kStartTime], &process.start_ticks)) {
    return std::nullopt;
  }
  process.state = fields[0][0];
  return process;
}

std::string JoinCommandLine(absl::string_view raw) {
  std::string joined(absl::StripSuffix(raw, absl::string_view("\0", 1)));
  std::replace(joined.begin(), joined.end(), '\0', ' ');
  return joined;
}

std::string UnitOfControlGroup(absl::string_view cgroup) {
  for (absl::string_view line : absl::StrSplit(cgroup, '\n')) {
    // "0::/system.slice/nginx.service" (version 2), "1:name=systemd:/..." (version 1). Other
    // hierarchies may know less.
    const std::vector<absl::string_view> parts = absl::StrSplit(line, absl::MaxSplits(':', 2));
    if (parts.size() != 3 || (parts[1] != "name=systemd" && !parts[1].empty())) continue;
    const std::vector<absl::string_view> components = absl::StrSplit(parts[2], '/');
    // The outermost service: what is below it are its own groups.
    for (absl::string_view component : components) {
      absl::ConsumePrefix(&component, "_");
      if (absl::EndsWith(component, ".service") || absl::EndsWith(component, ".scope")) {
        return std::string(component);
      }
    }
  }
  return "";
}

std::optional<ProcessInfo> ReadProcess(pid_t pid) {
  auto process = ParseStat(ReadProcFile(pid, "stat", 1024));
  if (process && process->pid != pid) return std::nullopt;
  return process;
}

std::string ReadExe(pid_t pid) {
  char path[64];
  snprintf(path, sizeof(path), "/proc/%d/exe", pid);
  char target[PATH_MAX];
  const ssize_t length = readlink(path, target, sizeof(target));
  if (length <= 0) return "";
  // An upgraded program runs on from a file that is gone; it is the same service.
  return std::string(absl::StripSuffix(absl::string_view(target, length), " (deleted)"));
}

std::string ReadCommandLine(pid_t pid) {
  return JoinCommandLine(ReadProcFile(pid, "cmdline", kLongestCommandLine));
}

std::string ReadUnit(pid_t pid) { return UnitOfControlGroup(ReadProcFile(pid, "cgroup", 8192)); }

void ForEachPid(absl::FunctionRef<bool(pid_t)> each) {
  DIR* directory = opendir("/proc");
  if (directory == nullptr) return;
  while (const dirent* entry = readdir(directory)) {
    if (entry->d_name[0] < '1' || entry->d_name[0] > '9') continue;
    pid_t pid;
    if (absl::SimpleAtoi(entry->d_name, &pid) && !each(pid)) break;
  }
  closedir(directory);
}

void ProcessTable::Read(Entry& entry, pid_t pid, absl::Duration now) {
  // Young ones are often about to become another program.
  constexpr absl::Duration kYoung = absl::Seconds(10);
  static const long ticks_per_second = sysconf(_SC_CLK_TCK);
  ProcessInfo process = ReadProcess(pid).value_or(ProcessInfo());
  process.exe = ReadExe(pid);
  // Threads of the kernel have none, and never will.
  if (!process.exe.empty()) {
    process.command_line = ReadCommandLine(pid);
    process.unit = ReadUnit(pid);
  }
  const bool same = entry.process.start_ticks == process.start_ticks &&
                    entry.process.exe == process.exe && entry.process.unit == process.unit &&
                    entry.process.command_line == process.command_line;
  if (!same || entry.version == 0) entry.version = ++version_;
  const absl::Duration age =
      SystemClock().Uptime() - absl::Seconds(1) * process.start_ticks / ticks_per_second;
  entry.read_again = age < kYoung ? now : now + kYoung;
  entry.process = std::move(process);
}

void ProcessTable::Refresh(absl::Duration now) {
  ++round_;
  ForEachPid([&](pid_t pid) {
    Entry& entry = entries_[pid];
    if (entry.version == 0 || entry.read_again <= now) Read(entry, pid, now);
    entry.round = round_;
    return true;
  });
  for (auto at = entries_.begin(); at != entries_.end();) {
    at = at->second.round == round_ ? std::next(at) : entries_.erase(at);
  }
}

void ProcessTable::Clear() { entries_.clear(); }

void ProcessTable::ForEachSince(uint64_t version,
                                absl::FunctionRef<void(const ProcessInfo&)> each) const {
  for (const auto& [pid, entry] : entries_) {
    if (entry.version > version) each(entry.process);
  }
}

absl::StatusOr<std::unique_ptr<ProcessMatcher>> ProcessMatcher::Make(
    const drover::v1::ServiceSpec& spec) {
  std::unique_ptr<ProcessMatcher> matcher(new ProcessMatcher);
  for (const auto& [field, path] :
       {std::make_pair("pid_file", spec.pid_file()), std::make_pair("exe", spec.exe())}) {
    if (!path.empty() && path[0] != '/') {
      return InvalidField(field, absl::StrCat("\"", path, "\" is not an absolute path"));
    }
  }
  matcher->unit_ = WithUnitEnding(spec.systemd_unit());
  if (matcher->unit_.empty()) matcher->pid_file_ = spec.pid_file();
  matcher->exe_ = spec.exe();
  if (!spec.command_line().empty()) {
    RE2::Options options(RE2::Quiet);
    // The default keeps megabytes of automaton per pattern.
    options.set_max_mem(256 << 10);
    matcher->command_line_ = std::make_unique<RE2>(spec.command_line(), options);
    if (!matcher->command_line_->ok()) {
      return InvalidField("command_line", absl::StrCat("not a regular expression of RE2: ",
                                                       matcher->command_line_->error()));
    }
  }
  if (matcher->unit_.empty() && matcher->pid_file_.empty() && matcher->exe_.empty() &&
      matcher->command_line_ == nullptr) {
    return InvalidField("command_line",
                        "set one of systemd_unit, pid_file, exe, command_line: the service's "
                        "process cannot be recognised");
  }
  if (!spec.start_command().empty()) {
    matcher->start_shell_ = absl::StrCat("/bin/sh -c ", spec.start_command());
  }
  return matcher;
}

bool ProcessMatcher::Matches(const ProcessInfo& process) const {
  if (process.dead()) return false;
  if (needs_unit() && process.unit != unit_) return false;
  if (needs_exe() && process.exe != exe_ && process.exe != Canonical(exe_)) return false;
  if (!needs_command_line()) return true;
  return process.command_line != start_shell_ &&
         RE2::PartialMatch(process.command_line, *command_line_);
}

std::optional<ProcessInfo> ProcessMatcher::Check(pid_t pid) const {
  static const pid_t self = getpid();
  if (pid == self) return std::nullopt;
  // Cheapest first; the rest is read only for what may still match.
  ProcessInfo process;
  if (needs_exe()) {
    process.exe = ReadExe(pid);
    if (process.exe != exe_ && process.exe != Canonical(exe_)) return std::nullopt;
  }
  if (needs_unit()) {
    process.unit = ReadUnit(pid);
    if (process.unit != unit_) return std::nullopt;
  }
  if (needs_command_line()) {
    process.command_line = ReadCommandLine(pid);
    if (process.command_line.empty()) return std::nullopt;
  }
  auto stat = ReadProcess(pid);
  if (!stat) return std::nullopt;
  stat->exe = std::move(process.exe);
  stat->unit = std::move(process.unit);
  stat->command_line = std::move(process.command_line);
  if (!Matches(*stat)) return std::nullopt;
  return stat;
}

std::vector<ProcessInfo> ProcessMatcher::FindAll() const {
  std::vector<ProcessInfo> found;
  if (!pid_file_.empty()) {
    char text[32];
    UniqueFd fd(open(pid_file_.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK));
    const ssize_t length = fd.valid() ? read(fd.get(), text, sizeof(text)) : 0;
    absl::string_view number(text, std::max<ssize_t>(length, 0));
    number = absl::StripLeadingAsciiWhitespace(number);
    number = number.substr(0, number.find_first_not_of("0123456789"));
    pid_t pid;
    if (absl::SimpleAtoi(number, &pid) && pid > 0) {
      if (auto process = Check(pid)) found.push_back(*std::move(process));
    }
    return found;
  }
  ForEachPid([&](pid_t pid) {
    if (auto process = Check(pid)) found.push_back(*std::move(process));
    return true;
  });
  return found;
}

std::optional<ProcessInfo> ProcessMatcher::FindNew(const ProcessTable& table,
                                                   uint64_t version) const {
  bool any = false;
  table.ForEachSince(version, [&](const ProcessInfo& process) { any |= Matches(process); });
  // The table may be a little old; who is the topmost is asked of the machine.
  return any ? Find() : std::nullopt;
}

std::optional<ProcessInfo> ProcessMatcher::Find() const { return PickProcess(FindAll()); }

std::optional<ProcessInfo> PickProcess(const std::vector<ProcessInfo>& matching) {
  std::set<pid_t> pids;
  for (const ProcessInfo& process : matching) pids.insert(process.pid);
  const ProcessInfo* best = nullptr;
  for (const ProcessInfo& process : matching) {
    if (process.dead() || pids.count(process.parent) > 0) continue;
    if (best == nullptr || process.start_ticks < best->start_ticks ||
        (process.start_ticks == best->start_ticks && process.pid < best->pid)) {
      best = &process;
    }
  }
  if (best == nullptr) return std::nullopt;
  return *best;
}

std::unique_ptr<HeldProcess> HeldProcess::Hold(EventLoop* loop, pid_t pid, uint64_t start_ticks,
                                               std::function<void()> ended) {
  std::unique_ptr<HeldProcess> held(new HeldProcess(loop, pid, start_ticks, std::move(ended)));
  held->pidfd_.reset(OpenPidfd(pid));
  // Looked at after it is held: from here on the pid cannot come to mean somebody else unseen.
  const auto process = ReadProcess(pid);
  if (!process || process->dead() || process->start_ticks != start_ticks) return nullptr;
  if (held->pidfd_.valid()) {
    loop->WatchReadable(held->pidfd_.get(), [raw = held.get()] { raw->End(); });
  }
  return held;
}

HeldProcess::~HeldProcess() {
  if (pidfd_.valid()) loop_->Unwatch(pidfd_.get());
}

void HeldProcess::Check() {
  if (pidfd_.valid()) {
    // Signal 0 only asks. A zombie still answers, but has made the pidfd readable before.
    if (syscall(SYS_pidfd_send_signal, pidfd_.get(), 0, nullptr, 0) == 0 || errno != ESRCH) return;
    return End();
  }
  const auto process = ReadProcess(pid_);
  if (!process || process->dead() || process->start_ticks != start_ticks_) End();
}

void HeldProcess::Signal(int signal) {
  if (pidfd_.valid()) {
    syscall(SYS_pidfd_send_signal, pidfd_.get(), signal, nullptr, 0);
    return;
  }
  const auto process = ReadProcess(pid_);
  if (process && process->start_ticks == start_ticks_) kill(pid_, signal);
}

void HeldProcess::End() {
  if (pidfd_.valid()) loop_->Unwatch(pidfd_.get());
  // May destroy this.
  auto ended = std::exchange(ended_, nullptr);
  if (ended) ended();
}

}  // namespace drover::agent
