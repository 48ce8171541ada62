// The secret by which the gateway proves itself: a file of mode 0600, one line. The gateway reads
// the same file, or a copy on its own machine. It gives no access to anything but the word about a
// client's address; every call still needs a session.
//
// Thread promise: a pure function over the file system.
#pragma once

#include <functional>
#include <string>

#include "absl/status/statusor.h"

namespace drover::api {

// The key in the file, which is made with a `fresh` one when there is none. FAILED_PRECONDITION
// when others may read it, or when it is too short to be one.
absl::StatusOr<std::string> OpenGatewayKey(const std::string& path,
                                           const std::function<std::string()>& fresh);

}  // namespace drover::api
