// droverd put together: makes all parts in order, joins them, and takes them apart in reverse.
//
// Thread promise: one thread. Owns everything. What survives a restart is each part's own matter;
// beside the store, the folder holds the key file, the certificate files and log backups.
#pragma once

#include <memory>
#include <optional>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "controller/config.h"

namespace drover {

class Daemon {
 public:
  // Opens the store and loads what was; nothing is served and nobody is called yet. Errors say what
  // cannot be opened.
  static absl::StatusOr<std::unique_ptr<Daemon>> Open(const Config& config);
  ~Daemon();

  // The one-time password of the first administrator, at a start at which nobody has signed in yet.
  const std::optional<std::string>& first_password() const;

  // SHA-256 of the authority's certificate, "AB:CD:...": what the first sign-in is to be shown.
  std::string authority_fingerprint() const;

  // Serves, and goes on with the operations that were open. UNAVAILABLE when a port cannot be had.
  absl::Status Start();
  // Ends calls and operations at their next step; what is open goes on at the next start.
  void Stop();
  // What is due now and then: certificates are renewed.
  void Maintain();

 private:
  class Parts;
  explicit Daemon(std::unique_ptr<Parts> parts);
  std::unique_ptr<Parts> parts_;
};

}  // namespace drover
