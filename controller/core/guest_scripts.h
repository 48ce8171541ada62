// What is run inside a guest at first contact, through VMware Tools (VM-3): text only.
//
// Thread promise: pure functions. Every value that gets into a script is quoted for the shell.
#pragma once

#include <string>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "controller/core/records.pb.h"
#include "drover/v1/inventory.pb.h"

namespace drover::core {

// 'text', safe in a POSIX shell whatever it holds.
std::string ShellQuoted(absl::string_view text);

// The tail for "/bin/sh" that runs `script`, with its output in `output`.
std::string ShellArguments(absl::string_view script, absl::string_view output);

// Sets the host name and the first network card's address, now and for every boot, by whatever the
// guest configures its network with: netplan, NetworkManager, ifcfg files, ifupdown, or
// systemd-networkd. Exit code 3: none of these.
std::string NetworkScript(absl::string_view host_name, const drover::v1::NetworkSettings& network);

// Tells how things are, changes nothing: "program=yes|no" and "running=yes|no" of the agent,
// "address=IP" for each address, then cards, routes and the end of the agent's log.
std::string LookScript();

// Bits of a netmask of contiguous ones.
int PrefixLength(absl::string_view netmask);

// The agent's configuration file (TOML).
std::string AgentConfig(const EnrolmentKit& kit, absl::string_view bios_uuid);

}  // namespace drover::core
