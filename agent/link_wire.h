// The connection to the controller as bytes on a wire: one call to enrol, one stream. What is said
// on it is ControllerLink's matter.
//
// Thread promise: functions and callbacks on the event loop's thread, none from within a call.
// Nothing survives a restart.
#pragma once

#include <functional>

#include "absl/status/statusor.h"
#include "agent/identity.h"
#include "drover/agent/v1/agent_link.pb.h"

namespace drover::agent {

class LinkWire {
 public:
  struct Events {
    // The stream is there; Write may be called.
    std::function<void()> opened;
    std::function<void(v1::ControllerMessage)> received;
    // The message is on its way; the next may be written.
    std::function<void()> written;
    // Last: nothing follows, Open may be called again.
    std::function<void(absl::Status)> closed;
  };

  virtual ~LinkWire() = default;
  // Calls `done` once, after 20 s at the latest. One at a time, not beside an open stream.
  virtual void Enroll(const Credentials& credentials, const v1::EnrollRequest& request,
                      std::function<void(absl::StatusOr<v1::EnrollResponse>)> done) = 0;
  // One stream at a time.
  virtual void Open(const Credentials& credentials, Events events) = 0;
  // One message at a time.
  virtual void Write(const v1::AgentMessage& message) = 0;
  // Ends the stream; `closed` follows.
  virtual void Close() = 0;
};

}  // namespace drover::agent
