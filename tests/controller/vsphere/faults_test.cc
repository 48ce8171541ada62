#include "controller/vsphere/faults.h"

#include "controller/vsphere/soap.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "proto/support/status.h"

namespace drover::vsphere {
namespace {

using ::testing::HasSubstr;

absl::Status Of(const std::string& type, std::map<std::string, std::string> fields = {}) {
  Fault fault;
  fault.type = type;
  fault.message = "server words";
  fault.fields = std::move(fields);
  return FaultStatus(fault);
}

TEST(Faults, MeanWhatThePortSays) {
  struct Row {
    std::string type;
    absl::StatusCode code;
    std::string reason;
  };
  for (const Row& row : {
           Row{"RestrictedVersion", absl::StatusCode::kFailedPrecondition, "LICENCE_FORBIDS"},
           Row{"NoDiskSpace", absl::StatusCode::kResourceExhausted, "NO_SPACE"},
           Row{"ManagedObjectNotFound", absl::StatusCode::kNotFound, "VM_NOT_FOUND"},
           Row{"DuplicateName", absl::StatusCode::kFailedPrecondition, "VM_NAME_TAKEN"},
           Row{"InvalidDatastorePath", absl::StatusCode::kFailedPrecondition,
               "DATASTORE_NOT_FOUND"},
           Row{"InsufficientMemoryResourcesFault", absl::StatusCode::kResourceExhausted,
               "HOST_FULL"},
           Row{"TaskInProgress", absl::StatusCode::kAborted, "VM_BUSY"},
           Row{"NeverHeardOf", absl::StatusCode::kUnknown, "HYPERVISOR_FAULT"},
           Row{"", absl::StatusCode::kUnknown, "HYPERVISOR_FAULT"},
       }) {
    absl::Status status = Interpret(Of(row.type), "host1", "VM web-1");
    EXPECT_EQ(status.code(), row.code) << row.type;
    EXPECT_EQ(ReasonOf(status), row.reason) << row.type;
    EXPECT_THAT(std::string(status.message()), HasSubstr("VM web-1 on host1")) << row.type;
    EXPECT_THAT(std::string(status.message()), HasSubstr("server words")) << row.type;
  }
}

TEST(Faults, GuestFaultsAreTheGuests) {
  EXPECT_EQ(ReasonOf(InterpretGuest(Of("InvalidGuestLogin"), "h", "x")), "GUEST_LOGIN_REFUSED");
  EXPECT_EQ(ReasonOf(InterpretGuest(Of("FileNotFound"), "h", "x")), "GUEST_FILE_NOT_FOUND");
  EXPECT_EQ(ReasonOf(Interpret(Of("FileNotFound"), "h", "x")), "FILE_NOT_FOUND");
  // What is no guest's matter keeps its meaning.
  EXPECT_EQ(ReasonOf(InterpretGuest(Of("RestrictedVersion"), "h", "x")), "LICENCE_FORBIDS");
}

TEST(Faults, NameTheCulprit) {
  absl::Status status = Interpret(Of("FileLocked", {{"file", "[ds] a/b.vmdk"}}), "h", "x");
  EXPECT_THAT(std::string(status.message()), HasSubstr("[ds] a/b.vmdk"));
}

TEST(Faults, LeaveOtherErrorsAlone) {
  absl::Status status = absl::CancelledError("stop");
  EXPECT_EQ(Interpret(status, "h"), status);
  EXPECT_TRUE(Interpret(absl::OkStatus(), "h").ok());
}

}  // namespace
}  // namespace drover::vsphere
