// Who may speak for a VM: one-time tokens, the certificates they were changed for, and copies of an
// identity (P4).
//
// A token is bound to one VM, works once, and is kept as its SHA-256 only. The certificate that
// counts is the one whose serial stands in the VM's record: an older one is refused. An identity
// belongs to the machine that enrolled it: that one stays, and every other machine that presents it
// is quarantined, and told of once.
//
// Thread promise: all methods from any thread; they block on the store. Survives a restart:
// everything.
#pragma once

#include <functional>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/time/time.h"
#include "controller/agents/authority.h"
#include "controller/core/ports.h"
#include "controller/core/repeat_fold.h"

namespace drover::agents {

// Writes an entry of the platform log; `resource_name` is the VM's uid, which main replaces by the
// VM's name.
using Audit = std::function<void(drover::v1::LogEntry)>;

class Enrolment {
 public:
  // `controller_address` is where agents dial, host:port.
  Enrolment(core::Store* store, core::Vault* vault, core::Clock* clock, const Authority* authority,
            std::string controller_address, Audit audit);

  // As AgentGateway::NewEnrolmentKit.
  absl::StatusOr<core::EnrolmentKit> NewKit(absl::string_view vm_uid, absl::string_view bios_uuid,
                                            absl::Duration valid);
  // As the contract's Enroll. From its success on the VM's earlier certificate is refused.
  absl::StatusOr<drover::agent::v1::EnrollResponse> Enroll(
      const drover::agent::v1::EnrollRequest& request, absl::string_view client_address);
  // No certificate and no token of the VM counts any more.
  absl::Status Revoke(absl::string_view vm_uid);
  // As AgentGateway::LiftQuarantine.
  absl::Status LiftQuarantine(absl::string_view vm_uid);

  // Whether a machine that shows this certificate is the VM. UNAUTHENTICATED, reason
  // CERTIFICATE_REVOKED for another serial than the one in force; PERMISSION_DENIED, reason
  // IDENTITY_QUARANTINED for another machine than the one that enrolled, with metadata "new" =
  // "yes" when it is the first time of that machine.
  absl::StatusOr<core::AgentRecord> Admit(const AgentCertificate& certificate,
                                          const drover::agent::v1::Identity& identity,
                                          absl::string_view client_address);
  // Whether it is still the certificate in force. True when the store cannot tell just now.
  bool IsInForce(const AgentCertificate& certificate);

 private:
  // Keeps a copy in mind and logs it. The error to answer with.
  absl::Status Quarantine(absl::string_view vm_uid, const drover::agent::v1::Identity& identity,
                          absl::string_view why, absl::string_view client_address);
  void Refuse(absl::string_view vm_uid, absl::string_view client_address,
              const absl::Status& status);
  void Log(absl::string_view vm_uid, absl::string_view client_address, absl::string_view action,
           const absl::Status& status, absl::string_view detail);

  core::Store* const store_;
  core::Vault* const vault_;
  core::Clock* const clock_;
  const Authority* const authority_;
  const std::string controller_address_;
  const Audit audit_;
  core::RepeatFold fold_;
};

}  // namespace drover::agents
