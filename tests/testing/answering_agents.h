// Agents that answer each order at once, by script; VMs without an answer are away.
//
// Thread promise: all methods from any thread; answers come to the tracker from the thread that
// sends the order.
#pragma once

#include <map>
#include <set>
#include <string>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/synchronization/mutex.h"
#include "controller/core/command_tracker.h"
#include "controller/core/ports.h"

namespace drover::testing {

class AnsweringAgents : public core::AgentGateway {
 public:
  struct Answer {
    drover::agent::v1::CommandUpdate::State state =
        drover::agent::v1::CommandUpdate::STATE_SUCCEEDED;
    std::string output;
    absl::Status error;
    // A cancel is taken and not confirmed.
    bool ignores_cancel = false;
  };

  void SetTracker(core::CommandTracker* tracker);
  // The agent is there from now on, and answers so.
  void Answers(const std::string& uid, Answer answer);
  // It is not there any more.
  void Leaves(const std::string& uid);
  // "UID ACTION SERVICES", "UID SERVICE" or "UID cancel", in their order.
  std::vector<std::string> orders() const;
  // The last order of the VM, "" without any.
  std::string LastCommandOf(const std::string& uid) const;
  // How many different orders the VM got.
  int CountOrdersOf(const std::string& uid) const;
  // Tells the tracker, as the agent of the VM.
  void Tell(const std::string& uid, drover::agent::v1::CommandUpdate update);

  bool IsConnected(absl::string_view uid) override;
  absl::Status Send(absl::string_view uid, const drover::agent::v1::Command& command) override;
  absl::Status CancelCommand(absl::string_view uid, absl::string_view id) override;
  absl::StatusOr<core::EnrolmentKit> NewEnrolmentKit(absl::string_view, absl::string_view,
                                                     absl::Duration) override {
    return absl::UnimplementedError("not in this test");
  }
  absl::Status Revoke(absl::string_view) override { return absl::OkStatus(); }
  absl::Status LiftQuarantine(absl::string_view) override { return absl::OkStatus(); }
  void DesiredStateChanged(absl::string_view) override {}

 private:
  core::CommandTracker* tracker() const;

  mutable absl::Mutex mutex_;
  core::CommandTracker* tracker_ ABSL_GUARDED_BY(mutex_) = nullptr;
  std::map<std::string, Answer, std::less<>> answers_ ABSL_GUARDED_BY(mutex_);
  std::map<std::string, std::string, std::less<>> last_ ABSL_GUARDED_BY(mutex_);
  std::map<std::string, std::set<std::string>, std::less<>> ids_ ABSL_GUARDED_BY(mutex_);
  std::vector<std::string> orders_ ABSL_GUARDED_BY(mutex_);
};

}  // namespace drover::testing
