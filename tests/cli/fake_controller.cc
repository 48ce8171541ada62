#include "tests/cli/fake_controller.h"

#include <grpcpp/generic/async_generic_service.h>
#include <grpcpp/security/server_credentials.h>
#include <grpcpp/server.h>
#include <grpcpp/server_builder.h>

#include <atomic>
#include <chrono>
#include <list>
#include <thread>

#include "absl/strings/str_cat.h"
#include "proto/support/contract.h"
#include "proto/support/grpc_status.h"
#include "tests/cli/test_certificates.h"

namespace drover::testing {

using google::protobuf::Message;

namespace {

struct ServerCall {
  grpc::GenericServerContext context;
  grpc::CompletionQueue queue;
  grpc::GenericServerAsyncReaderWriter stream{&context};

  bool Wait() {
    void* tag = nullptr;
    bool ok = false;
    return queue.Next(&tag, &ok) && ok;
  }
};

grpc::ByteBuffer ToBuffer(const Message& message) {
  const grpc::Slice slice(message.SerializeAsString());
  return grpc::ByteBuffer(&slice, 1);
}

}  // namespace

class FakeController::Service {
 public:
  Service(FakeController* owner, const TestCertificates& certificates) : owner_(owner) {
    grpc::SslServerCredentialsOptions tls;
    tls.pem_key_cert_pairs.push_back(
        {certificates.server_key, certificates.server_certificate + certificates.authority});
    grpc::ServerBuilder builder;
    builder.AddListeningPort("127.0.0.1:0", grpc::SslServerCredentials(tls), &port_);
    builder.RegisterAsyncGenericService(&generic_);
    queue_ = builder.AddCompletionQueue();
    server_ = builder.BuildAndStart();
    acceptor_ = std::thread([this] { Accept(); });
  }
  ~Service() {
    {
      absl::MutexLock lock(&mutex_);
      stopping_ = true;
    }
    server_->Shutdown(std::chrono::system_clock::now());
    queue_->Shutdown();
    acceptor_.join();
    for (std::thread& thread : threads_) thread.join();
  }
  int port() const { return port_; }

 private:
  void Accept() {
    while (true) {
      auto call = std::make_unique<ServerCall>();
      {
        // A server that shuts down takes no more requests for calls.
        absl::MutexLock lock(&mutex_);
        if (stopping_) break;
        generic_.RequestCall(&call->context, &call->stream, &call->queue, queue_.get(), call.get());
      }
      void* tag = nullptr;
      bool ok = false;
      if (!queue_->Next(&tag, &ok) || !ok) break;
      threads_.emplace_back([this, call = std::move(call)] { Serve(*call); });
    }
    void* tag = nullptr;
    bool ok = false;
    while (queue_->Next(&tag, &ok)) {
    }
  }

  void Serve(ServerCall& call) {
    grpc::ByteBuffer buffer;
    call.stream.Read(&buffer, nullptr);
    if (call.Wait()) {
      const absl::Status status = Run(call, buffer);
      call.stream.Finish(ToGrpcStatus(status), nullptr);
      call.Wait();
    }
    call.queue.Shutdown();
    while (call.Wait()) {
    }
  }

  absl::Status Run(ServerCall& call, grpc::ByteBuffer& buffer) {
    grpc::Slice slice;
    if (buffer.Length() > 0) (void)buffer.DumpToSingleSlice(&slice).ok();
    const std::string bytes(reinterpret_cast<const char*>(slice.begin()), slice.size());
    const auto* method = FindMethod(call.context.method());
    if (method == nullptr) return absl::UnimplementedError("no such method");
    std::map<std::string, std::string> metadata;
    for (const auto& [key, value] : call.context.client_metadata()) {
      metadata[std::string(key.data(), key.size())] = std::string(value.data(), value.size());
    }
    const Handler handler =
        owner_->Enter(method->service()->name() + "/" + method->name(), std::move(metadata), bytes);
    if (handler == nullptr) return absl::UnimplementedError("no handler");
    const auto request = NewMessage(*method->input_type());
    request->ParseFromString(bytes);
    return handler(*request, [&call](const Message& message) {
      call.stream.Write(ToBuffer(message), nullptr);
      return call.Wait();
    });
  }

  FakeController* const owner_;
  int port_ = 0;
  grpc::AsyncGenericService generic_;
  std::unique_ptr<grpc::ServerCompletionQueue> queue_;
  std::unique_ptr<grpc::Server> server_;
  absl::Mutex mutex_;
  bool stopping_ ABSL_GUARDED_BY(mutex_) = false;
  std::thread acceptor_;
  std::list<std::thread> threads_;
};

FakeController::FakeController() {
  const TestCertificates certificates = MakeTestCertificates();
  authority_pem_ = certificates.authority;
  service_ = std::make_unique<Service>(this, certificates);
}

FakeController::~FakeController() = default;

void FakeController::OnCall(absl::string_view method, Handler handler) {
  absl::MutexLock lock(&mutex_);
  handlers_[std::string(method)] = std::move(handler);
}

void FakeController::Answer(absl::string_view method, const Message& response) {
  std::shared_ptr<Message> copy(response.New());
  copy->CopyFrom(response);
  OnCall(method, [copy](const Message&, const Send& send) {
    send(*copy);
    return absl::OkStatus();
  });
}

void FakeController::Refuse(absl::string_view method, const absl::Status& status) {
  OnCall(method, [status](const Message&, const Send&) { return status; });
}

FakeController::Handler FakeController::Enter(const std::string& method,
                                              std::map<std::string, std::string> metadata,
                                              const std::string& request) {
  absl::MutexLock lock(&mutex_);
  calls_.emplace_back(method, request);
  last_metadata_ = std::move(metadata);
  const auto found = handlers_.find(method);
  return found == handlers_.end() ? nullptr : found->second;
}

std::string FakeController::address() const { return absl::StrCat("127.0.0.1:", service_->port()); }

std::vector<std::string> FakeController::Requests(absl::string_view method) const {
  absl::MutexLock lock(&mutex_);
  std::vector<std::string> requests;
  for (const auto& [name, request] : calls_) {
    if (name == method) requests.push_back(request);
  }
  return requests;
}

std::string FakeController::LastMetadata(const std::string& name) const {
  absl::MutexLock lock(&mutex_);
  const auto found = last_metadata_.find(name);
  return found == last_metadata_.end() ? "" : found->second;
}

}  // namespace drover::testing
