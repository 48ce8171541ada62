#include "agent/watched_service.h"

#include <signal.h>

#include <algorithm>
#include <utility>

#include "absl/strings/ascii.h"
#include "absl/strings/str_cat.h"
#include "agent/durable_file.h"
#include "proto/support/log.h"
#include "proto/support/resource_name.h"
#include "proto/support/status.h"
#include "proto/support/time.h"
#include "proto/support/utf8.h"

namespace drover::agent {
namespace {

using drover::v1::ServiceStatus;

// A successor that stayed this long ended the outage.
constexpr absl::Duration kConfirmAfter = absl::Seconds(3);
// A start command that ended well may have handed over to somebody else; so long the process may
// take to turn up.
constexpr absl::Duration kHandOver = absl::Seconds(3);
// A process without a stop command gets so long after SIGTERM, and then after SIGKILL.
constexpr absl::Duration kTermination = absl::Seconds(10);
constexpr absl::Duration kKill = absl::Seconds(5);
// A stop command that failed is given so long to have worked all the same.
constexpr absl::Duration kFailedStop = absl::Seconds(1);
constexpr absl::Duration kFirstPoll = absl::Milliseconds(2);
constexpr absl::Duration kSlowestPoll = absl::Milliseconds(200);
constexpr size_t kOutputInEvents = 4096;

}  // namespace

absl::StatusOr<std::unique_ptr<WatchedService>> WatchedService::Make(
    const ServiceSurroundings* surroundings, const drover::v1::ServiceSpec& spec) {
  // It becomes part of a path.
  if (!IsValidId(spec.name())) {
    return InvalidField("name", absl::StrCat("\"", spec.name(), "\" is not a service's name"));
  }
  DROVER_ASSIGN_OR_RETURN(auto matcher, ProcessMatcher::Make(spec));
  if (spec.has_probe()) DROVER_RETURN_IF_ERROR(CheckProbe(spec.probe()));
  DROVER_ASSIGN_OR_RETURN(auto output, OutputFile::At(absl::StrCat(surroundings->output_directory,
                                                                   "/", spec.name(), ".out")));
  return std::unique_ptr<WatchedService>(
      new WatchedService(surroundings, spec, std::move(matcher), std::move(output)));
}

WatchedService::WatchedService(const ServiceSurroundings* surroundings,
                               const drover::v1::ServiceSpec& spec,
                               std::unique_ptr<ProcessMatcher> matcher, OutputFile output)
    : surroundings_(surroundings),
      loop_(surroundings->loop),
      spec_(spec),
      matcher_(std::move(matcher)),
      policy_(spec),
      output_(std::move(output)),
      since_(loop_->clock().Now()),
      absent_since_(since_) {}

WatchedService::~WatchedService() {
  *alive_ = false;
  CancelTimers();
  Answer(absl::CancelledError("the service is not watched any more"));
}

// ---------------------------------------------------------------- finding and holding

void WatchedService::Begin(const v1::ServiceRecord& known, bool same_boot, absl::Duration grace) {
  stopped_on_order_ = known.stopped_on_order();
  restart_ordered_ = known.restart_ordered();
  if (same_boot) {
    attempts_ = known.attempts();
    if (known.has_died_at()) died_at_ = FromProto(known.died_at());
  }
  if (LookFor()) return;
  if (restart_ordered_) return StartAttempt();
  if (stopped_on_order_) return Enter(Phase::kStopped);
  // A new boot is a new chance.
  if (same_boot && known.given_up()) return Enter(Phase::kGivenUp);
  if (same_boot && died_at_) return Next();
  if (same_boot && known.pid() != 0) {
    OpenOutage("gone while the agent was away");
    EmitDied("gone while the agent was away", known.pid());
    return Next();
  }
  Enter(Phase::kAbsent);
  next_timer_ = loop_->RunAfter(grace, [this] { StartAttempt(); });
}

bool WatchedService::LookFor() {
  const auto process = matcher_->Find();
  return process && Adopt(*process);
}

// False when it is gone again already.
bool WatchedService::Adopt(const ProcessInfo& process) {
  auto held = HeldProcess::Hold(loop_, process.pid, process.start_ticks, [this] { this->Ended(); });
  if (held == nullptr) return false;
  held_ = std::move(held);
  CancelTimers();
  stopped_on_order_ = restart_ordered_ = unhealthy_ = false;
  found_at_ = loop_->clock().Now();
  last_output_.clear();
  if (spec_.has_probe()) {
    probe_ = std::make_unique<ServiceProbe>(
        loop_, spec_.probe(), spec_.run_as(),
        [this](bool healthy, const std::string& detail) { ProbeChanged(healthy, detail); });
  }
  searched_ = 0;
  // Attempts belong to an outage; a first start is none.
  if (!died_at_) attempts_ = 0;
  if (died_at_) confirm_timer_ = loop_->RunAfter(kConfirmAfter, [this] { Confirm(); });
  if (attempts_ > 0) {
    stable_timer_ = loop_->RunAfter(policy_.StableAfter(attempts_), [this] {
      attempts_ = 0;
      surroundings_->changed();
    });
  }
  Enter(Phase::kRunning);
  Answer(absl::OkStatus());
  return true;
}

void WatchedService::Enter(Phase phase) {
  phase_ = phase;
  since_ = loop_->clock().Now();
  surroundings_->changed();
}

bool WatchedService::NeedsTable() const {
  return matcher_->pid_file().empty() &&
         (phase_ == Phase::kAbsent || phase_ == Phase::kStopped || phase_ == Phase::kGivenUp);
}

void WatchedService::Check(const ProcessTable& table) {
  output_.Trim();
  if (phase_ == Phase::kRunning) return held_->Check();
  if (phase_ == Phase::kStarting || phase_ == Phase::kStopping) return;
  if (!NeedsTable()) {
    LookFor();
    return;
  }
  const auto process = matcher_->FindNew(table, searched_);
  searched_ = table.version();
  if (process) Adopt(*process);
}

void WatchedService::Ended() {
  const int32_t pid = held_->pid();
  held_.reset();
  std::string how = "gone";
  if (child_ != nullptr && child_->pid() == pid) {
    child_->Poll();
    if (child_exit_) how = child_exit_->ToString();
  }
  if (phase_ == Phase::kStopping) return PollStop();
  probe_.reset();
  CancelTimers();
  // A daemon that forked itself into the background, or a new generation that took over.
  if (LookFor()) return;
  if (surroundings_->going_down) {
    LogInfo("service ", spec_.name(), " ended: ", how, "; the machine is going down");
    absent_since_ = loop_->clock().Now();
    put_off_ = [this, how, pid] { TellOutage(how, pid); };
    return Enter(Phase::kAbsent);
  }
  TellOutage(how, pid);
}

void WatchedService::TellOutage(const std::string& how, int32_t pid) {
  const bool first = !died_at_;
  OpenOutage(how);
  if (first) EmitDied(how, pid);
  Next();
}

void WatchedService::Resume() {
  auto put_off = std::exchange(put_off_, nullptr);
  if (put_off && phase_ == Phase::kAbsent && !LookFor()) put_off();
}

void WatchedService::OpenOutage(const std::string& how) {
  absent_since_ = loop_->clock().Now();
  if (died_at_) return;
  died_at_ = absent_since_;
  LogWarning("service ", spec_.name(), " ended: ", how);
}

void WatchedService::EmitDied(const std::string& how, int32_t pid) {
  v1::AgentEvent event;
  *event.mutable_time() = ToProto(absent_since_);
  event.mutable_service_died()->set_service(spec_.name());
  event.mutable_service_died()->set_pid(pid);
  event.mutable_service_died()->set_how(how);
  surroundings_->emit(std::move(event));
}

void WatchedService::Confirm() {
  confirm_timer_ = 0;
  v1::AgentEvent event;
  *event.mutable_time() = ToProto(found_at_);
  event.mutable_service_recovered()->set_service(spec_.name());
  event.mutable_service_recovered()->set_pid(held_->pid());
  event.mutable_service_recovered()->set_attempts(attempts_);
  *event.mutable_service_recovered()->mutable_died_at() = ToProto(*died_at_);
  died_at_.reset();
  LogInfo("service ", spec_.name(), " runs again, process ", held_->pid());
  surroundings_->emit(std::move(event));
  surroundings_->changed();
}

void WatchedService::ProbeChanged(bool healthy, const std::string& detail) {
  if (healthy != unhealthy_) return;
  unhealthy_ = !healthy;
  last_output_ = CleanText(detail, kOutputInEvents);
  Enter(Phase::kRunning);
  if (surroundings_->going_down) return;
  v1::AgentEvent event;
  *event.mutable_time() = ToProto(since_);
  if (healthy) {
    event.mutable_service_recovered()->set_service(spec_.name());
    event.mutable_service_recovered()->set_pid(held_->pid());
  } else {
    LogWarning("service ", spec_.name(), " is there, but its probe fails: ", detail);
    event.mutable_service_unhealthy()->set_service(spec_.name());
    event.mutable_service_unhealthy()->set_detail(last_output_);
  }
  surroundings_->emit(std::move(event));
  if (healthy || !spec_.probe().restart()) return;
  // Not from within the probe, which this destroys.
  loop_->Post([this, alive = alive_] {
    if (*alive && phase_ == Phase::kRunning && unhealthy_) EndHung();
  });
}

// By signals alone: what hangs does not answer its stop command.
void WatchedService::EndHung() {
  const int32_t pid = held_->pid();
  const std::string how = "ended, because its probe failed";
  CancelTimers();
  probe_.reset();
  const bool first = !died_at_;
  OpenOutage(how);
  if (first) EmitDied(how, pid);
  hung_ = true;
  child_.reset();
  child_exit_.reset();
  killed_ = ending_ = false;
  terminated_.clear();
  deadline_ = loop_->clock().Uptime() + kTermination;
  poll_interval_ = kFirstPoll;
  Enter(Phase::kStopping);
  PollStop();
}

// ---------------------------------------------------------------- starting

bool WatchedService::CanStart() const {
  return !spec_.start_command().empty() || !matcher_->unit().empty();
}

absl::Duration WatchedService::Limit() const {
  return absl::Seconds(spec_.start_timeout_seconds() > 0 ? spec_.start_timeout_seconds() : 60);
}

void WatchedService::Next() {
  if (surroundings_->going_down) {
    put_off_ = [this] { Next(); };
    return Enter(Phase::kAbsent);
  }
  const RestartPolicy::Step step = policy_.Next(attempts_);
  if (step.give_up || !CanStart()) return GiveUp();
  if (step.delay == absl::ZeroDuration()) return StartAttempt();
  Enter(Phase::kAbsent);
  next_timer_ = loop_->RunAfter(step.delay, [this] {
    next_timer_ = 0;
    if (!LookFor()) StartAttempt();
  });
}

absl::StatusOr<std::unique_ptr<ChildProcess>> WatchedService::Run(
    absl::string_view command, absl::string_view verb, std::function<void(ExitStatus)> exited) {
  Program program;
  program.argv = ShellCommand(command);
  program.run_as = spec_.run_as();
  if (command.empty()) {
    // The name is an argument: nothing in it is the shell's to read.
    program.argv = {"/bin/sh", "-c", "exec systemctl \"$0\" -- \"$1\"", std::string(verb),
                    matcher_->unit()};
    program.run_as.clear();
  }
  program.output_fd = output_.fd();
  child_exit_.reset();
  child_.reset();
  killed_ = ending_ = false;
  return ChildProcess::Start(loop_, program, std::move(exited));
}

void WatchedService::StartAttempt() {
  CancelTimers();
  if (!CanStart()) {
    restart_ordered_ = false;
    Answer(MakeError(absl::StatusCode::kFailedPrecondition, "SERVICE_NOT_STARTED",
                     absl::StrCat("service ", spec_.name(), " has no start command")));
    return GiveUp();
  }
  ++attempts_;
  output_.Clear();
  phase_ = Phase::kStarting;
  auto child = Run(spec_.start_command(), "start", [this](ExitStatus exit) {
    child_exit_ = exit;
    child_ended_ = loop_->clock().Uptime();
    if (phase_ == Phase::kStarting && !ending_) PollStart();
  });
  if (died_at_) ++restarts_;
  Enter(Phase::kStarting);
  if (!child.ok()) return AttemptFailed(std::string(child.status().message()));
  child_ = *std::move(child);
  deadline_ = loop_->clock().Uptime() + Limit();
  poll_interval_ = kFirstPoll;
  poll_timer_ = loop_->RunAfter(poll_interval_, [this] { PollStart(); });
}

void WatchedService::PollStart() {
  loop_->CancelTimer(poll_timer_);
  poll_timer_ = 0;
  output_.Trim();
  if (LookFor()) return;
  const absl::Duration now = loop_->clock().Uptime();
  if (child_exit_ && child_exit_->code != 0) {
    return AttemptFailed(absl::StrCat("start command ended with ", child_exit_->ToString()));
  }
  if (child_exit_ && now - child_ended_ >= kHandOver && ProcessTree(0, child_->mark()).empty()) {
    return AttemptFailed("start command ended well, but no process is there that matches");
  }
  if (now >= deadline_) {
    return EndStart(absl::StrCat("no process that matches ", FormatDuration(Limit()),
                                 " after the start command began"));
  }
  poll_interval_ = std::min(poll_interval_ * 2, kSlowestPoll);
  poll_timer_ = loop_->RunAfter(poll_interval_, [this] { PollStart(); });
}

// Ends everything the attempt has begun, then calls it failed.
void WatchedService::EndStart(const std::string& reason) {
  ending_ = true;
  KillTree(loop_, child_->running() ? child_->pid() : 0, child_->mark(),
           [this, reason, alive = alive_](absl::Status) {
             if (!*alive || phase_ != Phase::kStarting) return;
             AttemptFailed(reason);
           });
}

void WatchedService::AttemptFailed(const std::string& reason) {
  const std::string output = CleanText(output_.Tail(kOutputInEvents), kOutputInEvents);
  last_output_ = absl::StrCat(output, output.empty() || output.back() == '\n' ? "" : "\n", reason);
  LogWarning("service ", spec_.name(), ", attempt ", attempts_, ": ", reason);
  restart_ordered_ = false;
  Answer(MakeError(absl::StatusCode::kFailedPrecondition, "SERVICE_NOT_STARTED",
                   absl::StrCat("service ", spec_.name(), " did not start: ", last_output_)));
  Next();
}

void WatchedService::GiveUp() {
  if (!died_at_) died_at_ = absent_since_;
  if (!CanStart()) last_output_ = "there is no start command";
  v1::AgentEvent event;
  *event.mutable_time() = ToProto(loop_->clock().Now());
  event.mutable_service_given_up()->set_service(spec_.name());
  event.mutable_service_given_up()->set_attempts(attempts_);
  *event.mutable_service_given_up()->mutable_died_at() = ToProto(*died_at_);
  event.mutable_service_given_up()->set_last_output(last_output_);
  LogError("service ", spec_.name(), " is given up after ", attempts_, " attempts");
  surroundings_->emit(std::move(event));
  Enter(Phase::kGivenUp);
}

// ---------------------------------------------------------------- orders

void WatchedService::Answer(absl::Status status) {
  if (auto done = std::exchange(order_, nullptr)) done(std::move(status));
}

void WatchedService::Start(Done done) {
  if (phase_ == Phase::kRunning) return done(absl::OkStatus());
  order_ = std::move(done);
  if (phase_ == Phase::kStarting) return;
  CancelTimers();
  attempts_ = 0;
  stopped_on_order_ = hung_ = false;
  // What it ended was told as given up, or is not over yet.
  absent_since_ = loop_->clock().Now();
  if (!LookFor()) StartAttempt();
}

void WatchedService::Stop(Done done) { BeginStop(false, std::move(done)); }
void WatchedService::Restart(Done done) { BeginStop(true, std::move(done)); }

void WatchedService::BeginStop(bool then_start, Done done) {
  // On disk first: an agent that dies now must not take the end for an outage.
  stopped_on_order_ = !then_start;
  restart_ordered_ = then_start;
  if (absl::Status saved = surroundings_->save_now(); !saved.ok()) {
    stopped_on_order_ = restart_ordered_ = false;
    return done(Annotate(saved, "cannot record the order"));
  }
  order_ = std::move(done);
  then_start_ = then_start;
  hung_ = false;
  CancelTimers();
  probe_.reset();
  died_at_.reset();
  attempts_ = 0;
  const bool starting = phase_ == Phase::kStarting;
  Enter(Phase::kStopping);
  if (!starting || child_ == nullptr) return RunStop();
  ending_ = true;
  KillTree(loop_, child_->running() ? child_->pid() : 0, child_->mark(),
           [this, alive = alive_](absl::Status) {
             if (*alive && phase_ == Phase::kStopping) RunStop();
           });
}

void WatchedService::RunStop() {
  const absl::Duration now = loop_->clock().Uptime();
  child_.reset();
  child_exit_.reset();
  killed_ = ending_ = false;
  terminated_.clear();
  if (!matcher_->Find()) return Stopped();
  if (spec_.stop_command().empty() && matcher_->unit().empty()) {
    deadline_ = now + kTermination;
  } else {
    deadline_ = now + Limit();
    auto child = Run(spec_.stop_command(), "stop", [this](ExitStatus exit) {
      child_exit_ = exit;
      child_ended_ = loop_->clock().Uptime();
      if (phase_ == Phase::kStopping && !ending_) PollStop();
    });
    if (!child.ok()) return StopFailed(std::string(child.status().message()));
    child_ = *std::move(child);
  }
  poll_interval_ = kFirstPoll;
  PollStop();
}

void WatchedService::PollStop() {
  loop_->CancelTimer(poll_timer_);
  poll_timer_ = 0;
  const std::vector<ProcessInfo> left = matcher_->FindAll();
  if (left.empty() && (child_ == nullptr || !child_->running())) return Stopped();
  const absl::Duration now = loop_->clock().Uptime();
  if (child_ == nullptr) {
    if (killed_ && now >= deadline_) return StopFailed("it does not end even by SIGKILL");
    if (!killed_ && now >= deadline_) {
      killed_ = true;
      deadline_ = now + kKill;
    }
    SignalForStop(left);
  } else if (child_exit_ && child_exit_->code != 0 && now - child_ended_ >= kFailedStop) {
    return StopFailed(absl::StrCat("stop command ended with ", child_exit_->ToString(),
                                   ", the process is there"));
  } else if (now >= deadline_) {
    return StopFailed(absl::StrCat("the process is there ", FormatDuration(Limit()),
                                   " after the stop command began"));
  }
  poll_interval_ = std::min(poll_interval_ * 2, kSlowestPoll);
  poll_timer_ = loop_->RunAfter(poll_interval_, [this] { PollStop(); });
}

// SIGTERM to the topmost process, once, as what is below it is its own to end; SIGKILL to all.
void WatchedService::SignalForStop(const std::vector<ProcessInfo>& left) {
  const auto top = PickProcess(left);
  for (const ProcessInfo& process : left) {
    const bool is_top = top && top->pid == process.pid;
    if (!killed_ && (!is_top || !terminated_.emplace(process.pid, process.start_ticks).second)) {
      continue;
    }
    // Held for the signal: a pid may have become somebody else's since the look.
    if (auto held = HeldProcess::Hold(loop_, process.pid, process.start_ticks, [] {})) {
      held->Signal(killed_ ? SIGKILL : SIGTERM);
    }
  }
}

void WatchedService::Stopped() {
  held_.reset();
  child_.reset();
  absent_since_ = loop_->clock().Now();
  if (std::exchange(hung_, false)) return Next();
  if (std::exchange(then_start_, false)) return StartAttempt();
  Enter(Phase::kStopped);
  Answer(absl::OkStatus());
}

void WatchedService::StopFailed(const std::string& reason) {
  if (ending_) return;
  auto finish = [this, reason, alive = alive_](absl::Status) {
    if (!*alive || phase_ != Phase::kStopping) return;
    stopped_on_order_ = restart_ordered_ = then_start_ = false;
    const bool hung = std::exchange(hung_, false);
    child_.reset();
    // Taken out first: adopting it would answer that all is well.
    auto done = std::exchange(order_, nullptr);
    const std::string output = CleanText(output_.Tail(kOutputInEvents), kOutputInEvents);
    if (!LookFor()) {
      order_ = std::move(done);
      stopped_on_order_ = !hung;
      hung_ = hung;
      return Stopped();
    }
    if (done) {
      done(MakeError(absl::StatusCode::kFailedPrecondition, "SERVICE_NOT_STOPPED",
                     absl::StrCat("service ", spec_.name(), " did not stop: ", reason,
                                  output.empty() ? "" : "\n", output)));
    }
  };
  if (child_ == nullptr || !child_->running()) return finish(absl::OkStatus());
  ending_ = true;
  KillTree(loop_, child_->pid(), child_->mark(), finish);
}

void WatchedService::Abort(Done done) {
  if (order_ == nullptr) return done(absl::OkStatus());
  CancelTimers();
  then_start_ = restart_ordered_ = false;
  ending_ = true;
  auto finish = [this, done, alive = alive_](absl::Status killed) {
    if (*alive && (phase_ == Phase::kStarting || phase_ == Phase::kStopping)) {
      auto order = std::exchange(order_, nullptr);
      child_.reset();
      if (!LookFor()) {
        stopped_on_order_ = true;
        Enter(Phase::kStopped);
      }
      if (order) order(absl::CancelledError("cancelled"));
    }
    done(killed);
  };
  if (child_ == nullptr) return finish(absl::OkStatus());
  KillTree(loop_, child_->running() ? child_->pid() : 0, child_->mark(), finish);
}

void WatchedService::CancelTimers() {
  for (EventLoop::TimerId* timer : {&next_timer_, &poll_timer_, &confirm_timer_, &stable_timer_}) {
    loop_->CancelTimer(std::exchange(*timer, 0));
  }
}

// ---------------------------------------------------------------- what it is like

ServiceStatus WatchedService::status() const {
  ServiceStatus status;
  status.set_name(spec_.name());
  switch (phase_) {
    case Phase::kAbsent:
    case Phase::kStarting:
      status.set_state(ServiceStatus::STATE_RESTARTING);
      break;
    case Phase::kRunning:
    case Phase::kStopping:
      status.set_state(unhealthy_ ? ServiceStatus::STATE_UNHEALTHY : ServiceStatus::STATE_RUNNING);
      break;
    case Phase::kStopped:
      status.set_state(ServiceStatus::STATE_STOPPED);
      break;
    case Phase::kGivenUp:
      status.set_state(ServiceStatus::STATE_GIVEN_UP);
      break;
  }
  if (held_ != nullptr) status.set_pid(held_->pid());
  *status.mutable_since() = ToProto(since_);
  status.set_restarts(restarts_);
  status.set_last_output(last_output_);
  return status;
}

v1::ServiceRecord WatchedService::record() const {
  v1::ServiceRecord record;
  record.set_name(spec_.name());
  if (held_ != nullptr) {
    record.set_pid(held_->pid());
    record.set_start_ticks(held_->start_ticks());
  }
  record.set_stopped_on_order(stopped_on_order_);
  record.set_restart_ordered(restart_ordered_);
  record.set_given_up(phase_ == Phase::kGivenUp);
  record.set_attempts(attempts_);
  if (died_at_) *record.mutable_died_at() = ToProto(*died_at_);
  *record.mutable_spec() = spec_;
  return record;
}

std::string WatchedService::Output() const { return output_.Tail(OutputFile::kKept); }

}  // namespace drover::agent
