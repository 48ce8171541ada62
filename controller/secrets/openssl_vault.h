// The Vault port over OpenSSL 3: seals what must stay secret at rest, hashes passwords, and is the
// controller's source of random bytes and digests.
//
// Thread promise: all methods from any thread. At most two passwords are hashed at a time, because
// each takes 32 MiB; others wait. The key lives in memory as long as the vault and is wiped after.
#pragma once

#include <array>
#include <memory>
#include <string>

#include "absl/base/thread_annotations.h"
#include "absl/synchronization/mutex.h"
#include "controller/core/ports.h"

namespace drover::secrets {

class OpenSslVault : public core::Vault {
 public:
  // Opens the vault with the key file, which is made when there is none. Errors as ReadKeyFile.
  static absl::StatusOr<std::unique_ptr<OpenSslVault>> Open(const std::string& key_file);
  ~OpenSslVault() override;

  absl::StatusOr<std::string> Seal(absl::string_view plain, absl::string_view purpose) override;
  absl::StatusOr<std::string> Unseal(absl::string_view sealed, absl::string_view purpose) override;
  std::string RandomBytes(int count) override;
  std::string Sha256(absl::string_view data) override;
  std::unique_ptr<core::Digest> NewSha256() override;
  std::string Mac(absl::string_view data, absl::string_view purpose) override;
  absl::StatusOr<std::string> HashPassword(absl::string_view password) override;
  bool VerifyPassword(absl::string_view password, absl::string_view hash) override;

 private:
  using Key = std::array<unsigned char, 32>;

  explicit OpenSslVault(absl::string_view key);
  void BeginHashing();
  void EndHashing();

  // Made from the key file's key, one for each use, so that no key serves two algorithms.
  Key seal_key_;
  Key mac_key_;
  absl::Mutex mutex_;
  int hashing_ ABSL_GUARDED_BY(mutex_) = 0;
};

}  // namespace drover::secrets
