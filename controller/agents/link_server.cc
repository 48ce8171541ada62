#include "controller/agents/link_server.h"

#include <grpcpp/security/auth_context.h>
#include <grpcpp/security/server_credentials.h>
#include <grpcpp/security/tls_certificate_provider.h>
#include <grpcpp/security/tls_credentials_options.h>
#include <grpcpp/server.h>
#include <grpcpp/server_builder.h>

#include <chrono>
#include <string>
#include <utility>

#include "absl/strings/str_cat.h"
#include "controller/core/client_address.h"
#include "controller/core/worker_pool.h"
#include "drover/agent/v1/agent_link.grpc.pb.h"
#include "proto/support/grpc_status.h"
#include "proto/support/status.h"

namespace drover::agents {
namespace {

using drover::agent::v1::AgentLink;
using drover::agent::v1::AgentMessage;
using drover::agent::v1::ControllerMessage;
using drover::agent::v1::EnrollRequest;
using drover::agent::v1::EnrollResponse;

// Output comes in pieces of 64 KiB, a state report of a large VM is some ten.
constexpr int kMaxMessageBytes = 1 << 20;

// The certificate the client showed in the handshake.
absl::StatusOr<AgentCertificate> CertificateOf(const grpc::CallbackServerContext& context,
                                               const Authority& authority) {
  const auto values = context.auth_context()->FindPropertyValues(GRPC_X509_PEM_CERT_PROPERTY_NAME);
  if (values.empty()) {
    return MakeError(absl::StatusCode::kUnauthenticated, "CERTIFICATE_REQUIRED",
                     "the link needs the certificate that Enroll answered");
  }
  return authority.VerifyAgent(absl::string_view(values[0].data(), values[0].size()));
}

}  // namespace

class LinkServer::State final : public AgentLink::CallbackService {
 public:
  State(LinkServerOptions options, AgentDirectory* directory, const Authority* authority)
      : options_(std::move(options)),
        directory_(directory),
        authority_(authority),
        pool_(std::make_unique<core::WorkerPool>(options_.workers, 256)) {}

  absl::Status Start();
  void Stop(absl::Duration grace);
  int port() const { return port_; }

  grpc::ServerUnaryReactor* Enroll(grpc::CallbackServerContext* context,
                                   const EnrollRequest* request, EnrollResponse* response) override;
  grpc::ServerBidiReactor<AgentMessage, ControllerMessage>* Link(
      grpc::CallbackServerContext* context) override;

 private:
  class Stream;
  class Refusal;

