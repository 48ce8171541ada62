// When owners are told of outages (MON-2, P25): once for each outage, when it has an outcome;
// repeats are folded, and what comes and goes all the time is told once as that.
//
// Thread promise: pure functions.
#pragma once

#include <optional>
#include <set>
#include <string>
#include <vector>

#include "absl/strings/string_view.h"
#include "absl/time/time.h"
#include "controller/core/alert_records.pb.h"
#include "drover/v1/activity.pb.h"
#include "drover/v1/inventory.pb.h"

namespace drover::core {

// Within this time after a mail, a service that comes back by itself makes no other one. What flaps
// has settled when it was quiet for so long.
inline constexpr absl::Duration kFoldTime = absl::Minutes(30);
// So many outages of a matter within kFoldTime are told as flapping.
inline constexpr int kFlaps = 5;

struct Judgement {
  // What to remember of the matter from now on.
  AlertState state;
  // What to tell, if anything.
  std::optional<Notice> notice;
};

// Events that matter: service.given_up, .recovered and .unhealthy; vm.unreachable that nobody
// ordered, and vm.reachable; hypervisor.lost and .connected. Nothing for others. `matter` is the
// key of the state, `known` what was remembered.
std::optional<Judgement> Judge(const drover::v1::Event& event, absl::string_view matter,
                               const std::optional<AlertState>& known, absl::Time now);

// What flaps and was quiet for kFoldTime: how it is now is told.
std::optional<Judgement> Settle(const AlertState& known, absl::Time now);

// When a notice may be told at the earliest: what belongs together comes together. A silent VM
// waits longer, until it is known whether its host is lost.
absl::Time DueTime(const Notice& notice, absl::Duration gather);

struct Reduced {
  // Oldest first.
  std::vector<Notice> notices;
  // Matters of VMs that are silent because their host is lost: nobody is told of them.
  std::vector<std::string> silenced;
};
// Of each matter the newest only; nothing of a VM or host that went and came back meanwhile; VMs of
// `lost_hosts` ("hypervisors/x") are silenced, as the mail about the host tells of them.
Reduced Reduce(const std::vector<Notice>& notices, const std::set<std::string>& lost_hosts);

// The service's owners, then the type's, each once.
std::vector<std::string> OwnersOf(const drover::v1::VmType& type, absl::string_view service);

}  // namespace drover::core
