#include "agent/outbox.h"

#include <algorithm>
#include <utility>
#include <vector>

#include "proto/support/log.h"
#include "proto/support/status.h"
#include "proto/support/time.h"

namespace drover::agent {
namespace {

// Garbage below this is not worth a rewrite.
constexpr int64_t kCompactAbove = 64 << 10;

// Higher stays longer.
int Importance(const v1::AgentEvent& event) {
  switch (event.event_case()) {
    case v1::AgentEvent::kAgentStarted:
      return 0;
    case v1::AgentEvent::kServiceRecovered:
    case v1::AgentEvent::kServiceUnhealthy:
      return 1;
    case v1::AgentEvent::kMailSent:
    case v1::AgentEvent::kNetworkPutBack:
    case v1::AgentEvent::kServiceDied:
      return 2;
    case v1::AgentEvent::kServiceGivenUp:
      return 3;
    case v1::AgentEvent::kEventsDropped:
      return 4;
    case v1::AgentEvent::EVENT_NOT_SET:
      break;
  }
  return 0;
}

}  // namespace

absl::StatusOr<std::unique_ptr<Outbox>> Outbox::Open(const std::string& path, const Clock* clock,
                                                     OutboxLimits limits) {
  std::unique_ptr<Outbox> outbox(new Outbox(clock, limits));
  auto log = RecordLog::Open(path, [&](absl::string_view record) { outbox->Replay(record); });
  DROVER_ASSIGN_OR_RETURN(outbox->log_, std::move(log));
  return outbox;
}

void Outbox::Replay(absl::string_view record) {
  v1::OutboxEntry entry;
  if (!entry.ParseFromArray(record.data(), record.size())) return;
  switch (entry.entry_case()) {
    case v1::OutboxEntry::kEvent:
      Push(std::move(*entry.mutable_event()));
      if (waiting_.back().has_events_dropped()) dropped_.Clear();
      break;
    case v1::OutboxEntry::kAcknowledged:
      while (!waiting_.empty() && waiting_.front().sequence() <= entry.acknowledged()) {
        Remove(waiting_.begin());
      }
      next_sequence_ = std::max(next_sequence_, entry.acknowledged() + 1);
      break;
    case v1::OutboxEntry::kDropped: {
      auto found = std::find_if(waiting_.begin(), waiting_.end(), [&](const auto& event) {
        return event.sequence() == entry.dropped();
      });
      if (found == waiting_.end()) break;
      CountDrop(*found);
      Remove(found);
      break;
    }
    case v1::OutboxEntry::kStart:
      next_sequence_ = std::max(next_sequence_, entry.start().next_sequence());
      dropped_ = entry.start().dropped();
      break;
    case v1::OutboxEntry::ENTRY_NOT_SET:
      break;
  }
}

void Outbox::Push(v1::AgentEvent event) {
  next_sequence_ = std::max(next_sequence_, event.sequence() + 1);
  bytes_ += event.ByteSizeLong();
  waiting_.push_back(std::move(event));
}

void Outbox::Remove(std::deque<v1::AgentEvent>::iterator event) {
  bytes_ -= event->ByteSizeLong();
  waiting_.erase(event);
}

void Outbox::CountDrop(const v1::AgentEvent& event) {
  if (dropped_.count() == 0) *dropped_.mutable_first_time() = event.time();
  *dropped_.mutable_last_time() = event.time();
  dropped_.set_count(dropped_.count() + 1);
}

bool Outbox::Full() const { return waiting_.size() > limits_.events || bytes_ > limits_.bytes; }

void Outbox::Add(v1::AgentEvent event) {
  event.set_sequence(next_sequence_);
  if (!event.has_time()) *event.mutable_time() = ToProto(clock_->Now());
  v1::OutboxEntry entry;
  *entry.mutable_event() = event;
  Push(std::move(event));
  Write(entry);
  MakeRoom();
  CompactIfWorthwhile();
}

void Outbox::MakeRoom() {
  while (Full() && waiting_.size() > 1) {
    auto least = std::min_element(
        waiting_.begin(), waiting_.end(),
        [](const auto& a, const auto& b) { return Importance(a) < Importance(b); });
    if (dropped_.count() == 0) {
      LogError("outbox is full with ", waiting_.size(), " events; the least important ones go");
    }
    v1::OutboxEntry entry;
    entry.set_dropped(least->sequence());
    CountDrop(*least);
    Remove(least);
    Write(entry);
  }
}

void Outbox::ReportDrops() {
  if (dropped_.count() == 0 || waiting_.size() >= limits_.events / 2 + 1) return;
  v1::AgentEvent event;
  event.mutable_events_dropped()->Swap(&dropped_);
  dropped_.Clear();
  Add(std::move(event));
}

void Outbox::Acknowledge(int64_t sequence) {
  // A number never given out is not believed: it would swallow events to come.
  sequence = std::min(sequence, next_sequence_ - 1);
  if (waiting_.empty() || waiting_.front().sequence() > sequence) return;
  while (!waiting_.empty() && waiting_.front().sequence() <= sequence) Remove(waiting_.begin());
  v1::OutboxEntry entry;
  entry.set_acknowledged(sequence);
  Write(entry);
  ReportDrops();
  CompactIfWorthwhile();
}

void Outbox::CatchUp(int64_t last_stored) {
  if (last_stored < next_sequence_) {
    Acknowledge(last_stored);
    return;
  }
  LogWarning("the controller has event ", last_stored, ", this disk only knows ",
             next_sequence_ - 1, ": numbering on from there");
  next_sequence_ = last_stored + 1;
  for (v1::AgentEvent& event : waiting_) event.set_sequence(next_sequence_++);
  Rewrite();
}

const v1::AgentEvent* Outbox::After(int64_t sequence) const {
  auto found = std::upper_bound(
      waiting_.begin(), waiting_.end(), sequence,
      [](int64_t number, const v1::AgentEvent& event) { return number < event.sequence(); });
  return found == waiting_.end() ? nullptr : &*found;
}

int64_t Outbox::FirstUnacknowledged() const {
  return waiting_.empty() ? 0 : waiting_.front().sequence();
}

void Outbox::Write(const v1::OutboxEntry& entry) {
  if (behind_) return Rewrite();
  if (absl::Status status = log_->Append(entry.SerializeAsString()); !status.ok()) {
    LogError("event kept in memory only: ", status.message());
    behind_ = true;
  }
}

void Outbox::CompactIfWorthwhile() {
  if (log_->size() > kCompactAbove && log_->size() > 2 * static_cast<int64_t>(bytes_)) Rewrite();
}

void Outbox::Rewrite() {
  std::vector<std::string> records;
  v1::OutboxEntry entry;
  entry.mutable_start()->set_next_sequence(next_sequence_);
  *entry.mutable_start()->mutable_dropped() = dropped_;
  records.push_back(entry.SerializeAsString());
  for (const v1::AgentEvent& event : waiting_) {
    *entry.mutable_event() = event;
    records.push_back(entry.SerializeAsString());
  }
  const absl::Status status = log_->Rewrite(records);
  if (!status.ok()) LogError("outbox stays in memory: ", status.message());
  behind_ = !status.ok();
}

}  // namespace drover::agent
