// Makes the agent a part of the machine: started now, and at every boot.
//
// Under systemd it is a unit. Elsewhere a line in /etc/rc.local, and a process detached from
// whoever called, with a keeper: a small parent that starts it again should it ever end unasked.
//
// Thread promise: for a program with one thread, before gRPC is used. Survives a restart: unit or
// line, agent.lock (with the process id) and agent.log in the state directory.
#pragma once

#include <functional>
#include <optional>
#include <string>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "agent/config.h"
#include "agent/unique_fd.h"

namespace drover::agent {

// Pure: the unit file that runs `program` with `config_path`.
std::string UnitFile(absl::string_view program, absl::string_view config_path);
// Pure: an rc.local with the line that starts the agent, made of the one there is (empty = none).
// The same text when the line is in it.
std::string WithBootLine(absl::string_view rc_local, absl::string_view program,
                         absl::string_view config_path);

// The right to be the agent of a state directory; held until destroyed, and by the processes forked
// meanwhile.
class AgentLock {
 public:
  // FAILED_PRECONDITION, reason AGENT_RUNNING with the process id in the message and the metadata
  // (pid) when another holds it.
  static absl::StatusOr<AgentLock> Take(const std::string& state_directory);
  // Writes the id of this process into it.
  absl::Status WritePid();

 private:
  explicit AgentLock(UniqueFd fd) : fd_(std::move(fd)) {}
  UniqueFd fd_;
};

// Runs the agent in this process until it is told to end; `ready` is called once it is up. Returns
// the exit code.
using RunAgent = std::function<int(const Config& config, const std::function<void()>& ready)>;

// Installs and starts. Does nothing that is done already; an agent that runs is replaced only when
// program, configuration or token are newer than it. `program` is the absolute path of this
// executable. Does not return in the processes it starts.
absl::Status SetUp(const Config& config, const std::string& config_path, const std::string& program,
                   const RunAgent& run);

}  // namespace drover::agent
