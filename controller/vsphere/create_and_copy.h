// A copy on a stand-alone ESXi host: a new VM with the template's hardware and no disk, its disks
// copied beside it by the host, then attached. Disk data never leaves the host.
//
// Thread promise: all methods from any thread. Remembers in the StepContext: "create" and
// "disk<i>" (task, then "done"), "vm", "folder".
#pragma once

#include "controller/vsphere/clone.h"

namespace drover::vsphere {

class CreateAndCopy : public CopyRoute {
 public:
  // Neither is owned.
  CreateAndCopy(VimClient* client, CopyQueue* queue) : client_(*client), queue_(*queue) {}

  absl::StatusOr<core::CopiedVm> Copy(const core::CopySpec& spec,
                                      core::StepContext& context) override;
  absl::Status Discard(const core::CopySpec& spec, core::StepContext& context) override;

 private:
  absl::StatusOr<MoRef> Create(const core::CopySpec& spec, const Placement& placement,
                               core::StepContext& context);
  absl::Status CopyDisks(const std::vector<PlannedDisk>& disks, const DeviceList& attached,
                         const Placement& placement, core::StepContext& context);
  absl::Status CopyDisk(const PlannedDisk& disk, const std::string& key,
                        const TaskProgress& progress, core::StepContext& context);
  absl::Status StartOver(const PlannedDisk& disk, core::StepContext& context);
  absl::Status EndTasks(core::StepContext& context);
  absl::Status RemoveFolder(const std::string& folder, core::StepContext& context);

  VimClient& client_;
  CopyQueue& queue_;
};

}  // namespace drover::vsphere
