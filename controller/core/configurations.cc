#include "controller/core/configurations.h"

#include <algorithm>
#include <atomic>
#include <memory>
#include <optional>
#include <thread>
#include <utility>

#include "absl/strings/str_cat.h"
#include "controller/core/paging.h"
#include "proto/support/resource_name.h"
#include "proto/support/status.h"

namespace drover::core {
namespace {

using drover::agent::v1::Command;
using drover::agent::v1::CommandUpdate;
using drover::agent::v1::EditFiles;
using drover::v1::Configuration;
using drover::v1::ConfigurationPlan;
using drover::v1::DependencyCheck;
using drover::v1::FileDiff;
using drover::v1::Operation;
using drover::v1::Profile;
using drover::v1::Vm;

// A probe makes at most three connections, of 17 s each.
constexpr absl::Duration kPatience = absl::Seconds(55);
// Questions to agents at a time, of one call.
constexpr size_t kAtOnce = 16;

// Calls `work` for every index below `count`, some at a time.
void ForAll(size_t count, absl::FunctionRef<void(size_t)> work) {
  std::atomic<size_t> next = 0;
  const auto run = [&] {
    for (size_t i = next++; i < count; i = next++) work(i);
  };
  std::vector<std::thread> threads;
  for (size_t i = 1; i < std::min(count, kAtOnce); ++i) threads.emplace_back(run);
  run();
  for (std::thread& thread : threads) thread.join();
}

Configuration WithoutOutputs(Configuration configuration) {
  configuration.clear_name();
  configuration.clear_apply_time();
  configuration.clear_user();
  configuration.clear_operation();
  configuration.clear_diffs();
  return configuration;
}

absl::Status ProblemOf(const ConfigurationPlan& plan) {
  for (const FileDiff& file : plan.diffs()) {
    if (file.problem().empty()) continue;
    return MakeError(absl::StatusCode::kFailedPrecondition, "PLAN_HAS_PROBLEM",
                     absl::StrCat(IdOf(file.vm()), ": ", file.problem()), {{"vm", file.vm()}});
  }
  return absl::OkStatus();
}

}  // namespace

Configurations::Configurations(Inventory* inventory, const Profiles* profiles,
                               CommandTracker* commands, AgentGateway* agents,
                               OperationRunner* runner, Store* store, Clock* clock)
    : inventory_(inventory),
      profiles_(profiles),
      commands_(commands),
      agents_(agents),
      runner_(runner),
      store_(store),
      orders_(commands, agents),
      transaction_(inventory, &orders_, store, clock) {}

CommandUpdate Configurations::Ask(const Vm& vm, const Command& command) {
  absl::Status asked = CheckAgent(vm);
  if (asked.ok() && !agents_->IsConnected(vm.uid())) {
    asked = absl::UnavailableError(
        absl::StrCat("the agent of ", IdOf(vm.name()), " is not connected now"));
  }
  if (asked.ok()) {
    const auto update = commands_->Ask(vm.uid(), command, kPatience, {});
    if (update.ok()) return *update;
    asked = update.status();
  }
  CommandUpdate failed;
  failed.set_state(CommandUpdate::STATE_FAILED);
  *failed.mutable_error() = ToRpcStatus(asked);
  return failed;
}

absl::StatusOr<drover::v1::CheckConfigurationResponse> Configurations::Check(
    const Configuration& configuration) {
  DROVER_ASSIGN_OR_RETURN(const Profile profile, profiles_->Get(configuration.profile()));
  DROVER_ASSIGN_OR_RETURN(const ConfigWork work,
                          WorkOut(configuration, profile, *inventory_, /*needs_roles=*/false));
  std::vector<DependencyCheck> checks(work.probes.size());
  ForAll(work.probes.size(), [&](size_t i) {
    const ConfigProbe& probe = work.probes[i];
    Command command;
    *command.mutable_probe_dependency() = probe.order;
    const CommandUpdate update = Ask(probe.from, command);
    const absl::Status status = StatusOf(update);
    DependencyCheck& check = checks[i];
    check.set_dependency(probe.dependency);
    check.set_vm(probe.vm.name());
    check.set_from_vm(probe.from.name());
    check.set_result(status.ok() ? update.probe_verdict().result()
                                 : DependencyCheck::RESULT_UNREACHABLE);
    check.set_detail(status.ok() ? update.probe_verdict().detail()
                                 : absl::StrCat("could not be asked: ", status.message()));
  });
  drover::v1::CheckConfigurationResponse response;
  response.set_all_ok(true);
  for (DependencyCheck& check : checks) {
    if (check.result() != DependencyCheck::RESULT_OK) response.set_all_ok(false);
    *response.add_checks() = std::move(check);
  }
  return response;
}

absl::StatusOr<Configurations::Planned> Configurations::PlanFor(const Configuration& configuration,
                                                                const Profile& profile) {
  Planned planned;
  DROVER_ASSIGN_OR_RETURN(planned.work,
                          WorkOut(configuration, profile, *inventory_, /*needs_roles=*/true));
  const std::vector<ConfigTarget>& targets = planned.work.targets;
  std::vector<CommandUpdate> answers(targets.size());
  ForAll(targets.size(), [&](size_t i) {
    Command command;
    EditFiles& order = *command.mutable_edit_files();
    order.set_action(EditFiles::ACTION_PLAN);
    for (const auto& file : targets[i].files) *order.add_files() = file;
    answers[i] = Ask(targets[i].vm, command);
  });
  *planned.order.mutable_configuration() = WithoutOutputs(configuration);
  *planned.order.mutable_profile() = profile;
  std::vector<std::string> parts;
  for (size_t i = 0; i < targets.size(); ++i) {
    const std::string& name = targets[i].vm.name();
    const absl::Status status = StatusOf(answers[i]);
    bool changes = false;
    for (int j = 0; j < static_cast<int>(targets[i].files.size()); ++j) {
      FileDiff& diff = *planned.plan.add_diffs();
      diff.set_vm(name);
      diff.set_path(targets[i].files[static_cast<size_t>(j)].path());
      if (!status.ok() || j >= answers[i].edited_files().files_size()) {
        diff.set_problem(status.ok() ? "the agent did not answer for this file"
                                     : std::string(status.message()));
        parts.push_back(diff.problem());
        continue;
      }
      const auto& file = answers[i].edited_files().files(j);
      diff.set_diff(file.diff());
      diff.set_problem(file.problem());
      changes = changes || file.old_sha256() != file.new_sha256();
      parts.insert(parts.end(), {name, file.path(), file.old_sha256(), file.new_sha256()});
      ConfigurationOrder::PlannedFile& kept = *planned.order.add_files();
      kept.set_vm(name);
      kept.set_path(file.path());
      kept.set_sha256(file.old_sha256());
    }
    for (const std::string& service : targets[i].restart_services) {
      if (!changes) break;
      planned.plan.add_restarts(absl::StrCat(service, " on ", IdOf(name)));
      parts.push_back(planned.plan.restarts(planned.plan.restarts_size() - 1));
    }
  }
  planned.plan.set_digest(DigestOf(configuration, profile, parts));
  return planned;
}

absl::StatusOr<ConfigurationPlan> Configurations::Plan(const Configuration& configuration) {
  DROVER_ASSIGN_OR_RETURN(const Profile profile, profiles_->Get(configuration.profile()));
  DROVER_ASSIGN_OR_RETURN(Planned planned, PlanFor(configuration, profile));
  return std::move(planned.plan);
}

absl::StatusOr<Operation> Configurations::Begin(Planned planned, OperationRequest request,
                                                bool validate_only) {
  DROVER_RETURN_IF_ERROR(ProblemOf(planned.plan));
  OperationRequest operation = ConfigTransaction::Operation(planned.order, planned.work);
  if (validate_only) {
    Operation preview;
    preview.set_kind(operation.kind);
    preview.set_title(operation.title);
    preview.set_state(Operation::STATE_SUCCEEDED);
    preview.set_percent(100);
    for (const ConfigTarget& target : planned.work.targets) {
      preview.add_targets()->set_vm(target.vm.name());
    }
    return preview;
  }
  operation.asked = std::move(request.asked);
  operation.caller = request.caller;
  operation.request_id = request.request_id;
  return runner_->Submit(std::move(operation));
}

absl::StatusOr<Operation> Configurations::Apply(
    const drover::v1::ApplyConfigurationRequest& request, const Caller& caller) {
  DROVER_ASSIGN_OR_RETURN(std::optional<Operation> earlier,
                          runner_->Earlier(caller, request.request_id(), request));
  if (earlier) return *earlier;
  DROVER_ASSIGN_OR_RETURN(const Profile profile, profiles_->Get(request.configuration().profile()));
  DROVER_ASSIGN_OR_RETURN(Planned planned, PlanFor(request.configuration(), profile));
  if (!request.expected_plan_digest().empty() &&
      request.expected_plan_digest() != planned.plan.digest()) {
    return MakeError(absl::StatusCode::kAborted, "PLAN_CHANGED",
                     "the plan is another one by now; look at it again");
  }
  OperationRequest operation;
  operation.asked = std::make_unique<drover::v1::ApplyConfigurationRequest>(request);
  operation.caller = caller;
  operation.request_id = request.request_id();
  return Begin(std::move(planned), std::move(operation), request.validate_only());
}

absl::StatusOr<ConfigurationRecord> Configurations::Read(const std::string& name) {
  ConfigurationRecord record;
  const absl::Status read = store_->Read([&](StoreReader& reader) -> absl::Status {
    DROVER_ASSIGN_OR_RETURN(const Document document, reader.Get(Table::kConfigurations, name));
    if (record.ParseFromString(document.body)) return absl::OkStatus();
    return MakeError(absl::StatusCode::kDataLoss, "STORE_CORRUPT",
                     absl::StrCat("the stored ", name, " is damaged"));
  });
  if (absl::IsNotFound(read)) {
    return MakeError(absl::StatusCode::kNotFound, "CONFIGURATION_NOT_FOUND",
                     absl::StrCat("there is no configuration ", IdOf(name)));
  }
  DROVER_RETURN_IF_ERROR(read);
  return record;
}

absl::StatusOr<Configuration> Configurations::Get(const std::string& name) {
  DROVER_ASSIGN_OR_RETURN(ConfigurationRecord record, Read(name));
  return std::move(*record.mutable_configuration());
}

absl::StatusOr<drover::v1::ListConfigurationsResponse> Configurations::List(
    const drover::v1::ListConfigurationsRequest& request) {
  DROVER_ASSIGN_OR_RETURN(const int limit, PageSize(request.page_size(), kUsualPage));
  const std::string scope = absl::StrCat("configurations", request.environment());
  ListQuery query;
  query.descending = true;
  query.limit = limit + 1;
  if (!request.environment().empty()) query.owner = request.environment();
  if (!request.page_token().empty()) {
    DROVER_ASSIGN_OR_RETURN(const std::vector<std::string> place,
                            ParsePageToken(request.page_token(), scope, 1));
    query.after_key = place[0];
  }
  std::vector<Document> documents;
  DROVER_RETURN_IF_ERROR(store_->Read([&](StoreReader& reader) -> absl::Status {
    DROVER_ASSIGN_OR_RETURN(documents, reader.List(Table::kConfigurations, query));
    return absl::OkStatus();
  }));
  drover::v1::ListConfigurationsResponse response;
  for (const Document& document : documents) {
    if (response.configurations_size() == limit) {
      response.set_next_page_token(
          MakePageToken(scope, {response.configurations(limit - 1).name()}));
      break;
    }
    ConfigurationRecord record;
    if (!record.ParseFromString(document.body)) continue;
    record.mutable_configuration()->clear_diffs();
    *response.add_configurations() = std::move(*record.mutable_configuration());
  }
  return response;
}

absl::StatusOr<Operation> Configurations::Restore(
    const drover::v1::RestoreConfigurationRequest& request, const Caller& caller) {
  DROVER_ASSIGN_OR_RETURN(std::optional<Operation> earlier,
                          runner_->Earlier(caller, request.request_id(), request));
  if (earlier) return *earlier;
  DROVER_ASSIGN_OR_RETURN(const ConfigurationRecord record, Read(request.name()));
  DROVER_ASSIGN_OR_RETURN(Planned planned, PlanFor(record.configuration(), record.profile()));
  planned.order.set_restored(request.name());
  OperationRequest operation;
  operation.asked = std::make_unique<drover::v1::RestoreConfigurationRequest>(request);
  operation.caller = caller;
  operation.request_id = request.request_id();
  return Begin(std::move(planned), std::move(operation), request.validate_only());
}

}  // namespace drover::core
