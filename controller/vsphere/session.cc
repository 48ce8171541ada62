#include "controller/vsphere/session.h"

#include <utility>

#include "absl/strings/str_cat.h"
#include "controller/vsphere/faults.h"
#include "proto/support/log.h"
#include "proto/support/status.h"

namespace drover::vsphere {
namespace {

// Connections to one host: these and one that waits for updates. Hosts bear about a hundred, from
// everybody.
constexpr int kCallConnections = 3;
// Asks for the oldest dialect all supported servers speak, so that what we send is complete for it.
constexpr char kSoapAction[] = "SOAPAction: \"urn:vim25/6.5\"";
constexpr absl::Duration kLoginTimeout = absl::Seconds(30);
constexpr absl::Duration kLogoutTimeout = absl::Seconds(3);

ServiceContent ReadContent(pugi::xml_node value) {
  ServiceContent content;
  for (pugi::xml_node child : value.children()) {
    if (child.attribute("type")) content.managers[child.name()] = ReadRef(child);
  }
  content.full_name = std::string(TextAt(value, "about.fullName"));
  content.version = std::string(TextAt(value, "about.version"));
  content.is_vcenter = TextAt(value, "about.apiType") == "VirtualCenter";
  return content;
}

}  // namespace

MoRef ServiceContent::Manager(absl::string_view name) const {
  auto it = managers.find(name);
  return it == managers.end() ? MoRef{} : it->second;
}

Session::Session(Account account)
    : account_(std::move(account)),
      host_(HostOfUrl(account_.url)),
      calls_(account_.fingerprint, kCallConnections),
      waits_(account_.fingerprint, 1) {}

Session::~Session() {
  std::optional<Login> login;
  MoRef manager;
  {
    absl::MutexLock lock(&mutex_);
    login = login_;
    if (content_) manager = content_->Manager("sessionManager");
  }
  if (!login) return;
  CallOptions options;
  options.timeout = kLogoutTimeout;
  auto reply = Send(Envelope(manager, "Logout", ""), login->cookie, options, nullptr);
  if (!reply.ok()) LogDebug(host_, ": logout: ", std::string(reply.status().message()));
}

int64_t Session::generation() const {
  absl::MutexLock lock(&mutex_);
  return logins_;
}

void Session::Lost(int64_t generation) {
  absl::MutexLock lock(&mutex_);
  if (login_ && login_->generation == generation) login_.reset();
}

absl::StatusOr<SoapReply> Session::Call(const MoRef& self, absl::string_view method,
                                        absl::string_view parameters, const CallOptions& options) {
  std::string envelope = Envelope(self, method, parameters);
  DROVER_ASSIGN_OR_RETURN(Login login, LogIn(options.stop));
  auto reply = Send(envelope, login.cookie, options, nullptr);
  // The server refused before it did anything, so a change may be sent again too.
  if (!IsFault(reply.status(), "NotAuthenticated")) return reply;
  Lost(login.generation);
  DROVER_ASSIGN_OR_RETURN(login, LogIn(options.stop));
  return Send(envelope, login.cookie, options, nullptr);
}

absl::StatusOr<ServiceContent> Session::Content(std::stop_token stop) {
  DROVER_RETURN_IF_ERROR(LogIn(stop).status());
  absl::MutexLock lock(&mutex_);
  return *content_;
}

absl::StatusOr<Session::Login> Session::LogIn(std::stop_token stop) {
  ServiceContent content;
  {
    std::stop_callback wake(stop, [this] {
      absl::MutexLock lock(&mutex_);
      changed_.SignalAll();
    });
    absl::MutexLock lock(&mutex_);
    while (true) {
      if (!refused_.ok()) return refused_;
      if (login_) return *login_;
      if (stop.stop_requested()) return absl::CancelledError("cancelled");
      if (!logging_in_) break;
      changed_.Wait(&mutex_);
    }
    logging_in_ = true;
    if (content_) content = *content_;
  }
  auto cookie = Connect(stop, content);
  absl::MutexLock lock(&mutex_);
  logging_in_ = false;
  changed_.SignalAll();
  if (!cookie.ok()) {
    if (HasReason(cookie.status(), "HYPERVISOR_LOGIN_REFUSED")) refused_ = cookie.status();
    return cookie.status();
  }
  content_ = std::move(content);
  login_ = Login{*std::move(cookie), ++logins_};
  return *login_;
}

absl::StatusOr<std::string> Session::Connect(std::stop_token stop, ServiceContent& content) {
  CallOptions options;
  options.timeout = kLoginTimeout;
  options.stop = stop;
  if (content.managers.empty()) {
    MoRef root{"ServiceInstance", "ServiceInstance"};
    auto reply = Send(Envelope(root, "RetrieveServiceContent", ""), "", options, nullptr);
    if (!reply.ok()) return Interpret(reply.status(), host_);
    content = ReadContent(reply->value());
  }
  options.changes = true;
  std::string cookie;
  auto reply =
      Send(Envelope(content.Manager("sessionManager"), "Login",
                    absl::StrCat(Xml("userName", account_.user), Xml("password", account_.password),
                                 Xml("locale", "en_US"))),
           "", options, &cookie);
  if (!reply.ok()) {
    if (IsFault(reply.status(), "InvalidLogin") || IsFault(reply.status(), "NoPermission")) {
      return LoginRefused(reply.status(), host_, account_.user);
    }
    return Interpret(reply.status(), host_);
  }
  bool clean;
  {
    absl::MutexLock lock(&mutex_);
    clean = !account_.agent.empty() && !std::exchange(cleaned_, true);
  }
  if (clean) EndLeftOvers(content, std::string(TextAt(reply->value(), "key")), cookie, stop);
  return cookie;
}

void Session::EndLeftOvers(const ServiceContent& content, const std::string& own_key,
                           const std::string& cookie, std::stop_token stop) {
  CallOptions options;
  options.timeout = kLoginTimeout;
  options.stop = stop;
  MoRef manager = content.Manager("sessionManager");
  std::string spec = XmlOf(
      "specSet",
      XmlOf("propSet", absl::StrCat(Xml("type", "SessionManager"), Xml("pathSet", "sessionList"))) +
          XmlOf("objectSet", XmlRef("obj", manager)));
  auto reply = Send(Envelope(content.Manager("propertyCollector"), "RetrievePropertiesEx",
                             absl::StrCat(spec, "<options/>")),
                    cookie, options, nullptr);
  // Not everybody may see or end sessions; theirs then end by themselves after half an hour.
  if (!reply.ok()) return;
  std::string keys;
  for (pugi::xml_node one : NodeAt(reply->value(), "objects.propSet.val").children()) {
    if (TextAt(one, "userAgent") != account_.agent || TextAt(one, "key") == own_key) continue;
    absl::StrAppend(&keys, Xml("sessionId", TextAt(one, "key")));
  }
  if (keys.empty()) return;
  Send(Envelope(manager, "TerminateSession", keys), cookie, options, nullptr).IgnoreError();
}

absl::StatusOr<SoapReply> Session::Send(const std::string& envelope, const std::string& cookie,
                                        const CallOptions& options, std::string* new_cookie) {
  HttpRequest request;
  request.method = HttpRequest::Method::kPost;
  request.url = account_.url;
  request.headers = {
      "Content-Type: text/xml; charset=utf-8", kSoapAction,
      absl::StrCat("User-Agent: ", account_.agent.empty() ? "drover" : account_.agent)};
  if (!cookie.empty()) request.headers.push_back(absl::StrCat("Cookie: ", cookie));
  request.body = envelope;
  request.timeout = options.timeout;
  request.stop = options.stop;
  request.repeatable = !options.changes;
  HttpTransport& transport = options.waits ? waits_ : calls_;
  DROVER_ASSIGN_OR_RETURN(HttpResponse response, transport.Send(request));
  if (new_cookie != nullptr) *new_cookie = response.cookie;
  auto reply = SoapReply::Parse(std::move(response.body), response.status);
  if (!reply.ok() && !FaultOf(reply.status())) return Annotate(reply.status(), host_);
  return reply;
}

}  // namespace drover::vsphere
