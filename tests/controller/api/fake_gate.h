// People and ledger of the dispatcher's tests: tokens "system", "admin", "fresh" (must change the
// password), "nobody" (no role); any other is expired.
#pragma once

#include <google/protobuf/empty.pb.h>

#include <atomic>
#include <map>
#include <string>
#include <utility>

#include "controller/api/dispatcher.h"
#include "proto/support/status.h"

namespace drover::api {

class FakeGate {
 public:
  Gate AsGate() {
    Gate gate;
    gate.authenticate = [this](absl::string_view token, absl::string_view address) {
      return Authenticate(token, address);
    };
    gate.recall = [this](const core::Caller& caller, absl::string_view, absl::string_view id,
                         const google::protobuf::Message& request)
        -> absl::StatusOr<std::optional<google::protobuf::Any>> {
      const auto found = answers_.find(caller.user + " " + std::string(id));
      if (found == answers_.end()) return std::nullopt;
      if (found->second.first != request.SerializeAsString()) {
        return InvalidField("request_id", "was used for another request");
      }
      return found->second.second;
    };
    gate.remember = [this](const core::Caller& caller, absl::string_view, absl::string_view id,
                           const google::protobuf::Message& request,
                           const google::protobuf::Message& response) {
      google::protobuf::Any any;
      any.PackFrom(response);
      answers_[caller.user + " " + std::string(id)] = {request.SerializeAsString(), any};
      return absl::OkStatus();
    };
    return gate;
  }

  // Ends all sessions.
  void SignEverybodyOut() { signed_out_ = true; }

 private:
  absl::StatusOr<core::Caller> Authenticate(absl::string_view token, absl::string_view address) {
    core::Caller caller;
    caller.client_address = std::string(address);
    caller.role = drover::v1::ROLE_ADMINISTRATOR;
    caller.user = "anna";
    if (token == "system") {
      caller.user = "sysop";
      caller.role = drover::v1::ROLE_SYSTEM_ADMINISTRATOR;
    } else if (token == "nobody") {
      caller.role = drover::v1::ROLE_UNSPECIFIED;
    } else if (token == "fresh") {
      caller.must_change_password = true;
    }
    const bool known =
        caller.user == "sysop" || token == "nobody" || token == "fresh" || token == "admin";
    if (!known || signed_out_) {
      return MakeError(absl::StatusCode::kUnauthenticated, "SESSION_EXPIRED", "sign in again");
    }
    return caller;
  }

  std::atomic<bool> signed_out_ = false;
  std::map<std::string, std::pair<std::string, google::protobuf::Any>> answers_;
};

}  // namespace drover::api
