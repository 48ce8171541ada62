// Opens handles to ESXi hosts and vCenters.
//
// Thread promise: all methods from any thread. Owns nothing; handles belong to their holders.
#pragma once

#include <memory>
#include <string>

#include "controller/core/ports.h"

namespace drover::vsphere {

class VsphereConnector : public core::HypervisorConnector {
 public:
  // `clock` is not owned. `installation` names this controller's data, the same after each restart
  // and different from other controllers': a handle ends the sessions that an earlier life of the
  // same installation left on its host. Empty: sessions are left alone.
  VsphereConnector(core::Clock* clock, std::string installation);

  std::shared_ptr<core::Hypervisor> Open(const drover::v1::Hypervisor& hypervisor,
                                         const core::HypervisorSecrets& secrets) override;
  absl::StatusOr<core::HostFacts> Test(const drover::v1::Hypervisor& hypervisor,
                                       const core::HypervisorSecrets& secrets) override;

 private:
  core::Clock* const clock_;
  const std::string installation_;
};

}  // namespace drover::vsphere
