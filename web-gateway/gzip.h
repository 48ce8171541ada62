// gzip for bodies. Thread promise: a pure function.
#pragma once

#include <string>

#include "absl/strings/string_view.h"

namespace drover::gateway {

// RFC 1952. `level` is zlib's, 1 (fast) to 9 (small). "" when there is no memory.
std::string Gzip(absl::string_view bytes, int level);

}  // namespace drover::gateway
