#include "controller/core/rollouts.h"

#include <algorithm>
#include <memory>
#include <set>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "controller/core/agent_orders.h"
#include "controller/core/operation_record.h"
#include "controller/core/paging.h"
#include "controller/core/rollout_plan.h"
#include "controller/core/vm_world.h"
#include "proto/support/resource_name.h"
#include "proto/support/status.h"

namespace drover::core {
namespace {

using drover::agent::v1::Command;
using drover::agent::v1::CommandUpdate;
using drover::agent::v1::SvnWorkingCopy;
using drover::v1::Operation;
using drover::v1::Rollout;
using drover::v1::RolloutPlan;
using drover::v1::RolloutSpec;
using drover::v1::StartRolloutRequest;
using drover::v1::Vm;
using drover::v1::VmType;
using drover::v1::WorkingCopy;

constexpr absl::Duration kRevisionPatience = absl::Seconds(10);
constexpr absl::Duration kLookPatience = absl::Seconds(5);
constexpr int kAgentsAsked = 3;
constexpr int kNamesTold = 5;

std::string Names(const std::vector<std::string>& names) {
  std::vector<std::string> ids;
  for (const std::string& name : names) {
    if (static_cast<int>(ids.size()) == kNamesTold) break;
    ids.emplace_back(IdOf(name));
  }
  return absl::StrCat(absl::StrJoin(ids, ", "), names.size() > ids.size() ? ", ..." : "");
}

std::string OperationOf(absl::string_view rollout) {
  return ResourceName("operations", IdOf(rollout));
}

RolloutSpec::LocalEdits EditsOf(const RolloutSpec& spec) {
  return spec.local_edits() == RolloutSpec::LOCAL_EDITS_UNSPECIFIED
             ? RolloutSpec::LOCAL_EDITS_REFUSE
             : spec.local_edits();
}

std::string TitleOf(const RolloutSpec& spec, size_t vms) {
  const std::string where =
      spec.environment().empty()
          ? absl::StrCat(vms, vms == 1 ? " VM" : " VMs")
          : absl::StrCat(vms, vms == 1 ? " VM of " : " VMs of ", IdOf(spec.environment()));
  if (spec.previous()) return absl::StrCat("roll back ", where);
  if (spec.head()) return absl::StrCat("upgrade ", where, " to the newest revision");
  return absl::StrCat("upgrade ", where, " to revision ", spec.revision());
}

// Wave by wave, as the limits in the request say.
BatchRelease ReleaseOf(const OperationRecord& record) {
  const auto request = RequestOf<RolloutRequest>(record);
  const RolloutDecision decision = Decide(request.spec(), record.operation().targets());
  return {decision.released, decision.stop, decision.reason};
}

std::vector<std::string> IdsOf(const RolloutSpec& spec) {
  return {spec.working_copies().begin(), spec.working_copies().end()};
}

}  // namespace

void Rollouts::Register() {
  upgrades_.Register(*runner_);
  runner_->RegisterBatch(
      kKind, [](const OperationRecord&) { return std::vector<OperationStep>(); }, ReleaseOf);
}

// ---------------------------------------------------------------- what it would do

absl::Status Rollouts::CheckSpec(const RolloutSpec& spec) const {
  Violations violations;
  const bool by_group = !spec.environment().empty() || !spec.type().empty();
  if (spec.vms().empty() == !by_group) {
    violations.Add("spec.vms", "name either VMs or an environment, a type or both");
  }
  if (spec.to_case() == RolloutSpec::TO_NOT_SET) {
    violations.Add("spec.revision", "say where to: a revision, head or previous");
  }
  if (spec.to_case() == RolloutSpec::kRevision && spec.revision() <= 0) {
    violations.Add("spec.revision", "must be greater than 0");
  }
  if (spec.to_case() == RolloutSpec::kHead && !spec.head()) {
    violations.Add("spec.head", "is true or not set");
  }
  if (spec.to_case() == RolloutSpec::kPrevious && !spec.previous()) {
    violations.Add("spec.previous", "is true or not set");
  }
  return violations.ToStatus();
}

absl::StatusOr<std::vector<Vm>> Rollouts::TargetsOf(const RolloutSpec& spec) const {
  DROVER_RETURN_IF_ERROR(CheckSpec(spec));
  std::vector<Vm> vms;
  std::set<std::string> seen;
  for (int i = 0; i < spec.vms_size(); ++i) {
    if (!seen.insert(spec.vms(i)).second) continue;
    DROVER_ASSIGN_OR_RETURN(Vm vm, inventory_->GetVm(spec.vms(i)));
    DROVER_ASSIGN_OR_RETURN(const std::vector<SvnWorkingCopy> copies,
                            copies_->SpecsOf(vm, IdsOf(spec), false));
    if (copies.empty()) {
      return InvalidField(absl::StrCat("spec.vms[", i, "]"),
                          absl::StrCat(IdOf(vm.type()), ", the type of ", IdOf(vm.name()),
                                       ", has no working copies"));
    }
    vms.push_back(std::move(vm));
  }
  if (!spec.vms().empty()) return vms;
  if (!spec.environment().empty()) {
    DROVER_RETURN_IF_ERROR(inventory_->GetEnvironment(spec.environment()).status());
  }
  if (!spec.type().empty()) DROVER_RETURN_IF_ERROR(inventory_->GetType(spec.type()).status());
  for (const Vm& vm : inventory_->ListVms()) {
    if (!spec.environment().empty() && vm.environment() != spec.environment()) continue;
    if (!spec.type().empty() && vm.type() != spec.type()) continue;
    // Of a group, those that have what is upgraded.
    const auto copies = copies_->SpecsOf(vm, IdsOf(spec), false);
    if (copies.ok() && !copies->empty()) vms.push_back(vm);
  }
  if (vms.empty()) {
    return InvalidField(spec.environment().empty() ? "spec.type" : "spec.environment",
                        "has no VMs with such working copies");
  }
  return vms;
}

absl::StatusOr<drover::agent::v1::Revisions> Rollouts::ReadRevisions(
    const std::vector<Vm>& vms, const std::string& working_copy, int64_t from, int64_t to) {
  absl::Status last = MakeError(absl::StatusCode::kUnavailable, "NO_AGENT_REACHABLE",
                                "no agent of these VMs is connected, so nobody can ask the "
                                "repository");
  int asked = 0;
  for (const Vm& vm : vms) {
    if (asked == kAgentsAsked) break;
    if (!agents_->IsConnected(vm.uid())) continue;
    ++asked;
    DROVER_ASSIGN_OR_RETURN(const std::vector<SvnWorkingCopy> copies,
                            copies_->SpecsOf(vm, {working_copy}, true));
    Command command;
    auto& order = *command.mutable_read_revisions();
    *order.mutable_working_copy() = copies[0];
    order.set_from_revision(from);
    order.set_to_revision(to);
    const auto ended = commands_->Ask(vm.uid(), std::move(command), kRevisionPatience, {});
    last = ended.ok() ? StatusOf(*ended) : ended.status();
    if (last.ok()) return ended->revisions();
    // The repository has spoken; others would say the same.
    if (HasReason(last, "REVISION_UNKNOWN") || HasReason(last, "SVN_LOGIN_REFUSED") ||
        HasReason(last, "REPOSITORY_NOT_FOUND")) {
      return last;
    }
  }
  return last;
}

absl::StatusOr<Rollouts::Revisions> Rollouts::Freeze(const RolloutSpec& spec,
                                                     const std::vector<Vm>& vms,
                                                     RolloutPlan* plan) {
  Revisions revisions;
  std::map<std::pair<std::string, std::string>, std::vector<Vm>> holders;
  for (const Vm& vm : vms) {
    DROVER_ASSIGN_OR_RETURN(const std::vector<SvnWorkingCopy> copies,
                            copies_->SpecsOf(vm, IdsOf(spec), false));
    for (const SvnWorkingCopy& copy : copies) holders[{vm.type(), copy.id()}].push_back(vm);
  }
  for (const auto& [copy, its] : holders) {
    revisions[copy] = 0;
    if (spec.previous()) continue;
    int64_t from = 0;
    if (plan != nullptr) {
      for (const WorkingCopy& row : plan->working_copies()) {
        if (row.id() != copy.second || row.revision() == 0) continue;
        from = from == 0 ? row.revision() : std::min(from, row.revision());
      }
    }
    const auto read = ReadRevisions(its, copy.second, from, spec.revision());
    if (read.ok()) {
      revisions[copy] = spec.head() ? read->head() : spec.revision();
      if (plan != nullptr) {
        plan->set_target_revision(std::max(plan->target_revision(), revisions[copy]));
        plan->mutable_log()->MergeFrom(read->log());
      }
      continue;
    }
    if (read.status().code() != absl::StatusCode::kUnavailable &&
        read.status().code() != absl::StatusCode::kDeadlineExceeded) {
      return Annotate(read.status(), copy.second);
    }
    // A revision that is named may be there; each VM finds out.
    if (spec.head() && plan == nullptr) return Annotate(read.status(), copy.second);
    revisions[copy] = spec.revision();
    if (plan == nullptr) continue;
    plan->set_target_revision(std::max(plan->target_revision(), spec.revision()));
    plan->add_warnings(absl::StrCat(
        copy.second, ": the repository could not be asked: ", read.status().message()));
  }
  return revisions;
}

void Rollouts::Warn(const RolloutSpec& spec, const std::vector<Vm>& vms, RolloutPlan& plan) const {
  std::vector<std::string> away;
  std::vector<std::string> busy;
  std::vector<std::string> unwatched;
  for (const Vm& vm : vms) {
    if (!CheckAgent(vm).ok() || !agents_->IsConnected(vm.uid())) away.push_back(vm.name());
    if (!runner_->QueueOf(vm.name()).empty()) busy.push_back(vm.name());
    const auto type = inventory_->GetType(vm.type());
    if (type.ok() && type->services().empty()) unwatched.push_back(vm.name());
  }
  std::vector<std::string> edited;
  std::vector<std::string> unusable;
  std::vector<std::string> without;
  for (const WorkingCopy& row : plan.working_copies()) {
    if (!row.local_edits().empty()) edited.push_back(row.vm());
    if (!row.problem().empty()) unusable.push_back(row.vm());
    if (spec.previous() && row.previous_revision() == 0) without.push_back(row.vm());
  }
  const auto warn = [&](const std::vector<std::string>& names, absl::string_view words) {
    if (names.empty()) return;
    plan.add_warnings(absl::StrCat(names.size(), " ", words, ": ", Names(names)));
  };
  warn(away, "VMs are out of reach now");
  warn(busy, "VMs are held by other operations, and wait for them");
  warn(unusable, "working copies cannot be upgraded as they are");
  warn(without, "working copies have no earlier revision that is known");
  warn(unwatched, "VMs have no watched services, so that nothing tells whether they are well");
  switch (EditsOf(spec)) {
    case RolloutSpec::LOCAL_EDITS_MERGE:
      warn(edited, "working copies have local edits, which are merged");
      break;
    case RolloutSpec::LOCAL_EDITS_SAVE_AND_REVERT:
      warn(edited, "working copies have local edits, which are saved on the VM and reverted");
      break;
    default:
      warn(edited, "working copies have local edits; their VMs will be refused");
  }
}

absl::StatusOr<RolloutPlan> Rollouts::Plan(const RolloutSpec& spec) {
  DROVER_ASSIGN_OR_RETURN(const std::vector<Vm> vms, TargetsOf(spec));
  RolloutPlan plan;
  copies_->Refresh(vms, kLookPatience);
  const std::vector<std::string> ids = IdsOf(spec);
  for (const Vm& vm : vms) {
    DROVER_ASSIGN_OR_RETURN(const std::vector<WorkingCopy> rows, copies_->Of(vm));
    for (const WorkingCopy& row : rows) {
      if (ids.empty() || std::find(ids.begin(), ids.end(), row.id()) != ids.end()) {
        *plan.add_working_copies() = row;
      }
    }
  }
  DROVER_RETURN_IF_ERROR(Freeze(spec, vms, &plan).status());
  size_t next = 0;
  for (const int size : WaveSizes(spec, static_cast<int>(vms.size()))) {
    RolloutPlan::Wave& wave = *plan.add_waves();
    wave.set_canary(plan.waves_size() == 1 && spec.canaries() > 0);
    for (int i = 0; i < size; ++i) wave.add_vms(vms[next++].name());
  }
  Warn(spec, vms, plan);
  return plan;
}

// ---------------------------------------------------------------- starting

absl::StatusOr<Rollout> Rollouts::Start(const StartRolloutRequest& request, const Caller& caller) {
  DROVER_ASSIGN_OR_RETURN(std::optional<Operation> earlier,
                          runner_->Earlier(caller, request.request_id(), request));
  if (earlier.has_value()) return Get(earlier->name());
  const RolloutSpec& spec = request.spec();
  DROVER_ASSIGN_OR_RETURN(std::vector<Vm> vms, TargetsOf(spec));
  DROVER_ASSIGN_OR_RETURN(const Revisions revisions, Freeze(spec, vms, nullptr));
  std::vector<VmUpgrade> upgrades;
  for (const Vm& vm : vms) {
    VmUpgrade upgrade;
    upgrade.set_vm(vm.name());
    DROVER_ASSIGN_OR_RETURN(const std::vector<SvnWorkingCopy> copies,
                            copies_->SpecsOf(vm, IdsOf(spec), false));
    for (const SvnWorkingCopy& copy : copies) {
      VmUpgrade::Target& target = *upgrade.add_targets();
      target.set_working_copy(copy.id());
      target.set_revision(revisions.at({vm.type(), copy.id()}));
    }
    upgrade.set_local_edits(EditsOf(spec));
    upgrade.set_health_seconds(spec.health_seconds());
    upgrade.set_keep_failed(spec.keep_failed());
    upgrade.set_deadline_seconds(spec.deadline_seconds());
    upgrades.push_back(std::move(upgrade));
  }
  RolloutSpec frozen = spec;
  // What "newest" was when it began, where that is one number.
  std::set<int64_t> numbers;
  for (const auto& [copy, revision] : revisions) numbers.insert(revision);
  if (spec.head() && numbers.size() == 1) frozen.set_revision(*numbers.begin());
  frozen.clear_vms();
  for (const Vm& vm : vms) frozen.add_vms(vm.name());
  return Submit(frozen, std::move(upgrades), request, caller);
}

absl::StatusOr<Rollout> Rollouts::Submit(const RolloutSpec& spec, std::vector<VmUpgrade> upgrades,
                                         const StartRolloutRequest& asked, const Caller& caller) {
  RolloutRequest request;
  *request.mutable_spec() = spec;
  OperationRequest parent;
  parent.kind = kKind;
  parent.title = TitleOf(spec, upgrades.size());
  parent.request = std::make_unique<RolloutRequest>(request);
  parent.asked = std::make_unique<StartRolloutRequest>(asked);
  parent.caller = caller;
  parent.request_id = asked.request_id();
  if (!spec.environment().empty()) parent.resource_names.push_back(spec.environment());
  std::vector<OperationRequest> children;
  for (const VmUpgrade& upgrade : upgrades) {
    DROVER_ASSIGN_OR_RETURN(const Vm vm, inventory_->GetVm(upgrade.vm()));
    parent.resource_names.push_back(vm.name());
    children.push_back(VmUpgrades::RequestOf(upgrade, vm));
  }
  DROVER_ASSIGN_OR_RETURN(const Operation operation,
                          runner_->SubmitBatch(std::move(parent), std::move(children), 0));
  return Get(operation.name());
}

// ---------------------------------------------------------------- one that is there

absl::StatusOr<OperationRecord> Rollouts::Record(absl::string_view name) {
  auto record = runner_->GetRecord(OperationOf(name));
  if (record.ok() && record->operation().kind() == kKind) return record;
  if (!record.ok() && !absl::IsNotFound(record.status())) return record.status();
  return MakeError(absl::StatusCode::kNotFound, "ROLLOUT_NOT_FOUND",
                   absl::StrCat("there is no rollout \"", IdOf(name), "\""));
}

Rollout Rollouts::ViewOf(const RolloutSpec& spec, const Operation& operation) {
  Rollout rollout;
  rollout.set_name(ResourceName("rollouts", IdOf(operation.name())));
  *rollout.mutable_spec() = spec;
  *rollout.mutable_operation() = operation;
  rollout.set_wave(Decide(spec, operation.targets()).wave);
  rollout.set_waves(static_cast<int>(WaveSizes(spec, operation.targets_size()).size()));
  return rollout;
}

absl::StatusOr<Rollout> Rollouts::Get(absl::string_view name) {
  DROVER_ASSIGN_OR_RETURN(const OperationRecord record, Record(name));
  return ViewOf(RequestOf<RolloutRequest>(record).spec(), record.operation());
}

absl::StatusOr<drover::v1::ListRolloutsResponse> Rollouts::List(
    const drover::v1::ListRolloutsRequest& request) {
  DROVER_ASSIGN_OR_RETURN(const int limit, PageSize(request.page_size(), kUsualPage));
  std::string before;
  if (!request.page_token().empty()) {
    DROVER_ASSIGN_OR_RETURN(std::vector<std::string> place,
                            ParsePageToken(request.page_token(), "rollouts", 1));
    before = place[0];
  }
  DROVER_ASSIGN_OR_RETURN(const std::vector<OperationRecord> records,
                          runner_->ListRecords(kKind, before, limit + 1));
  drover::v1::ListRolloutsResponse response;
  for (const OperationRecord& record : records) {
    if (response.rollouts_size() == limit) {
      const std::string last(IdOf(response.rollouts(limit - 1).name()));
      response.set_next_page_token(MakePageToken("rollouts", {last}));
      break;
    }
    *response.add_rollouts() = ViewOf(RequestOf<RolloutRequest>(record).spec(), record.operation());
  }
  return response;
}

absl::StatusOr<Rollout> Rollouts::Pause(absl::string_view name) {
  DROVER_RETURN_IF_ERROR(Record(name).status());
  DROVER_RETURN_IF_ERROR(runner_->Pause(OperationOf(name)));
  return Get(name);
}

absl::StatusOr<Rollout> Rollouts::Resume(absl::string_view name) {
  DROVER_RETURN_IF_ERROR(Record(name).status());
  DROVER_RETURN_IF_ERROR(runner_->Resume(OperationOf(name)));
  return Get(name);
}

absl::StatusOr<Rollout> Rollouts::Cancel(const drover::v1::CancelRolloutRequest& request,
                                         const Caller& caller) {
  DROVER_ASSIGN_OR_RETURN(const OperationRecord record, Record(request.name()));
  const auto cancelled = runner_->Cancel(OperationOf(request.name()));
  // One that has ended may still be taken back.
  const bool ended = HasReason(cancelled.status(), "OPERATION_DONE") && request.return_touched();
  if (!cancelled.ok() && !ended) return cancelled.status();
  if (request.return_touched()) {
    // Those that are under way go back by themselves.
    DROVER_ASSIGN_OR_RETURN(const OperationRecord now, Record(request.name()));
    DROVER_RETURN_IF_ERROR(ReturnTouched(now, request, caller));
  }
  return Get(request.name());
}

absl::Status Rollouts::ReturnTouched(const OperationRecord& record,
                                     const drover::v1::CancelRolloutRequest& request,
                                     const Caller& caller) {
  const RolloutSpec spec = RequestOf<RolloutRequest>(record).spec();
  std::vector<VmUpgrade> upgrades;
  StartRolloutRequest back;
  RolloutSpec& its = *back.mutable_spec();
  for (const Operation::Target& touched : record.operation().targets()) {
    if (touched.state() != Operation::Target::STATE_SUCCEEDED) continue;
    DROVER_ASSIGN_OR_RETURN(const Operation child, runner_->Get(touched.operation()));
    drover::v1::ListWorkingCopiesResponse before;
    if (!child.response().UnpackTo(&before)) continue;
    VmUpgrade upgrade;
    upgrade.set_vm(touched.vm());
    for (const WorkingCopy& row : before.working_copies()) {
      VmUpgrade::Target& target = *upgrade.add_targets();
      target.set_working_copy(row.id());
      target.set_revision(row.previous_revision());
    }
    upgrade.set_local_edits(RolloutSpec::LOCAL_EDITS_MERGE);
    upgrade.set_health_seconds(spec.health_seconds());
    // There is nowhere better to go.
    upgrade.set_keep_failed(true);
    upgrade.set_deadline_seconds(spec.deadline_seconds());
    upgrades.push_back(std::move(upgrade));
    its.add_vms(touched.vm());
  }
  if (upgrades.empty()) return absl::OkStatus();
  its.set_previous(true);
  its.set_wave_size(static_cast<int>(upgrades.size()));
  its.set_max_failures(static_cast<int>(upgrades.size()));
  its.set_max_unreachable(static_cast<int>(upgrades.size()));
  its.set_health_seconds(spec.health_seconds());
  its.set_local_edits(RolloutSpec::LOCAL_EDITS_MERGE);
  its.set_keep_failed(true);
  its.set_deadline_seconds(spec.deadline_seconds());
  // Once, however often it is asked for.
  back.set_request_id(absl::StrCat("return-", IdOf(request.name())));
  return Submit(its, std::move(upgrades), back, caller).status();
}

}  // namespace drover::core
