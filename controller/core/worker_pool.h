// Threads that carry out what may block, so that nothing blocks on the threads of a transport.
//
// Thread promise: all methods from any thread. Owns its threads. Nothing survives a restart; what
// waits at the end is still carried out.
#pragma once

#include <deque>
#include <functional>
#include <thread>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/synchronization/mutex.h"

namespace drover::core {

class WorkerPool {
 public:
  // At most `queue_limit` tasks wait for one of `threads` threads.
  WorkerPool(int threads, size_t queue_limit);
  // Carries out what waits, then ends.
  ~WorkerPool();
  WorkerPool(const WorkerPool&) = delete;
  WorkerPool& operator=(const WorkerPool&) = delete;

  // False when the queue is full; the task is not taken then.
  bool TrySubmit(std::function<void()> task);
  // For what ends things: taken however long the queue is. The caller sees to it that there are not
  // many.
  void Submit(std::function<void()> task);

 private:
  void Work();

  const size_t queue_limit_;
  absl::Mutex mutex_;
  std::deque<std::function<void()>> queue_ ABSL_GUARDED_BY(mutex_);
  bool stopping_ ABSL_GUARDED_BY(mutex_) = false;
  std::vector<std::thread> threads_;
};

}  // namespace drover::core
