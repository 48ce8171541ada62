// A text as JSON writes it, quotes included. Thread promise: a pure function.
#pragma once

#include <string>

#include "absl/strings/string_view.h"

namespace drover::gateway {

// Bytes that are not UTF-8 become U+FFFD, so that the answer is always JSON.
std::string JsonText(absl::string_view text);

}  // namespace drover::gateway
