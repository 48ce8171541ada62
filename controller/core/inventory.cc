#include "controller/core/inventory.h"

#include <algorithm>
#include <utility>

#include "absl/strings/escaping.h"
#include "absl/strings/str_cat.h"
#include "controller/core/resource_rules.h"
#include "proto/support/log.h"
#include "proto/support/resource_name.h"
#include "proto/support/status.h"
#include "proto/support/time.h"

namespace drover::core {
namespace {

using drover::v1::Vm;

absl::Status NoVm(absl::string_view name) {
  return MakeError(absl::StatusCode::kNotFound, "VM_NOT_FOUND",
                   absl::StrCat("there is no VM ", IdOf(name)), {{"vm", std::string(name)}});
}

std::string VmPurpose(const Vm& vm) { return absl::StrCat("vm:", vm.uid()); }

Vm Changed(const Vm& vm, absl::FunctionRef<void(Vm&)> change) {
  Vm changed = vm;
  change(changed);
  changed.set_name(vm.name());
  changed.set_uid(vm.uid());
  return changed;
}

// What watchers are not told of: it changes all the time, and pages read it when they need it.
Vm WithoutSamples(Vm vm) {
  vm.clear_cpu_percent();
  vm.clear_memory_used_mb();
  vm.clear_disk_used_mb();
  vm.clear_agent_last_seen();
  return vm;
}

std::string NewUid(Vault& vault) {
  std::string hex = absl::BytesToHexString(vault.RandomBytes(16));
  return absl::StrCat(hex.substr(0, 8), "-", hex.substr(8, 4), "-", hex.substr(12, 4), "-",
                      hex.substr(16, 4), "-", hex.substr(20));
}

// Ends a claim on every way out.
class ClaimEnd {
 public:
  ClaimEnd(VmModel& vms, absl::string_view name) : vms_(vms), name_(name) {}
  ~ClaimEnd() { vms_.Withdraw(name_); }
  ClaimEnd(const ClaimEnd&) = delete;
  ClaimEnd& operator=(const ClaimEnd&) = delete;

