// The Hypervisor port on vSphere: one handle = one session, all parts below it, and the place where
// faults become the port's errors.
//
// Thread promise: all methods from any thread; one Follow at a time, a second waits for the first.
// Owns session, shell and queue. Nothing survives a restart but what the StepContexts remember.
#pragma once

#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/synchronization/mutex.h"
#include "controller/core/ports.h"
#include "controller/vsphere/clone.h"
#include "controller/vsphere/esxi_shell.h"
#include "controller/vsphere/guest_tools.h"
#include "controller/vsphere/host_facts.h"
#include "controller/vsphere/session.h"
#include "controller/vsphere/shell_control.h"
#include "controller/vsphere/usage.h"
#include "controller/vsphere/vim_client.h"

namespace drover::vsphere {

class VsphereHypervisor : public core::Hypervisor {
 public:
  // `shell`: the second door, when one is configured. `clock` is not owned.
  VsphereHypervisor(Account account, std::optional<ShellAccount> shell, core::Clock* clock);
  ~VsphereHypervisor() override;

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
  // How this host is changed; asked once for a session.
  absl::StatusOr<CopyWay> Way(std::stop_token stop);
  absl::StatusOr<CopyRoute*> Route(std::stop_token stop);
  // How VMs are changed there: by the shell, or null for SOAP.
  absl::StatusOr<ShellControl*> Shell(std::stop_token stop);
  absl::Status Meaning(const absl::Status& status, absl::string_view what) const;

  Session session_;
  VimClient client_;
  CopyQueue queue_;
  GuestTools guest_;
  UsageReader usage_;
  std::unique_ptr<EsxiShell> shell_;
  std::unique_ptr<ShellControl> shell_control_;
  std::vector<std::pair<drover::v1::CopyMethod, std::unique_ptr<CopyRoute>>> routes_;
  absl::Mutex mutex_;
  std::optional<CopyWay> way_ ABSL_GUARDED_BY(mutex_);
};

}  // namespace drover::vsphere
