#include "agent/identity.h"

#include <openssl/ec.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/rand.h>
#include <openssl/x509.h>
#include <sys/stat.h>
#include <unistd.h>

#include <memory>

#include "absl/strings/ascii.h"
#include "absl/strings/escaping.h"
#include "absl/strings/str_cat.h"
#include "agent/durable_file.h"
#include "proto/support/log.h"
#include "proto/support/status.h"

namespace drover::agent {
namespace {

template <auto kFree>
struct Freed {
  template <typename T>
  void operator()(T* object) const {
    kFree(object);
  }
};
using Bio = std::unique_ptr<BIO, Freed<BIO_free_all>>;
using Key = std::unique_ptr<EVP_PKEY, Freed<EVP_PKEY_free>>;
using Request = std::unique_ptr<X509_REQ, Freed<X509_REQ_free>>;
using Certificate = std::unique_ptr<X509, Freed<X509_free>>;

constexpr absl::string_view kCertificateBegin = "-----BEGIN CERTIFICATE-----";

std::string TextOf(BIO* bio) {
  char* data = nullptr;
  const long length = BIO_get_mem_data(bio, &data);
  return std::string(data, length);
}

Key ParseKey(const std::string& pem) {
  Bio bio(BIO_new_mem_buf(pem.data(), pem.size()));
  return Key(PEM_read_bio_PrivateKey(bio.get(), nullptr, nullptr, nullptr));
}

bool IsFor(const std::string& chain, const std::string& key_pem) {
  Bio bio(BIO_new_mem_buf(chain.data(), chain.size()));
  Certificate certificate(PEM_read_bio_X509(bio.get(), nullptr, nullptr, nullptr));
  const Key key = ParseKey(key_pem);
  return certificate && key && X509_check_private_key(certificate.get(), key.get()) == 1;
}

bool Exists(const std::string& path) { return access(path.c_str(), F_OK) == 0; }

std::string NewId() {
  unsigned char random[16];
  RAND_bytes(random, sizeof(random));
  return absl::BytesToHexString(absl::string_view(reinterpret_cast<char*>(random), sizeof(random)));
}

}  // namespace

absl::StatusOr<std::string> MakeKey() {
  const Key key(EVP_EC_gen("P-256"));
  const Bio bio(BIO_new(BIO_s_mem()));
  if (!key ||
      PEM_write_bio_PrivateKey(bio.get(), key.get(), nullptr, nullptr, 0, nullptr, nullptr) != 1) {
    return absl::InternalError("cannot make a key");
  }
  return TextOf(bio.get());
}

absl::StatusOr<std::string> MakeCertificateRequest(const std::string& key_pem,
                                                   const std::string& common_name) {
  const Key key = ParseKey(key_pem);
  const Request request(X509_REQ_new());
  const Bio bio(BIO_new(BIO_s_mem()));
  if (!key || X509_REQ_set_pubkey(request.get(), key.get()) != 1 ||
      X509_NAME_add_entry_by_txt(X509_REQ_get_subject_name(request.get()), "CN", MBSTRING_UTF8,
                                 reinterpret_cast<const unsigned char*>(common_name.c_str()), -1,
                                 -1, 0) != 1 ||
      X509_REQ_sign(request.get(), key.get(), EVP_sha256()) <= 0 ||
      PEM_write_bio_X509_REQ(bio.get(), request.get()) != 1) {
    return absl::InternalError("cannot make a certificate request");
  }
  return TextOf(bio.get());
}

std::string AgentIdentity::Path(absl::string_view name) const {
  return absl::StrCat(config_.state_directory, "/", name);
}

absl::StatusOr<AgentIdentity> AgentIdentity::Open(const Config& config,
                                                  const MachineFacts& machine) {
  AgentIdentity agent;
  agent.config_ = config;
  DROVER_RETURN_IF_ERROR(MakeDirectory(config.state_directory));
  const std::string path = agent.Path("identity.state");
  if (absl::Status read = ReadMessage(path, agent.stored_); absl::IsDataLoss(read)) {
    LogError(read.message());
  } else if (!read.ok() && !absl::IsNotFound(read)) {
    return read;
  }
  v1::StoredIdentity& stored = agent.stored_;
  if (stored.machine_fingerprint() != machine.fingerprint) {
    const bool copied = !stored.machine_fingerprint().empty();
    if (copied && Exists(config.token_file)) {
      LogWarning("this disk is a copy of another machine's; its identity is removed");
      agent.RemoveState();
      stored.Clear();
    }
    stored.set_instance_id(NewId());
    stored.set_machine_fingerprint(machine.fingerprint);
  }
  agent.first_since_boot_ = stored.boot_id() != machine.boot_id;
  stored.set_boot_id(machine.boot_id);
  stored.set_incarnation(stored.incarnation() + 1);
  DROVER_RETURN_IF_ERROR(WriteMessage(path, stored));
  agent.identity_.set_bios_uuid(machine.bios_uuid);
  agent.identity_.set_instance_id(stored.instance_id());
  agent.identity_.set_machine_fingerprint(machine.fingerprint);
  agent.identity_.set_hostname(machine.hostname);
  return agent;
}

void AgentIdentity::RemoveState() {
  for (const char* name : {"identity.pem", "enrolment-key.pem", "outbox.log", "inbox.log",
                           "desired.state", "services.state", "owner-mails.state"}) {
    unlink(Path(name).c_str());
  }
}

bool AgentIdentity::NeedsEnrolment() const {
  return Exists(config_.token_file) || !Exists(Path("identity.pem"));
}

absl::StatusOr<v1::EnrollRequest> AgentIdentity::MakeEnrollRequest() {
  v1::EnrollRequest request;
  auto token = ReadWholeFile(config_.token_file);
  if (!token.ok()) {
    return absl::FailedPreconditionError(
        absl::StrCat("not enrolled, and no token to do it with: ", token.status().message()));
  }
  request.set_token(std::string(absl::StripAsciiWhitespace(*token)));
  auto key = ReadWholeFile(Path("enrolment-key.pem"));
  if (!key.ok() || ParseKey(*key) == nullptr) {
    key = MakeKey();
    if (!key.ok()) return key.status();
    DROVER_RETURN_IF_ERROR(WriteWholeFile(Path("enrolment-key.pem"), *key));
  }
  DROVER_ASSIGN_OR_RETURN(*request.mutable_certificate_request(),
                          MakeCertificateRequest(*key, identity_.instance_id()));
  *request.mutable_identity() = identity_;
  return request;
}

absl::StatusOr<bool> AgentIdentity::StoreEnrolment(const v1::EnrollResponse& response) {
  DROVER_ASSIGN_OR_RETURN(const std::string key, ReadWholeFile(Path("enrolment-key.pem")));
  if (!IsFor(response.certificate_chain(), key)) {
    return absl::InvalidArgumentError("the controller's certificate is not for this agent's key");
  }
  const bool other = !stored_.vm_uid().empty() && stored_.vm_uid() != response.vm_uid();
  if (other) {
    LogWarning("enrolled as another VM than before; what belonged to that one is removed");
    RemoveState();
  }
  DROVER_RETURN_IF_ERROR(
      WriteWholeFile(Path("identity.pem"), absl::StrCat(key, response.certificate_chain())));
  stored_.set_vm_uid(response.vm_uid());
  DROVER_RETURN_IF_ERROR(WriteMessage(Path("identity.state"), stored_));
  // Last: until here the enrolment can be repeated.
  if (unlink(config_.token_file.c_str()) != 0) {
    LogWarning(FileError(config_.token_file, "remove").message());
  }
  unlink(Path("enrolment-key.pem").c_str());
  LogInfo("enrolled as VM ", response.vm_uid());
  return other;
}

absl::StatusOr<Credentials> AgentIdentity::ReadCredentials() const {
  Credentials credentials;
  DROVER_ASSIGN_OR_RETURN(credentials.authority, ReadWholeFile(config_.authority));
  if (!Exists(Path("identity.pem"))) return credentials;
  DROVER_ASSIGN_OR_RETURN(const std::string pem, ReadWholeFile(Path("identity.pem")));
  const size_t certificate = pem.find(std::string(kCertificateBegin));
  if (certificate == std::string::npos) {
    return absl::DataLossError(absl::StrCat(Path("identity.pem"), " holds no certificate"));
  }
  credentials.key = pem.substr(0, certificate);
  credentials.certificate_chain = pem.substr(certificate);
  return credentials;
}

}  // namespace drover::agent