 private:
  VmModel& vms_;
  const std::string name_;
};

}  // namespace

Inventory::Inventory(Store* store, Vault* vault, Clock* clock)
    : store_(store), vault_(vault), clock_(clock) {}

absl::Status Inventory::LoadTable(Table table,
                                  absl::FunctionRef<absl::Status(const Document&)> take) {
  std::vector<Document> documents;
  DROVER_RETURN_IF_ERROR(store_->Read([&](StoreReader& reader) -> absl::Status {
    DROVER_ASSIGN_OR_RETURN(documents, reader.List(table, ListQuery()));
    return absl::OkStatus();
  }));
  for (const Document& document : documents) DROVER_RETURN_IF_ERROR(take(document));
  return absl::OkStatus();
}

absl::Status Inventory::Load() {
  auto damaged = [](const Document& document) {
    return absl::DataLossError(absl::StrCat("the stored record of ", document.key, " is damaged"));
  };
  DROVER_RETURN_IF_ERROR(LoadTable(Table::kHypervisors, [&](const Document& document) {
    HypervisorRecord record;
    if (!record.ParseFromString(document.body)) return damaged(document);
    hypervisors_.Put(document.key, std::move(record));
    return absl::OkStatus();
  }));
  DROVER_RETURN_IF_ERROR(LoadTable(Table::kTypes, [&](const Document& document) {
    TypeRecord record;
    if (!record.ParseFromString(document.body)) return damaged(document);
    types_.Put(document.key, std::move(record));
    return absl::OkStatus();
  }));
  DROVER_RETURN_IF_ERROR(LoadTable(Table::kEnvironments, [&](const Document& document) {
    drover::v1::Environment environment;
    if (!environment.ParseFromString(document.body)) return damaged(document);
    environments_.Put(document.key, std::move(environment));
    return absl::OkStatus();
  }));
  return LoadTable(Table::kVms, [&](const Document& document) {
    VmRecord record;
    if (!record.ParseFromString(document.body)) return damaged(document);
    record.mutable_vm()->set_reachability(drover::v1::REACHABILITY_UNKNOWN);
    vms_.Load(MakeVmRow(std::move(*record.mutable_vm()), record.sealed_secrets()));
    return absl::OkStatus();
  });
}

void Inventory::OnChange(Listener listener) {
  absl::MutexLock lock(&mutex_);
  listeners_.push_back(std::move(listener));
}

void Inventory::SetQueueOf(QueueOf queue_of) {
  absl::MutexLock lock(&mutex_);
  queue_of_ = std::move(queue_of);
}

void Inventory::Tell(absl::string_view name, bool deleted) const {
  std::vector<Listener> listeners;
  {
    absl::MutexLock lock(&mutex_);
    listeners = listeners_;
  }
  for (const Listener& listener : listeners) listener(name, deleted);
}

void Inventory::FillQueue(Vm& vm) const {
  QueueOf queue_of;
  {
    absl::MutexLock lock(&mutex_);
    queue_of = queue_of_;
  }
  if (!queue_of) return;
  std::vector<std::string> queue = queue_of(vm.name());
  for (size_t i = 0; i < queue.size(); ++i) {
    if (i == 0) {
      vm.set_holding_operation(queue[i]);
    } else {
      vm.add_waiting_operations(queue[i]);
    }
  }
}

absl::StatusOr<Vm> Inventory::GetVm(absl::string_view name) const {
  VmRowPtr row = vms_.Find(name);
  if (row == nullptr) return NoVm(name);
  return row->vm;
}

absl::StatusOr<Vm> Inventory::GetVmByUid(absl::string_view uid) const {
  VmRowPtr row = vms_.FindByUid(uid);
  if (row == nullptr) {
    return MakeError(absl::StatusCode::kNotFound, "VM_NOT_FOUND",
                     absl::StrCat("there is no VM of uid ", uid));
  }
  return row->vm;
}

absl::StatusOr<Vm> Inventory::DescribeVm(absl::string_view name) const {
  DROVER_ASSIGN_OR_RETURN(Vm vm, GetVm(name));
  FillQueue(vm);
  return vm;
}

std::vector<Vm> Inventory::ListVms() const {
  std::vector<Vm> vms;
  auto rows = vms_.Snapshot();
  vms.reserve(rows->size());
  for (const VmRowPtr& row : *rows) vms.push_back(row->vm);
  return vms;
}

absl::StatusOr<drover::v1::ListVmsResponse> Inventory::QueryVms(
    const drover::v1::ListVmsRequest& request) const {
  auto rows = vms_.Snapshot();
  DROVER_ASSIGN_OR_RETURN(VmSelection selection, SelectVms(*rows, request));
  drover::v1::ListVmsResponse response;
  response.set_total_size(selection.total_size);
  response.set_next_page_token(selection.next_page_token);
  for (const VmRowPtr& row : selection.rows) {
    Vm* vm = response.add_vms();
    *vm = row->vm;
    FillQueue(*vm);
  }
  return response;
}

std::string Inventory::VmOfObject(absl::string_view hypervisor, absl::string_view object) const {
  VmRowPtr row = vms_.FindByObject(hypervisor, object);
  return row == nullptr ? "" : row->vm.name();
}

absl::Status Inventory::CheckReferences(const Vm& vm) const {
  if (environments_.Find(vm.environment()) == nullptr) {
    return NoResource("ENVIRONMENT_NOT_FOUND", "environment", vm.environment());
  }
  if (types_.Find(vm.type()) == nullptr) return NoResource("TYPE_NOT_FOUND", "type", vm.type());
  if (!vm.hypervisor().empty() && hypervisors_.Find(vm.hypervisor()) == nullptr) {
    return NoResource("HYPERVISOR_NOT_FOUND", "hypervisor", vm.hypervisor());
  }
  return absl::OkStatus();
}

absl::Status Inventory::PutVm(const VmRow& row) {
  VmRecord record;
  if (!record.mutable_vm()->ParseFromString(row.durable)) {
    return absl::InternalError("a VM does not survive its own serialization");
  }
  record.set_sealed_secrets(row.sealed_secrets);
  Document document{row.vm.name(), row.vm.environment(), record.SerializeAsString()};
  return store_->Write([&](StoreWriter& writer) { return writer.Put(Table::kVms, document); });
}

absl::Status Inventory::AddVm(const Vm& vm) {
  DROVER_ASSIGN_OR_RETURN(std::string id, ResourceId(vm.name(), "vms", "vm.name"));
  Vm added = vm;
  if (added.uid().empty()) added.set_uid(NewUid(*vault_));
  if (!added.has_create_time()) *added.mutable_create_time() = ToProto(clock_->Now());
  added.set_reachability(drover::v1::REACHABILITY_UNKNOWN);
  if (added.agent_state() == drover::v1::AGENT_STATE_UNSPECIFIED) {
    added.set_agent_state(drover::v1::AGENT_STATE_NONE);
  }
  {
    Turn turn(turns_, added.name());
    DROVER_RETURN_IF_ERROR(vms_.Claim(added, /*is_new=*/true));
    ClaimEnd claim(vms_, added.name());
    DROVER_RETURN_IF_ERROR(CheckReferences(added));
    VmRowPtr row = MakeVmRow(std::move(added), "");
    DROVER_RETURN_IF_ERROR(PutVm(*row));
    vms_.Insert(std::move(row));
  }
  Tell(vm.name(), false);
  return absl::OkStatus();
}

absl::Status Inventory::ChangeVm(absl::string_view name, absl::FunctionRef<void(Vm&)> change) {
  for (;;) {
    VmRowPtr row = vms_.Find(name);
    if (row == nullptr) return NoVm(name);
    VmRowPtr fresh = MakeVmRow(Changed(row->vm, change), row->sealed_secrets);
    if (fresh->durable != row->durable) return ChangeDurably(name, change);
    bool told = WithoutSamples(fresh->vm).SerializeAsString() !=
                WithoutSamples(row->vm).SerializeAsString();
    if (!told && fresh->vm.SerializeAsString() == row->vm.SerializeAsString()) {
      return absl::OkStatus();
    }
    // Somebody else was faster: once more on what they left.
    if (!vms_.Replace(row, std::move(fresh))) continue;
    if (told) Tell(name, false);
    return absl::OkStatus();
  }
}

absl::Status Inventory::ChangeDurably(absl::string_view name, absl::FunctionRef<void(Vm&)> change) {
  {
    Turn turn(turns_, name);
    VmRowPtr row = vms_.Find(name);
    if (row == nullptr) return NoVm(name);
    VmRowPtr fresh = MakeVmRow(Changed(row->vm, change), row->sealed_secrets);
    DROVER_RETURN_IF_ERROR(vms_.Claim(fresh->vm, /*is_new=*/false));
    ClaimEnd claim(vms_, name);
    DROVER_RETURN_IF_ERROR(CheckReferences(fresh->vm));
    if (fresh->durable != row->durable) DROVER_RETURN_IF_ERROR(PutVm(*fresh));
    // What lasts is ours while we have the turn; the rest may have changed meanwhile.
    while (!vms_.Replace(row, fresh)) {
      row = vms_.Find(name);
      fresh = MakeVmRow(Changed(row->vm, change), row->sealed_secrets);
    }
  }
  Tell(name, false);
  return absl::OkStatus();
}

absl::StatusOr<Vm> Inventory::UpdateVm(const Vm& vm, const google::protobuf::FieldMask& mask) {
  for (const std::string& path : mask.paths()) {
    if (path != "remark" && path != "environment") {
      return InvalidField("update_mask", absl::StrCat("\"", path,
                                                      "\" cannot be changed by this call; it "
                                                      "changes remark and environment"));
    }
  }
  auto wanted = [&mask](absl::string_view path, bool given) {
    if (mask.paths_size() == 0) return given;
    return std::find(mask.paths().begin(), mask.paths().end(), path) != mask.paths().end();
  };
  bool remark = wanted("remark", !vm.remark().empty());
  bool environment = wanted("environment", !vm.environment().empty());
  DROVER_RETURN_IF_ERROR(ChangeVm(vm.name(), [&](Vm& current) {
    if (remark) current.set_remark(vm.remark());
    if (environment) current.set_environment(vm.environment());
  }));
  return DescribeVm(vm.name());
}

absl::Status Inventory::RemoveVm(absl::string_view name) {
  {
    Turn turn(turns_, name);
    if (vms_.Find(name) == nullptr) return absl::OkStatus();
    DROVER_RETURN_IF_ERROR(
        store_->Write([&](StoreWriter& writer) { return writer.Delete(Table::kVms, name); }));
    vms_.Remove(name);
  }
  Tell(name, true);
  return absl::OkStatus();
}

absl::StatusOr<GuestLogin> Inventory::GuestLoginOf(absl::string_view vm_name) const {
  VmRowPtr row = vms_.Find(vm_name);
  if (row == nullptr) return NoVm(vm_name);
  DROVER_ASSIGN_OR_RETURN(drover::v1::VmType type, TypeWithSecrets(row->vm.type()));
  GuestLogin login;
  login.set_user(type.guest_user().empty() ? "root" : type.guest_user());
  login.set_password(type.guest_password());
  if (row->sealed_secrets.empty()) return login;
  VmSecrets secrets;
  DROVER_RETURN_IF_ERROR(UnsealMessage(row->sealed_secrets, VmPurpose(row->vm), secrets));
  if (!secrets.guest_user().empty()) login.set_user(secrets.guest_user());
  login.set_password(secrets.guest_password());
  return login;
}

absl::Status Inventory::SetGuestPassword(absl::string_view vm_name, absl::string_view password) {
  VmRowPtr row = vms_.Find(vm_name);
  if (row == nullptr) return NoVm(vm_name);
  VmSecrets secrets;
  if (!row->sealed_secrets.empty()) {
    DROVER_RETURN_IF_ERROR(UnsealMessage(row->sealed_secrets, VmPurpose(row->vm), secrets));
  }
  GuestLogin login;
  login.set_user(secrets.guest_user());
  login.set_password(std::string(password));
  return SetGuestLogin(vm_name, login);
}

absl::Status Inventory::SetGuestLogin(absl::string_view vm_name, const GuestLogin& login) {
  Turn turn(turns_, vm_name);
  VmRowPtr row = vms_.Find(vm_name);
  if (row == nullptr) return NoVm(vm_name);
  VmSecrets secrets;
  secrets.set_guest_user(login.user());
  secrets.set_guest_password(login.password());
  DROVER_ASSIGN_OR_RETURN(std::string sealed, SealMessage(secrets, VmPurpose(row->vm)));
  DROVER_RETURN_IF_ERROR(PutVm(*MakeVmRow(row->vm, sealed)));
  while (!vms_.Replace(row, MakeVmRow(row->vm, sealed))) row = vms_.Find(vm_name);
  return absl::OkStatus();
}

absl::StatusOr<std::string> Inventory::SealMessage(const google::protobuf::Message& message,
                                                   absl::string_view purpose) const {
  return vault_->Seal(message.SerializeAsString(), purpose);
}

absl::Status Inventory::UnsealMessage(absl::string_view sealed, absl::string_view purpose,
                                      google::protobuf::Message& message) const {
  DROVER_ASSIGN_OR_RETURN(std::string plain, vault_->Unseal(sealed, purpose));
  if (!message.ParseFromString(plain)) {
    return absl::DataLossError(absl::StrCat("the sealed secrets of ", purpose, " are damaged"));
  }
  return absl::OkStatus();
}

}  // namespace drover::core
