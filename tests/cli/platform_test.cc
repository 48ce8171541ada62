// What is wrong with the platform, from here to its hosts; and the file for those who look for it.
#include <stdlib.h>
#include <zlib.h>

#include "absl/strings/str_replace.h"
#include "absl/time/clock.h"
#include "drover/v1/activity.pb.h"
#include "drover/v1/inventory.pb.h"
#include "drover/v1/people.pb.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "proto/support/json.h"
#include "proto/support/status.h"
#include "proto/support/time.h"
#include "tests/cli/drover_run.h"
#include "tests/cli/test_certificates.h"
#include "tests/testing/temp_dir.h"

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

// ---- the bundle

constexpr char kCanary[] = "CaNaRy-42-secret";

std::string Unpacked(const std::string& archive) {
  z_stream stream = {};
  EXPECT_EQ(inflateInit2(&stream, MAX_WBITS + 16), Z_OK);
  std::string text(64 << 20, '\0');
  stream.next_in = reinterpret_cast<Bytef*>(const_cast<char*>(archive.data()));
  stream.avail_in = static_cast<uInt>(archive.size());
  stream.next_out = reinterpret_cast<Bytef*>(text.data());
  stream.avail_out = static_cast<uInt>(text.size());
  EXPECT_EQ(inflate(&stream, Z_FINISH), Z_STREAM_END);
  text.resize(stream.total_out);
  inflateEnd(&stream);
  return text;
}

class BundleTest : public PlatformTest {
 protected:
  // The canary is everywhere a secret may be: in fields that are secrets, in texts that should not
  // have held it, in files, in the environment.
  BundleTest() {
    controller_.Answer("ActivityService/GetPlatformHealth", health_);
    v1::ListHypervisorsResponse hypervisors;
    v1::Hypervisor* host = hypervisors.add_hypervisors();
    host->set_name("hypervisors/esxi1");
    host->set_password(kCanary);
    host->mutable_ssh()->set_password(kCanary);
    host->set_url(absl::StrCat("https://root:", kCanary, "@esxi1.example/sdk"));
    controller_.Answer("InventoryService/ListHypervisors", hypervisors);
    v1::ListEventsResponse events;
    for (const char* text :
         {"cannot sign in with password=%s", "{\"guest_password\": \"%s\", \"a\": 1}",
          "svn: --password: '%s'", "Authorization: Bearer %s",
          "-----BEGIN PRIVATE KEY-----\n%s\n-----END PRIVATE KEY-----\n", "svn://me:%s@svn/x"}) {
      events.add_events()->set_message(absl::StrReplaceAll(text, {{"%s", kCanary}}));
    }
    events.add_events()->set_message("the password of web-01 was changed");
    controller_.Answer("ActivityService/ListEvents", events);
    testing::WriteFile(
        home_.File("controller.toml"),
        absl::StrCat("[mail]\nsmtp = \"smtp://a:", kCanary, "@mail\"\npassword = \"", kCanary,
                     "\"\npassword_file = \"/etc/drover/mail.password\"\n"));
    env_["DROVER_TOKEN"] = kCanary;
  }
};

TEST_F(BundleTest, HoldsEverythingButSecrets) {
  const std::string path = home_.File("b.tar.gz");
  const testing::Ran ran = Run({"debug", "bundle", "--to", path, "--config-dir", home_.path()});
  ASSERT_EQ(ran.exit_code, 0) << ran.err;
  EXPECT_EQ(ran.out, path + "\n");
  EXPECT_EQ(testing::ModeOf(path), 0600);
  const std::string text = Unpacked(testing::ReadFile(path));
  EXPECT_THAT(text, Not(HasSubstr(kCanary)));
  EXPECT_THAT(text, Not(HasSubstr("token-1")));
  // What is no secret is there.
  for (const char* there :
       {"drover-bundle/doctor.json", "drover-bundle/config/controller.toml", "hypervisors/esxi1",
        "the password of web-01 was changed", "/etc/drover/mail.password", "\"intact\"",
        "cannot sign in with password=[removed]", "drover-bundle/missing.txt",
        "controller/rollouts.json: this controller cannot do that"}) {
    EXPECT_THAT(text, HasSubstr(there));
  }
  // Never over what is there.
  EXPECT_EQ(Run({"debug", "bundle", "--to", path}).exit_code, 5);
}

TEST_F(BundleTest, OtherProgramsReadIt) {
  const std::string path = home_.File("b.tar.gz");
  ASSERT_EQ(Run({"debug", "bundle", "--to", path}).exit_code, 0);
  const std::string command = absl::StrCat("tar -xzf ", path, " -C ", home_.path(), " && test -s ",
                                           home_.path(), "/drover-bundle/controller/events.json");
  EXPECT_EQ(system(command.c_str()), 0);
  v1::ListEventsResponse events;
  EXPECT_TRUE(
      FromJson(testing::ReadFile(home_.File("drover-bundle/controller/events.json")), &events)
          .ok());
  EXPECT_EQ(events.events_size(), 7);
}

TEST_F(BundleTest, IsMadeWithoutAController) {
  env_["DROVER_SERVER"] = "127.0.0.1:1";
  env_["DROVER_AUTHORITY"] = FileWith("authority.pem", controller_.authority_pem());
  const testing::Ran ran = Run({"debug", "bundle", "--to", "-"});
  EXPECT_EQ(ran.exit_code, 0) << ran.err;
  const std::string text = Unpacked(ran.out);
  EXPECT_THAT(text, HasSubstr("drover-bundle/here.txt"));
  EXPECT_THAT(text, HasSubstr("drover-bundle/missing.txt"));
  EXPECT_THAT(text, Not(HasSubstr(kCanary)));
}

}  // namespace
}  // namespace drover::cli
