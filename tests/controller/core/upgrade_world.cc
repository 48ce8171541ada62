#include "tests/controller/core/upgrade_world.h"

#include <utility>

#include "absl/strings/str_cat.h"
#include "proto/support/status.h"

namespace drover::core {

using drover::agent::v1::Command;
using drover::agent::v1::CommandUpdate;

void UpgradeWorld::SetTracker(CommandTracker* tracker) {
  absl::MutexLock lock(&mutex_);
  tracker_ = tracker;
}

void UpgradeWorld::Add(const std::string& uid) {
  absl::MutexLock lock(&mutex_);
  guests_[uid] = {};
}

void UpgradeWorld::Change(const std::string& uid, const std::function<void(Guest&)>& change) {
  absl::MutexLock lock(&mutex_);
  change(guests_.at(uid));
}

UpgradeWorld::Guest UpgradeWorld::guest(const std::string& uid) const {
  absl::MutexLock lock(&mutex_);
  return guests_.at(uid);
}

void UpgradeWorld::SetHead(int64_t head) {
  absl::MutexLock lock(&mutex_);
  head_ = head;
}

void UpgradeWorld::SetBad(int64_t revision) {
  absl::MutexLock lock(&mutex_);
  bad_ = revision;
}

void UpgradeWorld::BreakRestart(const std::string& uid, bool broken) {
  absl::MutexLock lock(&mutex_);
  if (broken) {
    broken_.insert(uid);
  } else {
    broken_.erase(uid);
  }
}

void UpgradeWorld::BreakUpdate(const std::string& uid, const std::string& reason) {
  absl::MutexLock lock(&mutex_);
  broken_updates_[uid] = reason;
}

void UpgradeWorld::Hold(const std::string& uid) {
  absl::MutexLock lock(&mutex_);
  held_.insert(uid);
}

void UpgradeWorld::AwaitHeld(const std::string& uid) {
  absl::MutexLock lock(&mutex_);
  const auto held = [&]() ABSL_NO_THREAD_SAFETY_ANALYSIS { return waiting_.count(uid) > 0; };
  mutex_.Await(absl::Condition(&held));
}

void UpgradeWorld::LetGo(const std::string& uid) {
  CommandUpdate update;
  CommandTracker* tracker;
  {
    absl::MutexLock lock(&mutex_);
    held_.erase(uid);
    tracker = tracker_;
    const auto waiting = waiting_.find(uid);
    if (waiting == waiting_.end()) return;
    const Command command = std::move(waiting->second);
    waiting_.erase(waiting);
    update = CarryOut(uid, command);
  }
  (void)tracker->OnUpdate(uid, update);
}

std::vector<std::string> UpgradeWorld::journal() const {
  absl::MutexLock lock(&mutex_);
  return journal_;
}

bool UpgradeWorld::SawPassword(const std::string& password) const {
  absl::MutexLock lock(&mutex_);
  return passwords_.count(password) > 0;
}

bool UpgradeWorld::IsConnected(absl::string_view uid) {
  absl::MutexLock lock(&mutex_);
  const auto guest = guests_.find(std::string(uid));
  return guest != guests_.end() && guest->second.connected;
}

absl::Status UpgradeWorld::Send(absl::string_view uid, const Command& command) {
  CommandUpdate update;
  CommandTracker* tracker;
  {
    absl::MutexLock lock(&mutex_);
    const std::string name(uid);
    tracker = tracker_;
    if (command.has_update_working_copies() && held_.count(name) > 0) {
      waiting_[name] = command;
      return absl::OkStatus();
    }
    update = CarryOut(name, command);
  }
  // Lost when the controller cannot store it: the agent tells it again.
  (void)tracker->OnUpdate(uid, update);
  return absl::OkStatus();
}

absl::Status UpgradeWorld::CancelCommand(absl::string_view uid, absl::string_view id) {
  CommandUpdate update;
  CommandTracker* tracker;
  {
    absl::MutexLock lock(&mutex_);
    if (!guests_.at(std::string(uid)).connected) {
      return MakeError(absl::StatusCode::kUnavailable, "AGENT_NOT_CONNECTED", "it is away");
    }
    tracker = tracker_;
    waiting_.erase(std::string(uid));
    journal_.push_back(absl::StrCat(std::string(uid), " cancel"));
    update.set_command_id(std::string(id));
    update.set_state(CommandUpdate::STATE_CANCELLED);
  }
  return tracker->OnUpdate(uid, update);
}

void UpgradeWorld::AddState(const Guest& guest, const std::string& id, CommandUpdate& update) {
  auto& state = *update.mutable_working_copies()->add_working_copies();
  state.set_id(id);
  state.set_path("/srv/app");
  state.set_url("svn://svn/repo/trunk");
  state.set_revision(guest.revision);
  state.set_previous_revision(guest.previous);
  for (const std::string& edit : guest.edits) state.add_local_edits(edit);
}

void UpgradeWorld::Update(Guest& guest, const drover::agent::v1::UpdateWorkingCopies& order,
                          CommandUpdate& update) {
  for (const auto& target : order.targets()) {
    passwords_.insert(target.working_copy().password());
    if (guest.revision != target.revision()) {
      guest.previous = guest.previous == target.revision() ? 0 : guest.revision;
      guest.revision = target.revision();
      ++guest.updates;
    }
    AddState(guest, target.working_copy().id(), update);
  }
}

CommandUpdate UpgradeWorld::CarryOut(const std::string& uid, const Command& command) {
  Guest& guest = guests_.at(uid);
  CommandUpdate update;
  update.set_command_id(command.id());
  update.set_state(CommandUpdate::STATE_SUCCEEDED);
  const bool again = !guest.done.insert(command.id()).second;
  const auto note = [&](absl::string_view what) {
    if (!again) journal_.push_back(absl::StrCat(uid, " ", what));
  };
  const auto fail = [&](absl::string_view reason, absl::string_view words) {
    update.set_state(CommandUpdate::STATE_FAILED);
    *update.mutable_error() =
        ToRpcStatus(MakeError(absl::StatusCode::kFailedPrecondition, reason, words));
  };
  switch (command.order_case()) {
    case Command::kReadWorkingCopies:
      note("look");
      for (const auto& copy : command.read_working_copies().working_copies()) {
        AddState(guest, copy.id(), update);
      }
      break;
    case Command::kReadRevisions: {
      const auto& order = command.read_revisions();
      note("revisions");
      passwords_.insert(order.working_copy().password());
      if (order.to_revision() > head_) {
        fail("REVISION_UNKNOWN", "no such revision");
        break;
      }
      update.mutable_revisions()->set_head(head_);
      const int64_t to = order.to_revision() > 0 ? order.to_revision() : head_;
      for (int64_t revision = to; order.from_revision() > 0 && revision > order.from_revision();
           --revision) {
        auto& message = *update.mutable_revisions()->add_log();
        message.set_revision(revision);
        message.set_author("ann");
      }
      break;
    }
    case Command::kUpdateWorkingCopies:
      note(absl::StrCat("update to ", command.update_working_copies().targets(0).revision()));
      if (const std::string& reason = broken_updates_[uid];
          !reason.empty() &&
          command.update_working_copies().targets(0).revision() != guest.revision) {
        fail(reason, "svn says no");
        break;
      }
      Update(guest, command.update_working_copies(), update);
      break;
    case Command::kControlService:
      note("restart");
      if (broken_.count(uid) > 0) {
        fail("SERVICE_NOT_STARTED", "it does not start");
        break;
      }
      guest.running = guest.revision;
      if (!again) ++guest.restarts;
      break;
    case Command::kWatchHealth:
      note("watch");
      if (bad_ != 0 && guest.running == bad_) fail("HEALTH_GATE", "nginx did not stay up");
      break;
    default:
      break;
  }
  return update;
}

}  // namespace drover::core
