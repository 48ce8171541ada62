#include "web-gateway/http_connection.h"

#include <array>
#include <chrono>
#include <optional>
#include <thread>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/time/clock.h"

namespace drover::gateway {
namespace {

namespace http = beast::http;
using net::ip::tcp;

constexpr size_t kPieceBytes = 256 << 10;

std::chrono::microseconds ToChrono(absl::Duration duration) {
  return absl::ToChronoMicroseconds(duration);
}

// What other threads may touch of a connection: they post here. Outlives it as long as they need.
struct Mailbox : std::enable_shared_from_this<Mailbox> {
  explicit Mailbox(net::any_io_executor executor)
      : executor(executor), timer(executor), thread(std::this_thread::get_id()) {
    timer.expires_at(std::chrono::steady_clock::time_point::max());
  }

  // From any thread.
  void Deliver(HttpResponse response) {
    if (std::this_thread::get_id() == thread) return Take(std::move(response));
    auto shared = std::make_shared<HttpResponse>(std::move(response));
    net::post(executor, [self = shared_from_this(), shared] { self->Take(std::move(*shared)); });
  }
  void Wake() {
    // One post is enough for any number of them.
    if (posted.exchange(true)) return;
    net::post(executor, [self = shared_from_this()] {
      self->posted = false;
      self->Ring();
    });
  }

  // On the connection's thread.
  void Ring() {
    rung = true;
    timer.cancel();
  }
  void Take(HttpResponse delivered) {
    if (closed) return;
    response = std::move(delivered);
    Ring();
  }

