#include "controller/api/server.h"

#include <grpcpp/ext/health_check_service_server_builder_option.h>
#include <grpcpp/generic/async_generic_service.h>
#include <grpcpp/health_check_service_interface.h>
#include <grpcpp/resource_quota.h>
#include <grpcpp/security/server_credentials.h>
#include <grpcpp/security/tls_certificate_provider.h>
#include <grpcpp/security/tls_credentials_options.h>
#include <grpcpp/server.h>
#include <grpcpp/server_builder.h>
#include <openssl/crypto.h>

#include <chrono>
#include <stop_token>
#include <thread>
#include <utility>

#include "absl/base/thread_annotations.h"
#include "absl/container/flat_hash_map.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/strip.h"
#include "absl/synchronization/mutex.h"
#include "controller/api/redaction.h"
#include "controller/api/stream_session.h"
#include "controller/core/client_address.h"
#include "controller/core/worker_pool.h"
#include "proto/support/contract.h"
#include "proto/support/grpc_status.h"
#include "proto/support/status.h"

namespace drover::api {
namespace {

using google::protobuf::Message;
using google::protobuf::MethodDescriptor;

constexpr int kMaxRequestBytes = 4 << 20;
constexpr int kMaxAnswerBytes = 64 << 20;

grpc::ByteBuffer ToBuffer(const std::string& bytes) {
  const grpc::Slice slice(bytes);
  return grpc::ByteBuffer(&slice, 1);
}

absl::StatusOr<std::unique_ptr<Message>> ParseRequest(const MethodDescriptor& method,
                                                      const grpc::ByteBuffer& buffer) {
  grpc::Slice slice;
  std::unique_ptr<Message> request = NewMessage(*method.input_type());
  const bool read = buffer.Length() == 0 || buffer.DumpToSingleSlice(&slice).ok();
  if (!read || !request->ParseFromArray(slice.begin(), static_cast<int>(slice.size()))) {
    return absl::InvalidArgumentError(
        absl::StrCat("the request is not a ", method.input_type()->name(), " (or not UTF-8)"));
  }
  return request;
}

std::string MetadataOf(const grpc::CallbackServerContext& context, const char* key) {
  const auto found = context.client_metadata().find(key);
  if (found == context.client_metadata().end()) return "";
  return std::string(found->second.data(), found->second.size());
}

// In a time that tells nothing about how much of it was right.
bool IsGateway(const std::string& shown, const std::string& key) {
  return !key.empty() && shown.size() == key.size() &&
         CRYPTO_memcmp(shown.data(), key.data(), key.size()) == 0;
}

Origin OriginOf(const grpc::CallbackServerContext& context, const std::string& gateway_key) {
  Origin origin;
  const std::string authorization = MetadataOf(context, "authorization");
  absl::string_view token = authorization;
  if (absl::ConsumePrefix(&token, "Bearer ") || absl::ConsumePrefix(&token, "bearer ")) {
    origin.token = std::string(token);
  }
  origin.client_address = core::ClientAddress(
      core::AddressOfPeer(context.peer()), MetadataOf(context, "x-drover-client"),
      IsGateway(MetadataOf(context, "x-drover-gateway-key"), gateway_key));
  return origin;
}

absl::Status Busy(absl::string_view reason, absl::string_view message) {
  return MakeError(absl::StatusCode::kResourceExhausted, reason, message);
}

}  // namespace

class Server::State final : public grpc::CallbackGenericService {
 public:
  State(ServerOptions options, Dispatcher* dispatcher, core::Clock* clock)
      : options_(std::move(options)),
        dispatcher_(dispatcher),
        clock_(clock),
        pool_(options_.workers, options_.queue) {}

  absl::Status Start();
  void Stop(absl::Duration grace);
  void RecheckStreams();
  int port() const { return port_; }

  grpc::ServerGenericBidiReactor* CreateReactor(
      grpc::GenericCallbackServerContext* context) override;

 private:
  class Unary;
  class Stream;
  class Refusal;
  struct OpenStream {
    std::weak_ptr<StreamSession> session;
    const MethodDescriptor* method;
    Origin origin;
  };

  void Enter() {
    absl::MutexLock lock(&mutex_);
    ++reactors_;
  }
  // The last thing a reactor does before it is gone.
  void Leave(const void* stream) {
    absl::MutexLock lock(&mutex_);
    streams_.erase(stream);
    --reactors_;
  }
  bool Register(const void* stream, OpenStream open) {
    absl::MutexLock lock(&mutex_);
    if (streams_.size() >= static_cast<size_t>(options_.max_streams)) return false;
    streams_.emplace(stream, std::move(open));
    return true;
  }
  std::vector<OpenStream> Streams() {
    absl::MutexLock lock(&mutex_);
    std::vector<OpenStream> streams;
    for (const auto& [key, open] : streams_) streams.push_back(open);
    return streams;
  }

