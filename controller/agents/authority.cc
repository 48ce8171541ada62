#include "controller/agents/authority.h"

#include <algorithm>
#include <utility>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "controller/agents/x509.h"
#include "proto/support/status.h"

namespace drover::agents {
namespace {

constexpr char kSetting[] = "authority";
constexpr char kPurpose[] = "authority-key";
// As in proto/support/channel.h, which clients check.
constexpr char kServerName[] = "drover-controller";
constexpr absl::Duration kAuthorityLife = absl::Hours(24 * 365 * 30);
// An agent's certificate lives as long as its VM may: what ends it is the serial in the store.
constexpr absl::Duration kAgentLife = absl::Hours(24 * 365 * 20);
constexpr absl::Duration kServerLife = absl::Hours(24 * 397);
// Clocks of guests may be behind.
constexpr absl::Duration kSlack = absl::Hours(24);
constexpr size_t kMaxRequest = 16 << 10;

std::string NewSerial(core::Vault* vault) {
  std::string serial = vault->RandomBytes(16);
  // Positive and never short.
  serial[0] = static_cast<char>((serial[0] & 0x3f) | 0x40);
  return serial;
}

bool IsStrong(EVP_PKEY* key) {
  const int bits = EVP_PKEY_get_bits(key);
  switch (EVP_PKEY_get_base_id(key)) {
    case EVP_PKEY_EC:
      return bits >= 256;
    case EVP_PKEY_ED25519:
      return true;
    case EVP_PKEY_RSA:
      return bits >= 2048 && bits <= 8192;
    default:
      return false;
  }
}

// The request's public key, once it proved to own the private one.
absl::StatusOr<RequestPtr> CheckedRequest(absl::string_view pem) {
  if (pem.size() > kMaxRequest) {
    return absl::InvalidArgumentError("certificate_request: is too long");
  }
  DROVER_ASSIGN_OR_RETURN(RequestPtr request, RequestFromPem(pem));
  EVP_PKEY* key = X509_REQ_get0_pubkey(request.get());
  if (key == nullptr || X509_REQ_verify(request.get(), key) != 1) {
    OpenSslError("").IgnoreError();
    return absl::InvalidArgumentError("certificate_request: is not signed by its own key");
  }
  if (!IsStrong(key)) {
    return absl::InvalidArgumentError(
        "certificate_request: the key must be EC P-256 or stronger, Ed25519, or RSA of 2048 bits");
  }
  return request;
}

}  // namespace

struct Authority::Keys {
  KeyPtr key;
  CertificatePtr certificate;
  core::Vault* vault = nullptr;
};

Authority::Authority(std::string certificate, std::unique_ptr<Keys> keys, core::Clock* clock)
    : certificate_(std::move(certificate)), keys_(std::move(keys)), clock_(clock) {}
Authority::~Authority() = default;

absl::StatusOr<std::unique_ptr<Authority>> Authority::Open(core::Store* store, core::Vault* vault,
                                                           core::Clock* clock) {
  core::AuthorityRecord record;
  const absl::Status found = store->Read([&record](core::StoreReader& reader) {
    DROVER_ASSIGN_OR_RETURN(const core::Document document,
                            reader.Get(core::Table::kSettings, kSetting));
    return record.ParseFromString(document.body) ? absl::OkStatus()
                                                 : absl::DataLossError("the authority is damaged");
  });
  if (!found.ok() && !absl::IsNotFound(found)) return found;
  auto keys = std::make_unique<Keys>();
  keys->vault = vault;
  if (found.ok()) {
    DROVER_ASSIGN_OR_RETURN(const std::string pem, vault->Unseal(record.sealed_key(), kPurpose));
    DROVER_ASSIGN_OR_RETURN(keys->key, KeyFromPem(pem));
    DROVER_ASSIGN_OR_RETURN(keys->certificate, CertificateFromPem(record.certificate()));
  } else {
    DROVER_ASSIGN_OR_RETURN(keys->key, NewKey());
    CertificateSpec spec;
    spec.use = CertificateUse::kAuthority;
    spec.common_name = "Drover authority";
    spec.begin = clock->Now() - kSlack;
    spec.end = clock->Now() + kAuthorityLife;
    spec.serial = NewSerial(vault);
    DROVER_ASSIGN_OR_RETURN(keys->certificate,
                            MakeCertificate(spec, keys->key.get(), nullptr, keys->key.get()));
    DROVER_ASSIGN_OR_RETURN(*record.mutable_certificate(),
                            CertificateToPem(keys->certificate.get()));
    DROVER_ASSIGN_OR_RETURN(const std::string pem, KeyToPem(keys->key.get()));
    DROVER_ASSIGN_OR_RETURN(*record.mutable_sealed_key(), vault->Seal(pem, kPurpose));
    DROVER_RETURN_IF_ERROR(store->Write([&record](core::StoreWriter& writer) {
      return writer.Insert(core::Table::kSettings, {kSetting, "", record.SerializeAsString()});
    }));
  }
  return std::unique_ptr<Authority>(new Authority(record.certificate(), std::move(keys), clock));
}

std::string Authority::Fingerprint() const {
  const absl::StatusOr<CertificatePtr> certificate = CertificateFromPem(certificate_);
  return certificate.ok() ? FingerprintOf(certificate->get()) : "";
}

absl::StatusOr<std::string> Authority::PublicKeyHash(absl::string_view certificate_request) const {
  DROVER_ASSIGN_OR_RETURN(const RequestPtr request, CheckedRequest(certificate_request));
  DROVER_ASSIGN_OR_RETURN(const std::string der, PublicKeyDer(X509_REQ_get0_pubkey(request.get())));
  return keys_->vault->Sha256(der);
}

absl::StatusOr<Authority::Issued> Authority::IssueAgent(absl::string_view certificate_request,
                                                        absl::string_view vm_uid) const {
  DROVER_ASSIGN_OR_RETURN(const RequestPtr request, CheckedRequest(certificate_request));
  EVP_PKEY* key = X509_REQ_get0_pubkey(request.get());
  CertificateSpec spec;
  spec.use = CertificateUse::kAgent;
  spec.common_name = std::string(vm_uid);
  spec.begin = clock_->Now() - kSlack;
  spec.end = clock_->Now() + kAgentLife;
  spec.serial = NewSerial(keys_->vault);
  DROVER_ASSIGN_OR_RETURN(const CertificatePtr certificate,
                          MakeCertificate(spec, key, keys_->certificate.get(), keys_->key.get()));
  Issued issued;
  DROVER_ASSIGN_OR_RETURN(const std::string pem, CertificateToPem(certificate.get()));
  DROVER_ASSIGN_OR_RETURN(const std::string der, PublicKeyDer(key));
  issued.chain = absl::StrCat(pem, certificate_);
  issued.serial = SerialOf(certificate.get());
  issued.public_key_hash = keys_->vault->Sha256(der);
  issued.expires = spec.end;
  return issued;
}

absl::StatusOr<Authority::ServerIdentity> Authority::IssueServer(
    const std::vector<std::string>& names) const {
  DROVER_ASSIGN_OR_RETURN(const KeyPtr key, NewKey());
  CertificateSpec spec;
  spec.use = CertificateUse::kServer;
  spec.common_name = kServerName;
  spec.names = names;
  spec.names.push_back(kServerName);
  spec.begin = clock_->Now() - kSlack;
  spec.end = clock_->Now() + kServerLife;
  spec.serial = NewSerial(keys_->vault);
  DROVER_ASSIGN_OR_RETURN(
      const CertificatePtr certificate,
      MakeCertificate(spec, key.get(), keys_->certificate.get(), keys_->key.get()));
  DROVER_ASSIGN_OR_RETURN(const std::string pem, CertificateToPem(certificate.get()));
  ServerIdentity identity;
  identity.chain = absl::StrCat(pem, certificate_);
  DROVER_ASSIGN_OR_RETURN(identity.key, KeyToPem(key.get()));
  return identity;
}

bool Authority::IsServerCertificateGood(absl::string_view pem,
                                        const std::vector<std::string>& names,
                                        absl::Time until) const {
  const absl::StatusOr<CertificatePtr> certificate = CertificateFromPem(pem);
  if (!certificate.ok()) return false;
  std::vector<std::string> wanted = names;
  wanted.push_back(kServerName);
  std::sort(wanted.begin(), wanted.end());
  return NamesOf(certificate->get()) == wanted &&
         IsGood(certificate->get(), keys_->certificate.get(), CertificateUse::kServer,
                clock_->Now()) &&
         IsGood(certificate->get(), keys_->certificate.get(), CertificateUse::kServer, until);
}

absl::StatusOr<AgentCertificate> Authority::VerifyAgent(absl::string_view pem) const {
  const absl::StatusOr<CertificatePtr> certificate = CertificateFromPem(pem);
  if (!certificate.ok() || !IsGood(certificate->get(), keys_->certificate.get(),
                                   CertificateUse::kAgent, clock_->Now())) {
    return MakeError(absl::StatusCode::kUnauthenticated, "CERTIFICATE_REFUSED",
                     "the client certificate is not one of this controller's agents");
  }
  return AgentCertificate{SerialOf(certificate->get()), CommonNameOf(certificate->get())};
}

}  // namespace drover::agents
