#include "controller/core/client_address.h"

#include <arpa/inet.h>

#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/str_replace.h"
#include "absl/strings/strip.h"

namespace drover::core {
namespace {

bool IsAddress(absl::string_view text) {
  unsigned char buffer[sizeof(in6_addr)];
  const std::string address(text);
  return inet_pton(AF_INET, address.c_str(), buffer) == 1 ||
         inet_pton(AF_INET6, address.c_str(), buffer) == 1;
}

}  // namespace

std::string AddressOfPeer(absl::string_view peer) {
  if (absl::StartsWith(peer, "unix:")) return "local";
  if (!absl::ConsumePrefix(&peer, "ipv4:")) absl::ConsumePrefix(&peer, "ipv6:");
  const size_t colon = peer.rfind(':');
  if (colon != absl::string_view::npos) peer = peer.substr(0, colon);
  std::string address = absl::StrReplaceAll(
      peer, {{"%5B", ""}, {"%5D", ""}, {"%5b", ""}, {"%5d", ""}, {"[", ""}, {"]", ""}});
  const std::string mapped = "::ffff:";
  if (absl::StartsWith(address, mapped) && absl::StrContains(address, '.')) {
    address = address.substr(mapped.size());
  }
  return address;
}

std::string ClientAddress(absl::string_view peer_address, absl::string_view told,
                          bool from_gateway) {
  told = absl::StripAsciiWhitespace(told);
  return std::string(from_gateway && IsAddress(told) ? told : peer_address);
}

}  // namespace drover::core
