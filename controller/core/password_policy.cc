#include "controller/core/password_policy.h"

#include <algorithm>
#include <set>

#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "proto/support/status.h"

namespace drover::core {
namespace {

constexpr int kShortest = 10;
constexpr size_t kLongest = 256;
constexpr size_t kDifferent = 5;

// Tried first by everybody who guesses, and long enough for the other rules.
constexpr absl::string_view kWellKnown[] = {
    "1234567890",   "0123456789", "qwertyuiop",    "password123", "password1234",
    "passw0rd123",  "admin12345", "administrator", "1q2w3e4r5t",  "changeme123",
    "letmein12345", "welcome123", "iloveyou123",   "drover12345", "vmware123!",
};

// UTF-8 characters: bytes that do not continue another.
int Characters(absl::string_view text) {
  return static_cast<int>(
      std::count_if(text.begin(), text.end(), [](char c) { return (c & 0xc0) != 0x80; }));
}

}  // namespace

absl::Status CheckNewPassword(absl::string_view field, absl::string_view password,
                              absl::string_view user_id) {
  if (Characters(password) < kShortest) {
    return InvalidField(field, absl::StrCat("must have at least ", kShortest, " characters"));
  }
  if (password.size() > kLongest) {
    return InvalidField(field, absl::StrCat("must have at most ", kLongest, " bytes"));
  }
  if (std::any_of(password.begin(), password.end(), absl::ascii_iscntrl)) {
    return InvalidField(field, "must not hold control characters");
  }
  const std::set<char> different(password.begin(), password.end());
  if (different.size() < kDifferent) {
    return InvalidField(field,
                        absl::StrCat("must have at least ", kDifferent, " different characters"));
  }
  const std::string lower = absl::AsciiStrToLower(password);
  if (user_id.size() >= 3 && absl::StrContains(lower, user_id)) {
    return InvalidField(field, "must not hold the user name");
  }
  if (std::find(std::begin(kWellKnown), std::end(kWellKnown), lower) != std::end(kWellKnown)) {
    return InvalidField(field, "is one of the passwords that are guessed first; choose another");
  }
  return absl::OkStatus();
}

std::string OneTimePassword(absl::string_view random) {
  // 32 characters, so that every five bits are one of them and none is likelier than another.
  constexpr absl::string_view kAlphabet = "abcdefghijkmnpqrstuvwxyz23456789";
  static_assert(kAlphabet.size() == 32);
  std::string password;
  for (size_t i = 0; i < 20; ++i) {
    if (i > 0 && i % 5 == 0) password.push_back('-');
    password.push_back(kAlphabet[static_cast<unsigned char>(random[i]) % 32]);
  }
  return password;
}

}  // namespace drover::core
