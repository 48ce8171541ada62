// Whose address a call came from: the peer's, or, when the peer is the gateway, the one it tells.
// Thread promise: pure functions.
#pragma once

#include <string>

#include "absl/strings/string_view.h"

namespace drover::core {

// "ipv4:10.0.0.5:4711" -> "10.0.0.5", "ipv6:%5B::1%5D:4711" -> "::1", "unix:..." -> "local"; an
// IPv4 address within IPv6 as IPv4.
std::string AddressOfPeer(absl::string_view peer);

// `told` is what a gateway says (x-drover-client); it counts only when the gateway has proved
// itself by its key, and when it is an address.
std::string ClientAddress(absl::string_view peer_address, absl::string_view told,
                          bool from_gateway);

}  // namespace drover::core
