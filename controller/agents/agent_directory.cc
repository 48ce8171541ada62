#include "controller/agents/agent_directory.h"

#include <algorithm>
#include <stop_token>
#include <utility>

#include "absl/strings/str_cat.h"
#include "proto/support/log.h"
#include "proto/support/status.h"

namespace drover::agents {
namespace {

using drover::agent::v1::AgentEvent;
using drover::agent::v1::AgentMessage;
using drover::agent::v1::Command;
using drover::agent::v1::CommandUpdate;
using drover::agent::v1::ControllerMessage;
using drover::agent::v1::Hello;

absl::Status NotConnected(absl::string_view vm_uid) {
  return MakeError(absl::StatusCode::kUnavailable, "AGENT_NOT_CONNECTED",
                   absl::StrCat("the agent of ", vm_uid, " is not connected"));
}

bool IsFinal(CommandUpdate::State state) {
  return state != CommandUpdate::STATE_UNSPECIFIED && state != CommandUpdate::STATE_DELIVERED &&
         state != CommandUpdate::STATE_RUNNING;
}

}  // namespace

AgentDirectory::AgentDirectory(DirectoryOptions options, Enrolment* enrolment, core::Clock* clock)
    : options_(options),
      enrolment_(enrolment),
      clock_(clock),
      // Bounded by the sessions: each lane is in the queue once.
      pool_(std::make_unique<core::WorkerPool>(options.workers, size_t{1} << 20)) {}

AgentDirectory::~AgentDirectory() { Stop(); }

void AgentDirectory::Start() {
  ticker_ = std::jthread([this](std::stop_token stop) {
    while (clock_->Sleep(options_.heartbeat / 10, stop).ok()) Tick();
  });
}

void AgentDirectory::Stop() {
  ticker_.request_stop();
  ticker_ = std::jthread();
  CloseAll();
  {
    absl::MutexLock lock(&mutex_);
    const auto gone = [this]() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_) { return sessions_.empty(); };
    mutex_.Await(absl::Condition(&gone));
  }
  pool_.reset();
}

void AgentDirectory::CloseAll() {
  stopping_ = true;
  for (const auto& session : Sessions()) {
    session->Close(absl::UnavailableError("the controller is stopping"));
  }
}

void AgentDirectory::Tick() {
  const absl::Time now = clock_->Now();
  for (const auto& session : Sessions()) session->Tick(now, options_.heartbeat);
}

std::shared_ptr<AgentSession> AgentDirectory::Open(LinkWire* wire, AgentSession::Peer peer) {
  std::shared_ptr<Lane> lane;
  {
    absl::MutexLock lock(&mutex_);
    std::weak_ptr<Lane>& known = lanes_[peer.certificate.vm_uid];
    lane = known.lock();
    if (lane == nullptr) {
      lane = std::make_shared<Lane>(pool_.get());
      known = lane;
    }
  }
  auto session = std::make_shared<AgentSession>(this, wire, std::move(lane), std::move(peer));
  absl::MutexLock lock(&mutex_);
  sessions_.insert(session);
  return session;
}

void AgentDirectory::Forget(const std::shared_ptr<AgentSession>& session) {
  absl::MutexLock lock(&mutex_);
  sessions_.erase(session);
}

absl::StatusOr<drover::agent::v1::EnrollResponse> AgentDirectory::Enroll(
    const drover::agent::v1::EnrollRequest& request, absl::string_view client_address) {
  absl::StatusOr<drover::agent::v1::EnrollResponse> response =
      enrolment_->Enroll(request, client_address);
  if (!response.ok()) return response;
  // A stream that stands on an earlier certificate of the VM has no right to stay.
  if (const auto session = Find(response->vm_uid())) EndUnlessInForce(session);
  return response;
}

void AgentDirectory::EndUnlessInForce(const std::shared_ptr<AgentSession>& session) {
  if (enrolment_->IsInForce(session->peer().certificate)) return;
  session->Close(MakeError(absl::StatusCode::kUnauthenticated, "CERTIFICATE_REVOKED",
                           "this certificate is not in force any more"));
}

