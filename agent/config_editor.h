// Edits of configuration files: a value is replaced where it stands, everything else stays byte for
// byte. Thread promise: pure functions.
#pragma once

#include <string>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "drover/v1/config.pb.h"

namespace drover::agent {

// The text with the edit made; the same text when the value is there already. Reasons of the
// problems as in config_format.h, besides NOT_A_URL, and EDIT_KEY_BAD for a key that cannot be
// read. An edit is read back before it is answered.
absl::StatusOr<std::string> EditText(absl::string_view text, const drover::v1::Profile::Edit& edit);

// `url` with host, and port if `place` ("host" or "host:port") has one, replaced; scheme, user,
// password, path and options stay. NOT_A_URL, also for one that names several hosts.
absl::StatusOr<std::string> ReplaceUrlHost(absl::string_view url, absl::string_view place);

}  // namespace drover::agent
