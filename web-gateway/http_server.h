// HTTP/1.1 over TCP or TLS: connections, limits, time-outs; what is answered is the handler's
// affair.
//
// A few threads with a loop each; a connection lives on one of them from accept to close, as a
// coroutine. Nobody who is slow holds up anybody else: every wait for the other side has an end,
// and memory per connection is bounded.
//
// Thread promise: Start, Reload and Stop from one thread; the handler is called on the loops'
// threads. Owns all connections; the handler outlives the server. Survives a restart: nothing.
#pragma once

#include <cstdint>
#include <memory>
#include <string>

#include "absl/status/status.h"
#include "absl/time/time.h"
#include "web-gateway/http.h"

namespace drover::gateway {

struct HttpServerOptions {
  // "address:port"; port 0 takes a free one.
  std::string listen;
  // PEM files; both empty: no TLS.
  std::string certificate_file;
  std::string key_file;
  int threads = 2;
  // Request line and headers together; more is 431.
  uint32_t header_bytes = 16 << 10;
  // More is 413.
  uint64_t body_bytes = 4 << 20;
  // More connections are closed as they come.
  int max_connections = 10000;
  // From one address. Proxies have many users behind one address: those of `shared_addresses` are
  // not counted.
  int max_connections_per_address = 2000;
  std::function<bool(const std::string& address)> shared_address;
  absl::Duration handshake_timeout = absl::Seconds(10);
  // From the first byte of a request to the last of its headers; and the body.
  absl::Duration header_timeout = absl::Seconds(30);
  absl::Duration body_timeout = absl::Seconds(60);
  // Between requests.
  absl::Duration idle_timeout = absl::Seconds(75);
  // For each piece (at most 256 KiB) the other side must take.
  absl::Duration write_timeout = absl::Seconds(30);
  // A stream that was silent so long gets its response's `ping`.
  absl::Duration ping_interval = absl::Seconds(15);
};

// What happened since the start.
struct HttpCounts {
  int64_t connections = 0;
  int64_t streams = 0;
  int64_t accepted = 0;
  // Turned away by a limit on connections.
  int64_t refused = 0;
  // Answered by the server itself: 400, 413, 431.
  int64_t bad_requests = 0;
  int64_t timeouts = 0;
  int64_t failed_handshakes = 0;
};

class HttpServer {
 public:
  HttpServer(HttpServerOptions options, HttpHandler* handler);
  ~HttpServer();

  // INVALID_ARGUMENT for a certificate that cannot be read or an address that is none, UNAVAILABLE
  // when it cannot listen there.
  absl::Status Start();
  int port() const;
  // Reads the certificate again, for new connections. Keeps the old one on an error.
  absl::Status Reload();
  // Takes no new connections, ends streams, lets requests under way be answered for `grace`, then
  // cuts everything. The handler is called no more when it returns; answers may still come until
  // the server is destroyed, and go nowhere.
  void Stop(absl::Duration grace);
  HttpCounts counts() const;

 private:
  class State;
  std::shared_ptr<State> state_;
};

}  // namespace drover::gateway
