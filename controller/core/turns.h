// One at a time per name: whoever writes a resource takes its turn first, so that what is in memory
// and what is in the store change in the same order without a mutex held over the store.
//
// Thread promise: from any thread; Take blocks until the name is free. A thread takes one turn at a
// time.
#pragma once

#include <string>

#include "absl/base/thread_annotations.h"
#include "absl/container/flat_hash_set.h"
#include "absl/strings/string_view.h"
#include "absl/synchronization/mutex.h"

namespace drover::core {

class Turns {
 public:
  void Take(absl::string_view name) ABSL_LOCKS_EXCLUDED(mutex_) {
    absl::MutexLock lock(&mutex_);
    while (taken_.contains(name)) freed_.Wait(&mutex_);
    taken_.insert(std::string(name));
  }
  void Give(absl::string_view name) ABSL_LOCKS_EXCLUDED(mutex_) {
    absl::MutexLock lock(&mutex_);
    taken_.erase(name);
    freed_.SignalAll();
  }

 private:
  absl::Mutex mutex_;
  absl::CondVar freed_;
  absl::flat_hash_set<std::string> taken_ ABSL_GUARDED_BY(mutex_);
};

class Turn {
 public:
  Turn(Turns& turns, absl::string_view name) : turns_(turns), name_(name) { turns_.Take(name_); }
  ~Turn() { turns_.Give(name_); }
  Turn(const Turn&) = delete;
  Turn& operator=(const Turn&) = delete;

 private:
  Turns& turns_;
  const std::string name_;
};

}  // namespace drover::core
