// What the machine tells of itself. Thread promise: all functions from any thread.
#pragma once

#include <optional>
#include <string>

#include "absl/status/statusor.h"
#include "controller/core/platform_health.h"

namespace drover {

// The disk that holds `directory`.
absl::StatusOr<core::DiskFacts> DiskOf(const std::string& directory);
// Whether the kernel's clock is kept by NTP; nothing where the kernel does not tell.
std::optional<bool> ClockIsSynchronised();

}  // namespace drover
