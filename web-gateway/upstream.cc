#include "web-gateway/upstream.h"

#include <grpcpp/channel.h>
#include <grpcpp/generic/generic_stub.h>

#include <chrono>
#include <utility>

#include "absl/base/thread_annotations.h"
#include "absl/container/flat_hash_set.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/synchronization/mutex.h"
#include "proto/support/contract.h"
#include "proto/support/grpc_status.h"
#include "proto/support/status.h"

namespace drover::gateway {
namespace {

using google::protobuf::Descriptor;
using google::protobuf::Message;
using google::protobuf::MethodDescriptor;

grpc::ByteBuffer ToBuffer(const std::string& bytes) {
  const grpc::Slice slice(bytes);
  return grpc::ByteBuffer(&slice, 1);
}

absl::StatusOr<std::unique_ptr<Message>> FromBuffer(const Descriptor& type,
                                                    const grpc::ByteBuffer& buffer) {
  std::unique_ptr<Message> message = NewMessage(type);
  grpc::Slice slice;
  const bool read = buffer.Length() == 0 || buffer.DumpToSingleSlice(&slice).ok();
  if (!read || !message->ParseFromArray(slice.begin(), static_cast<int>(slice.size()))) {
    return absl::InternalError("the controller's answer is not what the contract says");
  }
  return message;
}

// What gRPC says of a connection is for the log of whoever runs this; people get a sentence.
absl::Status Explain(const grpc::Status& status) {
  absl::Status explained = FromGrpcStatus(status);
  // The controller's own errors carry details.
  if (!status.error_details().empty() || explained.ok()) return explained;
  if (absl::IsUnavailable(explained)) {
    return MakeError(absl::StatusCode::kUnavailable, "CONTROLLER_UNREACHABLE",
                     "the controller cannot be reached");
  }
  if (absl::IsDeadlineExceeded(explained)) {
    return MakeError(absl::StatusCode::kDeadlineExceeded, "CONTROLLER_TOO_SLOW",
                     "the controller did not answer in time");
  }
  return explained;
}

}  // namespace

class Upstream::State {
 public:
  State(std::shared_ptr<grpc::Channel> channel, std::string gateway_key)
      : channel_(std::move(channel)), stub_(channel_), gateway_key_(std::move(gateway_key)) {}

  class UnaryCall;
  class StreamCall;

  void Prepare(grpc::ClientContext& context, const CallerFacts& facts) {
    if (!facts.token.empty()) {
      context.AddMetadata("authorization", absl::StrCat("Bearer ", facts.token));
    }
    if (!facts.client_address.empty() && !gateway_key_.empty()) {
      context.AddMetadata("x-drover-gateway-key", gateway_key_);
      context.AddMetadata("x-drover-client", facts.client_address);
    }
    if (!facts.request_id.empty()) context.AddMetadata("x-request-id", facts.request_id);
  }

  // False when it is over: no more calls.
  bool Enter(grpc::ClientContext* context) ABSL_LOCKS_EXCLUDED(mutex_) {
    absl::MutexLock lock(&mutex_);
    if (stopped_) return false;
    contexts_.insert(context);
    return true;
  }
  void Leave(grpc::ClientContext* context) ABSL_LOCKS_EXCLUDED(mutex_) {
    absl::MutexLock lock(&mutex_);
    contexts_.erase(context);
  }
  void Shutdown() ABSL_LOCKS_EXCLUDED(mutex_) {
    absl::MutexLock lock(&mutex_);
    stopped_ = true;
    for (grpc::ClientContext* context : contexts_) context->TryCancel();
    const auto none = [this]() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_) { return contexts_.empty(); };
    mutex_.Await(absl::Condition(&none));
  }

  grpc::GenericStub& stub() { return stub_; }

 private:
  const std::shared_ptr<grpc::Channel> channel_;
  grpc::GenericStub stub_;
  const std::string gateway_key_;
  absl::Mutex mutex_;
  bool stopped_ ABSL_GUARDED_BY(mutex_) = false;
  absl::flat_hash_set<grpc::ClientContext*> contexts_ ABSL_GUARDED_BY(mutex_);
};

// Lives until its callback. A context keeps the channel alive, and a channel must not end on one of
// its own threads: what a call holds is gone before Shutdown hears of its end.
class Upstream::State::UnaryCall {
 public:
  using Done = std::function<void(const grpc::Status&, const grpc::ByteBuffer& answer)>;

  UnaryCall(State* state, Done done) : state_(state), done_(std::move(done)) {}

  grpc::ClientContext& context() { return context_; }

  static void Run(std::unique_ptr<UnaryCall> call, const std::string& method,
                  const std::string& request, absl::Duration timeout) {
    call->context_.set_deadline(std::chrono::system_clock::now() +
                                absl::ToChronoMicroseconds(timeout));
    if (!call->state_->Enter(&call->context_)) {
      return call->done_(grpc::Status(grpc::StatusCode::UNAVAILABLE, "stopping"), {});
    }
    UnaryCall* const self = call.release();
    self->out_ = ToBuffer(request);
    self->state_->stub().UnaryCall(&self->context_, method, {}, &self->out_, &self->in_,
                                   [self](const grpc::Status& status) {
                                     self->done_(status, self->in_);
                                     State* const state = self->state_;
                                     grpc::ClientContext* const context = &self->context_;
                                     delete self;
                                     state->Leave(context);
                                   });
  }

 private:
  State* const state_;
  const Done done_;
  grpc::ClientContext context_;
  grpc::ByteBuffer out_;
  grpc::ByteBuffer in_;
};

