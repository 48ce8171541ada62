// Every call that can fail does, once: afterwards the copy is finished by going on, or gone without
// a trace, and sessions are where they belong.
#include <string>
#include <vector>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "proto/support/status.h"
#include "tests/controller/vsphere/lab.h"

namespace drover::vsphere {
namespace {

using ::testing::HasSubstr;

// Which calls fail, and how.
struct Failure {
  const char* method;
  const char* how;
};
constexpr Failure kFailures[] = {
    {"*", "SystemError"},
    {"*", "drop-after"},
    {"changes", "drop"},
    {"*", "http-503"},
    {"changes", "SystemError --task"},
};
// A copy makes fewer calls than this; one that reaches it would be told by the check below.
constexpr int kMostCalls = 200;

int CallsOf(const std::string& host) {
  int all = 0;
  for (absl::string_view line : absl::StrSplit(Lab("calls " + host), '\n')) {
    std::vector<absl::string_view> words = absl::StrSplit(line, ' ', absl::SkipEmpty());
    int count = 0;
    if (words.size() == 2 && absl::SimpleAtoi(words[1], &count)) all += count;
  }
  return all;
}

class LabFailureTest : public LabTest {
 protected:
  void Fail(const Failure& failure, int nth) {
    Lab(absl::StrCat("faults ", host_->name, " clear"));
    Lab(absl::StrCat("fault ", host_->name, " '", failure.method, "' ", failure.how, " --skip ",
                     nth, " --times 1"));
  }
  void Heal() { Lab(absl::StrCat("faults ", host_->name, " clear")); }
  void ExpectNothingLeft(const std::string& when) {
    int code = 0;
    std::string left = Lab(absl::StrCat("leftovers ", host_->name), &code);
    EXPECT_EQ(code, 0) << when << ": " << left;
  }
};

TEST_P(LabFailureTest, ACopyWhoseNthCallFailsGoesOn) {
  core::CopySpec spec = Spec("broken");
  for (const Failure& failure : kFailures) {
    for (int nth = 0; nth < kMostCalls; ++nth) {
      std::string when = absl::StrCat(failure.method, " ", failure.how, ", call ", nth);
      RecordedStep step;
      Lab(absl::StrCat("calls ", host_->name, " --reset"));
      Fail(failure, nth);
      auto copied = handle_->Copy(spec, step);
      Heal();
      bool out_of_calls = CallsOf(host_->name) <= nth;
      if (!copied.ok()) {
        EXPECT_NE(ReasonOf(copied.status()), "") << when << ": " << copied.status();
        copied = handle_->Copy(spec, step);
        ASSERT_TRUE(copied.ok()) << when << ", going on: " << copied.status();
      }
      auto vms = handle_->ListVms();
      ASSERT_OK(vms.status());
      int found = 0;
      for (const auto& vm : *vms) found += vm.name() == spec.vm_name();
      EXPECT_EQ(found, 1) << when;
      ASSERT_OK(handle_->DiscardCopy(spec, step));
      ExpectNothingLeft(when);
      if (out_of_calls || HasFailure()) break;
    }
  }
}

TEST_P(LabFailureTest, ACopyWhoseNthCallFailsIsGoneWhenDiscarded) {
  core::CopySpec spec = Spec("broken");
  for (const Failure& failure : kFailures) {
    for (int nth = 0; nth < kMostCalls; ++nth) {
      std::string when = absl::StrCat(failure.method, " ", failure.how, ", call ", nth);
      RecordedStep step;
      Lab(absl::StrCat("calls ", host_->name, " --reset"));
      Fail(failure, nth);
      bool copied = handle_->Copy(spec, step).ok();
      Heal();
      bool out_of_calls = CallsOf(host_->name) <= nth;
      // The same for the way back.
      Fail(failure, nth);
      absl::Status discarded = handle_->DiscardCopy(spec, step);
      Heal();
      if (!discarded.ok()) {
        absl::Status again = handle_->DiscardCopy(spec, step);
        ASSERT_TRUE(again.ok()) << when << ": " << again;
      }
      ExpectNothingLeft(when);
      if ((copied && out_of_calls) || HasFailure()) break;
    }
  }
}

TEST_P(LabFailureTest, ARefusedLoginIsNotTriedAgain) {
  core::HypervisorSecrets wrong = host_->secrets;
  wrong.set_password("wrong");
  auto handle = connector_->Open(host_->hypervisor, wrong);
  Lab(absl::StrCat("calls ", host_->name, " --reset"));
  for (int i = 0; i < 8; ++i) {
    EXPECT_TRUE(HasReason(handle->Describe().status(), "HYPERVISOR_LOGIN_REFUSED"));
  }
  EXPECT_THAT(Lab("calls " + host_->name), HasSubstr("Login 1\n"));
  ASSERT_OK(handle_->Describe().status());
}

TEST_P(LabFailureTest, NoPasswordGoesToAServerThatIsNotConfirmed) {
  Lab(absl::StrCat("calls ", host_->name, " --reset"));
  drover::v1::Hypervisor stranger = host_->hypervisor;
  for (const char* known : {"", "00:11"}) {
    stranger.set_certificate_fingerprint(known);
    absl::Status status = connector_->Test(stranger, host_->secrets).status();
    EXPECT_TRUE(HasReason(status, "CERTIFICATE_NOT_CONFIRMED")) << status;
    EXPECT_EQ(ErrorMetadata(status, "fingerprint"), host_->hypervisor.certificate_fingerprint());
  }
  EXPECT_EQ(CallsOf(host_->name), 0);
  stranger = host_->hypervisor;
  stranger.set_url("http://10.213.0.2/sdk");
  EXPECT_TRUE(absl::IsInvalidArgument(connector_->Test(stranger, host_->secrets).status()));
  ASSERT_OK(connector_->Test(host_->hypervisor, host_->secrets).status());
  if (!host_->hypervisor.has_ssh()) return;
  stranger = host_->hypervisor;
  stranger.mutable_ssh()->clear_host_key_fingerprint();
  absl::Status status = connector_->Test(stranger, host_->secrets).status();
  EXPECT_TRUE(HasReason(status, "CERTIFICATE_NOT_CONFIRMED")) << status;
  EXPECT_EQ(ErrorMetadata(status, "ssh_host_key"), host_->hypervisor.ssh().host_key_fingerprint());
}

TEST_P(LabFailureTest, AFreeHostWithoutShellRefusesAtOnce) {
  if (GetParam() != "free") GTEST_SKIP() << "about licences";
  drover::v1::Hypervisor alone = host_->hypervisor;
  alone.clear_ssh();
  auto handle = connector_->Open(alone, host_->secrets);
  Lab(absl::StrCat("calls ", host_->name, " --reset"));
  RecordedStep step;
  for (const absl::Status& status :
       {handle->CheckCopy(Spec("never")), handle->Copy(Spec("never"), step).status()}) {
    EXPECT_TRUE(HasReason(status, "LICENCE_FORBIDS")) << status;
    EXPECT_THAT(std::string(status.message()), HasSubstr("10.213."));
    EXPECT_THAT(std::string(status.message()), HasSubstr("Hypervisor"));
  }
  EXPECT_THAT(Lab("calls " + host_->name), ::testing::Not(HasSubstr("_Task")));
}

TEST_P(LabFailureTest, CrashesLeaveNoSessionsBehind) {
  ASSERT_OK(handle_->Describe().status());
  // Handles that are never closed stand for controllers that died.
  std::vector<std::shared_ptr<core::Hypervisor>> dead;
  for (int i = 0; i < 10; ++i) {
    dead.push_back(connector_->Open(host_->hypervisor, host_->secrets));
    ASSERT_OK(dead.back()->Describe().status());
  }
  std::vector<std::string> sessions =
      absl::StrSplit(Lab("sessions " + host_->name), '\n', absl::SkipEmpty());
  EXPECT_LE(sessions.size(), 2u) << Lab("sessions " + host_->name);
  // And the older ones simply sign in again.
  ASSERT_OK(handle_->ListVms().status());
}

INSTANTIATE_TEST_SUITE_P(Hosts, LabFailureTest, ::testing::Values("esxi", "vcenter", "free"),
                         [](const auto& info) { return info.param; });

}  // namespace
}  // namespace drover::vsphere
