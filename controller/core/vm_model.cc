#include "controller/core/vm_model.h"

#include <optional>

#include "absl/strings/str_cat.h"
#include "controller/core/ipv4.h"
#include "proto/support/resource_name.h"
#include "proto/support/status.h"

namespace drover::core {
namespace {

using drover::v1::Vm;

bool RefersTo(const Vm& vm, absl::string_view resource) {
  return vm.environment() == resource || vm.type() == resource || vm.hypervisor() == resource;
}

absl::Status AddressTaken(absl::string_view address, absl::string_view holder) {
  return MakeError(
      absl::StatusCode::kAlreadyExists, "ADDRESS_TAKEN",
      absl::StrCat("address ", address, " belongs to VM ", IdOf(holder), "; choose another one"),
      {{"address", std::string(address)}, {"holder", std::string(holder)}});
}

}  // namespace

void VmModel::Load(VmRowPtr row) {
  absl::MutexLock lock(&mutex_);
  Index(row);
}

std::shared_ptr<const VmList> VmModel::Snapshot() const {
  absl::MutexLock lock(&mutex_);
  if (snapshot_ == nullptr) {
    auto list = std::make_shared<VmList>();
    list->reserve(rows_.size());
    for (const auto& [name, row] : rows_) list->push_back(row);
    snapshot_ = std::move(list);
  }
  return snapshot_;
}

VmRowPtr VmModel::Find(absl::string_view name) const {
  absl::ReaderMutexLock lock(&mutex_);
  auto found = rows_.find(name);
  return found == rows_.end() ? nullptr : found->second;
}

VmRowPtr VmModel::FindByUid(absl::string_view uid) const {
  absl::ReaderMutexLock lock(&mutex_);
  auto found = by_uid_.find(uid);
  return found == by_uid_.end() ? nullptr : rows_.at(found->second);
}

VmRowPtr VmModel::FindByObject(absl::string_view hypervisor, absl::string_view object) const {
  absl::ReaderMutexLock lock(&mutex_);
  auto found = by_object_.find(ObjectKey(hypervisor, object));
  return found == by_object_.end() ? nullptr : rows_.at(found->second);
}

std::string VmModel::HolderOf(absl::string_view address) const {
  std::optional<uint32_t> number = ParseIpv4(address);
  if (!number) return "";
  absl::ReaderMutexLock lock(&mutex_);
  if (auto found = by_address_.find(*number); found != by_address_.end()) return found->second;
  auto claimed = claimed_addresses_.find(*number);
  return claimed == claimed_addresses_.end() ? "" : claimed->second;
}

absl::Status VmModel::Claim(const Vm& vm, bool is_new) {
  std::optional<uint32_t> address = ParseIpv4(vm.network().ip());
  absl::MutexLock lock(&mutex_);
  if (claims_.contains(vm.name()) || (is_new && rows_.contains(vm.name()))) {
    return MakeError(absl::StatusCode::kAlreadyExists, "VM_NAME_TAKEN",
                     absl::StrCat("a VM ", IdOf(vm.name()), " exists; choose another name"),
                     {{"holder", vm.name()}});
  }
  if (is_new && by_uid_.contains(vm.uid())) {
    return absl::InternalError(absl::StrCat("uid ", vm.uid(), " is in use"));
  }
  for (const std::string* resource : {&vm.environment(), &vm.type(), &vm.hypervisor()}) {
    if (removals_.contains(*resource)) {
      return MakeError(absl::StatusCode::kFailedPrecondition, "BEING_REMOVED",
                       absl::StrCat(*resource, " is being removed"));
    }
  }
  if (address) {
    for (const auto* holders : {&by_address_, &claimed_addresses_}) {
      auto holder = holders->find(*address);
      if (holder != holders->end() && holder->second != vm.name()) {
        return AddressTaken(vm.network().ip(), holder->second);
      }
    }
    claimed_addresses_[*address] = vm.name();
  }
  claims_[vm.name()] = vm;
  return absl::OkStatus();
}

void VmModel::Withdraw(absl::string_view name) {
  absl::MutexLock lock(&mutex_);
  auto claim = claims_.find(name);
  if (claim == claims_.end()) return;
  std::optional<uint32_t> address = ParseIpv4(claim->second.network().ip());
  if (address) claimed_addresses_.erase(*address);
  claims_.erase(claim);
}

absl::Status VmModel::ClaimAddress(absl::string_view name, absl::string_view address) {
  const std::optional<uint32_t> number = ParseIpv4(address);
  if (!number) return InvalidField("address", "must be a dotted IPv4 address");
  absl::MutexLock lock(&mutex_);
  for (const auto* holders : {&by_address_, &claimed_addresses_}) {
    auto holder = holders->find(*number);
    if (holder != holders->end() && holder->second != name) {
      return AddressTaken(address, holder->second);
    }
  }
  claimed_addresses_[*number] = std::string(name);
  return absl::OkStatus();
}

void VmModel::ReleaseAddress(absl::string_view name, absl::string_view address) {
  const std::optional<uint32_t> number = ParseIpv4(address);
  absl::MutexLock lock(&mutex_);
  auto held = number ? claimed_addresses_.find(*number) : claimed_addresses_.end();
  if (held != claimed_addresses_.end() && held->second == name) claimed_addresses_.erase(held);
}

void VmModel::Insert(VmRowPtr row) {
  absl::MutexLock lock(&mutex_);
  Index(row);
}

bool VmModel::Replace(const VmRowPtr& old, VmRowPtr fresh) {
  absl::MutexLock lock(&mutex_);
  auto found = rows_.find(old->vm.name());
  if (found == rows_.end() || found->second != old) return false;
  Unindex(old);
  Index(fresh);
  return true;
}

void VmModel::Remove(absl::string_view name) {
  absl::MutexLock lock(&mutex_);
  auto found = rows_.find(name);
  if (found == rows_.end()) return;
  VmRowPtr row = found->second;
  Unindex(row);
  rows_.erase(row->vm.name());
}

std::string VmModel::BeginRemoval(absl::string_view resource) {
  absl::MutexLock lock(&mutex_);
  for (const auto& [name, row] : rows_) {
    if (RefersTo(row->vm, resource)) return name;
  }
  for (const auto& [name, vm] : claims_) {
    if (RefersTo(vm, resource)) return name;
  }
  removals_.insert(std::string(resource));
  return "";
}

void VmModel::EndRemoval(absl::string_view resource) {
  absl::MutexLock lock(&mutex_);
  removals_.erase(resource);
}

void VmModel::Index(const VmRowPtr& row) {
  const Vm& vm = row->vm;
  rows_[vm.name()] = row;
  if (!vm.uid().empty()) by_uid_[vm.uid()] = vm.name();
  if (!vm.hypervisor_object().empty()) {
    by_object_[ObjectKey(vm.hypervisor(), vm.hypervisor_object())] = vm.name();
  }
  // A reported address is no claim: the guest may have taken it without asking.
  if (auto address = ParseIpv4(vm.network().ip())) by_address_[*address] = vm.name();
  snapshot_ = nullptr;
}

void VmModel::Unindex(const VmRowPtr& row) {
  const Vm& vm = row->vm;
  by_uid_.erase(vm.uid());
  auto object = by_object_.find(ObjectKey(vm.hypervisor(), vm.hypervisor_object()));
  if (object != by_object_.end() && object->second == vm.name()) by_object_.erase(object);
  auto address = ParseIpv4(vm.network().ip());
  auto holder = address ? by_address_.find(*address) : by_address_.end();
  if (holder != by_address_.end() && holder->second == vm.name()) by_address_.erase(holder);
  snapshot_ = nullptr;
}

}  // namespace drover::core
