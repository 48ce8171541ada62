// Ctrl-C while something is waited for. While an Interrupt lives, SIGINT and SIGTERM do not end the
// program.
//
// Thread promise: at most one lives at a time. Its callback runs on a thread of its own, once.
#pragma once

#include <atomic>
#include <functional>
#include <thread>

#include "absl/base/thread_annotations.h"
#include "absl/synchronization/mutex.h"
#include "absl/time/time.h"

namespace drover::cli {

class Interrupt {
 public:
  explicit Interrupt(std::function<void()> on_interrupt = [] {});
  ~Interrupt();
  Interrupt(const Interrupt&) = delete;
  Interrupt& operator=(const Interrupt&) = delete;

  bool happened() const { return happened_; }
  // Waits as long or until it happens.
  void WaitFor(absl::Duration duration);
  // Replaces what is done when it happens. Returns when the earlier callback is not running any
  // more.
  void Do(std::function<void()> on_interrupt);

 private:
  void Listen();

  absl::Mutex mutex_;
  std::function<void()> on_interrupt_ ABSL_GUARDED_BY(mutex_);
  std::atomic<bool> happened_ = false;
  int pipe_[2] = {-1, -1};
  std::thread thread_;
};

}  // namespace drover::cli
