#include "agent/working_copy_memory.h"

#include <utility>

#include "agent/durable_file.h"
#include "proto/support/log.h"

namespace drover::agent {
namespace {

constexpr int kLongestHistory = 20;

}  // namespace

WorkingCopyMemory::WorkingCopyMemory(std::string path) : path_(std::move(path)) {
  const absl::Status read = ReadMessage(path_, records_);
  if (read.ok() || absl::IsNotFound(read)) return;
  LogError(read.message());
  records_.Clear();
}

int64_t WorkingCopyMemory::Previous(const std::string& working_copy) const {
  const auto record = records_.working_copies().find(working_copy);
  if (record == records_.working_copies().end()) return 0;
  if (record->second.has_pending()) return record->second.pending().from_revision();
  const auto& history = record->second.history();
  return history.empty() ? 0 : history.at(history.size() - 1);
}

absl::Status WorkingCopyMemory::Begin(const std::string& working_copy, int64_t from, int64_t to) {
  v1::WorkingCopyRecord& record = (*records_.mutable_working_copies())[working_copy];
  if (record.has_pending() && record.pending().to_revision() == to) return absl::OkStatus();
  if (record.has_pending()) from = record.pending().from_revision();
  v1::WorkingCopyRecord::Pending& pending = *record.mutable_pending();
  pending.Clear();
  pending.set_from_revision(from);
  pending.set_to_revision(to);
  return Write();
}

bool WorkingCopyMemory::Interrupted(const std::string& working_copy) const {
  const auto record = records_.working_copies().find(working_copy);
  return record != records_.working_copies().end() && record->second.has_pending();
}

absl::Status WorkingCopyMemory::GoBack(const std::string& working_copy, const std::string& folder) {
  (*records_.mutable_working_copies())[working_copy].mutable_pending()->set_going_back(folder);
  return Write();
}

std::string WorkingCopyMemory::GoingBack(const std::string& working_copy) const {
  const auto record = records_.working_copies().find(working_copy);
  return record == records_.working_copies().end() ? "" : record->second.pending().going_back();
}

absl::Status WorkingCopyMemory::Back(const std::string& working_copy) {
  (*records_.mutable_working_copies())[working_copy].clear_pending();
  return Write();
}

absl::Status WorkingCopyMemory::End(const std::string& working_copy) {
  v1::WorkingCopyRecord& record = (*records_.mutable_working_copies())[working_copy];
  if (!record.has_pending()) return absl::OkStatus();
  const int64_t from = record.pending().from_revision();
  const int64_t to = record.pending().to_revision();
  auto& history = *record.mutable_history();
  if (from == to) {
    // It failed and is back.
  } else if (!history.empty() && history.at(history.size() - 1) == to) {
    history.RemoveLast();
  } else {
    history.Add(from);
    if (history.size() > kLongestHistory) history.erase(history.begin());
  }
  record.clear_pending();
  return Write();
}

absl::Status WorkingCopyMemory::Write() { return WriteMessage(path_, records_); }

}  // namespace drover::agent
