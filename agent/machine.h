// What the machine tells about itself. Thread promise: functions that read files; any thread.
#pragma once

#include <string>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "drover/agent/v1/agent_link.pb.h"

namespace drover::agent {

struct MachineFacts {
  // From the firmware, lower case; else as configured; else empty.
  std::string bios_uuid;
  std::string hostname;
  // PRETTY_NAME of os-release.
  std::string os_version;
  // Differs after every boot, also in a container, where the kernel's own id stays: it has the
  // start of process 1 in it.
  std::string boot_id;
  // SHA-256, hexadecimal, over the first card's MAC address and machine-id: stays with the machine,
  // changes with a copy.
  std::string fingerprint;
};

MachineFacts ReadMachine(const std::string& configured_bios_uuid);

// PRETTY_NAME of an os-release file's text, without quotes; "Linux" when there is none.
std::string PrettyName(absl::string_view os_release);

// Fills ip, netmask, gateway and dns of the card that leads to the default gateway, else of the
// first one that is up.
void ReadNetwork(v1::StateReport& report);
// Card and gateway in the text of /proc/net/route; empty when there is no default route.
struct DefaultRoute {
  std::string card;
  std::string gateway;
};
DefaultRoute FindDefaultRoute(absl::string_view proc_net_route);

}  // namespace drover::agent
