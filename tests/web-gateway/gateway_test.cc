// The whole gateway over real HTTP and gRPC, before a controller that answers as the test says.
#include "web-gateway/gateway.h"

#include <gmock/gmock.h>
#include <google/protobuf/empty.pb.h>
#include <gtest/gtest.h>

#include <atomic>
#include <memory>
#include <string>
#include <thread>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/synchronization/notification.h"
#include "drover/v1/activity.pb.h"
#include "drover/v1/inventory.pb.h"
#include "drover/v1/people.pb.h"
#include "proto/support/channel.h"
#include "proto/support/contract.h"
#include "proto/support/status.h"
#include "proto/support/time.h"
#include "tests/cli/fake_controller.h"
#include "tests/testing/temp_dir.h"
#include "tests/web-gateway/http_client.h"
#include "web-gateway/http_server.h"
#include "web-gateway/json_check.h"

namespace drover::gateway {
namespace {

using drover::testing::FakeController;
using drover::testing::HttpAnswer;
using drover::testing::HttpClient;
using drover::testing::RequestText;
using ::testing::HasSubstr;
using ::testing::Not;
using ::testing::StartsWith;

constexpr char kKey[] = "0123456789abcdef0123456789abcdef";
constexpr char kBearer[] = "Authorization: Bearer admin\r\n";
constexpr char kCookie[] = "Cookie: drover_session=admin\r\n";
constexpr char kPage[] = "X-Requested-By: drover-page\r\n";

class GatewayTest : public ::testing::Test {
 protected:
  GatewayTest() {
    drover::testing::WriteFile(dir_.File("index.html"), "<!doctype html>page");
    config_ = ParseConfig("[http]\ntrusted_proxies = [\"127.0.0.1\"]\n", "test").value();
    config_.page_dir = dir_.path();
    v1::User admin;
    admin.set_name("users/admin");
    admin.set_role(v1::ROLE_SYSTEM_ADMINISTRATOR);
    controller_.Answer("PeopleService/GetSelf", admin);
  }
  ~GatewayTest() override { Stop(); }

  void Start() {
    upstream_ = std::make_unique<Upstream>(
        OpenChannel(controller_.address(), controller_.authority_pem()), kKey);
    hub_ = std::make_unique<WatchHub>(upstream_.get(), watch_options_);
    hub_->Start();
    gateway_ = std::make_unique<Gateway>(
        config_, RouteTable::Build(RulesOf(PublicServices())).value(), upstream_.get(), hub_.get());
    ASSERT_TRUE(gateway_->Reload().ok());
    HttpServerOptions options;
    options.listen = "127.0.0.1:0";
    server_ = std::make_unique<HttpServer>(options, gateway_.get());
    ASSERT_TRUE(server_->Start().ok());
  }
  void Stop() {
    if (server_ != nullptr) server_->Stop(absl::Seconds(5));
    if (hub_ != nullptr) hub_->Stop();
    if (upstream_ != nullptr) upstream_->Shutdown();
    server_.reset();
  }
  HttpAnswer Call(absl::string_view method, absl::string_view target,
                  absl::string_view headers = kBearer, absl::string_view body = "") {
    HttpClient client(server_->port());
    return client.Call(method, target, headers, body);
  }

