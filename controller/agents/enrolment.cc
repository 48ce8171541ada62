#include "controller/agents/enrolment.h"

#include <algorithm>
#include <utility>

#include "absl/strings/escaping.h"
#include "absl/strings/str_cat.h"
#include "controller/agents/identity_check.h"
#include "proto/support/status.h"
#include "proto/support/time.h"

namespace drover::agents {
namespace {

using core::AgentRecord;
using core::Document;
using core::EnrolmentTokenRecord;
using core::StoreReader;
using core::StoreWriter;
using core::Table;
using drover::agent::v1::EnrollRequest;
using drover::agent::v1::EnrollResponse;
using drover::agent::v1::Identity;

// The hostname is the guest's own word; it goes into log lines.
constexpr size_t kMaxIdentityText = 256;

absl::Status TokenRefused(absl::string_view why) {
  return MakeError(absl::StatusCode::kUnauthenticated, "ENROLMENT_TOKEN_REFUSED",
                   absl::StrCat("the enrolment token ", why));
}

// A machine that showed the key of another is kept in mind, so that it is told of once.
constexpr int kMaxCopies = 64;

bool IsKnownCopy(const AgentRecord& record, const Identity& identity) {
  const auto& copies = record.copies();
  return std::find(copies.begin(), copies.end(), identity.machine_fingerprint()) != copies.end();
}

absl::Status Quarantined(absl::string_view why, bool is_new) {
  return MakeError(absl::StatusCode::kPermissionDenied, "IDENTITY_QUARANTINED",
                   absl::StrCat("this machine is quarantined: ", why),
                   {{"new", is_new ? "yes" : "no"}});
}

absl::StatusOr<AgentRecord> ReadAgent(StoreReader& reader, absl::string_view vm_uid) {
  DROVER_ASSIGN_OR_RETURN(const Document document, reader.Get(Table::kAgents, vm_uid));
  AgentRecord record;
  if (!record.ParseFromString(document.body)) {
    return absl::DataLossError(absl::StrCat("the agent record of ", vm_uid, " is damaged"));
  }
  return record;
}

absl::Status PutAgent(StoreWriter& writer, absl::string_view vm_uid, const AgentRecord& record) {
  return writer.Put(Table::kAgents, {std::string(vm_uid), "", record.SerializeAsString()});
}

absl::Status DeleteTokens(StoreWriter& writer, absl::string_view vm_uid) {
  core::ListQuery query;
  query.owner = std::string(vm_uid);
  DROVER_ASSIGN_OR_RETURN(const std::vector<Document> tokens, writer.List(Table::kTokens, query));
  for (const Document& token : tokens) {
    DROVER_RETURN_IF_ERROR(writer.Delete(Table::kTokens, token.key));
  }
  return absl::OkStatus();
}

absl::Status CheckIdentity(const Identity& identity) {
  Violations violations;
  const auto check = [&violations](absl::string_view field, const std::string& text,
                                   bool required) {
    if (required && text.empty()) violations.Add(field, "is required");
    if (text.size() > kMaxIdentityText) violations.Add(field, "is too long");
  };
  check("identity.machine_fingerprint", identity.machine_fingerprint(), true);
  check("identity.instance_id", identity.instance_id(), true);
  check("identity.bios_uuid", identity.bios_uuid(), false);
  check("identity.hostname", identity.hostname(), false);
  return violations.ToStatus();
}

absl::StatusOr<EnrolmentTokenRecord> ReadToken(StoreReader& reader, const std::string& key) {
  const absl::StatusOr<Document> document = reader.Get(Table::kTokens, key);
  if (absl::IsNotFound(document.status())) return TokenRefused("is not known");
  DROVER_RETURN_IF_ERROR(document.status());
  EnrolmentTokenRecord token;
  if (!token.ParseFromString(document->body)) return absl::DataLossError("a token is damaged");
  return token;
}

}  // namespace

Enrolment::Enrolment(core::Store* store, core::Vault* vault, core::Clock* clock,
                     const Authority* authority, std::string controller_address, Audit audit)
    : store_(store),
      vault_(vault),
      clock_(clock),
      authority_(authority),
      controller_address_(std::move(controller_address)),
      audit_(std::move(audit)) {}

absl::StatusOr<core::EnrolmentKit> Enrolment::NewKit(absl::string_view vm_uid,
                                                     absl::string_view bios_uuid,
                                                     absl::Duration valid) {
  core::EnrolmentKit kit;
  kit.set_token(absl::BytesToHexString(vault_->RandomBytes(32)));
  kit.set_authority(authority_->certificate());
  kit.set_controller_address(controller_address_);
  EnrolmentTokenRecord token;
  token.set_vm_uid(std::string(vm_uid));
  token.set_bios_uuid(std::string(bios_uuid));
  *token.mutable_expire_time() = ToProto(clock_->Now() + valid);
  const std::string key = absl::BytesToHexString(vault_->Sha256(kit.token()));
  DROVER_RETURN_IF_ERROR(store_->Write([&](StoreWriter& writer) {
    DROVER_RETURN_IF_ERROR(DeleteTokens(writer, vm_uid));
    return writer.Insert(Table::kTokens, {key, std::string(vm_uid), token.SerializeAsString()});
  }));
  return kit;
}

absl::StatusOr<EnrollResponse> Enrolment::Enroll(const EnrollRequest& request,
                                                 absl::string_view client_address) {
  DROVER_RETURN_IF_ERROR(CheckIdentity(request.identity()));
  DROVER_ASSIGN_OR_RETURN(const std::string key_hash,
                          authority_->PublicKeyHash(request.certificate_request()));
  const std::string key = absl::BytesToHexString(vault_->Sha256(request.token()));
  std::string vm_uid;
  EnrollResponse response;
  bool again = false;
  const absl::Status enrolled = store_->Write([&](StoreWriter& writer) -> absl::Status {
    DROVER_ASSIGN_OR_RETURN(EnrolmentTokenRecord token, ReadToken(writer, key));
    vm_uid = token.vm_uid();
    if (FromProto(token.expire_time()) <= clock_->Now()) return TokenRefused("has expired");
    if (!SameBiosUuid(token.bios_uuid(), request.identity().bios_uuid())) {
      return TokenRefused("is for a VM with another BIOS uuid");
    }
    response.set_vm_uid(vm_uid);
    again = token.used();
    if (token.used()) {
      if (token.public_key_hash() != key_hash) return TokenRefused("was used already");
      response.set_certificate_chain(token.certificate_chain());
      return absl::OkStatus();
    }
    DROVER_ASSIGN_OR_RETURN(const Authority::Issued issued,
                            authority_->IssueAgent(request.certificate_request(), vm_uid));
    response.set_certificate_chain(issued.chain);
    token.set_used(true);
    token.set_public_key_hash(key_hash);
    token.set_certificate_chain(issued.chain);
    DROVER_RETURN_IF_ERROR(writer.Put(Table::kTokens, {key, vm_uid, token.SerializeAsString()}));
    // A new enrolment counts its events from 1, and belongs to this machine.
    AgentRecord agent;
    agent.set_certificate_serial(issued.serial);
    *agent.mutable_certificate_expire_time() = ToProto(issued.expires);
    *agent.mutable_identity() = request.identity();
    return PutAgent(writer, vm_uid, agent);
  });
  if (!enrolled.ok()) {
    Refuse(vm_uid, client_address, enrolled);
    return enrolled;
  }
  if (!again) {
    Log(vm_uid, client_address, "enrol agent", enrolled,
        absl::StrCat("host name \"", request.identity().hostname(), "\""));
  }
  return response;
}

absl::Status Enrolment::Revoke(absl::string_view vm_uid) {
  return store_->Write([vm_uid](StoreWriter& writer) {
    DROVER_RETURN_IF_ERROR(DeleteTokens(writer, vm_uid));
    return writer.Delete(Table::kAgents, vm_uid);
  });
}

absl::Status Enrolment::LiftQuarantine(absl::string_view vm_uid) {
  return store_->Write([vm_uid](StoreWriter& writer) -> absl::Status {
    absl::StatusOr<AgentRecord> record = ReadAgent(writer, vm_uid);
    if (absl::IsNotFound(record.status())) return absl::OkStatus();
    DROVER_RETURN_IF_ERROR(record.status());
    record->clear_copies();
    // Whoever comes next is the VM.
    record->clear_identity();
    return PutAgent(writer, vm_uid, *record);
  });
}

absl::StatusOr<AgentRecord> Enrolment::Admit(const AgentCertificate& certificate,
                                             const Identity& identity,
                                             absl::string_view client_address) {
  DROVER_RETURN_IF_ERROR(CheckIdentity(identity));
  AgentRecord record;
  const absl::Status read = store_->Read([&](StoreReader& reader) -> absl::Status {
    DROVER_ASSIGN_OR_RETURN(record, ReadAgent(reader, certificate.vm_uid));
    return absl::OkStatus();
  });
  if (!read.ok() && !absl::IsNotFound(read)) return read;
  if (!read.ok() || record.certificate_serial() != certificate.serial) {
    const absl::Status revoked =
        MakeError(absl::StatusCode::kUnauthenticated, "CERTIFICATE_REVOKED",
                  "this certificate is not in force any more; the agent must enrol again");
    Refuse(certificate.vm_uid, client_address, revoked);
    return revoked;
  }
  if (!record.has_identity()) {
    DROVER_RETURN_IF_ERROR(store_->Write([&](StoreWriter& writer) -> absl::Status {
      DROVER_ASSIGN_OR_RETURN(record, ReadAgent(writer, certificate.vm_uid));
      if (!record.has_identity()) *record.mutable_identity() = identity;
      return PutAgent(writer, certificate.vm_uid, record);
    }));
  }
  const std::string difference = DifferenceOf(record.identity(), identity);
  if (difference.empty()) return record;
  if (IsKnownCopy(record, identity)) return Quarantined(difference, false);
  return Quarantine(certificate.vm_uid, identity, difference, client_address);
}

bool Enrolment::IsInForce(const AgentCertificate& certificate) {
  bool in_force = true;
  const absl::Status read = store_->Read([&](StoreReader& reader) -> absl::Status {
    const absl::StatusOr<AgentRecord> record = ReadAgent(reader, certificate.vm_uid);
    if (absl::IsNotFound(record.status())) {
      in_force = false;
      return absl::OkStatus();
    }
    DROVER_RETURN_IF_ERROR(record.status());
    in_force = record->certificate_serial() == certificate.serial;
    return absl::OkStatus();
  });
  return in_force || !read.ok();
}

absl::Status Enrolment::Quarantine(absl::string_view vm_uid, const Identity& identity,
                                   absl::string_view why, absl::string_view client_address) {
  DROVER_RETURN_IF_ERROR(store_->Write([&](StoreWriter& writer) -> absl::Status {
    DROVER_ASSIGN_OR_RETURN(AgentRecord record, ReadAgent(writer, vm_uid));
    if (record.copies_size() >= kMaxCopies) record.mutable_copies()->DeleteSubrange(0, 1);
    record.add_copies(identity.machine_fingerprint());
    return PutAgent(writer, vm_uid, record);
  }));
  const absl::Status status = Quarantined(why, true);
  Log(vm_uid, client_address, "quarantine agent", status, why);
  return status;
}

void Enrolment::Refuse(absl::string_view vm_uid, absl::string_view client_address,
                       const absl::Status& status) {
  // Anybody may knock at this door.
  const std::optional<int> left_out =
      fold_.Count(absl::StrCat(client_address, " ", vm_uid), clock_->Now());
  if (!left_out) return;
  Log(vm_uid, client_address, "refuse agent", status,
      *left_out == 0 ? "" : absl::StrCat(*left_out, " more like it before"));
}

void Enrolment::Log(absl::string_view vm_uid, absl::string_view client_address,
                    absl::string_view action, const absl::Status& status,
                    absl::string_view detail) {
  drover::v1::LogEntry entry;
  entry.set_kind(status.ok() ? drover::v1::LOG_KIND_LOGIN : drover::v1::LOG_KIND_ERROR);
  entry.set_user("agent");
  entry.set_client_address(std::string(client_address));
  entry.set_action(std::string(action));
  entry.set_resource_name(std::string(vm_uid));
  entry.set_result(absl::StatusCodeToString(status.code()));
  entry.set_detail(status.ok() ? std::string(detail)
                   : detail.empty() || detail == status.message()
                       ? std::string(status.message())
                       : absl::StrCat(status.message(), "; ", detail));
  audit_(std::move(entry));
}

}  // namespace drover::agents
