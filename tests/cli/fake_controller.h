// A controller for tests of its clients: real TLS and gRPC on a free port of the loopback address,
// answers by the test.
//
// Thread promise: handlers are set before calls are made and run on a thread of their call; the
// recorded calls may be read from any thread. Everything ends with the destructor; handlers must
// return by then.
#pragma once

#include <google/protobuf/message.h>

#include <functional>
#include <map>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/status/status.h"
#include "absl/strings/string_view.h"
#include "absl/synchronization/mutex.h"

namespace drover::testing {

class FakeController {
 public:
  // Sends one message of the answer; false when the caller went away.
  using Send = std::function<bool(const google::protobuf::Message&)>;
  using Handler =
      std::function<absl::Status(const google::protobuf::Message& request, const Send&)>;

  FakeController();
  ~FakeController();

  // Answers "InventoryService/GetVm". A later one replaces an earlier one. Methods without one are
  // UNIMPLEMENTED.
  template <typename Request, typename Response>
  void On(absl::string_view method,
          std::function<absl::Status(const Request&, Response*)> handler) {
    OnCall(method, [handler = std::move(handler)](const google::protobuf::Message& request,
                                                  const Send& send) {
      Response response;
      const absl::Status status = handler(static_cast<const Request&>(request), &response);
      if (status.ok()) send(response);
      return status;
    });
  }
  // The same answer to every call.
  void Answer(absl::string_view method, const google::protobuf::Message& response);
  void Refuse(absl::string_view method, const absl::Status& status);
  // Any number of messages.
  void OnCall(absl::string_view method, Handler handler);

  // "127.0.0.1:port".
  std::string address() const;
  const std::string& authority_pem() const { return authority_pem_; }
  // The tokens and requests seen, in order: "GetVm" -> requests.
  std::vector<std::string> Requests(absl::string_view method) const;
  // Of the last call.
  std::string last_authorization() const { return LastMetadata("authorization"); }
  std::string LastMetadata(const std::string& name) const;
  template <typename Request>
  Request LastRequest(absl::string_view method) const {
    Request request;
    const auto all = Requests(method);
    if (!all.empty()) request.ParseFromString(all.back());
    return request;
  }

 private:
  class Service;
  friend class Service;

  // Records the call and finds its handler; nullptr without one.
  Handler Enter(const std::string& method, std::map<std::string, std::string> metadata,
                const std::string& request);

  mutable absl::Mutex mutex_;
  std::map<std::string, Handler> handlers_ ABSL_GUARDED_BY(mutex_);
  std::vector<std::pair<std::string, std::string>> calls_ ABSL_GUARDED_BY(mutex_);
  std::map<std::string, std::string> last_metadata_ ABSL_GUARDED_BY(mutex_);
  std::string authority_pem_;
  std::unique_ptr<Service> service_;
};

}  // namespace drover::testing
