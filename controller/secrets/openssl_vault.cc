#include "controller/secrets/openssl_vault.h"

#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <openssl/hmac.h>
#include <openssl/rand.h>

#include <cstdlib>

#include "absl/strings/str_cat.h"
#include "controller/secrets/key_file.h"
#include "controller/secrets/password_hash.h"
#include "proto/support/log.h"
#include "proto/support/status.h"

namespace drover::secrets {
namespace {

// A sealed blob: version, nonce, ciphertext, tag.
constexpr char kVersion = 1;
constexpr size_t kNonceBytes = 12;
constexpr size_t kTagBytes = 16;
constexpr size_t kOverhead = 1 + kNonceBytes + kTagBytes;
constexpr int kHashingAtOnce = 2;

const unsigned char* Bytes(absl::string_view text) {
  return reinterpret_cast<const unsigned char*>(text.data());
}
unsigned char* Bytes(std::string& text) { return reinterpret_cast<unsigned char*>(text.data()); }

struct FreeCipher {
  void operator()(EVP_CIPHER_CTX* context) const { EVP_CIPHER_CTX_free(context); }
};
using Cipher = std::unique_ptr<EVP_CIPHER_CTX, FreeCipher>;

absl::Status NotOurs() {
  return MakeError(absl::StatusCode::kDataLoss, "SECRET_UNREADABLE",
                   "a sealed value cannot be opened: the key file is another one, or the value was "
                   "changed");
}

// There is no sound way to go on without random bytes or digests.
void Require(bool works, absl::string_view what) {
  if (works) return;
  LogError("OpenSSL fails: ", what);
  std::abort();
}

std::string HmacSha256(const unsigned char* key, size_t key_size, absl::string_view data) {
  std::string mac(32, '\0');
  unsigned int size = 0;
  Require(HMAC(EVP_sha256(), key, static_cast<int>(key_size), Bytes(data), data.size(), Bytes(mac),
               &size) != nullptr &&
              size == 32,
          "HMAC");
  return mac;
}

class Sha256Digest : public core::Digest {
 public:
  Sha256Digest() : context_(EVP_MD_CTX_new()) {
    Require(context_ != nullptr && EVP_DigestInit_ex(context_, EVP_sha256(), nullptr) == 1,
            "SHA-256");
  }
  ~Sha256Digest() override { EVP_MD_CTX_free(context_); }
  Sha256Digest(const Sha256Digest&) = delete;
  Sha256Digest& operator=(const Sha256Digest&) = delete;

  void Add(absl::string_view data) override {
    Require(EVP_DigestUpdate(context_, data.data(), data.size()) == 1, "SHA-256");
  }
  std::string Finish() override {
    std::string digest(32, '\0');
    Require(EVP_DigestFinal_ex(context_, Bytes(digest), nullptr) == 1, "SHA-256");
    return digest;
  }