  drover::testing::TempDir dir_;
  FakeController controller_;
  Config config_;
  WatchOptions watch_options_;
  std::unique_ptr<Upstream> upstream_;
  std::unique_ptr<WatchHub> hub_;
  std::unique_ptr<Gateway> gateway_;
  std::unique_ptr<HttpServer> server_;
};

TEST_F(GatewayTest, CarriesACallThereAndBack) {
  controller_.On<v1::GetVmRequest, v1::Vm>("InventoryService/GetVm",
                                           [](const v1::GetVmRequest& request, v1::Vm* vm) {
                                             vm->set_name(request.name());
                                             vm->set_memory_mb(512);
                                             return absl::OkStatus();
                                           });
  Start();
  const HttpAnswer answer =
      Call("GET", "/v1/vms/web-01",
           absl::StrCat(kBearer, "X-Request-Id: r-1\r\nX-Forwarded-For: 192.0.2.7\r\n"));
  EXPECT_EQ(answer.status, 200);
  EXPECT_THAT(answer.body, HasSubstr(R"("name":"vms/web-01")"));
  EXPECT_THAT(answer.body, HasSubstr(R"("memoryMb":512)"));
  EXPECT_EQ(answer.headers.at("content-type"), "application/json");
  EXPECT_EQ(answer.headers.at("cache-control"), "no-store");
  EXPECT_EQ(answer.headers.at("x-request-id"), "r-1");
  EXPECT_EQ(controller_.last_authorization(), "Bearer admin");
  EXPECT_EQ(controller_.LastMetadata("x-drover-client"), "192.0.2.7");
  EXPECT_EQ(controller_.LastMetadata("x-drover-gateway-key"), kKey);
  EXPECT_EQ(controller_.LastMetadata("x-request-id"), "r-1");
}

TEST_F(GatewayTest, NobodySpeaksAsTheGatewayThroughIt) {
  controller_.Answer("InventoryService/GetVm", v1::Vm());
  config_.trusted_proxies = AddressSet();
  Start();
  Call("GET", "/v1/vms/a",
       "x-drover-client: 6.6.6.6\r\nx-drover-gateway-key: x\r\nGrpc-Metadata-x-drover-client: "
       "6.6.6.6\r\nX-Forwarded-For: 6.6.6.6\r\n");
  EXPECT_EQ(controller_.LastMetadata("x-drover-client"), "127.0.0.1");
  EXPECT_EQ(controller_.LastMetadata("x-drover-gateway-key"), kKey);
  EXPECT_EQ(controller_.last_authorization(), "");
}

TEST_F(GatewayTest, ErrorsAreThoseOfTheController) {
  controller_.Refuse("InventoryService/GetVm",
                     MakeError(absl::StatusCode::kNotFound, "VM_NOT_FOUND", "there is no VM a"));
  controller_.Refuse("PeopleService/GetSelf",
                     MakeError(absl::StatusCode::kUnauthenticated, "NOT_SIGNED_IN", "sign in"));
  Start();
  const HttpAnswer missing = Call("GET", "/v1/vms/a");
  EXPECT_EQ(missing.status, 404);
  EXPECT_THAT(missing.body, HasSubstr(R"("reason":"VM_NOT_FOUND")"));
  EXPECT_THAT(missing.body,
              HasSubstr(absl::StrCat(R"("requestId":")", missing.headers.at("x-request-id"))));
  const HttpAnswer nobody = Call("GET", "/v1/self", "");
  EXPECT_EQ(nobody.status, 401);
  EXPECT_THAT(nobody.headers.at("www-authenticate"), StartsWith("Bearer"));
  EXPECT_FALSE(nobody.headers.contains("set-cookie"));
  // A cookie that stands for nothing any more goes.
  EXPECT_THAT(Call("GET", "/v1/self", kCookie).headers.at("set-cookie"),
              HasSubstr("drover_session=; Path=/; Max-Age=0"));
  EXPECT_EQ(Call("GET", "/v1/types").status, 501);
}

TEST_F(GatewayTest, RefusesWhatIsNotACall) {
  Start();
  const struct {
    const char* method;
    const char* target;
    const char* body;
    int status;
    const char* text;
  } rows[] = {
      {"GET", "/v1/nothing", "", 404, "\"code\":5"},
      {"PUT", "/v1/vms", "", 405, "\"code\":12"},
      {"OPTIONS", "/v1/vms", "", 405, "\"code\":12"},
      {"BREW", "/v1/vms", "", 405, "\"code\":12"},
      {"GET", "/v1/vms?x=1", "", 400, "\"field\":\"x\""},
      {"GET", "/v1/vms/%zz", "", 400, "\"field\":\"name\""},
      {"POST", "/v1/vms:power", "{\"nams\":[]}", 400, "\"field\":\"nams\""},
      {"POST", "/v1/vms:power", "{\"names\":", 400, "not JSON, line 1"},
      {"POST", "/v1/vms:power", "{\"names\":5}", 400, "names"},
      {"GET", "/v1/../../etc/passwd", "", 404, "\"code\":5"},
      {"GET", "/v1/%2e%2e/passwd", "", 404, "\"code\":5"},
      {"POST", "/healthz", "", 405, "GET only"},
  };
  for (const auto& row : rows) {
    const HttpAnswer answer = Call(row.method, row.target, kBearer, row.body);
    EXPECT_EQ(answer.status, row.status) << row.method << " " << row.target;
    EXPECT_THAT(answer.body, HasSubstr(row.text)) << row.target;
    EXPECT_TRUE(CheckJson(answer.body, nullptr).ok()) << answer.body;
  }
  EXPECT_EQ(Call("PUT", "/v1/vms").headers.at("allow"), "GET, POST");
  EXPECT_TRUE(controller_.Requests("InventoryService/ListVms").empty());
}

TEST_F(GatewayTest, ThePageSignsInByCookieAScriptByToken) {
  v1::Session session;
  session.set_token("tok-1");
  session.mutable_user()->set_name("users/admin");
  *session.mutable_expire_time() = ToProto(absl::Now() + absl::Hours(2));
  controller_.Answer("PeopleService/Login", session);
  controller_.Answer("PeopleService/Logout", google::protobuf::Empty());
  Start();
  constexpr char kBody[] = R"({"user":"admin","password":"p"})";
  const HttpAnswer script = Call("POST", "/v1/sessions", "", kBody);
  EXPECT_THAT(script.body, HasSubstr(R"("token":"tok-1")"));
  EXPECT_FALSE(script.headers.contains("set-cookie"));
  const HttpAnswer page = Call("POST", "/v1/sessions", kPage, kBody);
  EXPECT_THAT(page.body, HasSubstr(R"("token":"")"));
  EXPECT_THAT(page.body, Not(HasSubstr("tok-1")));
  const std::string cookie = page.headers.at("set-cookie");
  EXPECT_THAT(cookie, StartsWith("drover_session=tok-1; Path=/; Max-Age="));
  EXPECT_THAT(cookie, HasSubstr("HttpOnly; SameSite=Strict"));
  const HttpAnswer secure =
      Call("POST", "/v1/sessions", absl::StrCat(kPage, "X-Forwarded-Proto: https\r\n"), kBody);
  EXPECT_THAT(secure.headers.at("set-cookie"), StartsWith("__Host-drover_session=tok-1;"));
  EXPECT_THAT(secure.headers.at("set-cookie"), HasSubstr("; Secure"));
  Call("GET", "/v1/self", "Cookie: drover_session=tok-1\r\n");
  EXPECT_EQ(controller_.last_authorization(), "Bearer tok-1");
  const HttpAnswer out = Call("POST", "/v1/sessions:end", absl::StrCat(kCookie, kPage), "{}");
  EXPECT_THAT(out.headers.at("set-cookie"), HasSubstr("Max-Age=0"));
}

TEST_F(GatewayTest, OtherSitesCannotMakeABrowserChangeThings) {
  controller_.Answer("InventoryService/PowerVms", v1::Operation());
  Start();
  constexpr char kBody[] = R"({"names":["vms/a"],"action":"POWER_ACTION_OFF"})";
  const HttpAnswer forged = Call(
      "POST", "/v1/vms:power",
      absl::StrCat(kCookie, "Origin: https://evil.example\r\nContent-Type: text/plain\r\n"), kBody);
  EXPECT_EQ(forged.status, 403);
  EXPECT_THAT(forged.body, HasSubstr("CROSS_SITE"));
  EXPECT_TRUE(controller_.Requests("InventoryService/PowerVms").empty());
  EXPECT_EQ(Call("POST", "/v1/vms:power",
                 absl::StrCat(kCookie, kPage, "Origin: http://drover.test\r\n"), kBody)
                .status,
            200);
}

// Whatever stands in a cookie, the controller alone says whether it is a session.
TEST_F(GatewayTest, ForgedAndExpiredCookiesAreNobody) {
  controller_.Refuse("PeopleService/GetSelf", absl::UnauthenticatedError("the session has ended"));
  Start();
  for (const std::string cookie :
       {"drover_session=expired", "drover_session=admin; drover_session=other",
        "__Host-drover_session=a.b.c"}) {
    const HttpAnswer answer = Call("GET", "/v1/self", absl::StrCat("Cookie: ", cookie, "\r\n"));
    EXPECT_EQ(answer.status, 401) << cookie;
    EXPECT_THAT(answer.body, HasSubstr(R"("code":16)")) << cookie;
  }
  // What cannot be a token is not sent as one.
  for (const std::string& cookie :
       {std::string("drover_session="), std::string("drover_session=a b"),
        absl::StrCat("drover_session=", std::string(600, 'x')), std::string("session=admin"),
        std::string("drover_session")}) {
    const HttpAnswer answer = Call("GET", "/v1/self", absl::StrCat("Cookie: ", cookie, "\r\n"));
    EXPECT_EQ(answer.status, 401) << cookie;
    EXPECT_EQ(controller_.last_authorization(), "") << cookie;
  }
}

TEST_F(GatewayTest, FloodsOfSignInsAreSlowedDown) {
  controller_.Refuse("PeopleService/Login",
                     MakeError(absl::StatusCode::kUnauthenticated, "LOGIN_FAILED", "wrong"));
  config_.logins_per_minute = 3;
  Start();
  constexpr char kBody[] = R"({"user":"admin","password":"p"})";
  for (int i = 0; i < 3; ++i) EXPECT_EQ(Call("POST", "/v1/sessions", "", kBody).status, 401);
  const HttpAnswer slowed = Call("POST", "/v1/sessions", "", kBody);
  EXPECT_EQ(slowed.status, 429);
  EXPECT_THAT(slowed.body, HasSubstr("LOGIN_SLOWED_DOWN"));
  EXPECT_TRUE(slowed.headers.contains("retry-after"));
  // Others are not.
  EXPECT_EQ(Call("POST", "/v1/sessions", "X-Forwarded-For: 192.0.2.1\r\n", kBody).status, 401);
  EXPECT_EQ(controller_.Requests("PeopleService/Login").size(), 4u);
}

TEST_F(GatewayTest, AControllerThatIsAwayIsTold) {
  Start();
  {
    // Somewhere nobody listens.
    Upstream away(OpenChannel("127.0.0.1:1", controller_.authority_pem()), kKey);
    WatchHub hub(&away);
    Gateway gateway(config_, RouteTable::Build(RulesOf(PublicServices())).value(), &away, &hub);
    HttpServerOptions options;
    options.listen = "127.0.0.1:0";
    HttpServer server(options, &gateway);
    ASSERT_TRUE(server.Start().ok());
    HttpClient client(server.port());
    const HttpAnswer answer = client.Call("GET", "/v1/vms", kBearer);
    EXPECT_EQ(answer.status, 503);
    EXPECT_THAT(answer.body, HasSubstr("CONTROLLER_UNREACHABLE"));
    EXPECT_EQ(client.Call("GET", "/readyz").status, 503);
    EXPECT_EQ(client.Call("GET", "/healthz").status, 200);
    server.Stop(absl::Seconds(1));
    hub.Stop();
    away.Shutdown();
  }
}

TEST_F(GatewayTest, SlowCallsEnd) {
  const auto release = std::make_shared<absl::Notification>();
  controller_.OnCall("InventoryService/ListVms",
                     [release](const google::protobuf::Message&, const FakeController::Send&) {
                       release->WaitForNotification();
                       return absl::OkStatus();
                     });
  Start();
  const HttpAnswer answer = Call("GET", "/v1/vms", absl::StrCat(kBearer, "Grpc-Timeout: 50m\r\n"));
  EXPECT_EQ(answer.status, 504);
  EXPECT_THAT(answer.body, HasSubstr("CONTROLLER_TOO_SLOW"));
  release->Notify();
}

TEST_F(GatewayTest, ServesThePageAndItself) {
  Start();
  const HttpAnswer page = Call("GET", "/", "");
  EXPECT_EQ(page.body, "<!doctype html>page");
  EXPECT_THAT(page.headers.at("content-security-policy"), HasSubstr("script-src 'self'"));
  EXPECT_THAT(page.headers.at("content-security-policy"), Not(HasSubstr("unsafe")));
  EXPECT_EQ(page.headers.at("x-content-type-options"), "nosniff");
  EXPECT_EQ(Call("GET", "/environments/prod", "Accept: text/html\r\n").status, 200);
  EXPECT_EQ(Call("GET", "/healthz", "").body, "{\"status\":\"ok\"}\n");
  EXPECT_THAT(Call("GET", "/version", "").body, StartsWith("{\"version\":\""));
  EXPECT_THAT(Call("GET", "/openapi.json", "").body, StartsWith("{\"openapi\":\"3.1.0\""));
}

TEST_F(GatewayTest, LargeAnswersAreGzippedForWhoTakesIt) {
  v1::ListVmsResponse response;
  for (int i = 0; i < 100; ++i) response.add_vms()->set_name("vms/web");
  controller_.Answer("InventoryService/ListVms", response);
  Start();
  const HttpAnswer plain = Call("GET", "/v1/vms");
  const HttpAnswer zipped =
      Call("GET", "/v1/vms", absl::StrCat(kBearer, "Accept-Encoding: gzip\r\n"));
  EXPECT_EQ(zipped.headers.at("content-encoding"), "gzip");
  EXPECT_LT(zipped.body.size() * 5, plain.body.size());
  EXPECT_FALSE(plain.headers.contains("content-encoding"));
}

// ---- streams

v1::Operation Step(int percent) {
  v1::Operation operation;
  operation.set_name("operations/7");
  operation.set_percent(percent);
  return operation;
}

TEST_F(GatewayTest, StreamsAsEventsOrLines) {
  controller_.OnCall("ActivityService/WatchOperation",
                     [](const google::protobuf::Message&, const FakeController::Send& send) {
                       send(Step(1));
                       send(Step(100));
                       return absl::OkStatus();
                     });
  Start();
  const HttpAnswer lines = Call("GET", "/v1/operations/7:watch");
  EXPECT_EQ(lines.headers.at("content-type"), "application/x-ndjson");
  EXPECT_THAT(lines.body, StartsWith("{\"result\":{\"name\":\"operations/7\""));
  EXPECT_THAT(lines.body, HasSubstr("}\n{\"result\":{"));
  const HttpAnswer events =
      Call("GET", "/v1/operations/7:watch", absl::StrCat(kBearer, "Accept: text/event-stream\r\n"));
  EXPECT_EQ(events.headers.at("content-type"), "text/event-stream");
  EXPECT_EQ(events.headers.at("x-accel-buffering"), "no");
  EXPECT_THAT(events.body, StartsWith("data: {\"name\":\"operations/7\""));
  EXPECT_THAT(events.body, HasSubstr("\"percent\":100"));
  EXPECT_THAT(events.body, HasSubstr("event: end\nid: end\n"));
  EXPECT_TRUE(events.complete);
  // EventSource comes again by itself, and stops at this.
  EXPECT_EQ(Call("GET", "/v1/operations/7:watch",
                 absl::StrCat(kBearer, "Accept: text/event-stream\r\nLast-Event-ID: end\r\n"))
                .status,
            204);
}

TEST_F(GatewayTest, BrowsersOfOneSessionThatComeTogetherAreOneQuestion) {
  absl::Notification answer_now;
  controller_.On<v1::GetSelfRequest, v1::User>(
      "PeopleService/GetSelf", [&answer_now](const v1::GetSelfRequest&, v1::User* user) {
        answer_now.WaitForNotification();
        user->set_name("users/admin");
        user->set_role(v1::ROLE_SYSTEM_ADMINISTRATOR);
        return absl::OkStatus();
      });
  Start();
  const auto& watch = *FindMethod("ActivityService/Watch");
  std::atomic<int> answered = 0;
  std::atomic<int> bodies = 0;
  for (int i = 0; i < 10; ++i) {
    const CallerFacts facts{.token = i < 9 ? "one" : "another", .client_address = "192.0.2.1"};
    hub_->Subscribe(watch, v1::WatchRequest(), facts, "",
                    [&](absl::StatusOr<std::unique_ptr<BodyStream>> body) {
                      bodies += body.ok() ? 1 : 0;
                      ++answered;
                    });
  }
  answer_now.Notify();
  while (answered < 10) std::this_thread::yield();
  EXPECT_EQ(bodies, 10);
  EXPECT_EQ(controller_.Requests("PeopleService/GetSelf").size(), 2u);
}

TEST_F(GatewayTest, AStreamThatFailsSaysSo) {
  controller_.OnCall("ActivityService/WatchOperation",
                     [](const google::protobuf::Message&, const FakeController::Send& send) {
                       send(Step(1));
                       return absl::UnavailableError("stopping");
                     });
  controller_.Refuse("UpgradeService/WatchRollout", absl::NotFoundError("none"));
  Start();
  EXPECT_THAT(Call("GET", "/v1/operations/7:watch").body, HasSubstr("}\n{\"error\":{\"code\":14"));
  EXPECT_THAT(
      Call("GET", "/v1/operations/7:watch", absl::StrCat(kBearer, "Accept: text/event-stream\r\n"))
          .body,
      HasSubstr("event: failed\ndata: {\"code\":14"));
  // Before the first message it is the answer's status.
  EXPECT_EQ(Call("GET", "/v1/rollouts/1:watch").status, 404);
}

TEST_F(GatewayTest, FilesComeRawAndPieceByPiece) {
  const std::string piece(100000, 'x');
  controller_.OnCall("ActivityService/DownloadLogBackup",
                     [&piece](const google::protobuf::Message&, const FakeController::Send& send) {
                       v1::FileChunk chunk;
                       chunk.set_file_name("日志 1.jsonl");
                       chunk.set_content_type("application/x-ndjson");
                       chunk.set_data(piece);
                       for (int i = 0; i < 50; ++i) {
                         if (!send(chunk)) break;
                         chunk.clear_file_name();
                       }
                       return absl::OkStatus();
                     });
  Start();
  const HttpAnswer file = Call("GET", "/v1/logBackups/1:download");
  EXPECT_EQ(file.body.size(), piece.size() * 50);
  EXPECT_TRUE(file.complete);
  EXPECT_EQ(file.headers.at("content-type"), "application/x-ndjson");
  EXPECT_EQ(file.headers.at("content-disposition"),
            "attachment; filename=\"_______1.jsonl\"; "
            "filename*=UTF-8''%E6%97%A5%E5%BF%97%201.jsonl");
}

TEST_F(GatewayTest, ABrokenDownloadIsSeenAsBroken) {
  controller_.OnCall("ActivityService/DownloadLogBackup",
                     [](const google::protobuf::Message&, const FakeController::Send& send) {
                       v1::FileChunk chunk;
                       chunk.set_data("half");
                       send(chunk);
                       return absl::DataLossError("the disk is gone");
                     });
  Start();
  const HttpAnswer file = Call("GET", "/v1/logBackups/1:download");
  EXPECT_EQ(file.body, "half");
  EXPECT_FALSE(file.complete);
}

}  // namespace
}  // namespace drover::gateway
