// A controller for tests and benches: a real gRPC server with mutual TLS and an authority of its
// own, on a free port of the loopback address. It enrols, welcomes, acknowledges when told to, and
// remembers everything that agents say.
//
// Thread promise: any thread.
#pragma once

#include <grpcpp/grpcpp.h>

#include <functional>
#include <map>
#include <memory>
#include <set>
#include <string>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/synchronization/mutex.h"
#include "drover/agent/v1/agent_link.grpc.pb.h"

namespace drover::agent {

class FakeController : public v1::AgentLink::Service {
 public:
  struct Settings {
    int heartbeat_seconds = 10;
    int sample_seconds = 10;
    // Sends heartbeats in answer to the agent's.
    bool answer_heartbeats = true;
    bool acknowledge_events = true;
    bool acknowledge_commands = true;
    int64_t last_event = 0;
  };
  struct Heard {
    std::vector<v1::EnrollRequest> enrolments;
    std::vector<v1::Hello> hellos;
    std::vector<v1::AgentEvent> events;
    std::vector<v1::CommandUpdate> updates;
    std::vector<v1::StateReport> states;
    std::vector<v1::Sample> samples;
    std::vector<int64_t> applied;
    int heartbeats = 0;
    int open_streams = 0;
  };

  FakeController();
  ~FakeController() override;

  // "127.0.0.1:port"; the same after Restart.
  const std::string& address() const { return address_; }
  const std::string& authority_pem() const { return authority_pem_; }
  // A key and a certificate for a client that needs no enrolment, PEM.
  std::pair<std::string, std::string> IssueIdentity(const std::string& common_name);

  void AddToken(const std::string& token);
  void Set(const Settings& settings);
  Heard heard() const;
  // Ends all streams and the server, then serves anew on the same port.
  void Restart();
  void Stop();
  // To all open streams.
  void Send(const v1::ControllerMessage& message);

  grpc::Status Enroll(grpc::ServerContext* context, const v1::EnrollRequest* request,
                      v1::EnrollResponse* response) override;
  grpc::Status Link(
      grpc::ServerContext* context,
      grpc::ServerReaderWriter<v1::ControllerMessage, v1::AgentMessage>* stream) override;

 private:
  using Stream = grpc::ServerReaderWriter<v1::ControllerMessage, v1::AgentMessage>;
  struct Keys;

  void Serve(const std::string& address);
  void Hear(const v1::AgentMessage& message, Stream* stream);
  void Write(Stream* stream, const v1::ControllerMessage& message);
  std::string Sign(const std::string& request_pem, const std::string& common_name);

  std::unique_ptr<Keys> keys_;
  std::string authority_pem_;
  std::string server_key_;
  std::string server_certificate_;
  std::string address_;
  std::unique_ptr<grpc::Server> server_;

  mutable absl::Mutex mutex_;
  Settings settings_ ABSL_GUARDED_BY(mutex_);
  Heard heard_ ABSL_GUARDED_BY(mutex_);
  // With the public key that used it, empty before.
  std::map<std::string, std::string> tokens_ ABSL_GUARDED_BY(mutex_);
  std::set<Stream*> streams_ ABSL_GUARDED_BY(mutex_);
  // One at a time writes to streams.
  absl::Mutex write_mutex_;
};

}  // namespace drover::agent
