// A copy by the host's shell, where SOAP may only read: folder, vmkfstools, a .vmx made of the
// template's, registered by vim-cmd. Disk data never leaves the host.
//
// The folder carries the uid in a file until the VM is registered, and the state of each disk's
// copy in files beside it: the copies run detached from the SSH connection and survive its end and
// the controller's.
//
// Thread promise: all methods from any thread. Remembers in the StepContext: "folder", "vm".
#pragma once

#include <string>

#include "controller/vsphere/clone.h"
#include "controller/vsphere/esxi_shell.h"
#include "controller/vsphere/shell_control.h"

namespace drover::vsphere {

class ShellCopy : public CopyRoute {
 public:
  // None is owned.
  ShellCopy(VimClient* client, EsxiShell* shell, CopyQueue* queue)
      : client_(*client), shell_(*shell), queue_(*queue), control_(client, shell) {}

  absl::StatusOr<core::CopiedVm> Copy(const core::CopySpec& spec,
                                      core::StepContext& context) override;
  absl::Status Discard(const core::CopySpec& spec, core::StepContext& context) override;

 private:
  // Whether the folder (a word of the shell) carries this uid.
  absl::StatusOr<bool> IsOurs(const std::string& folder, absl::string_view uid,
                              std::stop_token stop);
  absl::StatusOr<MoRef> Build(const core::CopySpec& spec, core::StepContext& context);
  absl::Status CopyDisk(const std::string& source, const std::string& folder,
                        const std::string& file, const TaskProgress& progress,
                        core::StepContext& context);
  absl::Status RemoveFolder(const std::string& folder, absl::string_view uid,
                            core::StepContext& context);

  VimClient& client_;
  EsxiShell& shell_;
  CopyQueue& queue_;
  ShellControl control_;
};

// Prints how the copy is whose files begin with `state` (a word of the shell): a line with its exit
// code, empty while it has none; "running" or "ended"; the end of its output.
std::string CopyStateCommand(absl::string_view state);
// Percent of the last "Clone: N% done" in vmkfstools' output, 0 without one.
int PercentOfClone(absl::string_view output);
// The configuration of a copy, from the template's. `disks`: new file names in the order of
// VmxDisks.
std::string CopiedVmx(absl::string_view text, const core::CopySpec& spec,
                      const std::vector<std::string>& disks);

}  // namespace drover::vsphere
