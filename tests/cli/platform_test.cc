// What is wrong with the platform, from here to its hosts.
#include "absl/time/clock.h"
#include "drover/v1/activity.pb.h"
#include "drover/v1/people.pb.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "proto/support/json.h"
#include "proto/support/status.h"
#include "proto/support/time.h"
#include "tests/cli/drover_run.h"
#include "tests/cli/test_certificates.h"

namespace drover::cli {
namespace {

using ::testing::HasSubstr;
using ::testing::Not;
using Check = v1::PlatformHealth::Check;

class PlatformTest : public testing::DroverTest {
 protected:
  PlatformTest() {
    SignIn();
    v1::User self;
    self.set_name("users/admin");
    self.set_role(v1::ROLE_SYSTEM_ADMINISTRATOR);
    controller_.Answer("PeopleService/GetSelf", self);
    const std::string version = Run({"version"}).out;
    health_.set_version(version.substr(7, version.size() - 8));
    *health_.mutable_time() = ToProto(absl::Now());
    Found("store", Check::STATE_OK, "intact");
  }

  void Found(const std::string& name, Check::State state, const std::string& finding,
             const std::string& advice = "") {
    Check* check = health_.add_checks();
    check->set_name(name);
    check->set_state(state);
    check->set_finding(finding);
    check->set_advice(advice);
  }
  testing::Ran Doctor(std::vector<std::string> more = {}) {
    controller_.Answer("ActivityService/GetPlatformHealth", health_);
    more.insert(more.begin(), "doctor");
    return Run(more);
  }

  v1::PlatformHealth health_;
};

TEST_F(PlatformTest, AllIsWell) {
  const testing::Ran ran = Doctor();
  EXPECT_EQ(ran.exit_code, 0) << ran.err;
  EXPECT_EQ(ran.err, "");
  EXPECT_THAT(ran.out, HasSubstr("signed in as admin (system-administrator)"));
  EXPECT_THAT(ran.out, HasSubstr("ok        store       intact\n"));
  EXPECT_THAT(ran.out, HasSubstr("agree"));
  EXPECT_THAT(ran.out, Not(HasSubstr("do:")));
}

TEST_F(PlatformTest, AnErrorOfTheControllerIsToldWithWhatToDo) {
  Found("disk", Check::STATE_ERROR, "1% free below /var/lib/drover", "free some space");
  Found("mail", Check::STATE_WARNING, "no mail server is configured", "set [mail] smtp");
  const testing::Ran ran = Doctor();
  EXPECT_EQ(ran.exit_code, 1);
  EXPECT_THAT(ran.out, HasSubstr("error     disk        1% free below /var/lib/drover\n"
                                 "                      do: free some space\n"));
  EXPECT_THAT(ran.err, HasSubstr("1 of 7 checks found something wrong"));
  // For programs: the same checks, those from here included.
  const testing::Ran json = Doctor({"-o", "json"});
  v1::PlatformHealth read;
  ASSERT_TRUE(FromJson(json.out, &read).ok()) << json.out;
  ASSERT_EQ(read.checks_size(), 7);
  EXPECT_EQ(read.checks(0).name(), "controller");
  EXPECT_EQ(read.checks(6).name(), "mail");
  EXPECT_THAT(Doctor({"--columns", "check,advice", "--no-headers"}).out,
              HasSubstr("mail        set [mail] smtp"));
}

TEST_F(PlatformTest, WarningsAloneAreNoFailure) {
  health_.set_version("0.0.1");
  *health_.mutable_time() = ToProto(absl::Now() - absl::Minutes(3));
  const testing::Ran ran = Doctor();
  EXPECT_EQ(ran.exit_code, 0) << ran.err;
  EXPECT_THAT(ran.out, HasSubstr("the controller 0.0.1"));
  EXPECT_THAT(ran.out, HasSubstr("install the same version of both"));
  EXPECT_THAT(ran.out, HasSubstr("behind this machine's"));
}

TEST_F(PlatformTest, AControllerThatDoesNotKnowTheCallIsAWarning) {
  const testing::Ran ran = Run({"doctor"});
  EXPECT_EQ(ran.exit_code, 0) << ran.err;
  EXPECT_THAT(ran.out, HasSubstr("the controller does not tell how it is"));
}

TEST_F(PlatformTest, WhatCannotBeReachedEndsWithItsOwnCode) {
  controller_.Refuse("PeopleService/GetSelf", absl::UnauthenticatedError("the session has ended"));
  testing::Ran ran = Run({"doctor"});
  EXPECT_EQ(ran.exit_code, 4);
  EXPECT_THAT(ran.out, HasSubstr("the session has ended"));
  EXPECT_THAT(ran.out, HasSubstr("do: sign in with: drover login"));

  env_["DROVER_SERVER"] = "127.0.0.1:1";
  env_["DROVER_AUTHORITY"] = FileWith("authority.pem", controller_.authority_pem());
  ran = Run({"doctor"});
  EXPECT_EQ(ran.exit_code, 6) << ran.out << ran.err;
  EXPECT_THAT(ran.out, HasSubstr("error     controller"));

  env_["DROVER_SERVER"] = controller_.address();
  env_["DROVER_AUTHORITY"] = FileWith("other.pem", testing::MakeTestCertificates().authority);
  ran = Run({"doctor"});
  EXPECT_EQ(ran.exit_code, 5) << ran.out << ran.err;
  EXPECT_THAT(ran.out, HasSubstr("shows another authority than was confirmed"));
}

TEST_F(PlatformTest, TestMailSaysWhoTookItOrWhyNot) {
  v1::SendTestMailResponse taken;
  taken.set_server("smtp://mail.example:25");
  controller_.Answer("ActivityService/SendTestMail", taken);
  testing::Ran ran = Run({"mail", "test", "ops@example.com", "--language", "zh-CN"});
  EXPECT_EQ(ran.exit_code, 0) << ran.err;
  EXPECT_EQ(ran.out, "The mail server took a test mail to ops@example.com.\n");
  const auto request =
      controller_.LastRequest<v1::SendTestMailRequest>("ActivityService/SendTestMail");
  EXPECT_EQ(request.to(), "ops@example.com");
  EXPECT_EQ(request.language(), "zh-CN");
  EXPECT_NE(request.request_id(), "");
  EXPECT_THAT(Run({"mail", "test", "ops@example.com", "-o", "json"}).out,
              HasSubstr("smtp://mail.example:25"));

  controller_.Refuse("ActivityService/SendTestMail",
                     MakeError(absl::StatusCode::kFailedPrecondition, "MAIL_NOT_CONFIGURED",
                               "no mail server is configured"));
  ran = Run({"mail", "test", "ops@example.com"});
  EXPECT_EQ(ran.exit_code, 5);
  EXPECT_THAT(ran.err, HasSubstr("[mail] smtp"));
}

}  // namespace
}  // namespace drover::cli
