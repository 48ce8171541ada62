// Finds processes, holds on to them, and tells their end.
//
// A process is its pid and its start time, so that a pid given to somebody else is never mistaken.
// A held process is watched by a pidfd, which the kernel makes readable at the exit, whoever the
// parent is; kernels without pidfd (before 5.3) are served by the check once a second alone.
//
// Thread promise: belongs to the event loop's thread. Survives a restart: nothing; pid and start
// time are kept by the supervisor.
#pragma once

#include <sys/types.h>

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <unordered_map>
#include <utility>
#include <vector>

#include "absl/functional/function_ref.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "agent/event_loop.h"
#include "agent/unique_fd.h"
#include "drover/v1/inventory.pb.h"
#include "re2/re2.h"

namespace drover::agent {

struct ProcessInfo {
  pid_t pid = 0;
  pid_t parent = 0;
  pid_t session = 0;
  // Clock ticks between boot and its start.
  uint64_t start_ticks = 0;
  // As in /proc/PID/stat; 'Z' and 'X' are dead.
  char state = 0;
  // Filled when asked for: the executable's path; the arguments, joined by one blank; the systemd
  // unit its control group belongs to.
  std::string exe;
  std::string command_line;
  std::string unit;

  bool dead() const { return state == 'Z' || state == 'X' || state == 0; }
};

// From the text of /proc/PID/stat; the name in it may hold blanks and brackets. nullopt when it is
// none.
std::optional<ProcessInfo> ParseStat(absl::string_view stat);
// "a\0b c\0" -> "a b c".
std::string JoinCommandLine(absl::string_view raw);
// The unit in the text of /proc/PID/cgroup, of either version: "nginx.service", or "".
std::string UnitOfControlGroup(absl::string_view cgroup);

// pid, parent, session, start and state of one process; nullopt when it is gone.
std::optional<ProcessInfo> ReadProcess(pid_t pid);
std::string ReadExe(pid_t pid);
std::string ReadCommandLine(pid_t pid);
std::string ReadUnit(pid_t pid);
// All there are, with pid only; `each` returns false to end it.
void ForEachPid(absl::FunctionRef<bool(pid_t)> each);

// All processes of the machine with what recognises them, for those that look once a second for
// something that is not there. Reading them all that often would cost more than everything else the
// agent does: a process older than ten seconds is read anew only every ten seconds, in case it
// became another program.
class ProcessTable {
 public:
  // `now` is the clock's uptime.
  void Refresh(absl::Duration now);
  void Clear();
  // Grows with every process that is new or became another program.
  uint64_t version() const { return version_; }
  void ForEachSince(uint64_t version, absl::FunctionRef<void(const ProcessInfo&)> each) const;

 private:
  struct Entry {
    ProcessInfo process;
    uint64_t version = 0;
    absl::Duration read_again;
    uint64_t round = 0;
  };
  void Read(Entry& entry, pid_t pid, absl::Duration now);

  std::unordered_map<pid_t, Entry> entries_;
  uint64_t version_ = 0;
  uint64_t round_ = 0;
};

// Tells whether a process is the service of a spec.
class ProcessMatcher {
 public:
  // INVALID_ARGUMENT naming the field: nothing to recognise by, a path that is not absolute, a bad
  // regular expression.
  static absl::StatusOr<std::unique_ptr<ProcessMatcher>> Make(const drover::v1::ServiceSpec& spec);

  // What has to be filled in a ProcessInfo for Matches.
  bool needs_exe() const { return !exe_.empty(); }
  bool needs_command_line() const { return command_line_ != nullptr; }
  bool needs_unit() const { return !unit_.empty(); }
  const std::string& pid_file() const { return pid_file_; }
  const std::string& unit() const { return unit_; }

  // Pure. The shell that runs the service's own start command is never the service.
  bool Matches(const ProcessInfo& process) const;

  // The service's process on this machine now, never this one. Among several the one whose parent
  // is not among them, of these the oldest.
  std::optional<ProcessInfo> Find() const;
  // The same among what is new in the table since `version`; cheap when nothing is.
  std::optional<ProcessInfo> FindNew(const ProcessTable& table, uint64_t version) const;
  // All of them, with a pid file just the one.
  std::vector<ProcessInfo> FindAll() const;

 private:
  ProcessMatcher() = default;
  std::optional<ProcessInfo> Check(pid_t pid) const;

  std::string unit_;
  std::string pid_file_;
  std::string exe_;
  std::unique_ptr<RE2> command_line_;
  std::string start_shell_;
};

// Pure: the process that stands for the service among all that match.
std::optional<ProcessInfo> PickProcess(const std::vector<ProcessInfo>& matching);

// One process, watched until it ends or this is destroyed.
class HeldProcess {
 public:
  // Null when the process with this pid and start time is gone already. `ended` is called once,
  // from the loop, not from here.
  static std::unique_ptr<HeldProcess> Hold(EventLoop* loop, pid_t pid, uint64_t start_ticks,
                                           std::function<void()> ended);
  ~HeldProcess();

  pid_t pid() const { return pid_; }
  uint64_t start_ticks() const { return start_ticks_; }
  // Looks, in a system call or two, and calls `ended` when it is gone.
  void Check();
  // Sends a signal to exactly this process.
  void Signal(int signal);

 private:
  HeldProcess(EventLoop* loop, pid_t pid, uint64_t start_ticks, std::function<void()> ended)
      : loop_(loop), pid_(pid), start_ticks_(start_ticks), ended_(std::move(ended)) {}
  void End();

  EventLoop* const loop_;
  const pid_t pid_;
  const uint64_t start_ticks_;
  std::function<void()> ended_;
  // Not valid where the kernel has none.
  UniqueFd pidfd_;
};

}  // namespace drover::agent
