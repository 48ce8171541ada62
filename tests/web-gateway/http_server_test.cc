#include "web-gateway/http_server.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <openssl/ssl.h>
#include <sys/resource.h>
#include <sys/stat.h>

#include <algorithm>

#include <list>
#include <memory>
#include <string>
#include <thread>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/strings/str_cat.h"
#include "absl/synchronization/mutex.h"
#include "absl/synchronization/notification.h"
#include "tests/cli/test_certificates.h"
#include "tests/testing/temp_dir.h"
#include "tests/web-gateway/http_client.h"

namespace drover::gateway {
namespace {

using drover::testing::HttpAnswer;
using drover::testing::HttpClient;
using drover::testing::RequestText;
using ::testing::HasSubstr;

// A body whose pieces come from the test.
struct Tap {
  void Pour(const std::string& text) ABSL_LOCKS_EXCLUDED(mutex) {
    std::function<void()> ring;
    {
      absl::MutexLock lock(&mutex);
      pieces.push_back(text);
      ring = wake;
    }
    if (ring) ring();
  }
  void End(bool broken_end) ABSL_LOCKS_EXCLUDED(mutex) {
    std::function<void()> ring;
    {
      absl::MutexLock lock(&mutex);
      ended = true;
      broken = broken_end;
      ring = wake;
    }
    if (ring) ring();
  }
  absl::Mutex mutex;
  std::list<std::string> pieces ABSL_GUARDED_BY(mutex);
  std::function<void()> wake ABSL_GUARDED_BY(mutex);
  bool ended ABSL_GUARDED_BY(mutex) = false;
  bool broken ABSL_GUARDED_BY(mutex) = false;
  absl::Notification gone;
};

class TapBody final : public BodyStream {
 public:
  explicit TapBody(std::shared_ptr<Tap> tap) : tap_(std::move(tap)) {}
  ~TapBody() override { tap_->gone.Notify(); }
  void Start(std::function<void()> wake) override {
    absl::MutexLock lock(&tap_->mutex);
    tap_->wake = std::move(wake);
  }
  Piece Next() override {
    absl::MutexLock lock(&tap_->mutex);
    Piece piece;
    if (!tap_->pieces.empty()) {
      piece.data = std::make_shared<const std::string>(std::move(tap_->pieces.front()));
      tap_->pieces.pop_front();
      return piece;
    }
    piece.end = tap_->ended;
    piece.broken = tap_->broken;
    return piece;
  }

 private:
  const std::shared_ptr<Tap> tap_;
};

// Says what it was asked; "/tap" streams, "/later" answers from another thread, "/never" when told.
class Echo final : public HttpHandler {
 public:
  void Handle(HttpRequest request, Respond respond) override {
    if (request.path == "/tap") {
      HttpResponse response;
      response.ping = ": ping\n\n";
      response.stream = std::make_unique<TapBody>(tap);
      return respond(std::move(response));
    }
    if (request.path == "/never") {
      absl::MutexLock lock(&mutex_);
      held_.push_back(std::move(respond));
      return;
    }
    if (request.path == "/big") {
      return respond(TextResponse(200, "text/plain", std::string(3 << 20, 'b')));
    }
    HttpResponse response = TextResponse(
        200, "text/plain",
        absl::StrCat(request.method, " ", request.path, " ? ", request.query, " ", request.peer,
                     " x=", request.headers.Get("x"), " ", request.body.size()));
    if (request.path != "/later") return respond(std::move(response));
    auto shared = std::make_shared<HttpResponse>(std::move(response));
    std::thread([respond, shared] { respond(std::move(*shared)); }).detach();
  }
  void ReleaseAll() {
    std::vector<Respond> held;
    {
      absl::MutexLock lock(&mutex_);
      held = std::move(held_);
      held_.clear();
    }
    for (const Respond& respond : held) respond(TextResponse(200, "text/plain", "at last"));
  }
  void AwaitHeld(size_t count) {
    absl::MutexLock lock(&mutex_);
    const auto there = [this, count]()
                           ABSL_SHARED_LOCKS_REQUIRED(mutex_) { return held_.size() >= count; };
    mutex_.Await(absl::Condition(&there));
  }
  std::shared_ptr<Tap> tap = std::make_shared<Tap>();

