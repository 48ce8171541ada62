// VMs with agents that know svn and services: they carry out orders in memory, at once, or hold
// them until a test lets them go.
//
// Thread promise: all methods from any thread.
#pragma once

#include <functional>
#include <map>
#include <set>
#include <string>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/synchronization/mutex.h"
#include "controller/core/command_tracker.h"
#include "controller/core/ports.h"

namespace drover::core {

class UpgradeWorld : public AgentGateway {
 public:
  struct Guest {
    int64_t revision = 5;
    int64_t previous = 0;
    std::vector<std::string> edits;
    // The revision its service runs.
    int64_t running = 5;
    bool connected = true;
    // Orders carried out, by id: at most once each.
    std::set<std::string> done;
    int updates = 0;
    int restarts = 0;
  };

  void SetTracker(CommandTracker* tracker);
  void Add(const std::string& uid);
  void Change(const std::string& uid, const std::function<void(Guest&)>& change);
  Guest guest(const std::string& uid) const;
  // The newest revision of the repository.
  void SetHead(int64_t head);
  // A service that runs this revision does not stay up.
  void SetBad(int64_t revision);
  // Restarts of this guest's service fail.
  void BreakRestart(const std::string& uid, bool broken);
  // Updates of this guest fail for this reason and change nothing; "" = they do not.
  void BreakUpdate(const std::string& uid, const std::string& reason);
  // Updates of this guest wait for LetGo.
  void Hold(const std::string& uid);
  void LetGo(const std::string& uid);
  void AwaitHeld(const std::string& uid);
  // "uid what", in the order in which they were carried out.
  std::vector<std::string> journal() const;
  bool SawPassword(const std::string& password) const;

  bool IsConnected(absl::string_view uid) override;
  absl::Status Send(absl::string_view uid, const drover::agent::v1::Command& command) override;
  absl::Status CancelCommand(absl::string_view uid, absl::string_view id) override;
  absl::StatusOr<EnrolmentKit> NewEnrolmentKit(absl::string_view, absl::string_view,
                                               absl::Duration) override {
    return absl::UnimplementedError("not in this test");
  }
  absl::Status Revoke(absl::string_view) override { return absl::OkStatus(); }
  absl::Status LiftQuarantine(absl::string_view) override { return absl::OkStatus(); }
  void DesiredStateChanged(absl::string_view) override {}

 private:
  drover::agent::v1::CommandUpdate CarryOut(const std::string& uid,
                                            const drover::agent::v1::Command& command)
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  void Update(Guest& guest, const drover::agent::v1::UpdateWorkingCopies& order,
              drover::agent::v1::CommandUpdate& update) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  void AddState(const Guest& guest, const std::string& id,
                drover::agent::v1::CommandUpdate& update);

  mutable absl::Mutex mutex_;
  CommandTracker* tracker_ ABSL_GUARDED_BY(mutex_) = nullptr;
  std::map<std::string, Guest> guests_ ABSL_GUARDED_BY(mutex_);
  std::vector<std::string> journal_ ABSL_GUARDED_BY(mutex_);
  std::set<std::string> passwords_ ABSL_GUARDED_BY(mutex_);
  std::map<std::string, std::string> broken_updates_ ABSL_GUARDED_BY(mutex_);
  std::set<std::string> broken_ ABSL_GUARDED_BY(mutex_);
  std::set<std::string> held_ ABSL_GUARDED_BY(mutex_);
  std::map<std::string, drover::agent::v1::Command> waiting_ ABSL_GUARDED_BY(mutex_);
  int64_t head_ ABSL_GUARDED_BY(mutex_) = 9;
  int64_t bad_ ABSL_GUARDED_BY(mutex_) = 0;
};

}  // namespace drover::core
