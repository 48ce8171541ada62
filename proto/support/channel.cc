#include "proto/support/channel.h"

#include <grpcpp/channel.h>
#include <grpcpp/create_channel.h>
#include <grpcpp/generic/generic_stub.h>
#include <grpcpp/security/credentials.h>

#include <utility>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/synchronization/notification.h"
#include "proto/support/grpc_status.h"
#include "proto/support/status.h"

namespace drover {
namespace {

using google::protobuf::Message;

// A list of 1,000 VMs is about a megabyte; log backups come in pieces.
constexpr int kMaxMessageBytes = 64 << 20;

grpc::ByteBuffer ToBuffer(const Message& message) {
  const grpc::Slice slice(message.SerializeAsString());
  return grpc::ByteBuffer(&slice, 1);
}

absl::Status FromBuffer(grpc::ByteBuffer& buffer, Message* message) {
  grpc::Slice slice;
  if (buffer.Length() > 0 && !buffer.DumpToSingleSlice(&slice).ok()) {
    return absl::InternalError("the answer cannot be read");
  }
  if (!message->ParseFromArray(slice.begin(), static_cast<int>(slice.size()))) {
    return absl::InternalError("the answer is not the message the contract names");
  }
  return absl::OkStatus();
}

void Prepare(grpc::ClientContext& context, const CallOptions& options) {
  if (!options.token.empty()) {
    context.AddMetadata("authorization", absl::StrCat("Bearer ", options.token));
  }
  if (options.timeout != absl::InfiniteDuration()) {
    context.set_deadline(std::chrono::system_clock::now() +
                         absl::ToChronoMicroseconds(options.timeout));
  }
}

// gRPC reports a refused certificate as one of many reasons for UNAVAILABLE, known by its text
// only.
absl::Status Explain(const grpc::Status& status) {
  absl::Status explained = FromGrpcStatus(status);
  if (absl::IsUnavailable(explained) &&
      (absl::StrContains(explained.message(), "Ssl handshake failed") ||
       absl::StrContains(explained.message(), "CERTIFICATE_VERIFY_FAILED") ||
       absl::StrContains(explained.message(), "Hostname Verification Check failed"))) {
    return MakeError(absl::StatusCode::kUnavailable, "CERTIFICATE_REFUSED",
                     "the server does not show a certificate of the authority that was confirmed");
  }
  return explained;
}

}  // namespace

std::shared_ptr<grpc::Channel> OpenChannel(absl::string_view address,
                                           absl::string_view authority_pem,
                                           absl::string_view server_name) {
  grpc::SslCredentialsOptions tls;
  tls.pem_root_certs = std::string(authority_pem);
  grpc::ChannelArguments arguments;
  arguments.SetSslTargetNameOverride(std::string(server_name));
  arguments.SetMaxReceiveMessageSize(kMaxMessageBytes);
  // A restarted controller is found again within seconds, not after gRPC's usual two minutes.
  arguments.SetInt(GRPC_ARG_MAX_RECONNECT_BACKOFF_MS, 2000);
  // The estate is private: a proxy of the environment never leads to it.
  arguments.SetInt(GRPC_ARG_ENABLE_HTTP_PROXY, 0);
  return grpc::CreateCustomChannel(std::string(address), grpc::SslCredentials(tls), arguments);
}

absl::Status UnaryCall(const std::shared_ptr<grpc::Channel>& channel, absl::string_view method,
                       const Message& request, Message* response, const CallOptions& options) {
  grpc::GenericStub stub(channel);
  grpc::ClientContext context;
  Prepare(context, options);
  const grpc::ByteBuffer out = ToBuffer(request);
  grpc::ByteBuffer in;
  grpc::Status result;
  absl::Notification done;
  stub.UnaryCall(&context, std::string(method), {}, &out, &in, [&result, &done](grpc::Status s) {
    result = std::move(s);
    done.Notify();
  });
  done.WaitForNotification();
  if (!result.ok()) return Explain(result);
  return FromBuffer(in, response);
}

struct ServerStream::Call {
  // Waits for the one tag that is under way.
  bool Wait() {
    void* tag = nullptr;
    bool ok = false;
    return queue.Next(&tag, &ok) && ok;
  }

  std::shared_ptr<grpc::Channel> channel;
  grpc::ClientContext context;
  grpc::CompletionQueue queue;
  std::unique_ptr<grpc::GenericClientAsyncReaderWriter> stream;
  absl::Status read_error;
  bool finished = false;
};

ServerStream::ServerStream(const std::shared_ptr<grpc::Channel>& channel, absl::string_view method,
                           const Message& request, const CallOptions& options)
    : call_(std::make_unique<Call>()) {
  call_->channel = channel;
  Prepare(call_->context, options);
  call_->stream =
      grpc::GenericStub(channel).PrepareCall(&call_->context, std::string(method), &call_->queue);
  call_->stream->StartCall(nullptr);
  if (!call_->Wait()) return;
  call_->stream->WriteLast(ToBuffer(request), grpc::WriteOptions(), nullptr);
  call_->Wait();
}

ServerStream::~ServerStream() {
  Cancel();
  Finish().IgnoreError();
  call_->queue.Shutdown();
  while (call_->Wait()) {
  }
}

bool ServerStream::Read(Message* message) {
  grpc::ByteBuffer buffer;
  call_->stream->Read(&buffer, nullptr);
  if (!call_->Wait()) return false;
  call_->read_error = FromBuffer(buffer, message);
  if (call_->read_error.ok()) return true;
  Cancel();
  return false;
}

absl::Status ServerStream::Finish() {
  if (call_->finished) return absl::OkStatus();
  call_->finished = true;
  grpc::Status status;
  call_->stream->Finish(&status, nullptr);
  call_->Wait();
  if (!call_->read_error.ok()) return call_->read_error;
  return status.ok() ? absl::OkStatus() : Explain(status);
}

void ServerStream::Cancel() { call_->context.TryCancel(); }

}  // namespace drover
