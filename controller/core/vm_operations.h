// All operations on VMs and environments of VMs, put together and made known to the runner.
//
// Thread promise: all methods from any thread after Register. Owns the parts; the runner must be
// stopped before it goes.
#pragma once

#include "controller/core/environment_operations.h"
#include "controller/core/event_log.h"
#include "controller/core/guest_setup.h"
#include "controller/core/operation_runner.h"
#include "controller/core/vm_changes.h"
#include "controller/core/vm_create.h"
#include "controller/core/vm_import.h"
#include "controller/core/vm_world.h"

namespace drover::core {

class VmOperations {
 public:
  // Parents of a selection of VMs; they have no steps of their own.
  static constexpr char kDeleteMany[] = "vms.delete";
  static constexpr char kPowerMany[] = "vms.power";

  VmOperations(const VmWorld& world, GuestSetupOptions options)
      : world_(world), guest_(&world_, std::move(options)) {}
  VmOperations(const VmOperations&) = delete;
  VmOperations& operator=(const VmOperations&) = delete;

  // Before the runner starts.
  void Register(OperationRunner& runner) const;

  const VmCreate& create() const { return create_; }
  const VmPower& power() const { return power_; }
  const VmHardware& hardware() const { return hardware_; }
  const VmDelete& remove() const { return delete_; }
  const VmImport& import() const { return import_; }
  const EnvironmentOperations& environments() const { return environments_; }
  GuestSetup& guest() { return guest_; }

 private:
  const VmWorld world_;
  GuestSetup guest_;
  const VmCreate create_{&world_, &guest_};
  const VmPower power_{&world_};
  const VmHardware hardware_{&world_};
  const VmDelete delete_{&world_};
  const VmImport import_{&world_, &guest_};
  const EnvironmentOperations environments_{&world_, &create_, &power_, &hardware_, &delete_};
};

}  // namespace drover::core
