#include "controller/core/samples.h"

#include <algorithm>
#include <utility>

#include "proto/support/status.h"
#include "proto/support/time.h"

namespace drover::core {
namespace {

using drover::v1::QuerySamplesRequest;
using drover::v1::QuerySamplesResponse;
using drover::v1::SamplePoint;

constexpr int kUsualPoints = 600;
constexpr int64_t kUsualWindow = 2 * 3600;
constexpr int64_t kLongestWindow = 31 * 86400;
// A span without data is a gap when it is longer than so many that were to be expected.
constexpr double kMissing = 2.5;
constexpr int64_t kMissingAtLeast = 25;

int64_t BucketOf(int64_t time, int64_t step) {
  return time >= 0 ? time / step : (time - step + 1) / step;
}

int64_t EndOf(const UsagePoint& point) { return point.time + point.span; }

// Seconds from a sample to the next, as the window shows it most of the time.
int64_t UsualDistance(const std::vector<UsagePoint>& points) {
  std::vector<int64_t> distances;
  for (size_t i = 1; i < points.size(); ++i) {
    if (points[i].span == 0) distances.push_back(points[i].time - points[i - 1].time);
  }
  if (distances.empty()) return 10;
  const auto middle = distances.begin() + distances.size() / 2;
  std::nth_element(distances.begin(), middle, distances.end());
  return std::clamp<int64_t>(*middle, 10, 300);
}

// Adds points up to one.
class Sum {
 public:
  void Add(const UsagePoint& point) {
    const double weight = point.count;
    if (count_ == 0) {
      out_ = point;
      first_ = point.time;
    }
    count_ += point.count;
    cpu_ += weight * point.cpu;
    memory_ += weight * point.memory;
    disk_ += weight * point.disk;
    network_ += weight * point.network;
    time_ += weight * (static_cast<double>(point.time - first_) + point.span / 2.0);
    out_.cpu_min = std::min(out_.cpu_min, point.cpu_min);
    out_.cpu_max = std::max(out_.cpu_max, point.cpu_max);
    out_.memory_min = std::min(out_.memory_min, point.memory_min);
    out_.memory_max = std::max(out_.memory_max, point.memory_max);
    if (point.memory_total > 0) out_.memory_total = point.memory_total;
    if (point.disk_total > 0) out_.disk_total = point.disk_total;
    out_.by_hypervisor = out_.by_hypervisor && point.by_hypervisor;
    end_ = EndOf(point);
  }
  bool empty() const { return count_ == 0; }
  int64_t first() const { return first_; }
  int64_t end() const { return end_; }
  int64_t middle() const { return first_ + static_cast<int64_t>(time_ / count_ + 0.5); }
  UsagePoint Take() {
    out_.cpu = cpu_ / count_;
    out_.memory = memory_ / count_;
    out_.disk = disk_ / count_;
    out_.network = network_ / count_;
    out_.count = count_;
    return out_;
  }