  const ServerOptions options_;
  Dispatcher* const dispatcher_;
  core::Clock* const clock_;
  int port_ = 0;
  absl::Mutex mutex_;
  int reactors_ ABSL_GUARDED_BY(mutex_) = 0;
  absl::flat_hash_map<const void*, OpenStream> streams_ ABSL_GUARDED_BY(mutex_);
  core::WorkerPool pool_;
  std::unique_ptr<grpc::Server> server_;
  std::jthread rechecker_;
};

// A call that is answered with an error and nothing else.
class Server::State::Refusal final : public grpc::ServerGenericBidiReactor {
 public:
  Refusal(State* state, const absl::Status& status) : state_(state) {
    state_->Enter();
    Finish(ToGrpcStatus(status));
  }
  void OnDone() override {
    state_->Leave(this);
    delete this;
  }

 private:
  State* const state_;
};

// One request, one answer. Only the task on the pool finishes the call, so that it may use `this`.
class Server::State::Unary final : public grpc::ServerGenericBidiReactor {
 public:
  Unary(State* state, const MethodDescriptor& method, grpc::CallbackServerContext* context)
      : state_(state),
        method_(method),
        context_(context),
        origin_(OriginOf(*context, state->options_.gateway_key)) {
    state_->Enter();
    StartRead(&buffer_);
  }

  void OnReadDone(bool ok) override {
    if (!ok) return Fail(absl::InvalidArgumentError("the request is missing"));
    absl::StatusOr<std::unique_ptr<Message>> request = ParseRequest(method_, buffer_);
    if (!request.ok()) return Fail(request.status());
    request_ = *std::move(request);
    if (!state_->pool_.TrySubmit([this] { Run(); })) {
      Fail(Busy("SERVER_BUSY", "the controller has too much to do; try again"));
    }
  }
  void OnDone() override {
    state_->Leave(this);
    delete this;
  }

 private:
  void Run() {
    // Nobody waits for it any more, and nothing was begun.
    if (context_->IsCancelled()) return Fail(absl::CancelledError("the caller went away"));
    const absl::StatusOr<std::unique_ptr<Message>> answer =
        state_->dispatcher_->Dispatch(method_, origin_, std::move(request_));
    if (!answer.ok()) return Fail(answer.status());
    const std::string bytes = (*answer)->SerializeAsString();
    if (bytes.size() > kMaxAnswerBytes) {
      return Fail(absl::OutOfRangeError("the answer is too large; ask for smaller pages"));
    }
    buffer_ = ToBuffer(bytes);
    StartWriteAndFinish(&buffer_, grpc::WriteOptions(), grpc::Status::OK);
  }
  void Fail(const absl::Status& status) { Finish(ToGrpcStatus(status)); }

  State* const state_;
  const MethodDescriptor& method_;
  grpc::CallbackServerContext* const context_;
  const Origin origin_;
  grpc::ByteBuffer buffer_;
  std::unique_ptr<Message> request_;
};

// A request, then messages until the subscription or the caller ends it. All writing goes through
// the session.
class Server::State::Stream final : public grpc::ServerGenericBidiReactor, public StreamWire {
 public:
  Stream(State* state, const MethodDescriptor& method, grpc::CallbackServerContext* context)
      : state_(state), method_(method), origin_(OriginOf(*context, state->options_.gateway_key)) {
    std::function<void(Message*)> redact;
    if (MayHoldSecrets(*method.output_type())) redact = &Redact;
    session_ = std::make_shared<StreamSession>(this, &state->pool_, state->options_.stream_queue,
                                               std::move(redact));
    state_->Enter();
    if (!state_->Register(this, {session_, &method_, origin_})) {
      session_->Finish(Busy("TOO_MANY_STREAMS", "too many streams are open"));
      return;
    }
    StartRead(&buffer_);
  }

  void OnReadDone(bool ok) override {
    if (!ok) return session_->Finish(absl::InvalidArgumentError("the request is missing"));
    absl::StatusOr<std::unique_ptr<Message>> request = ParseRequest(method_, buffer_);
    if (!request.ok()) return session_->Finish(request.status());
    // Shared only because a task must be copyable.
    auto parsed = std::make_shared<std::unique_ptr<Message>>(*std::move(request));
    const auto open = [dispatcher = state_->dispatcher_, &method = method_, origin = origin_,
                       session = session_, parsed] {
      auto subscription = dispatcher->Open(method, origin, std::move(*parsed), session);
      if (!subscription.ok()) return session->Finish(subscription.status());
      session->Attach(*std::move(subscription));
    };
    if (!state_->pool_.TrySubmit(open)) {
      session_->Finish(Busy("SERVER_BUSY", "the controller has too much to do; try again"));
    }
  }
  void OnWriteDone(bool ok) override { session_->OnWritten(ok); }
  void OnCancel() override { session_->Abort(absl::CancelledError("the caller went away")); }
  void OnDone() override {
    session_->Ended();
    state_->Leave(this);
    delete this;
  }

