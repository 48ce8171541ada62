#include "tests/testing/fake_agents.h"

#include <utility>

#include "absl/strings/str_cat.h"
#include "proto/support/status.h"

namespace drover::testing {

void FakeAgentGateway::Enrol(const std::string& token) {
  absl::MutexLock lock(&mutex_);
  if (away_) return;
  for (const auto& [uid, its] : tokens_) {
    if (its == token) connected_.insert(uid);
  }
}

void FakeAgentGateway::KeepAway(bool away) {
  absl::MutexLock lock(&mutex_);
  away_ = away;
}

void FakeAgentGateway::Lose(const std::string& vm_uid) {
  absl::MutexLock lock(&mutex_);
  connected_.erase(vm_uid);
}

std::set<std::string> FakeAgentGateway::Known() const {
  absl::MutexLock lock(&mutex_);
  std::set<std::string> known = connected_;
  for (const auto& [uid, token] : tokens_) known.insert(uid);
  return known;
}

absl::StatusOr<core::EnrolmentKit> FakeAgentGateway::NewEnrolmentKit(absl::string_view vm_uid,
                                                                     absl::string_view,
                                                                     absl::Duration) {
  absl::MutexLock lock(&mutex_);
  core::EnrolmentKit kit;
  kit.set_token(absl::StrCat("token-", ++tokens_made_));
  kit.set_authority("PEM");
  kit.set_controller_address("127.0.0.1:1");
  tokens_[std::string(vm_uid)] = kit.token();
  return kit;
}

absl::Status FakeAgentGateway::Revoke(absl::string_view vm_uid) {
  absl::MutexLock lock(&mutex_);
  tokens_.erase(std::string(vm_uid));
  connected_.erase(std::string(vm_uid));
  return absl::OkStatus();
}

absl::Status FakeAgentGateway::LiftQuarantine(absl::string_view) { return absl::OkStatus(); }

bool FakeAgentGateway::IsConnected(absl::string_view vm_uid) {
  absl::MutexLock lock(&mutex_);
  return connected_.contains(std::string(vm_uid));
}

void FakeAgentGateway::OnOrder(
    std::function<void(absl::string_view, const drover::agent::v1::Command&)> take) {
  absl::MutexLock lock(&mutex_);
  take_ = std::move(take);
}

absl::Status FakeAgentGateway::Send(absl::string_view vm_uid,
                                    const drover::agent::v1::Command& command) {
  if (!IsConnected(vm_uid)) {
    return MakeError(absl::StatusCode::kUnavailable, "AGENT_NOT_CONNECTED", "not connected");
  }
  std::function<void(absl::string_view, const drover::agent::v1::Command&)> take;
  {
    absl::MutexLock lock(&mutex_);
    take = take_;
  }
  if (take) take(vm_uid, command);
  return absl::OkStatus();
}

absl::Status FakeAgentGateway::CancelCommand(absl::string_view, absl::string_view) {
  return absl::OkStatus();
}

void FakeAgentGateway::DesiredStateChanged(absl::string_view) {}

void FakeProber::AddStranger(const std::string& address) {
  absl::MutexLock lock(&mutex_);
  strangers_.insert(address);
}

absl::StatusOr<std::vector<bool>> FakeProber::Sweep(const std::vector<core::ProbeTarget>& targets,
                                                    absl::Duration) {
  std::vector<bool> answered;
  for (const core::ProbeTarget& target : targets) {
    const bool guest = host_->Answers(target.address);
    absl::MutexLock lock(&mutex_);
    answered.push_back(guest || strangers_.contains(target.address));
  }
  return answered;
}

}  // namespace drover::testing
