#include "controller/api/shapes.h"

#include <arpa/inet.h>

#include <algorithm>
#include <cstdint>
#include <optional>
#include <vector>

#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_split.h"
#include "proto/support/resource_name.h"

namespace drover::api {
namespace {

using drover::v1::Shape;

std::optional<uint32_t> ParseIpv4(absl::string_view text) {
  in_addr address;
  // inet_pton takes exactly four decimal parts without leading zeros.
  if (inet_pton(AF_INET, std::string(text).c_str(), &address) != 1) return std::nullopt;
  return ntohl(address.s_addr);
}

bool IsNetmask(absl::string_view text) {
  const std::optional<uint32_t> mask = ParseIpv4(text);
  if (!mask || *mask == 0) return false;
  const uint32_t zeros = ~*mask;
  return (zeros & (zeros + 1)) == 0;
}

bool IsHostName(absl::string_view host) {
  if (host.empty() || host.size() > 253) return false;
  for (absl::string_view label : absl::StrSplit(host, '.')) {
    if (label.empty() || label.size() > 63 || label.front() == '-' || label.back() == '-') {
      return false;
    }
    if (!std::all_of(label.begin(), label.end(),
                     [](char c) { return absl::ascii_isalnum(c) || c == '-' || c == '_'; })) {
      return false;
    }
  }
  return true;
}

// One '@', a domain behind it, and nothing that could begin another header or recipient.
bool IsMail(absl::string_view text) {
  const std::vector<absl::string_view> parts = absl::StrSplit(text, '@');
  if (text.size() > 254 || parts.size() != 2 || parts[0].empty() || parts[0].size() > 64) {
    return false;
  }
  const bool local_ok = std::all_of(parts[0].begin(), parts[0].end(), [](char c) {
    return absl::ascii_isalnum(c) || absl::StrContains("!#$%&'*+-/=?^_`{|}~.", c);
  });
  return local_ok && IsHostName(parts[1]);
}

bool IsUrl(absl::string_view text) {
  if (text.size() > 2048) return false;
  if (!absl::StartsWith(text, "http://") && !absl::StartsWith(text, "https://")) return false;
  if (std::any_of(text.begin(), text.end(),
                  [](unsigned char c) { return c <= ' ' || c == 0x7f; })) {
    return false;
  }
  absl::string_view authority = text.substr(text.find("//") + 2);
  authority = authority.substr(0, authority.find_first_of("/?#"));
  // Credentials have fields of their own, where they are kept as secrets.
  if (absl::StrContains(authority, '@')) return false;
  absl::string_view host = authority;
  absl::string_view port;
  if (absl::StartsWith(authority, "[")) {
    const size_t close = authority.find(']');
    if (close == absl::string_view::npos) return false;
    in6_addr address;
    if (inet_pton(AF_INET6, std::string(authority.substr(1, close - 1)).c_str(), &address) != 1) {
      return false;
    }
    host = "v6";
    port = authority.substr(close + 1);
    if (!port.empty() && port.front() != ':') return false;
  } else if (const size_t colon = authority.rfind(':'); colon != absl::string_view::npos) {
    host = authority.substr(0, colon);
    port = authority.substr(colon);
  }
  int number = 0;
  if (!port.empty() &&
      (!absl::SimpleAtoi(port.substr(1), &number) || number < 1 || number > 65535)) {
    return false;
  }
  return IsHostName(host);
}

size_t CharactersOf(absl::string_view text) {
  return std::count_if(text.begin(), text.end(),
                       [](unsigned char c) { return (c & 0xc0) != 0x80; });
}

bool IsText(absl::string_view text) {
  return CharactersOf(text) <= 1024 && std::none_of(text.begin(), text.end(), [](unsigned char c) {
           return c < 0x20 || c == 0x7f;
         });
}

bool IsFingerprint(absl::string_view text) {
  if (text.size() != 32 * 3 - 1) return false;
  for (size_t i = 0; i < text.size(); ++i) {
    const char c = text[i];
    const bool hex = absl::ascii_isdigit(c) || (c >= 'A' && c <= 'F');
    if (i % 3 == 2 ? c != ':' : !hex) return false;
  }
  return true;
}

bool IsRequestId(absl::string_view text) {
  return text.size() <= 64 && std::all_of(text.begin(), text.end(), [](char c) {
           return absl::ascii_isalnum(c) || c == '-' || c == '_' || c == '.';
         });
}

}  // namespace

std::string ShapeProblem(Shape shape, absl::string_view text) {
  switch (shape) {
    case drover::v1::SHAPE_ID:
      if (IsValidId(text)) return "";
      return "must be 1 to 63 lower-case letters, digits and '-', beginning and ending with a "
             "letter or digit";
    case drover::v1::SHAPE_IPV4:
      return ParseIpv4(text) ? "" : "must be a dotted IPv4 address, e.g. 10.0.0.5";
    case drover::v1::SHAPE_NETMASK:
      return IsNetmask(text) ? "" : "must be a dotted IPv4 netmask, e.g. 255.255.255.0";
    case drover::v1::SHAPE_MAIL:
      return IsMail(text) ? "" : "must be a mail address, e.g. ops@example.com";
    case drover::v1::SHAPE_URL:
      return IsUrl(text) ? ""
                         : "must be an http or https URL with a host and without user name, e.g. "
                           "https://esxi1.example.com/sdk";
    case drover::v1::SHAPE_TEXT:
      return IsText(text) ? "" : "must be at most 1024 characters without control characters";
    case drover::v1::SHAPE_FINGERPRINT:
      return IsFingerprint(text)
                 ? ""
                 : "must be a SHA-256 fingerprint: 32 upper-case hex pairs joined by ':'";
    case drover::v1::SHAPE_REQUEST_ID:
      return IsRequestId(text) ? "" : "must be at most 64 letters, digits, '-', '_' and '.'";
    default:
      return "";
  }
}

}  // namespace drover::api
