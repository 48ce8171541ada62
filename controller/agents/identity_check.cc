#include "controller/agents/identity_check.h"

#include "absl/strings/ascii.h"
#include "absl/strings/str_cat.h"

namespace drover::agents {
namespace {

std::string DigitsOf(absl::string_view uuid) {
  std::string digits;
  for (const char c : uuid) {
    if (absl::ascii_isxdigit(c)) digits += absl::ascii_tolower(c);
  }
  return digits;
}

// The first three parts (4, 2 and 2 bytes) the other way round.
std::string Swapped(const std::string& digits) {
  if (digits.size() != 32) return digits;
  std::string swapped;
  for (const auto& [begin, bytes] : {std::pair{0, 4}, std::pair{8, 2}, std::pair{12, 2}}) {
    for (int i = bytes - 1; i >= 0; --i) swapped += digits.substr(begin + 2 * i, 2);
  }
  return swapped + digits.substr(16);
}

}  // namespace

bool SameBiosUuid(absl::string_view a, absl::string_view b) {
  const std::string left = DigitsOf(a);
  const std::string right = DigitsOf(b);
  return left.empty() || right.empty() || left == right || Swapped(left) == right;
}

std::string DifferenceOf(const drover::agent::v1::Identity& known,
                         const drover::agent::v1::Identity& now) {
  if (known.machine_fingerprint() != now.machine_fingerprint()) {
    return absl::StrCat("another machine (\"", now.hostname(),
                        "\": another network card or machine-id) has its key");
  }
  if (known.instance_id() != now.instance_id()) {
    return absl::StrCat("another installation (\"", now.hostname(), "\") has its key");
  }
  if (!SameBiosUuid(known.bios_uuid(), now.bios_uuid())) {
    return absl::StrCat("a VM with another BIOS uuid (", now.bios_uuid(), ") has its key");
  }
  return "";
}

}  // namespace drover::agents
