// What VMs used over time (MON-5, DASH-4): samples as they come, thinned as they age, and windows
// of them as a chart draws them.
//
//   every 10 s for 24 hours, a minute for 7 days, ten minutes for 30 days
//
// Thread promise: pure functions and values; SampleStore says its own.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/time/time.h"
#include "drover/agent/v1/agent_link.pb.h"
#include "drover/v1/guest.pb.h"
#include "drover/v1/inventory.pb.h"

namespace drover::core {

// A sample, or what is left of several: the mean, minimum and maximum of CPU and memory.
struct UsagePoint {
  // Unix seconds; of several, the beginning of their span.
  int64_t time = 0;
  // Seconds; 0 = one sample.
  int32_t span = 0;
  int32_t count = 1;
  // Measured by the hypervisor, not by the agent.
  bool by_hypervisor = false;
  double cpu = 0, cpu_min = 0, cpu_max = 0;
  double memory = 0, memory_min = 0, memory_max = 0;
  double disk = 0;
  // Both ways.
  double network = 0;
  int32_t memory_total = 0;
  int32_t disk_total = 0;
};

UsagePoint PointOf(const drover::agent::v1::Sample& sample, bool by_hypervisor);

// What is kept how finely, and for how long.
struct SampleTier {
  absl::Duration step;
  absl::Duration age;
};
inline constexpr int kSampleTiers = 3;
// 0 is the samples themselves.
SampleTier TierOf(int tier);

// By time, each time once: of two of the same moment the agent's.
void SortPoints(std::vector<UsagePoint>& points);
// One point for each span of `step` in which there is any; `points` are sorted.
std::vector<UsagePoint> Thin(const std::vector<UsagePoint>& points, absl::Duration step);
// Seconds between the points of a window, so that it has at most `max_points`: a round number.
int64_t StepFor(int64_t begin, int64_t end, int max_points);
// The points of begin <= time < end; sorted ones in.
drover::v1::QuerySamplesResponse Window(const std::vector<UsagePoint>& points, int64_t begin,
                                        int64_t end, int max_points);

// Keeps samples. The adapter is store/sample_store.
//
// Thread promise: all methods from any thread.
class SampleStore {
 public:
  virtual ~SampleStore() = default;
  // Takes them without waiting for the disk; they are on it a second or two later. Samples older
  // than a day, and those of a future, are dropped.
  virtual void Add(absl::string_view vm_uid, const std::vector<UsagePoint>& samples) = 0;
  // Those of begin <= time < end, sorted, as finely as they are kept.
  virtual absl::StatusOr<std::vector<UsagePoint>> Read(absl::string_view vm_uid, int64_t begin,
                                                       int64_t end) = 0;
  // Uids of the VMs of which there are any.
  virtual std::vector<std::string> Vms() = 0;
  // Of a VM that is gone.
  virtual absl::Status Forget(absl::string_view vm_uid) = 0;
};

// INVALID_ARGUMENT for a window that ends before it begins. Two hours up to now when none is asked
// for.
absl::StatusOr<drover::v1::QuerySamplesResponse> QuerySamples(
    SampleStore& store, const drover::v1::Vm& vm, const drover::v1::QuerySamplesRequest& request,
    absl::Time now);

}  // namespace drover::core
