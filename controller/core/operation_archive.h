// Operations as they are found in the store: one, a page of them, and the end of those that are too
// old. Open ones are shown as they are in memory.
//
// Thread promise: all methods from any thread. Owns nothing.
#pragma once

#include "absl/functional/function_ref.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/time/time.h"
#include "controller/core/open_operations.h"
#include "controller/core/ports.h"

namespace drover::core {

class OperationArchive {
 public:
  OperationArchive(Store* store, const OpenOperations* open) : store_(store), open_(open) {}

  // NOT_FOUND, reason OPERATION_NOT_FOUND.
  absl::StatusOr<OperationRecord> Find(absl::string_view id) const;
  // As OperationRunner::ListRecords.
  absl::StatusOr<std::vector<OperationRecord>> ListKind(absl::string_view kind,
                                                        absl::string_view before_id,
                                                        int limit) const;
  absl::StatusOr<std::vector<OperationRecord>> ChildrenOf(absl::string_view id) const;
  // INVALID_ARGUMENT for a page token that is none.
  absl::StatusOr<drover::v1::ListOperationsResponse> List(
      const drover::v1::ListOperationsRequest& request) const;
  // Deletes ended operations made before `before`, with their children, and what is remembered of
  // requests made before `requests_before`.
  absl::Status Prune(absl::Time before, absl::Time requests_before) const;

 private:
  absl::StatusOr<std::vector<Document>> Page(Table table, const ListQuery& query) const;

  Store* const store_;
  const OpenOperations* const open_;
};

// Key of what was answered to a request id; "" without a request id.
std::string RequestKey(absl::string_view user, absl::string_view request_id);

}  // namespace drover::core
