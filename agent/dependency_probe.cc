#include "agent/dependency_probe.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <string.h>
#include <sys/socket.h>

#include <algorithm>
#include <optional>
#include <utility>

#include "absl/strings/str_cat.h"
#include "proto/support/status.h"
#include "proto/support/time.h"

namespace drover::agent {
namespace {

using drover::v1::DependencyCheck;
using drover::v1::Profile;
using Kind = Dialogue::Kind;

constexpr int kPortmapPort = 111;
constexpr int kHighestPort = 65535;

Kind KindOf(Protocol protocol) {
  switch (protocol) {
    case Profile::PROTOCOL_MONGO:
      return Kind::kMongo;
    case Profile::PROTOCOL_MYSQL:
      return Kind::kMysql;
    case Profile::PROTOCOL_NFS:
      return Kind::kNfs;
    case Profile::PROTOCOL_RABBITMQ:
      return Kind::kRabbitmq;
    case Profile::PROTOCOL_REDIS:
      return Kind::kRedis;
    case Profile::PROTOCOL_HTTP:
      return Kind::kHttp;
    default:
      return Kind::kTcp;
  }
}

}  // namespace

absl::StatusOr<std::unique_ptr<OrderWork>> DependencyProbe::Start(EventLoop* loop,
                                                                  const v1::ProbeDependency& order,
                                                                  OrderVoice voice) {
  in_addr address = {};
  if (inet_pton(AF_INET, order.host().c_str(), &address) != 1) {
    return InvalidField("host", "must be a dotted IPv4 address");
  }
  if (order.port() < 0 || order.port() > kHighestPort) {
    return InvalidField("port", "must be 0 to 65535");
  }
  if (order.protocol() == Profile::PROTOCOL_UNSPECIFIED) {
    return InvalidField("protocol", "is required");
  }
  if (order.port() == 0 && UsualPort(order.protocol()) == 0) {
    return InvalidField("port", "is required for this protocol");
  }
  std::unique_ptr<DependencyProbe> probe(new DependencyProbe(loop, order, std::move(voice)));
  probe->Begin();
  return probe;
}

DependencyProbe::~DependencyProbe() { Close(); }

void DependencyProbe::Abort(std::function<void(absl::Status)> ended) {
  Close();
  ended(absl::OkStatus());
}

void DependencyProbe::Begin() {
  Dialogue dialogue;
  dialogue.kind = KindOf(order_.protocol());
  dialogue.host = order_.host();
  int port = order_.port() > 0 ? order_.port() : UsualPort(order_.protocol());
  if (dialogue.kind == Kind::kNfs && order_.port() == 0) {
    dialogue.kind = Kind::kPortmap;
    port = kPortmapPort;
  }
  Connect(dialogue, port);
}

void DependencyProbe::Connect(const Dialogue& dialogue, int port) {
  Close();
  dialogue_ = dialogue;
  port_ = port;
  received_.clear();
  socket_.reset(socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0));
  sockaddr_in address = {};
  address.sin_family = AF_INET;
  address.sin_port = htons(static_cast<uint16_t>(port));
  inet_pton(AF_INET, order_.host().c_str(), &address.sin_addr);
  if (connect(socket_.get(), reinterpret_cast<sockaddr*>(&address), sizeof(address)) != 0 &&
      errno != EINPROGRESS) {
    return NotConnected(errno);
  }
  timeout_ = loop_->RunAfter(kConnectPatience, [this] { NotConnected(ETIMEDOUT); });
  loop_->WatchWritable(socket_.get(), [this] { Connected(); });
}

void DependencyProbe::Connected() {
  int error = 0;
  socklen_t size = sizeof(error);
  getsockopt(socket_.get(), SOL_SOCKET, SO_ERROR, &error, &size);
  if (error != 0) return NotConnected(error);
  loop_->Unwatch(socket_.get());
  loop_->CancelTimer(timeout_);
  Say();
}

void DependencyProbe::NotConnected(int error) {
  if (error == ECONNREFUSED && dialogue_.kind == Kind::kPortmap) {
    // A server of version 4 alone needs none.
    Dialogue nfs = dialogue_;
    nfs.kind = Kind::kNfs;
    return Connect(nfs, UsualPort(Profile::PROTOCOL_NFS));
  }
  const std::string place = absl::StrCat(order_.host(), ":", port_);
  if (error == ECONNREFUSED) {
    return Finish(DependencyCheck::RESULT_SERVICE_MISSING,
                  absl::StrCat("nothing listens at ", place));
  }
  Finish(DependencyCheck::RESULT_UNREACHABLE, absl::StrCat(place, ": ", strerror(error)));
}

void DependencyProbe::Say() {
  const std::string request = RequestOf(dialogue_);
  // Shorter than any socket's buffer.
  if (!request.empty() && send(socket_.get(), request.data(), request.size(), MSG_NOSIGNAL) !=
                              static_cast<ssize_t>(request.size())) {
    return Finish(DependencyCheck::RESULT_WRONG_ANSWER, strerror(errno));
  }
  timeout_ = loop_->RunAfter(kAnswerPatience, [this] {
    Finish(DependencyCheck::RESULT_WRONG_ANSWER,
           absl::StrCat("port ", port_, " accepts connections, and gives no answer within ",
                        FormatDuration(kAnswerPatience)));
  });
  if (dialogue_.kind == Kind::kTcp) return Judge(false);
  loop_->WatchReadable(socket_.get(), [this] { Readable(); });
}

void DependencyProbe::Readable() {
  char buffer[4096];
  const ssize_t count = recv(socket_.get(), buffer, sizeof(buffer), 0);
  if (count < 0 && (errno == EAGAIN || errno == EINTR)) return;
  if (count > 0) received_.append(buffer, static_cast<size_t>(count));
  Judge(count <= 0);
}

void DependencyProbe::Judge(bool ended) {
  const std::optional<Answer> answer = JudgeAnswer(dialogue_, received_, ended);
  if (answer.has_value()) Next(*answer);
}

void DependencyProbe::Next(const Answer& answer) {
  Dialogue nfs = dialogue_;
  nfs.kind = Kind::kNfs;
  if (dialogue_.kind == Kind::kPortmap && answer.ok) {
    // One of version 4 alone is not registered.
    const bool registered = answer.port > 0 && answer.port <= kHighestPort;
    return Connect(nfs, registered ? answer.port : UsualPort(Profile::PROTOCOL_NFS));
  }
  if (answer.other_version > 0 && dialogue_.version == Dialogue().version) {
    nfs.version = answer.other_version;
    return Connect(nfs, port_);
  }
  if (answer.ok) return Finish(DependencyCheck::RESULT_OK, answer.detail);
  Finish(DependencyCheck::RESULT_WRONG_ANSWER,
         absl::StrCat("port ", port_, " is not ", NameOf(order_.protocol()),
                      " as it should be: ", answer.detail));
}

void DependencyProbe::Close() {
  loop_->CancelTimer(timeout_);
  timeout_ = 0;
  if (socket_.valid()) loop_->Unwatch(socket_.get());
  socket_.reset();
}

void DependencyProbe::Finish(Result result, absl::string_view detail) {
  Close();
  v1::CommandUpdate details;
  details.mutable_probe_verdict()->set_result(result);
  details.mutable_probe_verdict()->set_detail(std::string(detail));
  voice_.done(absl::OkStatus(), std::move(details));
}

}  // namespace drover::agent
