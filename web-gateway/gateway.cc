#include "web-gateway/gateway.h"

#include <google/protobuf/empty.pb.h>

#include <algorithm>
#include <utility>

#include "absl/random/random.h"
#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/time/clock.h"
#include "drover/v1/activity.pb.h"
#include "drover/v1/options.pb.h"
#include "drover/v1/people.pb.h"
#include "proto/support/contract.h"
#include "proto/support/log.h"
#include "proto/support/status.h"
#include "proto/support/time.h"
#include "web-gateway/browser_session.h"
#include "web-gateway/gzip.h"
#include "web-gateway/json_text.h"
#include "web-gateway/openapi.h"
#include "web-gateway/stream_body.h"
#include "web-gateway/transcoder.h"
#include "web-gateway/version.h"

namespace drover::gateway {
namespace {

using google::protobuf::Message;
using google::protobuf::MethodDescriptor;

constexpr char kJson[] = "application/json";
// Smaller ones are not worth the work.
constexpr size_t kLeastForGzip = 1400;
constexpr absl::Duration kReadyTimeout = absl::Seconds(3);

// Element Plus needs nothing beyond this, as its trial showed.
constexpr char kContentPolicy[] =
    "default-src 'self'; script-src 'self'; style-src 'self'; img-src 'self' data:; "
    "object-src 'none'; base-uri 'none'; frame-ancestors 'none'; form-action 'self'";

std::string NewRequestId() {
  // Told to people; it only has to differ.
  thread_local absl::BitGen random;
  return absl::StrFormat("%016x", absl::Uniform<uint64_t>(random));
}

bool IsRequestId(absl::string_view text) {
  return !text.empty() && text.size() <= 64 && std::all_of(text.begin(), text.end(), [](char c) {
    return absl::ascii_isalnum(c) || c == '-' || c == '_' || c == '.';
  });
}

void AddCommonHeaders(const HttpRequest& request, HttpResponse& response) {
  response.headers.Add("Content-Security-Policy", kContentPolicy);
  response.headers.Add("X-Content-Type-Options", "nosniff");
  response.headers.Add("X-Frame-Options", "DENY");
  response.headers.Add("Referrer-Policy", "same-origin");
  response.headers.Add("Cross-Origin-Opener-Policy", "same-origin");
  response.headers.Add("Cross-Origin-Resource-Policy", "same-origin");
  if (request.tls) response.headers.Add("Strict-Transport-Security", "max-age=31536000");
}

bool OpensSession(const MethodDescriptor& method) {
  return method.output_type() == drover::v1::Session::descriptor();
}
bool EndsSession(const MethodDescriptor& method) {
  return method.full_name() == "drover.v1.PeopleService.Logout";
}

}  // namespace

// One request on its way.
struct Gateway::Exchange {
  HttpRequest request;
  Respond respond;
  std::string request_id;
  std::string client_address;
  bool secure = false;
  Credentials credentials;
  RouteTable::Match match;

