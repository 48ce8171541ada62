// Service configuration as people use it: check, plan, apply, look back, restore (CFG-2..5).
//
// Thread promise: all methods from any thread after Register; Check and Plan block while agents
// answer, for a minute at most. Survives a restart: operations and the history.
#pragma once

#include <string>
#include <vector>

#include "absl/functional/function_ref.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "controller/core/agent_orders.h"
#include "controller/core/command_tracker.h"
#include "controller/core/config_plan.h"
#include "controller/core/config_transaction.h"
#include "controller/core/inventory.h"
#include "controller/core/operation_runner.h"
#include "controller/core/ports.h"
#include "controller/core/profiles.h"
#include "drover/v1/config.pb.h"

namespace drover::core {

class Configurations {
 public:
  Configurations(Inventory* inventory, const Profiles* profiles, CommandTracker* commands,
                 AgentGateway* agents, OperationRunner* runner, Store* store, Clock* clock);

  // Before the runner starts.
  void Register() { transaction_.Register(*runner_); }

  // Errors: PROFILE_NOT_FOUND, ENVIRONMENT_NOT_FOUND, and WorkOut's. An agent that does not answer
  // is a check that failed.
  absl::StatusOr<drover::v1::CheckConfigurationResponse> Check(
      const drover::v1::Configuration& configuration);
  // Errors as Check's. What cannot be planned is a problem of its file.
  absl::StatusOr<drover::v1::ConfigurationPlan> Plan(
      const drover::v1::Configuration& configuration);
  // Errors as Plan's; ABORTED, reason PLAN_CHANGED; FAILED_PRECONDITION, reason PLAN_HAS_PROBLEM,
  // naming VM and file. With validate_only nothing is recorded, and the answer is the finished
  // operation with its targets.
  absl::StatusOr<drover::v1::Operation> Apply(const drover::v1::ApplyConfigurationRequest& request,
                                              const Caller& caller);

  // Newest first, without diffs.
  absl::StatusOr<drover::v1::ListConfigurationsResponse> List(
      const drover::v1::ListConfigurationsRequest& request);
  // NOT_FOUND, reason CONFIGURATION_NOT_FOUND.
  absl::StatusOr<drover::v1::Configuration> Get(const std::string& name);
  // Errors as Get's and Apply's.
  absl::StatusOr<drover::v1::Operation> Restore(
      const drover::v1::RestoreConfigurationRequest& request, const Caller& caller);

 private:
  struct Planned {
    ConfigWork work;
    drover::v1::ConfigurationPlan plan;
    ConfigurationOrder order;
  };

  absl::StatusOr<Planned> PlanFor(const drover::v1::Configuration& configuration,
                                  const drover::v1::Profile& profile);
  absl::StatusOr<drover::v1::Operation> Begin(Planned planned, OperationRequest request,
                                              bool validate_only);
  absl::StatusOr<ConfigurationRecord> Read(const std::string& name);
  drover::agent::v1::CommandUpdate Ask(const drover::v1::Vm& vm,
                                       const drover::agent::v1::Command& command);

  Inventory* const inventory_;
  const Profiles* const profiles_;
  CommandTracker* const commands_;
  AgentGateway* const agents_;
  OperationRunner* const runner_;
  Store* const store_;
  AgentOrders orders_;
  ConfigTransaction transaction_;
};

}  // namespace drover::core
