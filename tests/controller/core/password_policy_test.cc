#include "controller/core/password_policy.h"

#include <set>

#include "absl/strings/match.h"
#include "gtest/gtest.h"
#include "proto/support/status.h"

namespace drover::core {
namespace {

TEST(PasswordPolicy, Rules) {
  struct Case {
    const char* name;
    std::string password;
    const char* problem;
  };
  const Case cases[] = {
      {"good", "correct horse", ""},
      {"ten characters", "abcdefghi9", ""},
      {"nine characters", "abcdefgh9", "at least 10 characters"},
      {"ten bytes, five characters", "äöüßé", "at least 10 characters"},
      {"ten characters of two bytes", "äöüßéäöüßé", ""},
      {"empty", "", "at least 10 characters"},
      {"longest", std::string(252, 'a') + "bcde", ""},
      {"too long", std::string(300, 'a') + "bcde", "at most 256 bytes"},
      {"few different", "aaaabbbbccccdddd", "different characters"},
      {"control character", "abcdefghij\n", "control characters"},
      {"nul", std::string("abcdefghij\0k", 12), "control characters"},
      {"user name", "my-ann-lee-password", "user name"},
      {"user name in capitals", "MyANN-LEEpassword", "user name"},
      {"well known", "1234567890", "guessed first"},
      {"well known in capitals", "QwertyUIOP", "guessed first"},
  };
  for (const Case& row : cases) {
    const absl::Status status = CheckNewPassword("new_password", row.password, "ann-lee");
    if (*row.problem == '\0') {
      EXPECT_TRUE(status.ok()) << row.name << ": " << status;
      continue;
    }
    const auto violations = ViolationsOf(status);
    ASSERT_EQ(violations.field_violations_size(), 1) << row.name;
    EXPECT_EQ(violations.field_violations(0).field(), "new_password");
    EXPECT_TRUE(absl::StrContains(violations.field_violations(0).description(), row.problem))
        << row.name << ": " << violations.field_violations(0).description();
    EXPECT_TRUE(row.password.empty() || !absl::StrContains(status.ToString(), row.password));
  }
}

TEST(PasswordPolicy, OneTimePasswordsPassTheirOwnRules) {
  std::set<std::string> seen;
  for (int i = 0; i < 256; ++i) {
    std::string random;
    for (int j = 0; j < 20; ++j) random.push_back(static_cast<char>(i + 37 * j));
    const std::string password = OneTimePassword(random);
    EXPECT_EQ(password.size(), 23u);
    EXPECT_TRUE(CheckNewPassword("p", password, "admin").ok()) << password;
    seen.insert(password);
  }
  EXPECT_EQ(seen.size(), 32u);
}

}  // namespace
}  // namespace drover::core
