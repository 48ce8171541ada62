// The one entrance of all public calls. A call is found by its descriptor, then, in this order and
// for every method alike: authenticated, authorised by its `rule`, checked by its fields' options,
// handed to its handler, and, when it changes something or was refused, written to the platform log
// without its secrets. A method without a handler answers UNIMPLEMENTED. There are no stubs and no
// code per call here.
//
// Thread promise: handlers are registered before the server starts; then Dispatch, Open and Admit
// may be called from any thread. They block as long as the handler does, so that the server calls
// them on its pool.
#pragma once

#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <utility>

#include "absl/base/thread_annotations.h"
#include "absl/container/flat_hash_map.h"
#include "absl/container/flat_hash_set.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/synchronization/mutex.h"
#include "controller/api/call_log.h"
#include "controller/core/caller.h"
#include "google/protobuf/any.pb.h"
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

// Where a call came from, as the transport knows it.
struct Origin {
  // The bearer token, "" without one.
  std::string token;
  // The person's address, without port.
  std::string client_address;
};

// What the dispatcher asks of the core.
struct Gate {
  // UNAUTHENTICATED for a token that is unknown or expired.
  std::function<absl::StatusOr<core::Caller>(absl::string_view token,
                                             absl::string_view client_address)>
      authenticate;
  // The answer this request_id of this user was given before, nullopt when it is new;
  // ALREADY_EXISTS when it was another request.
  std::function<absl::StatusOr<std::optional<google::protobuf::Any>>(
      const core::Caller&, absl::string_view method, absl::string_view request_id,
      const google::protobuf::Message& request)>
      recall;
  // Keeps an answer for `recall`.
  std::function<absl::Status(const core::Caller&, absl::string_view method,
                             absl::string_view request_id, const google::protobuf::Message& request,
                             const google::protobuf::Message& response)>
      remember;
};

class Dispatcher {
 public:
  // `log` outlives the dispatcher.
  Dispatcher(Gate gate, CallLog* log);

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

  // The whole way of one call. Errors are as they go to the caller: from the gate
  // UNAUTHENTICATED, PERMISSION_DENIED (reasons ROLE_NOT_SUFFICIENT, PASSWORD_CHANGE_REQUIRED),
  // UNIMPLEMENTED, INVALID_ARGUMENT with all violations, ABORTED, reason REQUEST_IN_PROGRESS while
  // the same request_id is being carried out.
  absl::StatusOr<std::unique_ptr<google::protobuf::Message>> Dispatch(
      const google::protobuf::MethodDescriptor& method, const Origin& origin,
      std::unique_ptr<google::protobuf::Message> request);
  // The same for a streaming method. The sink may be pushed to before it returns.
  absl::StatusOr<std::unique_ptr<Subscription>> Open(
      const google::protobuf::MethodDescriptor& method, const Origin& origin,
      std::unique_ptr<google::protobuf::Message> request, std::shared_ptr<StreamSink> sink);
  // Whether the caller may (still) make this call, and who it is as far as is known. Not logged.
  absl::Status Admit(const google::protobuf::MethodDescriptor& method, const Origin& origin,
                     core::Caller* caller);

 private:
  struct Passage;

  absl::Status Enter(Passage& passage, const Origin& origin);
  absl::StatusOr<std::unique_ptr<google::protobuf::Message>> Answer(Passage& passage);
  absl::StatusOr<std::unique_ptr<google::protobuf::Message>> AnswerOnce(
      Passage& passage, const UnaryHandler& handler);

  void AddUnary(absl::string_view method, const google::protobuf::Descriptor* request,
                const google::protobuf::Descriptor* response, UnaryHandler handler);
  void AddStream(absl::string_view method, const google::protobuf::Descriptor* request,
                 const google::protobuf::Descriptor* response, StreamHandler handler);

  const Gate gate_;
  CallLog* const log_;
  absl::Mutex mutex_;
  // User and request_id of the calls that are being carried out.
  absl::flat_hash_set<std::string> in_progress_ ABSL_GUARDED_BY(mutex_);
  absl::flat_hash_map<const google::protobuf::MethodDescriptor*, UnaryHandler> unary_;
  absl::flat_hash_map<const google::protobuf::MethodDescriptor*, StreamHandler> streams_;
};

}  // namespace drover::api
