// The agent's configuration file (TOML), written by the controller when it installs the agent.
//
//   controller = "10.213.0.1:8444"                         address of the agent link; required
//   authority = "/etc/drover/authority.pem"                the only certificates that are trusted,
//   PEM token_file = "/etc/drover/enrolment-token"             one-time token, 0600; removed once
//   it was used state_directory = "/var/lib/drover-agent" bios_uuid = "4210..." for guests whose
//   /sys/class/dmi/id/product_uuid cannot be read
//
// Thread promise: a value.
#pragma once

#include <string>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"

namespace drover::agent {

struct Config {
  std::string controller;
  std::string authority = "/etc/drover/authority.pem";
  std::string token_file = "/etc/drover/enrolment-token";
  std::string state_directory = "/var/lib/drover-agent";
  std::string bios_uuid;
};

// INVALID_ARGUMENT naming the field, or the line where it is no TOML. `origin` is the name in
// messages.
absl::StatusOr<Config> ParseConfig(absl::string_view text, absl::string_view origin);
absl::StatusOr<Config> ReadConfig(const std::string& path);

}  // namespace drover::agent
