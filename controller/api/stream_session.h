// One open server stream: a mutex, a bounded out-queue, a writing flag. What a subscription pushes
// waits here until the transport took the message before it.
//
// Thread promise: all methods from any thread. Shared by the transport's reactor and the
// subscription; the reactor must call Ended as its last act, and its Write and Finish are never
// called after that. The subscription is let go of on the pool, never on the caller's thread.
#pragma once

#include <deque>
#include <functional>
#include <memory>
#include <string>

#include "absl/base/thread_annotations.h"
#include "absl/synchronization/mutex.h"
#include "controller/api/dispatcher.h"
#include "controller/core/worker_pool.h"

namespace drover::api {

// The transport's side. One Write at a time, Finish once and after the last Write.
class StreamWire {
 public:
  virtual ~StreamWire() = default;
  virtual void Write(std::string message) = 0;
  virtual void FinishCall(const absl::Status& status) = 0;
};

class StreamSession final : public StreamSink, public std::enable_shared_from_this<StreamSession> {
 public:
  // At most `limit` messages wait. `redact` is called with a copy of each message when given.
  StreamSession(StreamWire* wire, core::WorkerPool* pool, size_t limit,
                std::function<void(google::protobuf::Message*)> redact);

  bool Push(const google::protobuf::Message& message) override;
  // What waits is still sent. The first status counts.
  void Finish(absl::Status status) override;

  // What the handler answered; on the pool. Lets go of it when the stream has ended meanwhile.
  void Attach(std::unique_ptr<Subscription> subscription);
  // The transport took the message (or the connection is gone).
  void OnWritten(bool ok);
  // The caller went away, or the stream is cut: nothing that waits is sent.
  void Abort(const absl::Status& status);
  // The reactor is gone.
  void Ended();

 private:
  // What is to be done once the lock is released.
  struct Next {
    bool write = false;
    bool finish = false;
    std::string message;
    absl::Status status;
  };
  // The subscription, when it has to be told that there is room again.
  std::shared_ptr<Subscription> TakeRoomy() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  Next Advance() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  void Do(Next next);
  void Release(std::shared_ptr<Subscription> subscription);

  StreamWire* const wire_;
  core::WorkerPool* const pool_;
  const size_t limit_;
  const std::function<void(google::protobuf::Message*)> redact_;
  absl::Mutex mutex_;
  std::deque<std::string> queue_ ABSL_GUARDED_BY(mutex_);
  bool writing_ ABSL_GUARDED_BY(mutex_) = false;
  bool finishing_ ABSL_GUARDED_BY(mutex_) = false;
  bool finished_ ABSL_GUARDED_BY(mutex_) = false;
  bool overflowed_ ABSL_GUARDED_BY(mutex_) = false;
  bool ended_ ABSL_GUARDED_BY(mutex_) = false;
  absl::Status status_ ABSL_GUARDED_BY(mutex_);
  std::shared_ptr<Subscription> subscription_ ABSL_GUARDED_BY(mutex_);
};

}  // namespace drover::api
