#include "controller/agents/x509.h"

#include <arpa/inet.h>
#include <openssl/bio.h>
#include <openssl/ec.h>
#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/x509v3.h>

#include <algorithm>

#include "absl/strings/ascii.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"

namespace drover::agents {
namespace {

using BioPtr = std::unique_ptr<BIO, OpenSslFree<BIO_free_all>>;
using ExtensionPtr = std::unique_ptr<X509_EXTENSION, OpenSslFree<X509_EXTENSION_free>>;
using BignumPtr = std::unique_ptr<BIGNUM, OpenSslFree<BN_free>>;
using GeneralNamesPtr = std::unique_ptr<GENERAL_NAMES, OpenSslFree<GENERAL_NAMES_free>>;
using StorePtr = std::unique_ptr<X509_STORE, OpenSslFree<X509_STORE_free>>;
using StoreContextPtr = std::unique_ptr<X509_STORE_CTX, OpenSslFree<X509_STORE_CTX_free>>;

BioPtr ReadBio(absl::string_view text) {
  return BioPtr(BIO_new_mem_buf(text.data(), static_cast<int>(text.size())));
}

std::string Text(BIO* bio) {
  char* data = nullptr;
  const long size = BIO_get_mem_data(bio, &data);
  return std::string(data, size > 0 ? static_cast<size_t>(size) : 0);
}

// A private key has no passphrase here; OpenSSL must not ask the terminal for one.
int NoPassphrase(char*, int, int, void*) { return 0; }

bool IsAddress(const std::string& name) {
  unsigned char buffer[sizeof(in6_addr)];
  return inet_pton(AF_INET, name.c_str(), buffer) == 1 ||
         inet_pton(AF_INET6, name.c_str(), buffer) == 1;
}

bool AddExtension(X509* certificate, X509* issuer, int nid, const std::string& value) {
  X509V3_CTX context;
  X509V3_set_ctx_nodb(&context);
  X509V3_set_ctx(&context, issuer, certificate, nullptr, nullptr, 0);
  const ExtensionPtr extension(X509V3_EXT_conf_nid(nullptr, &context, nid, value.c_str()));
  return extension != nullptr && X509_add_ext(certificate, extension.get(), -1) == 1;
}

bool AddNames(X509* certificate, const std::vector<std::string>& names) {
  if (names.empty()) return true;
  std::vector<std::string> parts;
  for (const std::string& name : names) {
    parts.push_back(absl::StrCat(IsAddress(name) ? "IP:" : "DNS:", name));
  }
  return AddExtension(certificate, nullptr, NID_subject_alt_name, absl::StrJoin(parts, ","));
}

bool AddUse(X509* certificate, X509* issuer, CertificateUse use) {
  const bool authority = use == CertificateUse::kAuthority;
  if (!AddExtension(certificate, issuer, NID_basic_constraints,
                    authority ? "critical,CA:TRUE,pathlen:0" : "critical,CA:FALSE") ||
      !AddExtension(certificate, issuer, NID_key_usage,
                    authority ? "critical,keyCertSign,cRLSign" : "critical,digitalSignature") ||
      !AddExtension(certificate, issuer, NID_subject_key_identifier, "hash")) {
    return false;
  }
  if (authority) return true;
  return AddExtension(certificate, issuer, NID_authority_key_identifier, "keyid:always") &&
         AddExtension(certificate, issuer, NID_ext_key_usage,
                      use == CertificateUse::kServer ? "serverAuth" : "clientAuth");
}

bool SetSubject(X509* certificate, const std::string& common_name) {
  X509_NAME* name = X509_get_subject_name(certificate);
  return X509_NAME_add_entry_by_txt(name, "O", MBSTRING_UTF8,
                                    reinterpret_cast<const unsigned char*>("Drover"), -1, -1,
                                    0) == 1 &&
         X509_NAME_add_entry_by_txt(name, "CN", MBSTRING_UTF8,
                                    reinterpret_cast<const unsigned char*>(common_name.data()),
                                    static_cast<int>(common_name.size()), -1, 0) == 1;
}

bool SetSerial(X509* certificate, absl::string_view serial) {
  const BignumPtr number(BN_bin2bn(reinterpret_cast<const unsigned char*>(serial.data()),
                                   static_cast<int>(serial.size()), nullptr));
  return number != nullptr &&
         BN_to_ASN1_INTEGER(number.get(), X509_get_serialNumber(certificate)) != nullptr;
}

std::string TextOf(const ASN1_STRING* text) {
  return std::string(reinterpret_cast<const char*>(ASN1_STRING_get0_data(text)),
                     static_cast<size_t>(ASN1_STRING_length(text)));
}

}  // namespace

absl::Status OpenSslError(absl::string_view what) {
  char text[256] = "unknown error";
  if (const unsigned long code = ERR_get_error(); code != 0) {
    ERR_error_string_n(code, text, sizeof(text));
  }
  ERR_clear_error();
  return absl::InternalError(absl::StrCat(what, ": ", text));
}

absl::StatusOr<KeyPtr> NewKey() {
  KeyPtr key(EVP_EC_gen("P-256"));
  if (key == nullptr) return OpenSslError("cannot make a key");
  return key;
}

absl::StatusOr<std::string> KeyToPem(EVP_PKEY* key) {
  const BioPtr bio(BIO_new(BIO_s_secmem()));
  if (PEM_write_bio_PKCS8PrivateKey(bio.get(), key, nullptr, nullptr, 0, nullptr, nullptr) != 1) {
    return OpenSslError("cannot write a key");
  }
  return Text(bio.get());
}

absl::StatusOr<KeyPtr> KeyFromPem(absl::string_view pem) {
  KeyPtr key(PEM_read_bio_PrivateKey(ReadBio(pem).get(), nullptr, NoPassphrase, nullptr));
  if (key == nullptr) return OpenSslError("not a private key");
  return key;
}

absl::StatusOr<std::string> CertificateToPem(X509* certificate) {
  const BioPtr bio(BIO_new(BIO_s_mem()));
  if (PEM_write_bio_X509(bio.get(), certificate) != 1) {
    return OpenSslError("cannot write a certificate");
  }
  return Text(bio.get());
}

absl::StatusOr<CertificatePtr> CertificateFromPem(absl::string_view pem) {
  CertificatePtr certificate(PEM_read_bio_X509(ReadBio(pem).get(), nullptr, NoPassphrase, nullptr));
  if (certificate == nullptr) return OpenSslError("not a certificate");
  return certificate;
}

absl::StatusOr<RequestPtr> RequestFromPem(absl::string_view pem) {
  RequestPtr request(PEM_read_bio_X509_REQ(ReadBio(pem).get(), nullptr, NoPassphrase, nullptr));
  if (request == nullptr) {
    ERR_clear_error();
    return absl::InvalidArgumentError("certificate_request: must be PKCS#10 in PEM");
  }
  return request;
}

absl::StatusOr<std::string> PublicKeyDer(EVP_PKEY* key) {
  unsigned char* data = nullptr;
  const int size = i2d_PUBKEY(key, &data);
  if (size <= 0) return OpenSslError("cannot write a public key");
  std::string der(reinterpret_cast<char*>(data), static_cast<size_t>(size));
  OPENSSL_free(data);
  return der;
}

std::string SerialOf(const X509* certificate) {
  const BignumPtr number(ASN1_INTEGER_to_BN(X509_get0_serialNumber(certificate), nullptr));
  if (number == nullptr) return "";
  char* hex = BN_bn2hex(number.get());
  std::string serial = hex == nullptr ? "" : absl::AsciiStrToLower(hex);
  OPENSSL_free(hex);
  return serial;
}

std::string FingerprintOf(const X509* certificate) {
  unsigned char digest[EVP_MAX_MD_SIZE];
  unsigned size = 0;
  if (X509_digest(certificate, EVP_sha256(), digest, &size) != 1) return "";
  std::string text;
  for (unsigned i = 0; i < size; ++i) {
    absl::StrAppend(&text, i == 0 ? "" : ":",
                    absl::AsciiStrToUpper(absl::StrCat(absl::Hex(digest[i], absl::kZeroPad2))));
  }
  return text;
}

std::string CommonNameOf(const X509* certificate) {
  const X509_NAME* subject = X509_get_subject_name(certificate);
  const int index = X509_NAME_get_index_by_NID(subject, NID_commonName, -1);
  if (index < 0) return "";
  return TextOf(X509_NAME_ENTRY_get_data(X509_NAME_get_entry(subject, index)));
}

std::vector<std::string> NamesOf(const X509* certificate) {
  std::vector<std::string> names;
  const GeneralNamesPtr found(static_cast<GENERAL_NAMES*>(
      X509_get_ext_d2i(certificate, NID_subject_alt_name, nullptr, nullptr)));
  for (int i = 0; i < sk_GENERAL_NAME_num(found.get()); ++i) {
    const GENERAL_NAME* name = sk_GENERAL_NAME_value(found.get(), i);
    if (name->type == GEN_DNS) {
      names.push_back(TextOf(name->d.dNSName));
    } else if (name->type == GEN_IPADD) {
      const std::string bytes = TextOf(name->d.iPAddress);
      char text[INET6_ADDRSTRLEN] = "";
      inet_ntop(bytes.size() == 4 ? AF_INET : AF_INET6, bytes.data(), text, sizeof(text));
      names.push_back(text);
    }
  }
  std::sort(names.begin(), names.end());
  return names;
}

absl::StatusOr<CertificatePtr> MakeCertificate(const CertificateSpec& spec, EVP_PKEY* public_key,
                                               X509* issuer, EVP_PKEY* issuer_key) {
  CertificatePtr certificate(X509_new());
  X509* made = certificate.get();
  X509* signer = issuer == nullptr ? made : issuer;
  const bool ok = made != nullptr && X509_set_version(made, X509_VERSION_3) == 1 &&
                  SetSerial(made, spec.serial) && SetSubject(made, spec.common_name) &&
                  X509_set_issuer_name(made, X509_get_subject_name(signer)) == 1 &&
                  ASN1_TIME_set(X509_getm_notBefore(made), absl::ToTimeT(spec.begin)) != nullptr &&
                  ASN1_TIME_set(X509_getm_notAfter(made), absl::ToTimeT(spec.end)) != nullptr &&
                  X509_set_pubkey(made, public_key) == 1 && AddUse(made, signer, spec.use) &&
                  AddNames(made, spec.names) && X509_sign(made, issuer_key, EVP_sha256()) > 0;
  if (!ok) return OpenSslError("cannot make a certificate");
  return certificate;
}

bool IsGood(X509* certificate, X509* issuer, CertificateUse use, absl::Time now) {
  const StorePtr store(X509_STORE_new());
  const StoreContextPtr context(X509_STORE_CTX_new());
  bool good = X509_STORE_add_cert(store.get(), issuer) == 1 &&
              X509_STORE_CTX_init(context.get(), store.get(), certificate, nullptr) == 1 &&
              X509_STORE_CTX_set_purpose(context.get(), use == CertificateUse::kServer
                                                            ? X509_PURPOSE_SSL_SERVER
                                                            : X509_PURPOSE_SSL_CLIENT) == 1;
  if (good) {
    X509_STORE_CTX_set_time(context.get(), 0, absl::ToTimeT(now));
    good = X509_verify_cert(context.get()) == 1;
  }
  ERR_clear_error();
  return good;
}

}  // namespace drover::agents
