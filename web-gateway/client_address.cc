#include "web-gateway/client_address.h"

#include <arpa/inet.h>

#include <algorithm>
#include <cstring>
#include <utility>

#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"

namespace drover::gateway {
namespace {

constexpr int kAllBits = 128;
constexpr int kMappedBits = 96;

// 16 bytes, or "" for what is no address.
std::string BytesOf(absl::string_view text) {
  const std::string address(text);
  unsigned char bytes[16] = {0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xFF, 0xFF};
  if (inet_pton(AF_INET, address.c_str(), bytes + 12) != 1 &&
      inet_pton(AF_INET6, address.c_str(), bytes) != 1) {
    return "";
  }
  return std::string(reinterpret_cast<char*>(bytes), sizeof(bytes));
}

bool SameNetwork(const std::string& a, const std::string& b, int bits) {
  const int whole = bits / 8;
  if (std::memcmp(a.data(), b.data(), static_cast<size_t>(whole)) != 0) return false;
  if (bits % 8 == 0) return true;
  const int mask = 0xFF << (8 - bits % 8) & 0xFF;
  return (static_cast<unsigned char>(a[whole]) & mask) ==
         (static_cast<unsigned char>(b[whole]) & mask);
}

}  // namespace

absl::StatusOr<AddressSet> AddressSet::Parse(const std::vector<std::string>& entries) {
  AddressSet set;
  for (const std::string& entry : entries) {
    const std::pair<std::string, std::string> parts =
        absl::StrSplit(entry, absl::MaxSplits('/', 1));
    Network network;
    network.address = BytesOf(parts.first);
    const bool v4 = !absl::StrContains(parts.first, ':');
    network.bits = v4 ? kAllBits - kMappedBits : kAllBits;
    int bits = 0;
    if (absl::StrContains(entry, '/')) {
      if (!absl::SimpleAtoi(parts.second, &bits) || bits < 0 || bits > network.bits) {
        return absl::InvalidArgumentError(absl::StrCat("\"", entry, "\" is no network"));
      }
      network.bits = bits;
    }
    if (network.address.empty()) {
      return absl::InvalidArgumentError(absl::StrCat("\"", entry, "\" is no address"));
    }
    if (v4) network.bits += kMappedBits;
    set.networks_.push_back(std::move(network));
  }
  return set;
}

bool AddressSet::Contains(absl::string_view address) const {
  const std::string bytes = BytesOf(address);
  return !bytes.empty() &&
         std::any_of(networks_.begin(), networks_.end(), [&bytes](const Network& network) {
           return SameNetwork(network.address, bytes, network.bits);
         });
}

std::string ClientAddressOf(const HttpRequest& request, const AddressSet& trusted_proxies) {
  std::string address = request.peer;
  if (!trusted_proxies.Contains(address)) return address;
  const std::string forwarded = request.headers.Joined("x-forwarded-for");
  std::vector<absl::string_view> hops = absl::StrSplit(forwarded, ',');
  std::reverse(hops.begin(), hops.end());
  for (absl::string_view hop : hops) {
    hop = absl::StripAsciiWhitespace(hop);
    if (BytesOf(hop).empty()) break;
    address = std::string(hop);
    if (!trusted_proxies.Contains(address)) break;
  }
  return address;
}

bool IsSecure(const HttpRequest& request, const AddressSet& trusted_proxies) {
  if (request.tls) return true;
  return trusted_proxies.Contains(request.peer) &&
         absl::EqualsIgnoreCase(request.headers.Get("x-forwarded-proto"), "https");
}

}  // namespace drover::gateway
