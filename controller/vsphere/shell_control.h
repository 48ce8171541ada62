// Power, hardware and the end of one VM by the host's shell, where SOAP may only read. What is so
// already is asked by SOAP.
//
// Thread promise: all methods from any thread. Errors are faults or the port's.
#pragma once

#include <string>

#include "absl/status/status.h"
#include "absl/strings/string_view.h"
#include "absl/time/time.h"
#include "controller/core/ports.h"
#include "controller/vsphere/esxi_shell.h"
#include "controller/vsphere/vim_client.h"

namespace drover::vsphere {

class ShellControl {
 public:
  // Neither is owned.
  ShellControl(VimClient* client, EsxiShell* shell) : client_(*client), shell_(*shell) {}

  absl::Status PowerOn(const MoRef& vm, core::StepContext& context);
  absl::Status PowerOff(const MoRef& vm, absl::Duration patience, core::StepContext& context);
  absl::Status Restart(const MoRef& vm, bool hard, core::StepContext& context);
  absl::Status SetHardware(const MoRef& vm, const core::HardwareChange& change,
                           core::StepContext& context);
  absl::Status Destroy(const MoRef& vm, core::StepContext& context);

 private:
  absl::Status VmCommand(absl::string_view verb, const MoRef& vm, core::StepContext& context);

  VimClient& client_;
  EsxiShell& shell_;
};

// Runs a command that must end with 0; else what it printed is the error. `what` is for people.
absl::StatusOr<std::string> ShellCommand(EsxiShell& shell, absl::string_view command,
                                         absl::string_view what, std::stop_token stop,
                                         absl::string_view input = "");
// What the shell's tools print instead of typed faults.
absl::Status ErrorOfOutput(absl::string_view host, absl::string_view what,
                           const ShellOutput& output);
// "/vmfs/volumes/ds/dir/x" of "[ds] dir/x".
std::string ShellPath(absl::string_view datastore_path);

}  // namespace drover::vsphere
