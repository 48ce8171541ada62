// One connection as the server sees it. Included by http_server.cc and http_connection.cc only.
#pragma once

#include <atomic>
#include <memory>
#include <string>

#include "web-gateway/asio.h"
#include "web-gateway/http_server.h"

namespace drover::gateway {

// Shared by all connections of a server.
struct ConnectionContext {
  HttpServerOptions options;
  HttpHandler* handler = nullptr;
  std::atomic<int64_t> streams{0};
  std::atomic<int64_t> bad_requests{0};
  std::atomic<int64_t> timeouts{0};
  std::atomic<int64_t> failed_handshakes{0};
};

// Thread promise: everything on the thread of its loop.
class Connection {
 public:
  virtual ~Connection() = default;
  // Ends when nothing is under way: between requests now, after an answer, or after what a stream
  // was just sending.
  virtual void Drain() = 0;
  // Ends now.
  virtual void Close() = 0;
};

// Serves it until its end, then calls `ended` (on the loop's thread). `tls` is null without TLS.
std::shared_ptr<Connection> Serve(net::ip::tcp::socket socket, std::string peer,
                                  std::shared_ptr<net::ssl::context> tls,
                                  std::shared_ptr<ConnectionContext> context,
                                  std::function<void(Connection*)> ended);

}  // namespace drover::gateway
