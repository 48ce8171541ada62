// WatchHealth over statuses that a test sets.
#include "agent/health_watch.h"

#include <optional>
#include <string>
#include <vector>

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "proto/support/status.h"
#include "tests/agent/test_loop.h"

namespace drover::agent {
namespace {

using drover::v1::ServiceStatus;
using ::testing::HasSubstr;

class HealthWatchTest : public ::testing::Test {
 protected:
  HealthWatchTest() {
    Set("web", ServiceStatus::STATE_RUNNING, 10);
    Set("worker", ServiceStatus::STATE_RUNNING, 20);
  }
  void Set(const std::string& name, ServiceStatus::State state, int pid, int restarts = 0) {
    ServiceStatus status;
    status.set_name(name);
    status.set_state(state);
    status.set_pid(pid);
    status.set_restarts(restarts);
    for (ServiceStatus& known : statuses_) {
      if (known.name() != name) continue;
      known = status;
      return;
    }
    statuses_.push_back(status);
  }
  absl::Status Begin(int seconds, int patience = 30, std::vector<std::string> services = {}) {
    v1::WatchHealth order;
    order.set_seconds(seconds);
    order.set_patience_seconds(patience);
    for (const std::string& service : services) order.add_services(service);
    auto watch = HealthWatch::Start(
        &loop_.loop, [this] { return statuses_; }, order,
        {[this](const absl::Status& status, v1::CommandUpdate) { ended_ = status; }, nullptr});
    if (watch.ok()) watch_ = *std::move(watch);
    return watch.status();
  }
  void ExpectUnwell(const std::string& words) {
    ASSERT_TRUE(ended_.has_value());
    EXPECT_EQ(ReasonOf(*ended_), "HEALTH_GATE") << *ended_;
    EXPECT_THAT(ended_->message(), HasSubstr(words));
  }

  TestLoop loop_;
  std::vector<ServiceStatus> statuses_;
  std::unique_ptr<OrderWork> watch_;
  std::optional<absl::Status> ended_;
};

TEST_F(HealthWatchTest, WellForLongEnough) {
  ASSERT_TRUE(Begin(10).ok());
  loop_.Pass(absl::Seconds(9));
  EXPECT_FALSE(ended_.has_value());
  loop_.Pass(absl::Seconds(2));
  ASSERT_TRUE(ended_.has_value());
  EXPECT_TRUE(ended_->ok()) << *ended_;
}

TEST_F(HealthWatchTest, TimeCountsFromTheLastThatCameUp) {
  Set("worker", ServiceStatus::STATE_RESTARTING, 0);
  ASSERT_TRUE(Begin(10).ok());
  loop_.Pass(absl::Seconds(20));
  EXPECT_FALSE(ended_.has_value());
  Set("worker", ServiceStatus::STATE_RUNNING, 21, 1);
  loop_.Pass(absl::Seconds(9));
  EXPECT_FALSE(ended_.has_value());
  loop_.Pass(absl::Seconds(3));
  ASSERT_TRUE(ended_.has_value());
  EXPECT_TRUE(ended_->ok()) << *ended_;
}

TEST_F(HealthWatchTest, OneThatDiesFailsAtOnce) {
  ASSERT_TRUE(Begin(10).ok());
  loop_.Pass(absl::Seconds(3));
  Set("web", ServiceStatus::STATE_RESTARTING, 0);
  loop_.Pass(absl::Seconds(1));
  ExpectUnwell("web did not stay up");
}

TEST_F(HealthWatchTest, OneThatIsBackBetweenTwoLooksHasDiedToo) {
  ASSERT_TRUE(Begin(10).ok());
  loop_.Pass(absl::Seconds(3));
  Set("web", ServiceStatus::STATE_RUNNING, 11, 1);
  loop_.Pass(absl::Seconds(1));
  ExpectUnwell("web did not stay up");
}

TEST_F(HealthWatchTest, GivenUpAndNeverUp) {
  Set("web", ServiceStatus::STATE_GIVEN_UP, 0);
  ASSERT_TRUE(Begin(10).ok());
  ExpectUnwell("web was given up");
  Set("web", ServiceStatus::STATE_UNHEALTHY, 10);
  ended_.reset();
  ASSERT_TRUE(Begin(10, 5).ok());
  loop_.Pass(absl::Seconds(4));
  EXPECT_FALSE(ended_.has_value());
  loop_.Pass(absl::Seconds(3));
  ExpectUnwell("web is not healthy");
}

TEST_F(HealthWatchTest, WhatWasStoppedOnOrderIsNotWatchedUnlessNamed) {
  Set("worker", ServiceStatus::STATE_STOPPED, 0);
  ASSERT_TRUE(Begin(2).ok());
  loop_.Pass(absl::Seconds(4));
  ASSERT_TRUE(ended_.has_value());
  EXPECT_TRUE(ended_->ok()) << *ended_;
  ended_.reset();
  ASSERT_TRUE(Begin(2, 1, {"worker"}).ok());
  loop_.Pass(absl::Seconds(4));
  ExpectUnwell("worker does not come up");
  EXPECT_EQ(ReasonOf(Begin(2, 1, {"nothing"})), "SERVICE_NOT_FOUND");
}

}  // namespace
}  // namespace drover::agent