 private:
  EVP_MD_CTX* const context_;
};

}  // namespace

absl::StatusOr<std::unique_ptr<OpenSslVault>> OpenSslVault::Open(const std::string& key_file) {
  absl::StatusOr<std::string> key = ReadKeyFile(key_file);
  if (absl::IsNotFound(key.status())) {
    absl::Status created = CreateKeyFile(key_file);
    if (!created.ok() && !absl::IsAlreadyExists(created)) return created;
    key = ReadKeyFile(key_file);
  }
  if (!key.ok()) return key.status();
  std::unique_ptr<OpenSslVault> vault(new OpenSslVault(*key));
  OPENSSL_cleanse(key->data(), key->size());
  return vault;
}

OpenSslVault::OpenSslVault(absl::string_view key) {
  // The key file's key is uniformly random, so HMAC over a name makes independent keys of it.
  const auto derive = [&](absl::string_view name, Key& out) {
    std::string derived = HmacSha256(Bytes(key), key.size(), name);
    std::copy(derived.begin(), derived.end(), out.begin());
    OPENSSL_cleanse(derived.data(), derived.size());
  };
  derive("drover seal 1", seal_key_);
  derive("drover mac 1", mac_key_);
}

OpenSslVault::~OpenSslVault() {
  OPENSSL_cleanse(seal_key_.data(), seal_key_.size());
  OPENSSL_cleanse(mac_key_.data(), mac_key_.size());
}

absl::StatusOr<std::string> OpenSslVault::Seal(absl::string_view plain, absl::string_view purpose) {
  std::string sealed(kOverhead + plain.size(), '\0');
  sealed[0] = kVersion;
  unsigned char* const nonce = Bytes(sealed) + 1;
  unsigned char* const text = nonce + kNonceBytes;
  int size = 0;
  const Cipher cipher(EVP_CIPHER_CTX_new());
  const bool done =
      cipher != nullptr && RAND_bytes(nonce, kNonceBytes) == 1 &&
      EVP_EncryptInit_ex(cipher.get(), EVP_aes_256_gcm(), nullptr, seal_key_.data(), nonce) == 1 &&
      EVP_EncryptUpdate(cipher.get(), nullptr, &size, Bytes(sealed), 1) == 1 &&
      EVP_EncryptUpdate(cipher.get(), nullptr, &size, Bytes(purpose),
                        static_cast<int>(purpose.size())) == 1 &&
      EVP_EncryptUpdate(cipher.get(), text, &size, Bytes(plain), static_cast<int>(plain.size())) ==
          1 &&
      EVP_EncryptFinal_ex(cipher.get(), text + size, &size) == 1 &&
      EVP_CIPHER_CTX_ctrl(cipher.get(), EVP_CTRL_AEAD_GET_TAG, kTagBytes, text + plain.size()) == 1;
  if (!done) return absl::InternalError("OpenSSL cannot seal");
  return sealed;
}

absl::StatusOr<std::string> OpenSslVault::Unseal(absl::string_view sealed,
                                                 absl::string_view purpose) {
  if (sealed.size() < kOverhead || sealed[0] != kVersion) return NotOurs();
  const unsigned char* const nonce = Bytes(sealed) + 1;
  const unsigned char* const text = nonce + kNonceBytes;
  std::string plain(sealed.size() - kOverhead, '\0');
  std::string tag(sealed.substr(sealed.size() - kTagBytes));
  int size = 0;
  const Cipher cipher(EVP_CIPHER_CTX_new());
  const bool done =
      cipher != nullptr &&
      EVP_DecryptInit_ex(cipher.get(), EVP_aes_256_gcm(), nullptr, seal_key_.data(), nonce) == 1 &&
      EVP_DecryptUpdate(cipher.get(), nullptr, &size, Bytes(sealed), 1) == 1 &&
      EVP_DecryptUpdate(cipher.get(), nullptr, &size, Bytes(purpose),
                        static_cast<int>(purpose.size())) == 1 &&
      EVP_DecryptUpdate(cipher.get(), Bytes(plain), &size, text, static_cast<int>(plain.size())) ==
          1 &&
      EVP_CIPHER_CTX_ctrl(cipher.get(), EVP_CTRL_AEAD_SET_TAG, kTagBytes, tag.data()) == 1 &&
      EVP_DecryptFinal_ex(cipher.get(), Bytes(plain) + size, &size) == 1;
  if (done) return plain;
  OPENSSL_cleanse(plain.data(), plain.size());
  return NotOurs();
}

std::string OpenSslVault::RandomBytes(int count) {
  std::string bytes(count, '\0');
  Require(RAND_bytes(Bytes(bytes), count) == 1, "random bytes");
  return bytes;
}

std::string OpenSslVault::Sha256(absl::string_view data) {
  Sha256Digest digest;
  digest.Add(data);
  return digest.Finish();
}

std::unique_ptr<core::Digest> OpenSslVault::NewSha256() { return std::make_unique<Sha256Digest>(); }

std::string OpenSslVault::Mac(absl::string_view data, absl::string_view purpose) {
  // The purpose's length keeps "ab" + "c" and "a" + "bc" apart.
  return HmacSha256(mac_key_.data(), mac_key_.size(),
                    absl::StrCat(purpose.size(), ":", purpose, data));
}

void OpenSslVault::BeginHashing() {
  absl::MutexLock lock(&mutex_);
  auto free = [this]() ABSL_NO_THREAD_SAFETY_ANALYSIS { return hashing_ < kHashingAtOnce; };
  mutex_.Await(absl::Condition(&free));
  ++hashing_;
}

void OpenSslVault::EndHashing() {
  absl::MutexLock lock(&mutex_);
  --hashing_;
}

absl::StatusOr<std::string> OpenSslVault::HashPassword(absl::string_view password) {
  BeginHashing();
  absl::StatusOr<std::string> hash = MakePasswordHash(password, RandomBytes(16));
  EndHashing();
  return hash;
}

bool OpenSslVault::VerifyPassword(absl::string_view password, absl::string_view hash) {
  BeginHashing();
  const bool right = CheckPasswordHash(password, hash);
  EndHashing();
  return right;
}

}  // namespace drover::secrets
