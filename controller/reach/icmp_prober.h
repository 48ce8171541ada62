// Sends ICMP echoes to thousands of addresses at once and collects the answers (DASH-2): one
// socket for each sweep, system calls that carry a batch each, no process and no thread of its own.
//
// What is lost on the way down is lost in our own receive buffer more often than on the wire, so
// the sweep reads between batches and never has more echoes under way than the buffer holds
// answers. An address that stays silent for half of the patience is asked once more.
//
// Thread promise: Sweep from any thread, also at the same time. Needs CAP_NET_RAW, or a group that
// net.ipv4.ping_group_range admits. Works in whatever network namespace the calling thread is in.
#pragma once

#include <memory>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "controller/core/ports.h"

namespace drover::reach {

class IcmpProber : public core::Prober {
 public:
  // PERMISSION_DENIED, reason PROBING_NOT_PERMITTED, when this process may open no ICMP socket.
  static absl::StatusOr<std::unique_ptr<IcmpProber>> Open();

  // Answers are taken for at most `patience`, less when all have answered. UNAVAILABLE when no
  // socket can be had.
  absl::StatusOr<std::vector<bool>> Sweep(const std::vector<core::ProbeTarget>& targets,
                                          absl::Duration patience) override;
};

}  // namespace drover::reach
