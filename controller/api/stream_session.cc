#include "controller/api/stream_session.h"

#include <google/protobuf/arena.h>

#include <utility>

namespace drover::api {

using google::protobuf::Message;

StreamSession::StreamSession(StreamWire* wire, core::WorkerPool* pool, size_t limit,
                             std::function<void(Message*)> redact)
    : wire_(wire), pool_(pool), limit_(limit), redact_(std::move(redact)) {}

bool StreamSession::Push(const Message& message) {
  std::string bytes;
  if (redact_) {
    // An operation has hundreds of parts: nobody asks for memory for each.
    google::protobuf::Arena arena;
    Message* const copy = message.New(&arena);
    copy->CopyFrom(message);
    redact_(copy);
    bytes = copy->SerializeAsString();
  } else {
    bytes = message.SerializeAsString();
  }
  Next next;
  {
    absl::MutexLock lock(&mutex_);
    // Nobody reads any more; that is not the sender's trouble.
    if (finishing_ || ended_) return true;
    if (queue_.size() >= limit_) {
      overflowed_ = true;
      return false;
    }
    queue_.push_back(std::move(bytes));
    next = Advance();
  }
  Do(std::move(next));
  return true;
}

void StreamSession::Finish(absl::Status status) {
  Next next;
  {
    absl::MutexLock lock(&mutex_);
    if (finishing_ || ended_) return;
    finishing_ = true;
    status_ = std::move(status);
    next = Advance();
  }
  Do(std::move(next));
}

void StreamSession::Attach(std::unique_ptr<Subscription> subscription) {
  std::shared_ptr<Subscription> shared = std::move(subscription);
  std::shared_ptr<Subscription> roomy;
  {
    absl::MutexLock lock(&mutex_);
    if (!ended_) {
      subscription_ = std::move(shared);
      roomy = TakeRoomy();
    }
  }
  if (roomy) roomy->OnRoom();
  Release(std::move(shared));
}

void StreamSession::OnWritten(bool ok) {
  Next next;
  std::shared_ptr<Subscription> roomy;
  {
    absl::MutexLock lock(&mutex_);
    writing_ = false;
    if (!ok) queue_.clear();
    roomy = TakeRoomy();
    next = Advance();
  }
  Do(std::move(next));
  if (roomy) {
    // The last reference may be this one; it is let go of on the pool as well.
    pool_->Submit([roomy = std::move(roomy)] { roomy->OnRoom(); });
  }
}

void StreamSession::Abort(const absl::Status& status) {
  Next next;
  {
    absl::MutexLock lock(&mutex_);
    if (ended_) return;
    queue_.clear();
    if (!finishing_) {
      finishing_ = true;
      status_ = status;
    }
    next = Advance();
  }
  Do(std::move(next));
}

void StreamSession::Ended() {
  std::shared_ptr<Subscription> subscription;
  {
    absl::MutexLock lock(&mutex_);
    ended_ = true;
    subscription = std::move(subscription_);
  }
  Release(std::move(subscription));
}

std::shared_ptr<Subscription> StreamSession::TakeRoomy() {
  if (!overflowed_ || finishing_ || subscription_ == nullptr || queue_.size() > limit_ / 2) {
    return nullptr;
  }
  overflowed_ = false;
  return subscription_;
}

StreamSession::Next StreamSession::Advance() {
  Next next;
  if (writing_ || finished_) return next;
  if (!queue_.empty()) {
    writing_ = true;
    next.write = true;
    next.message = std::move(queue_.front());
    queue_.pop_front();
  } else if (finishing_) {
    finished_ = true;
    next.finish = true;
    next.status = status_;
  }
  return next;
}

// writing_ and finished_ were set under the lock, so that exactly one thread gets here at a time.
void StreamSession::Do(Next next) {
  if (next.write) wire_->Write(std::move(next.message));
  if (next.finish) wire_->FinishCall(next.status);
}

void StreamSession::Release(std::shared_ptr<Subscription> subscription) {
  if (subscription == nullptr) return;
  pool_->Submit([subscription = std::move(subscription)]() mutable { subscription.reset(); });
}

}  // namespace drover::api