  void Write(std::string message) override {
    out_ = ToBuffer(message);
    StartWrite(&out_);
  }
  void FinishCall(const absl::Status& status) override { Finish(ToGrpcStatus(status)); }

 private:
  State* const state_;
  const MethodDescriptor& method_;
  const Origin origin_;
  std::shared_ptr<StreamSession> session_;
  grpc::ByteBuffer buffer_;
  grpc::ByteBuffer out_;
};

grpc::ServerGenericBidiReactor* Server::State::CreateReactor(
    grpc::GenericCallbackServerContext* context) {
  const MethodDescriptor* method = FindMethod(context->method());
  if (method == nullptr || MethodPath(*method) != context->method()) {
    return new Refusal(
        this, absl::UnimplementedError(absl::StrCat("there is no method ", context->method())));
  }
  if (method->server_streaming()) return new Stream(this, *method, context);
  return new Unary(this, *method, context);
}

absl::Status Server::State::Start() {
  namespace tls = grpc::experimental;
  auto certificates = std::make_shared<tls::FileWatcherCertificateProvider>(
      options_.key_file, options_.certificate_file, /*refresh_interval_sec=*/60);
  tls::TlsServerCredentialsOptions credentials(certificates);
  credentials.watch_identity_key_cert_pairs();
  credentials.set_cert_request_type(GRPC_SSL_DONT_REQUEST_CLIENT_CERTIFICATE);

  grpc::EnableDefaultHealthCheckService(true);
  grpc::ServerBuilder builder;
  builder.AddListeningPort(options_.listen, tls::TlsServerCredentials(credentials), &port_);
  builder.RegisterCallbackGenericService(this);
  builder.SetMaxReceiveMessageSize(kMaxRequestBytes);
  builder.SetMaxSendMessageSize(kMaxAnswerBytes);
  // A second controller on the same port is a mistake that must be seen.
  builder.AddChannelArgument(GRPC_ARG_ALLOW_REUSEPORT, 0);
  builder.AddChannelArgument(GRPC_ARG_MAX_CONCURRENT_STREAMS, options_.max_streams + 100);
  // Finds callers that went away without a word; theirs may ask as often as every 10 s.
  builder.AddChannelArgument(GRPC_ARG_KEEPALIVE_TIME_MS, 30000);
  builder.AddChannelArgument(GRPC_ARG_KEEPALIVE_TIMEOUT_MS, 10000);
  builder.AddChannelArgument(GRPC_ARG_HTTP2_MIN_RECV_PING_INTERVAL_WITHOUT_DATA_MS, 10000);
  builder.AddChannelArgument(GRPC_ARG_KEEPALIVE_PERMIT_WITHOUT_CALLS, 1);
  server_ = builder.BuildAndStart();
  if (server_ == nullptr || port_ == 0) {
    return absl::UnavailableError(absl::StrCat("cannot listen on ", options_.listen));
  }
  server_->GetHealthCheckService()->SetServingStatus(true);
  rechecker_ = std::jthread([this](std::stop_token stop) {
    while (clock_->Sleep(options_.recheck_interval, stop).ok()) RecheckStreams();
  });
  return absl::OkStatus();
}

void Server::State::RecheckStreams() {
  for (const OpenStream& open : Streams()) {
    core::Caller caller;
    const absl::Status allowed = dispatcher_->Admit(*open.method, open.origin, &caller);
    // A store that cannot be asked just now is no reason to end anything.
    if (!absl::IsUnauthenticated(allowed) && !absl::IsPermissionDenied(allowed)) continue;
    if (auto session = open.session.lock()) session->Abort(allowed);
  }
}

void Server::State::Stop(absl::Duration grace) {
  if (server_ == nullptr) return;
  rechecker_.request_stop();
  rechecker_ = std::jthread();
  server_->GetHealthCheckService()->SetServingStatus(false);
  for (const OpenStream& open : Streams()) {
    if (auto session = open.session.lock()) {
      session->Abort(absl::UnavailableError("the controller is stopping"));
    }
  }
  server_->Shutdown(std::chrono::system_clock::now() + absl::ToChronoMicroseconds(grace));
  server_->Wait();
  {
    absl::MutexLock lock(&mutex_);
    const auto empty = [this]() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_) { return reactors_ == 0; };
    mutex_.Await(absl::Condition(&empty));
  }
  server_.reset();
}

Server::Server(ServerOptions options, Dispatcher* dispatcher, core::Clock* clock)
    : state_(std::make_unique<State>(std::move(options), dispatcher, clock)) {}
Server::~Server() { Stop(absl::ZeroDuration()); }
absl::Status Server::Start() { return state_->Start(); }
int Server::port() const { return state_->port(); }
void Server::Stop(absl::Duration grace) { state_->Stop(grace); }
void Server::RecheckStreams() { state_->RecheckStreams(); }

}  // namespace drover::api
