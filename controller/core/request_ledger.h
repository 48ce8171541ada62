// Remembers what a request_id was answered, so that a change sent twice is made once.
//
// Thread promise: all methods from any thread; that the same request_id is not carried out twice at
// the same time is the dispatcher's part. Survives a restart: everything, for a day. Between a
// change and the note of its answer a crash can fall; calls that begin operations are safe against
// that by the operation's own request_id.
#pragma once

#include <optional>
#include <string>

#include "absl/base/thread_annotations.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/synchronization/mutex.h"
#include "absl/time/time.h"
#include "controller/core/caller.h"
#include "controller/core/ports.h"

namespace drover::core {

class RequestLedger {
 public:
  RequestLedger(Store* store, Vault* vault, Clock* clock)
      : store_(store), vault_(vault), clock_(clock) {}

  // The answer this request was given less than a day ago; nullopt when it is new. ALREADY_EXISTS,
  // reason REQUEST_ID_REUSED when the user sent another request, or called another method, with the
  // same id.
  absl::StatusOr<std::optional<google::protobuf::Any>> Recall(
      const Caller& caller, absl::string_view method, absl::string_view request_id,
      const google::protobuf::Message& request);

  // Keeps an answer, without its secrets, for Recall. Only answers are kept: a request that failed
  // may be sent again.
  absl::Status Remember(const Caller& caller, absl::string_view method,
                        absl::string_view request_id, const google::protobuf::Message& request,
                        const google::protobuf::Message& response);

 private:
  std::string HashOf(absl::string_view method, const google::protobuf::Message& request);
  absl::Status PruneNowAndThen();

  Store* const store_;
  Vault* const vault_;
  Clock* const clock_;
  absl::Mutex mutex_;
  absl::Time pruned_ ABSL_GUARDED_BY(mutex_) = absl::InfinitePast();
};

}  // namespace drover::core
