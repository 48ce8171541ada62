// Keeps strangers from filling the log: of the same thing within a minute the first is written, the
// next one after that tells how many were left out.
//
// Thread promise: from any thread. Remembers at most 10,000 things; forgets at a restart.
#pragma once

#include <optional>
#include <string>

#include "absl/base/thread_annotations.h"
#include "absl/container/flat_hash_map.h"
#include "absl/strings/string_view.h"
#include "absl/synchronization/mutex.h"
#include "absl/time/time.h"

namespace drover::core {

class RepeatFold {
 public:
  // The number left out since the last one that was written; nullopt when this one is left out.
  std::optional<int> Count(absl::string_view what, absl::Time now);

 private:
  struct Entry {
    absl::Time since;
    int left_out = 0;
  };
  absl::Mutex mutex_;
  absl::flat_hash_map<std::string, Entry> entries_ ABSL_GUARDED_BY(mutex_);
};

}  // namespace drover::core
