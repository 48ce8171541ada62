#include "tests/testing/answering_agents.h"

#include <utility>

#include "absl/strings/str_cat.h"
#include "proto/support/status.h"

namespace drover::testing {
namespace {

using drover::agent::v1::Command;
using drover::agent::v1::CommandUpdate;

absl::Status Away() {
  return MakeError(absl::StatusCode::kUnavailable, "AGENT_NOT_CONNECTED", "it is away");
}

}  // namespace

void AnsweringAgents::SetTracker(core::CommandTracker* tracker) {
  absl::MutexLock lock(&mutex_);
  tracker_ = tracker;
}

core::CommandTracker* AnsweringAgents::tracker() const {
  absl::MutexLock lock(&mutex_);
  return tracker_;
}

void AnsweringAgents::Answers(const std::string& uid, Answer answer) {
  absl::MutexLock lock(&mutex_);
  answers_[uid] = std::move(answer);
}

void AnsweringAgents::Leaves(const std::string& uid) {
  absl::MutexLock lock(&mutex_);
  answers_.erase(uid);
}

std::vector<std::string> AnsweringAgents::orders() const {
  absl::MutexLock lock(&mutex_);
  return orders_;
}

std::string AnsweringAgents::LastCommandOf(const std::string& uid) const {
  absl::MutexLock lock(&mutex_);
  const auto found = last_.find(uid);
  return found == last_.end() ? "" : found->second;
}

int AnsweringAgents::CountOrdersOf(const std::string& uid) const {
  absl::MutexLock lock(&mutex_);
  const auto found = ids_.find(uid);
  return found == ids_.end() ? 0 : static_cast<int>(found->second.size());
}

void AnsweringAgents::Tell(const std::string& uid, CommandUpdate update) {
  if (update.command_id().empty()) update.set_command_id(LastCommandOf(uid));
  (void)tracker()->OnUpdate(uid, update);
}

bool AnsweringAgents::IsConnected(absl::string_view uid) {
  absl::MutexLock lock(&mutex_);
  return answers_.contains(uid);
}

absl::Status AnsweringAgents::Send(absl::string_view uid, const Command& command) {
  CommandUpdate update;
  {
    absl::MutexLock lock(&mutex_);
    const auto found = answers_.find(uid);
    if (found == answers_.end()) return Away();
    const Answer& answer = found->second;
    const std::string what = command.has_control_service()
                                 ? absl::StrCat(command.control_service().action(), " ",
                                                command.control_service().services_size())
                                 : command.get_service_output().service();
    orders_.push_back(absl::StrCat(uid, " ", what));
    last_[std::string(uid)] = command.id();
    ids_[std::string(uid)].insert(command.id());
    update.set_command_id(command.id());
    update.set_state(answer.state);
    update.set_output(answer.output);
    if (!answer.error.ok()) *update.mutable_error() = ToRpcStatus(answer.error);
  }
  return tracker()->OnUpdate(uid, update);
}

absl::Status AnsweringAgents::CancelCommand(absl::string_view uid, absl::string_view id) {
  CommandUpdate update;
  {
    absl::MutexLock lock(&mutex_);
    const auto found = answers_.find(uid);
    if (found == answers_.end()) return Away();
    orders_.push_back(absl::StrCat(uid, " cancel"));
    if (found->second.ignores_cancel) return absl::OkStatus();
    update.set_command_id(std::string(id));
    update.set_state(CommandUpdate::STATE_CANCELLED);
  }
  return tracker()->OnUpdate(uid, update);
}

}  // namespace drover::testing
