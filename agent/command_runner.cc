#include "agent/command_runner.h"

#include <algorithm>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "agent/guest_password.h"
#include "agent/watched_service.h"
#include "proto/support/log.h"
#include "proto/support/status.h"
#include "proto/support/time.h"

namespace drover::agent {
namespace {

constexpr int64_t kCompactAbove = 256 << 10;
// Ids without an expire time cannot be told to be too old; so many are remembered.
constexpr size_t kIdsWithoutEnd = 1000;
// Clocks of controller and guest may differ by this much before an id is forgotten too early.
constexpr absl::Duration kForgetAfter = absl::Hours(24);
constexpr absl::Duration kStandardTimeout = absl::Minutes(10);

// Longest piece of output of one update.
constexpr size_t kPiece = 64 << 10;

// Services started, stopped and restarted. What the supervisor has changed stays.
class ServiceControlWork : public OrderWork {
 public:
  ServiceControlWork(Supervisor* supervisor, v1::ControlService order)
      : supervisor_(supervisor), order_(std::move(order)) {}
  void Abort(std::function<void(absl::Status)> ended) override {
    supervisor_->Abort(order_, std::move(ended));
  }

 private:
  Supervisor* const supervisor_;
  const v1::ControlService order_;
};

}  // namespace

CommandRunner::CommandRunner(EventLoop* loop, Supervisor* supervisor, Tell tell)
    : loop_(loop), supervisor_(supervisor), tell_(std::move(tell)) {
  RegisterOwn();
}

void CommandRunner::Register(v1::Command::OrderCase kind, AfterInterruption after,
                             OrderFactory factory) {
  kinds_[kind] = {after, std::move(factory)};
}

void CommandRunner::RegisterOwn() {
  using Started = absl::StatusOr<std::unique_ptr<OrderWork>>;
  Register(v1::Command::kControlService, AfterInterruption::kFail,
           [this](const v1::Command& command, OrderVoice voice) -> Started {
             auto work =
                 std::make_unique<ServiceControlWork>(supervisor_, command.control_service());
             supervisor_->Control(command.control_service(),
                                  [voice](absl::Status status) { voice.done(status, {}); });
             return work;
           });
  Register(v1::Command::kSetPassword, AfterInterruption::kFail,
           [this](const v1::Command& command, OrderVoice voice) -> Started {
             const v1::SetPassword& order = command.set_password();
             return PasswordChange::Start(loop_, order.account().empty() ? "root" : order.account(),
                                          order.password(),
                                          [voice](absl::Status status) { voice.done(status, {}); });
           });
}

AfterInterruption CommandRunner::After(const v1::Command& command) const {
  const auto kind = kinds_.find(command.order_case());
  // The others are over at once.
  return kind == kinds_.end() ? AfterInterruption::kRepeat : kind->second.after;
}

CommandRunner::~CommandRunner() {
  *alive_ = false;
  for (auto& [id, work] : working_) loop_->CancelTimer(work.timeout);
}

absl::StatusOr<std::unique_ptr<CommandRunner>> CommandRunner::Open(const std::string& path,
                                                                   EventLoop* loop,
                                                                   Supervisor* supervisor,
                                                                   Tell tell) {
  std::unique_ptr<CommandRunner> runner(new CommandRunner(loop, supervisor, std::move(tell)));
  auto log = RecordLog::Open(path, [&](absl::string_view record) { runner->Replay(record); });
  DROVER_ASSIGN_OR_RETURN(runner->log_, std::move(log));
  runner->SettleInterrupted();
  return runner;
}

void CommandRunner::Replay(absl::string_view record) {
  v1::InboxEntry entry;
  if (!entry.ParseFromArray(record.data(), record.size())) return;
  entries_[entry.command_id()] = std::move(entry);
}

void CommandRunner::SettleInterrupted() {
  std::vector<std::string> interrupted;
  for (const auto& [id, entry] : entries_) {
    if (!entry.has_result() && !entry.survives()) interrupted.push_back(id);
  }
  for (const std::string& id : interrupted) {
    if (entries_[id].repeatable()) {
      entries_.erase(id);
      continue;
    }
    FinishAs(id, v1::CommandUpdate::STATE_FAILED,
             MakeError(absl::StatusCode::kAborted, "INTERRUPTED",
                       "the agent ended while the command was at work"));
  }
}

absl::Time CommandRunner::Now() const { return loop_->clock().Now() + clock_offset_; }

void CommandRunner::Accept(const v1::Command& command) {
  if (auto known = entries_.find(command.id()); known != entries_.end()) {
    if (known->second.has_result()) return tell_(known->second.result());
    return TellState(command.id(), v1::CommandUpdate::STATE_RUNNING);
  }
  v1::InboxEntry entry;
  entry.set_command_id(command.id());
  if (command.has_expire_time()) *entry.mutable_expire_time() = command.expire_time();
  entry.set_repeatable(After(command) == AfterInterruption::kRepeat);
  entry.set_survives(After(command) == AfterInterruption::kSurvive);
  entry.set_order(command.order_case());
  if (command.has_expire_time() && Now() > FromProto(command.expire_time())) {
    entries_[command.id()] = std::move(entry);
    return FinishAs(command.id(), v1::CommandUpdate::STATE_EXPIRED,
                    absl::DeadlineExceededError("the command came after its expire time"));
  }
  // What can be repeated is written once, with its result.
  if (entry.repeatable()) {
    entries_[command.id()] = std::move(entry);
  } else if (!Keep(std::move(entry))) {
    return;
  }
  ForgetOld();
  Begin(command);
}

void CommandRunner::Begin(const v1::Command& command) {
  const std::string& id = command.id();
  switch (command.order_case()) {
    case v1::Command::kNop:
      return Finish(id, absl::OkStatus());
    case v1::Command::kGetServiceOutput:
      return AnswerOutput(command);
    case v1::Command::kPrepareShutdown:
      supervisor_->PrepareShutdown(absl::Seconds(command.prepare_shutdown().seconds()));
      return Finish(id, absl::OkStatus());
    default:
      break;
  }
  const auto kind = kinds_.find(command.order_case());
  if (kind == kinds_.end()) {
    return Finish(id, MakeError(absl::StatusCode::kUnimplemented, "UNKNOWN_ORDER",
                                "this agent does not know the order; upgrade the agent"));
  }
  working_[id];
  TellState(id, v1::CommandUpdate::STATE_RUNNING);
  auto order = kind->second.factory(command, VoiceOf(id));
  if (!order.ok()) return Finish(id, order.status());
  const auto work = working_.find(id);
  if (work == working_.end()) return;
  work->second.order = *std::move(order);
  const absl::Duration limit =
      command.timeout_seconds() > 0 ? absl::Seconds(command.timeout_seconds()) : kStandardTimeout;
  work->second.timeout = loop_->RunAfter(limit, [this, id, limit] {
    End(id, v1::CommandUpdate::STATE_TIMED_OUT,
        absl::StrCat("ended after ", FormatDuration(limit)));
  });
}

OrderVoice CommandRunner::VoiceOf(const std::string& id) {
  OrderVoice voice;
  // Not from within the work, which the end destroys.
  voice.done = [this, id, alive = alive_](const absl::Status& status, v1::CommandUpdate details) {
    if (!*alive) return;
    loop_->Post([this, id, status, details = std::move(details), alive] {
      if (*alive) Finish(id, status, details);
    });
  };
  voice.output = [this, id, alive = alive_](absl::string_view piece) {
    if (*alive) TellOutput(id, piece);
  };
  return voice;
}

void CommandRunner::Settle(const std::string& id, const absl::Status& status,
                           v1::CommandUpdate details) {
  Finish(id, status, std::move(details));
}

std::vector<std::string> CommandRunner::Survivors(v1::Command::OrderCase kind) const {
  std::vector<std::string> ids;
  for (const auto& [id, entry] : entries_) {
    if (!entry.has_result() && entry.survives() && entry.order() == kind) ids.push_back(id);
  }
  return ids;
}

void CommandRunner::Resume(const std::string& id, std::unique_ptr<OrderWork> order) {
  const auto entry = entries_.find(id);
  if (entry == entries_.end() || entry->second.has_result()) return;
  working_[id].order = std::move(order);
}

void CommandRunner::AnswerOutput(const v1::Command& command) {
  auto output = supervisor_->Output(command.get_service_output().service());
  if (!output.ok()) return Finish(command.id(), output.status());
  v1::CommandUpdate details;
  details.set_output(*std::move(output));
  Finish(command.id(), absl::OkStatus(), std::move(details));
}

void CommandRunner::Cancel(const std::string& id) {
  auto known = entries_.find(id);
  if (known == entries_.end()) {
    // Its order may still be on the way.
    entries_[id].set_command_id(id);
    return FinishAs(id, v1::CommandUpdate::STATE_CANCELLED,
                    absl::CancelledError("cancelled before it came"));
  }
  if (known->second.has_result()) return tell_(known->second.result());
  End(id, v1::CommandUpdate::STATE_CANCELLED, "cancelled");
}

// Ends all processes of the command first: the state that is told then is the truth.
void CommandRunner::End(const std::string& id, v1::CommandUpdate::State state,
                        const std::string& reason) {
  auto found = working_.find(id);
  if (found == working_.end() || found->second.ending) return;
  Work& work = found->second;
  work.ending = true;
  auto ended = [this, id, state, reason, alive = alive_](absl::Status killed) {
    if (!*alive) return;
    const auto code = state == v1::CommandUpdate::STATE_TIMED_OUT
                          ? absl::StatusCode::kDeadlineExceeded
                          : absl::StatusCode::kCancelled;
    // Not from within the work, which the end destroys.
    loop_->Post([this, id, state, alive,
                 status = absl::Status(
                     code, killed.ok() ? reason : absl::StrCat(reason, "; ", killed.message()))] {
      if (*alive) FinishAs(id, state, status);
    });
  };
  work.order->Abort(ended);
}

void CommandRunner::Finish(const std::string& id, const absl::Status& status,
                           v1::CommandUpdate details) {
  auto work = working_.find(id);
  if (work != working_.end() && work->second.ending) return;
  FinishAs(id, status.ok() ? v1::CommandUpdate::STATE_SUCCEEDED : v1::CommandUpdate::STATE_FAILED,
           status, std::move(details));
}

void CommandRunner::FinishAs(const std::string& id, v1::CommandUpdate::State state,
                             const absl::Status& status, v1::CommandUpdate details) {
  auto entry = entries_.find(id);
  if (entry == entries_.end() || entry->second.has_result()) return;
  if (auto work = working_.find(id); work != working_.end()) {
    loop_->CancelTimer(work->second.timeout);
    working_.erase(work);
  }
  v1::CommandUpdate& result = *entry->second.mutable_result();
  result = std::move(details);
  result.set_command_id(id);
  result.set_state(state);
  if (!status.ok()) *result.mutable_error() = ToRpcStatus(status);
  *result.mutable_time() = ToProto(loop_->clock().Now());
  if (absl::Status kept = log_->Append(entry->second.SerializeAsString()); !kept.ok()) {
    LogError("result of command ", id, " is in memory only: ", kept.message());
  }
  tell_(result);
}

// Writes that the command is about to begin. False when the disk refuses: then it is not begun, as
// it could be carried out twice.
bool CommandRunner::Keep(v1::InboxEntry entry) {
  const std::string id = entry.command_id();
  const absl::Status kept = log_->Append(entry.SerializeAsString());
  entries_[id] = std::move(entry);
  if (kept.ok()) return true;
  FinishAs(id, v1::CommandUpdate::STATE_FAILED,
           MakeError(absl::StatusCode::kResourceExhausted, "COMMAND_NOT_RECORDED",
                     absl::StrCat("not begun: ", kept.message())));
  return false;
}

void CommandRunner::Acknowledge(const std::string& id) {
  auto entry = entries_.find(id);
  if (entry == entries_.end() || !entry->second.has_result() || entry->second.acknowledged()) {
    return;
  }
  entry->second.set_acknowledged(true);
  entry->second.mutable_result()->clear_output();
  if (absl::Status kept = log_->Append(entry->second.SerializeAsString()); !kept.ok()) {
    LogError(kept.message());
  }
  ForgetOld();
}

void CommandRunner::ForgetOld() {
  size_t without_end = std::count_if(entries_.begin(), entries_.end(), [](const auto& item) {
    return item.second.acknowledged() && !item.second.has_expire_time();
  });
  for (auto at = entries_.begin(); at != entries_.end();) {
    const v1::InboxEntry& entry = at->second;
    const bool expired =
        entry.has_expire_time() && Now() > FromProto(entry.expire_time()) + kForgetAfter;
    const bool surplus = !entry.has_expire_time() && without_end > kIdsWithoutEnd;
    if (!entry.acknowledged() || (!expired && !surplus)) {
      ++at;
      continue;
    }
    if (surplus) --without_end;
    at = entries_.erase(at);
  }
  if (log_->size() < kCompactAbove) return;
  std::vector<std::string> records;
  size_t bytes = 0;
  for (const auto& [id, entry] : entries_) {
    records.push_back(entry.SerializeAsString());
    bytes += records.back().size();
  }
  if (log_->size() < static_cast<int64_t>(2 * bytes)) return;
  if (absl::Status status = log_->Rewrite(records); !status.ok()) LogError(status.message());
}

void CommandRunner::Resend() {
  for (const auto& [id, entry] : entries_) {
    if (!entry.has_result()) {
      TellState(id, v1::CommandUpdate::STATE_RUNNING);
    } else if (!entry.acknowledged()) {
      tell_(entry.result());
    }
  }
}

void CommandRunner::TellState(const std::string& id, v1::CommandUpdate::State state) {
  v1::CommandUpdate update;
  update.set_command_id(id);
  update.set_state(state);
  *update.mutable_time() = ToProto(loop_->clock().Now());
  tell_(std::move(update));
}

void CommandRunner::TellOutput(const std::string& id, absl::string_view piece) {
  const auto work = working_.find(id);
  if (work == working_.end()) return;
  while (!piece.empty()) {
    v1::CommandUpdate update;
    update.set_command_id(id);
    update.set_state(v1::CommandUpdate::STATE_RUNNING);
    update.set_output(std::string(piece.substr(0, kPiece)));
    update.set_output_offset(work->second.output);
    *update.mutable_time() = ToProto(loop_->clock().Now());
    work->second.output += static_cast<int64_t>(update.output().size());
    piece.remove_prefix(update.output().size());
    tell_(std::move(update));
  }
}

}  // namespace drover::agent
