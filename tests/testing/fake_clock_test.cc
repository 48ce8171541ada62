#include "tests/testing/fake_clock.h"

#include <stop_token>
#include <thread>

#include "gtest/gtest.h"

namespace drover::testing {
namespace {

TEST(FakeClock, MovesOnlyWhenMoved) {
  FakeClock clock;
  const absl::Time start = clock.Now();
  EXPECT_EQ(clock.Now(), start);
  clock.Advance(absl::Seconds(5));
  EXPECT_EQ(clock.Now() - start, absl::Seconds(5));
}

TEST(FakeClock, SleeperWakesWhenItsTimeComes) {
  FakeClock clock;
  absl::Status slept;
  absl::Time woke;
  std::thread sleeper([&] {
    slept = clock.Sleep(absl::Seconds(10), {});
    woke = clock.Now();
  });
  clock.WaitForSleepers(1);
  clock.Advance(absl::Seconds(9));
  EXPECT_EQ(clock.sleepers(), 1);
  clock.Advance(absl::Seconds(1));
  sleeper.join();
  EXPECT_TRUE(slept.ok());
  EXPECT_EQ(woke, clock.Now());
}

TEST(FakeClock, StopWakesAtOnce) {
  FakeClock clock;
  std::stop_source stop;
  absl::Status slept;
  std::thread sleeper([&] { slept = clock.Sleep(absl::Hours(1), stop.get_token()); });
  clock.WaitForSleepers(1);
  stop.request_stop();
  sleeper.join();
  EXPECT_EQ(slept.code(), absl::StatusCode::kCancelled);
  EXPECT_EQ(clock.Sleep(absl::Hours(1), stop.get_token()).code(), absl::StatusCode::kCancelled);
}

TEST(FakeClock, AdvancesToTheFirstOfManySleepers) {
  FakeClock clock;
  const absl::Time start = clock.Now();
  std::thread late([&] { (void)clock.Sleep(absl::Seconds(30), {}); });
  std::thread early([&] { (void)clock.Sleep(absl::Seconds(20), {}); });
  clock.WaitForSleepers(2);
  clock.AdvanceToNextSleeper();
  EXPECT_EQ(clock.Now() - start, absl::Seconds(20));
  clock.AdvanceToNextSleeper();
  EXPECT_EQ(clock.Now() - start, absl::Seconds(30));
  early.join();
  late.join();
}

}  // namespace
}  // namespace drover::testing