 private:
  absl::Mutex mutex_;
  std::vector<Respond> held_ ABSL_GUARDED_BY(mutex_);
};

class HttpServerTest : public ::testing::Test {
 protected:
  HttpServerTest() { options_.listen = "127.0.0.1:0"; }
  void Start() {
    server_ = std::make_unique<HttpServer>(options_, &echo_);
    ASSERT_TRUE(server_->Start().ok());
  }
  // Waits for what other threads do.
  template <typename Condition>
  void Await(const Condition& condition) {
    while (!condition()) std::this_thread::yield();
  }
  HttpServerOptions options_;
  Echo echo_;
  std::unique_ptr<HttpServer> server_;
};

TEST_F(HttpServerTest, AnswersOneAfterTheOther) {
  Start();
  HttpClient client(server_->port());
  EXPECT_EQ(client.Call("GET", "/a?b=c", "X: 1\r\n").body, "GET /a ? b=c 127.0.0.1 x=1 0");
  EXPECT_EQ(client.Call("POST", "/a", "", "12345").body, "POST /a ?  127.0.0.1 x= 5");
  EXPECT_EQ(client.Call("GET", "/later").body, "GET /later ?  127.0.0.1 x= 0");
  const HttpAnswer head = client.Call("HEAD", "/a");
  EXPECT_EQ(head.headers.at("content-length"), "25");
  EXPECT_EQ(client.Call("GET", "/big").body.size(), size_t{3 << 20});
  EXPECT_EQ(server_->counts().accepted, 1);
  // Two at once, answered in order.
  client.Send(RequestText("GET", "/1") + RequestText("GET", "/2"));
  EXPECT_THAT(client.Read().body, HasSubstr("/1"));
  EXPECT_THAT(client.Read().body, HasSubstr("/2"));
}

TEST_F(HttpServerTest, ClosesWhenAsked) {
  Start();
  HttpClient client(server_->port());
  const HttpAnswer answer = client.Call("GET", "/a", "Connection: close\r\n");
  EXPECT_EQ(answer.headers.at("connection"), "close");
  EXPECT_TRUE(client.AwaitClose());
  HttpClient old(server_->port());
  old.Send("GET /a HTTP/1.0\r\n\r\n");
  EXPECT_EQ(old.Read().status, 200);
  EXPECT_TRUE(old.AwaitClose());
}

TEST_F(HttpServerTest, SaysContinue) {
  Start();
  HttpClient client(server_->port());
  client.Send("POST /a HTTP/1.1\r\nHost: t\r\nExpect: 100-continue\r\nContent-Length: 3\r\n\r\n");
  EXPECT_EQ(client.ReadHead().status, 100);
  client.Send("abc");
  EXPECT_EQ(client.Read().status, 200);
}

struct BadRow {
  const char* name;
  std::string bytes;
  int status;
};

TEST_F(HttpServerTest, RefusesWhatIsNotHttp) {
  options_.header_bytes = 4096;
  options_.body_bytes = 1000;
  Start();
  const std::string long_value(5000, 'x');
  const BadRow rows[] = {
      {"no HTTP", "hello\r\n\r\n", 400},
      {"TLS to plain", "\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\n\r\n", 400},
      {"no version", "GET /\r\n\r\n", 400},
      {"HTTP/2 preface", "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", 400},
      {"blank in the name", "GET / HTTP/1.1\r\nA B: c\r\n\r\n", 400},
      {"control character", "GET / HTTP/1.1\r\nA: \x01\r\n\r\n", 400},
      {"NUL", std::string("GET /\0x HTTP/1.1\r\n\r\n", 20), 400},
      {"length twice", "POST / HTTP/1.1\r\nContent-Length: 3\r\nContent-Length: 4\r\n\r\nabc", 400},
      {"length and chunked",
       "POST / HTTP/1.1\r\nContent-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", 400},
      {"length is no number", "POST / HTTP/1.1\r\nContent-Length: abc\r\n\r\n", 400},
      {"negative length", "POST / HTTP/1.1\r\nContent-Length: -1\r\n\r\n", 400},
      {"chunk size", "POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n", 400},
      {"long header", "GET / HTTP/1.1\r\nA: " + long_value + "\r\n\r\n", 431},
      {"long target", "GET /" + long_value + " HTTP/1.1\r\n\r\n", 431},
      {"long body", "POST / HTTP/1.1\r\nContent-Length: 1001\r\n\r\n", 413},
      {"long chunked body",
       "POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n7d0\r\n" + std::string(2000, 'x') +
           "\r\n0\r\n\r\n",
       413},
  };
  for (const BadRow& row : rows) {
    HttpClient client(server_->port());
    client.Send(row.bytes);
    const HttpAnswer answer = client.Read();
    EXPECT_EQ(answer.status, row.status) << row.name << ": " << answer.body;
    EXPECT_THAT(answer.body, HasSubstr("\"code\":3")) << row.name;
    EXPECT_TRUE(client.AwaitClose()) << row.name;
  }
  HttpClient good(server_->port());
  EXPECT_EQ(good.Call("GET", "/a").status, 200);
  EXPECT_EQ(server_->counts().bad_requests, static_cast<int64_t>(std::size(rows)));
}

TEST_F(HttpServerTest, SlowSendersAreCut) {
  options_.header_timeout = absl::Milliseconds(100);
  options_.body_timeout = absl::Milliseconds(100);
  options_.idle_timeout = absl::Milliseconds(100);
  Start();
  for (const char* begun : {"", "GET / HT", "GET / HTTP/1.1\r\nA: b\r\n",
                            "POST / HTTP/1.1\r\nContent-Length: 10\r\n\r\nabc"}) {
    HttpClient client(server_->port());
    client.Send(begun);
    EXPECT_TRUE(client.AwaitClose()) << begun;
  }
  // Counted after the client saw its end.
  while (server_->counts().timeouts < 4) std::this_thread::yield();
  EXPECT_EQ(server_->counts().timeouts, 4);
}

TEST_F(HttpServerTest, SlowReadersAreCut) {
  options_.write_timeout = absl::Milliseconds(100);
  Start();
  HttpClient client(server_->port());
  for (int i = 0; i < 10; ++i) client.Send(RequestText("GET", "/big"));
  Await([this] { return server_->counts().timeouts == 1; });
  Await([this] { return server_->counts().connections == 0; });
}

TEST_F(HttpServerTest, StreamsAsThingsComeUp) {
  Start();
  HttpClient client(server_->port());
  client.Send(RequestText("GET", "/tap"));
  EXPECT_EQ(client.ReadHead().status, 200);
  Await([this] { return server_->counts().streams == 1; });
  echo_.tap->Pour("one\n");
  EXPECT_EQ(client.ReadUntil("one\n"), "one\n");
  echo_.tap->Pour("two\n");
  echo_.tap->Pour("three\n");
  EXPECT_EQ(client.ReadUntil("three\n"), "two\nthree\n");
  echo_.tap->End(false);
  EXPECT_EQ(client.ReadUntil("nothing more"), "");
  EXPECT_TRUE(client.AwaitClose());
  Await([this] { return server_->counts().streams == 0; });
}

TEST_F(HttpServerTest, ABrokenStreamIsSeenAsBroken) {
  Start();
  HttpClient client(server_->port());
  client.Send(RequestText("GET", "/tap"));
  echo_.tap->Pour("half");
  echo_.tap->End(true);
  const HttpAnswer answer = client.Read();
  EXPECT_EQ(answer.body, "half");
  EXPECT_FALSE(answer.complete);
}

TEST_F(HttpServerTest, QuietStreamsArePinged) {
  options_.ping_interval = absl::Milliseconds(20);
  Start();
  HttpClient client(server_->port());
  client.Send(RequestText("GET", "/tap"));
  client.ReadHead();
  EXPECT_EQ(client.ReadUntil(": ping\n\n"), ": ping\n\n");
  EXPECT_EQ(client.ReadUntil(": ping\n\n"), ": ping\n\n");
}

TEST_F(HttpServerTest, AReaderThatGoesEndsItsStream) {
  Start();
  HttpClient client(server_->port());
  client.Send(RequestText("GET", "/tap"));
  client.ReadHead();
  client.Close();
  echo_.tap->gone.WaitForNotification();
  // Too late is no harm.
  echo_.tap->Pour("x");
}

TEST_F(HttpServerTest, LimitsConnections) {
  options_.max_connections = 3;
  options_.max_connections_per_address = 2;
  bool shared = false;
  options_.shared_address = [&shared](const std::string&) { return shared; };
  Start();
  HttpClient first(server_->port());
  HttpClient second(server_->port());
  EXPECT_EQ(first.Call("GET", "/").status, 200);
  EXPECT_EQ(second.Call("GET", "/").status, 200);
  HttpClient third(server_->port());
  EXPECT_EQ(third.Call("GET", "/").status, 0);
  shared = true;
  HttpClient fourth(server_->port());
  EXPECT_EQ(fourth.Call("GET", "/").status, 200);
  HttpClient fifth(server_->port());
  EXPECT_EQ(fifth.Call("GET", "/").status, 0);
  EXPECT_EQ(server_->counts().refused, 2);
  first.Close();
  Await([this] { return server_->counts().connections == 2; });
  HttpClient sixth(server_->port());
  EXPECT_EQ(sixth.Call("GET", "/").status, 200);
}

// Each has begun a request and stops there: nobody else waits for them, and each may still go on.
TEST_F(HttpServerTest, BearsThousandsWhoStopHalfWay) {
  rlimit files{};
  ASSERT_EQ(getrlimit(RLIMIT_NOFILE, &files), 0);
  files.rlim_cur = files.rlim_max;
  ASSERT_EQ(setrlimit(RLIMIT_NOFILE, &files), 0);
  // Both ends are this process's.
  const int count = static_cast<int>(std::min<rlim_t>(5000, files.rlim_max / 2 - 200));
  ASSERT_GE(count, 400);
  options_.max_connections_per_address = count + 10;
  Start();
  std::list<HttpClient> crowd;
  for (int i = 0; i < count; ++i) {
    ASSERT_TRUE(crowd.emplace_back(server_->port()).Send("GET /half HTTP/1.1\r\nHo"));
  }
  Await([this, count] { return server_->counts().connections == count; });
  HttpClient client(server_->port());
  EXPECT_EQ(client.Call("GET", "/a").status, 200);
  EXPECT_EQ(client.Call("POST", "/later", "", "12345").status, 200);
  for (HttpClient& one : crowd) ASSERT_TRUE(one.Send("st: t\r\n\r\n"));
  for (HttpClient& one : crowd) ASSERT_EQ(one.Read().status, 200);
  crowd.clear();
  Await([this] { return server_->counts().connections == 1; });
}

TEST_F(HttpServerTest, DrainsInOrder) {
  Start();
  HttpClient idle(server_->port());
  EXPECT_EQ(idle.Call("GET", "/").status, 200);
  HttpClient busy(server_->port());
  busy.Send(RequestText("GET", "/never"));
  echo_.AwaitHeld(1);
  HttpClient stream(server_->port());
  stream.Send(RequestText("GET", "/tap"));
  stream.ReadHead();
  std::thread stopper([this] { server_->Stop(absl::Minutes(1)); });
  EXPECT_TRUE(idle.AwaitClose());
  // The end of a stream in order: its last chunk.
  EXPECT_TRUE(stream.ReadUntil("nothing").empty());
  echo_.ReleaseAll();
  const HttpAnswer answer = busy.Read();
  EXPECT_EQ(answer.body, "at last");
  EXPECT_TRUE(busy.AwaitClose());
  stopper.join();
  HttpClient late(server_->port());
  EXPECT_EQ(late.Call("GET", "/").status, 0);
}

TEST_F(HttpServerTest, CutsWhatDoesNotEndInTime) {
  Start();
  HttpClient busy(server_->port());
  busy.Send(RequestText("GET", "/never"));
  echo_.AwaitHeld(1);
  server_->Stop(absl::ZeroDuration());
  EXPECT_EQ(busy.Read().status, 0);
  // An answer that comes too late goes nowhere.
  echo_.ReleaseAll();
}

TEST_F(HttpServerTest, CannotListenTwice) {
  Start();
  HttpServerOptions options;
  options.listen = absl::StrCat("127.0.0.1:", server_->port());
  HttpServer second(options, &echo_);
  EXPECT_TRUE(absl::IsUnavailable(second.Start()));
  for (const char* bad : {"", "127.0.0.1", "localhost:1", "127.0.0.1:99999", ":80"}) {
    options.listen = bad;
    EXPECT_FALSE(HttpServer(options, &echo_).Start().ok()) << bad;
  }
}

class TlsTest : public HttpServerTest {
 protected:
  TlsTest() {
    const auto certificates = drover::testing::MakeTestCertificates();
    options_.certificate_file = dir_.File("crt");
    options_.key_file = dir_.File("key");
    drover::testing::WriteFile(options_.certificate_file,
                               certificates.server_certificate + certificates.authority);
    drover::testing::WriteFile(options_.key_file, certificates.server_key);
  }
  // One request by OpenSSL's own client.
  std::string Fetch(const std::string& target) {
    SSL_CTX* context = SSL_CTX_new(TLS_client_method());
    BIO* bio = BIO_new_ssl_connect(context);
    BIO_set_conn_hostname(bio, absl::StrCat("127.0.0.1:", server_->port()).c_str());
    const std::string request = RequestText("GET", target, "Connection: close\r\n");
    std::string answer;
    if (BIO_do_connect(bio) == 1 &&
        BIO_write(bio, request.data(), static_cast<int>(request.size())) > 0) {
      char bytes[4096];
      int got = 0;
      while ((got = BIO_read(bio, bytes, sizeof(bytes))) > 0) {
        answer.append(bytes, static_cast<size_t>(got));
      }
    }
    BIO_free_all(bio);
    SSL_CTX_free(context);
    return answer;
  }
  drover::testing::TempDir dir_;
};

TEST_F(TlsTest, Answers) {
  Start();
  EXPECT_THAT(Fetch("/a"), HasSubstr("GET /a"));
  EXPECT_THAT(Fetch("/big"), HasSubstr("bbbb"));
}

TEST_F(TlsTest, HandshakesThatStopHalfwayAreCut) {
  options_.handshake_timeout = absl::Milliseconds(100);
  Start();
  int64_t failed = 0;
  for (const std::string& begun :
       {std::string(), std::string("\x16\x03\x01", 3), std::string("GET / HTTP/1.1\r\n\r\n")}) {
    HttpClient client(server_->port());
    client.Send(begun);
    ++failed;
    Await([this, failed] { return server_->counts().failed_handshakes == failed; });
  }
  EXPECT_THAT(Fetch("/a"), HasSubstr("GET /a"));
}

TEST_F(TlsTest, ABadCertificateIsToldAndTheOldOneStays) {
  Start();
  drover::testing::WriteFile(options_.certificate_file, "nonsense");
  EXPECT_THAT(std::string(server_->Reload().message()), HasSubstr(options_.certificate_file));
  EXPECT_THAT(Fetch("/a"), HasSubstr("GET /a"));
  HttpServer second(options_, &echo_);
  EXPECT_TRUE(absl::IsInvalidArgument(second.Start()));
}

}  // namespace
}  // namespace drover::gateway
