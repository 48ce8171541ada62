// The VMs in memory, with the claims on names and addresses: what the inventory keeps of VMs, less
// the store. A claim is made before the write that makes it last, so that two requests at the same
// time cannot get the same name or address (P3).
//
// Thread promise: all methods from any thread; none blocks for long. Nothing here survives a
// restart; the inventory loads it again.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <utility>

#include "absl/base/thread_annotations.h"
#include "absl/container/btree_map.h"
#include "absl/container/flat_hash_map.h"
#include "absl/container/flat_hash_set.h"
#include "absl/status/status.h"
#include "absl/strings/string_view.h"
#include "absl/synchronization/mutex.h"
#include "controller/core/vm_query.h"

namespace drover::core {

class VmModel {
 public:
  // For rows that the store holds: no questions asked.
  void Load(VmRowPtr row) ABSL_LOCKS_EXCLUDED(mutex_);

  // All VMs of this moment, by name. Shared by all who ask until a VM changes.
  std::shared_ptr<const VmList> Snapshot() const ABSL_LOCKS_EXCLUDED(mutex_);
  // nullptr when there is none.
  VmRowPtr Find(absl::string_view name) const ABSL_LOCKS_EXCLUDED(mutex_);
  VmRowPtr FindByUid(absl::string_view uid) const ABSL_LOCKS_EXCLUDED(mutex_);
  VmRowPtr FindByObject(absl::string_view hypervisor, absl::string_view object) const
      ABSL_LOCKS_EXCLUDED(mutex_);
  // "" when nobody has it.
  std::string HolderOf(absl::string_view address) const ABSL_LOCKS_EXCLUDED(mutex_);

  // Claims what a VM that is to be written refers to: its name when it is new, its address, and
  // that its environment, type and hypervisor stay. Ended by Withdraw in any case, after Insert or
  // Replace when the write was done. ALREADY_EXISTS, reasons VM_NAME_TAKEN and ADDRESS_TAKEN;
  // FAILED_PRECONDITION, reason BEING_REMOVED.
  absl::Status Claim(const drover::v1::Vm& vm, bool is_new) ABSL_LOCKS_EXCLUDED(mutex_);
  void Withdraw(absl::string_view name) ABSL_LOCKS_EXCLUDED(mutex_);
  // As Inventory's.
  absl::Status ClaimAddress(absl::string_view name, absl::string_view address)
      ABSL_LOCKS_EXCLUDED(mutex_);
  void ReleaseAddress(absl::string_view name, absl::string_view address)
      ABSL_LOCKS_EXCLUDED(mutex_);
  void Insert(VmRowPtr row) ABSL_LOCKS_EXCLUDED(mutex_);
  // False, and nothing done, when `old` is not the row any more.
  bool Replace(const VmRowPtr& old, VmRowPtr fresh) ABSL_LOCKS_EXCLUDED(mutex_);
  void Remove(absl::string_view name) ABSL_LOCKS_EXCLUDED(mutex_);

  // From now until EndRemoval no VM can begin to refer to the resource. The name of a VM that
  // does, and then nothing has begun; "" when none does.
  std::string BeginRemoval(absl::string_view resource) ABSL_LOCKS_EXCLUDED(mutex_);
  void EndRemoval(absl::string_view resource) ABSL_LOCKS_EXCLUDED(mutex_);

 private:
  using ObjectKey = std::pair<std::string, std::string>;

  void Index(const VmRowPtr& row) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  void Unindex(const VmRowPtr& row) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);

  mutable absl::Mutex mutex_;
  absl::btree_map<std::string, VmRowPtr> rows_ ABSL_GUARDED_BY(mutex_);
  // To names.
  absl::flat_hash_map<std::string, std::string> by_uid_ ABSL_GUARDED_BY(mutex_);
  absl::flat_hash_map<ObjectKey, std::string> by_object_ ABSL_GUARDED_BY(mutex_);
  absl::flat_hash_map<uint32_t, std::string> by_address_ ABSL_GUARDED_BY(mutex_);
  // Being written, by name.
  absl::flat_hash_map<std::string, drover::v1::Vm> claims_ ABSL_GUARDED_BY(mutex_);
  absl::flat_hash_map<uint32_t, std::string> claimed_addresses_ ABSL_GUARDED_BY(mutex_);
  absl::flat_hash_set<std::string> removals_ ABSL_GUARDED_BY(mutex_);
  // nullptr after a change.
  mutable std::shared_ptr<const VmList> snapshot_ ABSL_GUARDED_BY(mutex_);
};

}  // namespace drover::core
