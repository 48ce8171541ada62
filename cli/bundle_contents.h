// What goes into a debug bundle: this machine, the doctor's findings, what the controller lists.
// What cannot be had is named in missing.txt; a bundle is made all the same.
//
// Thread promise: for one thread, blocking.
#pragma once

#include <string>

#include "absl/status/statusor.h"
#include "cli/call.h"

namespace drover::cli {

// The archive, without secrets.
absl::StatusOr<std::string> MakeBundle(Invocation& invocation);

}  // namespace drover::cli
