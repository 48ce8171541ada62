// LinkWire over gRPC with mutual TLS.
//
// One thread of our own waits for gRPC and hands every completion to the event loop; that is all it
// does, so nothing here needs a lock. Every connection is a new channel: when to connect again is
// ControllerLink's decision, not gRPC's. There are no keepalive pings: the application's heartbeats
// do it, and a server never finds them too many.
#pragma once

#include <grpcpp/grpcpp.h>

#include <memory>
#include <string>
#include <thread>

#include "agent/event_loop.h"
#include "agent/link_wire.h"
#include "drover/agent/v1/agent_link.grpc.pb.h"

namespace drover::agent {

class GrpcWire : public LinkWire {
 public:
  // `address` is the controller's "host:port".
  GrpcWire(EventLoop* loop, const std::string& address);
  ~GrpcWire() override;

  void Enroll(const Credentials& credentials, const v1::EnrollRequest& request,
              std::function<void(absl::StatusOr<v1::EnrollResponse>)> done) override;
  void Open(const Credentials& credentials, Events events) override;
  void Write(const v1::AgentMessage& message) override;
  void Close() override;

 private:
  struct Stream;
  using Tag = std::function<void(bool)>;

  std::shared_ptr<grpc::Channel> Connect(const Credentials& credentials) const;
  static void Read(std::shared_ptr<Stream> stream);
  static void Finish(std::shared_ptr<Stream> stream);
  void Pump();

  EventLoop* const loop_;
  const std::string address_;
  grpc::CompletionQueue queue_;
  std::shared_ptr<Stream> stream_;
  std::shared_ptr<bool> alive_ = std::make_shared<bool>(true);
  // Of the enrolment at work.
  std::weak_ptr<grpc::ClientContext> enrolment_;
  std::thread thread_;
};

}  // namespace drover::agent
