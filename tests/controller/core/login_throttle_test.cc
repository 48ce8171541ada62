#include "controller/core/login_throttle.h"

#include "absl/strings/str_cat.h"
#include "google/rpc/error_details.pb.h"
#include "gtest/gtest.h"
#include "proto/support/status.h"
#include "tests/testing/fake_clock.h"

namespace drover::core {
namespace {

class LoginThrottleTest : public ::testing::Test {
 protected:
  // Seconds to wait, 0 when the attempt was let through (and failed).
  int Fail(const std::string& user, const std::string& address) {
    absl::Status status = throttle_.Begin(user, address);
    if (status.ok()) {
      throttle_.End(user, address, false);
      return 0;
    }
    EXPECT_EQ(status.code(), absl::StatusCode::kResourceExhausted);
    EXPECT_TRUE(HasReason(status, "LOGIN_SLOWED_DOWN"));
    google::rpc::RetryInfo retry;
    retry.ParseFromString(
        std::string(*status.GetPayload("type.googleapis.com/google.rpc.RetryInfo")));
    EXPECT_EQ(absl::StrCat(retry.retry_delay().seconds()),
              ErrorMetadata(status, "retry_after_seconds"));
    return static_cast<int>(retry.retry_delay().seconds());
  }
  void Succeed(const std::string& user, const std::string& address) {
    ASSERT_TRUE(throttle_.Begin(user, address).ok());
    throttle_.End(user, address, true);
  }

  drover::testing::FakeClock clock_;
  LoginThrottle throttle_{&clock_};
};

TEST_F(LoginThrottleTest, AUserWaitsTwiceAsLongEachTime) {
  for (int i = 0; i < 5; ++i) EXPECT_EQ(Fail("ann", absl::StrCat("10.0.0.", i)), 0);
  for (const int wait : {1, 2, 4, 8, 16, 32, 60, 60}) {
    EXPECT_EQ(Fail("ann", "10.9.9.9"), wait);
    clock_.Advance(absl::Seconds(wait) - absl::Milliseconds(1));
    EXPECT_EQ(Fail("ann", "10.9.9.9"), 1);
    clock_.Advance(absl::Milliseconds(1));
    EXPECT_EQ(Fail("ann", absl::StrCat("10.8.8.", wait)), 0);
  }
  EXPECT_EQ(Fail("bob", "10.9.9.9"), 0);
}

TEST_F(LoginThrottleTest, AnAddressWaitsWhoeverItTries) {
  for (int i = 0; i < 20; ++i) EXPECT_EQ(Fail(absl::StrCat("user", i), "10.0.0.1"), 0);
  for (const int wait : {1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 900, 900}) {
    EXPECT_EQ(Fail("another", "10.0.0.1"), wait);
    clock_.Advance(absl::Seconds(wait));
    EXPECT_EQ(Fail(absl::StrCat("next", wait), "10.0.0.1"), 0);
  }
  EXPECT_EQ(Fail("another", "10.0.0.2"), 0);
}

TEST_F(LoginThrottleTest, SuccessForgivesTheUserNotTheAddress) {
  for (int i = 0; i < 4; ++i) Fail("ann", "10.0.0.1");
  Succeed("ann", "10.0.0.1");
  for (int i = 0; i < 5; ++i) EXPECT_EQ(Fail("ann", "10.0.0.2"), 0);
  // Guessing others while signing in with an account of one's own.
  for (int i = 0; i < 16; ++i) {
    EXPECT_EQ(Fail(absl::StrCat("victim", i), "10.0.0.1"), 0);
    if (i < 15) Succeed("mallory", "10.0.0.1");
  }
  EXPECT_EQ(Fail("victim", "10.0.0.1"), 1);
}

TEST_F(LoginThrottleTest, ManyAtOnceAreNotAWayRound) {
  int through = 0;
  for (int i = 0; i < 100; ++i) through += throttle_.Begin("ann", absl::StrCat(i)).ok() ? 1 : 0;
  EXPECT_EQ(through, 32);
  for (int i = 0; i < 32; ++i) throttle_.End("ann", absl::StrCat(i), false);
  clock_.Advance(absl::Minutes(1));
  through = 0;
  for (int i = 0; i < 100; ++i) through += throttle_.Begin("ann", absl::StrCat(i)).ok() ? 1 : 0;
  EXPECT_EQ(through, 1);
}

TEST_F(LoginThrottleTest, ForgetsAfterAQuietHour) {
  for (int i = 0; i < 8; ++i) Fail("ann", absl::StrCat(i));
  clock_.Advance(absl::Minutes(61));
  for (int i = 0; i < 5; ++i) EXPECT_EQ(Fail("ann", absl::StrCat(i)), 0);
}

TEST_F(LoginThrottleTest, RemembersABoundedNumber) {
  for (int i = 0; i < 30000; ++i) Fail(absl::StrCat("u", i), absl::StrCat("a", i));
  EXPECT_EQ(throttle_.tracked(), 20000);
}

}  // namespace
}  // namespace drover::core
