#include "agent/controller_link.h"

#include <algorithm>
#include <utility>

#include "absl/strings/str_cat.h"
#include "agent/version.h"
#include "proto/support/log.h"
#include "proto/support/status.h"
#include "proto/support/time.h"

namespace drover::agent {
namespace {

constexpr absl::Duration kFirstCeiling = absl::Seconds(1);
constexpr absl::Duration kLastCeiling = absl::Seconds(30);
// A connection, and the welcome on it, have so long.
constexpr absl::Duration kGreetingLimit = absl::Seconds(20);
constexpr absl::Duration kUrgentGreetingLimit = absl::Seconds(5);
// A link that held this long makes the next loss a first one.
constexpr absl::Duration kSteady = absl::Seconds(30);
// Changes of state within this go as one report.
constexpr absl::Duration kReportDelay = absl::Milliseconds(20);
// An hour of samples at the usual ten seconds.
constexpr size_t kSamplesKept = 360;
constexpr size_t kUpdatesKept = 1000;

absl::Duration SecondsOr(int seconds, int standard, int most) {
  return absl::Seconds(std::min(seconds > 0 ? seconds : standard, most));
}

}  // namespace

absl::Duration ReconnectCeiling(int attempt) {
  return std::min(kFirstCeiling * (1 << std::clamp(attempt - 1, 0, 10)), kLastCeiling);
}

ControllerLink::ControllerLink(Parts parts)
    : parts_(std::move(parts)), sampler_(&parts_.loop->clock()) {
  sample_interval_ = absl::Seconds(10);
  sample_timer_ = parts_.loop->RunAfter(sample_interval_, [this] { TakeSample(); });
}

ControllerLink::~ControllerLink() {
  for (EventLoop::TimerId timer :
       {retry_timer_, heartbeat_timer_, silence_timer_, sample_timer_, report_timer_}) {
    parts_.loop->CancelTimer(timer);
  }
}

void ControllerLink::Start() {
  started_ = true;
  Connect();
}

void ControllerLink::ConnectAnew() {
  if (!started_) return;
  switch (phase_) {
    case Phase::kWaiting:
      parts_.loop->CancelTimer(retry_timer_);
      return Connect();
    case Phase::kEnrolling:
      return;
    default:
      leaving_ = true;
      return parts_.wire->Close();
  }
}

// ---------------------------------------------------------------- coming and going

void ControllerLink::Connect() {
  retry_timer_ = 0;
  ++attempts_;
  if (parts_.identity->NeedsEnrolment()) return Enroll();
  Open();
}

void ControllerLink::Enroll() {
  phase_ = Phase::kEnrolling;
  auto request = parts_.identity->MakeEnrollRequest();
  if (!request.ok()) return RetryLater(request.status());
  auto credentials = parts_.identity->ReadCredentials();
  if (!credentials.ok()) return RetryLater(credentials.status());
  // The token is what proves who asks; an old certificate would only confuse.
  credentials->key.clear();
  credentials->certificate_chain.clear();
  parts_.wire->Enroll(*credentials, *request, [this](absl::StatusOr<v1::EnrollResponse> response) {
    if (!response.ok()) return RetryLater(Annotate(response.status(), "enrolment"));
    auto other = parts_.identity->StoreEnrolment(*response);
    if (!other.ok()) return RetryLater(Annotate(other.status(), "enrolment"));
    if (*other) return parts_.begin_anew();
    attempts_ = 0;
    Open();
  });
}

void ControllerLink::Open() {
  auto credentials = parts_.identity->ReadCredentials();
  if (!credentials.ok()) return RetryLater(credentials.status());
  phase_ = Phase::kConnecting;
  silence_timer_ =
      parts_.loop->RunAfter(urgent_ ? kUrgentGreetingLimit : kGreetingLimit, [this] { Silent(); });
  parts_.wire->Open(*credentials,
                    {.opened = [this] { Opened(); },
                     .received = [this](v1::ControllerMessage m) { Received(std::move(m)); },
                     .written =
                         [this] {
                           writing_ = false;
                           Pump();
                         },
                     .closed = [this](absl::Status status) { Closed(status); }});
}

void ControllerLink::Opened() {
  if (phase_ != Phase::kConnecting) return;
  phase_ = Phase::kGreeting;
  writing_ = true;
  parts_.wire->Write(MakeHello());
}

void ControllerLink::Closed(const absl::Status& status) {
  const bool steady =
      phase_ == Phase::kEstablished && parts_.loop->clock().Uptime() - established_at_ >= kSteady;
  if (steady) attempts_ = 1;
  for (EventLoop::TimerId* timer : {&heartbeat_timer_, &silence_timer_}) {
    parts_.loop->CancelTimer(std::exchange(*timer, 0));
  }
  writing_ = false;
  updates_.clear();
  parts_.link_changed(false);
  if (std::exchange(leaving_, false)) {
    attempts_ = 0;
    phase_ = Phase::kWaiting;
    return Connect();
  }
  RetryLater(status);
}

void ControllerLink::RetryLater(const absl::Status& why) {
  phase_ = Phase::kWaiting;
  const std::string problem(why.message());
  // The same words every half minute would bury the rest of the log.
  if (std::exchange(last_problem_, problem) != problem) {
    LogWarning("no link with the controller: ", problem);
  }
  const absl::Duration ceiling =
      urgent_ ? std::min(ReconnectCeiling(attempts_), kFirstCeiling) : ReconnectCeiling(attempts_);
  retry_timer_ = parts_.loop->RunAfter(ceiling * parts_.random(), [this] { Connect(); });
}

void ControllerLink::Silent() {
  silence_timer_ = 0;
  if (phase_ == Phase::kEstablished) {
    const absl::Duration left = last_heard_ + 3 * interval_ - parts_.loop->clock().Uptime();
    if (left > absl::ZeroDuration()) {
      silence_timer_ = parts_.loop->RunAfter(left, [this] { Silent(); });
      return;
    }
  }
  LogWarning("the controller is silent; connecting anew");
  parts_.wire->Close();
}

// ---------------------------------------------------------------- what comes in

void ControllerLink::Received(v1::ControllerMessage message) {
  if (leaving_) return;
  last_heard_ = parts_.loop->clock().Uptime();
  if (message.has_welcome()) return Welcomed(message.welcome());
  if (phase_ != Phase::kEstablished) {
    LogWarning("the controller speaks before its welcome; connecting anew");
    return parts_.wire->Close();
  }
  switch (message.message_case()) {
    case v1::ControllerMessage::kDesiredState:
      return ApplyDesired(message.desired_state());
    case v1::ControllerMessage::kCommand:
      return parts_.commands->Accept(message.command());
    case v1::ControllerMessage::kCommandAcknowledged:
      return parts_.commands->Acknowledge(message.command_acknowledged());
    case v1::ControllerMessage::kEventsAcknowledged:
      parts_.outbox->Acknowledge(message.events_acknowledged());
      return Pump();
    case v1::ControllerMessage::kHeartbeat:
      last_heartbeat_heard_ = message.heartbeat().number();
      return;
    case v1::ControllerMessage::kCancel:
      return parts_.commands->Cancel(message.cancel().id());
    default:
      // Of a controller newer than this agent.
      return;
  }
}

void ControllerLink::Welcomed(const v1::Welcome& welcome) {
  if (phase_ != Phase::kGreeting) return;
  phase_ = Phase::kEstablished;
  established_at_ = parts_.loop->clock().Uptime();
  last_problem_.clear();
  LogInfo("linked with the controller");
  parts_.link_changed(true);
  interval_ = SecondsOr(welcome.heartbeat_seconds(), 10, 300);
  sample_interval_ = SecondsOr(welcome.sample_seconds(), 10, 3600);
  parts_.loop->CancelTimer(silence_timer_);
  silence_timer_ = parts_.loop->RunAfter(3 * interval_, [this] { Silent(); });
  heartbeat_timer_ = parts_.loop->RunAfter(interval_, [this] { Heartbeat(); });
  parts_.loop->CancelTimer(sample_timer_);
  sample_timer_ = parts_.loop->RunAfter(sample_interval_, [this] { TakeSample(); });
  if (welcome.has_time()) {
    parts_.commands->SetClockOffset(FromProto(welcome.time()) - parts_.loop->clock().Now());
  }
  if (welcome.last_event() > 0) parts_.outbox->CatchUp(welcome.last_event());
  last_event_sent_ = 0;
  last_heartbeat_heard_ = 0;
  reported_.clear();
  report_due_ = true;
  parts_.commands->Resend();
  if (parts_.welcomed) parts_.welcomed();
  Pump();
}

void ControllerLink::ApplyDesired(const v1::DesiredState& desired) {
  if (absl::Status applied = parts_.supervisor->Apply(desired); !applied.ok()) {
    // Not told as applied: the controller sends it again with the next link.
    LogError("desired state ", desired.generation(), " is not in force: ", applied.message());
    return;
  }
  applied_ = desired.generation();
  parts_.desired_applied(desired);
  StatusChanged();
  Pump();
}

// ---------------------------------------------------------------- what goes out

void ControllerLink::Heartbeat() {
  heartbeat_due_ = true;
  heartbeat_timer_ = parts_.loop->RunAfter(interval_, [this] { Heartbeat(); });
  Pump();
}

void ControllerLink::TakeSample() {
  samples_.push_back(sampler_.Take());
  if (samples_.size() > kSamplesKept) samples_.pop_front();
  sample_timer_ = parts_.loop->RunAfter(sample_interval_, [this] { TakeSample(); });
  // The address may have changed without anything else having.
  report_due_ = true;
  Pump();
}

void ControllerLink::StatusChanged() {
  if (report_timer_ != 0) return;
  report_timer_ = parts_.loop->RunAfter(kReportDelay, [this] {
    report_timer_ = 0;
    report_due_ = true;
    Pump();
  });
}

void ControllerLink::Tell(v1::CommandUpdate update) {
  // Without a link nothing is lost: Resend brings it.
  if (phase_ != Phase::kEstablished) return;
  if (updates_.size() >= kUpdatesKept) return parts_.wire->Close();
  updates_.push_back(std::move(update));
  Pump();
}

v1::StateReport ControllerLink::MakeReport() const {
  v1::StateReport report;
  for (auto& status : parts_.supervisor->Statuses()) *report.add_services() = std::move(status);
  ReadNetwork(report);
  report.set_os_version(parts_.os_version);
  return report;
}

v1::AgentMessage ControllerLink::MakeHello() const {
  v1::AgentMessage message;
  v1::Hello& hello = *message.mutable_hello();
  *hello.mutable_identity() = parts_.identity->identity();
  hello.set_version(kVersion);
  hello.set_capability_level(kCapabilityLevel);
  hello.set_desired_generation(parts_.supervisor->generation());
  hello.set_first_unacknowledged_event(parts_.outbox->FirstUnacknowledged());
  hello.set_os_version(parts_.os_version);
  hello.set_incarnation(parts_.identity->incarnation());
  hello.set_boot_id(parts_.boot_id);
  return message;
}

bool ControllerLink::NextMessage(v1::AgentMessage& message) {
  if (std::exchange(heartbeat_due_, false)) {
    message.mutable_heartbeat()->set_number(++heartbeats_sent_);
    message.mutable_heartbeat()->set_echo(last_heartbeat_heard_);
    return true;
  }
  if (applied_) {
    message.set_desired_state_applied(*std::exchange(applied_, std::nullopt));
    return true;
  }
  if (!updates_.empty()) {
    *message.mutable_command_update() = std::move(updates_.front());
    updates_.pop_front();
    return true;
  }
  if (std::exchange(report_due_, false)) {
    *message.mutable_state() = MakeReport();
    std::string bytes = message.state().SerializeAsString();
    if (bytes != reported_) {
      reported_ = std::move(bytes);
      return true;
    }
  }
  if (const v1::AgentEvent* event = parts_.outbox->After(last_event_sent_)) {
    last_event_sent_ = event->sequence();
    *message.mutable_event() = *event;
    return true;
  }
  if (samples_.empty()) return false;
  for (v1::Sample& sample : samples_) *message.mutable_samples()->add_samples() = std::move(sample);
  samples_.clear();
  return true;
}

void ControllerLink::Pump() {
  if (phase_ != Phase::kEstablished || writing_) return;
  v1::AgentMessage message;
  if (!NextMessage(message)) return;
  writing_ = true;
  parts_.wire->Write(message);
}

}  // namespace drover::agent
