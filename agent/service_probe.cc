#include "agent/service_probe.h"

#include <arpa/inet.h>
#include <errno.h>
#include <string.h>
#include <sys/socket.h>

#include <algorithm>
#include <utility>

#include "absl/strings/ascii.h"
#include "absl/strings/escaping.h"
#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "proto/support/status.h"

namespace drover::agent {
namespace {

bool IsPort(int port) { return port > 0 && port < 65536; }

absl::Duration SecondsOr(int seconds, int standard) {
  return absl::Seconds(seconds > 0 ? seconds : standard);
}

}  // namespace

absl::StatusOr<HttpTarget> ParseHttpTarget(absl::string_view text) {
  HttpTarget target;
  const size_t slash = text.find('/');
  const bool has_path = slash != absl::string_view::npos;
  target.path = has_path ? std::string(text.substr(slash)) : "/";
  const bool clean = std::all_of(target.path.begin(), target.path.end(),
                                 [](unsigned char c) { return absl::ascii_isgraph(c); });
  if (!absl::SimpleAtoi(text.substr(0, slash), &target.port) || !IsPort(target.port) || !clean) {
    return InvalidField("probe.http", absl::StrCat("\"", absl::CHexEscape(text),
                                                   "\" is not a port and path like 8080/healthz"));
  }
  return target;
}

int HttpStatusCode(absl::string_view response) {
  int code = 0;
  if (!absl::StartsWith(response, "HTTP/1.") || response.size() < 12 || response[8] != ' ' ||
      !absl::SimpleAtoi(response.substr(9, 3), &code)) {
    return 0;
  }
  return code;
}

absl::Status CheckProbe(const drover::v1::HealthProbe& probe) {
  switch (probe.kind_case()) {
    case drover::v1::HealthProbe::kTcpPort:
      if (IsPort(probe.tcp_port())) return absl::OkStatus();
      return InvalidField("probe.tcp_port", "a port is between 1 and 65535");
    case drover::v1::HealthProbe::kHttp:
      return ParseHttpTarget(probe.http()).status();
    case drover::v1::HealthProbe::kCommand:
      if (!probe.command().empty()) return absl::OkStatus();
      return InvalidField("probe.command", "must not be empty");
    case drover::v1::HealthProbe::KIND_NOT_SET:
      break;
  }
  return InvalidField("probe", "set one of tcp_port, http, command");
}

ServiceProbe::ServiceProbe(EventLoop* loop, const drover::v1::HealthProbe& probe,
                           const std::string& run_as, Changed changed)
    : loop_(loop), probe_(probe), run_as_(run_as), changed_(std::move(changed)) {
  if (probe_.kind_case() == drover::v1::HealthProbe::kHttp) {
    if (auto target = ParseHttpTarget(probe_.http()); target.ok()) http_ = *std::move(target);
  }
  Wait();
}

ServiceProbe::~ServiceProbe() {
  EndTry();
  loop_->CancelTimer(next_);
}

void ServiceProbe::Wait() {
  next_ = loop_->RunAfter(SecondsOr(probe_.interval_seconds(), 10), [this] { Try(); });
}

void ServiceProbe::Try() {
  const absl::Duration limit = SecondsOr(probe_.timeout_seconds(), 5);
  timeout_ = loop_->RunAfter(
      limit, [this, limit] { Finish(absl::StrCat("no answer within ", FormatDuration(limit))); });
  if (probe_.kind_case() == drover::v1::HealthProbe::kCommand) {
    TryCommand();
  } else {
    TryConnection(probe_.kind_case() == drover::v1::HealthProbe::kHttp ? http_.port
                                                                       : probe_.tcp_port());
  }
}

void ServiceProbe::TryCommand() {
  auto child = ChildProcess::Start(
      loop_, {.argv = ShellCommand(probe_.command()), .run_as = run_as_}, [this](ExitStatus exit) {
        Finish(exit.code == 0 ? "" : absl::StrCat("the command ended with ", exit.ToString()));
      });
  if (!child.ok()) return Finish(std::string(child.status().message()));
  command_ = *std::move(child);
}

void ServiceProbe::TryConnection(int port) {
  socket_.reset(socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0));
  sockaddr_in address = {};
  address.sin_family = AF_INET;
  address.sin_port = htons(port);
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  if (connect(socket_.get(), reinterpret_cast<sockaddr*>(&address), sizeof(address)) != 0 &&
      errno != EINPROGRESS) {
    return Finish(absl::StrCat("port ", port, ": ", strerror(errno)));
  }
  loop_->WatchWritable(socket_.get(), [this] { Connected(); });
}

void ServiceProbe::Connected() {
  int error = 0;
  socklen_t size = sizeof(error);
  getsockopt(socket_.get(), SOL_SOCKET, SO_ERROR, &error, &size);
  if (error != 0) return Finish(strerror(error));
  if (probe_.kind_case() != drover::v1::HealthProbe::kHttp) return Finish("");
  loop_->Unwatch(socket_.get());
  const std::string request =
      absl::StrCat("GET ", http_.path, " HTTP/1.1\r\nHost: localhost:", http_.port,
                   "\r\nUser-Agent: drover-agent\r\nAccept: */*\r\nConnection: close\r\n\r\n");
  if (send(socket_.get(), request.data(), request.size(), MSG_NOSIGNAL) !=
      static_cast<ssize_t>(request.size())) {
    return Finish(strerror(errno));
  }
  response_.clear();
  loop_->WatchReadable(socket_.get(), [this] { Readable(); });
}

void ServiceProbe::Readable() {
  char buffer[256];
  const ssize_t count = recv(socket_.get(), buffer, sizeof(buffer), 0);
  if (count < 0) {
    if (errno != EAGAIN && errno != EINTR) Finish(strerror(errno));
    return;
  }
  response_.append(buffer, count);
  if (response_.size() < 12 && count > 0) return;
  const int code = HttpStatusCode(response_);
  if (code >= 200 && code < 400) return Finish("");
  Finish(code == 0 ? "the answer is not HTTP" : absl::StrCat("HTTP status ", code));
}

void ServiceProbe::EndTry() {
  loop_->CancelTimer(timeout_);
  timeout_ = 0;
  if (socket_.valid()) loop_->Unwatch(socket_.get());
  socket_.reset();
  if (command_ != nullptr && command_->running()) {
    KillTree(loop_, command_->pid(), command_->mark(), [](absl::Status) {});
  }
  command_.reset();
}

void ServiceProbe::Finish(const std::string& problem) {
  EndTry();
  Wait();
  const int threshold = probe_.threshold() > 0 ? probe_.threshold() : 3;
  failures_ = problem.empty() ? 0 : failures_ + 1;
  // Calls come last: they may destroy this.
  if (problem.empty() && known_ != Known::kHealthy) {
    known_ = Known::kHealthy;
    changed_(true, "");
  } else if (failures_ >= threshold && known_ != Known::kUnhealthy) {
    known_ = Known::kUnhealthy;
    changed_(false, problem);
  }
}

}  // namespace drover::agent
