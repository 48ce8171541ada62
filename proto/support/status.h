// Errors with a reason for programs, a message for people and details, carried in absl::Status as
// payloads of the google.rpc types.
//
// Thread promise: pure functions. `Violations` is a value.
#pragma once

#include <map>
#include <string>

#include "absl/status/status.h"
#include "absl/strings/string_view.h"
#include "google/rpc/error_details.pb.h"
#include "google/rpc/status.pb.h"

namespace drover {

// An error with google.rpc.ErrorInfo: reason is UPPER_SNAKE_CASE and stable, domain is "drover".
absl::Status MakeError(absl::StatusCode code, absl::string_view reason, absl::string_view message,
                       const std::map<std::string, std::string>& metadata = {});

// INVALID_ARGUMENT about one field. `problem` says what is wrong and what would be right.
absl::Status InvalidField(absl::string_view field, absl::string_view problem);

// Collects all problems of a request, so that a person sees them at once.
class Violations {
 public:
  void Add(absl::string_view field, absl::string_view problem);
  bool empty() const { return bad_request_.field_violations().empty(); }
  // OK when nothing was added, else INVALID_ARGUMENT whose message joins them.
  absl::Status ToStatus() const;

 private:
  google::rpc::BadRequest bad_request_;
};

// The ErrorInfo's reason, or "" when there is none.
std::string ReasonOf(const absl::Status& status);
// The ErrorInfo's metadata value, or "".
std::string ErrorMetadata(const absl::Status& status, absl::string_view key);
bool HasReason(const absl::Status& status, absl::string_view reason);
google::rpc::BadRequest ViolationsOf(const absl::Status& status);

// The same error with `prefix` and ": " before its message; details are kept.
absl::Status Annotate(const absl::Status& status, absl::string_view prefix);

google::rpc::Status ToRpcStatus(const absl::Status& status);
absl::Status FromRpcStatus(const google::rpc::Status& status);

// One table for all faces. HTTP as grpc-gateway v2 maps it; exit codes as `drover help exit-codes`
// lists them.
int HttpStatusOf(absl::StatusCode code);
int ExitCodeOf(absl::StatusCode code);

}  // namespace drover

// Returns the error of a StatusOr or Status expression from the enclosing function.
#define DROVER_RETURN_IF_ERROR(expr)                                \
  do {                                                              \
    if (absl::Status drover_status = (expr); !drover_status.ok()) { \
      return drover_status;                                         \
    }                                                               \
  } while (false)

#define DROVER_CONCAT_INNER(a, b) a##b
#define DROVER_CONCAT(a, b) DROVER_CONCAT_INNER(a, b)
#define DROVER_ASSIGN_OR_RETURN(lhs, expr) \
  DROVER_ASSIGN_OR_RETURN_IMPL(DROVER_CONCAT(drover_result_, __LINE__), lhs, expr)
#define DROVER_ASSIGN_OR_RETURN_IMPL(result, lhs, expr) \
  auto result = (expr);                                 \
  if (!result.ok()) return result.status();             \
  lhs = *std::move(result)