absl::StatusOr<core::EnrolmentKit> AgentDirectory::NewEnrolmentKit(absl::string_view vm_uid,
                                                                   absl::string_view bios_uuid,
                                                                   absl::Duration valid) {
  return enrolment_->NewKit(vm_uid, bios_uuid, valid);
}

absl::Status AgentDirectory::Revoke(absl::string_view vm_uid) {
  DROVER_RETURN_IF_ERROR(enrolment_->Revoke(vm_uid));
  if (const auto session = Find(vm_uid)) EndUnlessInForce(session);
  return absl::OkStatus();
}

absl::Status AgentDirectory::LiftQuarantine(absl::string_view vm_uid) {
  return enrolment_->LiftQuarantine(vm_uid);
}

bool AgentDirectory::IsConnected(absl::string_view vm_uid) { return Find(vm_uid) != nullptr; }

absl::Status AgentDirectory::Send(absl::string_view vm_uid, const Command& command) {
  const auto session = Find(vm_uid);
  ControllerMessage message;
  *message.mutable_command() = command;
  if (session == nullptr || !session->Push(std::move(message))) return NotConnected(vm_uid);
  return absl::OkStatus();
}

absl::Status AgentDirectory::CancelCommand(absl::string_view vm_uid, absl::string_view command_id) {
  const auto session = Find(vm_uid);
  ControllerMessage message;
  message.mutable_cancel()->set_id(std::string(command_id));
  if (session == nullptr || !session->Push(std::move(message))) return NotConnected(vm_uid);
  return absl::OkStatus();
}

void AgentDirectory::DesiredStateChanged(absl::string_view vm_uid) {
  const auto session = Find(vm_uid);
  if (session == nullptr) return;
  session->lane()->Run([this, session] { SendDesiredState(session); });
}

void AgentDirectory::SendDesiredState(const std::shared_ptr<AgentSession>& session) {
  auto desired = listener_->DesiredStateOf(session->vm_uid());
  if (!desired.ok()) {
    LogWarning("desired state of ", session->vm_uid(), ": ", desired.status().message());
    return;
  }
  ControllerMessage message;
  *message.mutable_desired_state() = *std::move(desired);
  session->Push(std::move(message));
}

// Only a session that was let in is known to the listener. It runs on the lane, so that it is told
// in the order of what happened, and a newer session of the VM is not taken for this one.
void AgentDirectory::OnClosed(const std::shared_ptr<AgentSession>& session,
                              const absl::Status& why) {
  session->lane()->Run([this, session, why] {
    // A controller that ends loses nobody: its agents wait for it.
    if (Unregister(session) && !stopping_)
      listener_->OnDisconnected(session->vm_uid(), why.message());
  });
}

void AgentDirectory::OnMessages(const std::shared_ptr<AgentSession>& session,
                                std::vector<AgentMessage> messages) {
  size_t next = 0;
  while (next < messages.size()) {
    absl::Status carried;
    if (messages[next].has_hello()) {
      carried = Welcome(session, messages[next].hello());
      ++next;
    } else {
      carried = Carry(session, messages, next);
    }
    // What was not acknowledged comes again with the next stream.
    if (!carried.ok()) return session->Close(carried);
  }
}

absl::Status AgentDirectory::Welcome(const std::shared_ptr<AgentSession>& session,
                                     const Hello& hello) {
  if (IsRegistered(session)) return absl::InvalidArgumentError("hello was said already");
  const absl::StatusOr<core::AgentRecord> record = enrolment_->Admit(
      session->peer().certificate, hello.identity(), session->peer().client_address);
  // The machine that enrolled stays; a copy of its disk is told of, and gets nothing.
  if (HasReason(record.status(), "IDENTITY_QUARANTINED") &&
      ErrorMetadata(record.status(), "new") == "yes") {
    listener_->OnQuarantined(session->vm_uid(), record.status().message());
  }
  DROVER_RETURN_IF_ERROR(record.status());
  ControllerMessage message;
  auto* welcome = message.mutable_welcome();
  welcome->set_heartbeat_seconds(
      std::max<int32_t>(1, static_cast<int32_t>(absl::ToInt64Seconds(options_.heartbeat))));
  welcome->set_sample_seconds(options_.sample_seconds);
  welcome->set_last_event(record->last_event());
  // Before the session can be found: nothing goes out ahead of the welcome.
  if (!session->Push(std::move(message))) return absl::CancelledError("the connection was lost");
  if (const auto before = Register(session)) {
    before->Close(MakeError(absl::StatusCode::kAborted, "SUPERSEDED",
                            "this machine came back on a new stream"));
  }
  // It may have been revoked since it was admitted.
  EndUnlessInForce(session);
  DROVER_RETURN_IF_ERROR(listener_->OnConnected(session->vm_uid(), hello));
  SendDesiredState(session);
  return absl::OkStatus();
}

