// Which hypervisor new VMs go to: one that carries the template, may copy, and has room; with
// several of those, the VMs of one request are spread evenly, and the one with the most free space
// comes first.
//
// Thread promise: pure functions.
#pragma once

#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "controller/core/records.pb.h"

namespace drover::core {

struct PlacementHost {
  // "hypervisors/x".
  std::string hypervisor;
  HostFacts facts;
  // Why it cannot be used now, "" when it can.
  std::string away;
};

struct PlacementWish {
  // For messages.
  std::string vm;
  std::string template_name;
  // Empty = the template's.
  std::string datastore;
  std::string port_group;
};

// One hypervisor per wish, in order. FAILED_PRECONDITION, reason NO_HYPERVISOR, saying of each
// hypervisor why not.
absl::StatusOr<std::vector<std::string>> PlaceVms(const std::vector<PlacementHost>& hosts,
                                                  const std::vector<PlacementWish>& wishes);

}  // namespace drover::core
