#include "controller/agents/agent_session.h"

#include <algorithm>
#include <utility>

#include "proto/support/status.h"

namespace drover::agents {
namespace {

using drover::agent::v1::AgentMessage;
using drover::agent::v1::ControllerMessage;

// Commands are few, acknowledgements fold; whoever leaves so many is not reading.
constexpr size_t kMaxOut = 256;
constexpr size_t kMaxIn = 64;

absl::Status Silent() {
  return MakeError(absl::StatusCode::kDeadlineExceeded, "AGENT_SILENT",
                   "nothing was heard for three heartbeats");
}

}  // namespace

AgentSession::AgentSession(SessionOwner* owner, LinkWire* wire, std::shared_ptr<Lane> lane,
                           Peer peer)
    : owner_(owner), wire_(wire), lane_(std::move(lane)), peer_(std::move(peer)) {
  const absl::Time now = owner_->Now();
  absl::MutexLock lock(&mutex_);
  last_heard_ = now;
  last_beat_ = now;
}

void AgentSession::Start() {
  Next next;
  {
    absl::MutexLock lock(&mutex_);
    ReadOn(next);
  }
  Do(std::move(next));
}

void AgentSession::OnRead(bool ok, AgentMessage message) {
  if (!ok) return OnLost();
  const absl::Time now = owner_->Now();
  Next next;
  bool drain = false;
  {
    absl::MutexLock lock(&mutex_);
    reading_ = false;
    last_heard_ = now;
    if (message.has_heartbeat()) {
      echo_ = message.heartbeat().number();
    } else if (!closing_) {
      in_.push_back(std::move(message));
      drain = !std::exchange(draining_, true);
    }
    ReadOn(next);
  }
  Do(std::move(next));
  if (drain) {
    lane_->Run([self = shared_from_this()] { self->Drain(); });
  }
}

void AgentSession::Drain() {
  std::vector<AgentMessage> messages;
  {
    absl::MutexLock lock(&mutex_);
    messages.swap(in_);
  }
  owner_->OnMessages(shared_from_this(), std::move(messages));
  Next next;
  bool again = false;
  {
    absl::MutexLock lock(&mutex_);
    again = !in_.empty();
    draining_ = again;
    ReadOn(next);
  }
  Do(std::move(next));
  if (again) {
    lane_->Run([self = shared_from_this()] { self->Drain(); });
  }
}

void AgentSession::OnWritten(bool ok) {
  Next next;
  {
    absl::MutexLock lock(&mutex_);
    writing_ = false;
    if (!ok) {
      out_.clear();
      CloseLocked(absl::CancelledError("the connection was lost"), next);
    }
    Advance(next);
  }
  Do(std::move(next));
}

void AgentSession::OnLost() {
  Next next;
  {
    absl::MutexLock lock(&mutex_);
    if (ended_) return;
    out_.clear();
    CloseLocked(absl::CancelledError("the connection was lost"), next);
    Advance(next);
  }
  Do(std::move(next));
}

void AgentSession::Ended() {
  absl::MutexLock lock(&mutex_);
  ended_ = true;
}

bool AgentSession::Push(ControllerMessage message) {
  Next next;
  bool taken = true;
  {
    absl::MutexLock lock(&mutex_);
    if (closing_ || ended_) return false;
    if (out_.size() >= kMaxOut) {
      taken = false;
      out_.clear();
      CloseLocked(MakeError(absl::StatusCode::kResourceExhausted, "AGENT_TOO_SLOW",
                            "too much waits to be sent; come back and take it again"),
                  next);
    } else {
      out_.push_back(std::move(message));
    }
    Advance(next);
  }
  Do(std::move(next));
  return taken;
}

void AgentSession::Close(const absl::Status& status) {
  Next next;
  {
    absl::MutexLock lock(&mutex_);
    if (ended_) return;
    CloseLocked(status, next);
    Advance(next);
  }
  Do(std::move(next));
}

void AgentSession::Tick(absl::Time now, absl::Duration interval) {
  Next next;
  {
    absl::MutexLock lock(&mutex_);
    if (ended_) return;
    if (closing_) {
      closing_since_ = std::min(closing_since_, now);
      if (!finished_ && now - closing_since_ >= interval) Cut(next);
    } else if (in_.size() < kMaxIn && now - last_heard_ >= 3 * interval) {
      // Nobody takes the end of this stream either.
      out_.clear();
      CloseLocked(Silent(), next);
      Cut(next);
    } else if (now - last_beat_ >= interval) {
      last_beat_ = now;
      ControllerMessage message;
      message.mutable_heartbeat()->set_number(++beats_);
      message.mutable_heartbeat()->set_echo(echo_);
      if (out_.size() < kMaxOut) out_.push_back(std::move(message));
    }
    Advance(next);
  }
  Do(std::move(next));
}

void AgentSession::CloseLocked(const absl::Status& status, Next& next) {
  if (closing_) return;
  closing_ = true;
  status_ = status;
  in_.clear();
  next.closed = true;
}

void AgentSession::ReadOn(Next& next) {
  if (reading_ || finished_ || ended_ || in_.size() >= kMaxIn) return;
  reading_ = true;
  next.read = true;
  ++wire_users_;
}

void AgentSession::Cut(Next& next) {
  next.cut = true;
  ++wire_users_;
}

void AgentSession::Advance(Next& next) {
  if (writing_ || finished_ || ended_) return;
  if (!out_.empty()) {
    writing_ = true;
    next.write = true;
    next.message = std::move(out_.front());
    out_.pop_front();
  } else if (closing_ && wire_users_ == 0) {
    finished_ = true;
    next.finish = true;
  }
  next.status = status_;
}

// The wire lives until its Finish was called and everything under way came back. Finish is called
// by one thread, and only while nobody is about to read (wire_users_) or writes (writing_).
void AgentSession::Do(Next next) {
  if (next.closed) {
    absl::Status why;
    {
      absl::MutexLock lock(&mutex_);
      why = status_;
    }
    owner_->OnClosed(shared_from_this(), why);
  }
  if (next.write) wire_->Write(std::move(next.message));
  if (next.finish) wire_->FinishCall(next.status);
  if (next.read) wire_->Read();
  if (next.cut) wire_->Cut();
  if (!next.read && !next.cut) return;
  Next more;
  {
    absl::MutexLock lock(&mutex_);
    wire_users_ -= (next.read ? 1 : 0) + (next.cut ? 1 : 0);
    Advance(more);
  }
  Do(std::move(more));
}

}  // namespace drover::agents
