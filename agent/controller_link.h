// The conversation with the controller: enrolment, hello, what each side sends and acknowledges,
// heartbeats, and coming back.
//
// It pulls: while the stream can take a message the most urgent one is made from what waits
// (heartbeat, desired state applied, command updates, state report, events in order, samples), so
// nothing piles up behind a slow line but the few updates of running commands. Lost contact: three
// heartbeat intervals without a word end the stream. Reconnection waits a random part of a time
// that doubles from one second to thirty, so that thousands of agents do not come at once.
//
// Thread promise: belongs to the event loop's thread; never waits. Survives a restart: nothing of
// its own; outbox, inbox, desired state and identity are their owners' matter.
#pragma once

#include <deque>
#include <functional>
#include <memory>
#include <optional>
#include <string>

#include "agent/command_runner.h"
#include "agent/event_loop.h"
#include "agent/identity.h"
#include "agent/link_wire.h"
#include "agent/outbox.h"
#include "agent/sampler.h"
#include "agent/supervisor.h"

namespace drover::agent {

// Pure: the longest wait before attempt n (1, 2, ...): 1 s, 2 s, 4 s, ... 30 s.
absl::Duration ReconnectCeiling(int attempt);

class ControllerLink {
 public:
  struct Parts {
    EventLoop* loop = nullptr;
    LinkWire* wire = nullptr;
    AgentIdentity* identity = nullptr;
    Outbox* outbox = nullptr;
    Supervisor* supervisor = nullptr;
    CommandRunner* commands = nullptr;
    std::string os_version;
    std::string boot_id;
    // 0 <= x < 1, for the jitter.
    std::function<double()> random;
    // Welcomed, or lost.
    std::function<void(bool established)> link_changed = [](bool) {};
    // Taken into force.
    std::function<void(const v1::DesiredState&)> desired_applied = [](const v1::DesiredState&) {};
    // Enrolled as another VM: everything must begin anew.
    std::function<void()> begin_anew;
    // Welcomed, on each new stream.
    std::function<void()> welcomed;
  };

  explicit ControllerLink(Parts parts);
  ~ControllerLink();

  // Begins, at once.
  void Start();

  // The way to the controller has changed: nothing that comes on the stream that is open counts any
  // more; it is ended, and another is tried at once.
  void ConnectAnew();
  // While somebody waits for the link, no try waits longer than a second.
  void SetUrgent(bool urgent) { urgent_ = urgent; }

  // Something new waits in the outbox; the services changed; an update of a command.
  void EventsWait() { Pump(); }
  void StatusChanged();
  void Tell(v1::CommandUpdate update);

  // Welcomed, and not lost since.
  bool established() const { return phase_ == Phase::kEstablished; }

  static constexpr int kCapabilityLevel = 1;

 private:
  enum class Phase { kWaiting, kEnrolling, kConnecting, kGreeting, kEstablished };

  void Connect();
  void Enroll();
  void Open();
  void Opened();
  void Received(v1::ControllerMessage message);
  void Closed(const absl::Status& status);
  void RetryLater(const absl::Status& why);
  void Welcomed(const v1::Welcome& welcome);
  void ApplyDesired(const v1::DesiredState& desired);
  void Heartbeat();
  void Silent();
  void TakeSample();
  v1::StateReport MakeReport() const;
  v1::AgentMessage MakeHello() const;
  bool NextMessage(v1::AgentMessage& message);
  void Pump();

  const Parts parts_;
  Sampler sampler_;
  Phase phase_ = Phase::kWaiting;
  bool started_ = false;
  bool urgent_ = false;
  // The stream is being ended to connect anew.
  bool leaving_ = false;
  int attempts_ = 0;
  absl::Duration established_at_;
  absl::Duration last_heard_;
  absl::Duration interval_;
  std::string last_problem_;

  bool writing_ = false;
  bool heartbeat_due_ = false;
  int64_t heartbeats_sent_ = 0;
  int64_t last_heartbeat_heard_ = 0;
  std::optional<int64_t> applied_;
  std::deque<v1::CommandUpdate> updates_;
  int64_t last_event_sent_ = 0;
  bool report_due_ = false;
  std::string reported_;
  std::deque<v1::Sample> samples_;
  absl::Duration sample_interval_;

  EventLoop::TimerId retry_timer_ = 0;
  EventLoop::TimerId heartbeat_timer_ = 0;
  EventLoop::TimerId silence_timer_ = 0;
  EventLoop::TimerId sample_timer_ = 0;
  EventLoop::TimerId report_timer_ = 0;
};

}  // namespace drover::agent
