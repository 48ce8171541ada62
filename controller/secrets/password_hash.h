// Password hashes as text: "$scrypt$ln=15,r=8,p=1$<salt>$<hash>", salt and hash in unpadded
// web-safe base64. The parameters are read from the text, so that they can grow without making old
// hashes void.
//
// Thread promise: pure functions; each takes 128 * r * 2^ln bytes (32 MiB) for about 0.1 s.
#pragma once

#include <string>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"

namespace drover::secrets {

absl::StatusOr<std::string> MakePasswordHash(absl::string_view password, absl::string_view salt);

// False for a text that is no hash, or asks for more than 256 MiB. Compares in constant time.
bool CheckPasswordHash(absl::string_view password, absl::string_view hash);

}  // namespace drover::secrets
