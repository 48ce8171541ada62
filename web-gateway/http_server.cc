#include "web-gateway/http_server.h"

#include <openssl/ssl.h>

#include <optional>
#include <thread>
#include <unordered_map>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/container/flat_hash_map.h"
#include "absl/status/statusor.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/strip.h"
#include "absl/synchronization/mutex.h"
#include "proto/support/log.h"
#include "proto/support/status.h"
#include "web-gateway/http_connection.h"

namespace drover::gateway {
namespace {

using net::ip::tcp;

absl::StatusOr<tcp::endpoint> EndpointOf(const std::string& listen) {
  const size_t colon = listen.rfind(':');
  int port = 0;
  if (colon == std::string::npos || !absl::SimpleAtoi(listen.substr(colon + 1), &port) ||
      port < 0 || port > 65535) {
    return absl::InvalidArgumentError(absl::StrCat("\"", listen, "\" is not address:port"));
  }
  absl::string_view host = absl::string_view(listen).substr(0, colon);
  if (absl::ConsumePrefix(&host, "[")) absl::ConsumeSuffix(&host, "]");
  ErrorCode error;
  const auto address = net::ip::make_address(std::string(host), error);
  if (error) return absl::InvalidArgumentError(absl::StrCat("\"", host, "\" is no address"));
  return tcp::endpoint(address, static_cast<uint16_t>(port));
}

absl::StatusOr<std::shared_ptr<net::ssl::context>> LoadTls(const HttpServerOptions& options) {
  auto tls = std::make_shared<net::ssl::context>(net::ssl::context::tls_server);
  ErrorCode error;
  tls->set_options(net::ssl::context::default_workarounds | net::ssl::context::no_compression,
                   error);
  SSL_CTX_set_min_proto_version(tls->native_handle(), TLS1_2_VERSION);
  // Thousands of quiet streams: OpenSSL's buffers go back between records. Sessions are not kept,
  // clients keep their connections.
  SSL_CTX_set_mode(tls->native_handle(), SSL_MODE_RELEASE_BUFFERS);
  SSL_CTX_set_session_cache_mode(tls->native_handle(), SSL_SESS_CACHE_OFF);
  tls->use_certificate_chain_file(options.certificate_file, error);
  if (error) {
    return absl::InvalidArgumentError(
        absl::StrCat("certificate ", options.certificate_file, ": ", error.message()));
  }
  tls->use_private_key_file(options.key_file, net::ssl::context::pem, error);
  if (error || SSL_CTX_check_private_key(tls->native_handle()) != 1) {
    return absl::InvalidArgumentError(absl::StrCat("key ", options.key_file,
                                                   " cannot be read, or is not the key of ",
                                                   options.certificate_file));
  }
  return tls;
}

std::string AddressText(const tcp::endpoint& endpoint) {
  const auto address = endpoint.address();
  if (address.is_v6() && address.to_v6().is_v4_mapped()) {
    return net::ip::make_address_v4(net::ip::v4_mapped, address.to_v6()).to_string();
  }
  return address.to_string();
}

// One thread and what lives on it.
struct Loop {
  net::io_context io{1};
  net::executor_work_guard<net::io_context::executor_type> work{io.get_executor()};
  // By address of the object; on the thread only.
  std::unordered_map<Connection*, std::shared_ptr<Connection>> connections;
  std::thread thread;
};

}  // namespace

class HttpServer::State : public std::enable_shared_from_this<HttpServer::State> {
 public:
  State(HttpServerOptions options, HttpHandler* handler)
      : context_(std::make_shared<ConnectionContext>()) {
    context_->options = std::move(options);
    context_->handler = handler;
  }

  absl::Status Start();
  absl::Status Reload();
  void Stop(absl::Duration grace);
  HttpCounts counts() const;
  int port() const { return port_; }

 private:
  void AcceptNext();
  void Accepted(ErrorCode error, tcp::socket socket, Loop& loop);
  void AcceptLater();
  bool Admit(const std::string& address) ABSL_LOCKS_EXCLUDED(mutex_);
  void Release(const std::string& address) ABSL_LOCKS_EXCLUDED(mutex_);
  void ForAll(void (Connection::*what)());

