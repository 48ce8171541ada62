// The one entrance of all public calls. A call is found by its descriptor, then, in this order and
// for every method alike: authenticated, authorised by its `rule`, checked by its fields' options,
// handed to its handler, and, when it changes something or was refused, written to the platform log
// without its secrets. A method without a handler answers UNIMPLEMENTED. There are no stubs and no
// code per call here.
//
// Thread promise: handlers are registered before the server starts; then Dispatch may be called
// from any thread. Handlers run on the server's pool and may block.
#pragma once

#include <functional>
#include <memory>
#include <string>
#include <utility>

#include "absl/container/flat_hash_map.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "controller/core/caller.h"
#include "google/protobuf/descriptor.h"
#include "google/protobuf/message.h"

namespace drover::api {

struct Call {
  core::Caller caller;
  // From the request's request_id, "" without.
  std::string request_id;
};

// Where a streaming handler's subscription sends to. Push never blocks: a full queue is told by the
// return value, once, and the subscription answers with a gap or ends the stream.
class StreamSink {
 public:
  virtual ~StreamSink() = default;
  virtual bool Push(const google::protobuf::Message& message) = 0;
  virtual void Finish(absl::Status status) = 0;
};

// Lives as long as the stream; its destructor unsubscribes and returns only when no Push is under
// way any more.
class Subscription {
 public:
  virtual ~Subscription() = default;
  // The sink has room again after a full queue.
  virtual void OnRoom() {}
};

class Dispatcher {
 public:
  using UnaryHandler = std::function<absl::StatusOr<std::unique_ptr<google::protobuf::Message>>(
      const Call&, const google::protobuf::Message&)>;
  using StreamHandler = std::function<absl::StatusOr<std::unique_ptr<Subscription>>(
      const Call&, const google::protobuf::Message&, std::shared_ptr<StreamSink>)>;

  // `method` is "InventoryService.GetVm". Ends the program when there is no such method, or request
  // and response are other types: that is a mistake of ours which the first test run shows.
  template <typename Request, typename Response>
  void OnUnary(absl::string_view method,
               std::function<absl::StatusOr<Response>(const Call&, const Request&)> handler) {
    AddUnary(
        method, Request::descriptor(), Response::descriptor(),
        [handler = std::move(handler)](const Call& call, const google::protobuf::Message& request)
            -> absl::StatusOr<std::unique_ptr<google::protobuf::Message>> {
          absl::StatusOr<Response> response = handler(call, static_cast<const Request&>(request));
          if (!response.ok()) return response.status();
          return std::make_unique<Response>(*std::move(response));
        });
  }
  template <typename Request, typename Response>
  void OnStream(absl::string_view method,
                std::function<absl::StatusOr<std::unique_ptr<Subscription>>(
                    const Call&, const Request&, std::shared_ptr<StreamSink>)>
                    handler) {
    AddStream(
        method, Request::descriptor(), Response::descriptor(),
        [handler = std::move(handler)](const Call& call, const google::protobuf::Message& request,
                                       std::shared_ptr<StreamSink> sink) {
          return handler(call, static_cast<const Request&>(request), std::move(sink));
        });
  }

 private:
  void AddUnary(absl::string_view method, const google::protobuf::Descriptor* request,
                const google::protobuf::Descriptor* response, UnaryHandler handler);
  void AddStream(absl::string_view method, const google::protobuf::Descriptor* request,
                 const google::protobuf::Descriptor* response, StreamHandler handler);

  absl::flat_hash_map<const google::protobuf::MethodDescriptor*, UnaryHandler> unary_;
  absl::flat_hash_map<const google::protobuf::MethodDescriptor*, StreamHandler> streams_;
};

}  // namespace drover::api
