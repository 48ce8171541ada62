// Code upgrades of many VMs (UPG-2): planned, started on frozen targets, and carried out in waves
// as a "rollout" operation with a "vm.upgrade" per VM. A rollout is its operation: "rollouts/x" and
// "operations/x" are two views of the same record.
//
// Thread promise: all methods from any thread after Register; must outlive the runner's work. Plan
// and Start ask an agent for revisions and may take some seconds. Survives a restart: everything.
#pragma once

#include <map>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "controller/core/caller.h"
#include "controller/core/command_tracker.h"
#include "controller/core/inventory.h"
#include "controller/core/operation_runner.h"
#include "controller/core/ports.h"
#include "controller/core/upgrade_records.pb.h"
#include "controller/core/vm_upgrade.h"
#include "controller/core/working_copies.h"

namespace drover::core {

class Rollouts {
 public:
  static constexpr char kKind[] = "rollout";

  Rollouts(Inventory* inventory, WorkingCopies* copies, CommandTracker* commands,
           AgentGateway* agents, OperationRunner* runner)
      : inventory_(inventory),
        copies_(copies),
        commands_(commands),
        agents_(agents),
        runner_(runner),
        upgrades_(inventory, copies, commands, agents) {}

  // Before the runner starts.
  void Register();

  // INVALID_ARGUMENT with the field; NOT_FOUND, reasons VM_NOT_FOUND and WORKING_COPY_UNKNOWN;
  // FAILED_PRECONDITION, reasons REVISION_UNKNOWN and those of ReadRevisions. What keeps single VMs
  // from being upgraded is a warning.
  absl::StatusOr<drover::v1::RolloutPlan> Plan(const drover::v1::RolloutSpec& spec);
  // As Plan; and UNAVAILABLE, reason NO_AGENT_REACHABLE, when nobody can be asked what the newest
  // revision is.
  absl::StatusOr<drover::v1::Rollout> Start(const drover::v1::StartRolloutRequest& request,
                                            const Caller& caller);
  // `name` is "rollouts/x". NOT_FOUND, reason ROLLOUT_NOT_FOUND.
  absl::StatusOr<drover::v1::Rollout> Get(absl::string_view name);
  // Newest first.
  absl::StatusOr<drover::v1::ListRolloutsResponse> List(
      const drover::v1::ListRolloutsRequest& request);
  // FAILED_PRECONDITION, reasons OPERATION_DONE, ALREADY_PAUSED and NOT_PAUSED.
  absl::StatusOr<drover::v1::Rollout> Pause(absl::string_view name);
  absl::StatusOr<drover::v1::Rollout> Resume(absl::string_view name);
  // With return_touched another rollout takes those that have succeeded back; it may be asked for
  // of a rollout that has ended, too.
  absl::StatusOr<drover::v1::Rollout> Cancel(const drover::v1::CancelRolloutRequest& request,
                                             const Caller& caller);

  // The newest revision at the place a working copy comes from, and the log after `from` up to
  // `to` (0 = the newest), as an agent of these VMs tells. UNAVAILABLE, reason NO_AGENT_REACHABLE.
  absl::StatusOr<drover::agent::v1::Revisions> ReadRevisions(const std::vector<drover::v1::Vm>& vms,
                                                             const std::string& working_copy,
                                                             int64_t from, int64_t to);
  // A rollout as people see it.
  static drover::v1::Rollout ViewOf(const drover::v1::RolloutSpec& spec,
                                    const drover::v1::Operation& operation);
  // VMs a spec is about, in order. Errors as Plan's.
  absl::StatusOr<std::vector<drover::v1::Vm>> TargetsOf(const drover::v1::RolloutSpec& spec) const;

 private:
  // The revision each working copy, by type and id, goes to; 0 = its own previous one.
  using Revisions = std::map<std::pair<std::string, std::string>, int64_t>;

  absl::Status CheckSpec(const drover::v1::RolloutSpec& spec) const;
  absl::StatusOr<Revisions> Freeze(const drover::v1::RolloutSpec& spec,
                                   const std::vector<drover::v1::Vm>& vms,
                                   drover::v1::RolloutPlan* plan);
  void Warn(const drover::v1::RolloutSpec& spec, const std::vector<drover::v1::Vm>& vms,
            drover::v1::RolloutPlan& plan) const;
  absl::StatusOr<drover::v1::Rollout> Submit(const drover::v1::RolloutSpec& spec,
                                             std::vector<VmUpgrade> upgrades,
                                             const drover::v1::StartRolloutRequest& asked,
                                             const Caller& caller);
  absl::Status ReturnTouched(const OperationRecord& record,
                             const drover::v1::CancelRolloutRequest& request, const Caller& caller);
  absl::StatusOr<OperationRecord> Record(absl::string_view name);

  Inventory* const inventory_;
  WorkingCopies* const copies_;
  CommandTracker* const commands_;
  AgentGateway* const agents_;
  OperationRunner* const runner_;
  VmUpgrades upgrades_;
};

}  // namespace drover::core
