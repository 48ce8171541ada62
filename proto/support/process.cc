#include "proto/support/process.h"

#include "absl/synchronization/mutex.h"

namespace drover {

void SetUpProcess() {
#ifdef NDEBUG
  absl::SetMutexDeadlockDetectionMode(absl::OnDeadlockCycle::kIgnore);
#endif
}

}  // namespace drover
