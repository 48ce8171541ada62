// One service under supervision: found, held, started again when it ends, stopped and started on
// order.
//
//   ABSENT --attempt due--> STARTING --process there--> RUNNING --process gone--> ABSENT or, with
//   no attempt left, GIVEN_UP RUNNING --order--> STOPPING --> STOPPED            any of them
//   --process turns up by itself--> RUNNING
//
// An outage begins with the process gone and is over when its successor stayed up for three
// seconds; what happens between is one outage with several attempts. A stop on order is none.
// Events are made here, sending them is the surroundings' matter.
//
// Thread promise: belongs to the event loop's thread; never waits. Survives a restart: what
// record() tells, and the processes themselves.
#pragma once

#include <functional>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "agent/child_process.h"
#include "agent/event_loop.h"
#include "agent/process_watch.h"
#include "agent/restart_policy.h"
#include "agent/service_probe.h"
#include "drover/agent/v1/agent_state.pb.h"

namespace drover::agent {

// What the services of one supervisor share; outlives them.
struct ServiceSurroundings {
  EventLoop* loop = nullptr;
  // Holds NAME.out per service.
  std::string output_directory;
  // Takes an event with its time set; must not call back.
  std::function<void(v1::AgentEvent)> emit;
  // status() or record() are new; must not call back.
  std::function<void()> changed;
  // As changed, and record() has to be on disk before this returns.
  std::function<absl::Status()> save_now;
  // The machine goes down on order: what ends now is no outage, and stays down.
  bool going_down = false;
};

class WatchedService {
 public:
  // Called once, from the loop or from within the call.
  using Done = std::function<void(absl::Status)>;

  // INVALID_ARGUMENT naming the field of the spec.
  static absl::StatusOr<std::unique_ptr<WatchedService>> Make(
      const ServiceSurroundings* surroundings, const drover::v1::ServiceSpec& spec);
  ~WatchedService();

  // Finds the process or decides what its absence means. `known` is what was kept of it,
  // `same_boot` tells whether since the machine started. A service never seen before gets its first
  // start after `grace`, without an outage.
  void Begin(const v1::ServiceRecord& known, bool same_boot, absl::Duration grace);
  // Once a second: verifies a held process, looks for one that is not.
  void Check(const ProcessTable& table);
  // Check will look into the table, which must be fresh.
  bool NeedsTable() const;

  // The machine stays up after all: what ended while it was about to go down is an outage.
  void Resume();

  // An order is at work.
  bool busy() const { return order_ != nullptr; }
  // Only while not busy. The outcome of Start and Restart: FAILED_PRECONDITION, reason
  // SERVICE_NOT_STARTED with the output. Of Stop and Restart: reason SERVICE_NOT_STOPPED, and it is
  // supervised as before.
  void Start(Done done);
  void Stop(Done done);
  void Restart(Done done);
  // Ends the order at work, with all its processes; its Done gets CANCELLED. A service that is not
  // there then counts as stopped on order.
  void Abort(Done done);

  drover::v1::ServiceStatus status() const;
  v1::ServiceRecord record() const;
  // At most the last 64 KiB of its start command.
  std::string Output() const;

 private:
  enum class Phase { kAbsent, kStarting, kRunning, kStopping, kStopped, kGivenUp };

  WatchedService(const ServiceSurroundings* surroundings, const drover::v1::ServiceSpec& spec,
                 std::unique_ptr<ProcessMatcher> matcher, OutputFile output);

  void Enter(Phase phase);
  bool LookFor();
  bool Adopt(const ProcessInfo& process);
  void Ended();
  void OpenOutage(const std::string& how);
  void TellOutage(const std::string& how, int32_t pid);
  void Confirm();
  void Next();
  void StartAttempt();
  void PollStart();
  void AttemptFailed(const std::string& reason);
  void EndStart(const std::string& reason);
  void GiveUp();
  void BeginStop(bool then_start, Done done);
  void RunStop();
  void PollStop();
  void SignalForStop(const std::vector<ProcessInfo>& left);
  void Stopped();
  void StopFailed(const std::string& reason);
  void EndHung();
  void ProbeChanged(bool healthy, const std::string& detail);
  void Answer(absl::Status status);
  void CancelTimers();
  absl::StatusOr<std::unique_ptr<ChildProcess>> Run(absl::string_view command,
                                                    absl::string_view verb,
                                                    std::function<void(ExitStatus)> exited);
  bool CanStart() const;
  absl::Duration Limit() const;
  void EmitDied(const std::string& how, int32_t pid);

  const ServiceSurroundings* const surroundings_;
  EventLoop* const loop_;
  const drover::v1::ServiceSpec spec_;
  const std::unique_ptr<ProcessMatcher> matcher_;
  const RestartPolicy policy_;
  OutputFile output_;

  Phase phase_ = Phase::kAbsent;
  absl::Time since_;
  int restarts_ = 0;
  int attempts_ = 0;
  bool stopped_on_order_ = false;
  bool restart_ordered_ = false;
  bool unhealthy_ = false;
  // It is being ended because its probe failed, to be started again as a dead one is.
  bool hung_ = false;
  // Since when it is missing; the outage, once it is one.
  absl::Time absent_since_;
  std::optional<absl::Time> died_at_;
  // What happened while the machine was about to go down.
  std::function<void()> put_off_;
  absl::Time found_at_;
  std::string last_output_;

  std::unique_ptr<HeldProcess> held_;
  // Of the table, up to which nothing was found.
  uint64_t searched_ = 0;
  std::unique_ptr<ServiceProbe> probe_;
  // The start or stop command, also after it ended.
  std::unique_ptr<ChildProcess> child_;
  std::optional<ExitStatus> child_exit_;
  absl::Duration child_ended_;
  absl::Duration deadline_;
  absl::Duration poll_interval_;
  bool killed_ = false;
  // Processes that got their SIGTERM, with start time.
  std::set<std::pair<pid_t, uint64_t>> terminated_;
  bool then_start_ = false;
  // The tree of the command is being ended.
  bool ending_ = false;
  Done order_;

  EventLoop::TimerId next_timer_ = 0;
  EventLoop::TimerId poll_timer_ = 0;
  EventLoop::TimerId confirm_timer_ = 0;
  EventLoop::TimerId stable_timer_ = 0;
  // Gone with this, so that late answers of KillTree know.
  std::shared_ptr<bool> alive_ = std::make_shared<bool>(true);
};

}  // namespace drover::agent
