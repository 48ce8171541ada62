// Use of CPU, memory, disk and network by the machine, from /proc. Rates are means since the sample
// before.
//
// Thread promise: belongs to the event loop's thread. Survives a restart: nothing.
#pragma once

#include <cstdint>
#include <optional>
#include <string>

#include "absl/strings/string_view.h"
#include "absl/time/time.h"
#include "agent/clock.h"
#include "drover/agent/v1/agent_link.pb.h"

namespace drover::agent {

// Ticks of all CPUs from the first line of /proc/stat.
struct CpuTicks {
  uint64_t busy = 0;
  uint64_t total = 0;
};
std::optional<CpuTicks> ParseCpu(absl::string_view proc_stat);

struct MemoryUse {
  int64_t used_mb = 0;
  int64_t total_mb = 0;
};
// What applications cannot get counts as used: total less MemAvailable, which kernels before 3.14
// do not tell (free and caches then).
std::optional<MemoryUse> ParseMemory(absl::string_view proc_meminfo);

// Bytes through all cards but the loopback, from /proc/net/dev.
struct NetworkBytes {
  uint64_t received = 0;
  uint64_t sent = 0;
};
NetworkBytes ParseNetwork(absl::string_view proc_net_dev);

class Sampler {
 public:
  explicit Sampler(const Clock* clock) : clock_(clock) {}
  // Disk is the root file system's. The first sample has no rates: 0.
  v1::Sample Take();

 private:
  const Clock* const clock_;
  std::optional<CpuTicks> cpu_;
  NetworkBytes network_;
  absl::Duration taken_;
};

}  // namespace drover::agent
