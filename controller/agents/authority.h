// The controller's own certificate authority: EC P-256, made at the first start, kept in the store
// with its key sealed. It signs one server certificate and one client certificate per agent, and
// nobody else's word counts on the link.
//
// Thread promise: all methods from any thread after Open; none blocks for long. Survives a restart:
// the authority; certificates are kept by those they were made for.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/time/time.h"
#include "controller/core/ports.h"

namespace drover::agents {

// Who an agent's certificate says it is.
struct AgentCertificate {
  // Lower-case hex.
  std::string serial;
  std::string vm_uid;
};

class Authority {
 public:
  // Loads the authority, or makes it when the store has none. DATA_LOSS when the vault cannot
  // unseal its key.
  static absl::StatusOr<std::unique_ptr<Authority>> Open(core::Store* store, core::Vault* vault,
                                                         core::Clock* clock);
  ~Authority();

  // PEM.
  const std::string& certificate() const { return certificate_; }
  // SHA-256 of it as people compare it, "AB:CD:...".
  std::string Fingerprint() const;

  struct Issued {
    // PEM: the certificate, then the authority's.
    std::string chain;
    std::string serial;
    // SHA-256 over the public key in DER.
    std::string public_key_hash;
    absl::Time expires;
  };
  // Signs the public key of a PKCS#10 request for the VM; nothing else is taken from the request.
  // INVALID_ARGUMENT when it is none, is not signed by its own key, or has a weak key.
  absl::StatusOr<Issued> IssueAgent(absl::string_view certificate_request,
                                    absl::string_view vm_uid) const;
  // SHA-256 over the request's public key, as in Issued.
  absl::StatusOr<std::string> PublicKeyHash(absl::string_view certificate_request) const;

  struct ServerIdentity {
    // PEM: the certificate, then the authority's.
    std::string chain;
    std::string key;
  };
  // A new key and a certificate for the names (host names and addresses) and "drover-controller".
  absl::StatusOr<ServerIdentity> IssueServer(const std::vector<std::string>& names) const;
  // Whether the PEM certificate is this authority's, carries exactly these names, and is valid
  // until after `until`.
  bool IsServerCertificateGood(absl::string_view pem, const std::vector<std::string>& names,
                               absl::Time until) const;

  // Checks a client certificate (PEM). UNAUTHENTICATED, reason CERTIFICATE_REFUSED when this
  // authority did not sign it, it is expired, or it is not an agent's.
  absl::StatusOr<AgentCertificate> VerifyAgent(absl::string_view pem) const;

 private:
  struct Keys;
  Authority(std::string certificate, std::unique_ptr<Keys> keys, core::Clock* clock);

  const std::string certificate_;
  const std::unique_ptr<Keys> keys_;
  core::Clock* const clock_;
};

}  // namespace drover::agents
