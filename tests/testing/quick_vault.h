// The real vault, with password hashes that cost nothing, for tests of what stands above it.
//
// Thread promise: as the vault's.
#pragma once

#include <atomic>
#include <memory>
#include <string>

#include "absl/strings/escaping.h"
#include "absl/strings/str_cat.h"
#include "controller/core/ports.h"

namespace drover::testing {

class QuickVault : public core::Vault {
 public:
  explicit QuickVault(core::Vault* vault) : vault_(*vault) {}

  absl::StatusOr<std::string> Seal(absl::string_view plain, absl::string_view purpose) override {
    return vault_.Seal(plain, purpose);
  }
  absl::StatusOr<std::string> Unseal(absl::string_view sealed, absl::string_view purpose) override {
    return vault_.Unseal(sealed, purpose);
  }
  std::string RandomBytes(int count) override { return vault_.RandomBytes(count); }
  std::string Sha256(absl::string_view data) override { return vault_.Sha256(data); }
  std::unique_ptr<core::Digest> NewSha256() override { return vault_.NewSha256(); }
  std::string Mac(absl::string_view data, absl::string_view purpose) override {
    return vault_.Mac(data, purpose);
  }
  absl::StatusOr<std::string> HashPassword(absl::string_view password) override {
    return HashOf(password, absl::BytesToHexString(vault_.RandomBytes(4)));
  }
  bool VerifyPassword(absl::string_view password, absl::string_view hash) override {
    ++verified_;
    return hash == HashOf(password, hash.substr(0, 8));
  }

  // Passwords verified so far: the work of a sign-in.
  int verified() const { return verified_; }

 private:
  std::string HashOf(absl::string_view password, absl::string_view salt) {
    return absl::StrCat(salt, absl::BytesToHexString(vault_.Sha256(absl::StrCat(salt, password))));
  }

  core::Vault& vault_;
  std::atomic<int> verified_ = 0;
};

}  // namespace drover::testing
