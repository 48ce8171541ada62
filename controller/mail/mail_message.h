// A mail as it goes over the wire (RFC 5322, RFC 2047). Thread promise: pure functions.
#pragma once

#include <string>

#include "absl/strings/string_view.h"
#include "absl/time/time.h"
#include "controller/core/ports.h"

namespace drover::mail {

// Text in any script as a header value: as it is when it is plain ASCII, else in encoded words.
// Characters that end a header are left out.
std::string EncodeHeader(absl::string_view text);

// Headers and body, lines ended by CRLF and at most 78 characters long, nothing but ASCII. `id` is
// the message's own, unique; mails of one thread name the thread's id, so that they are shown
// together.
std::string ComposeMessage(const core::Mail& mail, absl::string_view from, absl::string_view id,
                           absl::Time now);

}  // namespace drover::mail
