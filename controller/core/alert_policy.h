// When owners get a mail about a service (MON-2): one for each outage, when it has an outcome;
// repeats are folded. Thread promise: pure functions.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "absl/time/time.h"
#include "controller/core/ports.h"
#include "controller/core/records.pb.h"
#include "drover/v1/activity.pb.h"
#include "drover/v1/inventory.pb.h"

namespace drover::core {

// Within this time after a mail, a service that comes back by itself makes no other one.
inline constexpr absl::Duration kFoldTime = absl::Minutes(30);

struct AlertDecision {
  // Nothing to send when `to` is empty.
  Mail mail;
  // What to remember of the service from now on.
  AlertRecord record;
};

// `event` is service.given_up or service.recovered; others decide nothing. `known` is what was
// remembered of this VM and service. A given-up service is told once, until it has recovered; its
// recovery is always told; any other recovery is told when the last mail is older than kFoldTime,
// with the number of those that were not told.
std::optional<AlertDecision> DecideAlert(const drover::v1::Event& event,
                                         const std::optional<AlertRecord>& known,
                                         const std::vector<std::string>& owners, absl::Time now);

// The service's owners, then the type's, each once.
std::vector<std::string> OwnersOf(const drover::v1::VmType& type, absl::string_view service);

}  // namespace drover::core
