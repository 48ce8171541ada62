// One agent's stream: a mutex, a bounded out-queue, a bounded in-queue, a writing flag.
//
// What comes in is handed to the agent's lane in batches; reading waits while the in-queue is full.
// Heartbeats are answered for at once and never queue. What goes out waits in the out-queue; when
// it is full the session is dropped, and the agent comes back and resends.
//
// Thread promise: all methods from any thread; none blocks. Shared by the transport's reactor, the
// directory and tasks on the lane. The reactor calls Ended as its last act; the wire is not used
// after that. Nothing survives a restart.
#pragma once

#include <cstdint>
#include <deque>
#include <memory>
#include <string>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/status/status.h"
#include "absl/synchronization/mutex.h"
#include "absl/time/time.h"
#include "controller/agents/authority.h"
#include "controller/agents/lane.h"
#include "drover/agent/v1/agent_link.pb.h"

namespace drover::agents {

class AgentSession;

// The transport's side. One Write at a time, one Read at a time, Finish once and after the last
// Write.
class LinkWire {
 public:
  virtual ~LinkWire() = default;
  virtual void Read() = 0;
  virtual void Write(drover::agent::v1::ControllerMessage message) = 0;
  virtual void FinishCall(const absl::Status& status) = 0;
  // Cuts the connection: what is under way ends with an error.
  virtual void Cut() = 0;
};

// Who carries on what comes in; the directory.
class SessionOwner {
 public:
  virtual ~SessionOwner() = default;
  // On the lane; messages other than heartbeats, in order.
  virtual void OnMessages(const std::shared_ptr<AgentSession>& session,
                          std::vector<drover::agent::v1::AgentMessage> messages) = 0;
  // Once, when the session is closed or lost, on the thread that saw it.
  virtual void OnClosed(const std::shared_ptr<AgentSession>& session, const absl::Status& why) = 0;
  virtual absl::Time Now() = 0;
};

class AgentSession : public std::enable_shared_from_this<AgentSession> {
 public:
  struct Peer {
    AgentCertificate certificate;
    std::string client_address;
  };
  AgentSession(SessionOwner* owner, LinkWire* wire, std::shared_ptr<Lane> lane, Peer peer);

  const std::string& vm_uid() const { return peer_.certificate.vm_uid; }
  const Peer& peer() const { return peer_; }
  const std::shared_ptr<Lane>& lane() const { return lane_; }

  // ---- for the reactor
  void Start();
  void OnRead(bool ok, drover::agent::v1::AgentMessage message);
  void OnWritten(bool ok);
  // The connection is lost.
  void OnLost();
  void Ended();

  // ---- for the directory
  // False when the session is closed, or was closed by this because its queue is full.
  bool Push(drover::agent::v1::ControllerMessage message);
  // Ends the stream with this status after what waits was sent. The first one counts.
  void Close(const absl::Status& status);
  // Called about ten times in an interval: sends the heartbeat that is due; drops a peer silent for
  // three intervals, and one that does not take the end of its stream within one.
  void Tick(absl::Time now, absl::Duration interval);

 private:
  struct Next {
    bool write = false;
    bool finish = false;
    bool closed = false;
    bool read = false;
    bool cut = false;
    drover::agent::v1::ControllerMessage message;
    absl::Status status;
  };
  void Advance(Next& next) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  void CloseLocked(const absl::Status& status, Next& next) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  void ReadOn(Next& next) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  void Cut(Next& next) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  void Do(Next next);
  void Drain();

  SessionOwner* const owner_;
  LinkWire* const wire_;
  const std::shared_ptr<Lane> lane_;
  const Peer peer_;

  absl::Mutex mutex_;
  std::deque<drover::agent::v1::ControllerMessage> out_ ABSL_GUARDED_BY(mutex_);
  std::vector<drover::agent::v1::AgentMessage> in_ ABSL_GUARDED_BY(mutex_);
  bool writing_ ABSL_GUARDED_BY(mutex_) = false;
  bool reading_ ABSL_GUARDED_BY(mutex_) = false;
  bool draining_ ABSL_GUARDED_BY(mutex_) = false;
  bool closing_ ABSL_GUARDED_BY(mutex_) = false;
  bool finished_ ABSL_GUARDED_BY(mutex_) = false;
  // Threads on their way to Read or Cut.
  int wire_users_ ABSL_GUARDED_BY(mutex_) = 0;
  bool ended_ ABSL_GUARDED_BY(mutex_) = false;
  absl::Status status_ ABSL_GUARDED_BY(mutex_);
  absl::Time last_heard_ ABSL_GUARDED_BY(mutex_);
  absl::Time last_beat_ ABSL_GUARDED_BY(mutex_);
  absl::Time closing_since_ ABSL_GUARDED_BY(mutex_) = absl::InfiniteFuture();
  int64_t beats_ ABSL_GUARDED_BY(mutex_) = 0;
  int64_t echo_ ABSL_GUARDED_BY(mutex_) = 0;
};

}  // namespace drover::agents
