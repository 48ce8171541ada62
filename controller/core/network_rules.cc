#include "controller/core/network_rules.h"

#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "controller/core/ipv4.h"
#include "proto/support/resource_name.h"

namespace drover::core {
namespace {

constexpr absl::Duration kStrangerPatience = absl::Seconds(1);

}  // namespace

void CheckNetwork(const drover::v1::NetworkSettings& network, absl::string_view field,
                  Violations& violations) {
  const auto at = [&](absl::string_view part) { return absl::StrCat(field, ".", part); };
  if (network.ip().empty()) violations.Add(at("ip"), "is required, e.g. 10.0.0.15");
  if (network.netmask().empty()) {
    violations.Add(at("netmask"), "is required, e.g. 255.255.255.0");
  }
  const auto ip = ParseIpv4(network.ip());
  const auto mask = ParseNetmask(network.netmask());
  const auto gateway = ParseIpv4(network.gateway());
  if (!ip || !mask) return;
  // Two addresses and less have neither.
  const bool has_ends = *mask < 0xfffffffe;
  if (has_ends && ((*ip & ~*mask) == 0 || (*ip | *mask) == 0xffffffff)) {
    violations.Add(at("ip"), absl::StrCat(network.ip(),
                                          " is the network's own or its broadcast "
                                          "address with netmask ",
                                          network.netmask()));
  }
  if (gateway && (*ip & *mask) != (*gateway & *mask)) {
    violations.Add(at("gateway"), absl::StrCat(network.gateway(), " is not in the network of ",
                                               network.ip(), "/", network.netmask()));
  }
  if (gateway && *gateway == *ip) {
    violations.Add(at("gateway"), "is the VM's own address; give the router's");
  }
}

absl::Status CheckAddressFree(const VmWorld& world, absl::string_view vm_name,
                              absl::string_view address) {
  const std::string holder = world.inventory->HolderOf(address);
  if (!holder.empty() && holder != vm_name) {
    return MakeError(absl::StatusCode::kAlreadyExists, "ADDRESS_TAKEN",
                     absl::StrCat("address ", address, " belongs to VM ", IdOf(holder)),
                     {{"holder", holder}, {"address", std::string(address)}});
  }
  DROVER_ASSIGN_OR_RETURN(
      const std::vector<bool> answered,
      world.prober->Sweep({{std::string(vm_name), std::string(address)}}, kStrangerPatience));
  if (answered.empty() || !answered.front()) return absl::OkStatus();
  const std::string stranger = DescribeHolder(world, address);
  return MakeError(
      absl::StatusCode::kAlreadyExists, "ADDRESS_TAKEN",
      absl::StrCat("address ", address, " answers pings already: it is used by ", stranger),
      {{"holder", stranger}, {"address", std::string(address)}});
}

}  // namespace drover::core
