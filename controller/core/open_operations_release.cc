// Which children of a parent may run: all at once, or bit by bit, or none while it is paused.
#include <algorithm>

#include "controller/core/open_operations.h"
#include "controller/core/operation_record.h"
#include "proto/support/resource_name.h"
#include "proto/support/status.h"

namespace drover::core {

using drover::v1::Operation;

void OpenOperations::OnRelease(ReleaseRule rule) { release_ = std::move(rule); }

std::optional<BatchRelease> OpenOperations::ReleaseOf(const OperationRecord& parent) const {
  return release_ ? release_(parent) : std::nullopt;
}

// Something more of a parent's children is decided than was carried out.
bool OpenOperations::MayRelease(const Entry& parent) const {
  const Operation& operation = parent.record.operation();
  // After a cancel the children end one by one, and the parent with the last.
  if (operation.state() == Operation::STATE_PAUSED || operation.cancel_requested()) return false;
  if (!parent.stepwise) return false;
  const auto& targets = operation.targets();
  const bool ended =
      std::all_of(targets.begin(), targets.begin() + std::min(parent.released, targets.size()),
                  [](const auto& target) { return IsFinal(target.state()); });
  if (!ended) return false;
  const std::optional<BatchRelease> release = ReleaseOf(parent.record);
  return release->stop || release->children > parent.released;
}

bool OpenOperations::MayBegin(const Entry& child) const {
  const std::string parent_id(IdOf(child.record.operation().parent()));
  if (parent_id.empty() || HasBegun(child.record)) return true;
  if (!OpeningDone(parent_id)) return false;
  const Entry* parent = FindEntry(parent_id);
  if (parent == nullptr || !parent->stepwise) return true;
  return child.index < parent->released &&
         parent->record.operation().state() != Operation::STATE_PAUSED;
}

void OpenOperations::ReleaseChildren(absl::string_view id) {
  absl::MutexLock lock(&mutex_);
  Entry* entry = FindEntry(id);
  if (entry == nullptr) return;
  queue_.PutBack(id);
  entry->running = false;
  if (entry->stepwise && entry->record.operation().state() != Operation::STATE_PAUSED) {
    entry->released = std::max(entry->released, ReleaseOf(entry->record)->children);
  }
  for (const std::string& child : entry->children) {
    if (Entry* its = FindEntry(child)) OpenGate(child, *its);
  }
  // They may all have ended meanwhile.
  OpenGate(std::string(id), *entry);
  changed_.SignalAll();
}

absl::Status OpenOperations::SetPaused(absl::string_view id, bool paused) {
  DROVER_RETURN_IF_ERROR(Save(id, [&](OperationRecord& record) {
    Operation& operation = *record.mutable_operation();
    if (IsDone(record)) return;
    operation.set_state(paused                       ? Operation::STATE_PAUSED
                        : operation.has_start_time() ? Operation::STATE_RUNNING
                                                     : Operation::STATE_QUEUED);
  }));
  absl::MutexLock lock(&mutex_);
  Entry* entry = FindEntry(id);
  if (entry == nullptr) return absl::OkStatus();
  for (const std::string& child : entry->children) {
    Entry* its = FindEntry(child);
    if (its == nullptr) continue;
    if (!paused) {
      OpenGate(child, *its);
    } else if (!its->running && !HasBegun(its->record)) {
      queue_.Close(child);
    }
  }
  OpenGate(std::string(id), *entry);
  changed_.SignalAll();
  return absl::OkStatus();
}

}  // namespace drover::core
