#include "tests/testing/faulty_store.h"

#include "proto/support/status.h"

namespace drover::testing {

void FaultyStore::DieAfterWrites(int writes) {
  absl::MutexLock lock(&mutex_);
  left_ = writes;
  refused_ = false;
}

void FaultyStore::Revive() {
  absl::MutexLock lock(&mutex_);
  left_ = -1;
}

bool FaultyStore::died() const {
  absl::MutexLock lock(&mutex_);
  return refused_;
}

absl::Status FaultyStore::Write(absl::FunctionRef<absl::Status(core::StoreWriter&)> body) {
  bool refused = false;
  {
    absl::MutexLock lock(&mutex_);
    if (left_ > 0) {
      --left_;
    } else if (left_ == 0) {
      refused = refused_ = true;
    }
  }
  if (!refused) return store_->Write(body);
  if (listener_) listener_();
  return MakeError(absl::StatusCode::kUnavailable, "STORE_FAILED", "the disk is gone");
}

}  // namespace drover::testing
