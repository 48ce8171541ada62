// Whether two identities are one machine. Thread promise: pure functions.
#pragma once

#include <string>

#include "absl/strings/string_view.h"
#include "drover/agent/v1/agent_link.pb.h"

namespace drover::agents {

// SMBIOS uuids are told apart by their digits; old firmware swaps the bytes of the first three
// parts, so both orders are the same uuid. An empty one says nothing and equals everything.
bool SameBiosUuid(absl::string_view a, absl::string_view b);

// "" when `now` is the machine that `known` is, else what differs, for people.
std::string DifferenceOf(const drover::agent::v1::Identity& known,
                         const drover::agent::v1::Identity& now);

}  // namespace drover::agents
