// Agents and pings without a network: who holds a token is connected, who is powered on answers.
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
#include "controller/core/ports.h"
#include "tests/testing/fake_hypervisor.h"

namespace drover::testing {

class FakeAgentGateway : public core::AgentGateway {
 public:
  // An agent was set up in a guest with this token: it connects, when the token is good.
  void Enrol(const std::string& token);
  // Agents that are set up from now on do not connect.
  void KeepAway(bool away);
  // The stream of the VM's agent ends.
  void Lose(const std::string& vm_uid);
  // Called with each order an agent gets, from the thread that sends it.
  void OnOrder(
      std::function<void(absl::string_view vm_uid, const drover::agent::v1::Command&)> take);
  // VMs with a token or an identity.
  std::set<std::string> Known() const;

  absl::StatusOr<core::EnrolmentKit> NewEnrolmentKit(absl::string_view vm_uid,
                                                     absl::string_view bios_uuid,
                                                     absl::Duration valid) override;
  absl::Status Revoke(absl::string_view vm_uid) override;
  absl::Status LiftQuarantine(absl::string_view vm_uid) override;
  bool IsConnected(absl::string_view vm_uid) override;
  absl::Status Send(absl::string_view vm_uid, const drover::agent::v1::Command& command) override;
  absl::Status CancelCommand(absl::string_view vm_uid, absl::string_view command_id) override;
  void DesiredStateChanged(absl::string_view vm_uid) override;

 private:
  mutable absl::Mutex mutex_;
  int tokens_made_ ABSL_GUARDED_BY(mutex_) = 0;
  bool away_ ABSL_GUARDED_BY(mutex_) = false;
  std::function<void(absl::string_view, const drover::agent::v1::Command&)> take_
      ABSL_GUARDED_BY(mutex_);
  // By VM uid.
  std::map<std::string, std::string> tokens_ ABSL_GUARDED_BY(mutex_);
  std::set<std::string> connected_ ABSL_GUARDED_BY(mutex_);
};

class FakeProber : public core::Prober {
 public:
  explicit FakeProber(const FakeHypervisor* host) : host_(host) {}
  // A machine on no hypervisor.
  void AddStranger(const std::string& address);

  absl::StatusOr<std::vector<bool>> Sweep(const std::vector<core::ProbeTarget>& targets,
                                          absl::Duration patience) override;

 private:
  const FakeHypervisor* const host_;
  absl::Mutex mutex_;
  std::set<std::string> strangers_ ABSL_GUARDED_BY(mutex_);
};

}  // namespace drover::testing
