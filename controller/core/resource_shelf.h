// Records of one kind in memory, by resource name. A record never changes once it is on the shelf;
// a changed one takes its place. Thread promise: all methods from any thread; none blocks for long.
#pragma once

#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/container/btree_map.h"
#include "absl/strings/string_view.h"
#include "absl/synchronization/mutex.h"

namespace drover::core {

template <typename Record>
class ResourceShelf {
 public:
  using RecordPtr = std::shared_ptr<const Record>;

  // nullptr when there is none.
  RecordPtr Find(absl::string_view name) const ABSL_LOCKS_EXCLUDED(mutex_) {
    absl::ReaderMutexLock lock(&mutex_);
    auto found = records_.find(name);
    return found == records_.end() ? nullptr : found->second;
  }
  // By name.
  std::vector<RecordPtr> All() const ABSL_LOCKS_EXCLUDED(mutex_) {
    absl::ReaderMutexLock lock(&mutex_);
    std::vector<RecordPtr> all;
    all.reserve(records_.size());
    for (const auto& [name, record] : records_) all.push_back(record);
    return all;
  }
  void Put(absl::string_view name, Record record) ABSL_LOCKS_EXCLUDED(mutex_) {
    auto kept = std::make_shared<const Record>(std::move(record));
    absl::MutexLock lock(&mutex_);
    records_[std::string(name)] = std::move(kept);
  }
  void Erase(absl::string_view name) ABSL_LOCKS_EXCLUDED(mutex_) {
    absl::MutexLock lock(&mutex_);
    records_.erase(name);
  }

 private:
  mutable absl::Mutex mutex_;
  absl::btree_map<std::string, RecordPtr> records_ ABSL_GUARDED_BY(mutex_);
};

}  // namespace drover::core
