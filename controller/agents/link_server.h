// The port agents dial: AgentLink over TLS. Enroll needs no client certificate; Link needs one that
// this controller's authority signed, which is checked here again, whatever gRPC did.
//
// Thread promise: Start and Stop from one thread. gRPC's threads only move messages.
#pragma once

#include <memory>
#include <string>

#include "absl/status/status.h"
#include "absl/time/time.h"
#include "controller/agents/agent_directory.h"
#include "controller/agents/authority.h"

namespace drover::agents {

struct LinkServerOptions {
  // "host:port"; port 0 takes a free one.
  std::string listen;
  // PEM files; certificate and key are read again when they change.
  std::string certificate_file;
  std::string key_file;
  std::string authority_file;
  // Threads that enrol.
  int workers = 4;
};

class LinkServer {
 public:
  LinkServer(LinkServerOptions options, AgentDirectory* directory, const Authority* authority);
  ~LinkServer();

  // UNAVAILABLE when it cannot listen there.
  absl::Status Start();
  int port() const;
  // Ends all streams, at the latest after `grace`.
  void Stop(absl::Duration grace);

 private:
  class State;
  std::unique_ptr<State> state_;
};

}  // namespace drover::agents
