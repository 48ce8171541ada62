// Time for the agent. Stamps come from the wall clock, waiting goes by the uptime: a wall clock
// that jumps moves no deadline.
//
// Thread promise: every function may be called from any thread.
#pragma once

#include "absl/time/time.h"

namespace drover::agent {

class Clock {
 public:
  virtual ~Clock() = default;
  virtual absl::Time Now() const = 0;
  // Time since boot, also while the machine was suspended. Never goes back.
  virtual absl::Duration Uptime() const = 0;
};

// The machine's clock; lives for ever.
const Clock& SystemClock();

}  // namespace drover::agent
