// Applies a configuration as one transaction over all files of all its VMs (CFG-4): check, prepare
// on all, commit on all, record, keep on all. Whatever fails before the record puts every file and
// service of every VM back, and the reason names VM, file and step.
//
// Thread promise: all methods from any thread after Register; must outlive the runner's work.
// Survives a restart: the operation, the orders it gave, and what agents answered to them.
#pragma once

#include <functional>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "controller/core/agent_orders.h"
#include "controller/core/config_plan.h"
#include "controller/core/config_records.pb.h"
#include "controller/core/inventory.h"
#include "controller/core/operation_runner.h"
#include "controller/core/ports.h"

namespace drover::core {

class ConfigTransaction {
 public:
  static constexpr char kKind[] = "config.apply";

  ConfigTransaction(Inventory* inventory, AgentOrders* orders, Store* store, Clock* clock)
      : inventory_(inventory), orders_(orders), store_(store), clock_(clock) {}

  void Register(OperationRunner& runner);

  // The operation that carries out `order`, whose work was worked out.
  static OperationRequest Operation(const ConfigurationOrder& order, const ConfigWork& work);

 private:
  using Command = drover::agent::v1::Command;
  using Update = drover::agent::v1::CommandUpdate;
  using EditFiles = drover::agent::v1::EditFiles;

  // One order of a step.
  struct Part {
    // Within the step.
    std::string key;
    drover::v1::Vm vm;
    Command command;
  };

  std::vector<OperationStep> Steps(const OperationRecord& record);
  absl::Status Check(const ConfigurationOrder& order, OperationContext& context);
  absl::Status Prepare(const ConfigurationOrder& order, OperationContext& context);
  absl::Status Commit(const ConfigurationOrder& order, OperationContext& context);
  absl::Status Record(const ConfigurationOrder& order, OperationContext& context);
  absl::Status Keep(const ConfigurationOrder& order, OperationContext& context);
  absl::Status PutBack(const ConfigurationOrder& order, OperationContext& context);
  absl::Status PutBackOne(const drover::v1::Vm& vm, const std::string& transaction,
                          OperationContext& context);
  absl::Status Unrecord(OperationContext& context);

  absl::StatusOr<Update> CarryOut(OperationContext& context, const Part& part,
                                  absl::Duration time_to_live);
  absl::Status CarryOutAll(OperationContext& context, const std::vector<Part>& parts,
                           absl::Duration time_to_live,
                           const std::function<absl::Status(const Part&, const Update&)>& judge);
  absl::StatusOr<std::vector<drover::v1::Vm>> VmsOf(const ConfigurationOrder& order) const;

  Inventory* const inventory_;
  AgentOrders* const orders_;
  Store* const store_;
  Clock* const clock_;
};

}  // namespace drover::core
