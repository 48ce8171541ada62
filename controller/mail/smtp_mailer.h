// Delivers mail to an SMTP server by libcurl.
//
// The server's certificate is checked. A password goes over TLS only, whatever is configured.
// Thread promise: Send from any thread, also at the same time; it blocks for a minute at most.
#pragma once

#include <atomic>
#include <cstdint>
#include <string>

#include "absl/status/status.h"
#include "controller/core/ports.h"

namespace drover::mail {

enum class Security {
  kNone,
  // STARTTLS when the server offers it.
  kOpportunistic,
  // STARTTLS, or no mail.
  kStartTls,
  // TLS from the first byte.
  kTls,
};

struct SmtpOptions {
  // "host:port".
  std::string server;
  Security security = Security::kStartTls;
  // PEM file of authorities; "" for the system's.
  std::string authority_file;
  // "" to sign in to nothing.
  std::string user;
  std::string password;
  // Sender's address.
  std::string from;
};

class SmtpMailer : public core::Mailer {
 public:
  SmtpMailer(SmtpOptions options, core::Clock* clock);

  // FAILED_PRECONDITION when the server refuses the mail for good (5xx to sender, recipients or
  // text); UNAVAILABLE for everything that may be another way later: no connection, a certificate
  // that is not trusted, 4xx, a refused sign-in. OK when one recipient at least was taken.
  absl::Status Send(const core::Mail& mail) override;

 private:
  const SmtpOptions options_;
  core::Clock* const clock_;
  std::atomic<uint64_t> count_ = 0;
};

}  // namespace drover::mail
