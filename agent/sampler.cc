#include "agent/sampler.h"

#include <sys/statvfs.h>

#include <map>
#include <vector>

#include "absl/strings/ascii.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_split.h"
#include "absl/strings/strip.h"
#include "agent/durable_file.h"
#include "proto/support/time.h"

namespace drover::agent {

std::optional<CpuTicks> ParseCpu(absl::string_view proc_stat) {
  const absl::string_view line = proc_stat.substr(0, proc_stat.find('\n'));
  const std::vector<absl::string_view> fields = absl::StrSplit(line, ' ', absl::SkipEmpty());
  // cpu user nice system idle iowait irq softirq steal guest guest_nice; guest is within user
  // already.
  if (fields.size() < 5 || fields[0] != "cpu") return std::nullopt;
  CpuTicks ticks;
  for (size_t i = 1; i < fields.size() && i <= 8; ++i) {
    uint64_t value;
    if (!absl::SimpleAtoi(fields[i], &value)) return std::nullopt;
    ticks.total += value;
    if (i != 4 && i != 5) ticks.busy += value;
  }
  return ticks;
}

std::optional<MemoryUse> ParseMemory(absl::string_view proc_meminfo) {
  std::map<absl::string_view, int64_t> kilobytes;
  for (absl::string_view line : absl::StrSplit(proc_meminfo, '\n')) {
    const std::vector<absl::string_view> fields = absl::StrSplit(line, ' ', absl::SkipEmpty());
    int64_t value;
    if (fields.size() < 2 || !absl::SimpleAtoi(fields[1], &value)) continue;
    kilobytes[absl::StripSuffix(fields[0], ":")] = value;
  }
  if (kilobytes.count("MemTotal") == 0) return std::nullopt;
  const int64_t total = kilobytes["MemTotal"];
  const int64_t available = kilobytes.count("MemAvailable") > 0
                                ? kilobytes["MemAvailable"]
                                : kilobytes["MemFree"] + kilobytes["Buffers"] + kilobytes["Cached"];
  return MemoryUse{(total - available) / 1024, total / 1024};
}

NetworkBytes ParseNetwork(absl::string_view proc_net_dev) {
  NetworkBytes bytes;
  for (absl::string_view line : absl::StrSplit(proc_net_dev, '\n')) {
    const std::pair<absl::string_view, absl::string_view> parts =
        absl::StrSplit(line, absl::MaxSplits(':', 1));
    if (absl::StripAsciiWhitespace(parts.first) == "lo") continue;
    const std::vector<absl::string_view> fields =
        absl::StrSplit(parts.second, ' ', absl::SkipEmpty());
    uint64_t received;
    uint64_t sent;
    if (fields.size() < 9 || !absl::SimpleAtoi(fields[0], &received) ||
        !absl::SimpleAtoi(fields[8], &sent)) {
      continue;
    }
    bytes.received += received;
    bytes.sent += sent;
  }
  return bytes;
}

v1::Sample Sampler::Take() {
  v1::Sample sample;
  *sample.mutable_time() = ToProto(clock_->Now());
  const absl::Duration now = clock_->Uptime();
  const double seconds = absl::ToDoubleSeconds(now - taken_);
  const bool first = !cpu_.has_value();
  if (const auto cpu = ParseCpu(ReadWholeFile("/proc/stat").value_or(""))) {
    if (!first && cpu->total > cpu_->total && cpu->busy >= cpu_->busy) {
      sample.set_cpu_percent(100.0 * (cpu->busy - cpu_->busy) / (cpu->total - cpu_->total));
    }
    cpu_ = cpu;
  }
  if (const auto memory = ParseMemory(ReadWholeFile("/proc/meminfo").value_or(""))) {
    sample.set_memory_used_mb(memory->used_mb);
    sample.set_memory_total_mb(memory->total_mb);
  }
  struct statvfs disk;
  if (statvfs("/", &disk) == 0) {
    const double block_mb = disk.f_frsize / 1048576.0;
    sample.set_disk_used_mb((disk.f_blocks - disk.f_bfree) * block_mb);
    sample.set_disk_total_mb(disk.f_blocks * block_mb);
  }
  const NetworkBytes network = ParseNetwork(ReadWholeFile("/proc/net/dev").value_or(""));
  // A card that went away makes the sum smaller.
  if (!first && seconds > 0 && network.received >= network_.received) {
    sample.set_network_receive_kbps((network.received - network_.received) * 8 / 1000.0 / seconds);
  }
  if (!first && seconds > 0 && network.sent >= network_.sent) {
    sample.set_network_send_kbps((network.sent - network_.sent) * 8 / 1000.0 / seconds);
  }
  network_ = network;
  taken_ = now;
  return sample;
}

}  // namespace drover::agent
