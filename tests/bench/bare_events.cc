// The least that can serve event streams: one thread of Beast, no HTTP but the head, each line of
// standard input written to all as one event, the same bytes as the gateway's.
//
//   bare_events     prints its port
#include <iostream>
#include <list>
#include <memory>
#include <string>
#include <thread>

#include "web-gateway/asio.h"

namespace drover::gateway {
namespace {

namespace http = beast::http;

struct Reader {
  explicit Reader(net::ip::tcp::socket socket) : stream(std::move(socket)) {}
  beast::tcp_stream stream;
  beast::flat_buffer buffer;
};

net::awaitable<void> Begin(std::shared_ptr<Reader> reader) {
  http::request<http::string_body> request;
  co_await http::async_read(reader->stream, reader->buffer, request, net::use_awaitable);
  reader->buffer = beast::flat_buffer();
  static const std::string kHead =
      "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n"
      "1d\r\nretry: 3000\nevent: live\ndata: {}\n\n\r\n";
  co_await net::async_write(reader->stream, net::buffer(kHead), net::use_awaitable);
}

net::awaitable<void> Write(std::shared_ptr<Reader> reader,
                           std::shared_ptr<const std::string> bytes) {
  co_await net::async_write(reader->stream, net::buffer(*bytes), net::use_awaitable);
}

net::awaitable<void> Accept(net::ip::tcp::acceptor& acceptor,
                            std::list<std::shared_ptr<Reader>>& readers) {
  while (true) {
    auto reader = std::make_shared<Reader>(co_await acceptor.async_accept(net::use_awaitable));
    readers.push_back(reader);
    net::co_spawn(acceptor.get_executor(), Begin(reader), net::detached);
  }
}

void Serve() {
  net::io_context io(1);
  net::ip::tcp::acceptor acceptor(io,
                                  net::ip::tcp::endpoint(net::ip::make_address("127.0.0.1"), 0));
  std::list<std::shared_ptr<Reader>> readers;
  net::co_spawn(io, Accept(acceptor, readers), net::detached);
  std::cout << acceptor.local_endpoint().port() << std::endl;
  std::thread input([&] {
    for (std::string word; std::getline(std::cin, word);) {
      const std::string event = "id: 1\nevent: changed\ndata: {\"changed\":\"" + word + "\"}\n\n";
      char size[16];
      snprintf(size, sizeof(size), "%zx\r\n", event.size());
      auto bytes = std::make_shared<const std::string>(size + event + "\r\n");
      net::post(io, [&io, &readers, bytes] {
        for (auto& reader : readers) net::co_spawn(io, Write(reader, bytes), net::detached);
      });
    }
    io.stop();
  });
  io.run();
  input.join();
}

}  // namespace
}  // namespace drover::gateway

int main() {
  drover::gateway::Serve();
  return 0;
}
