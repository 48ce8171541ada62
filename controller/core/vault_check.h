// Whether the key file belongs to the store. Thread promise: any thread; done once at start.
#pragma once

#include "absl/status/status.h"
#include "controller/core/ports.h"

namespace drover::core {

// Leaves a sealed mark in a new store, opens it in one that has it. FAILED_PRECONDITION, reason
// WRONG_KEY_FILE when the key file is another one than the store was written with: nothing sealed
// in it could be read, so the controller must not start.
absl::Status CheckVault(Store& store, Vault& vault);

}  // namespace drover::core
