// Work of one agent, in order: what is given to a lane runs on a shared pool, one after the other,
// while other lanes go on beside it.
//
// Thread promise: all methods from any thread. Held by shared_ptr; work that waits keeps its lane
// alive. A lane without work holds no thread.
#pragma once

#include <deque>
#include <functional>
#include <memory>

#include "absl/base/thread_annotations.h"
#include "absl/synchronization/mutex.h"
#include "controller/core/worker_pool.h"

namespace drover::agents {

class Lane : public std::enable_shared_from_this<Lane> {
 public:
  explicit Lane(core::WorkerPool* pool) : pool_(pool) {}

  // Not bounded here: the sessions of the agent bound what they give.
  void Run(std::function<void()> task);

 private:
  void RunNext();

  core::WorkerPool* const pool_;
  absl::Mutex mutex_;
  std::deque<std::function<void()>> tasks_ ABSL_GUARDED_BY(mutex_);
  bool running_ ABSL_GUARDED_BY(mutex_) = false;
};

}  // namespace drover::agents
