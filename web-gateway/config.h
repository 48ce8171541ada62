// What an operator says about this gateway: gateway.toml.
//
// Thread promise: pure functions and a value. An error names file, line and what would be right;
// all are told at once. Secrets are not in this file: it names the files that hold them.
#pragma once

#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "proto/support/log.h"
#include "web-gateway/client_address.h"

namespace drover::gateway {

struct Config {
  // ---- [http]
  std::string listen = "127.0.0.1:8080";
  // Both, or neither: then it speaks plain HTTP, on loopback addresses only unless allow_plain.
  std::string certificate_file;
  std::string key_file;
  bool allow_plain = false;
  // The page's files; empty: no page.
  std::string page_dir = "/usr/share/drover/page";
  // Whose word about a client's address (X-Forwarded-For, X-Forwarded-Proto) is believed.
  AddressSet trusted_proxies;
  // Further origins of the page ("https://drover.example"), where a proxy changes the Host header.
  std::vector<std::string> allowed_origins;
  // Who may read /metrics.
  AddressSet metrics_from;
  int threads = 2;
  int max_connections = 10000;
  int max_connections_per_address = 2000;

  // ---- [controller]
  std::string controller = "127.0.0.1:8443";
  // PEM of the authority that signs the controller's certificate.
  std::string authority_file = "/var/lib/drover/tls/authority.crt";
  // Proves to the controller that it is the gateway who tells the client's address; the controller
  // makes it at its first start.
  std::string gateway_key_file = "/var/lib/drover/gateway.key";

  // ---- [limits]
  // Attempts to sign in from one address.
  int logins_per_minute = 30;
  // A call that takes longer is 504.
  int call_seconds = 60;

  // ---- [log]
  LogLevel log_level = LogLevel::kInfo;
};

// INVALID_ARGUMENT, one line per problem: "gateway.toml:3: [http] listen must be ...".
absl::StatusOr<Config> ParseConfig(absl::string_view text, absl::string_view file_name);

// Reads and parses. NOT_FOUND, PERMISSION_DENIED; ParseConfig's errors.
absl::StatusOr<Config> ReadConfig(const std::string& path);

// A small file without its last line ends. With `secret`, FAILED_PRECONDITION when others may read
// it.
absl::StatusOr<std::string> ReadSmallFile(const std::string& path, bool secret);

}  // namespace drover::gateway
