// Samples in few bytes: each as its difference from the one before, about eight bytes a sample.
//
// CPU is kept in hundredths of a percent, network in tenths of a kbit/s, memory and disk in MB.
// Thread promise: values.
#pragma once

#include <string>
#include <vector>

#include "absl/strings/string_view.h"
#include "controller/core/samples.h"

namespace drover::store {

// The last point of a row, in the units of the row.
struct CodecState {
  int64_t time = 0;
  int64_t cpu = 0;
  int64_t memory = 0;
  int64_t disk = 0;
  int64_t network = 0;
  int64_t memory_total = 0;
  int64_t disk_total = 0;
};

// Adds a point to a row that ends with `state`.
void AppendPoint(const core::UsagePoint& point, CodecState& state, std::string& row);
std::string EncodePoints(const std::vector<core::UsagePoint>& points);
// Adds the points of a row; false when it is damaged, with those before the damage.
bool DecodePoints(absl::string_view row, std::vector<core::UsagePoint>& points);

// Numbers of a row, as they are in it.
void AppendNumber(uint64_t value, std::string& row);
bool TakeNumber(absl::string_view& row, uint64_t& value);

}  // namespace drover::store
