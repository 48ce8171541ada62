#include "tests/agent/fake_controller.h"

#include <openssl/ec.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/x509.h>
#include <openssl/x509v3.h>

#include <atomic>
#include <utility>

#include "absl/strings/str_cat.h"
#include "agent/identity.h"
#include "proto/support/grpc_status.h"
#include "proto/support/status.h"

namespace drover::agent {
namespace {

constexpr long kValidSeconds = 24 * 3600;

std::string TakeText(BIO* bio) {
  char* data = nullptr;
  const long length = BIO_get_mem_data(bio, &data);
  std::string text(data, length);
  BIO_free(bio);
  return text;
}

std::string KeyPem(EVP_PKEY* key) {
  BIO* bio = BIO_new(BIO_s_mem());
  PEM_write_bio_PrivateKey(bio, key, nullptr, nullptr, 0, nullptr, nullptr);
  return TakeText(bio);
}

std::string CertificatePem(X509* certificate) {
  BIO* bio = BIO_new(BIO_s_mem());
  PEM_write_bio_X509(bio, certificate);
  return TakeText(bio);
}

void Extend(X509* certificate, X509* issuer, int nid, const char* value) {
  X509V3_CTX context;
  X509V3_set_ctx(&context, issuer, certificate, nullptr, nullptr, 0);
  X509_EXTENSION* extension = X509V3_EXT_conf_nid(nullptr, &context, nid, value);
  X509_add_ext(certificate, extension, -1);
  X509_EXTENSION_free(extension);
}

X509* MakeCertificate(EVP_PKEY* key, const std::string& common_name, X509* issuer,
                      EVP_PKEY* issuer_key, const char* names) {
  static std::atomic<long> serial{1};
  X509* certificate = X509_new();
  X509_set_version(certificate, 2);
  ASN1_INTEGER_set(X509_get_serialNumber(certificate), serial++);
  X509_gmtime_adj(X509_getm_notBefore(certificate), -60);
  X509_gmtime_adj(X509_getm_notAfter(certificate), kValidSeconds);
  X509_set_pubkey(certificate, key);
  X509_NAME_add_entry_by_txt(X509_get_subject_name(certificate), "CN", MBSTRING_UTF8,
                             reinterpret_cast<const unsigned char*>(common_name.c_str()), -1, -1,
                             0);
  X509* by = issuer == nullptr ? certificate : issuer;
  X509_set_issuer_name(certificate, X509_get_subject_name(by));
  if (issuer == nullptr) Extend(certificate, by, NID_basic_constraints, "critical,CA:TRUE");
  if (names != nullptr) Extend(certificate, by, NID_subject_alt_name, names);
  X509_sign(certificate, issuer_key, EVP_sha256());
  return certificate;
}

}  // namespace

struct FakeController::Keys {
  EVP_PKEY* authority_key = EVP_EC_gen("P-256");
  X509* authority =
      MakeCertificate(authority_key, "test authority", nullptr, authority_key, nullptr);
  ~Keys() {
    X509_free(authority);
    EVP_PKEY_free(authority_key);
  }
};

FakeController::FakeController() : keys_(std::make_unique<Keys>()) {
  authority_pem_ = CertificatePem(keys_->authority);
  EVP_PKEY* key = EVP_EC_gen("P-256");
  X509* certificate = MakeCertificate(key, "controller", keys_->authority, keys_->authority_key,
                                      "DNS:drover-controller");
  server_key_ = KeyPem(key);
  server_certificate_ = CertificatePem(certificate);
  X509_free(certificate);
  EVP_PKEY_free(key);
  Serve("127.0.0.1:0");
}

FakeController::~FakeController() { Stop(); }

void FakeController::Serve(const std::string& address) {
  grpc::SslServerCredentialsOptions tls(GRPC_SSL_REQUEST_CLIENT_CERTIFICATE_AND_VERIFY);
  tls.pem_root_certs = authority_pem_;
  tls.pem_key_cert_pairs.push_back({server_key_, server_certificate_});
  grpc::ServerBuilder builder;
  int port = 0;
  builder.AddListeningPort(address, grpc::SslServerCredentials(tls), &port);
  builder.RegisterService(this);
  server_ = builder.BuildAndStart();
  address_ = absl::StrCat("127.0.0.1:", port);
}

void FakeController::Stop() {
  if (server_ == nullptr) return;
  server_->Shutdown(std::chrono::system_clock::now());
  server_->Wait();
  server_.reset();
}

void FakeController::Restart() {
  Stop();
  Serve(address_);
}

void FakeController::AddToken(const std::string& token) {
  absl::MutexLock lock(&mutex_);
  tokens_[token] = "";
}

void FakeController::Set(const Settings& settings) {
  absl::MutexLock lock(&mutex_);
  settings_ = settings;
}

FakeController::Heard FakeController::heard() const {
  absl::MutexLock lock(&mutex_);
  Heard heard = heard_;
  heard.open_streams = streams_.size();
  return heard;
}

std::string FakeController::Sign(const std::string& request_pem, const std::string& common_name) {
  BIO* bio = BIO_new_mem_buf(request_pem.data(), request_pem.size());
  X509_REQ* request = PEM_read_bio_X509_REQ(bio, nullptr, nullptr, nullptr);
  BIO_free(bio);
  if (request == nullptr) return "";
  EVP_PKEY* key = X509_REQ_get0_pubkey(request);
  std::string chain;
  if (X509_REQ_verify(request, key) == 1) {
    X509* certificate =
        MakeCertificate(key, common_name, keys_->authority, keys_->authority_key, nullptr);
    chain = CertificatePem(certificate) + authority_pem_;
    X509_free(certificate);
  }
  X509_REQ_free(request);
  return chain;
}

std::pair<std::string, std::string> FakeController::IssueIdentity(const std::string& common_name) {
  const std::string key = *MakeKey();
  return {key, Sign(*MakeCertificateRequest(key, common_name), common_name)};
}

grpc::Status FakeController::Enroll(grpc::ServerContext*, const v1::EnrollRequest* request,
                                    v1::EnrollResponse* response) {
  {
    absl::MutexLock lock(&mutex_);
    heard_.enrolments.push_back(*request);
    auto token = tokens_.find(request->token());
    if (token == tokens_.end() || !token->second.empty()) {
      return ToGrpcStatus(MakeError(absl::StatusCode::kUnauthenticated, "ENROLMENT_TOKEN_REFUSED",
                                    "the token is unknown or used"));
    }
    token->second = request->certificate_request();
  }
  response->set_vm_uid("vm-" + request->token());
  response->set_certificate_chain(Sign(request->certificate_request(), response->vm_uid()));
  return grpc::Status::OK;
}

grpc::Status FakeController::Link(grpc::ServerContext* context, Stream* stream) {
  if (!context->auth_context()->IsPeerAuthenticated() ||
      context->auth_context()->GetPeerIdentity().empty()) {
    return grpc::Status(grpc::StatusCode::UNAUTHENTICATED, "no client certificate");
  }
  {
    absl::MutexLock lock(&mutex_);
    streams_.insert(stream);
  }
  v1::AgentMessage message;
  while (stream->Read(&message)) Hear(message, stream);
  absl::MutexLock lock(&mutex_);
  streams_.erase(stream);
  return grpc::Status::OK;
}

void FakeController::Write(Stream* stream, const v1::ControllerMessage& message) {
  absl::MutexLock lock(&write_mutex_);
  stream->Write(message);
}

void FakeController::Send(const v1::ControllerMessage& message) {
  std::set<Stream*> streams;
  {
    absl::MutexLock lock(&mutex_);
    streams = streams_;
  }
  for (Stream* stream : streams) Write(stream, message);
}

void FakeController::Hear(const v1::AgentMessage& message, Stream* stream) {
  v1::ControllerMessage answer;
  {
    absl::MutexLock lock(&mutex_);
    switch (message.message_case()) {
      case v1::AgentMessage::kHello:
        heard_.hellos.push_back(message.hello());
        answer.mutable_welcome()->set_heartbeat_seconds(settings_.heartbeat_seconds);
        answer.mutable_welcome()->set_sample_seconds(settings_.sample_seconds);
        answer.mutable_welcome()->set_last_event(settings_.last_event);
        break;
      case v1::AgentMessage::kEvent:
        heard_.events.push_back(message.event());
        if (settings_.acknowledge_events) {
          answer.set_events_acknowledged(message.event().sequence());
        }
        break;
      case v1::AgentMessage::kCommandUpdate:
        heard_.updates.push_back(message.command_update());
        if (settings_.acknowledge_commands &&
            message.command_update().state() >= v1::CommandUpdate::STATE_SUCCEEDED) {
          answer.set_command_acknowledged(message.command_update().command_id());
        }
        break;
      case v1::AgentMessage::kDesiredStateApplied:
        heard_.applied.push_back(message.desired_state_applied());
        break;
      case v1::AgentMessage::kState:
        heard_.states.push_back(message.state());
        break;
      case v1::AgentMessage::kSamples:
        for (const v1::Sample& sample : message.samples().samples()) {
          heard_.samples.push_back(sample);
        }
        break;
      case v1::AgentMessage::kHeartbeat:
        ++heard_.heartbeats;
        if (settings_.answer_heartbeats) {
          answer.mutable_heartbeat()->set_number(heard_.heartbeats);
          answer.mutable_heartbeat()->set_echo(message.heartbeat().number());
        }
        break;
      case v1::AgentMessage::MESSAGE_NOT_SET:
        break;
    }
  }
  if (answer.message_case() != v1::ControllerMessage::MESSAGE_NOT_SET) Write(stream, answer);
}

}  // namespace drover::agent
