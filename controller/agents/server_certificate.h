// The files gRPC reads the controller's own certificate from, renewed in time.
//
// Thread promise: Refresh from one thread at a time. Survives a restart: the files "server.crt"
// (certificate and authority), "server.key" (mode 0600) and "authority.crt".
#pragma once

#include <string>
#include <vector>

#include "absl/status/status.h"
#include "controller/agents/authority.h"

namespace drover::agents {

class ServerCertificate {
 public:
  // `names` are the host names and addresses under which the controller is reached.
  ServerCertificate(const Authority* authority, core::Clock* clock, std::string directory,
                    std::vector<std::string> names);

  // Makes the files when they are missing, damaged, for other names, or end within 30 days.
  absl::Status Refresh();

  const std::string& certificate_file() const { return certificate_file_; }
  const std::string& key_file() const { return key_file_; }
  const std::string& authority_file() const { return authority_file_; }

 private:
  const Authority* const authority_;
  core::Clock* const clock_;
  const std::string directory_;
  const std::vector<std::string> names_;
  const std::string certificate_file_;
  const std::string key_file_;
  const std::string authority_file_;
};

}  // namespace drover::agents
