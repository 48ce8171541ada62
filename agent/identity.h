// Who this agent is: its key, made here and never leaving the machine, its certificate, and what
// tells a copied disk from the original.
//
// Thread promise: belongs to the event loop's thread. Survives a restart: identity.pem (key and
// certificate, 0600, replaced as one file), identity.state, enrolment-key.pem while an enrolment is
// on its way, so that a repeated one presents the same key.
#pragma once

#include <string>

#include "absl/status/statusor.h"
#include "agent/config.h"
#include "agent/machine.h"
#include "drover/agent/v1/agent_link.pb.h"
#include "drover/agent/v1/agent_state.pb.h"

namespace drover::agent {

// A new EC P-256 key, PEM.
absl::StatusOr<std::string> MakeKey();
// PKCS#10 for the key with this common name, PEM.
absl::StatusOr<std::string> MakeCertificateRequest(const std::string& key_pem,
                                                   const std::string& common_name);

// What TLS needs.
struct Credentials {
  std::string authority;
  // Both empty before enrolment.
  std::string key;
  std::string certificate_chain;
};

class AgentIdentity {
 public:
  // Reads or makes what is kept, counts this start. On a copied disk with a token waiting
  // everything of the original goes: key, events, commands, desired state. Without a token it
  // stays, for the controller to judge.
  static absl::StatusOr<AgentIdentity> Open(const Config& config, const MachineFacts& machine);

  // A token waits to be used, or there is no certificate.
  bool NeedsEnrolment() const;
  // With the same key until StoreEnrolment. FAILED_PRECONDITION naming the file when there is no
  // token.
  absl::StatusOr<v1::EnrollRequest> MakeEnrollRequest();
  // Keeps the certificate, then removes the token. True when the machine is another VM than before:
  // its state was removed, and the agent must begin anew. INVALID_ARGUMENT when the certificate is
  // not for the key.
  absl::StatusOr<bool> StoreEnrolment(const v1::EnrollResponse& response);
  absl::StatusOr<Credentials> ReadCredentials() const;

  const v1::Identity& identity() const { return identity_; }
  int64_t incarnation() const { return stored_.incarnation(); }
  // The machine booted since the agent ran last.
  bool first_since_boot() const { return first_since_boot_; }

 private:
  AgentIdentity() = default;
  std::string Path(absl::string_view name) const;
  void RemoveState();

  Config config_;
  v1::StoredIdentity stored_;
  v1::Identity identity_;
  bool first_since_boot_ = true;
};

}  // namespace drover::agent
