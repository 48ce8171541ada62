// Text as proto strings, JSON and terminals can hold it: UTF-8 as RFC 3629 has it, without overlong
// forms and surrogates. Thread promise: pure functions.
#pragma once

#include <cstddef>
#include <string>

#include "absl/strings/string_view.h"

namespace drover {

bool IsUtf8(absl::string_view bytes);

// The last `limit` bytes, with "?" for each that is no part of UTF-8.
std::string CleanText(absl::string_view bytes, size_t limit = absl::string_view::npos);

}  // namespace drover
