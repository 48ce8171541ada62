// Whose address a call came from: the peer's, or, when the peer is a trusted gateway, the one it
// tells. Thread promise: pure functions.
#pragma once

#include <string>
#include <vector>

#include "absl/strings/string_view.h"

namespace drover::core {

// "ipv4:10.0.0.5:4711" -> "10.0.0.5", "ipv6:%5B::1%5D:4711" -> "::1", "unix:..." -> "local"; an
// IPv4 address within IPv6 as IPv4.
std::string AddressOfPeer(absl::string_view peer);

// `told` is what the gateway says itself (x-drover-client), `forwarded` the hops of
// X-Forwarded-For, oldest first. Both count only when `peer_address` is in `trusted_proxies`; then
// `told`, else the last hop that is no trusted proxy itself. What is no address does not count.
std::string ClientAddress(absl::string_view peer_address, absl::string_view told,
                          absl::string_view forwarded,
                          const std::vector<std::string>& trusted_proxies);

}  // namespace drover::core
