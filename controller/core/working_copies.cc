#include "controller/core/working_copies.h"

#include <algorithm>
#include <map>
#include <utility>

#include "absl/container/flat_hash_set.h"
#include "absl/strings/str_cat.h"
#include "controller/core/agent_orders.h"
#include "controller/core/paging.h"
#include "proto/support/log.h"
#include "proto/support/resource_name.h"
#include "proto/support/status.h"
#include "proto/support/time.h"

namespace drover::core {
namespace {

using drover::agent::v1::Command;
using drover::agent::v1::CommandUpdate;
using drover::agent::v1::SvnWorkingCopy;
using drover::agent::v1::WorkingCopyStates;
using drover::v1::ListWorkingCopiesRequest;
using drover::v1::ListWorkingCopiesResponse;
using drover::v1::Vm;
using drover::v1::VmType;
using drover::v1::WorkingCopy;

constexpr int kThreads = 8;
constexpr size_t kQueue = 20000;
constexpr absl::Duration kPatience = absl::Seconds(30);
// What is older is asked for again.
constexpr absl::Duration kOld = absl::Minutes(1);

std::string ScopeOf(ListWorkingCopiesRequest request) {
  request.clear_page_size();
  request.clear_page_token();
  return absl::StrCat("workingCopies", request.SerializeAsString());
}

std::string KeyOf(const Vm& vm, absl::string_view id) { return absl::StrCat(vm.uid(), "/", id); }

WorkingCopy RowOf(const Vm& vm, const drover::agent::v1::WorkingCopyState& state, absl::Time now) {
  WorkingCopy row;
  row.set_vm(vm.name());
  row.set_id(state.id());
  row.set_path(state.path());
  row.set_url(state.url());
  row.set_revision(state.revision());
  row.set_previous_revision(state.previous_revision());
  *row.mutable_local_edits() = state.local_edits();
  row.set_locked(state.locked());
  row.set_problem(state.problem());
  *row.mutable_read_time() = ToProto(now);
  return row;
}

template <typename Names>
bool Wanted(const Names& names, const std::string& name) {
  return names.empty() || std::find(names.begin(), names.end(), name) != names.end();
}

}  // namespace

WorkingCopies::WorkingCopies(Store* store, Inventory* inventory, CommandTracker* commands,
                             AgentGateway* agents, Clock* clock)
    : store_(store),
      inventory_(inventory),
      commands_(commands),
      agents_(agents),
      clock_(clock),
      pool_(std::make_unique<WorkerPool>(kThreads, kQueue)) {}

WorkingCopies::~WorkingCopies() { Stop(); }

void WorkingCopies::Stop() {
  stop_.request_stop();
  pool_.reset();
}

void WorkingCopies::Follow() {
  inventory_->OnChange([this](absl::string_view name, bool deleted) {
    if (!deleted) OnVmChanged(name);
  });
}

void WorkingCopies::OnVmChanged(absl::string_view name) {
  const auto vm = inventory_->GetVm(name);
  if (!vm.ok()) return;
  {
    absl::MutexLock lock(&mutex_);
    if (vm->agent_state() != drover::v1::AGENT_STATE_CONNECTED) {
      connected_.erase(vm->name());
      return;
    }
    if (!connected_.insert(vm->name()).second) return;
  }
  const auto rows = Of(*vm);
  if (rows.ok() && IsOld(*rows)) AskSoon(*vm);
}

absl::StatusOr<std::vector<WorkingCopy>> WorkingCopies::Of(const Vm& vm) {
  DROVER_ASSIGN_OR_RETURN(const VmType type, inventory_->GetType(vm.type()));
  std::map<std::string, WorkingCopy> read;
  DROVER_RETURN_IF_ERROR(store_->Read([&](StoreReader& reader) -> absl::Status {
    ListQuery query;
    query.owner = vm.uid();
    DROVER_ASSIGN_OR_RETURN(const std::vector<Document> documents,
                            reader.List(Table::kWorkingCopies, query));
    for (const Document& document : documents) {
      WorkingCopy row;
      if (row.ParseFromString(document.body)) read[row.id()] = std::move(row);
    }
    return absl::OkStatus();
  }));
  std::vector<WorkingCopy> rows;
  for (const auto& spec : type.working_copies()) {
    WorkingCopy row = read[spec.id()];
    row.set_vm(vm.name());
    row.set_id(spec.id());
    if (!row.has_read_time()) {
      row.set_path(spec.path());
      row.set_url(spec.url());
      row.set_problem("not read yet");
    }
    rows.push_back(std::move(row));
  }
  return rows;
}

bool WorkingCopies::IsOld(const std::vector<WorkingCopy>& rows) const {
  const absl::Time limit = clock_->Now() - kOld;
  return std::any_of(rows.begin(), rows.end(), [&](const WorkingCopy& row) {
    return !row.has_read_time() || FromProto(row.read_time()) < limit;
  });
}

absl::StatusOr<ListWorkingCopiesResponse> WorkingCopies::List(
    const ListWorkingCopiesRequest& request) {
  DROVER_ASSIGN_OR_RETURN(const int limit, PageSize(request.page_size(), kUsualPage));
  std::string after;
  if (!request.page_token().empty()) {
    DROVER_ASSIGN_OR_RETURN(std::vector<std::string> place,
                            ParsePageToken(request.page_token(), ScopeOf(request), 1));
    after = place[0];
  }
  for (const std::string& name : request.vms()) {
    DROVER_RETURN_IF_ERROR(inventory_->GetVm(name).status());
  }
  ListWorkingCopiesResponse response;
  const auto vms = inventory_->Vms();
  for (const VmRowPtr& row : *vms) {
    const Vm& vm = row->vm;
    if (vm.name() <= after || !Wanted(request.vms(), vm.name()) ||
        !Wanted(request.environments(), vm.environment()) || !Wanted(request.types(), vm.type())) {
      continue;
    }
    // A VM's rows stay on one page.
    if (response.working_copies_size() >= limit) {
      const std::string last = response.working_copies(response.working_copies_size() - 1).vm();
      response.set_next_page_token(MakePageToken(ScopeOf(request), {last}));
      break;
    }
    const auto rows = Of(vm);
    // Its type went this moment.
    if (!rows.ok()) continue;
    if (IsOld(*rows)) AskSoon(vm);
    for (const WorkingCopy& each : *rows) *response.add_working_copies() = each;
  }
  return response;
}

absl::Status WorkingCopies::Take(const Vm& vm, const WorkingCopyStates& states) {
  DROVER_ASSIGN_OR_RETURN(const VmType type, inventory_->GetType(vm.type()));
  absl::flat_hash_set<std::string> known;
  for (const auto& spec : type.working_copies()) known.insert(spec.id());
  const absl::Time now = clock_->Now();
  return store_->Write([&](StoreWriter& writer) -> absl::Status {
    ListQuery query;
    query.owner = vm.uid();
    DROVER_ASSIGN_OR_RETURN(const std::vector<Document> documents,
                            writer.List(Table::kWorkingCopies, query));
    for (const Document& document : documents) {
      if (known.contains(IdOf(document.key))) continue;
      DROVER_RETURN_IF_ERROR(writer.Delete(Table::kWorkingCopies, document.key));
    }
    for (const auto& state : states.working_copies()) {
      if (!known.contains(state.id())) continue;
      DROVER_RETURN_IF_ERROR(
          writer.Put(Table::kWorkingCopies,
                     {KeyOf(vm, state.id()), vm.uid(), RowOf(vm, state, now).SerializeAsString()}));
    }
    return absl::OkStatus();
  });
}

absl::StatusOr<std::vector<SvnWorkingCopy>> WorkingCopies::SpecsOf(
    const Vm& vm, const std::vector<std::string>& ids, bool with_passwords) const {
  DROVER_ASSIGN_OR_RETURN(const VmType type, inventory_->GetType(vm.type()));
  TypeSecrets secrets;
  if (with_passwords) {
    DROVER_ASSIGN_OR_RETURN(secrets, inventory_->SecretsOfType(vm.type()));
  }
  std::vector<SvnWorkingCopy> copies;
  for (const auto& spec : type.working_copies()) {
    if (!Wanted(ids, spec.id())) continue;
    SvnWorkingCopy copy;
    copy.set_id(spec.id());
    copy.set_path(spec.path());
    copy.set_url(spec.url());
    copy.set_user(spec.user());
    const auto password = secrets.svn_passwords().find(spec.id());
    if (password != secrets.svn_passwords().end()) copy.set_password(password->second);
    copies.push_back(std::move(copy));
  }
  for (const std::string& id : ids) {
    const bool found = std::any_of(copies.begin(), copies.end(),
                                   [&](const SvnWorkingCopy& copy) { return copy.id() == id; });
    if (found) continue;
    return MakeError(absl::StatusCode::kNotFound, "WORKING_COPY_UNKNOWN",
                     absl::StrCat("type ", IdOf(vm.type()), " has no working copy \"", id, "\""));
  }
  return copies;
}

// ---------------------------------------------------------------- asking

void WorkingCopies::AskSoon(const Vm& vm) {
  if (stop_.stop_requested() || !agents_->IsConnected(vm.uid())) return;
  {
    absl::MutexLock lock(&mutex_);
    if (!asking_.insert(vm.name()).second) return;
  }
  if (pool_->TrySubmit([this, name = vm.name()] { AskNow(name); })) return;
  absl::MutexLock lock(&mutex_);
  asking_.erase(vm.name());
}

void WorkingCopies::AskNow(const std::string& vm_name) {
  const auto ask = [&]() -> absl::Status {
    if (stop_.stop_requested()) return absl::OkStatus();
    DROVER_ASSIGN_OR_RETURN(const Vm vm, inventory_->GetVm(vm_name));
    DROVER_ASSIGN_OR_RETURN(const std::vector<SvnWorkingCopy> copies, SpecsOf(vm, {}, false));
    if (copies.empty() || !agents_->IsConnected(vm.uid())) return absl::OkStatus();
    Command command;
    for (const SvnWorkingCopy& copy : copies) {
      *command.mutable_read_working_copies()->add_working_copies() = copy;
    }
    DROVER_ASSIGN_OR_RETURN(
        const CommandUpdate ended,
        commands_->Ask(vm.uid(), std::move(command), kPatience, stop_.get_token()));
    DROVER_RETURN_IF_ERROR(StatusOf(ended));
    return Take(vm, ended.working_copies());
  };
  if (const absl::Status asked = ask(); !asked.ok()) {
    LogDebug("working copies of ", vm_name, " were not read: ", asked.message());
  }
  absl::MutexLock lock(&mutex_);
  asking_.erase(vm_name);
}

void WorkingCopies::Refresh(const std::vector<Vm>& vms, absl::Duration patience) {
  for (const Vm& vm : vms) AskSoon(vm);
  absl::MutexLock lock(&mutex_);
  const auto answered = [&]() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_) {
    return std::none_of(vms.begin(), vms.end(),
                        [&](const Vm& vm) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_) {
                          return asking_.count(vm.name()) > 0;
                        });
  };
  mutex_.AwaitWithTimeout(absl::Condition(&answered), patience);
}

}  // namespace drover::core
