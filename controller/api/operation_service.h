// The calls of ActivityService about operations: list, get, watch, cancel, continue.
//
// Thread promise: Register once before the server and the runner start; handlers and the runner's
// listener from any thread.
#pragma once

#include <memory>
#include <set>
#include <string>

#include "absl/base/thread_annotations.h"
#include "absl/container/flat_hash_map.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/synchronization/mutex.h"
#include "controller/api/dispatcher.h"
#include "controller/core/operation_runner.h"

namespace drover::api {

class OperationService {
 public:
  explicit OperationService(core::OperationRunner* runner);
  ~OperationService();

  void Register(Dispatcher& dispatcher);

  // Pushes the operation as it is and after each change, and ends with it. OPERATION_NOT_FOUND.
  absl::StatusOr<std::unique_ptr<Subscription>> WatchOperation(const std::string& name,
                                                               std::shared_ptr<StreamSink> sink);

 private:
  class Watch;
  // The watches of each operation; shared with the watches, which take themselves out.
  class Watches;

  // Refuses a caller who may not do it: what an operation does is not for every role to cancel or
  // to do again.
  absl::Status CheckMayControl(const Call& call, absl::string_view name);

  core::OperationRunner* const runner_;
  const std::shared_ptr<Watches> watches_;
};

}  // namespace drover::api