  const net::any_io_executor executor;
  net::steady_timer timer;
  const std::thread::id thread;
  std::atomic<bool> posted{false};
  bool rung = false;
  bool closed = false;
  std::optional<HttpResponse> response;
};

absl::string_view Reason(int status) {
  if (status == 499) return "Client Closed Request";
  const auto reason = http::obsolete_reason(static_cast<http::status>(status));
  return {reason.data(), reason.size()};
}

std::string Head(const HttpResponse& response, bool keep_alive, bool chunked, bool sized) {
  std::string head = absl::StrCat(
      "HTTP/1.1 ", response.status, " ", Reason(response.status),
      "\r\nDate: ", absl::FormatTime("%a, %d %b %Y %H:%M:%S GMT", absl::Now(), absl::UTCTimeZone()),
      "\r\n");
  for (const auto& [name, value] : response.headers.all()) {
    absl::StrAppend(&head, name, ": ", value, "\r\n");
  }
  if (chunked) head.append("Transfer-Encoding: chunked\r\n");
  if (sized) {
    absl::StrAppend(&head, "Content-Length: ", response.body == nullptr ? 0 : response.body->size(),
                    "\r\n");
  }
  absl::StrAppend(&head, keep_alive ? "" : "Connection: close\r\n", "\r\n");
  return head;
}

template <typename Stream>
class StreamConnection final : public Connection,
                               public std::enable_shared_from_this<StreamConnection<Stream>> {
 public:
  template <typename... Arguments>
  StreamConnection(std::string peer, std::shared_ptr<net::ssl::context> tls,
                   std::shared_ptr<ConnectionContext> context,
                   std::function<void(Connection*)> ended, Arguments&&... arguments)
      : tls_(std::move(tls)),
        stream_(std::forward<Arguments>(arguments)...),
        peer_(std::move(peer)),
        context_(std::move(context)),
        ended_(std::move(ended)),
        mailbox_(std::make_shared<Mailbox>(stream_.get_executor())) {}

  void Begin() {
    net::co_spawn(
        stream_.get_executor(),
        [self = this->shared_from_this()]() -> net::awaitable<void> { return self->Run(); },
        [self = this->shared_from_this()](std::exception_ptr) {
          // Whatever ended it; Boost's exceptions are of memory only, errors come as codes.
          self->Close();
          self->mailbox_->closed = true;
          self->mailbox_->response.reset();
          self->ended_(self.get());
        });
  }

  void Drain() override {
    draining_ = true;
    if (idle_) Close();
    mailbox_->Ring();
  }
  void Close() override {
    cut_ = true;
    beast::get_lowest_layer(stream_).close();
    mailbox_->Ring();
  }

 private:
  static constexpr bool kTls = !std::is_same_v<Stream, beast::tcp_stream>;
  using Parser = http::request_parser<http::string_body>;

  void Limit(absl::Duration time) {
    beast::get_lowest_layer(stream_).expires_after(ToChrono(time));
  }
  auto Into(ErrorCode& error) { return net::redirect_error(net::use_awaitable, error); }

  net::awaitable<void> Run() {
    if constexpr (kTls) {
      ErrorCode error;
      Limit(context_->options.handshake_timeout);
      co_await stream_.async_handshake(net::ssl::stream_base::server, Into(error));
      if (error) {
        ++context_->failed_handshakes;
        co_return;
      }
    }
    bool again = true;
    while (again && !draining_ && !cut_) again = co_await One();
    if constexpr (kTls) {
      if (cut_) co_return;
      ErrorCode ignored;
      Limit(absl::Seconds(2));
      co_await stream_.async_shutdown(Into(ignored));
    } else {
      ErrorCode ignored;
      stream_.socket().shutdown(tcp::socket::shutdown_send, ignored);
    }
  }

  // One request and its answer. False when the connection is over.
  net::awaitable<bool> One() {
    std::optional<Parser> parser(std::in_place);
    parser->header_limit(context_->options.header_bytes);
    parser->body_limit(context_->options.body_bytes);
    const ErrorCode error = co_await Read(*parser);
    if (error) {
      co_await Complain(error);
      co_return false;
    }
    const bool keep = parser->keep_alive();
    const bool modern = parser->get().version() >= 11;
    HttpRequest request = Convert(parser->release());
    parser.reset();
    const bool head_only = request.method == "HEAD";
    mailbox_->response.reset();
    context_->handler->Handle(std::move(request), [mailbox = mailbox_](HttpResponse response) {
      mailbox->Deliver(std::move(response));
    });
    co_await AwaitResponse();
    if (cut_) co_return false;
    HttpResponse response = *std::move(mailbox_->response);
    mailbox_->response.reset();
    if (response.stream != nullptr) {
      // Nothing more is read from this one; give the memory back, there may be thousands.
      buffer_ = beast::flat_buffer();
      co_await SendStream(std::move(response), modern);
      co_return false;
    }
    co_return co_await Send(std::move(response), keep && !draining_, head_only);
  }

  net::awaitable<void> AwaitResponse() {
    while (!mailbox_->response.has_value() && !cut_) {
      ErrorCode ignored;
      co_await mailbox_->timer.async_wait(Into(ignored));
    }
  }

  net::awaitable<ErrorCode> Read(Parser& parser) {
    const HttpServerOptions& options = context_->options;
    ErrorCode error;
    if (buffer_.size() == 0) {
      idle_ = true;
      Limit(options.idle_timeout);
      const auto room = buffer_.prepare(2048);
      const size_t read = co_await stream_.async_read_some(room, Into(error));
      idle_ = false;
      if (error) co_return error;
      buffer_.commit(read);
    }
    Limit(options.header_timeout);
    co_await http::async_read_header(stream_, buffer_, parser, Into(error));
    if (error || parser.is_done()) co_return error;
    if (beast::iequals(parser.get()[http::field::expect], "100-continue")) {
      static constexpr absl::string_view kContinue = "HTTP/1.1 100 Continue\r\n\r\n";
      co_await net::async_write(stream_, net::buffer(kContinue.data(), kContinue.size()),
                                Into(error));
      if (error) co_return error;
    }
    Limit(options.body_timeout);
    co_await http::async_read(stream_, buffer_, parser, Into(error));
    co_return error;
  }

  // Says what was wrong, when the other side can still hear it.
  net::awaitable<void> Complain(ErrorCode error) {
    if (error == beast::error::timeout) {
      ++context_->timeouts;
      co_return;
    }
    if (error.category() != http::make_error_code(http::error::bad_method).category() ||
        error == http::error::end_of_stream || error == http::error::partial_message) {
      co_return;
    }
    ++context_->bad_requests;
    HttpResponse response;
    if (error == http::error::header_limit) {
      response = TextResponse(431, "application/json",
                              R"({"code":3,"message":"the headers are too large","details":[]})");
    } else if (error == http::error::body_limit) {
      response = TextResponse(413, "application/json",
                              R"({"code":3,"message":"the body is too large","details":[]})");
    } else {
      response = TextResponse(400, "application/json",
                              R"({"code":3,"message":"this is not HTTP","details":[]})");
    }
    co_await Send(std::move(response), false, false);
    co_await Linger();
  }

  // Reads on for a moment: closing on unread bytes would reset the answer away.
  net::awaitable<void> Linger() {
    if constexpr (!kTls) {
      ErrorCode ignored;
      stream_.socket().shutdown(tcp::socket::shutdown_send, ignored);
    }
    Limit(absl::Seconds(2));
    auto waste = std::make_unique<std::array<char, 16384>>();
    ErrorCode error;
    for (int i = 0; i < 1024 && !error; ++i) {
      co_await stream_.async_read_some(net::buffer(*waste), Into(error));
    }
  }

  HttpRequest Convert(http::request<http::string_body> message) {
    HttpRequest request;
    request.method = std::string(message.method_string());
    const std::string target(message.target());
    const size_t mark = target.find('?');
    request.path = target.substr(0, mark);
    if (mark != std::string::npos) request.query = target.substr(mark + 1);
    for (const auto& field : message) {
      const auto name = field.name_string();
      const auto value = field.value();
      request.headers.Add({name.data(), name.size()}, {value.data(), value.size()});
    }
    request.body = std::move(message.body());
    request.peer = peer_;
    request.tls = kTls;
    return request;
  }

  // In pieces, so that a large body does not need to be taken within one time limit.
  net::awaitable<bool> Write(absl::string_view bytes) {
    while (!bytes.empty()) {
      const absl::string_view piece = bytes.substr(0, kPieceBytes);
      ErrorCode error;
      Limit(context_->options.write_timeout);
      co_await net::async_write(stream_, net::buffer(piece.data(), piece.size()), Into(error));
      if (error) {
        if (error == beast::error::timeout) ++context_->timeouts;
        co_return false;
      }
      bytes.remove_prefix(piece.size());
    }
    co_return true;
  }

  net::awaitable<bool> Send(HttpResponse response, bool keep_alive, bool head_only) {
    const bool sized = response.status != 204 && response.status != 304;
    std::string head = Head(response, keep_alive, false, sized);
    const bool body = !head_only && sized && response.body != nullptr;
    if (body && response.body->size() <= kPieceBytes) {
      ErrorCode error;
      const std::array<net::const_buffer, 2> both = {net::buffer(head),
                                                     net::buffer(*response.body)};
      Limit(context_->options.write_timeout);
      co_await net::async_write(stream_, both, Into(error));
      co_return !error && keep_alive;
    }
    bool sent = co_await Write(head);
    if (sent && body) sent = co_await Write(*response.body);
    co_return sent&& keep_alive;
  }

  // Notices that the other side is gone while nothing is sent.
  void WatchForEnd() {
    beast::get_lowest_layer(stream_).expires_never();
    stream_.async_read_some(net::buffer(&unexpected_, 1),
                            [self = this->shared_from_this()](ErrorCode error, size_t) {
                              if (!error) return;
                              self->gone_ = true;
                              self->mailbox_->Ring();
                            });
  }

  net::awaitable<void> SendStream(HttpResponse response, bool chunked) {
    const std::string ping = std::move(response.ping);
    std::string head = Head(response, false, chunked, false);
    std::unique_ptr<BodyStream> body = std::move(response.stream);
    response = HttpResponse();
    const bool begun = co_await Write(head);
    head = std::string();
    if (!begun) co_return;
    ++context_->streams;
    WatchForEnd();
    mailbox_->rung = false;
    body->Start([mailbox = mailbox_] { mailbox->Wake(); });
    const bool complete = co_await Pump(*body, ping, chunked);
    body.reset();
    --context_->streams;
    if (complete && chunked) co_await Write("0\r\n\r\n");
    // The read of WatchForEnd may be under way, so that there is no orderly end of TLS here; the
    // last chunk has said that all is there.
    Close();
  }

  // True when the body came to its end.
  net::awaitable<bool> Pump(BodyStream& body, const std::string& ping, bool chunked) {
    while (!gone_ && !cut_) {
      mailbox_->rung = false;
      BodyStream::Piece piece = body.Next();
      if (piece.data != nullptr && !piece.data->empty()) {
        const bool written = co_await WriteChunk(*piece.data, chunked);
        if (!written) co_return false;
      }
      if (piece.broken) co_return false;
      if (piece.end || draining_) co_return true;
      if (piece.data != nullptr || mailbox_->rung) continue;
      ErrorCode error;
      mailbox_->timer.expires_after(ToChrono(context_->options.ping_interval));
      co_await mailbox_->timer.async_wait(Into(error));
      mailbox_->timer.expires_at(std::chrono::steady_clock::time_point::max());
      if (!error && !ping.empty() && !mailbox_->rung) {
        const bool written = co_await WriteChunk(ping, chunked);
        if (!written) co_return false;
      }
    }
    co_return false;
  }

  net::awaitable<bool> WriteChunk(const std::string& data, bool chunked) {
    if (!chunked || data.size() > kPieceBytes) {
      bool sent = true;
      if (chunked) sent = co_await Write(absl::StrFormat("%x\r\n", data.size()));
      if (sent) sent = co_await Write(data);
      if (sent && chunked) sent = co_await Write("\r\n");
      co_return sent;
    }
    const std::string size = absl::StrFormat("%x\r\n", data.size());
    const std::array<net::const_buffer, 3> parts = {net::buffer(size), net::buffer(data),
                                                    net::buffer("\r\n", 2)};
    ErrorCode error;
    Limit(context_->options.write_timeout);
    co_await net::async_write(stream_, parts, Into(error));
    if (error == beast::error::timeout) ++context_->timeouts;
    co_return !error;
  }

  // Before the stream: it is used by it.
  const std::shared_ptr<net::ssl::context> tls_;
  Stream stream_;
  const std::string peer_;
  const std::shared_ptr<ConnectionContext> context_;
  const std::function<void(Connection*)> ended_;
  const std::shared_ptr<Mailbox> mailbox_;
  beast::flat_buffer buffer_;
  char unexpected_ = 0;
  bool idle_ = false;
  bool draining_ = false;
  bool cut_ = false;
  bool gone_ = false;
};

}  // namespace

std::shared_ptr<Connection> Serve(tcp::socket socket, std::string peer,
                                  std::shared_ptr<net::ssl::context> tls,
                                  std::shared_ptr<ConnectionContext> context,
                                  std::function<void(Connection*)> ended) {
  if (tls == nullptr) {
    auto connection = std::make_shared<StreamConnection<beast::tcp_stream>>(
        std::move(peer), nullptr, std::move(context), std::move(ended), std::move(socket));
    connection->Begin();
    return connection;
  }
  net::ssl::context& settings = *tls;
  auto connection = std::make_shared<StreamConnection<beast::ssl_stream<beast::tcp_stream>>>(
      std::move(peer), std::move(tls), std::move(context), std::move(ended),
      beast::tcp_stream(std::move(socket)), settings);
  connection->Begin();
  return connection;
}

}  // namespace drover::gateway
