#include "controller/core/request_ledger.h"

#include "absl/strings/str_cat.h"
#include "controller/core/vault_check.h"
#include "controller/secrets/openssl_vault.h"
#include "gtest/gtest.h"
#include "proto/support/status.h"
#include "tests/testing/test_store.h"

namespace drover::core {
namespace {

using drover::testing::FilesContaining;
using drover::testing::TestStore;

class RequestLedgerTest : public ::testing::Test {
 protected:
  RequestLedgerTest() {
    caller_.user = "ann";
    request_.set_user_id("bob");
    request_.mutable_user()->set_password("canary-51c9-password");
    response_.set_name("users/bob");
    response_.set_password("canary-51c9-password");
  }
  absl::StatusOr<std::optional<google::protobuf::Any>> Recall(absl::string_view id) {
    return ledger_.Recall(caller_, "CreateUser", id, request_);
  }
  int Records() {
    int count = 0;
    EXPECT_TRUE(ground_.store()
                    .Read([&](StoreReader& reader) -> absl::Status {
                      DROVER_ASSIGN_OR_RETURN(auto documents, reader.List(Table::kRequests, {}));
                      count = static_cast<int>(documents.size());
                      return absl::OkStatus();
                    })
                    .ok());
    return count;
  }

  TestStore ground_;
  RequestLedger ledger_{&ground_.store(), &ground_.vault(), &ground_.clock()};
  Caller caller_;
  v1::CreateUserRequest request_;
  v1::User response_;
};

TEST_F(RequestLedgerTest, TheSameRequestIsAnsweredTheSame) {
  EXPECT_FALSE(Recall("r1")->has_value());
  ASSERT_TRUE(ledger_.Remember(caller_, "CreateUser", "r1", request_, response_).ok());
  ground_.Reopen();
  RequestLedger again(&ground_.store(), &ground_.vault(), &ground_.clock());
  auto found = again.Recall(caller_, "CreateUser", "r1", request_);
  ASSERT_TRUE(found.ok() && found->has_value()) << found.status();
  v1::User answer;
  ASSERT_TRUE((*found)->UnpackTo(&answer));
  EXPECT_EQ(answer.name(), "users/bob");
  EXPECT_EQ(answer.password(), "");
}

TEST_F(RequestLedgerTest, AnotherRequestWithTheSameIdIsRefused) {
  ASSERT_TRUE(ledger_.Remember(caller_, "CreateUser", "r1", request_, response_).ok());
  EXPECT_TRUE(HasReason(ledger_.Recall(caller_, "DeleteUser", "r1", request_).status(),
                        "REQUEST_ID_REUSED"));
  // Secrets are part of what makes it another one.
  request_.mutable_user()->set_password("canary-51c9-another");
  EXPECT_TRUE(HasReason(Recall("r1").status(), "REQUEST_ID_REUSED"));
  EXPECT_EQ(Recall("r1").status().code(), absl::StatusCode::kAlreadyExists);
  EXPECT_FALSE(Recall("r2")->has_value());
  caller_.user = "eve";
  EXPECT_FALSE(Recall("r1")->has_value());
}

TEST_F(RequestLedgerTest, NoIdIsNotKept) {
  ASSERT_TRUE(ledger_.Remember(caller_, "CreateUser", "", request_, response_).ok());
  EXPECT_FALSE(Recall("")->has_value());
  EXPECT_EQ(Records(), 0);
}

TEST_F(RequestLedgerTest, ForgetsAfterADay) {
  for (int i = 0; i < 1200; ++i) {
    ASSERT_TRUE(ledger_.Remember(caller_, "M", absl::StrCat(i), request_, response_).ok());
  }
  ground_.clock().Advance(absl::Hours(24) - absl::Seconds(1));
  EXPECT_TRUE(ledger_.Recall(caller_, "M", "7", request_)->has_value());
  ground_.clock().Advance(absl::Seconds(1));
  EXPECT_FALSE(ledger_.Recall(caller_, "M", "7", request_)->has_value());
  ASSERT_TRUE(ledger_.Remember(caller_, "M", "new", request_, response_).ok());
  EXPECT_EQ(Records(), 1);
}

TEST_F(RequestLedgerTest, SecretsAreInNoFile) {
  ASSERT_TRUE(ledger_.Remember(caller_, "CreateUser", "r1", request_, response_).ok());
  EXPECT_EQ(FilesContaining(ground_.directory(), "canary-51c9"), "");
}

TEST(VaultCheck, RefusesAnotherKeyFile) {
  TestStore ground;
  ASSERT_TRUE(CheckVault(ground.store(), ground.vault()).ok());
  ground.Reopen();
  EXPECT_TRUE(CheckVault(ground.store(), ground.vault()).ok());
  auto other = secrets::OpenSslVault::Open(ground.directory() + "/other-key");
  ASSERT_TRUE(other.ok());
  EXPECT_TRUE(HasReason(CheckVault(ground.store(), **other), "WRONG_KEY_FILE"));
  EXPECT_TRUE(CheckVault(ground.store(), ground.vault()).ok());
}

}  // namespace
}  // namespace drover::core
