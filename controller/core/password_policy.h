// What a password has to be. Thread promise: pure functions.
#pragma once

#include <string>

#include "absl/status/status.h"
#include "absl/strings/string_view.h"

namespace drover::core {

// INVALID_ARGUMENT about `field` when `password` has fewer than 10 characters or more than 256
// bytes, holds control characters, has fewer than 5 different characters, is one of the best known
// ones, or holds the user's id. The password is never quoted.
absl::Status CheckNewPassword(absl::string_view field, absl::string_view password,
                              absl::string_view user_id);

// A password for one use, made of `random` (at least 20 bytes): 20 characters that are easily told
// apart, in groups of five.
std::string OneTimePassword(absl::string_view random);

}  // namespace drover::core
