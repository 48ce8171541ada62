#include "controller/core/people.h"

#include <filesystem>
#include <memory>
#include <string>
#include <vector>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "gtest/gtest.h"
#include "proto/support/status.h"
#include "proto/support/time.h"
#include "tests/testing/quick_vault.h"
#include "tests/testing/test_store.h"

namespace drover::core {
namespace {

using drover::testing::FilesContaining;
using drover::testing::QuickVault;
using drover::testing::TestStore;

constexpr char kPassword[] = "correct horse battery";

class PeopleTest : public ::testing::Test {
 protected:
  PeopleTest() { Restart(); }

  void Restart() {
    people_.reset();
    ground_.Reopen();
    people_ = std::make_unique<People>(&ground_.store(), &vault_, &ground_.clock());
  }
  // Signs in for the first time and sets a password.
  Caller FirstAdministrator() {
    auto password = people_->Start();
    EXPECT_TRUE(password.ok() && password->has_value());
    Caller caller = SignIn("admin", **password);
    EXPECT_TRUE(Change(caller, **password, kPassword).ok());
    return SignIn("admin", kPassword);
  }
  absl::StatusOr<v1::Session> Login(const std::string& user, const std::string& password) {
    v1::LoginRequest request;
    request.set_user(user);
    request.set_password(password);
    return people_->Login(request, "10.0.0.7");
  }
  Caller SignIn(const std::string& user, const std::string& password) {
    auto session = Login(user, password);
    EXPECT_TRUE(session.ok()) << session.status();
    if (!session.ok()) return {};
    tokens_.push_back(session->token());
    auto caller = people_->Authenticate(session->token(), "10.0.0.7");
    EXPECT_TRUE(caller.ok()) << caller.status();
    return caller.ok() ? *caller : Caller();
  }
  absl::Status Change(const Caller& caller, const std::string& before, const std::string& after) {
    v1::ChangePasswordRequest request;
    request.set_old_password(before);
    request.set_new_password(after);
    return people_->ChangePassword(caller, request);
  }
  absl::StatusOr<v1::User> Create(const std::string& id, v1::Role role,
                                  const std::string& password = "initial password") {
    v1::CreateUserRequest request;
    request.set_user_id(id);
    request.mutable_user()->set_role(role);
    request.mutable_user()->set_password(password);
    return people_->CreateUser(request);
  }
  absl::StatusOr<v1::User> SetRole(const std::string& id, v1::Role role) {
    v1::UpdateUserRequest request;
    request.mutable_user()->set_name("users/" + id);
    request.mutable_user()->set_role(role);
    request.mutable_update_mask()->add_paths("role");
    return people_->UpdateUser({}, request);
  }
  absl::Status Delete(const std::string& id) {
    v1::DeleteUserRequest request;
    request.set_name("users/" + id);
    return people_->DeleteUser(request);
  }
  bool Alive(const std::string& token) {
    auto caller = people_->Authenticate(token, "10.0.0.7");
    EXPECT_TRUE(caller.ok() || HasReason(caller.status(), "SESSION_EXPIRED")) << caller.status();
    return caller.ok();
  }

