#include "controller/core/vm_operations.h"

#include <vector>

namespace drover::core {

void VmOperations::Register(OperationRunner& runner) const {
  const auto of = [](const auto& part) {
    return [&part](const OperationRecord& record) { return part.Steps(record); };
  };
  runner.Register(VmCreate::kKind, of(create_));
  runner.Register(VmPower::kKind, of(power_));
  runner.Register(VmHardware::kKind, of(hardware_));
  runner.Register(VmDelete::kKind, of(delete_));
  runner.Register(VmImport::kKind, of(import_));
  runner.Register(EnvironmentOperations::kApply, [this](const OperationRecord& record) {
    return environments_.ApplySteps(record);
  });
  runner.Register(EnvironmentOperations::kDelete, [this](const OperationRecord& record) {
    return environments_.DeleteSteps(record);
  });
  const auto none = [](const OperationRecord&) { return std::vector<OperationStep>(); };
  runner.Register(EnvironmentOperations::kPower, none);
  runner.Register(kDeleteMany, none);
  runner.Register(kPowerMany, none);
}

}  // namespace drover::core