  CallerFacts facts() const { return {credentials.token, client_address, request_id}; }
  void Answer(HttpResponse response) {
    AddCommonHeaders(request, response);
    response.headers.Add("X-Request-Id", request_id);
    LogDebug(client_address, " ", request.method, " ", request.path, " ", response.status, " ",
             request_id);
    respond(std::move(response));
  }
};

Gateway::Gateway(const Config& config, RouteTable routes, Upstream* upstream, WatchHub* hub)
    : config_(config),
      routes_(std::move(routes)),
      upstream_(upstream),
      hub_(hub),
      openapi_(std::make_shared<const std::string>(OpenApiDocument(routes_, kVersion))),
      logins_(config.logins_per_minute) {}

absl::Status Gateway::Reload() { return files_.Load(config_.page_dir); }

void Gateway::Handle(HttpRequest request, Respond respond) {
  auto exchange = std::make_shared<Exchange>();
  exchange->request = std::move(request);
  exchange->respond = std::move(respond);
  const absl::string_view told = exchange->request.headers.Get("x-request-id");
  exchange->request_id = IsRequestId(told) ? std::string(told) : NewRequestId();
  exchange->client_address = ClientAddressOf(exchange->request, config_.trusted_proxies);
  exchange->secure = IsSecure(exchange->request, config_.trusted_proxies);
  if (AnswerOwn(exchange)) return;
  if (absl::StartsWith(exchange->request.path, "/v1/")) return AnswerCall(exchange);
  exchange->Answer(files_.Answer(exchange->request));
}

bool Gateway::AnswerOwn(const ExchangePtr& exchange) {
  const HttpRequest& request = exchange->request;
  const bool ours = request.path == "/healthz" || request.path == "/readyz" ||
                    request.path == "/version" || request.path == "/openapi.json";
  if (!ours) return false;
  if (request.method != "GET" && request.method != "HEAD") {
    HttpResponse response = Failed(*exchange, absl::UnimplementedError("GET only"));
    response.status = 405;
    response.headers.Add("Allow", "GET, HEAD");
    exchange->Answer(std::move(response));
    return true;
  }
  if (request.path == "/readyz") {
    AnswerReady(exchange);
    return true;
  }
  HttpResponse response;
  if (request.path == "/openapi.json") {
    response.headers.Add("Content-Type", kJson);
    response.body = openapi_;
  } else {
    response = TextResponse(200, kJson,
                            request.path == "/version"
                                ? absl::StrCat("{\"version\":", JsonText(kVersion), "}\n")
                                : "{\"status\":\"ok\"}\n");
  }
  response.headers.Add("Cache-Control", "no-store");
  exchange->Answer(std::move(response));
  return true;
}

void Gateway::AnswerReady(const ExchangePtr& exchange) {
  upstream_->Check(kReadyTimeout, [this, exchange](const absl::Status& status) {
    HttpResponse response = status.ok() ? TextResponse(200, kJson, "{\"status\":\"ready\"}\n")
                                        : Failed(*exchange, status);
    response.headers.Add("Cache-Control", "no-store");
    exchange->Answer(std::move(response));
  });
}

void Gateway::AnswerCall(const ExchangePtr& exchange) {
  const HttpRequest& request = exchange->request;
  absl::StatusOr<RouteTable::Match> match = routes_.Find(request.method, request.path);
  if (!match.ok()) {
    HttpResponse response = Failed(*exchange, match.status());
    if (absl::IsUnimplemented(match.status())) {
      response.status = 405;
      response.headers.Add("Allow", routes_.MethodsOf(request.path));
    }
    return exchange->Answer(std::move(response));
  }
  exchange->match = *std::move(match);
  exchange->credentials = CredentialsOf(request);
  absl::Status admitted = Admit(*exchange);
  if (admitted.ok()) admitted = AdmitLogin(*exchange);
  if (!admitted.ok()) return exchange->Answer(Failed(*exchange, admitted));
  absl::StatusOr<std::unique_ptr<Message>> message =
      MakeRequest(exchange->match, request.query, request.body);
  if (!message.ok()) return exchange->Answer(Failed(*exchange, message.status()));
  Call(exchange, **message);
}

absl::Status Gateway::Admit(const Exchange& exchange) const {
  return CheckCrossSite(exchange.request, exchange.credentials, config_.allowed_origins);
}

absl::Status Gateway::AdmitLogin(const Exchange& exchange) {
  if (!OpensSession(*exchange.match.route->rule.method)) return absl::OkStatus();
  const absl::Duration wait = logins_.Ask(exchange.client_address, absl::Now());
  if (wait == absl::ZeroDuration()) return absl::OkStatus();
  const int64_t seconds = absl::ToInt64Seconds(absl::Ceil(wait, absl::Seconds(1)));
  return MakeError(
      absl::StatusCode::kResourceExhausted, "LOGIN_SLOWED_DOWN",
      absl::StrCat("too many attempts to sign in from your address; wait ", seconds, " s"),
      {{"retry_after_seconds", absl::StrCat(seconds)}});
}

void Gateway::Call(const ExchangePtr& exchange, const Message& request) {
  const MethodDescriptor& method = *exchange->match.route->rule.method;
  if (method.server_streaming()) return Stream(exchange, request);
  upstream_->Unary(method, request, exchange->facts(), TimeoutOf(exchange->request),
                   [this, exchange](absl::StatusOr<std::unique_ptr<Message>> answer) {
                     exchange->Answer(answer.ok() ? Answered(exchange, **answer)
                                                  : Failed(*exchange, answer.status()));
                   });
}

void Gateway::Stream(const ExchangePtr& exchange, const Message& request) {
  const MethodDescriptor& method = *exchange->match.route->rule.method;
  const StreamForm form = FormOf(method, exchange->request);
  const absl::string_view last_event_id = exchange->request.headers.Get("last-event-id");
  if (last_event_id == "end") {
    // Told before that there is no more; EventSource stops at this.
    HttpResponse response;
    response.status = 204;
    return exchange->Answer(std::move(response));
  }
  if (form == StreamForm::kEvents && WatchHub::MayShare(method, request)) {
    const auto answer = [this, exchange](absl::StatusOr<std::unique_ptr<BodyStream>> body) {
      if (!body.ok()) return exchange->Answer(Failed(*exchange, body.status()));
      HttpResponse response;
      PrepareStream(StreamForm::kEvents, &response);
      response.stream = *std::move(body);
      exchange->Answer(std::move(response));
    };
    return hub_->Subscribe(method, static_cast<const drover::v1::WatchRequest&>(request),
                           exchange->facts(), last_event_id, answer);
  }
  OpenStream(
      *upstream_, method, request, exchange->facts(), form,
      [exchange](HttpResponse response) { exchange->Answer(std::move(response)); },
      [this, exchange](const absl::Status& status) { return Failed(*exchange, status); });
}

HttpResponse Gateway::Answered(const ExchangePtr& exchange, Message& answer) const {
  const Route& route = *exchange->match.route;
  const MethodDescriptor& method = *route.rule.method;
  std::string cookie;
  if (OpensSession(method) && IsFromPage(exchange->request)) {
    auto& session = static_cast<drover::v1::Session&>(answer);
    cookie = SessionCookie(session.token(), FromProto(session.expire_time()) - absl::Now(),
                           exchange->secure);
    session.clear_token();
  } else if (EndsSession(method) && exchange->credentials.from_cookie) {
    cookie = EndedCookie(exchange->secure);
  }
  absl::StatusOr<std::string> json = AnswerJson(route, answer);
  if (!json.ok()) return Failed(*exchange, json.status());
  HttpResponse response;
  response.headers.Add("Content-Type", kJson);
  response.headers.Add("Cache-Control", "no-store");
  if (!cookie.empty()) response.headers.Add("Set-Cookie", cookie);
  if (json->size() >= kLeastForGzip &&
      ListAccepts(exchange->request.headers.Joined("accept-encoding"), "gzip")) {
    response.headers.Add("Content-Encoding", "gzip");
    *json = Gzip(*json, 1);
  }
  response.body = std::make_shared<const std::string>(*std::move(json));
  return response;
}

HttpResponse Gateway::Failed(const Exchange& exchange, const absl::Status& status) const {
  const int http = HttpStatusOf(status.code());
  if (http == 500) {
    LogError(exchange.request.method, " ", exchange.request.path, " (", exchange.request_id,
             "): ", status.message());
  }
  HttpResponse response = TextResponse(http, kJson, ErrorJson(status, exchange.request_id));
  response.headers.Add("Cache-Control", "no-store");
  if (http == 429) {
    const std::string wait = ErrorMetadata(status, "retry_after_seconds");
    if (!wait.empty()) response.headers.Add("Retry-After", wait);
  }
  if (http == 401) {
    response.headers.Add("WWW-Authenticate", "Bearer realm=\"drover\"");
    // The session is gone; so is what stood for it. A wrong password says nothing about it.
    const bool login =
        exchange.match.route != nullptr && OpensSession(*exchange.match.route->rule.method);
    if (exchange.credentials.from_cookie && !login) {
      response.headers.Add("Set-Cookie", EndedCookie(exchange.secure));
    }
  }
  return response;
}

// "Grpc-Timeout: 500m" shortens it; it never grows.
absl::Duration Gateway::TimeoutOf(const HttpRequest& request) const {
  const absl::Duration most = absl::Seconds(config_.call_seconds);
  absl::string_view text = request.headers.Get("grpc-timeout");
  int64_t amount = 0;
  if (text.size() < 2 || text.size() > 9 ||
      !absl::SimpleAtoi(text.substr(0, text.size() - 1), &amount) || amount <= 0) {
    return most;
  }
  absl::Duration unit = absl::InfiniteDuration();
  switch (text.back()) {
    case 'H':
      unit = absl::Hours(1);
      break;
    case 'M':
      unit = absl::Minutes(1);
      break;
    case 'S':
      unit = absl::Seconds(1);
      break;
    case 'm':
      unit = absl::Milliseconds(1);
      break;
    case 'u':
      unit = absl::Microseconds(1);
      break;
    case 'n':
      unit = absl::Nanoseconds(1);
      break;
    default:
      break;
  }
  return std::min(most, amount * unit);
}

}  // namespace drover::gateway
