#include "controller/core/config_transaction.h"

#include <algorithm>
#include <map>
#include <memory>
#include <set>
#include <utility>

#include "absl/strings/escaping.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "controller/core/vm_world.h"
#include "proto/support/resource_name.h"
#include "proto/support/status.h"
#include "proto/support/time.h"

namespace drover::core {
namespace {

using drover::agent::v1::Command;
using drover::agent::v1::CommandUpdate;
using drover::agent::v1::EditFiles;
using drover::v1::Configuration;
using drover::v1::DependencyCheck;
using drover::v1::FileDiff;
using drover::v1::Vm;

// An agent that is away when its turn comes holds up all others; not for long.
constexpr absl::Duration kTimeToLive = absl::Minutes(2);
// To put back is owed.
constexpr absl::Duration kTimeToPutBack = absl::Hours(1);
constexpr absl::Duration kTimeToKeep = absl::Minutes(10);
// Beside the times of its services.
constexpr int kSlackSeconds = 60;
constexpr int kPutBackSeconds = 1800;
constexpr int kProbeSeconds = 60;

constexpr char kPrepared[] = "prepared ";
constexpr char kPutBackDone[] = "put back ";
constexpr char kAnswered[] = "answered ";

std::string TransactionOf(const OperationContext& context) {
  return std::string(IdOf(context.record().operation().name()));
}

Command EditCommand(EditFiles::Action action, const std::string& transaction) {
  Command command;
  command.mutable_edit_files()->set_action(action);
  command.mutable_edit_files()->set_transaction(transaction);
  return command;
}

absl::Status OfVm(const Vm& vm, const absl::Status& status) {
  return status.ok() ? status : Annotate(status, IdOf(vm.name()));
}

// A value that a record's text can hold.
std::string Packed(const google::protobuf::Message& message) {
  return absl::Base64Escape(message.SerializeAsString());
}
template <typename Message>
Message Unpacked(const std::string& text) {
  Message message;
  std::string bytes;
  if (absl::Base64Unescape(text, &bytes)) message.ParseFromString(bytes);
  return message;
}

}  // namespace

void ConfigTransaction::Register(OperationRunner& runner) {
  runner.Register(kKind, [this](const OperationRecord& record) { return Steps(record); });
}

OperationRequest ConfigTransaction::Operation(const ConfigurationOrder& order,
                                              const ConfigWork& work) {
  OperationRequest request;
  request.kind = kKind;
  const absl::string_view environment = IdOf(order.configuration().environment());
  request.title =
      order.restored().empty()
          ? absl::StrCat("apply ", IdOf(order.profile().name()), " to ", environment)
          : absl::StrCat("restore configuration ", IdOf(order.restored()), " of ", environment);
  request.request = std::make_unique<ConfigurationOrder>(order);
  for (const ConfigTarget& target : work.targets) {
    request.holds.push_back(target.vm.name());
    request.resource_names.push_back(target.vm.name());
  }
  request.resource_names.push_back(order.configuration().environment());
  request.resource_names.push_back(order.profile().name());
  return request;
}

std::vector<OperationStep> ConfigTransaction::Steps(const OperationRecord& record) {
  const auto order = RequestOf<ConfigurationOrder>(record);
  std::vector<OperationStep> steps(5);
  steps[0].title = "check dependencies";
  steps[0].run = [this, order](OperationContext& context) { return Check(order, context); };
  steps[1].title = "prepare files";
  steps[1].run = [this, order](OperationContext& context) { return Prepare(order, context); };
  steps[1].undo = [this, order](OperationContext& context) { return PutBack(order, context); };
  steps[2].title = "replace files, restart services, watch them";
  steps[2].weight = 5;
  steps[2].run = [this, order](OperationContext& context) { return Commit(order, context); };
  steps[2].undo = steps[1].undo;
  steps[3].title = "record the configuration";
  steps[3].run = [this, order](OperationContext& context) { return Record(order, context); };
  steps[3].undo = [this](OperationContext& context) { return Unrecord(context); };
  steps[3].commits = true;
  steps[4].title = "forget the old files";
  steps[4].run = [this, order](OperationContext& context) { return Keep(order, context); };
  return steps;
}

// ---------------------------------------------------------------- orders

// What an agent answered is remembered, because the step is run again while others are waited for.
absl::StatusOr<CommandUpdate> ConfigTransaction::CarryOut(OperationContext& context,
                                                          const Part& part,
                                                          absl::Duration time_to_live) {
  const std::string answered = context.Recall(kAnswered + part.key);
  if (!answered.empty()) return Unpacked<Update>(answered);
  DROVER_RETURN_IF_ERROR(OfVm(part.vm, CheckAgent(part.vm)));
  DROVER_ASSIGN_OR_RETURN(
      Update update, orders_->CarryOut(context, part.key, part.vm, part.command, time_to_live));
  update.clear_output();
  DROVER_RETURN_IF_ERROR(context.Remember(kAnswered + part.key, Packed(update)));
  return update;
}

absl::Status ConfigTransaction::CarryOutAll(
    OperationContext& context, const std::vector<Part>& parts, absl::Duration time_to_live,
    const std::function<absl::Status(const Part&, const Update&)>& judge) {
  absl::Status waiting;
  absl::Status failed;
  // All of them are given before any is waited for.
  for (const Part& part : parts) {
    const absl::StatusOr<Update> update = CarryOut(context, part, time_to_live);
    if (!update.ok() && IsWaiting(update.status())) {
      waiting = update.status();
      continue;
    }
    const absl::Status judged = update.ok() ? judge(part, *update) : update.status();
    if (failed.ok() && !judged.ok()) failed = OfVm(part.vm, judged);
    // One failure ends it, and nothing more is begun.
    if (!failed.ok()) return failed;
  }
  return waiting;
}

absl::StatusOr<std::vector<Vm>> ConfigTransaction::VmsOf(const ConfigurationOrder& order) const {
  std::set<std::string> names;
  for (const Configuration::RoleVms& role : order.configuration().role_vms()) {
    names.insert(role.vms().begin(), role.vms().end());
  }
  std::vector<Vm> vms;
  for (const std::string& name : names) {
    DROVER_ASSIGN_OR_RETURN(Vm vm, inventory_->GetVm(name));
    vms.push_back(std::move(vm));
  }
  return vms;
}

// ---------------------------------------------------------------- steps

absl::Status ConfigTransaction::Check(const ConfigurationOrder& order, OperationContext& context) {
  DROVER_ASSIGN_OR_RETURN(const ConfigWork work, WorkOut(order.configuration(), order.profile(),
                                                         *inventory_, /*needs_roles=*/true));
  std::vector<Part> parts;
  std::map<std::string, const ConfigProbe*> probes;
  for (const ConfigProbe& probe : work.probes) {
    Part& part = parts.emplace_back();
    part.key = absl::StrCat("check ", probe.dependency, " from ", probe.from.name());
    part.vm = probe.from;
    *part.command.mutable_probe_dependency() = probe.order;
    part.command.set_timeout_seconds(kProbeSeconds);
    probes[part.key] = &probe;
  }
  return CarryOutAll(context, parts, kTimeToLive,
                     [&](const Part& part, const Update& update) -> absl::Status {
                       DROVER_RETURN_IF_ERROR(StatusOf(update));
                       if (update.probe_verdict().result() == DependencyCheck::RESULT_OK)
                         return absl::OkStatus();
                       DependencyCheck check;
                       check.set_dependency(probes[part.key]->dependency);
                       check.set_vm(probes[part.key]->vm.name());
                       check.set_from_vm(part.vm.name());
                       check.set_result(update.probe_verdict().result());
                       check.set_detail(update.probe_verdict().detail());
                       return MakeError(absl::StatusCode::kFailedPrecondition, "CHECK_FAILED",
                                        DescribeCheck(check), {{"vm", part.vm.name()}});
                     });
}

absl::Status ConfigTransaction::Prepare(const ConfigurationOrder& order,
                                        OperationContext& context) {
  DROVER_ASSIGN_OR_RETURN(const ConfigWork work, WorkOut(order.configuration(), order.profile(),
                                                         *inventory_, /*needs_roles=*/true));
  std::map<std::pair<std::string, std::string>, std::string> planned;
  for (const ConfigurationOrder::PlannedFile& file : order.files()) {
    planned[{file.vm(), file.path()}] = file.sha256();
  }
  std::vector<Part> parts;
  for (const ConfigTarget& target : work.targets) {
    Part& part = parts.emplace_back();
    part.key = absl::StrCat("prepare ", target.vm.name());
    part.vm = target.vm;
    part.command = EditCommand(EditFiles::ACTION_PREPARE, TransactionOf(context));
    EditFiles& edit = *part.command.mutable_edit_files();
    for (const auto& file : target.files) {
      auto& asked = *edit.add_files();
      asked = file;
      const auto known = planned.find({target.vm.name(), file.path()});
      if (known != planned.end()) asked.set_expected_sha256(known->second);
    }
    edit.mutable_restart_services()->Add(target.restart_services.begin(),
                                         target.restart_services.end());
    edit.set_health_seconds(target.health_seconds);
  }
  return CarryOutAll(context, parts, kTimeToLive,
                     [&](const Part& part, const Update& update) -> absl::Status {
                       DROVER_RETURN_IF_ERROR(StatusOf(update));
                       const std::string key = kPrepared + part.vm.name();
                       if (!context.RecallForAll(key).empty()) return absl::OkStatus();
                       return context.RememberForAll(key, Packed(update.edited_files()));
                     });
}

absl::Status ConfigTransaction::Commit(const ConfigurationOrder& order, OperationContext& context) {
  DROVER_ASSIGN_OR_RETURN(const ConfigWork work, WorkOut(order.configuration(), order.profile(),
                                                         *inventory_, /*needs_roles=*/true));
  std::vector<Part> parts;
  for (const ConfigTarget& target : work.targets) {
    Part& part = parts.emplace_back();
    part.key = absl::StrCat("commit ", target.vm.name());
    part.vm = target.vm;
    part.command = EditCommand(EditFiles::ACTION_COMMIT, TransactionOf(context));
    part.command.set_timeout_seconds(target.restart_seconds + target.health_seconds +
                                     kSlackSeconds);
  }
  return CarryOutAll(context, parts, kTimeToLive,
                     [](const Part&, const Update& update) { return StatusOf(update); });
}

absl::Status ConfigTransaction::Record(const ConfigurationOrder& order, OperationContext& context) {
  ConfigurationRecord record;
  const drover::v1::Operation& operation = context.record().operation();
  Configuration& configuration = *record.mutable_configuration();
  configuration = order.configuration();
  configuration.set_name(ResourceName("configurations", IdOf(operation.name())));
  *configuration.mutable_apply_time() = ToProto(clock_->Now());
  configuration.set_user(operation.user());
  configuration.set_operation(operation.name());
  configuration.clear_diffs();
  *record.mutable_profile() = order.profile();
  DROVER_ASSIGN_OR_RETURN(const std::vector<Vm> vms, VmsOf(order));
  for (const Vm& vm : vms) {
    const auto files =
        Unpacked<drover::agent::v1::EditedFiles>(context.RecallForAll(kPrepared + vm.name()));
    for (const auto& file : files.files()) {
      FileDiff& diff = *configuration.add_diffs();
      diff.set_vm(vm.name());
      diff.set_path(file.path());
      diff.set_diff(file.diff());
    }
  }
  const Document document{configuration.name(), configuration.environment(),
                          record.SerializeAsString()};
  DROVER_RETURN_IF_ERROR(store_->Write(
      [&](StoreWriter& writer) { return writer.Put(Table::kConfigurations, document); }));
  context.SetResponse(configuration);
  return absl::OkStatus();
}

absl::Status ConfigTransaction::Unrecord(OperationContext& context) {
  const std::string name = ResourceName("configurations", TransactionOf(context));
  return store_->Write(
      [&](StoreWriter& writer) { return writer.Delete(Table::kConfigurations, name); });
}

// Files and services are as they shall be; an agent that does not hear of it keeps the old files
// until its next transaction.
absl::Status ConfigTransaction::Keep(const ConfigurationOrder& order, OperationContext& context) {
  DROVER_ASSIGN_OR_RETURN(const std::vector<Vm> vms, VmsOf(order));
  absl::Status waiting;
  for (const Vm& vm : vms) {
    Part part;
    part.key = absl::StrCat("keep ", vm.name());
    part.vm = vm;
    part.command = EditCommand(EditFiles::ACTION_KEEP, TransactionOf(context));
    const absl::StatusOr<Update> update = CarryOut(context, part, kTimeToKeep);
    if (!update.ok() && IsWaiting(update.status())) {
      waiting = update.status();
      continue;
    }
    if (context.stop().stop_requested()) return absl::CancelledError("stopped");
    const absl::Status kept = update.ok() ? StatusOf(*update) : update.status();
    if (!kept.ok() && context.Recall("told " + vm.name()).empty()) {
      context.Log(absl::StrCat(IdOf(vm.name()), " keeps its old files for now: ", kept.message()));
      DROVER_RETURN_IF_ERROR(context.Remember("told " + vm.name(), "yes"));
    }
  }
  return waiting;
}

// ---------------------------------------------------------------- put back

absl::Status ConfigTransaction::PutBack(const ConfigurationOrder& order,
                                        OperationContext& context) {
  DROVER_ASSIGN_OR_RETURN(const std::vector<Vm> vms, VmsOf(order));
  absl::Status waiting;
  absl::Status failed;
  for (const Vm& vm : vms) {
    const std::string done = kPutBackDone + vm.name();
    if (!context.RecallForAll(done).empty()) continue;
    absl::Status back = PutBackOne(vm, TransactionOf(context), context);
    if (back.ok()) back = context.RememberForAll(done, "yes");
    if (IsWaiting(back)) {
      waiting = back;
    } else if (failed.ok()) {
      failed = OfVm(vm, back);
    }
  }
  if (!waiting.ok()) return waiting;
  return failed;
}

absl::Status ConfigTransaction::PutBackOne(const Vm& vm, const std::string& transaction,
                                           OperationContext& context) {
  // What is under way ends as put back by itself.
  for (const char* step : {"prepare ", "commit "}) {
    const std::string key = step + vm.name();
    if (context.Recall(kAnswered + key).empty()) {
      DROVER_RETURN_IF_ERROR(orders_->Withdraw(context, key));
    }
  }
  const std::string attempt_key = "attempt " + vm.name();
  int attempt = 0;
  (void)absl::SimpleAtoi(context.Recall(attempt_key), &attempt);
  Part part;
  // An order is answered once: the next attempt is another one.
  part.key = absl::StrCat("put back ", attempt, " ", vm.name());
  part.vm = vm;
  part.command = EditCommand(EditFiles::ACTION_PUT_BACK, transaction);
  part.command.set_timeout_seconds(kPutBackSeconds);
  const absl::StatusOr<Update> update = CarryOut(context, part, kTimeToPutBack);
  if (!update.ok() && IsWaiting(update.status())) return update.status();
  const absl::Status back = update.ok() ? StatusOf(*update) : update.status();
  if (!back.ok()) {
    DROVER_RETURN_IF_ERROR(context.Remember(attempt_key, absl::StrCat(attempt + 1)));
  }
  return back;
}

}  // namespace drover::core
