// What `drover doctor` looks at: the way from here to the controller, and what the controller says
// of itself. Changes nothing.
//
// Thread promise: for one thread, blocking.
#pragma once

#include "absl/status/status.h"
#include "cli/call.h"
#include "drover/v1/activity.pb.h"

namespace drover::cli {

struct Findings {
  // The checks made from here, then the controller's own.
  v1::PlatformHealth health;
  // Of the checks made from here; says with which code to end.
  absl::Status first_failure;
};

// Each check needs what the one before it has found to be well.
Findings CheckAll(Invocation& invocation);

}  // namespace drover::cli
