// Certificates and keys by OpenSSL: owning pointers, PEM, and the one way a certificate is made.
//
// Thread promise: pure functions; objects belong to the caller.
#pragma once

#include <openssl/evp.h>
#include <openssl/x509.h>

#include <memory>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/time/time.h"

namespace drover::agents {

template <auto kFree>
struct OpenSslFree {
  template <typename T>
  void operator()(T* object) const {
    kFree(object);
  }
};
using KeyPtr = std::unique_ptr<EVP_PKEY, OpenSslFree<EVP_PKEY_free>>;
using CertificatePtr = std::unique_ptr<X509, OpenSslFree<X509_free>>;
using RequestPtr = std::unique_ptr<X509_REQ, OpenSslFree<X509_REQ_free>>;

// INTERNAL with OpenSSL's own words; empties its error queue.
absl::Status OpenSslError(absl::string_view what);

absl::StatusOr<KeyPtr> NewKey();
absl::StatusOr<std::string> KeyToPem(EVP_PKEY* key);
absl::StatusOr<KeyPtr> KeyFromPem(absl::string_view pem);
absl::StatusOr<std::string> CertificateToPem(X509* certificate);
// The first certificate of the text.
absl::StatusOr<CertificatePtr> CertificateFromPem(absl::string_view pem);
// INVALID_ARGUMENT when it is not a request.
absl::StatusOr<RequestPtr> RequestFromPem(absl::string_view pem);
// DER of the SubjectPublicKeyInfo.
absl::StatusOr<std::string> PublicKeyDer(EVP_PKEY* key);
// Lower-case hex.
std::string SerialOf(const X509* certificate);
// SHA-256 over its DER as people compare it, "AB:CD:...".
std::string FingerprintOf(const X509* certificate);
std::string CommonNameOf(const X509* certificate);
// DNS names and addresses, sorted.
std::vector<std::string> NamesOf(const X509* certificate);

enum class CertificateUse { kAuthority, kServer, kAgent };

struct CertificateSpec {
  CertificateUse use = CertificateUse::kAgent;
  std::string common_name;
  // Subject alternative names: host names and IPv4 or IPv6 addresses.
  std::vector<std::string> names;
  absl::Time begin;
  absl::Time end;
  // At most 19 bytes, random, big-endian.
  std::string serial;
};
// Makes and signs; with no issuer it signs itself.
absl::StatusOr<CertificatePtr> MakeCertificate(const CertificateSpec& spec, EVP_PKEY* public_key,
                                               X509* issuer, EVP_PKEY* issuer_key);

// Whether `issuer` signed it, it is of this use, and valid at `now`.
bool IsGood(X509* certificate, X509* issuer, CertificateUse use, absl::Time now);

}  // namespace drover::agents
