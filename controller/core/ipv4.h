// IPv4 addresses as numbers, and pools of them. Thread promise: pure functions.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"

namespace drover::core {

// Host byte order. Four decimal parts without leading zeros; nothing else is an address.
std::optional<uint32_t> ParseIpv4(absl::string_view text);
std::string FormatIpv4(uint32_t address);

// A mask of leading ones, as a number; nothing for any other.
std::optional<uint32_t> ParseNetmask(absl::string_view text);

// Both ends belong to it.
struct AddressRange {
  uint32_t first = 0;
  uint32_t last = 0;
  uint32_t size() const { return last - first + 1; }
};

// "10.0.0.10-10.0.0.99" or a single address. INVALID_ARGUMENT, for people and without a field, for
// anything else, for an end before the begin and for more than 65,536 addresses.
absl::StatusOr<AddressRange> ParseAddressRange(absl::string_view text);

}  // namespace drover::core