  const std::shared_ptr<ConnectionContext> context_;
  std::vector<std::unique_ptr<Loop>> loops_;
  std::optional<tcp::acceptor> acceptor_;
  std::optional<net::steady_timer> retry_;
  size_t next_loop_ = 0;
  int port_ = 0;
  mutable absl::Mutex mutex_;
  std::shared_ptr<net::ssl::context> tls_ ABSL_GUARDED_BY(mutex_);
  absl::flat_hash_map<std::string, int> by_address_ ABSL_GUARDED_BY(mutex_);
  int connections_ ABSL_GUARDED_BY(mutex_) = 0;
  int64_t accepted_ ABSL_GUARDED_BY(mutex_) = 0;
  int64_t refused_ ABSL_GUARDED_BY(mutex_) = 0;
};

absl::Status HttpServer::State::Reload() {
  if (context_->options.certificate_file.empty()) return absl::OkStatus();
  DROVER_ASSIGN_OR_RETURN(auto tls, LoadTls(context_->options));
  absl::MutexLock lock(&mutex_);
  tls_ = std::move(tls);
  return absl::OkStatus();
}

absl::Status HttpServer::State::Start() {
  DROVER_RETURN_IF_ERROR(Reload());
  DROVER_ASSIGN_OR_RETURN(const tcp::endpoint endpoint, EndpointOf(context_->options.listen));
  for (int i = 0; i < context_->options.threads; ++i) loops_.push_back(std::make_unique<Loop>());
  ErrorCode error;
  acceptor_.emplace(loops_[0]->io);
  retry_.emplace(loops_[0]->io);
  acceptor_->open(endpoint.protocol(), error);
  if (!error) acceptor_->set_option(tcp::acceptor::reuse_address(true), error);
  if (!error) acceptor_->bind(endpoint, error);
  if (!error) acceptor_->listen(4096, error);
  if (error) {
    return absl::UnavailableError(
        absl::StrCat("cannot listen on ", context_->options.listen, ": ", error.message()));
  }
  port_ = acceptor_->local_endpoint(error).port();
  AcceptNext();
  for (const auto& loop : loops_) {
    loop->thread = std::thread([&io = loop->io] { io.run(); });
  }
  return absl::OkStatus();
}

void HttpServer::State::AcceptNext() {
  Loop& loop = *loops_[next_loop_++ % loops_.size()];
  acceptor_->async_accept(loop.io, [this, &loop](ErrorCode error, tcp::socket socket) {
    Accepted(error, std::move(socket), loop);
  });
}

void HttpServer::State::AcceptLater() {
  retry_->expires_after(std::chrono::milliseconds(50));
  retry_->async_wait([this](ErrorCode error) {
    if (!error && acceptor_->is_open()) AcceptNext();
  });
}

void HttpServer::State::Accepted(ErrorCode error, tcp::socket socket, Loop& loop) {
  if (!acceptor_->is_open()) return;
  if (error) {
    // No descriptors left, most likely: others must end first.
    LogWarning("accept: ", error.message());
    return AcceptLater();
  }
  AcceptNext();
  const tcp::endpoint endpoint = socket.remote_endpoint(error);
  if (error) return;
  const std::string address = AddressText(endpoint);
  if (!Admit(address)) return;
  socket.set_option(tcp::no_delay(true), error);
  std::shared_ptr<net::ssl::context> tls;
  {
    absl::MutexLock lock(&mutex_);
    tls = tls_;
  }
  auto shared = std::make_shared<tcp::socket>(std::move(socket));
  net::post(loop.io, [this, &loop, shared, address, tls] {
    const auto connection = Serve(std::move(*shared), address, tls, context_,
                                  [this, &loop, address](Connection* ended) {
                                    loop.connections.erase(ended);
                                    Release(address);
                                  });
    loop.connections.emplace(connection.get(), connection);
  });
}

bool HttpServer::State::Admit(const std::string& address) {
  const HttpServerOptions& options = context_->options;
  const bool shared = options.shared_address && options.shared_address(address);
  absl::MutexLock lock(&mutex_);
  ++accepted_;
  int& own = by_address_[address];
  if (connections_ >= options.max_connections ||
      (!shared && own >= options.max_connections_per_address)) {
    ++refused_;
    if (own == 0) by_address_.erase(address);
    return false;
  }
  ++own;
  ++connections_;
  return true;
}

void HttpServer::State::Release(const std::string& address) {
  absl::MutexLock lock(&mutex_);
  --connections_;
  if (auto found = by_address_.find(address); --found->second == 0) by_address_.erase(found);
}

void HttpServer::State::ForAll(void (Connection::*what)()) {
  for (const auto& loop : loops_) {
    net::post(loop->io, [&loop = *loop, what] {
      // A copy: what ends takes itself out.
      std::vector<std::shared_ptr<Connection>> all;
      for (const auto& [key, connection] : loop.connections) all.push_back(connection);
      for (const auto& connection : all) (connection.get()->*what)();
    });
  }
}

void HttpServer::State::Stop(absl::Duration grace) {
  if (loops_.empty()) return;
  if (acceptor_) {
    net::post(loops_[0]->io, [this] {
      ErrorCode ignored;
      acceptor_->close(ignored);
      retry_->cancel();
    });
  }
  const auto none = [this]() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_) { return connections_ == 0; };
  ForAll(&Connection::Drain);
  bool empty = false;
  {
    absl::MutexLock lock(&mutex_);
    empty = mutex_.AwaitWithTimeout(absl::Condition(&none), grace);
  }
  if (!empty) {
    ForAll(&Connection::Close);
    absl::MutexLock lock(&mutex_);
    mutex_.AwaitWithTimeout(absl::Condition(&none), absl::Seconds(5));
  }
  for (const auto& loop : loops_) {
    loop->work.reset();
    loop->io.stop();
    if (loop->thread.joinable()) loop->thread.join();
  }
  acceptor_.reset();
  retry_.reset();
}

HttpCounts HttpServer::State::counts() const {
  HttpCounts counts;
  counts.streams = context_->streams;
  counts.bad_requests = context_->bad_requests;
  counts.timeouts = context_->timeouts;
  counts.failed_handshakes = context_->failed_handshakes;
  absl::MutexLock lock(&mutex_);
  counts.connections = connections_;
  counts.accepted = accepted_;
  counts.refused = refused_;
  return counts;
}

HttpServer::HttpServer(HttpServerOptions options, HttpHandler* handler)
    : state_(std::make_shared<State>(std::move(options), handler)) {}
HttpServer::~HttpServer() { Stop(absl::ZeroDuration()); }
absl::Status HttpServer::Start() { return state_->Start(); }
int HttpServer::port() const { return state_->port(); }
absl::Status HttpServer::Reload() { return state_->Reload(); }
void HttpServer::Stop(absl::Duration grace) { state_->Stop(grace); }
HttpCounts HttpServer::counts() const { return state_->counts(); }

}  // namespace drover::gateway
