#include "controller/core/ipv4.h"

#include "absl/status/status.h"
#include "absl/strings/ascii.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"

namespace drover::core {
namespace {

constexpr uint32_t kLargestPool = 65536;

std::optional<uint32_t> ParsePart(absl::string_view part) {
  if (part.empty() || part.size() > 3 || (part.size() > 1 && part[0] == '0')) return std::nullopt;
  uint32_t value = 0;
  for (char c : part) {
    if (!absl::ascii_isdigit(c)) return std::nullopt;
    value = value * 10 + static_cast<uint32_t>(c - '0');
  }
  if (value > 255) return std::nullopt;
  return value;
}

}  // namespace

std::optional<uint32_t> ParseIpv4(absl::string_view text) {
  std::vector<absl::string_view> parts = absl::StrSplit(text, '.');
  if (parts.size() != 4) return std::nullopt;
  uint32_t address = 0;
  for (absl::string_view part : parts) {
    std::optional<uint32_t> value = ParsePart(part);
    if (!value) return std::nullopt;
    address = address << 8 | *value;
  }
  return address;
}

std::string FormatIpv4(uint32_t address) {
  return absl::StrCat(address >> 24, ".", address >> 16 & 255, ".", address >> 8 & 255, ".",
                      address & 255);
}

std::optional<uint32_t> ParseNetmask(absl::string_view text) {
  std::optional<uint32_t> mask = ParseIpv4(text);
  if (!mask || *mask == 0) return std::nullopt;
  uint32_t zeros = ~*mask;
  if ((zeros & (zeros + 1)) != 0) return std::nullopt;
  return mask;
}

absl::StatusOr<AddressRange> ParseAddressRange(absl::string_view text) {
  std::vector<absl::string_view> ends = absl::StrSplit(text, '-');
  absl::Status malformed = absl::InvalidArgumentError(
      absl::StrCat("\"", text, "\" is not an address or a range like 10.0.0.10-10.0.0.99"));
  if (ends.size() > 2) return malformed;
  std::optional<uint32_t> first = ParseIpv4(absl::StripAsciiWhitespace(ends.front()));
  std::optional<uint32_t> last = ParseIpv4(absl::StripAsciiWhitespace(ends.back()));
  if (!first || !last) return malformed;
  if (*last < *first) {
    return absl::InvalidArgumentError(absl::StrCat("\"", text, "\" ends before it begins"));
  }
  if (*last - *first >= kLargestPool) {
    return absl::InvalidArgumentError(
        absl::StrCat("\"", text, "\" holds more than ", kLargestPool, " addresses"));
  }
  return AddressRange{*first, *last};
}

}  // namespace drover::core
