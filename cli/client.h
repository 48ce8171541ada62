// The connection of one run to the controller that the flags, the environment or the current
// context name. Opened by the first call.
//
// Thread promise: for one thread, but streams can be cancelled from any. Owns the channel.
#pragma once

#include <google/protobuf/message.h>

#include <memory>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/time/time.h"
#include "cli/command.h"
#include "cli/context_store.h"
#include "cli/terminal.h"
#include "proto/support/channel.h"

namespace drover::cli {

class Client {
 public:
  Client(const Terminal& terminal, const Arguments& arguments)
      : terminal_(terminal), arguments_(arguments) {}

  // One call of "InventoryService/GetVm". A change gets a request id, so that it is sent once more,
  // once, when the connection was lost on the way.
  absl::Status Call(absl::string_view method, google::protobuf::Message& request,
                    google::protobuf::Message* response, absl::Duration timeout = absl::Minutes(3));

  // All pages of a list, merged into one answer; at most `limit` rows, 0 = all.
  absl::Status List(absl::string_view method, google::protobuf::Message& request,
                    google::protobuf::Message* response, int limit = 0,
                    absl::Duration timeout = absl::Minutes(3));

  absl::StatusOr<std::unique_ptr<ServerStream>> Stream(
      absl::string_view method, const google::protobuf::Message& request,
      absl::Duration timeout = absl::InfiniteDuration());

  // Calls of the run from now on go to this controller: signing in.
  void UseContext(const Context& context);
  // The context that is used, by the same rules. FAILED_PRECONDITION, reason NOT_SIGNED_IN when
  // there is none.
  absl::StatusOr<Context> CurrentContext();
  // Its name in the store; "" when it comes from the environment alone.
  absl::StatusOr<std::string> CurrentContextName();

 private:
  absl::Status Connect();

  const Terminal& terminal_;
  const Arguments& arguments_;
  std::shared_ptr<grpc::Channel> channel_;
  Context context_;
  bool connected_ = false;
};

// 128 random bits as a UUID.
std::string NewRequestId();

}  // namespace drover::cli