// gRPC's side of a stream; deletes itself with the last of gRPC and the caller's handle. While no
// read is under way a hold keeps gRPC from ending it, so that reads may be asked for at any time.
class Upstream::State::StreamCall final
    : public grpc::ClientBidiReactor<grpc::ByteBuffer, grpc::ByteBuffer>,
      public std::enable_shared_from_this<StreamCall> {
 public:
  StreamCall(State* state, const MethodDescriptor& method, Got got)
      : state_(state), method_(method), got_(std::move(got)) {}

  grpc::ClientContext& context() { return context_; }

  void Begin(const Message& request) {
    if (!state_->Enter(&context_)) {
      released_ = true;
      return got_(nullptr, absl::UnavailableError("the gateway is stopping"));
    }
    self_ = shared_from_this();
    out_ = ToBuffer(request.SerializeAsString());
    state_->stub().PrepareBidiStreamingCall(&context_, MethodPath(method_), {}, this);
    AddHold();
    StartWriteLast(&out_, grpc::WriteOptions());
    StartCall();
  }
  void Read() ABSL_LOCKS_EXCLUDED(mutex_) {
    {
      absl::MutexLock lock(&mutex_);
      if (released_ || reading_) return;
      reading_ = true;
    }
    StartRead(&in_);
  }
  void Cancel() ABSL_LOCKS_EXCLUDED(mutex_) {
    context_.TryCancel();
    bool release = false;
    {
      absl::MutexLock lock(&mutex_);
      // A read under way ends by the cancel and releases it.
      if (!reading_ && !released_) release = released_ = true;
      if (!release && !released_) cancelled_ = true;
    }
    if (release) RemoveHold();
  }

  void OnReadDone(bool ok) override {
    bool end = !ok;
    {
      absl::MutexLock lock(&mutex_);
      reading_ = false;
      end = end || cancelled_;
      if (end) released_ = true;
    }
    // The status comes with OnDone.
    if (end) return RemoveHold();
    absl::StatusOr<std::unique_ptr<Message>> message = FromBuffer(*method_.output_type(), in_);
    if (message.ok()) return got_(*std::move(message), absl::OkStatus());
    broken_ = message.status();
    Cancel();
  }
  void OnDone(const grpc::Status& status) override {
    got_(nullptr, broken_.ok() ? Explain(status) : broken_);
    State* const state = state_;
    grpc::ClientContext* const context = &context_;
    // Most likely the end of this object.
    std::exchange(self_, nullptr).reset();
    state->Leave(context);
  }

 private:
  State* const state_;
  const MethodDescriptor& method_;
  const Got got_;
  grpc::ClientContext context_;
  grpc::ByteBuffer out_;
  grpc::ByteBuffer in_;
  absl::Status broken_;
  std::shared_ptr<StreamCall> self_;
  absl::Mutex mutex_;
  bool reading_ ABSL_GUARDED_BY(mutex_) = false;
  bool cancelled_ ABSL_GUARDED_BY(mutex_) = false;
  bool released_ ABSL_GUARDED_BY(mutex_) = false;
};

namespace {

// The caller's side.
template <typename Call>
class Handle final : public Upstream::Stream {
 public:
  explicit Handle(std::shared_ptr<Call> call) : call_(std::move(call)) {}
  ~Handle() override { call_->Cancel(); }
  void Read() override { call_->Read(); }

 private:
  const std::shared_ptr<Call> call_;
};

}  // namespace

Upstream::Upstream(std::shared_ptr<grpc::Channel> channel, std::string gateway_key)
    : state_(std::make_unique<State>(std::move(channel), std::move(gateway_key))) {}
Upstream::~Upstream() { Shutdown(); }
void Upstream::Shutdown() { state_->Shutdown(); }

void Upstream::Unary(const MethodDescriptor& method, const Message& request,
                     const CallerFacts& facts, absl::Duration timeout, Answer answer) {
  const Descriptor& type = *method.output_type();
  auto call = std::make_unique<State::UnaryCall>(
      state_.get(), [&type, answer = std::move(answer)](const grpc::Status& status,
                                                        const grpc::ByteBuffer& bytes) {
        if (!status.ok()) return answer(Explain(status));
        answer(FromBuffer(type, bytes));
      });
  state_->Prepare(call->context(), facts);
  State::UnaryCall::Run(std::move(call), MethodPath(method), request.SerializeAsString(), timeout);
}

std::unique_ptr<Upstream::Stream> Upstream::Open(const MethodDescriptor& method,
                                                 const Message& request, const CallerFacts& facts,
                                                 Got got) {
  auto call = std::make_shared<State::StreamCall>(state_.get(), method, std::move(got));
  state_->Prepare(call->context(), facts);
  call->Begin(request);
  return std::make_unique<Handle<State::StreamCall>>(std::move(call));
}

void Upstream::Check(absl::Duration timeout, std::function<void(absl::Status)> answer) {
  auto call = std::make_unique<State::UnaryCall>(
      state_.get(),
      [answer = std::move(answer)](const grpc::Status& status, const grpc::ByteBuffer& bytes) {
        if (!status.ok()) return answer(Explain(status));
        grpc::Slice slice;
        // HealthCheckResponse {status: SERVING}; the message is that small.
        const bool read = bytes.DumpToSingleSlice(&slice).ok();
        const absl::string_view text(reinterpret_cast<const char*>(slice.begin()), slice.size());
        if (read && text == "\x08\x01") return answer(absl::OkStatus());
        answer(absl::UnavailableError("the controller does not serve yet"));
      });
  // HealthCheckRequest {}: the server as a whole.
  State::UnaryCall::Run(std::move(call), "/grpc.health.v1.Health/Check", "", timeout);
}

}  // namespace drover::gateway
