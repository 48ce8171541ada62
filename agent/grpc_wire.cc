#include "agent/grpc_wire.h"

#include <chrono>
#include <utility>

#include "proto/support/grpc_status.h"

namespace drover::agent {
namespace {

constexpr char kServerName[] = "drover-controller";
constexpr std::chrono::seconds kEnrolmentLimit(20);

}  // namespace

// Lives until the last completion that mentions it was handled.
struct GrpcWire::Stream {
  std::shared_ptr<bool> wire_alive;
  std::shared_ptr<grpc::Channel> channel;
  std::unique_ptr<v1::AgentLink::Stub> stub;
  grpc::ClientContext context;
  std::unique_ptr<grpc::ClientAsyncReaderWriter<v1::AgentMessage, v1::ControllerMessage>> calls;
  v1::ControllerMessage incoming;
  grpc::Status status;
  Events events;
  GrpcWire* wire = nullptr;
};

GrpcWire::GrpcWire(EventLoop* loop, const std::string& address)
    : loop_(loop), address_(address), thread_([this] { Pump(); }) {}

GrpcWire::~GrpcWire() {
  *alive_ = false;
  if (stream_ != nullptr) stream_->context.TryCancel();
  if (auto context = enrolment_.lock()) context->TryCancel();
  queue_.Shutdown();
  thread_.join();
}

void GrpcWire::Pump() {
  void* raw = nullptr;
  bool ok = false;
  while (queue_.Next(&raw, &ok)) {
    std::unique_ptr<Tag> tag(static_cast<Tag*>(raw));
    loop_->Post([tag = std::move(tag), ok] { (*tag)(ok); });
  }
}

std::shared_ptr<grpc::Channel> GrpcWire::Connect(const Credentials& credentials) const {
  grpc::SslCredentialsOptions tls;
  tls.pem_root_certs = credentials.authority;
  tls.pem_private_key = credentials.key;
  tls.pem_cert_chain = credentials.certificate_chain;
  grpc::ChannelArguments arguments;
  // The name in the certificate, whatever address the controller has today.
  arguments.SetSslTargetNameOverride(kServerName);
  arguments.SetUserAgentPrefix("drover-agent");
  // A new channel shall be a new connection, without another's back-off.
  arguments.SetInt(GRPC_ARG_USE_LOCAL_SUBCHANNEL_POOL, 1);
  arguments.SetInt(GRPC_ARG_MIN_RECONNECT_BACKOFF_MS, 10000);
  arguments.SetInt(GRPC_ARG_ENABLE_HTTP_PROXY, 0);
  arguments.SetInt(GRPC_ARG_SERVICE_CONFIG_DISABLE_RESOLUTION, 1);
  arguments.SetInt(GRPC_ARG_ENABLE_RETRIES, 0);
  // Measuring the line with pings serves throughput, of which there is next to none.
  arguments.SetInt(GRPC_ARG_HTTP2_BDP_PROBE, 0);
  return grpc::CreateCustomChannel(address_, grpc::SslCredentials(tls), arguments);
}

void GrpcWire::Enroll(const Credentials& credentials, const v1::EnrollRequest& request,
                      std::function<void(absl::StatusOr<v1::EnrollResponse>)> done) {
  struct Call {
    std::unique_ptr<v1::AgentLink::Stub> stub;
    std::shared_ptr<grpc::ClientContext> context = std::make_shared<grpc::ClientContext>();
    std::unique_ptr<grpc::ClientAsyncResponseReader<v1::EnrollResponse>> reader;
    v1::EnrollResponse response;
    grpc::Status status;
  };
  auto call = std::make_shared<Call>();
  call->stub = v1::AgentLink::NewStub(Connect(credentials));
  call->context->set_deadline(std::chrono::system_clock::now() + kEnrolmentLimit);
  enrolment_ = call->context;
  call->reader = call->stub->AsyncEnroll(call->context.get(), request, &queue_);
  call->reader->Finish(&call->response, &call->status,
                       new Tag([call, done = std::move(done), alive = alive_](bool) {
                         if (!*alive) return;
                         if (!call->status.ok()) return done(FromGrpcStatus(call->status));
                         done(std::move(call->response));
                       }));
}

void GrpcWire::Open(const Credentials& credentials, Events events) {
  auto stream = std::make_shared<Stream>();
  stream->wire = this;
  stream->wire_alive = alive_;
  stream->events = std::move(events);
  stream->channel = Connect(credentials);
  stream->stub = v1::AgentLink::NewStub(stream->channel);
  stream_ = stream;
  stream->calls = stream->stub->PrepareAsyncLink(&stream->context, &queue_);
  stream->calls->StartCall(new Tag([stream](bool ok) {
    if (!*stream->wire_alive) return;
    if (!ok) return Finish(stream);
    Read(stream);
    stream->events.opened();
  }));
}

void GrpcWire::Read(std::shared_ptr<Stream> stream) {
  stream->calls->Read(&stream->incoming, new Tag([stream](bool ok) {
    if (!*stream->wire_alive) return;
    if (!ok) return Finish(stream);
    v1::ControllerMessage message;
    message.Swap(&stream->incoming);
    Read(stream);
    stream->events.received(std::move(message));
  }));
}

void GrpcWire::Finish(std::shared_ptr<Stream> stream) {
  stream->calls->Finish(&stream->status, new Tag([stream](bool) {
    if (!*stream->wire_alive) return;
    stream->wire->stream_.reset();
    stream->events.closed(stream->status.ok()
                              ? absl::UnavailableError("the controller ended the stream")
                              : FromGrpcStatus(stream->status));
  }));
}

void GrpcWire::Write(const v1::AgentMessage& message) {
  auto stream = stream_;
  stream->calls->Write(message, new Tag([stream](bool ok) {
                         // After a failed write the reading side tells the end.
                         if (*stream->wire_alive && ok && stream->wire->stream_ == stream)
                           stream->events.written();
                       }));
}

void GrpcWire::Close() {
  if (stream_ != nullptr) stream_->context.TryCancel();
}

}  // namespace drover::agent