absl::Status AgentDirectory::Carry(const std::shared_ptr<AgentSession>& session,
                                   const std::vector<AgentMessage>& messages, size_t& next) {
  if (!IsRegistered(session)) {
    return absl::FailedPreconditionError("hello comes first, and nothing after the end");
  }
  if (messages[next].has_event()) return CarryEvents(session, messages, next);
  return CarryOther(session, messages[next++]);
}

// Events that came together are stored together and acknowledged once.
absl::Status AgentDirectory::CarryEvents(const std::shared_ptr<AgentSession>& session,
                                         const std::vector<AgentMessage>& messages, size_t& next) {
  std::vector<AgentEvent> events;
  int64_t last = 0;
  for (; next < messages.size() && messages[next].has_event(); ++next) {
    events.push_back(messages[next].event());
    last = std::max(last, events.back().sequence());
  }
  DROVER_RETURN_IF_ERROR(listener_->OnEvents(session->vm_uid(), events));
  ControllerMessage message;
  message.set_events_acknowledged(last);
  session->Push(std::move(message));
  return absl::OkStatus();
}

absl::Status AgentDirectory::CarryOther(const std::shared_ptr<AgentSession>& session,
                                        const AgentMessage& message) {
  const std::string& uid = session->vm_uid();
  switch (message.message_case()) {
    case AgentMessage::kCommandUpdate: {
      const CommandUpdate& update = message.command_update();
      DROVER_RETURN_IF_ERROR(listener_->OnCommandUpdate(uid, update));
      if (IsFinal(update.state())) {
        ControllerMessage answer;
        answer.set_command_acknowledged(update.command_id());
        session->Push(std::move(answer));
      }
      return absl::OkStatus();
    }
    case AgentMessage::kDesiredStateApplied:
      listener_->OnDesiredStateApplied(uid, message.desired_state_applied());
      return absl::OkStatus();
    case AgentMessage::kState:
      listener_->OnState(uid, message.state());
      return absl::OkStatus();
    case AgentMessage::kSamples:
      listener_->OnSamples(uid, message.samples());
      return absl::OkStatus();
    default:
      // A newer agent may say what this controller does not know yet.
      return absl::OkStatus();
  }
}

std::shared_ptr<AgentSession> AgentDirectory::Find(absl::string_view vm_uid) {
  absl::MutexLock lock(&mutex_);
  const auto found = connected_.find(vm_uid);
  return found == connected_.end() ? nullptr : found->second;
}

std::shared_ptr<AgentSession> AgentDirectory::Register(
    const std::shared_ptr<AgentSession>& session) {
  absl::MutexLock lock(&mutex_);
  return std::exchange(connected_[session->vm_uid()], session);
}

bool AgentDirectory::Unregister(const std::shared_ptr<AgentSession>& session) {
  absl::MutexLock lock(&mutex_);
  const auto found = connected_.find(session->vm_uid());
  if (found == connected_.end() || found->second != session) return false;
  connected_.erase(found);
  return true;
}

bool AgentDirectory::IsRegistered(const std::shared_ptr<AgentSession>& session) {
  return Find(session->vm_uid()) == session;
}

std::vector<std::shared_ptr<AgentSession>> AgentDirectory::Sessions() {
  absl::MutexLock lock(&mutex_);
  return {sessions_.begin(), sessions_.end()};
}

}  // namespace drover::agents