  const LinkServerOptions options_;
  AgentDirectory* const directory_;
  const Authority* const authority_;
  int port_ = 0;
  std::unique_ptr<core::WorkerPool> pool_;
  std::unique_ptr<grpc::Server> server_;
};

class LinkServer::State::Refusal final
    : public grpc::ServerBidiReactor<AgentMessage, ControllerMessage> {
 public:
  explicit Refusal(const absl::Status& status) { Finish(ToGrpcStatus(status)); }
  void OnDone() override { delete this; }
};

class LinkServer::State::Stream final
    : public grpc::ServerBidiReactor<AgentMessage, ControllerMessage>,
      public LinkWire {
 public:
  Stream(AgentDirectory* directory, grpc::CallbackServerContext* context, AgentSession::Peer peer)
      : directory_(directory), context_(context), session_(directory->Open(this, std::move(peer))) {
    session_->Start();
  }

  void OnReadDone(bool ok) override { session_->OnRead(ok, std::move(in_)); }
  void OnWriteDone(bool ok) override { session_->OnWritten(ok); }
  void OnCancel() override { session_->OnLost(); }
  void OnDone() override {
    session_->Ended();
    directory_->Forget(session_);
    delete this;
  }

  void Read() override {
    in_.Clear();
    StartRead(&in_);
  }
  void Write(ControllerMessage message) override {
    out_ = std::move(message);
    StartWrite(&out_);
  }
  void FinishCall(const absl::Status& status) override { Finish(ToGrpcStatus(status)); }
  void Cut() override { context_->TryCancel(); }

 private:
  AgentDirectory* const directory_;
  grpc::CallbackServerContext* const context_;
  AgentMessage in_;
  ControllerMessage out_;
  const std::shared_ptr<AgentSession> session_;
};

grpc::ServerUnaryReactor* LinkServer::State::Enroll(grpc::CallbackServerContext* context,
                                                    const EnrollRequest* request,
                                                    EnrollResponse* response) {
  grpc::ServerUnaryReactor* reactor = context->DefaultReactor();
  const std::string address = core::AddressOfPeer(context->peer());
  const bool taken = pool_->TrySubmit([this, request, response, reactor, address] {
    absl::StatusOr<EnrollResponse> answer = directory_->Enroll(*request, address);
    if (answer.ok()) *response = *std::move(answer);
    reactor->Finish(ToGrpcStatus(answer.status()));
  });
  if (!taken) {
    reactor->Finish(
        ToGrpcStatus(absl::UnavailableError("too many agents enrol at a time; come back later")));
  }
  return reactor;
}

grpc::ServerBidiReactor<AgentMessage, ControllerMessage>* LinkServer::State::Link(
    grpc::CallbackServerContext* context) {
  absl::StatusOr<AgentCertificate> certificate = CertificateOf(*context, *authority_);
  if (!certificate.ok()) return new Refusal(certificate.status());
  return new Stream(directory_, context,
                    {*std::move(certificate), core::AddressOfPeer(context->peer())});
}

absl::Status LinkServer::State::Start() {
  namespace tls = grpc::experimental;
  auto certificates = std::make_shared<tls::FileWatcherCertificateProvider>(
      options_.key_file, options_.certificate_file, options_.authority_file,
      /*refresh_interval_sec=*/60);
  tls::TlsServerCredentialsOptions credentials(certificates);
  credentials.watch_root_certs();
  credentials.watch_identity_key_cert_pairs();
  // Whoever enrols has none yet; one that is shown must be ours.
  credentials.set_cert_request_type(GRPC_SSL_REQUEST_CLIENT_CERTIFICATE_AND_VERIFY);

  grpc::ServerBuilder builder;
  builder.AddListeningPort(options_.listen, tls::TlsServerCredentials(credentials), &port_);
  builder.RegisterService(this);
  builder.SetMaxReceiveMessageSize(kMaxMessageBytes);
  builder.AddChannelArgument(GRPC_ARG_ALLOW_REUSEPORT, 0);
  // An agent has one stream, and enrols now and then.
  builder.AddChannelArgument(GRPC_ARG_MAX_CONCURRENT_STREAMS, 8);
  // Silence is noticed by the heartbeats of the link itself. Pings only clear away connections
  // whose other end is gone, and an agent's pings are never held against it (too_many_pings).
  builder.AddChannelArgument(GRPC_ARG_KEEPALIVE_TIME_MS, 60000);
  builder.AddChannelArgument(GRPC_ARG_KEEPALIVE_TIMEOUT_MS, 20000);
  builder.AddChannelArgument(GRPC_ARG_HTTP2_MAX_PING_STRIKES, 0);
  builder.AddChannelArgument(GRPC_ARG_KEEPALIVE_PERMIT_WITHOUT_CALLS, 1);
  server_ = builder.BuildAndStart();
  if (server_ == nullptr || port_ == 0) {
    return absl::UnavailableError(absl::StrCat("cannot listen for agents on ", options_.listen));
  }
  return absl::OkStatus();
}

void LinkServer::State::Stop(absl::Duration grace) {
  if (server_ == nullptr) return;
  directory_->CloseAll();
  server_->Shutdown(std::chrono::system_clock::now() + absl::ToChronoMicroseconds(grace));
  server_->Wait();
  directory_->Stop();
  pool_.reset();
  server_.reset();
}

LinkServer::LinkServer(LinkServerOptions options, AgentDirectory* directory,
                       const Authority* authority)
    : state_(std::make_unique<State>(std::move(options), directory, authority)) {}
LinkServer::~LinkServer() { Stop(absl::ZeroDuration()); }
absl::Status LinkServer::Start() { return state_->Start(); }
int LinkServer::port() const { return state_->port(); }
void LinkServer::Stop(absl::Duration grace) { state_->Stop(grace); }

}  // namespace drover::agents
