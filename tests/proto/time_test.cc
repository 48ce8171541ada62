#include "proto/support/time.h"

#include "gtest/gtest.h"

namespace drover {
namespace {

TEST(Time, GoesRoundTrip) {
  const absl::Time base =
      absl::FromCivil(absl::CivilSecond(2026, 1, 2, 3, 4, 5), absl::UTCTimeZone());
  for (const absl::Time time :
       {absl::UnixEpoch(), base, base + absl::Nanoseconds(1), base + absl::Nanoseconds(999'999'999),
        absl::UnixEpoch() - absl::Nanoseconds(1), absl::UnixEpoch() - absl::Milliseconds(1500)}) {
    const auto proto = ToProto(time);
    EXPECT_EQ(FromProto(proto), time) << time;
    EXPECT_GE(proto.nanos(), 0) << time;
    EXPECT_LT(proto.nanos(), 1'000'000'000) << time;
  }
}

}  // namespace
}  // namespace drover
