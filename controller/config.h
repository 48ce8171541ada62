// What an operator says about this controller: config.toml.
//
// Thread promise: pure functions and a value. An error names file and line and says what would be
// right; all errors are told at once. Secrets are never in this file: it names the files that hold
// them.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "proto/support/log.h"

namespace drover {

struct Config {
  // ---- [server]: for people and gateways.
  std::string listen = "0.0.0.0:8443";
  // Host names and addresses under which the controller is reached, for its certificate; those of
  // the listen addresses, "localhost" and 127.0.0.1 are added.
  std::vector<std::string> names;
  int server_workers = 16;

  // ---- [agents]
  std::string agents_listen = "0.0.0.0:8444";
  // host:port the agents dial.
  std::string agents_address;
  // The drover-agent that is put into VMs.
  std::string agent_binary = "/usr/lib/drover/drover-agent";
  int heartbeat_seconds = 10;
  int sample_seconds = 10;

  // ---- [store]
  std::string directory = "/var/lib/drover";

  // ---- [operations]: how many run at a time.
  int operation_workers = 32;

  // ---- [guest]: how long a new VM may take until its Tools run, and then until its agent is
  // connected.
  int guest_tools_seconds = 600;
  int guest_agent_seconds = 180;

  // ---- [reachability]
  int sweep_seconds = 3;

  // ---- [mail]: none is sent without smtp.
  std::string smtp;
  std::string mail_from;
  std::string mail_user;
  std::string mail_password_file;
  // True: no mail without TLS. False: never. Unset: when the server offers it.
  std::optional<bool> mail_starttls;
  // "10.0.0.5:25": where agents tell owners themselves while the controller is out of their reach
  // for so long; "" = they do not.
  std::string agent_relay;
  int agent_relay_after_seconds = 900;

  // ---- [configuration]: the folder of the profiles that came with Drover; empty = where it was
  // installed.
  std::string profiles;

  // ---- [log]
  LogLevel log_level = LogLevel::kInfo;
};

// INVALID_ARGUMENT, one line per problem: "config.toml:3: [server] listen must be ...".
absl::StatusOr<Config> ParseConfig(absl::string_view text, absl::string_view file_name);

// Reads and parses. NOT_FOUND, PERMISSION_DENIED; ParseConfig's errors.
absl::StatusOr<Config> ReadConfig(const std::string& path);

// All names of the certificate, sorted, each once.
std::vector<std::string> CertificateNames(const Config& config);

}  // namespace drover