  TestStore ground_;
  QuickVault vault_{&ground_.vault()};
  std::unique_ptr<People> people_;
  std::vector<std::string> tokens_;
};

// ---------------------------------------------------------------- the first start

TEST_F(PeopleTest, FirstStartMakesOneAdministratorWithAPasswordToChange) {
  auto password = people_->Start();
  ASSERT_TRUE(password.ok() && password->has_value());
  auto session = Login("admin", **password);
  ASSERT_TRUE(session.ok()) << session.status();
  EXPECT_TRUE(session->user().must_change_password());
  EXPECT_EQ(session->user().role(), v1::ROLE_SYSTEM_ADMINISTRATOR);
  EXPECT_EQ(session->user().password(), "");
  auto caller = people_->Authenticate(session->token(), "10.0.0.7");
  EXPECT_TRUE(caller->must_change_password);
  ASSERT_TRUE(Change(*caller, **password, kPassword).ok());
  EXPECT_FALSE(people_->Authenticate(session->token(), "10.0.0.7")->must_change_password);
  EXPECT_TRUE(HasReason(Login("admin", **password).status(), "LOGIN_FAILED"));
  Restart();
  EXPECT_FALSE(people_->Start()->has_value());
  EXPECT_TRUE(Login("admin", kPassword).ok());
}

TEST_F(PeopleTest, APasswordNobodyReadIsReplacedUntilSomebodySignedIn) {
  const std::string first = **people_->Start();
  Restart();
  const std::string second = **people_->Start();
  EXPECT_NE(first, second);
  EXPECT_FALSE(Login("admin", first).ok());
  EXPECT_TRUE(Login("admin", second).ok());
  Restart();
  EXPECT_FALSE(people_->Start()->has_value());
  EXPECT_TRUE(Login("admin", second).ok());
}

TEST_F(PeopleTest, OtherUsersEndTheFirstStart) {
  FirstAdministrator();
  ASSERT_TRUE(Create("root", v1::ROLE_SYSTEM_ADMINISTRATOR).ok());
  ASSERT_TRUE(Delete("admin").ok());
  EXPECT_FALSE(people_->Start()->has_value());
}

// ---------------------------------------------------------------- signing in

TEST_F(PeopleTest, WrongNameAndWrongPasswordAreTheSame) {
  FirstAdministrator();
  const int before = vault_.verified();
  const absl::Status wrong_password = Login("admin", "not the password").status();
  const int after_one = vault_.verified();
  const absl::Status wrong_name = Login("nobody", "not the password").status();
  EXPECT_EQ(vault_.verified() - after_one, after_one - before);
  EXPECT_EQ(wrong_password, wrong_name);
  EXPECT_EQ(wrong_name.code(), absl::StatusCode::kUnauthenticated);
  EXPECT_TRUE(HasReason(wrong_name, "LOGIN_FAILED"));
}

TEST_F(PeopleTest, FailuresSlowDownAndEvenTheRightPasswordWaits) {
  FirstAdministrator();
  for (int i = 0; i < 5; ++i) EXPECT_TRUE(HasReason(Login("admin", "x").status(), "LOGIN_FAILED"));
  const int before = vault_.verified();
  EXPECT_TRUE(HasReason(Login("admin", kPassword).status(), "LOGIN_SLOWED_DOWN"));
  EXPECT_EQ(vault_.verified(), before);
  ground_.clock().Advance(absl::Seconds(1));
  EXPECT_TRUE(Login("admin", kPassword).ok());
}

TEST_F(PeopleTest, SlowDownIsTheSameForNamesThatDoNotExist) {
  FirstAdministrator();
  for (int i = 0; i < 5; ++i) EXPECT_TRUE(HasReason(Login("nobody", "x").status(), "LOGIN_FAILED"));
  EXPECT_TRUE(HasReason(Login("nobody", "x").status(), "LOGIN_SLOWED_DOWN"));
}

TEST_F(PeopleTest, OldPasswordCannotBeGuessedWithAStolenSession) {
  const Caller caller = FirstAdministrator();
  for (int i = 0; i < 5; ++i) {
    EXPECT_TRUE(HasReason(Change(caller, "guess", "some other password"), "WRONG_PASSWORD"));
  }
  EXPECT_TRUE(HasReason(Change(caller, kPassword, "some other password"), "LOGIN_SLOWED_DOWN"));
}

// ---------------------------------------------------------------- sessions

TEST_F(PeopleTest, SessionsSurviveARestartAndTheStoreHoldsNoToken) {
  FirstAdministrator();
  const std::string token = tokens_.back();
  EXPECT_EQ(token.size(), 43u);
  Restart();
  EXPECT_TRUE(Alive(token));
  EXPECT_FALSE(Alive(token + "x"));
  EXPECT_FALSE(Alive(""));
  EXPECT_EQ(FilesContaining(ground_.directory(), token), "");
}

TEST_F(PeopleTest, SessionsEndWhenUnusedAndAtAnAge) {
  FirstAdministrator();
  const std::string idle = tokens_.back();
  ground_.clock().Advance(absl::Hours(12) - absl::Seconds(1));
  EXPECT_TRUE(Alive(idle));
  // That use counted.
  ground_.clock().Advance(absl::Hours(11));
  EXPECT_TRUE(Alive(idle));
  ground_.clock().Advance(absl::Hours(12));
  EXPECT_FALSE(Alive(idle));

  SignIn("admin", kPassword);
  const std::string busy = tokens_.back();
  for (int hour = 0; hour < 167; ++hour) {
    ground_.clock().Advance(absl::Hours(1));
    ASSERT_TRUE(Alive(busy)) << hour;
  }
  ground_.clock().Advance(absl::Hours(1));
  EXPECT_FALSE(Alive(busy));
}

TEST_F(PeopleTest, LogoutEndsOneSession) {
  const Caller first = FirstAdministrator();
  const std::string first_token = tokens_.back();
  SignIn("admin", kPassword);
  ASSERT_TRUE(people_->Logout(first).ok());
  EXPECT_FALSE(Alive(first_token));
  EXPECT_TRUE(Alive(tokens_.back()));
}

TEST_F(PeopleTest, AUserHasABoundedNumberOfSessions) {
  FirstAdministrator();
  const std::string oldest = tokens_.back();
  for (int i = 0; i < 110; ++i) {
    ground_.clock().Advance(absl::Seconds(1));
    SignIn("admin", kPassword);
  }
  EXPECT_FALSE(Alive(oldest));
  EXPECT_TRUE(Alive(tokens_.back()));
  int sessions = 0;
  ASSERT_TRUE(ground_.store()
                  .Read([&](StoreReader& reader) -> absl::Status {
                    DROVER_ASSIGN_OR_RETURN(auto documents, reader.List(Table::kSessions, {}));
                    sessions = static_cast<int>(documents.size());
                    return absl::OkStatus();
                  })
                  .ok());
  EXPECT_EQ(sessions, 100);
}

TEST_F(PeopleTest, ANewPasswordEndsTheOtherSessions) {
  FirstAdministrator();
  const std::string other = tokens_.back();
  const Caller caller = SignIn("admin", kPassword);
  ASSERT_TRUE(Change(caller, kPassword, "another good password").ok());
  EXPECT_FALSE(Alive(other));
  EXPECT_TRUE(Alive(tokens_.back()));
}

// ---------------------------------------------------------------- users

TEST_F(PeopleTest, NewUsersMustChangeTheirPassword) {
  FirstAdministrator();
  auto user = Create("ann", v1::ROLE_ADMINISTRATOR);
  ASSERT_TRUE(user.ok()) << user.status();
  EXPECT_EQ(user->name(), "users/ann");
  EXPECT_EQ(user->language(), "en");
  EXPECT_EQ(user->password(), "");
  const Caller ann = SignIn("ann", "initial password");
  EXPECT_TRUE(ann.must_change_password);
  EXPECT_EQ(ann.role, v1::ROLE_ADMINISTRATOR);
  ASSERT_TRUE(Change(ann, "initial password", "a password of my own").ok());
  EXPECT_FALSE(SignIn("ann", "a password of my own").must_change_password);
  EXPECT_EQ(people_->GetSelf(ann)->name(), "users/ann");
  EXPECT_TRUE(people_->GetSelf(ann)->has_last_login_time());
}

TEST_F(PeopleTest, BadUsersAreRefusedWithTheField) {
  FirstAdministrator();
  struct Case {
    const char* id;
    v1::Role role;
    const char* password;
    const char* field;
  };
  const Case cases[] = {
      {"", v1::ROLE_ADMINISTRATOR, "initial password", "user_id"},
      {"Ann", v1::ROLE_ADMINISTRATOR, "initial password", "user_id"},
      {"system", v1::ROLE_ADMINISTRATOR, "initial password", "user_id"},
      {"ann", v1::ROLE_UNSPECIFIED, "initial password", "user.role"},
      {"ann", v1::ROLE_ADMINISTRATOR, "short", "user.password"},
      {"ann", v1::ROLE_ADMINISTRATOR, "", "user.password"},
      {"ann", v1::ROLE_ADMINISTRATOR, "ann's good password", "user.password"},
  };
  for (const Case& row : cases) {
    const auto violations = ViolationsOf(Create(row.id, row.role, row.password).status());
    ASSERT_EQ(violations.field_violations_size(), 1) << row.field;
    EXPECT_EQ(violations.field_violations(0).field(), row.field);
  }
  ASSERT_TRUE(Create("ann", v1::ROLE_ADMINISTRATOR).ok());
  EXPECT_TRUE(HasReason(Create("ann", v1::ROLE_ADMINISTRATOR).status(), "USER_EXISTS"));
  EXPECT_TRUE(HasReason(people_->GetUser("users/bob").status(), "USER_NOT_FOUND"));
  EXPECT_TRUE(HasReason(SetRole("bob", v1::ROLE_ADMINISTRATOR).status(), "USER_NOT_FOUND"));
  EXPECT_TRUE(HasReason(Delete("bob"), "USER_NOT_FOUND"));
}

TEST_F(PeopleTest, TheLastSystemAdministratorStays) {
  FirstAdministrator();
  ASSERT_TRUE(Create("ann", v1::ROLE_ADMINISTRATOR).ok());
  EXPECT_TRUE(HasReason(Delete("admin"), "LAST_SYSTEM_ADMINISTRATOR"));
  EXPECT_TRUE(
      HasReason(SetRole("admin", v1::ROLE_ADMINISTRATOR).status(), "LAST_SYSTEM_ADMINISTRATOR"));
  EXPECT_EQ(people_->GetUser("users/admin")->role(), v1::ROLE_SYSTEM_ADMINISTRATOR);
  ASSERT_TRUE(SetRole("ann", v1::ROLE_SYSTEM_ADMINISTRATOR).ok());
  ASSERT_TRUE(SetRole("admin", v1::ROLE_ADMINISTRATOR).ok());
  EXPECT_TRUE(HasReason(Delete("ann"), "LAST_SYSTEM_ADMINISTRATOR"));
  EXPECT_TRUE(Delete("admin").ok());
}

TEST_F(PeopleTest, RoleResetAndDeletionEndSessionsOtherChangesDoNot) {
  const Caller admin = FirstAdministrator();
  ASSERT_TRUE(Create("ann", v1::ROLE_ADMINISTRATOR).ok());
  v1::UpdateUserRequest request;
  request.mutable_user()->set_name("users/ann");
  request.mutable_user()->set_mail("ann@example.org");
  request.mutable_user()->set_language("zh-CN");
  SignIn("ann", "initial password");
  auto changed = people_->UpdateUser(admin, request);
  ASSERT_TRUE(changed.ok()) << changed.status();
  EXPECT_EQ(changed->mail(), "ann@example.org");
  EXPECT_EQ(changed->language(), "zh-CN");
  EXPECT_EQ(changed->role(), v1::ROLE_ADMINISTRATOR);
  EXPECT_TRUE(Alive(tokens_.back()));
  ASSERT_TRUE(SetRole("ann", v1::ROLE_ADMINISTRATOR).ok());
  EXPECT_TRUE(Alive(tokens_.back()));
  ASSERT_TRUE(SetRole("ann", v1::ROLE_SYSTEM_ADMINISTRATOR).ok());
  EXPECT_FALSE(Alive(tokens_.back()));

  SignIn("ann", "initial password");
  request.Clear();
  request.mutable_user()->set_name("users/ann");
  request.mutable_user()->set_password("given by somebody else");
  ASSERT_TRUE(people_->UpdateUser(admin, request).ok());
  EXPECT_FALSE(Alive(tokens_.back()));
  EXPECT_TRUE(SignIn("ann", "given by somebody else").must_change_password);
  ASSERT_TRUE(Delete("ann").ok());
  EXPECT_FALSE(Alive(tokens_.back()));
  EXPECT_FALSE(Login("ann", "given by somebody else").ok());
}

TEST_F(PeopleTest, ChangesNameFieldsThatCanChange) {
  const Caller admin = FirstAdministrator();
  v1::UpdateUserRequest request;
  request.mutable_user()->set_name("users/admin");
  EXPECT_EQ(ViolationsOf(people_->UpdateUser(admin, request).status()).field_violations(0).field(),
            "update_mask");
  request.mutable_update_mask()->add_paths("create_time");
  EXPECT_EQ(ViolationsOf(people_->UpdateUser(admin, request).status()).field_violations(0).field(),
            "update_mask");
  request.mutable_update_mask()->set_paths(0, "password");
  request.mutable_user()->set_password("a good new password");
  EXPECT_EQ(ViolationsOf(people_->UpdateUser(admin, request).status()).field_violations(0).field(),
            "user.password");
  request.mutable_update_mask()->set_paths(0, "language");
  request.mutable_user()->set_language("de");
  EXPECT_EQ(ViolationsOf(people_->UpdateUser(admin, request).status()).field_violations(0).field(),
            "user.language");
}

TEST_F(PeopleTest, ListsByPages) {
  FirstAdministrator();
  for (const char* id : {"eve", "bob", "dan", "cat"}) {
    ASSERT_TRUE(Create(id, v1::ROLE_ADMINISTRATOR).ok());
  }
  v1::ListUsersRequest request;
  request.set_page_size(2);
  std::string names;
  do {
    auto page = people_->ListUsers(request);
    ASSERT_TRUE(page.ok());
    for (const auto& user : page->users()) absl::StrAppend(&names, user.name(), " ");
    request.set_page_token(page->next_page_token());
  } while (!request.page_token().empty());
  EXPECT_EQ(names, "users/admin users/bob users/cat users/dan users/eve ");
}

// P23: what people type as a password is nowhere on the disk.
TEST_F(PeopleTest, PasswordsAreInNoFile) {
  const std::string one_time = **people_->Start();
  const Caller admin = SignIn("admin", one_time);
  const std::string canaries[] = {"canary-7f3a-own", "canary-7f3a-given", "canary-7f3a-reset",
                                  "canary-7f3a-wrong"};
  ASSERT_TRUE(Change(admin, one_time, canaries[0]).ok());
  ASSERT_TRUE(Create("ann", v1::ROLE_ADMINISTRATOR, canaries[1]).ok());
  v1::UpdateUserRequest request;
  request.mutable_user()->set_name("users/ann");
  request.mutable_user()->set_password(canaries[2]);
  ASSERT_TRUE(people_->UpdateUser(admin, request).ok());
  EXPECT_FALSE(Login("ann", canaries[3]).ok());
  EXPECT_EQ(FilesContaining(ground_.directory(), "canary-7f3a"), "");
  EXPECT_EQ(FilesContaining(ground_.directory(), one_time), "");
}

// One time with the real scrypt.
TEST_F(PeopleTest, WorksWithTheRealVault) {
  People people(&ground_.store(), &ground_.vault(), &ground_.clock());
  auto password = people.Start();
  ASSERT_TRUE(password.ok());
  v1::LoginRequest request;
  request.set_user("admin");
  request.set_password(**password);
  EXPECT_TRUE(people.Login(request, "::1").ok());
  request.set_password("wrong");
  EXPECT_TRUE(HasReason(people.Login(request, "::1").status(), "LOGIN_FAILED"));
}

}  // namespace
}  // namespace drover::core
