// One mail to one relay, in plain SMTP: no TLS and no sign-in, as the relay is inside the estate
// and takes mails from this guest. What is heard from it is not believed further than a reply code.
//
// Thread promise: belongs to the event loop's thread; never waits. Owns its connection and ends
// with it. Nothing survives a restart.
#pragma once

#include <functional>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/time/time.h"
#include "agent/event_loop.h"
#include "agent/unique_fd.h"

namespace drover::agent {

struct Letter {
  // "10.0.0.5:25"; a name is not looked up, since that waits.
  std::string relay;
  std::string sender;
  std::vector<std::string> to;
  std::string subject;
  // UTF-8.
  std::string text;
  // Unique.
  std::string id;
  absl::Time time;
};

// Headers and body as they go over the wire (RFC 5322, RFC 2047), ASCII.
std::string ComposeLetter(const Letter& letter);
// INVALID_ARGUMENT when it is no IPv4 address with a port.
absl::Status CheckRelay(absl::string_view relay);

class SmtpDelivery {
 public:
  // OK when the relay took it for one recipient at least; UNAVAILABLE when it may another time;
  // FAILED_PRECONDITION when it will not.
  using Done = std::function<void(absl::Status)>;

  // Begins at once. `done` is called once, never from within this; it may destroy this.
  SmtpDelivery(EventLoop* loop, Letter letter, Done done);
  ~SmtpDelivery();
  SmtpDelivery(const SmtpDelivery&) = delete;
  SmtpDelivery& operator=(const SmtpDelivery&) = delete;

 private:
  enum class Stage { kGreeting, kHello, kSender, kRecipients, kData, kText, kQuit };

  void Connect();
  void Readable();
  void Reply(int code, const std::string& line);
  void Say(const std::string& line);
  void Write();
  void Finish(absl::Status status);

  EventLoop* const loop_;
  const Letter letter_;
  Done done_;
  UniqueFd socket_;
  Stage stage_ = Stage::kGreeting;
  size_t recipient_ = 0;
  int taken_ = 0;
  std::string refusal_;
  std::string in_;
  std::string out_;
  EventLoop::TimerId timeout_ = 0;
};

}  // namespace drover::agent
