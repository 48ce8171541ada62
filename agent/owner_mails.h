// Tells owners of outages from the guest itself, while the controller has been out of reach for
// longer than it allows; off unless the desired state names a relay. What to tell is what the
// outbox holds and the controller does not know: the newest outcome of each service, once.
//
// Thread promise: belongs to the event loop's thread; never waits. Survives a restart: the relay
// and what was told (owner-mails.state); the outbox has the rest. A mail may come twice when the
// agent ends between the relay's answer and the note of it.
#pragma once

#include <deque>
#include <functional>
#include <memory>
#include <string>

#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "agent/event_loop.h"
#include "agent/outbox.h"
#include "agent/smtp_delivery.h"
#include "drover/agent/v1/agent_link.pb.h"
#include "drover/agent/v1/agent_state.pb.h"

namespace drover::agent {

class OwnerMails {
 public:
  // `emit` takes what is to be told to the controller.
  static absl::StatusOr<std::unique_ptr<OwnerMails>> Open(std::string path, EventLoop* loop,
                                                          const Outbox* outbox,
                                                          std::function<void(v1::AgentEvent)> emit);
  ~OwnerMails();

  // As the desired state has it; without a relay nothing is told.
  void Configure(const v1::MailFallback& fallback);
  void LinkIs(bool established);

 private:
  OwnerMails(std::string path, EventLoop* loop, const Outbox* outbox,
             std::function<void(v1::AgentEvent)> emit);

  void Save();
  void LookLater();
  void Look();
  // Makes letters of the oldest outcome that is not told. False when there is none.
  bool Prepare();
  void Deliver();
  void Delivered(const absl::Status& status);

  const std::string path_;
  EventLoop* const loop_;
  const Outbox* const outbox_;
  const std::function<void(v1::AgentEvent)> emit_;
  v1::OwnerMailState state_;
  bool linked_ = false;
  absl::Duration lost_since_;
  EventLoop::TimerId timer_ = 0;

  // Of one service: what is on its way, and what to note when all of it is.
  std::string service_;
  v1::OwnerMailState::Told told_;
  std::deque<Letter> letters_;
  std::unique_ptr<SmtpDelivery> delivery_;
  int failures_ = 0;
  absl::Duration not_before_;
  std::shared_ptr<bool> alive_ = std::make_shared<bool>(true);
};

}  // namespace drover::agent
