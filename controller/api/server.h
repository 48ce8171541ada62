// The public gRPC server: TLS, one generic service without stubs, every call handed to the
// dispatcher by its descriptor. Health checking (grpc.health.v1) is built in.
//
// Thread promise: Start and Stop from one thread. gRPC's own threads read and write only; handlers
// run on a bounded pool, and a call that finds its queue full is refused. Owns all connections.
#pragma once

#include <memory>
#include <string>

#include "absl/status/status.h"
#include "absl/time/time.h"
#include "controller/api/dispatcher.h"
#include "controller/core/ports.h"

namespace drover::api {

struct ServerOptions {
  // "host:port"; port 0 takes a free one.
  std::string listen;
  // PEM files, read again when they change.
  std::string certificate_file;
  std::string key_file;
  // Who sends this as x-drover-gateway-key is the gateway, whose word about a client's address
  // (x-drover-client) is believed; empty: nobody's is.
  std::string gateway_key;
  int workers = 16;
  // Calls that wait for a worker; more are RESOURCE_EXHAUSTED, reason SERVER_BUSY.
  int queue = 512;
  // Open streams; more are RESOURCE_EXHAUSTED, reason TOO_MANY_STREAMS.
  int max_streams = 2000;
  // Messages that wait for a slow reader of one stream.
  size_t stream_queue = 256;
  // How often the callers of open streams are checked again: a session that ended ends its streams.
  absl::Duration recheck_interval = absl::Seconds(30);
};

class Server {
 public:
  Server(ServerOptions options, Dispatcher* dispatcher, core::Clock* clock);
  ~Server();

  // UNAVAILABLE when it cannot listen there.
  absl::Status Start();
  // The port it listens on; 0 before Start.
  int port() const;
  // Takes no new calls, ends streams, lets calls under way finish for `grace`, then cuts them.
  void Stop(absl::Duration grace);
  // Asks the callers of all open streams again whether they may; what the server does by itself
  // every recheck_interval.
  void RecheckStreams();

 private:
  class State;
  std::unique_ptr<State> state_;
};

}  // namespace drover::api
