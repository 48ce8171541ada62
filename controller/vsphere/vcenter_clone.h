// A copy on a vCenter: CloneVM_Task, then what differs from the template.
//
// Thread promise: all methods from any thread. Remembers in the StepContext: "clone" (task), "vm".
#pragma once

#include "controller/vsphere/clone.h"

namespace drover::vsphere {

class VcenterClone : public CopyRoute {
 public:
  // Neither is owned.
  VcenterClone(VimClient* client, CopyQueue* queue) : client_(*client), queue_(*queue) {}

  absl::StatusOr<core::CopiedVm> Copy(const core::CopySpec& spec,
                                      core::StepContext& context) override;
  absl::Status Discard(const core::CopySpec& spec, core::StepContext& context) override;

 private:
  absl::StatusOr<MoRef> Clone(const core::CopySpec& spec, const Placement& placement,
                              core::StepContext& context);
  absl::StatusOr<MoRef> PoolFor(const TemplateHardware& hardware, std::stop_token stop);
  absl::StatusOr<MoRef> FolderFor(const TemplateHardware& hardware, std::stop_token stop);

  VimClient& client_;
  CopyQueue& queue_;
};

}  // namespace drover::vsphere
