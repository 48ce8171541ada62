// Power, hardware and the end of one VM, by SOAP.
//
// Errors are faults or the port's. Each function asks "is it already so?" first and can be
// repeated. Thread promise: functions from any thread.
#pragma once

#include <cstdint>
#include <stop_token>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/strings/string_view.h"
#include "absl/time/time.h"
#include "controller/core/ports.h"
#include "controller/vsphere/vim_client.h"

namespace drover::vsphere {

// A question of the host ends it with fault QuestionPending, except "copied or moved?" about a VM
// that is ours, which is answered "copied".
absl::Status PowerOnVm(VimClient& client, const MoRef& vm, core::StepContext& context);
absl::Status PowerOffVm(VimClient& client, const MoRef& vm, absl::Duration patience,
                        core::StepContext& context);
// A VM that is off is powered on.
absl::Status RestartVm(VimClient& client, const MoRef& vm, bool hard, core::StepContext& context);

// What already is so is left alone. FAILED_PRECONDITION, reason POWER_OFF_FIRST, when the running
// VM does not allow it. `network_backing` as HardwareSpec takes it.
absl::Status ChangeHardware(VimClient& client, const MoRef& vm, const core::HardwareChange& change,
                            absl::string_view network_backing, std::stop_token stop);

// Hard off, then gone with its disks. OK when it is not there. FAILED_PRECONDITION, reason
// FOREIGN_DISK, before anything is done.
absl::Status DestroyVm(VimClient& client, const MoRef& vm, core::StepContext& context);
// The check alone.
absl::Status CheckOwnDisks(VimClient& client, const MoRef& vm, std::stop_token stop);

// "poweredOn", "poweredOff" or "suspended".
absl::StatusOr<std::string> PowerStateOf(VimClient& client, const MoRef& vm, std::stop_token stop);
// Polls until the state is that, at most `patience`; false when it did not come.
absl::StatusOr<bool> AwaitPowerState(VimClient& client, const MoRef& vm, absl::string_view state,
                                     absl::Duration patience, core::StepContext& context);
// What tells one boot of a guest from the next.
struct BootSigns {
  std::string boot_time;
  bool tools = false;
  int64_t uptime = 0;
};
absl::StatusOr<BootSigns> ReadBootSigns(VimClient& client, const MoRef& vm, std::stop_token stop);
// The order to reboot is answered before the guest acts: returns when it went down, or seems not to
// obey. Whoever waits for Tools next must not meet those of the old boot.
absl::Status AwaitRebootBegun(VimClient& client, const MoRef& vm, const BootSigns& before,
                              core::StepContext& context);
// Refuses what the state of the VM does not allow; takes out of `change` what is already so.
absl::Status CheckHardwareChange(const ObjectView& vm, core::HardwareChange& change);
const std::vector<std::string>& HardwarePaths();

}  // namespace drover::vsphere
