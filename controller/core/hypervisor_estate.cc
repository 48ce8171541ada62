#include "controller/core/hypervisor_estate.h"

#include <tuple>
#include <utility>

#include "absl/container/flat_hash_set.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "controller/core/paging.h"
#include "controller/core/resource_rules.h"
#include "proto/support/json.h"
#include "proto/support/log.h"
#include "proto/support/resource_name.h"
#include "proto/support/status.h"

namespace drover::core {
namespace {

HypervisorSecrets SecretsIn(const v1::Hypervisor& hypervisor) {
  HypervisorSecrets secrets;
  secrets.set_password(hypervisor.password());
  secrets.set_ssh_password(hypervisor.ssh().password());
  return secrets;
}

// What a connection is made of.
std::string ConnectionPart(const v1::Hypervisor& hypervisor) {
  v1::Hypervisor part;
  part.set_url(hypervisor.url());
  part.set_user(hypervisor.user());
  part.set_certificate_fingerprint(hypervisor.certificate_fingerprint());
  if (hypervisor.has_ssh()) {
    *part.mutable_ssh() = hypervisor.ssh();
    part.mutable_ssh()->clear_password();
  }
  return part.SerializeAsString();
}

// What was found, in the fields that only the server sets.
void FillFound(const HostFacts& facts, v1::Hypervisor& hypervisor) {
  hypervisor.set_kind(facts.kind());
  hypervisor.set_product(facts.product());
  hypervisor.set_copy_method(facts.copy_method());
  hypervisor.set_copy_refusal(facts.copy_refusal());
  *hypervisor.mutable_datastores() = facts.datastores();
  *hypervisor.mutable_networks() = facts.networks();
  hypervisor.clear_templates();
  for (const TemplateFacts& one : facts.templates()) hypervisor.add_templates(one.name());
  if (hypervisor.certificate_fingerprint().empty()) {
    hypervisor.set_certificate_fingerprint(facts.certificate_fingerprint());
  }
  if (hypervisor.has_ssh() && hypervisor.ssh().host_key_fingerprint().empty()) {
    hypervisor.mutable_ssh()->set_host_key_fingerprint(facts.ssh_host_key_fingerprint());
  }
}

v1::UnmanagedVm ToUnmanaged(const std::string& hypervisor, const HypervisorVm& vm) {
  v1::UnmanagedVm unmanaged;
  unmanaged.set_hypervisor(hypervisor);
  unmanaged.set_hypervisor_object(vm.object());
  unmanaged.set_display_name(vm.name());
  unmanaged.set_ip(vm.ip());
  unmanaged.set_power(vm.power());
  unmanaged.set_cpus(vm.cpus());
  unmanaged.set_memory_mb(vm.memory_mb());
  unmanaged.set_os_version(vm.os_version());
  unmanaged.set_is_template(vm.is_template());
  return unmanaged;
}

}  // namespace

HypervisorEstate::HypervisorEstate(HypervisorConnector* connector, Inventory* inventory,
                                   EventLog* events, Clock* clock)
    : connector_(connector), inventory_(inventory), events_(events), clock_(clock) {}

HypervisorEstate::~HypervisorEstate() { Stop(); }

absl::Status HypervisorEstate::Start() {
  {
    absl::MutexLock lock(&mutex_);
    running_ = true;
  }
  inventory_->OnChange([this](absl::string_view name, bool deleted) {
    if (!deleted && absl::StartsWith(name, "vms/")) OnVmChanged(name);
  });
  for (const v1::Hypervisor& hypervisor : inventory_->Hypervisors()) {
    DROVER_RETURN_IF_ERROR(Open(hypervisor.name()));
  }
  return absl::OkStatus();
}

void HypervisorEstate::Stop() {
  absl::btree_map<std::string, std::shared_ptr<HostFollower>> ending;
  {
    absl::MutexLock lock(&mutex_);
    running_ = false;
    ending.swap(followers_);
  }
  // Ends here, without the lock: a follower waits for its threads.
}

absl::Status HypervisorEstate::Open(absl::string_view name) {
  DROVER_ASSIGN_OR_RETURN(v1::Hypervisor hypervisor, inventory_->GetHypervisor(name));
  DROVER_ASSIGN_OR_RETURN(HypervisorSecrets secrets, inventory_->SecretsOfHypervisor(name));
  auto follower =
      std::make_shared<HostFollower>(hypervisor.name(), connector_->Open(hypervisor, secrets),
                                     inventory_, events_, clock_, every_minute_);
  absl::MutexLock lock(&mutex_);
  // What is replaced, or came too late, ends after the lock is free.
  if (running_) followers_[hypervisor.name()].swap(follower);
  return absl::OkStatus();
}

void HypervisorEstate::Refresh(absl::string_view hypervisor_name) {
  std::shared_ptr<HostFollower> ending;
  {
    absl::MutexLock lock(&mutex_);
    if (!running_) return;
    auto found = followers_.find(hypervisor_name);
    if (found != followers_.end()) {
      ending = std::move(found->second);
      followers_.erase(found);
    }
  }
  ending.reset();
  absl::Status opened = Open(hypervisor_name);
  if (!opened.ok() && !HasReason(opened, "HYPERVISOR_NOT_FOUND")) {
    LogError(hypervisor_name, ": ", opened.message());
  }
}

void HypervisorEstate::OnVmChanged(absl::string_view name) {
  absl::StatusOr<v1::Vm> vm = inventory_->GetVm(name);
  if (!vm.ok() || vm->hypervisor_object().empty() || vm->state() == v1::Vm::STATE_MISSING ||
      vm->power() != v1::POWER_STATE_UNSPECIFIED) {
    return;
  }
  if (auto follower = Find(vm->hypervisor()); follower != nullptr) follower->Reapply(*vm);
}

std::shared_ptr<HostFollower> HypervisorEstate::Find(absl::string_view name) const {
  absl::MutexLock lock(&mutex_);
  auto found = followers_.find(name);
  return found == followers_.end() ? nullptr : found->second;
}

absl::StatusOr<std::shared_ptr<Hypervisor>> HypervisorEstate::Connection(
    absl::string_view hypervisor_name) {
  std::shared_ptr<HostFollower> follower = Find(hypervisor_name);
  if (follower != nullptr) return follower->Connection();
  DROVER_RETURN_IF_ERROR(inventory_->GetHypervisor(hypervisor_name).status());
  return MakeError(absl::StatusCode::kUnavailable, "HYPERVISOR_UNREACHABLE",
                   absl::StrCat("hypervisor ", IdOf(hypervisor_name), " is not connected now"));
}

absl::StatusOr<HostFacts> HypervisorEstate::Facts(absl::string_view hypervisor_name, bool fresh) {
  std::shared_ptr<HostFollower> follower = Find(hypervisor_name);
  if (follower != nullptr) return follower->Facts(fresh);
  return Connection(hypervisor_name).status();
}

std::vector<HypervisorVm> HypervisorEstate::VmsOf(absl::string_view hypervisor_name) const {
  std::shared_ptr<HostFollower> follower = Find(hypervisor_name);
  return follower == nullptr ? std::vector<HypervisorVm>() : follower->Vms();
}

absl::StatusOr<v1::ListUnmanagedVmsResponse> HypervisorEstate::ListUnmanaged(
    const v1::ListUnmanagedVmsRequest& request) const {
  DROVER_ASSIGN_OR_RETURN(int limit, PageSize(request.page_size(), 100));
  const std::string scope = absl::StrCat("unmanagedVms", request.hypervisor());
  std::vector<std::string> after = {"", ""};
  if (!request.page_token().empty()) {
    DROVER_ASSIGN_OR_RETURN(after, ParsePageToken(request.page_token(), scope, 2));
  }
  if (!request.hypervisor().empty()) {
    DROVER_RETURN_IF_ERROR(inventory_->GetHypervisor(request.hypervisor()).status());
  }
  // Copies under way have their uid, but no object id in the model yet.
  absl::flat_hash_set<std::string> managed;
  const auto rows = inventory_->Vms();
  for (const VmRowPtr& row : *rows) managed.insert(row->vm.uid());
  const auto templates = inventory_->TemplateNames();
  std::vector<std::string> names;
  {
    absl::MutexLock lock(&mutex_);
    for (const auto& [name, follower] : followers_) names.push_back(name);
  }
  v1::ListUnmanagedVmsResponse response;
  for (const std::string& name : names) {
    if (!request.hypervisor().empty() && name != request.hypervisor()) continue;
    for (const HypervisorVm& vm : VmsOf(name)) {
      if (std::tie(name, vm.object()) <= std::tie(after[0], after[1])) continue;
      bool being_made = !vm.drover_uid().empty() && managed.contains(vm.drover_uid());
      if (being_made || !inventory_->VmOfObject(name, vm.object()).empty()) continue;
      if (response.vms_size() == limit) {
        const v1::UnmanagedVm& last = response.vms(limit - 1);
        response.set_next_page_token(
            MakePageToken(scope, {last.hypervisor(), last.hypervisor_object()}));
        return response;
      }
      v1::UnmanagedVm& unmanaged = *response.add_vms();
      unmanaged = ToUnmanaged(name, vm);
      if (templates.contains(vm.name())) unmanaged.set_is_template(true);
    }
  }
  return response;
}

absl::StatusOr<v1::TestHypervisorResponse> HypervisorEstate::Test(
    const v1::Hypervisor& hypervisor) {
  v1::Hypervisor tested = hypervisor;
  if (!hypervisor.name().empty() && inventory_->GetHypervisor(hypervisor.name()).ok()) {
    DROVER_ASSIGN_OR_RETURN(
        tested, inventory_->PreviewHypervisor(hypervisor, google::protobuf::FieldMask()));
  }
  Violations violations;
  CheckHypervisor(tested, "hypervisor", violations);
  DROVER_RETURN_IF_ERROR(violations.ToStatus());
  DROVER_ASSIGN_OR_RETURN(HostFacts facts, connector_->Test(tested, SecretsIn(tested)));
  v1::TestHypervisorResponse response;
  *response.mutable_hypervisor() = tested;
  FillFound(facts, *response.mutable_hypervisor());
  ClearSecrets(response.mutable_hypervisor());
  response.set_licence(facts.licence());
  *response.mutable_warnings() = facts.warnings();
  return response;
}

absl::StatusOr<v1::Hypervisor> HypervisorEstate::Add(absl::string_view id,
                                                     const v1::Hypervisor& hypervisor) {
  v1::Hypervisor added = hypervisor;
  added.clear_name();
  DROVER_ASSIGN_OR_RETURN(v1::TestHypervisorResponse found, Test(added));
  v1::Hypervisor stored = found.hypervisor();
  stored.set_password(hypervisor.password());
  if (hypervisor.has_ssh()) stored.mutable_ssh()->set_password(hypervisor.ssh().password());
  DROVER_ASSIGN_OR_RETURN(stored, inventory_->AddHypervisor(id, stored));
  Refresh(stored.name());
  return inventory_->DescribeHypervisor(stored.name());
}

absl::StatusOr<v1::Hypervisor> HypervisorEstate::Update(const v1::Hypervisor& hypervisor,
                                                        const google::protobuf::FieldMask& mask) {
  DROVER_ASSIGN_OR_RETURN(v1::Hypervisor before, inventory_->GetHypervisor(hypervisor.name()));
  DROVER_ASSIGN_OR_RETURN(v1::Hypervisor after, inventory_->PreviewHypervisor(hypervisor, mask));
  DROVER_ASSIGN_OR_RETURN(HypervisorSecrets secrets,
                          inventory_->SecretsOfHypervisor(hypervisor.name()));
  bool connection = ConnectionPart(before) != ConnectionPart(after) ||
                    secrets.SerializeAsString() != SecretsIn(after).SerializeAsString();
  if (connection) DROVER_RETURN_IF_ERROR(connector_->Test(after, SecretsIn(after)).status());
  DROVER_RETURN_IF_ERROR(inventory_->UpdateHypervisor(hypervisor, mask).status());
  if (connection) Refresh(hypervisor.name());
  return inventory_->DescribeHypervisor(hypervisor.name());
}

absl::Status HypervisorEstate::Remove(absl::string_view hypervisor_name) {
  DROVER_RETURN_IF_ERROR(inventory_->RemoveHypervisor(hypervisor_name));
  Refresh(hypervisor_name);
  return absl::OkStatus();
}

}  // namespace drover::core
