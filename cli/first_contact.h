// First contact with a controller nobody has confirmed yet: which authority it shows. Nothing is
// sent to it. Thread promise: pure functions, blocking.
#pragma once

#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/time/time.h"

namespace drover::cli {

struct PresentedAuthority {
  std::string pem;
  // SHA-256 over the certificate: 32 upper-case hex pairs joined by ':'.
  std::string fingerprint;
  std::string subject;
  absl::Time not_after;
};

// Shakes hands with "host:port" and returns the authority that signed its certificate (the
// certificate itself when it brings no authority). UNAVAILABLE when it cannot be reached or does
// not speak TLS in time. FAILED_PRECONDITION when the authority it shows did not sign its
// certificate.
absl::StatusOr<PresentedAuthority> FetchAuthority(const std::string& address,
                                                  absl::Duration timeout);

// The fingerprint of a PEM certificate, "" when it is none.
std::string FingerprintOf(const std::string& pem);

// The same fingerprint, however it is written: "SHA256:" before it, lower case, without colons.
bool SameFingerprint(absl::string_view a, absl::string_view b);

}  // namespace drover::cli
