// Signing in, contexts, and who is believed.
#include <google/protobuf/empty.pb.h>
#include <sys/stat.h>

#include "absl/strings/ascii.h"
#include "cli/first_contact.h"
#include "drover/v1/inventory.pb.h"
#include "drover/v1/people.pb.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "proto/support/status.h"
#include "tests/cli/drover_run.h"
#include "tests/cli/test_certificates.h"

namespace drover::cli {
namespace {

using ::testing::HasSubstr;
using ::testing::Not;

class SessionTest : public testing::DroverTest {
 protected:
  SessionTest() {
    controller_.On<v1::LoginRequest, v1::Session>(
        "PeopleService/Login", [](const v1::LoginRequest& request, v1::Session* session) {
          if (request.password() != "correct horse") {
            return MakeError(absl::StatusCode::kUnauthenticated, "LOGIN_FAILED",
                             "the name or the password is wrong");
          }
          session->set_token("token-of-" + request.user());
          session->mutable_user()->set_name("users/" + request.user());
          session->mutable_user()->set_role(v1::ROLE_SYSTEM_ADMINISTRATOR);
          session->mutable_user()->set_must_change_password(request.user() == "fresh");
          session->mutable_expire_time()->set_seconds(1800000000);
          return absl::OkStatus();
        });
    v1::User self;
    self.set_name("users/admin");
    self.set_role(v1::ROLE_SYSTEM_ADMINISTRATOR);
    controller_.Answer("PeopleService/GetSelf", self);
  }

