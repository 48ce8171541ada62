#include "controller/core/operation_queue.h"

#include <algorithm>
#include <utility>

namespace drover::core {

OperationQueue::OperationQueue(int per_lane, int per_batch)
    : per_lane_(per_lane), per_batch_(per_batch) {}

void OperationQueue::Add(Item item) {
  const std::string id = item.id;
  for (const std::string& vm : item.holds) by_vm_[vm].insert(id);
  if (item.begun && !item.parent.empty()) ++begun_of_parent_[item.parent];
  entries_[id].item = std::move(item);
}

void OperationQueue::Open(absl::string_view id) {
  const auto it = entries_.find(id);
  if (it == entries_.end()) return;
  it->second.open = true;
  if (!it->second.running) candidates_.insert(it->first);
}

void OperationQueue::Close(absl::string_view id) {
  const auto it = entries_.find(id);
  if (it == entries_.end()) return;
  it->second.open = false;
  candidates_.erase(it->first);
}

void OperationQueue::SetAtOnce(absl::string_view parent, int at_once) {
  if (at_once > 0) at_once_[parent] = at_once;
}

int OperationQueue::Count(const absl::flat_hash_map<std::string, int>& counts,
                          const std::string& key) {
  const auto it = counts.find(key);
  return it == counts.end() ? 0 : it->second;
}

bool OperationQueue::MayRun(const Entry& entry) const {
  const Item& item = entry.item;
  if (!item.lane.empty() && Count(running_of_lane_, item.lane) >= per_lane_) return false;
  if (!item.parent.empty()) {
    if (Count(running_of_parent_, item.parent) >= per_batch_) return false;
    const int wanted = Count(at_once_, item.parent);
    if (wanted > 0 && !item.begun && Count(begun_of_parent_, item.parent) >= wanted) return false;
  }
  return std::all_of(item.holds.begin(), item.holds.end(),
                     [&](const std::string& vm) { return *by_vm_.at(vm).begin() == item.id; });
}

std::optional<std::string> OperationQueue::FindNext() const {
  for (const std::string& id : candidates_) {
    if (MayRun(entries_.at(id))) return id;
  }
  return std::nullopt;
}

bool OperationQueue::CanTake() const { return FindNext().has_value(); }

std::optional<std::string> OperationQueue::Take() {
  std::optional<std::string> id = FindNext();
  if (!id.has_value()) return std::nullopt;
  Entry& entry = entries_.at(*id);
  entry.running = true;
  if (!entry.item.begun && !entry.item.parent.empty()) ++begun_of_parent_[entry.item.parent];
  entry.item.begun = true;
  candidates_.erase(*id);
  ++running_;
  if (!entry.item.lane.empty()) ++running_of_lane_[entry.item.lane];
  if (!entry.item.parent.empty()) ++running_of_parent_[entry.item.parent];
  return id;
}

void OperationQueue::StopRunning(Entry& entry) {
  if (!entry.running) return;
  entry.running = false;
  --running_;
  if (!entry.item.lane.empty()) --running_of_lane_[entry.item.lane];
  if (!entry.item.parent.empty()) --running_of_parent_[entry.item.parent];
}

void OperationQueue::PutBack(absl::string_view id) {
  const auto it = entries_.find(id);
  if (it == entries_.end()) return;
  StopRunning(it->second);
  it->second.open = false;
}

void OperationQueue::Remove(absl::string_view id) {
  const auto it = entries_.find(id);
  if (it == entries_.end()) return;
  StopRunning(it->second);
  const Item& item = it->second.item;
  if (item.begun && !item.parent.empty()) --begun_of_parent_[item.parent];
  for (const std::string& vm : it->second.item.holds) {
    const auto queue = by_vm_.find(vm);
    if (queue == by_vm_.end()) continue;
    queue->second.erase(it->first);
    if (queue->second.empty()) by_vm_.erase(queue);
  }
  candidates_.erase(it->first);
  running_of_parent_.erase(it->first);
  begun_of_parent_.erase(it->first);
  at_once_.erase(it->first);
  entries_.erase(it);
}

std::vector<std::string> OperationQueue::QueueOf(absl::string_view vm) const {
  const auto it = by_vm_.find(vm);
  if (it == by_vm_.end()) return {};
  return {it->second.begin(), it->second.end()};
}

std::vector<std::string> OperationQueue::WaitsFor(absl::string_view id) const {
  const auto it = entries_.find(id);
  if (it == entries_.end()) return {};
  std::vector<std::string> holders;
  for (const std::string& vm : it->second.item.holds) {
    const std::string& holder = *by_vm_.at(vm).begin();
    if (holder != id && std::find(holders.begin(), holders.end(), holder) == holders.end()) {
      holders.push_back(holder);
    }
  }
  return holders;
}

}  // namespace drover::core
