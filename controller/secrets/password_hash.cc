#include "controller/secrets/password_hash.h"

#include <openssl/crypto.h>
#include <openssl/evp.h>

#include <cstdint>
#include <optional>
#include <vector>

#include "absl/strings/escaping.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "absl/strings/strip.h"

namespace drover::secrets {
namespace {

struct Parameters {
  int log_n = 15;
  int r = 8;
  int p = 1;
};

constexpr size_t kHashBytes = 32;
constexpr uint64_t kMostMemory = 256ull << 20;

std::optional<std::string> Scrypt(absl::string_view password, absl::string_view salt,
                                  const Parameters& parameters) {
  std::string hash(kHashBytes, '\0');
  const int done = EVP_PBE_scrypt(
      password.data(), password.size(), reinterpret_cast<const unsigned char*>(salt.data()),
      salt.size(), uint64_t{1} << parameters.log_n, parameters.r, parameters.p, kMostMemory,
      reinterpret_cast<unsigned char*>(hash.data()), hash.size());
  if (done != 1) return std::nullopt;
  return hash;
}

bool ParseNumber(absl::string_view text, absl::string_view name, int most, int& value) {
  return absl::ConsumePrefix(&text, name) && absl::SimpleAtoi(text, &value) && value >= 1 &&
         value <= most;
}

std::optional<Parameters> ParseParameters(absl::string_view text) {
  const std::vector<absl::string_view> parts = absl::StrSplit(text, ',');
  Parameters parameters;
  if (parts.size() != 3 || !ParseNumber(parts[0], "ln=", 20, parameters.log_n) ||
      !ParseNumber(parts[1], "r=", 32, parameters.r) ||
      !ParseNumber(parts[2], "p=", 16, parameters.p)) {
    return std::nullopt;
  }
  return parameters;
}

}  // namespace

absl::StatusOr<std::string> MakePasswordHash(absl::string_view password, absl::string_view salt) {
  const Parameters parameters;
  const std::optional<std::string> hash = Scrypt(password, salt, parameters);
  if (!hash.has_value()) return absl::ResourceExhaustedError("no memory to hash a password");
  return absl::StrCat("$scrypt$ln=", parameters.log_n, ",r=", parameters.r, ",p=", parameters.p,
                      "$", absl::WebSafeBase64Escape(salt), "$", absl::WebSafeBase64Escape(*hash));
}

bool CheckPasswordHash(absl::string_view password, absl::string_view hash) {
  const std::vector<absl::string_view> parts = absl::StrSplit(hash, '$');
  if (parts.size() != 5 || !parts[0].empty() || parts[1] != "scrypt") return false;
  const std::optional<Parameters> parameters = ParseParameters(parts[2]);
  std::string salt;
  std::string expected;
  if (!parameters || !absl::WebSafeBase64Unescape(parts[3], &salt) ||
      !absl::WebSafeBase64Unescape(parts[4], &expected) || expected.size() != kHashBytes) {
    return false;
  }
  const std::optional<std::string> actual = Scrypt(password, salt, *parameters);
  return actual.has_value() && CRYPTO_memcmp(actual->data(), expected.data(), kHashBytes) == 0;
}

}  // namespace drover::secrets
