#include "proto/support/status.h"

#include "gtest/gtest.h"

namespace drover {
namespace {

TEST(MakeError, CarriesReasonAndMetadata) {
  const absl::Status status =
      MakeError(absl::StatusCode::kAlreadyExists, "ADDRESS_TAKEN", "taken", {{"vm", "vms/a"}});
  EXPECT_TRUE(HasReason(status, "ADDRESS_TAKEN"));
  EXPECT_FALSE(HasReason(status, "OTHER"));
  EXPECT_FALSE(HasReason(absl::OkStatus(), ""));
  EXPECT_EQ(ErrorMetadata(status, "vm"), "vms/a");
  EXPECT_EQ(ErrorMetadata(status, "none"), "");
  EXPECT_EQ(ReasonOf(absl::InternalError("x")), "");
}

TEST(Violations, TellAllAtOnce) {
  Violations violations;
  EXPECT_TRUE(violations.ToStatus().ok());
  violations.Add("a", "is empty");
  violations.Add("b.c", "is not a number");
  const absl::Status status = violations.ToStatus();
  EXPECT_EQ(std::string(status.message()), "a: is empty; b.c: is not a number");
  ASSERT_EQ(ViolationsOf(status).field_violations_size(), 2);
  EXPECT_EQ(ViolationsOf(status).field_violations(1).field(), "b.c");
}

TEST(Annotate, KeepsTheDetails) {
  const absl::Status status =
      Annotate(MakeError(absl::StatusCode::kNotFound, "R", "inner"), "outer");
  EXPECT_EQ(std::string(status.message()), "outer: inner");
  EXPECT_TRUE(HasReason(status, "R"));
  EXPECT_TRUE(Annotate(absl::OkStatus(), "x").ok());
}

TEST(RpcStatus, GoesRoundTrip) {
  Violations violations;
  violations.Add("f", "中文");
  for (const absl::Status& status :
       {violations.ToStatus(), absl::InternalError("x"), absl::OkStatus(),
        MakeError(absl::StatusCode::kAborted, "R", "m", {{"k", "v"}})}) {
    EXPECT_EQ(FromRpcStatus(ToRpcStatus(status)), status);
  }
}

struct CodeRow {
  absl::StatusCode code;
  int http;
  int exit_code;
};

TEST(Codes, OneTableForAllFaces) {
  const CodeRow rows[] = {
      {absl::StatusCode::kOk, 200, 0},
      {absl::StatusCode::kCancelled, 499, 130},
      {absl::StatusCode::kUnknown, 500, 1},
      {absl::StatusCode::kInvalidArgument, 400, 2},
      {absl::StatusCode::kDeadlineExceeded, 504, 7},
      {absl::StatusCode::kNotFound, 404, 3},
      {absl::StatusCode::kAlreadyExists, 409, 5},
      {absl::StatusCode::kPermissionDenied, 403, 4},
      {absl::StatusCode::kResourceExhausted, 429, 1},
      {absl::StatusCode::kFailedPrecondition, 400, 5},
      {absl::StatusCode::kAborted, 409, 5},
      {absl::StatusCode::kOutOfRange, 400, 2},
      {absl::StatusCode::kUnimplemented, 501, 1},
      {absl::StatusCode::kInternal, 500, 1},
      {absl::StatusCode::kUnavailable, 503, 6},
      {absl::StatusCode::kDataLoss, 500, 1},
      {absl::StatusCode::kUnauthenticated, 401, 4},
  };
  for (const CodeRow& row : rows) {
    EXPECT_EQ(HttpStatusOf(row.code), row.http) << row.code;
    EXPECT_EQ(ExitCodeOf(row.code), row.exit_code) << row.code;
  }
}

}  // namespace
}  // namespace drover