  testing::Ran Login(const std::string& password, std::vector<std::string> more,
                     const std::string& user = "admin") {
    std::vector<std::string> words = {"login", controller_.address(), "--user", user,
                                      "--password-stdin"};
    words.insert(words.end(), more.begin(), more.end());
    return Run(words, password + "\n");
  }
  std::string ContextsFile() const { return home_.File("drover/contexts.toml"); }
};

TEST_F(SessionTest, AnUnknownAuthorityNeedsAPersonsWord) {
  const testing::Ran ran = Login("correct horse", {});
  EXPECT_EQ(ran.exit_code, 5);
  EXPECT_THAT(ran.err, HasSubstr(FingerprintOf(controller_.authority_pem())));
  EXPECT_THAT(ran.err, HasSubstr("reason: AUTHORITY_NOT_CONFIRMED"));
  // Neither name nor password went anywhere.
  EXPECT_TRUE(controller_.Requests("PeopleService/Login").empty());
  EXPECT_EQ(testing::ModeOf(ContextsFile()), -1);
}

TEST_F(SessionTest, TrustsOnFirstUseThenSendsTheToken) {
  const testing::Ran ran = Login("correct horse", {"--trust-new-certificate"});
  EXPECT_EQ(ran.exit_code, 0) << ran.err;
  EXPECT_THAT(ran.err, HasSubstr("Signed in at " + controller_.address() +
                                 " as admin (system-administrator)"));
  EXPECT_EQ(testing::ModeOf(ContextsFile()), 0600);
  EXPECT_EQ(testing::ModeOf(home_.File("drover")), 0700);
  EXPECT_THAT(testing::ReadFile(ContextsFile()), Not(HasSubstr("correct horse")));

  const testing::Ran who = Run({"whoami"});
  EXPECT_EQ(who.out, "admin (system-administrator) at " + controller_.address() + "\n");
  EXPECT_EQ(controller_.last_authorization(), "Bearer token-of-admin");
  // The second time it is known.
  EXPECT_EQ(Login("correct horse", {}).exit_code, 0);
}

TEST_F(SessionTest, AFingerprintConfirmsInAnySpelling) {
  const std::string fingerprint = FingerprintOf(controller_.authority_pem());
  EXPECT_EQ(Login("correct horse", {"--fingerprint", "SHA256:" + fingerprint}).exit_code, 0);
  EXPECT_EQ(Login("correct horse", {"--fingerprint", absl::AsciiStrToLower(fingerprint)}).exit_code,
            0);
  std::string other = fingerprint;
  other[0] = other[0] == '0' ? '1' : '0';
  const testing::Ran ran = Login("correct horse", {"--fingerprint", other});
  EXPECT_EQ(ran.exit_code, 5);
  EXPECT_THAT(ran.err, HasSubstr("shows another authority than --fingerprint names"));
}

TEST_F(SessionTest, AnAuthorityThatChangedIsToldLoudly) {
  ASSERT_EQ(Login("correct horse", {"--trust-new-certificate", "--context", "x"}).exit_code, 0);
  // The same address, another controller.
  Terminal terminal({.env = env_, .now = absl::Now});
  auto store = ContextStore::Load(terminal);
  Context context = store->contexts().at("x");
  context.authority = testing::MakeTestCertificates().authority;
  store->Put("x", context);
  ASSERT_TRUE(store->Save().ok());

  const testing::Ran call = Run({"whoami"});
  EXPECT_EQ(call.exit_code, 6);
  EXPECT_THAT(call.err, HasSubstr("reason: CERTIFICATE_REFUSED"));
  const testing::Ran login = Login("correct horse", {"--context", "x"});
  EXPECT_EQ(login.exit_code, 5);
  EXPECT_THAT(login.err, HasSubstr("IS ANOTHER ONE than before"));
}

TEST_F(SessionTest, AWrongPassword) {
  const testing::Ran ran = Login("wrong", {"--trust-new-certificate"});
  EXPECT_EQ(ran.exit_code, 4);
  EXPECT_THAT(ran.err, HasSubstr("the name or the password is wrong"));
  EXPECT_THAT(ran.err, HasSubstr("reason: LOGIN_FAILED"));
  EXPECT_EQ(testing::ModeOf(ContextsFile()), -1);
}

TEST_F(SessionTest, MustChangePasswordThenTwoLinesDoIt) {
  const testing::Ran login = Login("correct horse", {"--trust-new-certificate"}, "fresh");
  EXPECT_EQ(login.exit_code, 0);
  EXPECT_THAT(login.err, HasSubstr("drover user passwd --password-stdin"));

  controller_.Answer("PeopleService/ChangePassword", google::protobuf::Empty());
  EXPECT_EQ(
      Run({"user", "passwd", "--password-stdin"}, "correct horse\nbattery staple\n").exit_code, 0);
  const auto sent =
      controller_.LastRequest<v1::ChangePasswordRequest>("PeopleService/ChangePassword");
  EXPECT_EQ(sent.old_password(), "correct horse");
  EXPECT_EQ(sent.new_password(), "battery staple");
  const testing::Ran one = Run({"user", "passwd", "--password-stdin"}, "correct horse\n");
  EXPECT_EQ(one.exit_code, 2);
  EXPECT_THAT(one.err, HasSubstr("two lines are needed"));
}

TEST_F(SessionTest, LogoutForgetsTheTokenAlsoWhenItHadEnded) {
  ASSERT_EQ(Login("correct horse", {"--trust-new-certificate"}).exit_code, 0);
  controller_.Refuse("PeopleService/Logout", absl::UnauthenticatedError("ended"));
  EXPECT_EQ(Run({"logout"}).exit_code, 0);
  EXPECT_THAT(testing::ReadFile(ContextsFile()), Not(HasSubstr("token-of")));
  EXPECT_THAT(Run({"logout"}).err, HasSubstr("Not signed in."));
}

TEST_F(SessionTest, NoPasswordWithoutATerminal) {
  const testing::Ran ran =
      Run({"login", controller_.address(), "--user", "admin", "--trust-new-certificate"});
  EXPECT_EQ(ran.exit_code, 2);
  EXPECT_THAT(ran.err, HasSubstr("--password-stdin or --password-file is missing"));
}

TEST_F(SessionTest, Contexts) {
  ASSERT_EQ(Login("correct horse", {"--trust-new-certificate", "--context", "one"}).exit_code, 0);
  ASSERT_EQ(
      Login("correct horse", {"--trust-new-certificate", "--context", "two"}, "eve").exit_code, 0);
  EXPECT_EQ(Run({"context", "list", "-q"}).out, "one\ntwo\n");
  EXPECT_THAT(Run({"context", "list"}).out, HasSubstr("* two"));
  EXPECT_EQ(Run({"context", "use", "one"}).exit_code, 0);
  Run({"whoami"});
  EXPECT_EQ(controller_.last_authorization(), "Bearer token-of-admin");
  Run({"whoami", "--context", "two"});
  EXPECT_EQ(controller_.last_authorization(), "Bearer token-of-eve");
  env_["DROVER_CONTEXT"] = "two";
  Run({"whoami"});
  EXPECT_EQ(controller_.last_authorization(), "Bearer token-of-eve");
  const testing::Ran wrong = Run({"whoami", "--context", "tow"});
  EXPECT_EQ(wrong.exit_code, 3);
  EXPECT_THAT(wrong.err, HasSubstr("did you mean \"two\"?"));
  EXPECT_EQ(Run({"context", "delete", "two"}).exit_code, 0);
  EXPECT_EQ(Run({"context", "list", "-q"}).out, "one\n");
}

TEST_F(SessionTest, ServerAndTokenFromTheEnvironment) {
  ASSERT_EQ(Login("correct horse", {"--trust-new-certificate", "--context", "one"}).exit_code, 0);
  env_["DROVER_SERVER"] = controller_.address();
  env_["DROVER_TOKEN"] = "from-env";
  EXPECT_EQ(Run({"whoami"}).exit_code, 0);
  EXPECT_EQ(controller_.last_authorization(), "Bearer from-env");
  env_["DROVER_SERVER"] = "127.0.0.1:1";
  EXPECT_THAT(Run({"whoami"}).err, HasSubstr("not signed in at 127.0.0.1:1"));
  // Without any file: the authority comes by the environment as well.
  env_["XDG_CONFIG_HOME"] = home_.File("nothing-here");
  env_["DROVER_SERVER"] = controller_.address();
  env_["DROVER_AUTHORITY"] = FileWith("authority.pem", controller_.authority_pem());
  EXPECT_EQ(Run({"whoami"}).exit_code, 0);
}

TEST_F(SessionTest, AStoreThatOthersCanReadIsRefused) {
  SignIn();
  ASSERT_EQ(chmod(ContextsFile().c_str(), 0644), 0);
  const testing::Ran ran = Run({"whoami"});
  EXPECT_EQ(ran.exit_code, 5);
  EXPECT_THAT(ran.err, HasSubstr("run chmod 600 "));
}

TEST_F(SessionTest, NobodyAnswers) {
  SignIn();
  env_["DROVER_AUTHORITY"] = FileWith("authority.pem", controller_.authority_pem());
  env_["DROVER_SERVER"] = "127.0.0.1:1";
  const testing::Ran call = Run({"whoami"});
  EXPECT_EQ(call.exit_code, 6);
  EXPECT_THAT(call.err, HasSubstr("the controller at 127.0.0.1:1 does not answer"));
  const testing::Ran login =
      Run({"login", "127.0.0.1:1", "--user", "a", "--password-stdin"}, "x\n");
  EXPECT_EQ(login.exit_code, 6);
  EXPECT_THAT(login.err, HasSubstr("no controller answers at 127.0.0.1:1: Connection refused"));
}

TEST_F(SessionTest, NotSignedIn) {
  const testing::Ran ran = Run({"vm", "list"});
  EXPECT_EQ(ran.exit_code, 4);
  EXPECT_THAT(ran.err, HasSubstr("hint: sign in with: drover login"));
}

TEST(Fingerprint, Spellings) {
  const std::string hex(64, 'a');
  EXPECT_TRUE(SameFingerprint("SHA256:" + hex, absl::AsciiStrToUpper(hex)));
  EXPECT_FALSE(SameFingerprint("", ""));
  EXPECT_FALSE(SameFingerprint("AA", "AA"));
}

}  // namespace
}  // namespace drover::cli
