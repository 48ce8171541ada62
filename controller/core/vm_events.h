// Events about VMs, in one form. Thread promise: pure functions.
#pragma once

#include <optional>

#include "absl/strings/string_view.h"
#include "absl/time/time.h"
#include "drover/agent/v1/agent_link.pb.h"
#include "drover/v1/activity.pb.h"
#include "drover/v1/inventory.pb.h"

namespace drover::core {

// With the VM, its address, type and environment. No time: it happens now.
drover::v1::Event VmEvent(absl::string_view kind, drover::v1::Event::Severity severity,
                          const drover::v1::Vm& vm, absl::string_view message);

// What the agent of `vm` tells, as an event of the platform: the time is the guest's, unless its
// clock is ahead of `now`. A kind this controller does not know is an "agent.event".
drover::v1::Event EventOfAgent(const drover::agent::v1::AgentEvent& told, const drover::v1::Vm& vm,
                               absl::Time now);

// The platform log's entry of an outage that ended: VM, address, time of death and of recovery
// (MON-3). Outages that begin are errors, and are entries by that.
std::optional<drover::v1::LogEntry> EntryOfRecovery(const drover::v1::Event& event);

}  // namespace drover::core
