#include "controller/agents/lane.h"

#include <utility>

namespace drover::agents {

void Lane::Run(std::function<void()> task) {
  {
    absl::MutexLock lock(&mutex_);
    tasks_.push_back(std::move(task));
    if (running_) return;
    running_ = true;
  }
  pool_->Submit([self = shared_from_this()] { self->RunNext(); });
}

// One task, then back to the end of the pool's queue: no agent keeps the others waiting.
void Lane::RunNext() {
  std::function<void()> task;
  {
    absl::MutexLock lock(&mutex_);
    task = std::move(tasks_.front());
    tasks_.pop_front();
  }
  task();
  task = nullptr;
  {
    absl::MutexLock lock(&mutex_);
    if (tasks_.empty()) {
      running_ = false;
      return;
    }
  }
  pool_->Submit([self = shared_from_this()] { self->RunNext(); });
}

}  // namespace drover::agents
