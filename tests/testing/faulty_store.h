// A store that stops taking writes after some, as the disk of a controller that was killed: what it
// took is there for the next controller.
//
// Thread promise: all methods from any thread. Does not own the store it stands before.
#pragma once

#include <functional>
#include <utility>

#include "absl/base/thread_annotations.h"
#include "absl/synchronization/mutex.h"
#include "controller/core/ports.h"

namespace drover::testing {

class FaultyStore : public core::Store {
 public:
  explicit FaultyStore(core::Store* store) : store_(store) {}

  // So many more writes succeed; those after them are UNAVAILABLE.
  void DieAfterWrites(int writes);
  void Revive();
  bool died() const;
  // Called for each refused write, from the thread that tried it. Before the first write.
  void OnRefusal(std::function<void()> listener) { listener_ = std::move(listener); }

  absl::Status Write(absl::FunctionRef<absl::Status(core::StoreWriter&)> body) override;
  absl::Status Read(absl::FunctionRef<absl::Status(core::StoreReader&)> body) override {
    return store_->Read(body);
  }
  absl::StatusOr<std::vector<drover::v1::LogEntry>> SearchLog(
      const drover::v1::SearchLogRequest& request, int limit) override {
    return store_->SearchLog(request, limit);
  }
  absl::StatusOr<std::vector<drover::v1::Event>> ListEvents(
      const drover::v1::ListEventsRequest& request, int limit) override {
    return store_->ListEvents(request, limit);
  }
  absl::StatusOr<std::vector<drover::v1::LogEntry>> ReadLog(int64_t after_id, int limit) override {
    return store_->ReadLog(after_id, limit);
  }
  absl::StatusOr<std::vector<drover::v1::Event>> ReadEvents(int64_t after_sequence,
                                                            int limit) override {
    return store_->ReadEvents(after_sequence, limit);
  }

 private:
  core::Store* const store_;
  mutable absl::Mutex mutex_;
  std::function<void()> listener_;
  // -1 = any number.
  int left_ ABSL_GUARDED_BY(mutex_) = -1;
  bool refused_ ABSL_GUARDED_BY(mutex_) = false;
};

}  // namespace drover::testing
