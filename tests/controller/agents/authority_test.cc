#include "controller/agents/authority.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstdio>
#include <string>

#include "controller/agents/identity_check.h"
#include "controller/agents/server_certificate.h"
#include "controller/agents/x509.h"
#include "proto/support/status.h"
#include "tests/testing/temp_dir.h"
#include "tests/testing/test_store.h"

namespace drover::agents {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::Not;

class AuthorityTest : public ::testing::Test {
 protected:
  std::unique_ptr<Authority> Open() {
    auto authority = Authority::Open(&world_.store(), &world_.vault(), &world_.clock());
    EXPECT_TRUE(authority.ok()) << authority.status();
    return *std::move(authority);
  }

  testing::TestStore world_;
};

TEST_F(AuthorityTest, IsTheSameAfterARestart) {
  const std::string certificate = Open()->certificate();
  world_.Reopen();
  EXPECT_EQ(Open()->certificate(), certificate);
}

TEST_F(AuthorityTest, ItsFingerprintIsWhatOpenSslSays) {
  const auto authority = Open();
  const std::string file = world_.directory() + "/authority.pem";
  testing::WriteFile(file, authority->certificate());
  const std::string command = "openssl x509 -noout -fingerprint -sha256 -in " + file;
  FILE* said = popen(command.c_str(), "r");
  ASSERT_NE(said, nullptr);
  char line[256] = "";
  EXPECT_NE(fgets(line, sizeof line, said), nullptr);
  EXPECT_EQ(pclose(said), 0);
  EXPECT_THAT(std::string(line), HasSubstr("Fingerprint=" + authority->Fingerprint()));
  EXPECT_EQ(authority->Fingerprint().size(), 95u);
}

TEST_F(AuthorityTest, ItsKeyIsNowhereInTheClear) {
  Open();
  EXPECT_EQ(testing::FilesContaining(world_.directory(), "PRIVATE KEY"), "");
}

TEST_F(AuthorityTest, ServerCertificatesCarryTheNamesAndTheControllersOwn) {
  const auto authority = Open();
  const auto identity = authority->IssueServer({"drover.example", "10.0.0.1", "::1"});
  ASSERT_TRUE(identity.ok()) << identity.status();
  const auto certificate = CertificateFromPem(identity->chain);
  EXPECT_THAT(NamesOf(certificate->get()),
              ElementsAre("10.0.0.1", "::1", "drover-controller", "drover.example"));
  EXPECT_THAT(identity->chain, HasSubstr(authority->certificate()));
  // It is no agent's.
  EXPECT_TRUE(HasReason(authority->VerifyAgent(identity->chain).status(), "CERTIFICATE_REFUSED"));
}

TEST_F(AuthorityTest, BadRequestsAreRefused) {
  const auto authority = Open();
  for (const std::string request :
       {"", "hello",
        "-----BEGIN CERTIFICATE REQUEST-----\nAAAA\n-----END CERTIFICATE REQUEST-----"}) {
    EXPECT_TRUE(absl::IsInvalidArgument(authority->IssueAgent(request, "uid").status())) << request;
  }
  EXPECT_TRUE(
      absl::IsInvalidArgument(authority->IssueAgent(std::string(1 << 20, 'A'), "uid").status()));
}

TEST_F(AuthorityTest, FilesAreMadePrivateAndRenewedInTime) {
  const auto authority = Open();
  ServerCertificate files(authority.get(), &world_.clock(), world_.directory() + "/tls", {"a.b"});
  ASSERT_TRUE(files.Refresh().ok());
  EXPECT_EQ(testing::ModeOf(files.key_file()), 0600);
  const std::string first = testing::ReadFile(files.certificate_file());
  EXPECT_EQ(testing::ReadFile(files.authority_file()), authority->certificate());
  world_.clock().Advance(absl::Hours(24 * 360));
  ASSERT_TRUE(files.Refresh().ok());
  EXPECT_EQ(testing::ReadFile(files.certificate_file()), first);
  world_.clock().Advance(absl::Hours(24 * 10));
  ASSERT_TRUE(files.Refresh().ok());
  const std::string second = testing::ReadFile(files.certificate_file());
  EXPECT_NE(second, first);
  // Other names, a lost key, a damaged file: made anew.
  ServerCertificate renamed(authority.get(), &world_.clock(), world_.directory() + "/tls", {"c.d"});
  ASSERT_TRUE(renamed.Refresh().ok());
  const std::string third = testing::ReadFile(files.certificate_file());
  EXPECT_NE(third, second);
  testing::WriteFile(files.key_file(), "damaged");
  ASSERT_TRUE(renamed.Refresh().ok());
  EXPECT_NE(testing::ReadFile(files.certificate_file()), third);
  EXPECT_THAT(testing::ReadFile(files.key_file()), HasSubstr("PRIVATE KEY"));
  EXPECT_EQ(testing::ModeOf(files.key_file()), 0600);
}

struct UuidCase {
  const char* a;
  const char* b;
  bool same;
};

TEST(IdentityCheck, BiosUuids) {
  const UuidCase rows[] = {
      {"564d1234-0000-1111-2222-333344445555", "564D1234-0000-1111-2222-333344445555", true},
      {"564d1234-0000-1111-2222-333344445555", "34124d56-0000-1111-2222-333344445555", true},
      {"564d1234-0102-1314-2222-333344445555", "34124d56-0201-1413-2222-333344445555", true},
      {"564d1234-0000-1111-2222-333344445555", "564d1234-0000-1111-2222-333344445556", false},
      {"564d1234-0000-1111-2222-333344445555", "", true},
      {"", "", true},
  };
  for (const UuidCase& row : rows) EXPECT_EQ(SameBiosUuid(row.a, row.b), row.same) << row.b;
}

}  // namespace
}  // namespace drover::agents
