#include "controller/secrets/openssl_vault.h"

#include <sys/stat.h>
#include <unistd.h>

#include <set>

#include "absl/strings/escaping.h"
#include "absl/strings/match.h"
#include "controller/secrets/password_hash.h"
#include "gtest/gtest.h"
#include "proto/support/status.h"
#include "tests/testing/temp_dir.h"

namespace drover::secrets {
namespace {

using drover::testing::ModeOf;
using drover::testing::ReadFile;
using drover::testing::TempDir;
using drover::testing::WriteFile;

class OpenSslVaultTest : public ::testing::Test {
 protected:
  OpenSslVaultTest() : vault_(*OpenSslVault::Open(folder_.File("key"))) {}

  TempDir folder_;
  std::unique_ptr<OpenSslVault> vault_;
};

TEST_F(OpenSslVaultTest, OpensWhatItSealed) {
  for (const std::string& plain :
       {std::string(), std::string("x"), std::string("a\0b", 3), std::string(100000, 'q')}) {
    auto sealed = vault_->Seal(plain, "vm");
    ASSERT_TRUE(sealed.ok());
    EXPECT_EQ(sealed->size(), plain.size() + 29);
    auto opened = vault_->Unseal(*sealed, "vm");
    ASSERT_TRUE(opened.ok()) << opened.status();
    EXPECT_EQ(*opened, plain);
  }
}

TEST_F(OpenSslVaultTest, SealedIsNeverTheSameTwiceAndNeverShows) {
  const std::string plain = "canary-password-1";
  EXPECT_NE(*vault_->Seal(plain, "p"), *vault_->Seal(plain, "p"));
  EXPECT_FALSE(absl::StrContains(*vault_->Seal(plain, "p"), "canary"));
}

TEST_F(OpenSslVaultTest, RefusesAnyChangedByteAndAnyOtherPurpose) {
  const std::string sealed = *vault_->Seal("secret", "hypervisor");
  for (size_t i = 0; i < sealed.size(); ++i) {
    std::string changed = sealed;
    changed[i] = static_cast<char>(changed[i] ^ 1);
    EXPECT_EQ(vault_->Unseal(changed, "hypervisor").status().code(), absl::StatusCode::kDataLoss)
        << i;
  }
  for (size_t size = 0; size < sealed.size(); ++size) {
    EXPECT_FALSE(vault_->Unseal(sealed.substr(0, size), "hypervisor").ok()) << size;
  }
  EXPECT_TRUE(HasReason(vault_->Unseal(sealed, "type").status(), "SECRET_UNREADABLE"));
}

TEST_F(OpenSslVaultTest, KeySurvivesARestartAndAnotherKeyOpensNothing) {
  const std::string sealed = *vault_->Seal("secret", "p");
  const std::string mac = vault_->Mac("data", "p");
  auto again = OpenSslVault::Open(folder_.File("key"));
  ASSERT_TRUE(again.ok());
  EXPECT_EQ(*(*again)->Unseal(sealed, "p"), "secret");
  EXPECT_EQ((*again)->Mac("data", "p"), mac);
  auto other = OpenSslVault::Open(folder_.File("other"));
  ASSERT_TRUE(other.ok());
  EXPECT_FALSE((*other)->Unseal(sealed, "p").ok());
  EXPECT_NE((*other)->Mac("data", "p"), mac);
}

TEST_F(OpenSslVaultTest, MacTellsPurposesApart) {
  EXPECT_NE(vault_->Mac("c", "ab"), vault_->Mac("bc", "a"));
  EXPECT_NE(vault_->Mac("x", "a"), vault_->Mac("x", "b"));
  EXPECT_EQ(vault_->Mac("x", "a").size(), 32u);
}

TEST_F(OpenSslVaultTest, Sha256IsSha256) {
  EXPECT_EQ(absl::BytesToHexString(vault_->Sha256("abc")),
            "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
  auto digest = vault_->NewSha256();
  digest->Add("a");
  digest->Add("bc");
  EXPECT_EQ(digest->Finish(), vault_->Sha256("abc"));
}

TEST_F(OpenSslVaultTest, RandomBytesDiffer) {
  std::set<std::string> seen;
  for (int i = 0; i < 100; ++i) seen.insert(vault_->RandomBytes(32));
  EXPECT_EQ(seen.size(), 100u);
}

TEST_F(OpenSslVaultTest, PasswordsAreHashedWithSaltAndParameters) {
  const std::string hash = *vault_->HashPassword("correct horse battery");
  EXPECT_TRUE(absl::StartsWith(hash, "$scrypt$ln=15,r=8,p=1$")) << hash;
  EXPECT_NE(hash, *vault_->HashPassword("correct horse battery"));
  EXPECT_TRUE(vault_->VerifyPassword("correct horse battery", hash));
  EXPECT_FALSE(vault_->VerifyPassword("correct horse batterz", hash));
  EXPECT_FALSE(vault_->VerifyPassword("", hash));
}

TEST(PasswordHash, RefusesWhatIsNoHash) {
  const char* const wrong[] = {
      "",
      "plain",
      "$scrypt$ln=15,r=8,p=1$AAAA",
      "$scrypt$ln=0,r=8,p=1$AAAA$AAAA",
      "$scrypt$ln=30,r=8,p=1$AAAA$AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA",
      "$scrypt$ln=15,r=8$AAAA$AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA",
      "$bcrypt$ln=15,r=8,p=1$AAAA$AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA",
      "$scrypt$ln=15,r=8,p=1$A!AA$AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA",
  };
  for (const char* hash : wrong) EXPECT_FALSE(CheckPasswordHash("", hash)) << hash;
}

// RFC 7914, section 12: P="pleaseletmein", S="SodiumChloride", N=16384, r=8, p=1, first 32 bytes.
TEST(PasswordHash, AgreesWithTheStandard) {
  const std::string salt = "SodiumChloride";
  const std::string expected =
      absl::HexStringToBytes("7023bdcb3afd7348461c06cd81fd38ebfda8fbba904f8e3ea9b543f6545da1f2");
  const std::string hash = "$scrypt$ln=14,r=8,p=1$" + absl::WebSafeBase64Escape(salt) + "$" +
                           absl::WebSafeBase64Escape(expected);
  EXPECT_TRUE(CheckPasswordHash("pleaseletmein", hash));
  EXPECT_FALSE(CheckPasswordHash("pleaseletmeout", hash));
}

TEST_F(OpenSslVaultTest, KeyFileIsMadeForItsOwnerOnly) {
  EXPECT_EQ(ModeOf(folder_.File("key")), 0600);
  EXPECT_EQ(ReadFile(folder_.File("key")).size(), 78u);
  const std::string deep = folder_.File("new/folders/key");
  ASSERT_TRUE(OpenSslVault::Open(deep).ok());
  EXPECT_EQ(ModeOf(folder_.File("new/folders")), 0700);
}

TEST_F(OpenSslVaultTest, RefusesAKeyFileOthersMayRead) {
  for (const int mode : {0640, 0604, 0644, 0660, 0700, 0777}) {
    ASSERT_EQ(chmod(folder_.File("key").c_str(), mode), 0);
    auto opened = OpenSslVault::Open(folder_.File("key"));
    EXPECT_TRUE(HasReason(opened.status(), "UNSAFE_PERMISSIONS")) << opened.status();
  }
  ASSERT_EQ(chmod(folder_.File("key").c_str(), 0400), 0);
  EXPECT_TRUE(OpenSslVault::Open(folder_.File("key")).ok());
}

TEST_F(OpenSslVaultTest, RefusesADamagedKeyFileAndKeepsIt) {
  for (const std::string& text :
       {std::string(), std::string("drover-key-1 "), std::string("drover-key-1 abc\n"),
        std::string(64, 'a'), "drover-key-1 " + std::string(64, 'x')}) {
    WriteFile(folder_.File("key"), text);
    auto opened = OpenSslVault::Open(folder_.File("key"));
    EXPECT_TRUE(HasReason(opened.status(), "KEY_FILE_DAMAGED")) << opened.status();
    EXPECT_EQ(ReadFile(folder_.File("key")), text);
  }
}

TEST_F(OpenSslVaultTest, FollowsNoLink) {
  ASSERT_EQ(symlink(folder_.File("key").c_str(), folder_.File("link").c_str()), 0);
  EXPECT_FALSE(OpenSslVault::Open(folder_.File("link")).ok());
}

}  // namespace
}  // namespace drover::secrets