 private:
  UsagePoint out_;
  int32_t count_ = 0;
  int64_t first_ = 0;
  int64_t end_ = 0;
  double cpu_ = 0, memory_ = 0, disk_ = 0, network_ = 0, time_ = 0;
};

SamplePoint ShownPoint(Sum& sum, bool after_gap) {
  SamplePoint shown;
  *shown.mutable_time() = ToProto(absl::FromUnixSeconds(sum.middle()));
  const UsagePoint point = sum.Take();
  shown.set_cpu_percent(point.cpu);
  shown.set_cpu_percent_min(point.cpu_min);
  shown.set_cpu_percent_max(point.cpu_max);
  shown.set_memory_used_mb(point.memory);
  shown.set_memory_used_mb_min(point.memory_min);
  shown.set_memory_used_mb_max(point.memory_max);
  shown.set_disk_used_mb(point.disk);
  shown.set_network_kbps(point.network);
  shown.set_after_gap(after_gap);
  return shown;
}

}  // namespace

UsagePoint PointOf(const drover::agent::v1::Sample& sample, bool by_hypervisor) {
  UsagePoint point;
  point.time = absl::ToUnixSeconds(FromProto(sample.time()));
  point.by_hypervisor = by_hypervisor;
  point.cpu = point.cpu_min = point.cpu_max = sample.cpu_percent();
  point.memory = point.memory_min = point.memory_max = sample.memory_used_mb();
  point.disk = sample.disk_used_mb();
  point.network = sample.network_receive_kbps() + sample.network_send_kbps();
  point.memory_total = sample.memory_total_mb();
  point.disk_total = sample.disk_total_mb();
  return point;
}

SampleTier TierOf(int tier) {
  switch (tier) {
    case 0:
      return {absl::ZeroDuration(), absl::Hours(24)};
    case 1:
      return {absl::Minutes(1), absl::Hours(24 * 7)};
    default:
      return {absl::Minutes(10), absl::Hours(24 * 30)};
  }
}

void SortPoints(std::vector<UsagePoint>& points) {
  const auto before = [](const UsagePoint& a, const UsagePoint& b) {
    return std::pair(a.time, a.by_hypervisor) < std::pair(b.time, b.by_hypervisor);
  };
  if (!std::is_sorted(points.begin(), points.end(), before)) {
    std::sort(points.begin(), points.end(), before);
  }
  points.erase(
      std::unique(points.begin(), points.end(),
                  [](const UsagePoint& a, const UsagePoint& b) { return a.time == b.time; }),
      points.end());
}

std::vector<UsagePoint> Thin(const std::vector<UsagePoint>& points, absl::Duration step) {
  const int64_t seconds = absl::ToInt64Seconds(step);
  std::vector<UsagePoint> thinned;
  Sum sum;
  int64_t bucket = 0;
  const auto close = [&] {
    if (sum.empty()) return;
    UsagePoint point = sum.Take();
    point.time = bucket * seconds;
    point.span = static_cast<int32_t>(seconds);
    thinned.push_back(point);
    sum = Sum();
  };
  for (const UsagePoint& point : points) {
    const int64_t its = BucketOf(point.time, seconds);
    if (its != bucket) close();
    bucket = its;
    sum.Add(point);
  }
  close();
  return thinned;
}

int64_t StepFor(int64_t begin, int64_t end, int max_points) {
  static constexpr int64_t kRound[] = {10,   20,   30,   60,   120,   180,   300,   600,   900,
                                       1200, 1800, 3600, 7200, 10800, 14400, 21600, 43200, 86400};
  for (const int64_t step : kRound) {
    if (BucketOf(end - 1, step) - BucketOf(begin, step) + 1 <= max_points) return step;
  }
  int64_t step = 86400;
  while (BucketOf(end - 1, step) - BucketOf(begin, step) + 1 > max_points) step *= 2;
  return step;
}

QuerySamplesResponse Window(const std::vector<UsagePoint>& points, int64_t begin, int64_t end,
                            int max_points) {
  QuerySamplesResponse response;
  const int64_t step = StepFor(begin, end, max_points);
  response.set_step_seconds(static_cast<int32_t>(step));
  const int64_t usual = UsualDistance(points);
  Sum sum;
  int64_t bucket = 0;
  // End of the data before the bucket that is being filled, and what was to follow it.
  int64_t covered = begin;
  bool first = true;
  const auto close = [&] {
    if (sum.empty()) return;
    const int64_t expected = std::max<int64_t>(usual, kMissingAtLeast / kMissing);
    const bool gap = static_cast<double>(sum.first() - covered) > kMissing * expected;
    *response.add_points() = ShownPoint(sum, gap && !first);
    covered = sum.end();
    first = false;
    sum = Sum();
  };
  for (const UsagePoint& point : points) {
    if (point.time < begin || point.time >= end) continue;
    const int64_t its = BucketOf(point.time, step);
    if (its != bucket) close();
    bucket = its;
    sum.Add(point);
  }
  close();
  return response;
}

absl::StatusOr<QuerySamplesResponse> QuerySamples(SampleStore& store, const drover::v1::Vm& vm,
                                                  const QuerySamplesRequest& request,
                                                  absl::Time now) {
  const int64_t end = request.has_end_time() ? absl::ToUnixSeconds(FromProto(request.end_time()))
                                             // What was taken this very second belongs to it.
                                             : absl::ToUnixSeconds(now) + 1;
  const int64_t begin = request.has_start_time()
                            ? absl::ToUnixSeconds(FromProto(request.start_time()))
                            : end - kUsualWindow;
  if (begin >= end) return InvalidField("end_time", "must be after start_time");
  const int64_t oldest = absl::ToUnixSeconds(now) - kLongestWindow;
  const int most = request.max_points() > 0 ? request.max_points() : kUsualPoints;
  std::vector<UsagePoint> points;
  if (end > oldest) {
    DROVER_ASSIGN_OR_RETURN(points, store.Read(vm.uid(), std::max(begin, oldest), end));
  }
  QuerySamplesResponse response = Window(points, begin, end, most);
  response.set_memory_total_mb(vm.memory_mb());
  response.set_disk_total_mb(vm.disk_gb() * 1024.0);
  for (const UsagePoint& point : points) {
    if (point.memory_total > 0) response.set_memory_total_mb(point.memory_total);
    if (point.disk_total > 0) response.set_disk_total_mb(point.disk_total);
  }
  if (!points.empty()) response.set_source(points.back().by_hypervisor ? "hypervisor" : "agent");
  return response;
}

}  // namespace drover::core
