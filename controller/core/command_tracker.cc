#include "controller/core/command_tracker.h"

#include <algorithm>
#include <optional>
#include <thread>
#include <utility>
#include <vector>

#include "absl/strings/escaping.h"
#include "absl/strings/str_cat.h"
#include "proto/support/json.h"
#include "proto/support/log.h"
#include "proto/support/status.h"
#include "proto/support/time.h"

namespace drover::core {
namespace {

using drover::agent::v1::Command;
using Update = CommandTracker::Update;

constexpr absl::Duration kUsualTimeout = absl::Minutes(10);
// For the way of the result.
constexpr absl::Duration kGrace = absl::Minutes(1);
// A waiter looks at the clock this often; changes wake it at once.
constexpr absl::Duration kLook = absl::Milliseconds(500);
// A thousand talkative agents are 64 MiB.
constexpr size_t kKeptOutput = 64 << 10;

std::string Purpose(absl::string_view command_id) { return absl::StrCat("command:", command_id); }

absl::Status NotOrdered(absl::string_view command_id) {
  return absl::NotFoundError(absl::StrCat("there is no command ", command_id));
}

absl::Time GiveUpTime(const CommandRecord& record) {
  const Command& command = record.command();
  absl::Duration timeout =
      command.timeout_seconds() > 0 ? absl::Seconds(command.timeout_seconds()) : kUsualTimeout;
  return FromProto(command.expire_time()) + timeout + kGrace;
}

Update Gone() {
  Update gone;
  gone.set_state(Update::STATE_CANCELLED);
  return gone;
}

Document DocumentOf(const CommandRecord& record) {
  return {record.command().id(), record.vm_uid(), record.SerializeAsString()};
}

bool HasSecrets(const Command& command) {
  Command open = command;
  ClearSecrets(&open);
  return open.SerializeAsString() != command.SerializeAsString();
}

}  // namespace

bool IsFinal(Update::State state) {
  return state != Update::STATE_UNSPECIFIED && state != Update::STATE_DELIVERED &&
         state != Update::STATE_RUNNING;
}

CommandTracker::CommandTracker(Store* store, Vault* vault, Clock* clock)
    : store_(store), vault_(vault), clock_(clock) {}

void CommandTracker::SetGateway(AgentGateway* gateway) {
  absl::MutexLock lock(&mutex_);
  gateway_ = gateway;
}

absl::Status CommandTracker::Load() {
  std::vector<Document> documents;
  DROVER_RETURN_IF_ERROR(store_->Read([&](StoreReader& reader) -> absl::Status {
    DROVER_ASSIGN_OR_RETURN(documents, reader.List(Table::kCommands, ListQuery()));
    return absl::OkStatus();
  }));
  absl::MutexLock lock(&mutex_);
  for (const Document& document : documents) {
    Tracked tracked;
    if (!tracked.record.ParseFromString(document.body)) {
      return absl::DataLossError(absl::StrCat("the stored command ", document.key, " is damaged"));
    }
    tracked.output = tracked.record.last_update().output();
    tracked.output_begin = tracked.record.last_update().output_offset();
    tracked.given = tracked.record.handed();
    commands_[document.key] = std::move(tracked);
  }
  return absl::OkStatus();
}

std::string CommandTracker::NewId() {
  return absl::StrCat("c-", absl::BytesToHexString(vault_->RandomBytes(16)));
}

absl::Status CommandTracker::Write(const CommandRecord& record) {
  const Document document = DocumentOf(record);
  return store_->Write([&](StoreWriter& writer) { return writer.Put(Table::kCommands, document); });
}

absl::Status CommandTracker::Order(absl::string_view vm_uid, const Command& command,
                                   absl::string_view operation, Watcher watcher) {
  std::vector<Given> orders;
  orders.push_back({std::string(vm_uid), command, std::string(operation), std::move(watcher)});
  return OrderAll(std::move(orders));
}

absl::StatusOr<CommandTracker::Tracked> CommandTracker::NewCommand(Given given) {
  Tracked tracked;
  tracked.watcher = std::move(given.watcher);
  CommandRecord& record = tracked.record;
  record.set_vm_uid(std::move(given.vm_uid));
  record.set_operation(std::move(given.operation));
  *record.mutable_create_time() = ToProto(clock_->Now());
  *record.mutable_command() = std::move(given.command);
  if (HasSecrets(record.command())) {
    DROVER_ASSIGN_OR_RETURN(
        *record.mutable_sealed_command(),
        vault_->Seal(record.command().SerializeAsString(), Purpose(record.command().id())));
    ClearSecrets(record.mutable_command());
  }
  return tracked;
}

absl::Status CommandTracker::OrderAll(std::vector<Given> orders) {
  AgentGateway* gateway;
  {
    absl::MutexLock lock(&mutex_);
    gateway = gateway_;
    std::erase_if(orders, [this](Given& given) ABSL_NO_THREAD_SAFETY_ANALYSIS {
      auto found = commands_.find(given.command.id());
      if (found == commands_.end()) return false;
      if (!found->second.watcher) found->second.watcher = std::move(given.watcher);
      return true;
    });
  }
  if (orders.empty()) return absl::OkStatus();
  std::vector<Tracked> fresh;
  for (Given& given : orders) {
    DROVER_ASSIGN_OR_RETURN(Tracked tracked, NewCommand(std::move(given)));
    // The usual case costs one write.
    const bool there = gateway != nullptr && gateway->IsConnected(tracked.record.vm_uid());
    tracked.record.set_handed(there);
    fresh.push_back(std::move(tracked));
  }
  DROVER_RETURN_IF_ERROR(store_->Write([&](StoreWriter& writer) -> absl::Status {
    for (const Tracked& tracked : fresh) {
      DROVER_RETURN_IF_ERROR(writer.Put(Table::kCommands, DocumentOf(tracked.record)));
    }
    return absl::OkStatus();
  }));
  std::vector<CommandRecord> records;
  {
    absl::MutexLock lock(&mutex_);
    for (Tracked& tracked : fresh) {
      records.push_back(tracked.record);
      const std::string id = tracked.record.command().id();
      commands_.emplace(id, std::move(tracked));
    }
  }
  for (const CommandRecord& record : records) {
    if (record.handed()) {
      Hand(record.command().id());
    } else if (gateway != nullptr && gateway->IsConnected(record.vm_uid())) {
      // It came this moment.
      OnConnected(record.vm_uid());
    }
  }
  return absl::OkStatus();
}

absl::Status CommandTracker::MarkHanded(const std::vector<std::string>& ids) {
  std::vector<CommandRecord> records;
  {
    absl::MutexLock lock(&mutex_);
    const absl::Time now = clock_->Now();
    for (const std::string& id : ids) {
      auto found = commands_.find(id);
      if (found == commands_.end()) continue;
      const Tracked& tracked = found->second;
      if (tracked.record.handed() || tracked.withdrawn) continue;
      // Not begun after this.
      if (now >= FromProto(tracked.record.command().expire_time())) continue;
      records.push_back(tracked.record);
      records.back().set_handed(true);
    }
  }
  if (records.empty()) return absl::OkStatus();
  DROVER_RETURN_IF_ERROR(store_->Write([&](StoreWriter& writer) -> absl::Status {
    for (const CommandRecord& record : records) {
      DROVER_RETURN_IF_ERROR(writer.Put(Table::kCommands, DocumentOf(record)));
    }
    return absl::OkStatus();
  }));
  absl::MutexLock lock(&mutex_);
  for (const CommandRecord& record : records) {
    auto found = commands_.find(record.command().id());
    if (found == commands_.end() || found->second.withdrawn) continue;
    found->second.record.set_handed(true);
  }
  return absl::OkStatus();
}

void CommandTracker::Hand(absl::string_view command_id) {
  CommandRecord record;
  AgentGateway* gateway;
  Watcher watcher;
  {
    absl::MutexLock lock(&mutex_);
    gateway = gateway_;
    auto found = commands_.find(command_id);
    if (gateway == nullptr || found == commands_.end()) return;
    record = found->second.record;
    watcher = found->second.watcher;
    // One that the agent may have it gets again, as it carries it out once.
    if (!record.handed() || IsFinal(record.last_update().state())) return;
  }
  if (!gateway->IsConnected(record.vm_uid())) return;
  Command command = record.command();
  if (!record.sealed_command().empty()) {
    auto plain = vault_->Unseal(record.sealed_command(), Purpose(command_id));
    if (!plain.ok() || !command.ParseFromString(*plain)) {
      LogError("command ", command_id, " cannot be unsealed");
      return;
    }
  }
  if (watcher) watcher(Update());
  const absl::Status sent = gateway->Send(record.vm_uid(), command);
  if (!sent.ok()) return NotHanded(record, sent);
  absl::MutexLock lock(&mutex_);
  if (auto found = commands_.find(command_id); found != commands_.end()) found->second.given = true;
}

// The stream ended this moment; the agent comes back.
void CommandTracker::NotHanded(const CommandRecord& record, const absl::Status& why) {
  const std::string& id = record.command().id();
  LogDebug("command ", id, ": ", why.message());
  AgentGateway* gateway;
  CommandRecord changed;
  {
    absl::MutexLock lock(&mutex_);
    gateway = gateway_;
  }
  // It is back already: whoever told so hands it over.
  if (gateway->IsConnected(record.vm_uid())) return;
  {
    absl::MutexLock lock(&mutex_);
    auto found = commands_.find(id);
    if (found == commands_.end() || found->second.given) return;
    if (IsFinal(found->second.record.last_update().state())) return;
    // Nobody has it after all: that it expires can be told for certain.
    found->second.record.set_handed(false);
    changed = found->second.record;
  }
  if (const absl::Status written = Write(changed); !written.ok()) {
    LogError("command ", id, " counts as sent: ", written.message());
  }
  if (gateway->IsConnected(record.vm_uid())) OnConnected(record.vm_uid());
}

absl::StatusOr<CommandTracker::Glance> CommandTracker::Look(absl::string_view command_id) {
  for (;;) {
    {
      absl::MutexLock lock(&mutex_);
      auto found = commands_.find(command_id);
      if (found == commands_.end()) return NotOrdered(command_id);
      Tracked& tracked = found->second;
      Glance glance;
      glance.update = tracked.record.last_update();
      glance.update.set_output(tracked.output);
      glance.update.set_output_offset(tracked.output_begin);
      glance.handed = tracked.record.handed();
      if (IsFinal(glance.update.state())) return glance;
      const absl::Time now = clock_->Now();
      if (now >= GiveUpTime(tracked.record)) {
        return MakeError(absl::StatusCode::kUnavailable, "CONTACT_LOST",
                         "the agent took the command and was not heard of again");
      }
      const absl::Time expire_time = FromProto(tracked.record.command().expire_time());
      glance.next = glance.handed ? GiveUpTime(tracked.record) : expire_time;
      if (glance.handed || now < expire_time) return glance;
      // Nobody comes for it any more.
      tracked.withdrawn = true;
    }
    Update expired;
    expired.set_command_id(std::string(command_id));
    expired.set_state(Update::STATE_EXPIRED);
    *expired.mutable_time() = ToProto(clock_->Now());
    DROVER_RETURN_IF_ERROR(Finish(command_id, expired));
  }
}

void CommandTracker::Watch(absl::string_view command_id, Watcher watcher) {
  absl::MutexLock lock(&mutex_);
  auto found = commands_.find(command_id);
  if (found == commands_.end() || found->second.watcher) return;
  found->second.watcher = std::move(watcher);
}

absl::StatusOr<Update> CommandTracker::Wait(absl::string_view command_id, std::stop_token stop,
                                            absl::FunctionRef<void(const Update&)> progress) {
  // Taking the mutex wakes the waiter: conditions are looked at when it is released.
  std::stop_callback wake(stop, [this] { absl::MutexLock lock(&mutex_); });
  int64_t seen = 0;
  for (;;) {
    int64_t changes = 0;
    {
      absl::MutexLock lock(&mutex_);
      auto changed = [&]() ABSL_NO_THREAD_SAFETY_ANALYSIS {
        auto found = commands_.find(command_id);
        return stop.stop_requested() || found == commands_.end() || found->second.changes != seen ||
               IsFinal(found->second.record.last_update().state());
      };
      mutex_.AwaitWithTimeout(absl::Condition(&changed), kLook);
      if (stop.stop_requested()) return absl::CancelledError("the wait was ended");
      auto found = commands_.find(command_id);
      if (found != commands_.end()) changes = found->second.changes;
    }
    DROVER_ASSIGN_OR_RETURN(const Glance glance, Look(command_id));
    if (IsFinal(glance.update.state())) return glance.update;
    if (changes != seen) progress(glance.update);
    seen = changes;
  }
}

absl::Status CommandTracker::Finish(absl::string_view command_id, const Update& final) {
  CommandRecord record;
  {
    absl::MutexLock lock(&mutex_);
    auto found = commands_.find(command_id);
    if (found == commands_.end()) return absl::OkStatus();
    // The first end counts.
    if (IsFinal(found->second.record.last_update().state())) return absl::OkStatus();
    record = found->second.record;
    *record.mutable_last_update() = final;
    record.mutable_last_update()->set_output(found->second.output);
    record.mutable_last_update()->set_output_offset(found->second.output_begin);
    record.clear_sealed_command();
  }
  DROVER_RETURN_IF_ERROR(Write(record));
  bool forgotten = false;
  Watcher watcher;
  {
    absl::MutexLock lock(&mutex_);
    auto found = commands_.find(command_id);
    forgotten = found == commands_.end() || found->second.record.abandoned();
    if (!forgotten) {
      found->second.record = record;
      ++found->second.changes;
      watcher = found->second.watcher;
    }
  }
  if (watcher) watcher(record.last_update());
  return forgotten ? Forget(command_id) : absl::OkStatus();
}

void CommandTracker::KeepOutput(Tracked& tracked, absl::string_view piece, int64_t offset) {
  if (offset < tracked.output_begin) {
    // A part that was let go already, told again.
    const int64_t known = tracked.output_begin - std::max<int64_t>(0, offset);
    piece.remove_prefix(std::min(piece.size(), static_cast<size_t>(known)));
    offset = tracked.output_begin;
  }
  if (piece.empty()) return;
  std::string& kept = tracked.output;
  if (offset > tracked.output_begin + static_cast<int64_t>(kept.size())) {
    // What lies between never came.
    kept.clear();
    tracked.output_begin = offset;
  }
  const size_t at = static_cast<size_t>(offset - tracked.output_begin);
  kept.replace(at, std::min(piece.size(), kept.size() - at), piece.data(), piece.size());
  if (kept.size() <= kKeptOutput) return;
  const size_t out = kept.size() - kKeptOutput;
  kept.erase(0, out);
  tracked.output_begin += static_cast<int64_t>(out);
}

absl::Status CommandTracker::OnUpdate(absl::string_view vm_uid, const Update& update) {
  Watcher watcher;
  {
    absl::MutexLock lock(&mutex_);
    auto found = commands_.find(update.command_id());
    // Forgotten, or somebody else's: the agent may forget it too.
    if (found == commands_.end() || found->second.record.vm_uid() != vm_uid) {
      return absl::OkStatus();
    }
    Tracked& tracked = found->second;
    tracked.record.set_handed(true);
    tracked.given = true;
    KeepOutput(tracked, update.output(), update.output_offset());
    if (!IsFinal(update.state())) {
      if (!IsFinal(tracked.record.last_update().state())) {
        *tracked.record.mutable_last_update() = update;
        tracked.record.mutable_last_update()->clear_output();
        ++tracked.changes;
        watcher = tracked.watcher;
      }
    }
  }
  if (IsFinal(update.state())) return Finish(update.command_id(), update);
  if (watcher) watcher(update);
  return absl::OkStatus();
}

void CommandTracker::OnConnected(absl::string_view vm_uid) {
  std::vector<std::string> open;
  std::vector<std::string> abandoned;
  AgentGateway* gateway;
  {
    absl::MutexLock lock(&mutex_);
    gateway = gateway_;
    for (const auto& [id, tracked] : commands_) {
      if (tracked.record.vm_uid() != vm_uid) continue;
      const bool stops = tracked.record.abandoned() || tracked.stopping.has_value();
      (stops ? abandoned : open).push_back(id);
    }
    // In the order they were given.
    std::sort(open.begin(), open.end(),
              [this](const std::string& a, const std::string& b) ABSL_NO_THREAD_SAFETY_ANALYSIS {
                return FromProto(commands_.at(a).record.create_time()) <
                       FromProto(commands_.at(b).record.create_time());
              });
  }
  if (gateway == nullptr) return;
  if (const absl::Status marked = MarkHanded(open); !marked.ok()) {
    // They go with the next connection.
    LogError("commands of VM ", vm_uid, " cannot be recorded as sent: ", marked.message());
  }
  for (const std::string& id : open) Hand(id);
  for (const std::string& id : abandoned) {
    absl::Status sent = gateway->CancelCommand(vm_uid, id);
    if (!sent.ok()) LogDebug("cancel of command ", id, ": ", sent.message());
  }
}

absl::Status CommandTracker::Cancel(absl::string_view command_id) {
  AgentGateway* gateway;
  std::string vm_uid;
  bool handed;
  {
    absl::MutexLock lock(&mutex_);
    auto found = commands_.find(command_id);
    if (found == commands_.end()) return NotOrdered(command_id);
    gateway = gateway_;
    vm_uid = found->second.record.vm_uid();
    handed = found->second.record.handed();
    found->second.withdrawn |= !handed;
  }
  if (handed) {
    return gateway == nullptr ? absl::OkStatus() : gateway->CancelCommand(vm_uid, command_id);
  }
  Update cancelled;
  cancelled.set_command_id(std::string(command_id));
  cancelled.set_state(Update::STATE_CANCELLED);
  *cancelled.mutable_time() = ToProto(clock_->Now());
  return Finish(command_id, cancelled);
}

absl::StatusOr<Update> CommandTracker::WaitFor(absl::string_view command_id,
                                               absl::Duration patience, std::stop_token stop) {
  std::stop_source over;
  std::stop_callback sooner(stop, [&over] { over.request_stop(); });
  std::jthread timer([&](std::stop_token ended) {
    if (clock_->Sleep(patience, ended).ok()) over.request_stop();
  });
  return Wait(command_id, over.get_token(), [](const Update&) {});
}

absl::StatusOr<std::optional<absl::Time>> CommandTracker::Stop(absl::string_view command_id,
                                                               absl::Duration patience,
                                                               bool* confirmed) {
  *confirmed = true;
  const absl::Time now = clock_->Now();
  absl::Time deadline;
  bool first = false;
  {
    absl::MutexLock lock(&mutex_);
    auto found = commands_.find(command_id);
    if (found == commands_.end()) return std::nullopt;
    first = !found->second.stopping.has_value();
    if (first) found->second.stopping = now;
    deadline = *found->second.stopping + patience;
  }
  if (first) {
    const absl::Status asked = Cancel(command_id);
    if (HasReason(asked, "AGENT_NOT_CONNECTED")) {
      deadline = now;
    } else if (!asked.ok()) {
      return asked;
    }
  }
  const absl::StatusOr<Glance> glance = Look(command_id);
  if (absl::IsNotFound(glance.status())) return std::nullopt;
  if (glance.ok() && IsFinal(glance->update.state())) {
    DROVER_RETURN_IF_ERROR(Forget(command_id));
    return std::nullopt;
  }
  if (now < deadline) return deadline;
  *confirmed = false;
  DROVER_RETURN_IF_ERROR(Abandon(command_id));
  return std::nullopt;
}

absl::Status CommandTracker::Abandon(absl::string_view command_id) {
  CommandRecord record;
  {
    absl::MutexLock lock(&mutex_);
    auto found = commands_.find(command_id);
    if (found == commands_.end()) return absl::OkStatus();
    found->second.record.set_abandoned(true);
    record = found->second.record;
  }
  // It may have ended this moment.
  if (IsFinal(record.last_update().state())) return Forget(command_id);
  return Write(record);
}

absl::StatusOr<Update> CommandTracker::Ask(absl::string_view vm_uid, Command command,
                                           absl::Duration patience, std::stop_token stop) {
  command.set_id(NewId());
  *command.mutable_expire_time() = ToProto(clock_->Now() + patience);
  command.set_timeout_seconds(
      std::max<int32_t>(1, static_cast<int32_t>(absl::ToInt64Seconds(patience))));
  DROVER_RETURN_IF_ERROR(Order(vm_uid, command, ""));
  absl::StatusOr<Update> ended = WaitFor(command.id(), patience, stop);
  DROVER_RETURN_IF_ERROR(Forget(command.id()));
  if (absl::IsCancelled(ended.status())) {
    return MakeError(absl::StatusCode::kDeadlineExceeded, "COMMAND_TIMED_OUT",
                     "the agent did not answer in time");
  }
  return ended;
}

absl::Status CommandTracker::Forget(absl::string_view command_id) {
  {
    absl::MutexLock lock(&mutex_);
    commands_.erase(command_id);
  }
  return store_->Write(
      [&](StoreWriter& writer) { return writer.Delete(Table::kCommands, command_id); });
}

std::set<std::string> CommandTracker::Vms() const {
  std::set<std::string> vms;
  absl::MutexLock lock(&mutex_);
  for (const auto& [id, tracked] : commands_) vms.insert(tracked.record.vm_uid());
  return vms;
}

absl::Status CommandTracker::ForgetVm(absl::string_view vm_uid) {
  std::vector<std::string> ids;
  std::vector<Watcher> watchers;
  {
    absl::MutexLock lock(&mutex_);
    for (const auto& [id, tracked] : commands_) {
      if (tracked.record.vm_uid() != vm_uid) continue;
      ids.push_back(id);
      if (tracked.watcher) watchers.push_back(tracked.watcher);
    }
  }
  for (const std::string& id : ids) DROVER_RETURN_IF_ERROR(Forget(id));
  // They find that it is gone.
  for (const Watcher& watcher : watchers) watcher(Gone());
  return absl::OkStatus();
}

}  // namespace drover::core
