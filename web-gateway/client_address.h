// Whose address a request came from: the other end's, or, when that is a trusted proxy, the one it
// tells. Thread promise: AddressSet is a value; the functions are pure.
#pragma once

#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "web-gateway/http.h"

namespace drover::gateway {

// Addresses and networks: "10.0.0.2", "10.0.0.0/8", "::1".
class AddressSet {
 public:
  // INVALID_ARGUMENT naming the entry that is none.
  static absl::StatusOr<AddressSet> Parse(const std::vector<std::string>& entries);
  bool Contains(absl::string_view address) const;

 private:
  struct Network {
    // 16 bytes; IPv4 within "::ffff:0:0/96".
    std::string address;
    int bits = 0;
  };
  std::vector<Network> networks_;
};

// The last hop of X-Forwarded-For that is no trusted proxy itself; a hop that is no address ends
// the walk. The header of a peer that is not trusted counts for nothing.
std::string ClientAddressOf(const HttpRequest& request, const AddressSet& trusted_proxies);

// Whether the browser's own connection is TLS: ours, or as a trusted proxy says.
bool IsSecure(const HttpRequest& request, const AddressSet& trusted_proxies);

}  // namespace drover::gateway
