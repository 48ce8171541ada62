#include "agent/event_loop.h"

#include <sys/epoll.h>
#include <sys/eventfd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>

#include "proto/support/log.h"

namespace drover::agent {

EventLoop::EventLoop(const Clock* clock)
    : clock_(clock),
      epoll_(epoll_create1(EPOLL_CLOEXEC)),
      wake_(eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK)) {
  WatchReadable(wake_.get(), [this] {
    uint64_t count;
    while (read(wake_.get(), &count, sizeof(count)) > 0) {
    }
  });
}

EventLoop::TimerId EventLoop::RunAfter(absl::Duration delay, absl::AnyInvocable<void()> task) {
  const TimerId id = next_timer_++;
  const absl::Duration due = clock_->Uptime() + std::max(delay, absl::ZeroDuration());
  timers_.emplace(std::make_pair(due, id), std::move(task));
  due_[id] = due;
  return id;
}

void EventLoop::CancelTimer(TimerId id) {
  auto found = due_.find(id);
  if (found == due_.end()) return;
  timers_.erase({found->second, id});
  due_.erase(found);
}

void EventLoop::Watch(int fd, uint32_t events, std::function<void()> ready) {
  epoll_event event{};
  event.events = events;
  event.data.fd = fd;
  watched_[fd] = std::make_shared<std::function<void()>>(std::move(ready));
  if (epoll_ctl(epoll_.get(), EPOLL_CTL_ADD, fd, &event) != 0) {
    LogError("cannot watch descriptor ", fd, ": ", strerror(errno));
  }
}

void EventLoop::WatchReadable(int fd, std::function<void()> ready) {
  Watch(fd, EPOLLIN, std::move(ready));
}

void EventLoop::WatchWritable(int fd, std::function<void()> ready) {
  Watch(fd, EPOLLOUT, std::move(ready));
}

void EventLoop::Unwatch(int fd) {
  if (watched_.erase(fd) > 0) epoll_ctl(epoll_.get(), EPOLL_CTL_DEL, fd, nullptr);
}

void EventLoop::Post(absl::AnyInvocable<void()> task) {
  bool first;
  {
    absl::MutexLock lock(&mutex_);
    first = posted_.empty();
    posted_.push_back(std::move(task));
  }
  if (!first) return;
  const uint64_t one = 1;
  if (write(wake_.get(), &one, sizeof(one)) < 0 && errno != EAGAIN) {
    LogError("cannot wake the loop: ", strerror(errno));
  }
}

void EventLoop::Stop() {
  Post([this] { stopped_ = true; });
}

void EventLoop::Run() {
  while (!stopped_) RunOnce(absl::InfiniteDuration());
  stopped_ = false;
}

void EventLoop::RunOnce(absl::Duration longest) {
  epoll_event events[32];
  const int count = epoll_wait(epoll_.get(), events, 32, WaitMilliseconds(longest));
  for (int i = 0; i < count; ++i) {
    auto found = watched_.find(events[i].data.fd);
    if (found == watched_.end()) continue;
    auto ready = found->second;
    (*ready)();
  }
  RunPosted();
  RunTimers();
}

void EventLoop::RunTimers() {
  // Only what was due at the beginning: a timer that sets itself anew for now must not keep the
  // descriptors waiting.
  const auto limit = std::make_pair(clock_->Uptime(), next_timer_);
  while (!timers_.empty() && timers_.begin()->first < limit) {
    auto node = timers_.extract(timers_.begin());
    due_.erase(node.key().second);
    node.mapped()();
  }
}

void EventLoop::RunPosted() {
  std::vector<absl::AnyInvocable<void()>> tasks;
  {
    absl::MutexLock lock(&mutex_);
    tasks.swap(posted_);
  }
  for (auto& task : tasks) task();
}

int EventLoop::WaitMilliseconds(absl::Duration longest) {
  {
    absl::MutexLock lock(&mutex_);
    if (!posted_.empty()) return 0;
  }
  absl::Duration wait = longest;
  if (!timers_.empty()) {
    wait = std::min(wait, timers_.begin()->first.first - clock_->Uptime());
  }
  if (wait == absl::InfiniteDuration()) return -1;
  // Rounded up: waking early would only spin.
  const int64_t milliseconds = absl::ToInt64Milliseconds(absl::Ceil(wait, absl::Milliseconds(1)));
  return static_cast<int>(std::clamp<int64_t>(milliseconds, 0, 3600 * 1000));
}

}  // namespace drover::agent
