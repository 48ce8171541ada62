// The reference for an idle agent: gRPC with mutual TLS and one idle stream, and nothing else.
//
//   bare_link_client ADDRESS AUTHORITY_PEM KEY_PEM CERTIFICATE_PEM
#include <grpcpp/grpcpp.h>
#include <malloc.h>

#include <cstdio>
#include <fstream>
#include <sstream>
#include <string>

#include "absl/synchronization/mutex.h"
#include "drover/agent/v1/agent_link.grpc.pb.h"

namespace {

std::string Contents(const char* path) {
  std::ostringstream text;
  text << std::ifstream(path).rdbuf();
  return text.str();
}

}  // namespace

int main(int argc, char** argv) {
#ifdef NDEBUG
  // As the agent has it.
  absl::SetMutexDeadlockDetectionMode(absl::OnDeadlockCycle::kIgnore);
#endif
  if (argc != 5) {
    fprintf(stderr, "usage: bare_link_client ADDRESS AUTHORITY_PEM KEY_PEM CERTIFICATE_PEM\n");
    return 2;
  }
  mallopt(M_ARENA_MAX, 1);
  grpc::SslCredentialsOptions tls;
  tls.pem_root_certs = Contents(argv[2]);
  tls.pem_private_key = Contents(argv[3]);
  tls.pem_cert_chain = Contents(argv[4]);
  grpc::ChannelArguments arguments;
  arguments.SetSslTargetNameOverride("drover-controller");
  auto stub = drover::agent::v1::AgentLink::NewStub(
      grpc::CreateCustomChannel(argv[1], grpc::SslCredentials(tls), arguments));
  grpc::ClientContext context;
  auto stream = stub->Link(&context);
  drover::agent::v1::AgentMessage hello;
  hello.mutable_hello();
  stream->Write(hello);
  drover::agent::v1::ControllerMessage message;
  while (stream->Read(&message)) {
  }
  return stream->Finish().ok() ? 0 : 1;
}
