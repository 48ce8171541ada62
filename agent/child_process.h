// Programs the agent runs: in a session of their own, with no descriptor of the agent's, output
// into a bounded file. They are children of the agent while it lives, so that it learns their exit
// codes; when it ends they live on.
//
// Every run carries a mark in its environment (DROVER_RUN) that its descendants inherit, so that
// the whole tree can be ended even when parts of it have left the session and lost their parents.
//
// Thread promise: belongs to the event loop's thread. Survives a restart: the programs and their
// output files.
#pragma once

#include <sys/types.h>

#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "agent/event_loop.h"
#include "agent/unique_fd.h"

namespace drover::agent {

// A file that programs append to, of which the end is kept.
class OutputFile {
 public:
  // In memory, for short programs.
  static absl::StatusOr<OutputFile> InMemory();
  // Opens or makes `path` (0600), keeping what is in it.
  static absl::StatusOr<OutputFile> At(const std::string& path);

  int fd() const { return fd_.get(); }
  void Clear();
  // Cuts the beginning off once more than twice kKept is there. What a program writes in that
  // moment may be lost.
  void Trim();
  // At most the last `limit` bytes.
  std::string Tail(size_t limit) const;
  bool truncated() const { return truncated_; }

  static constexpr size_t kKept = 64 << 10;

 private:
  explicit OutputFile(int fd) : fd_(fd) {}

  UniqueFd fd_;
  bool truncated_ = false;
};

struct Program {
  std::vector<std::string> argv;
  // For the standard input; at most a pipe's 64 KiB. Empty = /dev/null.
  std::string input;
  // Standard output and error; -1 = /dev/null.
  int output_fd = -1;
  // Standard error, when it goes elsewhere; -1 = with the output.
  int error_fd = -1;
  // "NAME=value", besides or instead of what every program gets.
  std::vector<std::string> environment;
  // Account it runs as, with its groups and HOME; empty = the agent's.
  std::string run_as;
};

// {"/bin/sh", "-c", command}.
std::vector<std::string> ShellCommand(absl::string_view command);

// How a program ended.
struct ExitStatus {
  // -1 after a signal.
  int code = 0;
  int signal = 0;
  // "exit code 1", "signal 9".
  std::string ToString() const;
};

class ChildProcess {
 public:
  // NOT_FOUND for an account that does not exist, otherwise the system's refusal. A program that
  // cannot be executed ends with exit code 127. `exited` is called once, from the loop, not from
  // here.
  static absl::StatusOr<std::unique_ptr<ChildProcess>> Start(
      EventLoop* loop, const Program& program, std::function<void(ExitStatus)> exited);
  // Lets go of it: it is left to run, and reaped by whoever is its parent then.
  ~ChildProcess();

  // Learns an exit that is waiting to be told, and calls `exited` now.
  void Poll() {
    if (running_) Reap();
  }

  pid_t pid() const { return pid_; }
  bool running() const { return running_; }
  // "DROVER_RUN=..." in the environment of all its descendants.
  const std::string& mark() const { return mark_; }

 private:
  ChildProcess(EventLoop* loop, std::function<void(ExitStatus)> exited)
      : loop_(loop), exited_(std::move(exited)) {}
  void Reap();
  void PollSoon();

  EventLoop* const loop_;
  std::function<void(ExitStatus)> exited_;
  pid_t pid_ = -1;
  std::string mark_;
  UniqueFd pidfd_;
  EventLoop::TimerId poll_ = 0;
  bool running_ = true;
};

// Processes that carry the mark, or descend from `root` or are in its session (0 = only the mark);
// zombies and this process not.
std::vector<pid_t> ProcessTree(pid_t root, absl::string_view mark);

// Ends a tree for good: SIGKILL to all of it, again until nothing is left, which it then tells.
// Gives up after five seconds on what even that does not end (a process inside the kernel), and
// tells that, too.
void KillTree(EventLoop* loop, pid_t root, const std::string& mark,
              std::function<void(absl::Status)> done);

}  // namespace drover::agent
