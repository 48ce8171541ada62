// Calls to the controller by descriptor, without blocking: gRPC's generic stub.
//
// Thread promise: all methods from any thread. Callbacks come on gRPC's threads, one at a time for
// each call, without locks held. Owns the calls under way; Shutdown cuts them and waits for their
// last callback. Streams that were opened may be let go of later, but not on a thread of gRPC.
#pragma once

#include <google/protobuf/descriptor.h>
#include <google/protobuf/message.h>

#include <functional>
#include <memory>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"

namespace grpc {
class Channel;
}

namespace drover::gateway {

// Who asks, and how the controller gets to know.
struct CallerFacts {
  // Of the session; empty without one. Printable ASCII.
  std::string token;
  // Of the person's machine; told to the controller, which believes the gateway's key.
  std::string client_address;
  std::string request_id;
};

class Upstream {
 public:
  // Answer, or the controller's error with its details.
  using Answer = std::function<void(absl::StatusOr<std::unique_ptr<google::protobuf::Message>>)>;

  // A server stream. Letting go of it cuts the call.
  class Stream {
   public:
    virtual ~Stream() = default;
    // Asks for one message; not again before `got` came.
    virtual void Read() = 0;
  };
  // A message, or null when there is none any more; then `status` says why: OK when the controller
  // ended it in order. After the stream was let go of it may still be called, so that it must not
  // hold what is gone by then.
  using Got = std::function<void(std::unique_ptr<google::protobuf::Message>, absl::Status status)>;

  // `gateway_key` proves to the controller that it is the gateway who tells a client's address.
  Upstream(std::shared_ptr<grpc::Channel> channel, std::string gateway_key);
  ~Upstream();

  void Unary(const google::protobuf::MethodDescriptor& method,
             const google::protobuf::Message& request, const CallerFacts& facts,
             absl::Duration timeout, Answer answer);
  // Begins at once; messages come when they are asked for, the end comes by itself.
  std::unique_ptr<Stream> Open(const google::protobuf::MethodDescriptor& method,
                               const google::protobuf::Message& request, const CallerFacts& facts,
                               Got got);
  // Whether the controller serves, by grpc.health.v1; UNAVAILABLE with the reason.
  void Check(absl::Duration timeout, std::function<void(absl::Status)> answer);

  void Shutdown();

 private:
  class State;
  std::unique_ptr<State> state_;
};

}  // namespace drover::gateway
