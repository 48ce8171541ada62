// Thinning and windows, by table; samples of VMs without an agent, from their host.
#include "controller/core/samples.h"

#include <vector>

#include "controller/core/host_usage.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "proto/support/time.h"
#include "tests/controller/core/vm_test_bench.h"

namespace drover::core {
namespace {

using drover::v1::QuerySamplesRequest;
using ::testing::ElementsAre;
using ::testing::IsEmpty;
using ::testing::SizeIs;

UsagePoint At(int64_t time, double cpu) {
  UsagePoint point;
  point.time = time;
  point.cpu = point.cpu_min = point.cpu_max = cpu;
  point.memory = point.memory_min = point.memory_max = 100;
  return point;
}

TEST(ThinTest, MeanMinimumAndMaximumOfEachSpan) {
  const auto thinned =
      Thin({At(0, 10), At(10, 20), At(59, 90), At(60, 1), At(200, 5)}, absl::Minutes(1));
  ASSERT_THAT(thinned, SizeIs(3));
  EXPECT_EQ(thinned[0].time, 0);
  EXPECT_EQ(thinned[0].span, 60);
  EXPECT_EQ(thinned[0].count, 3);
  EXPECT_DOUBLE_EQ(thinned[0].cpu, 40);
  EXPECT_DOUBLE_EQ(thinned[0].cpu_min, 10);
  EXPECT_DOUBLE_EQ(thinned[0].cpu_max, 90);
  EXPECT_EQ(thinned[1].time, 60);
  EXPECT_EQ(thinned[2].time, 180);
}

TEST(ThinTest, TwiceIsTheSameAsAtOnce) {
  std::vector<UsagePoint> points;
  for (int i = 0; i < 360; ++i) points.push_back(At(i * 10, i % 37));
  const auto once = Thin(points, absl::Minutes(10));
  const auto twice = Thin(Thin(points, absl::Minutes(1)), absl::Minutes(10));
  ASSERT_EQ(once.size(), twice.size());
  for (size_t i = 0; i < once.size(); ++i) {
    EXPECT_DOUBLE_EQ(once[i].cpu, twice[i].cpu);
    EXPECT_DOUBLE_EQ(once[i].cpu_max, twice[i].cpu_max);
    EXPECT_EQ(once[i].count, twice[i].count);
  }
}

TEST(SortPointsTest, OfTwoOfOneMomentTheAgents) {
  UsagePoint hosts = At(10, 5);
  hosts.by_hypervisor = true;
  std::vector<UsagePoint> points = {At(20, 1), hosts, At(10, 7), At(20, 1)};
  SortPoints(points);
  ASSERT_THAT(points, SizeIs(2));
  EXPECT_EQ(points[0].cpu, 7);
}

TEST(StepForTest, NeverMoreThanAskedFor) {
  EXPECT_EQ(StepFor(0, 7200, 720), 10);
  EXPECT_EQ(StepFor(5, 7205, 720), 20) << "it begins within a span";
  EXPECT_EQ(StepFor(0, 7200, 600), 20);
  EXPECT_EQ(StepFor(0, 30 * 86400, 600), 7200);
  for (const int most : {2, 3, 10, 599, 10000}) {
    for (const int64_t begin : {int64_t{0}, int64_t{7}, int64_t{1767225601}}) {
      for (const int64_t length : {1, 1800, 7200, 86400, 30 * 86400}) {
        const int64_t step = StepFor(begin, begin + length, most);
        EXPECT_LE((begin + length - 1) / step - begin / step + 1, most);
      }
    }
  }
}

TEST(WindowTest, GapsAreGaps) {
  std::vector<UsagePoint> points;
  for (int i = 0; i < 30; ++i) points.push_back(At(i * 10, 1));
  for (int i = 60; i < 90; ++i) points.push_back(At(i * 10, 2));
  const auto window = Window(points, 0, 1000, 600);
  ASSERT_EQ(window.points_size(), 60);
  int gaps = 0;
  for (const auto& point : window.points()) gaps += point.after_gap();
  EXPECT_EQ(gaps, 1);
  EXPECT_TRUE(window.points(30).after_gap());
  // Also where many make one.
  const auto coarse = Window(points, 0, 1000, 20);
  gaps = 0;
  for (const auto& point : coarse.points()) gaps += point.after_gap();
  EXPECT_EQ(gaps, 1);
  EXPECT_LE(coarse.points_size(), 20);
}

TEST(WindowTest, ALateSampleIsNoGapAndTwentySecondsAreNone) {
  std::vector<UsagePoint> late = {At(0, 1), At(10, 1), At(21, 1), At(42, 1), At(50, 1)};
  const auto of_late = Window(late, 0, 100, 600);
  for (const auto& point : of_late.points()) EXPECT_FALSE(point.after_gap());
  std::vector<UsagePoint> host;
  for (int i = 0; i < 30; ++i) host.push_back(At(i * 20, 1));
  const auto of_host = Window(host, 0, 1000, 600);
  for (const auto& point : of_host.points()) EXPECT_FALSE(point.after_gap());
}

TEST(WindowTest, MinimumAndMaximumSurvive) {
  std::vector<UsagePoint> points;
  for (int i = 0; i < 720; ++i) points.push_back(At(i * 10, 10));
  points[333].cpu = points[333].cpu_max = points[333].cpu_min = 99;
  const auto window = Window(points, 0, 7200, 60);
  double most = 0;
  for (const auto& point : window.points()) most = std::max(most, point.cpu_percent_max());
  EXPECT_EQ(most, 99);
  EXPECT_EQ(window.step_seconds(), 120);
}

TEST(WindowTest, ThinnedDataHasNoGapsOfItsOwn) {
  std::vector<UsagePoint> points;
  for (int i = 0; i < 600; ++i) points.push_back(At(i * 10, 1));
  std::vector<UsagePoint> thinned = Thin(points, absl::Minutes(1));
  thinned.erase(thinned.begin() + 50);
  int gaps = 0;
  const auto window = Window(thinned, 0, 6000, 600);
  for (const auto& point : window.points()) gaps += point.after_gap();
  EXPECT_EQ(gaps, 1);
}

// ---------------------------------------------------------------- a store in memory

class FakeSamples : public SampleStore {
 public:
  void Add(absl::string_view uid, const std::vector<UsagePoint>& samples) override {
    auto& all = all_[std::string(uid)];
    all.insert(all.end(), samples.begin(), samples.end());
  }
  absl::StatusOr<std::vector<UsagePoint>> Read(absl::string_view uid, int64_t begin,
                                               int64_t end) override {
    std::vector<UsagePoint> points;
    for (const UsagePoint& point : all_[std::string(uid)]) {
      if (point.time >= begin && point.time < end) points.push_back(point);
    }
    SortPoints(points);
    return points;
  }
  absl::Status Forget(absl::string_view uid) override {
    all_.erase(std::string(uid));
    return absl::OkStatus();
  }
  std::vector<std::string> Vms() override {
    std::vector<std::string> uids;
    for (const auto& [uid, points] : all_) uids.push_back(uid);
    return uids;
  }
  std::map<std::string, std::vector<UsagePoint>> all_;
};

TEST(QuerySamplesTest, TwoHoursUpToNowWhenNothingIsSaid) {
  FakeSamples store;
  const int64_t now = 1767225600;
  for (int64_t time = now - 10000; time <= now; time += 10) store.Add("u", {At(time, 3)});
  drover::v1::Vm vm;
  vm.set_uid("u");
  vm.set_memory_mb(512);
  const auto response = QuerySamples(store, vm, {}, absl::FromUnixSeconds(now));
  ASSERT_TRUE(response.ok());
  EXPECT_LE(response->points_size(), 600);
  EXPECT_GT(response->points_size(), 300);
  EXPECT_EQ(response->source(), "agent");
  EXPECT_EQ(response->memory_total_mb(), 512);
  EXPECT_GE(absl::ToUnixSeconds(FromProto(response->points(0).time())), now - 7200);
}

TEST(QuerySamplesTest, AWindowMustEndAfterItsBegin) {
  FakeSamples store;
  QuerySamplesRequest request;
  request.mutable_start_time()->set_seconds(100);
  request.mutable_end_time()->set_seconds(100);
  EXPECT_TRUE(absl::IsInvalidArgument(
      QuerySamples(store, {}, request, absl::FromUnixSeconds(200)).status()));
}

// ---------------------------------------------------------------- from the host

TEST(HostUsageTest, OnlyOfVmsWithoutAnAgentAndEachSampleOnce) {
  VmTestBench bench;
  ASSERT_EQ(bench.AwaitEnd(bench.Create("web-01", "10.0.0.15")).state(),
            drover::v1::Operation::STATE_SUCCEEDED);
  const std::string uid = bench.inventory().GetVm("vms/web-01")->uid();
  ASSERT_TRUE(bench.inventory()
                  .ChangeVm("vms/web-01",
                            [](drover::v1::Vm& vm) {
                              vm.set_power(drover::v1::POWER_STATE_ON);
                              vm.set_agent_state(drover::v1::AGENT_STATE_CONTACT_LOST);
                            })
                  .ok());
  const absl::Time now = bench.files().clock().Now();
  std::vector<drover::agent::v1::Sample> samples(3);
  for (int i = 0; i < 3; ++i) {
    *samples[i].mutable_time() = ToProto(now - absl::Seconds(60 - 20 * i));
    samples[i].set_cpu_percent(i + 1);
  }
  bench.host().SetUsage("web-01", samples);
  FakeSamples store;
  HostUsage usage(&bench.inventory(), &store, &bench.agents(), &bench.files().clock());
  usage.Read("hypervisors/esx1", bench.host(), {});
  EXPECT_THAT(store.all_, IsEmpty()) << "its agent tells better";
  bench.agents().Lose(uid);
  usage.Read("hypervisors/esx1", bench.host(), {});
  usage.Read("hypervisors/esx1", bench.host(), {});
  ASSERT_THAT(store.all_[uid], SizeIs(3));
  EXPECT_TRUE(store.all_[uid][0].by_hypervisor);
  EXPECT_EQ(bench.inventory().GetVm("vms/web-01")->cpu_percent(), 3);
  usage.Read("hypervisors/other", bench.host(), {});
  store.Add("gone", {At(1, 1)});
  usage.ForgetGone();
  EXPECT_THAT(store.Vms(), ElementsAre(uid));
}

}  // namespace
}  // namespace drover::core
