#include "controller/core/vm_upgrade.h"

#include <algorithm>
#include <memory>
#include <set>
#include <utility>

#include "absl/strings/escaping.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "controller/core/vm_world.h"
#include "proto/support/log.h"
#include "proto/support/resource_name.h"
#include "proto/support/status.h"

namespace drover::core {
namespace {

using drover::agent::v1::Command;
using drover::agent::v1::CommandUpdate;
using drover::agent::v1::SvnWorkingCopy;
using drover::agent::v1::WorkingCopyState;
using drover::agent::v1::WorkingCopyStates;
using drover::v1::RolloutSpec;
using drover::v1::Vm;

// An agent that does not come for an order in this time is out of reach, which a rollout counts.
constexpr absl::Duration kReach = absl::Seconds(60);
constexpr int kUsualHealth = 10;
constexpr int kPatience = 60;

constexpr int kRestartStep = 2;

// Memory of the whole operation.
constexpr char kBefore[] = "before";
constexpr char kAfter[] = "after";
// Of the step "update": how far the way back is.
constexpr char kOrder[] = "order";
constexpr char kWithdrawn[] = "withdrawn";
constexpr char kReturn[] = "return";
constexpr char kReturned[] = "returned";
constexpr char kReturnRestart[] = "return restart";

std::vector<std::string> IdsOf(const VmUpgrade& upgrade) {
  std::vector<std::string> ids;
  for (const auto& target : upgrade.targets()) ids.push_back(target.working_copy());
  return ids;
}

Command RestartOf(const std::vector<std::string>& services) {
  Command command;
  auto& order = *command.mutable_control_service();
  for (const std::string& service : services) order.add_services(service);
  order.set_action(drover::agent::v1::ControlService::ACTION_RESTART);
  return command;
}

std::string TitleOf(const VmUpgrade& upgrade) {
  std::vector<std::string> parts;
  for (const auto& target : upgrade.targets()) {
    parts.push_back(target.revision() > 0
                        ? absl::StrCat(target.working_copy(), " to ", target.revision())
                        : absl::StrCat(target.working_copy(), " to its previous revision"));
  }
  return absl::StrCat("upgrade ", absl::StrJoin(parts, ", "), " of ", IdOf(upgrade.vm()));
}

// What is remembered is text.
absl::Status Remember(OperationContext& context, absl::string_view key,
                      const WorkingCopyStates& states) {
  return context.RememberForAll(key, absl::Base64Escape(states.SerializeAsString()));
}

WorkingCopyStates Recalled(OperationContext& context, absl::string_view key) {
  WorkingCopyStates states;
  std::string bytes;
  if (absl::Base64Unescape(context.RecallForAll(key), &bytes)) states.ParseFromString(bytes);
  return states;
}

// The targets with their revisions; `before` knows the previous ones.
absl::StatusOr<VmUpgrade> Resolve(const VmUpgrade& upgrade, const WorkingCopyStates& before) {
  VmUpgrade resolved = upgrade;
  for (auto& target : *resolved.mutable_targets()) {
    if (target.revision() > 0) continue;
    for (const WorkingCopyState& state : before.working_copies()) {
      if (state.id() == target.working_copy()) target.set_revision(state.previous_revision());
    }
    if (target.revision() > 0) continue;
    return MakeError(
        absl::StatusCode::kFailedPrecondition, "NO_PREVIOUS_REVISION",
        absl::StrCat("no earlier revision of ", target.working_copy(), " is known on this VM"));
  }
  return resolved;
}

// Which of an agent's problems keep the VM from being upgraded: those of the working copy itself.
absl::Status CheckStates(const VmUpgrade& upgrade, const WorkingCopyStates& states) {
  for (const WorkingCopyState& state : states.working_copies()) {
    if (!state.problem().empty()) {
      return MakeError(absl::StatusCode::kFailedPrecondition, "WORKING_COPY_UNUSABLE",
                       absl::StrCat(state.id(), ": ", state.problem()));
    }
    // What a lock leaves undone looks like edits; the agent clears it and looks again.
    if (upgrade.local_edits() == RolloutSpec::LOCAL_EDITS_REFUSE && !state.locked() &&
        !state.local_edits().empty()) {
      const int named = std::min(state.local_edits_size(), 10);
      return MakeError(absl::StatusCode::kFailedPrecondition, "LOCAL_EDITS",
                       absl::StrCat(state.id(), " has local edits: ",
                                    absl::StrJoin(state.local_edits().begin(),
                                                  state.local_edits().begin() + named, ", "),
                                    named < state.local_edits_size() ? ", ..." : ""));
    }
  }
  return absl::OkStatus();
}

}  // namespace

OperationRequest VmUpgrades::RequestOf(const VmUpgrade& upgrade, const Vm& vm) {
  OperationRequest request = RequestFor(kKind, TitleOf(upgrade), vm, upgrade);
  // The host has nothing to do with it.
  request.lane.clear();
  return request;
}

void VmUpgrades::Register(OperationRunner& runner) {
  runner.Register(kKind, [this](const OperationRecord& record) { return Steps(record); });
}

std::vector<OperationStep> VmUpgrades::Steps(const OperationRecord& record) {
  const auto upgrade = core::RequestOf<VmUpgrade>(record);
  const auto withdraw = [this](OperationContext& context) {
    return orders_.Withdraw(context, kOrder);
  };
  OperationStep look;
  look.title = "look at working copies";
  look.run = [this, upgrade](OperationContext& context) { return Look(upgrade, context); };
  look.undo = withdraw;

  OperationStep update;
  update.title = "update";
  update.weight = 4;
  update.lasts = upgrade.keep_failed();
  update.run = [this, upgrade](OperationContext& context) { return Update(upgrade, context); };
  update.undo = [this, upgrade](OperationContext& context) { return PutBack(upgrade, context); };

  OperationStep restart;
  restart.title = "restart services";
  restart.lasts = upgrade.keep_failed();
  restart.run = [this, upgrade](OperationContext& context) { return Restart(upgrade, context); };
  restart.undo = withdraw;

  OperationStep watch;
  watch.title = "watch services";
  watch.weight = 3;
  watch.run = [this, upgrade](OperationContext& context) { return Watch(upgrade, context); };
  watch.undo = withdraw;
  return {look, update, restart, watch};
}

absl::Status VmUpgrades::Look(const VmUpgrade& upgrade, OperationContext& context) {
  DROVER_ASSIGN_OR_RETURN(const Vm vm, inventory_->GetVm(upgrade.vm()));
  DROVER_RETURN_IF_ERROR(CheckAgent(vm));
  DROVER_ASSIGN_OR_RETURN(const std::vector<SvnWorkingCopy> copies,
                          copies_->SpecsOf(vm, IdsOf(upgrade), false));
  Command command;
  for (const SvnWorkingCopy& copy : copies) {
    *command.mutable_read_working_copies()->add_working_copies() = copy;
  }
  command.set_timeout_seconds(upgrade.deadline_seconds());
  DROVER_ASSIGN_OR_RETURN(const CommandUpdate ended,
                          orders_.CarryOut(context, kOrder, vm, std::move(command), kReach));
  DROVER_RETURN_IF_ERROR(StatusOf(ended));
  DROVER_RETURN_IF_ERROR(copies_->Take(vm, ended.working_copies()));
  DROVER_RETURN_IF_ERROR(CheckStates(upgrade, ended.working_copies()));
  DROVER_RETURN_IF_ERROR(Resolve(upgrade, ended.working_copies()).status());
  return Remember(context, kBefore, ended.working_copies());
}

absl::Status VmUpgrades::OrderRevisions(const VmUpgrade& upgrade, const VmUpgrade& revisions,
                                        absl::string_view key, OperationContext& context) {
  DROVER_ASSIGN_OR_RETURN(const Vm vm, inventory_->GetVm(upgrade.vm()));
  DROVER_ASSIGN_OR_RETURN(const std::vector<SvnWorkingCopy> copies,
                          copies_->SpecsOf(vm, IdsOf(revisions), true));
  Command command;
  auto& order = *command.mutable_update_working_copies();
  order.set_local_edits(revisions.local_edits());
  for (const SvnWorkingCopy& copy : copies) {
    auto& target = *order.add_targets();
    *target.mutable_working_copy() = copy;
    for (const auto& each : revisions.targets()) {
      if (each.working_copy() == copy.id()) target.set_revision(each.revision());
    }
  }
  command.set_timeout_seconds(upgrade.deadline_seconds());
  DROVER_ASSIGN_OR_RETURN(const CommandUpdate ended,
                          orders_.CarryOut(context, key, vm, std::move(command), kReach));
  if (ended.has_working_copies()) {
    DROVER_RETURN_IF_ERROR(copies_->Take(vm, ended.working_copies()));
    DROVER_RETURN_IF_ERROR(Remember(context, kAfter, ended.working_copies()));
  }
  return StatusOf(ended);
}

absl::Status VmUpgrades::Update(const VmUpgrade& upgrade, OperationContext& context) {
  DROVER_ASSIGN_OR_RETURN(const VmUpgrade resolved, Resolve(upgrade, Recalled(context, kBefore)));
  return OrderRevisions(upgrade, resolved, kOrder, context);
}

absl::StatusOr<std::vector<std::string>> VmUpgrades::ServicesOf(const VmUpgrade& upgrade,
                                                                const Vm& vm) const {
  DROVER_ASSIGN_OR_RETURN(const drover::v1::VmType type, inventory_->GetType(vm.type()));
  const std::vector<std::string> ids = IdsOf(upgrade);
  std::vector<std::string> services;
  for (const auto& copy : type.working_copies()) {
    if (std::find(ids.begin(), ids.end(), copy.id()) == ids.end()) continue;
    for (const std::string& service : copy.restart_services()) {
      if (std::find(services.begin(), services.end(), service) == services.end()) {
        services.push_back(service);
      }
    }
  }
  return services;
}

absl::Status VmUpgrades::Restart(const VmUpgrade& upgrade, OperationContext& context) {
  DROVER_ASSIGN_OR_RETURN(const Vm vm, inventory_->GetVm(upgrade.vm()));
  DROVER_ASSIGN_OR_RETURN(const std::vector<std::string> services, ServicesOf(upgrade, vm));
  if (services.empty()) return absl::OkStatus();
  // Nothing changed, so nothing runs old code; what a kept failure left behind cannot be told.
  const WorkingCopyStates before = Recalled(context, kBefore);
  const WorkingCopyStates after = Recalled(context, kAfter);
  bool same = !upgrade.keep_failed() && after.working_copies_size() > 0;
  for (const WorkingCopyState& now : after.working_copies()) {
    for (const WorkingCopyState& then : before.working_copies()) {
      same = same && (now.id() != then.id() || (now.revision() == then.revision() &&
                                                then.externals().empty() && !then.locked()));
    }
  }
  if (same) {
    context.Log("the revision was there already; services are left alone");
    return absl::OkStatus();
  }
  Command command = RestartOf(services);
  command.set_timeout_seconds(upgrade.deadline_seconds());
  DROVER_ASSIGN_OR_RETURN(const CommandUpdate ended,
                          orders_.CarryOut(context, kOrder, vm, std::move(command), kReach));
  return StatusOf(ended);
}

absl::Status VmUpgrades::Watch(const VmUpgrade& upgrade, OperationContext& context) {
  DROVER_ASSIGN_OR_RETURN(const Vm vm, inventory_->GetVm(upgrade.vm()));
  const int seconds = upgrade.health_seconds() > 0 ? upgrade.health_seconds() : kUsualHealth;
  Command command;
  command.mutable_watch_health()->set_seconds(seconds);
  command.mutable_watch_health()->set_patience_seconds(kPatience);
  command.set_timeout_seconds(seconds + 2 * kPatience);
  DROVER_ASSIGN_OR_RETURN(const CommandUpdate ended,
                          orders_.CarryOut(context, kOrder, vm, std::move(command), kReach));
  DROVER_RETURN_IF_ERROR(StatusOf(ended));
  drover::v1::ListWorkingCopiesResponse response;
  DROVER_ASSIGN_OR_RETURN(const std::vector<drover::v1::WorkingCopy> rows, copies_->Of(vm));
  const std::vector<std::string> ids = IdsOf(upgrade);
  const WorkingCopyStates before = Recalled(context, kBefore);
  for (const drover::v1::WorkingCopy& row : rows) {
    if (std::find(ids.begin(), ids.end(), row.id()) == ids.end()) continue;
    drover::v1::WorkingCopy& told = *response.add_working_copies();
    told = row;
    for (const WorkingCopyState& state : before.working_copies()) {
      if (state.id() == row.id()) told.set_previous_revision(state.revision());
    }
  }
  context.SetResponse(response);
  return absl::OkStatus();
}

absl::Status VmUpgrades::PutBack(const VmUpgrade& upgrade, OperationContext& context) {
  if (context.Recall(kWithdrawn).empty()) {
    DROVER_RETURN_IF_ERROR(orders_.Withdraw(context, kOrder));
    DROVER_RETURN_IF_ERROR(context.Remember(kWithdrawn, "yes"));
  }
  const WorkingCopyStates before = Recalled(context, kBefore);
  if (upgrade.keep_failed() || before.working_copies().empty()) return absl::OkStatus();
  const auto again = [&](absl::string_view key, const absl::Status& failed) -> absl::Status {
    // An order that has ended has its answer for ever; another attempt is another order.
    DROVER_RETURN_IF_ERROR(context.Remember(key, ""));
    // An agent that is away is not waited for: the rollout's other VMs would wait with it.
    return MakeError(absl::StatusCode::kFailedPrecondition, "NOT_RETURNED", failed.message());
  };
  if (context.Recall(kReturned).empty()) {
    VmUpgrade back;
    back.set_local_edits(RolloutSpec::LOCAL_EDITS_MERGE);
    for (const WorkingCopyState& state : before.working_copies()) {
      VmUpgrade::Target& target = *back.add_targets();
      target.set_working_copy(state.id());
      target.set_revision(state.revision());
    }
    const absl::Status returned = OrderRevisions(upgrade, back, kReturn, context);
    if (IsWaiting(returned)) return returned;
    if (!returned.ok()) return again(kReturn, returned);
    DROVER_RETURN_IF_ERROR(context.Remember(kReturned, "yes"));
    context.Log("back at the revision of before");
  }
  // Services that were not restarted run what is there again.
  if (context.record().operation().steps(kRestartStep).state() ==
      drover::v1::Operation::Step::STATE_PENDING) {
    return absl::OkStatus();
  }
  DROVER_ASSIGN_OR_RETURN(const Vm vm, inventory_->GetVm(upgrade.vm()));
  DROVER_ASSIGN_OR_RETURN(const std::vector<std::string> services, ServicesOf(upgrade, vm));
  if (services.empty()) return absl::OkStatus();
  Command command = RestartOf(services);
  const auto ended = orders_.CarryOut(context, kReturnRestart, vm, std::move(command), kReach);
  if (!ended.ok()) return ended.status();
  if (const absl::Status restarted = StatusOf(*ended); !restarted.ok()) {
    return again(kReturnRestart, restarted);
  }
  return absl::OkStatus();
}

}  // namespace drover::core
