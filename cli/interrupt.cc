#include "cli/interrupt.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <unistd.h>

#include <utility>

namespace drover::cli {
namespace {

// Where the handler writes to.
std::atomic<int> signal_pipe{-1};

void OnSignal(int) {
  const int before = errno;
  const int fd = signal_pipe;
  if (fd >= 0) {
    [[maybe_unused]] const ssize_t written = write(fd, "i", 1);
  }
  errno = before;
}

void Handle(void (*handler)(int)) {
  struct sigaction action = {};
  action.sa_handler = handler;
  action.sa_flags = SA_RESTART;
  sigaction(SIGINT, &action, nullptr);
  sigaction(SIGTERM, &action, nullptr);
}

}  // namespace

Interrupt::Interrupt(std::function<void()> on_interrupt) : on_interrupt_(std::move(on_interrupt)) {
  if (pipe2(pipe_, O_CLOEXEC) != 0) return;
  signal_pipe = pipe_[1];
  thread_ = std::thread([this] { Listen(); });
  Handle(OnSignal);
}

Interrupt::~Interrupt() {
  Handle(SIG_DFL);
  signal_pipe = -1;
  if (!thread_.joinable()) return;
  [[maybe_unused]] const ssize_t written = write(pipe_[1], "q", 1);
  thread_.join();
  close(pipe_[0]);
  close(pipe_[1]);
}

void Interrupt::Listen() {
  char what = 0;
  while (read(pipe_[0], &what, 1) == 1 && what != 'q') {
    const absl::MutexLock lock(&mutex_);
    if (happened_) continue;
    happened_ = true;
    on_interrupt_();
  }
}

void Interrupt::WaitFor(absl::Duration duration) {
  const absl::MutexLock lock(&mutex_);
  mutex_.AwaitWithTimeout(
      absl::Condition(
          +[](std::atomic<bool>* happened) { return happened->load(); }, &happened_),
      duration);
}

void Interrupt::Do(std::function<void()> on_interrupt) {
  const absl::MutexLock lock(&mutex_);
  on_interrupt_ = std::move(on_interrupt);
  if (happened_) on_interrupt_();
}

}  // namespace drover::cli
