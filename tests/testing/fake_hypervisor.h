// A hypervisor in memory: VMs, disks and guests that outlive the controllers of a test, and faults
// at any call.
//
// Its guests understand what the controller does at first contact: files, chpasswd, the network
// script, and the agent's setup, which they tell to whoever listens.
//
// Thread promise: all methods from any thread.
#pragma once

#include <functional>
#include <map>
#include <memory>
#include <set>
#include <string>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/synchronization/mutex.h"
#include "controller/core/ports.h"

namespace drover::testing {

class FakeHypervisor : public core::Hypervisor {
 public:
  static constexpr char kTemplate[] = "tpl-web";
  static constexpr char kTemplatePassword[] = "template-secret";

  // With one template, one datastore "ds1" and one network "net1".
  FakeHypervisor();

  // ---- faults. Calls are counted from the last Fail or ResetCalls, those that Follow and the
  // facts need left out.

  // Call `number` (1, 2, ...) fails; `after` = it took effect, and its answer was lost.
  void FailCall(int number, absl::Status status, bool after = false);
  // Every call of this method, e.g. "Copy", fails until the status is OK.
  void FailMethod(const std::string& method, absl::Status status);
  void ResetCalls();
  int calls() const;
  // Calls of this method wait until they are stopped or Release.
  void Hold(const std::string& method);
  void Release(const std::string& method);
  void AwaitHeld(const std::string& method);

  // ---- what there is

  std::string AddVm(const std::string& name, bool on, const std::string& ip);
  // A VM that somebody deleted behind Drover's back.
  void Vanish(const std::string& name);
  void SetFreeBytes(int64_t bytes);
  std::vector<std::string> VmNames() const;
  core::HypervisorVm Vm(const std::string& name) const;
  std::set<std::string> Disks() const;
  std::string GuestPassword(const std::string& name) const;
  std::map<std::string, std::string> GuestFiles(const std::string& name) const;
  // All arguments that programs in guests were started with.
  std::vector<std::string> Arguments() const;
  // A powered-on guest has this address.
  bool Answers(const std::string& address) const;
  // The guest's network card is pulled out, or plugged in: only VMware Tools still reach it.
  void Disconnect(const std::string& name, bool disconnected);
  // The guest took another address, by whatever.
  void SetAddress(const std::string& name, const std::string& ip);
  // Nobody reaches a guest that has this address.
  void Unroute(const std::string& address);
  // What ReadUsage answers of a VM.
  void SetUsage(const std::string& name, std::vector<drover::agent::v1::Sample> samples);
  void OnAgentSetup(std::function<void(const std::string& token)> listener);

  // ---- the port

  absl::StatusOr<core::HostFacts> Describe() override;
  absl::StatusOr<std::vector<core::HypervisorVm>> ListVms() override;
  absl::StatusOr<core::HypervisorVm> GetVm(absl::string_view object) override;
  absl::StatusOr<std::vector<core::VmUsage>> ReadUsage(const std::vector<std::string>& objects,
                                                       absl::Time since,
                                                       std::stop_token stop) override;
  absl::Status Follow(core::InventorySink& sink, std::stop_token stop) override;
  absl::Status CheckCopy(const core::CopySpec& spec) override;
  absl::StatusOr<core::CopiedVm> Copy(const core::CopySpec& spec,
                                      core::StepContext& context) override;
  absl::Status DiscardCopy(const core::CopySpec& spec, core::StepContext& context) override;
  absl::Status PowerOn(absl::string_view object, core::StepContext& context) override;
  absl::Status PowerOff(absl::string_view object, absl::Duration patience,
                        core::StepContext& context) override;
  absl::Status Restart(absl::string_view object, bool hard, core::StepContext& context) override;
  absl::Status SetHardware(absl::string_view object, const core::HardwareChange& change,
                           core::StepContext& context) override;
  absl::Status Destroy(absl::string_view object, core::StepContext& context) override;
  absl::Status WaitForTools(absl::string_view object, absl::Duration patience,
                            core::StepContext& context) override;
  absl::Status CheckGuestLogin(absl::string_view object, const core::GuestLogin& login) override;
  absl::Status WriteGuestFile(absl::string_view object, const core::GuestLogin& login,
                              absl::string_view path, absl::string_view contents, int mode,
                              core::StepContext& context) override;
  absl::StatusOr<int> RunInGuest(absl::string_view object, const core::GuestLogin& login,
                                 absl::string_view program, absl::string_view arguments,
                                 absl::Duration patience, core::StepContext& context) override;
  absl::StatusOr<std::string> ReadGuestFile(absl::string_view object, const core::GuestLogin& login,
                                            absl::string_view path,
                                            core::StepContext& context) override;

 private:
  struct Machine {
    core::HypervisorVm vm;
    std::string password = kTemplatePassword;
    std::map<std::string, std::string> files;
    bool disconnected = false;
    // The agent was set up with it, and has its identity by it.
    std::string token;
    std::vector<drover::agent::v1::Sample> usage;
  };

  // A call with its faults around it; `stop` ends a held one.
  absl::Status Call(const std::string& method, std::stop_token stop,
                    const std::function<absl::Status()>& body);
  absl::Status Enter(const std::string& method, const std::stop_token& stop, bool* lose_answer);
  Machine* Find(absl::string_view object) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  const Machine* FindByName(const std::string& name) const ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  absl::Status NoVm(absl::string_view object) const;
  // A guest that runs and takes this account.
  absl::StatusOr<Machine*> Guest(absl::string_view object, const core::GuestLogin& login)
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  int RunCommand(Machine& machine, const std::string& command, std::string* token)
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  void Remove(const std::string& object) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);

  mutable absl::Mutex mutex_;
  std::map<std::string, Machine> machines_ ABSL_GUARDED_BY(mutex_);
  std::set<std::string> disks_ ABSL_GUARDED_BY(mutex_);
  std::set<std::string> unrouted_ ABSL_GUARDED_BY(mutex_);
  int64_t free_bytes_ ABSL_GUARDED_BY(mutex_) = int64_t{100} << 30;
  int last_object_ ABSL_GUARDED_BY(mutex_) = 0;
  int64_t version_ ABSL_GUARDED_BY(mutex_) = 0;
  int calls_ ABSL_GUARDED_BY(mutex_) = 0;
  int fail_at_ ABSL_GUARDED_BY(mutex_) = 0;
  bool fail_after_ ABSL_GUARDED_BY(mutex_) = false;
  absl::Status failure_ ABSL_GUARDED_BY(mutex_);
  std::map<std::string, absl::Status> failing_ ABSL_GUARDED_BY(mutex_);
  std::set<std::string> holding_ ABSL_GUARDED_BY(mutex_);
  std::set<std::string> held_ ABSL_GUARDED_BY(mutex_);
  std::vector<std::string> arguments_ ABSL_GUARDED_BY(mutex_);
  std::function<void(const std::string&)> on_setup_ ABSL_GUARDED_BY(mutex_);
};

// Opens the same hypervisor whatever is asked for.
class FakeConnector : public core::HypervisorConnector {
 public:
  explicit FakeConnector(std::shared_ptr<FakeHypervisor> host) : host_(std::move(host)) {}
  std::shared_ptr<core::Hypervisor> Open(const drover::v1::Hypervisor&,
                                         const core::HypervisorSecrets&) override {
    return host_;
  }
  absl::StatusOr<core::HostFacts> Test(const drover::v1::Hypervisor&,
                                       const core::HypervisorSecrets&) override {
    return host_->Describe();
  }

 private:
  const std::shared_ptr<FakeHypervisor> host_;
};

}  // namespace drover::testing
