// Slows down guessing: after some failures of a user name, or from an address, the next attempt has
// to wait, twice as long each time. Names that do not exist are treated like those that do.
//
// Thread promise: all methods from any thread. Holds at most 10,000 names and addresses each, the
// longest unused go first. A restart forgets all.
#pragma once

#include <list>
#include <string>

#include "absl/base/thread_annotations.h"
#include "absl/container/flat_hash_map.h"
#include "absl/status/status.h"
#include "absl/strings/string_view.h"
#include "absl/synchronization/mutex.h"
#include "absl/time/time.h"
#include "controller/core/ports.h"

namespace drover::core {

class LoginThrottle {
 public:
  explicit LoginThrottle(Clock* clock);

  // OK: go on, and call End. RESOURCE_EXHAUSTED, reason LOGIN_SLOWED_DOWN, with metadata
  // "retry_after_seconds" and google.rpc.RetryInfo: wait. An attempt that is turned away does not
  // count as a failure.
  absl::Status Begin(absl::string_view user, absl::string_view address);
  // Success forgets the failures of the user, not those of the address: an account of one's own
  // must not be a way to guess on.
  void End(absl::string_view user, absl::string_view address, bool success);

  int tracked() const;

 private:
  struct Rules {
    int free_failures;
    absl::Duration longest;
  };
  struct Entry {
    std::string key;
    int failures = 0;
    int in_flight = 0;
    absl::Time last;
    absl::Time blocked_until = absl::InfinitePast();
  };
  // The longest unused last.
  struct Book {
    Rules rules;
    std::list<Entry> entries;
    absl::flat_hash_map<std::string, std::list<Entry>::iterator> by_key;
  };
  static Entry& Touch(Book& book, absl::string_view key, absl::Time now);
  static absl::Duration WaitOf(const Book& book, const Entry& entry, absl::Time now);
  static void Settle(Book& book, absl::string_view key, absl::Time now, bool failed, bool forget);

  Clock* const clock_;
  mutable absl::Mutex mutex_;
  Book users_ ABSL_GUARDED_BY(mutex_);
  Book addresses_ ABSL_GUARDED_BY(mutex_);
};

}  // namespace drover::core
