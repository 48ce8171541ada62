#include "controller/store/sample_codec.h"

#include <algorithm>
#include <cmath>

namespace drover::store {
namespace {

using core::UsagePoint;

constexpr uint64_t kByHypervisor = 1;
constexpr uint64_t kTotals = 2;
// Of several samples: span, count, minimum and maximum follow.
constexpr uint64_t kSeveral = 4;
constexpr int kFlagBits = 3;

uint64_t Zigzag(int64_t value) {
  return (static_cast<uint64_t>(value) << 1) ^ static_cast<uint64_t>(value >> 63);
}
int64_t Unzigzag(uint64_t value) {
  return static_cast<int64_t>(value >> 1) ^ -static_cast<int64_t>(value & 1);
}

void AppendChange(int64_t value, int64_t& last, std::string& row) {
  AppendNumber(Zigzag(value - last), row);
  last = value;
}
bool TakeChange(absl::string_view& row, int64_t& last) {
  uint64_t change;
  if (!TakeNumber(row, change)) return false;
  last += Unzigzag(change);
  return true;
}

int64_t Hundredths(double value) { return std::llround(value * 100); }
int64_t Tenths(double value) { return std::llround(value * 10); }
uint64_t NotNegative(int64_t value) { return static_cast<uint64_t>(std::max<int64_t>(0, value)); }

bool TakeSeveral(absl::string_view& row, const CodecState& state, UsagePoint& point) {
  uint64_t span, count, cpu_below, cpu_above, memory_below, memory_above;
  if (!TakeNumber(row, span) || !TakeNumber(row, count) || !TakeNumber(row, cpu_below) ||
      !TakeNumber(row, cpu_above) || !TakeNumber(row, memory_below) ||
      !TakeNumber(row, memory_above)) {
    return false;
  }
  point.span = static_cast<int32_t>(span);
  point.count = static_cast<int32_t>(count);
  point.cpu_min = (state.cpu - static_cast<int64_t>(cpu_below)) / 100.0;
  point.cpu_max = (state.cpu + static_cast<int64_t>(cpu_above)) / 100.0;
  point.memory_min = static_cast<double>(state.memory - static_cast<int64_t>(memory_below));
  point.memory_max = static_cast<double>(state.memory + static_cast<int64_t>(memory_above));
  return true;
}

}  // namespace

void AppendNumber(uint64_t value, std::string& row) {
  while (value >= 0x80) {
    row.push_back(static_cast<char>(value | 0x80));
    value >>= 7;
  }
  row.push_back(static_cast<char>(value));
}

bool TakeNumber(absl::string_view& row, uint64_t& value) {
  value = 0;
  for (size_t i = 0; i < row.size() && i < 10; ++i) {
    value |= static_cast<uint64_t>(row[i] & 0x7f) << (7 * i);
    if ((row[i] & 0x80) != 0) continue;
    row.remove_prefix(i + 1);
    return true;
  }
  return false;
}

void AppendPoint(const UsagePoint& point, CodecState& state, std::string& row) {
  const bool totals =
      point.memory_total != state.memory_total || point.disk_total != state.disk_total;
  const bool several = point.span > 0;
  const uint64_t flags =
      (point.by_hypervisor ? kByHypervisor : 0) | (totals ? kTotals : 0) | (several ? kSeveral : 0);
  AppendNumber(Zigzag(point.time - state.time) << kFlagBits | flags, row);
  state.time = point.time;
  AppendChange(Hundredths(point.cpu), state.cpu, row);
  AppendChange(std::llround(point.memory), state.memory, row);
  AppendChange(std::llround(point.disk), state.disk, row);
  AppendChange(Tenths(point.network), state.network, row);
  if (totals) {
    AppendChange(point.memory_total, state.memory_total, row);
    AppendChange(point.disk_total, state.disk_total, row);
  }
  if (!several) return;
  AppendNumber(NotNegative(point.span), row);
  AppendNumber(NotNegative(point.count), row);
  AppendNumber(NotNegative(state.cpu - Hundredths(point.cpu_min)), row);
  AppendNumber(NotNegative(Hundredths(point.cpu_max) - state.cpu), row);
  AppendNumber(NotNegative(state.memory - std::llround(point.memory_min)), row);
  AppendNumber(NotNegative(std::llround(point.memory_max) - state.memory), row);
}

std::string EncodePoints(const std::vector<UsagePoint>& points) {
  std::string row;
  CodecState state;
  for (const UsagePoint& point : points) AppendPoint(point, state, row);
  return row;
}

bool DecodePoints(absl::string_view row, std::vector<UsagePoint>& points) {
  CodecState state;
  while (!row.empty()) {
    UsagePoint point;
    uint64_t head;
    if (!TakeNumber(row, head)) return false;
    state.time += Unzigzag(head >> kFlagBits);
    if (!TakeChange(row, state.cpu) || !TakeChange(row, state.memory) ||
        !TakeChange(row, state.disk) || !TakeChange(row, state.network)) {
      return false;
    }
    if ((head & kTotals) != 0 &&
        (!TakeChange(row, state.memory_total) || !TakeChange(row, state.disk_total))) {
      return false;
    }
    point.time = state.time;
    point.by_hypervisor = (head & kByHypervisor) != 0;
    point.cpu = point.cpu_min = point.cpu_max = state.cpu / 100.0;
    point.memory = point.memory_min = point.memory_max = static_cast<double>(state.memory);
    point.disk = static_cast<double>(state.disk);
    point.network = state.network / 10.0;
    point.memory_total = static_cast<int32_t>(state.memory_total);
    point.disk_total = static_cast<int32_t>(state.disk_total);
    if ((head & kSeveral) != 0 && !TakeSeveral(row, state, point)) return false;
    points.push_back(point);
  }
  return true;
}

}  // namespace drover::store
