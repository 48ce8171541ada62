// Bytes of a connection, in pieces of as many as the first byte says (10, a line's end, means all
// at once): every request that comes out of them is answered once, and the connection comes to its
// end.
//
// A real connection over loopback; client and server take turns on one thread, so that an input
// does the same each time.
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <memory>
#include <utility>

#include "tests/fuzz/fuzz.h"
#include "web-gateway/asio.h"
#include "web-gateway/browser_session.h"
#include "web-gateway/client_address.h"
#include "web-gateway/http_connection.h"

namespace drover::gateway {
namespace {

constexpr uint64_t kBodyBytes = 4096;

class CountedBody final : public BodyStream {
 public:
  explicit CountedBody(int pieces) : left_(pieces) {}
  void Start(std::function<void()> wake) override { wake(); }
  Piece Next() override {
    if (left_ == 0) return {.end = true};
    --left_;
    return {.data = std::make_shared<const std::string>("a piece of the body\n")};
  }

 private:
  int left_;
};

// Looks at everything that is read from a request before it goes to the controller.
class Handler final : public HttpHandler {
 public:
  void Handle(HttpRequest request, Respond respond) override {
    ++requests;
    FUZZ_MUST(request.body.size() <= kBodyBytes, request.body.size());
    for (const auto& [name, value] : request.headers.all()) {
      for (const char c : value) FUZZ_MUST(c != '\r' && c != '\n' && c != '\0', name);
    }
    const Credentials credentials = CredentialsOf(request);
    for (const char c : credentials.token) FUZZ_MUST(c > ' ' && c < 127, "a token of other bytes");
    CheckCrossSite(request, credentials, {"https://drover.example"}).IgnoreError();
    static const AddressSet& proxies = *new AddressSet(*AddressSet::Parse({"127.0.0.0/8"}));
    FUZZ_MUST(!ClientAddressOf(request, proxies).empty(), "nobody");
    IsSecure(request, proxies);
    ListAccepts(request.headers.Joined("accept-encoding"), "gzip");
    HttpResponse response = TextResponse(200, "text/plain", request.path);
    if (request.path == "/stream") {
      response.body = nullptr;
      response.stream = std::make_unique<CountedBody>(3);
    }
    // What came goes nowhere but into a header's value.
    response.headers.Add("X-Asked", request.query);
    respond(std::move(response));
  }
  int requests = 0;
};

struct Loop {
  net::io_context io{1};
  net::ip::tcp::acceptor acceptor{io,
                                  net::ip::tcp::endpoint(net::ip::make_address("127.0.0.1"), 0)};
  Handler handler;
  std::shared_ptr<ConnectionContext> context = std::make_shared<ConnectionContext>();
};

Loop& TheLoop() {
  static auto* const loop = [] {
    auto* made = new Loop;
    made->context->handler = &made->handler;
    made->context->options.body_bytes = kBodyBytes;
    return made;
  }();
  return *loop;
}

// Takes what was answered, so that the server can go on. False at the end of the connection.
bool Take(int fd, std::string* answer) {
  char buffer[16384];
  while (true) {
    const ssize_t got = recv(fd, buffer, sizeof(buffer), MSG_DONTWAIT);
    if (got == 0) return false;
    if (got < 0) return errno == EAGAIN || errno == EINTR;
    answer->append(buffer, static_cast<size_t>(got));
  }
}

// The fuzzer's own clock must not interrupt what is no part of the test.
net::ip::tcp::socket Meet(Loop& loop, net::ip::tcp::socket& client) {
  sigset_t alarm;
  sigset_t before;
  sigemptyset(&alarm);
  sigaddset(&alarm, SIGALRM);
  pthread_sigmask(SIG_BLOCK, &alarm, &before);
  client.connect(loop.acceptor.local_endpoint());
  net::ip::tcp::socket met = loop.acceptor.accept();
  pthread_sigmask(SIG_SETMASK, &before, nullptr);
  return met;
}

void Session(absl::string_view bytes, size_t piece) {
  Loop& loop = TheLoop();
  net::ip::tcp::socket client(loop.io);
  net::ip::tcp::socket met = Meet(loop, client);
  bool ended = false;
  auto connection = Serve(std::move(met), "127.0.0.1", nullptr, loop.context,
                          [&ended](Connection*) { ended = true; });
  const int fd = client.native_handle();
  std::string answer;
  bool open = true;
  loop.handler.requests = 0;
  loop.io.restart();
  while (open && !bytes.empty()) {
    const ssize_t sent =
        send(fd, bytes.data(), std::min(piece, bytes.size()), MSG_NOSIGNAL | MSG_DONTWAIT);
    if (sent < 0 && errno != EAGAIN && errno != EINTR) break;
    if (sent > 0) bytes.remove_prefix(static_cast<size_t>(sent));
    loop.io.poll();
    open = Take(fd, &answer);
  }
  shutdown(fd, SHUT_WR);
  while (!ended) {
    loop.io.run_one_for(std::chrono::milliseconds(10));
    open = open && Take(fd, &answer);
  }
  connection.reset();
  loop.io.poll();
  Take(fd, &answer);
  FUZZ_MUST(answer.empty() || answer.rfind("HTTP/1.1 ", 0) == 0, answer);
  FUZZ_MUST(loop.handler.requests == 0 || !answer.empty() || !open, "asked and never answered");
}

}  // namespace
}  // namespace drover::gateway

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  if (size < 2 || size > 64 << 10) return 0;
  const size_t piece = data[0] == '\n' ? size : std::max<size_t>(1, data[0]);
  drover::gateway::Session(drover::testing::TextOf(data + 1, size - 1), piece);
  return 0;
}
