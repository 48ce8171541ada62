// Whether bytes are UTF-8, as RFC 3629 has it: no overlong forms, no surrogates. Thread promise: a
// pure function.
#pragma once

#include "absl/strings/string_view.h"

namespace drover::gateway {

bool IsUtf8(absl::string_view bytes);

}  // namespace drover::gateway
