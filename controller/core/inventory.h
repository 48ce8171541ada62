// What exists: the model of hypervisors, types, environments and VMs in memory, with what must last
// in the store. The one place where a name or an address is claimed, so that neither is given twice
// (P3).
//
// Get answers what is kept, cheaply; Describe, List and Query what people are to see: with counts,
// health and queues. Messages that come out of here carry no secrets; those that go in may, and are
// sealed before they reach the store. Thread promise: all methods from any thread, after Load;
// listeners are called without locks held. A `change` function is called without locks, maybe more
// than once, and must touch nothing but its argument. Survives a restart: resources; what is only
// true at the moment (power, reachability, agent state, services, samples) is learnt again.
#pragma once

#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/container/flat_hash_set.h"
#include "absl/functional/function_ref.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/synchronization/mutex.h"
#include "controller/core/ports.h"
#include "controller/core/resource_shelf.h"
#include "controller/core/turns.h"
#include "controller/core/vm_model.h"
#include "controller/core/vm_query.h"
#include "google/protobuf/field_mask.pb.h"

namespace drover::core {

class Inventory {
 public:
  // Called with the resource name after each change. `deleted` tells which kind of change.
  using Listener = std::function<void(absl::string_view name, bool deleted)>;
  // Holder first, then those that wait: OperationRunner::QueueOf.
  using QueueOf = std::function<std::vector<std::string>(absl::string_view vm_name)>;

  Inventory(Store* store, Vault* vault, Clock* clock);
  Inventory(const Inventory&) = delete;
  Inventory& operator=(const Inventory&) = delete;

  // Once, before all else.
  absl::Status Load();
  // Listeners stay: what they refer to must outlive the last change.
  void OnChange(Listener listener) ABSL_LOCKS_EXCLUDED(mutex_);
  void SetQueueOf(QueueOf queue_of) ABSL_LOCKS_EXCLUDED(mutex_);

  // ---- VMs. Names are "vms/x". NOT_FOUND, reason VM_NOT_FOUND.

  absl::StatusOr<drover::v1::Vm> GetVm(absl::string_view name) const;
  absl::StatusOr<drover::v1::Vm> GetVmByUid(absl::string_view uid) const;
  // The VM as people see it: with the operations that hold it or wait for it.
  absl::StatusOr<drover::v1::Vm> DescribeVm(absl::string_view name) const;
  std::vector<drover::v1::Vm> ListVms() const;
  // All of one moment, by name, without a copy. Hold the pointer while you read: a loop over
  // *Vms() itself does not.
  std::shared_ptr<const VmList> Vms() const { return vms_.Snapshot(); }
  absl::StatusOr<drover::v1::ListVmsResponse> QueryVms(
      const drover::v1::ListVmsRequest& request) const;
  // The managed VM that a hypervisor reports under this object id; "" for none.
  std::string VmOfObject(absl::string_view hypervisor, absl::string_view object) const;
  // The VM that has the address, or claims it at this moment; "" for none.
  std::string HolderOf(absl::string_view address) const { return vms_.HolderOf(address); }

  // Claims an address that the VM is to have, beside the one it has, until ChangeVm gives it to the
  // VM, ReleaseAddress, or the controller ends; the VM may claim it again. ALREADY_EXISTS, reason
  // ADDRESS_TAKEN.
  absl::Status ClaimAddress(absl::string_view vm_name, absl::string_view address) {
    return vms_.ClaimAddress(vm_name, address);
  }
  void ReleaseAddress(absl::string_view vm_name, absl::string_view address) {
    vms_.ReleaseAddress(vm_name, address);
  }

  // Durable. Claims name and address. A uid is made when the VM has none. ALREADY_EXISTS, reasons
  // VM_NAME_TAKEN and ADDRESS_TAKEN, naming the holder; NOT_FOUND for an environment, type or
  // hypervisor that is not there.
  absl::Status AddVm(const drover::v1::Vm& vm);
  // Durable for what must last. Name and uid stay. Errors as AddVm's.
  absl::Status ChangeVm(absl::string_view name, absl::FunctionRef<void(drover::v1::Vm&)> change);
  // Remark and environment. INVALID_ARGUMENT for other fields in the mask.
  absl::StatusOr<drover::v1::Vm> UpdateVm(const drover::v1::Vm& vm,
                                          const google::protobuf::FieldMask& mask);
  // Releases name and address. OK when it is not there.
  absl::Status RemoveVm(absl::string_view name);
  // The guest account to use at the VM: its own when it was set, else the type's.
  absl::StatusOr<GuestLogin> GuestLoginOf(absl::string_view vm_name) const;
  absl::Status SetGuestPassword(absl::string_view vm_name, absl::string_view password);
  // An empty user is the type's.
  absl::Status SetGuestLogin(absl::string_view vm_name, const GuestLogin& login);

  // ---- hypervisors. NOT_FOUND, reason HYPERVISOR_NOT_FOUND.

  absl::StatusOr<drover::v1::Hypervisor> GetHypervisor(absl::string_view name) const;
  absl::StatusOr<drover::v1::Hypervisor> DescribeHypervisor(absl::string_view name) const;
  std::vector<drover::v1::Hypervisor> Hypervisors() const;
  absl::StatusOr<drover::v1::ListHypervisorsResponse> ListHypervisors(
      const drover::v1::ListHypervisorsRequest& request) const;
  absl::StatusOr<HypervisorSecrets> SecretsOfHypervisor(absl::string_view name) const;
  // INVALID_ARGUMENT with all problems; ALREADY_EXISTS, reasons HYPERVISOR_EXISTS and URL_TAKEN.
  absl::StatusOr<drover::v1::Hypervisor> AddHypervisor(absl::string_view id,
                                                       const drover::v1::Hypervisor& hypervisor);
  // The stored hypervisor with the fields of the mask changed and its secrets in place, not
  // stored: what a test of the change needs. Another URL, user or SSH address takes no stored
  // password with it: INVALID_ARGUMENT when it comes without one, since a password is sent to
  // nobody it was not given for.
  absl::StatusOr<drover::v1::Hypervisor> PreviewHypervisor(
      const drover::v1::Hypervisor& hypervisor, const google::protobuf::FieldMask& mask) const;
  absl::StatusOr<drover::v1::Hypervisor> UpdateHypervisor(const drover::v1::Hypervisor& hypervisor,
                                                          const google::protobuf::FieldMask& mask);
  // For what is learnt of it; durable for what must last.
  absl::Status ChangeHypervisor(absl::string_view name,
                                absl::FunctionRef<void(drover::v1::Hypervisor&)> change);
  // FAILED_PRECONDITION, reason HYPERVISOR_IN_USE.
  absl::Status RemoveHypervisor(absl::string_view name);

  // ---- types. NOT_FOUND, reason TYPE_NOT_FOUND.

  absl::StatusOr<drover::v1::VmType> GetType(absl::string_view name) const;
  absl::StatusOr<drover::v1::VmType> DescribeType(absl::string_view name) const;
  std::vector<drover::v1::VmType> Types() const;
  absl::StatusOr<drover::v1::ListTypesResponse> ListTypes(
      const drover::v1::ListTypesRequest& request) const;
  absl::StatusOr<TypeSecrets> SecretsOfType(absl::string_view name) const;
  // Names on the hypervisors of what types are copied from.
  absl::flat_hash_set<std::string> TemplateNames() const;
  // INVALID_ARGUMENT with all problems; ALREADY_EXISTS, reason TYPE_EXISTS.
  absl::StatusOr<drover::v1::VmType> AddType(absl::string_view id, const drover::v1::VmType& type);
  // A secret that is empty stays as it is.
  absl::StatusOr<drover::v1::VmType> UpdateType(const drover::v1::VmType& type,
                                                const google::protobuf::FieldMask& mask);
  // FAILED_PRECONDITION, reason TYPE_IN_USE.
  absl::Status RemoveType(absl::string_view name);

  // ---- environments. NOT_FOUND, reason ENVIRONMENT_NOT_FOUND.

  absl::StatusOr<drover::v1::Environment> GetEnvironment(absl::string_view name) const;
  absl::StatusOr<drover::v1::Environment> DescribeEnvironment(absl::string_view name) const;
  absl::StatusOr<drover::v1::ListEnvironmentsResponse> ListEnvironments(
      const drover::v1::ListEnvironmentsRequest& request) const;
  // ALREADY_EXISTS, reason ENVIRONMENT_EXISTS.
  absl::StatusOr<drover::v1::Environment> AddEnvironment(
      absl::string_view id, const drover::v1::Environment& environment);
  absl::StatusOr<drover::v1::Environment> UpdateEnvironment(
      const drover::v1::Environment& environment, const google::protobuf::FieldMask& mask);
  // FAILED_PRECONDITION, reason ENVIRONMENT_IN_USE while VMs belong to it.
  absl::Status RemoveEnvironment(absl::string_view name);

 private:
  absl::Status LoadTable(Table table, absl::FunctionRef<absl::Status(const Document&)> take);
  void Tell(absl::string_view name, bool deleted) const ABSL_LOCKS_EXCLUDED(mutex_);
  void FillQueue(drover::v1::Vm& vm) const ABSL_LOCKS_EXCLUDED(mutex_);
  absl::Status CheckReferences(const drover::v1::Vm& vm) const;
  absl::Status PutVm(const VmRow& row);
  absl::Status ChangeDurably(absl::string_view name,
                             absl::FunctionRef<void(drover::v1::Vm&)> change);
  absl::StatusOr<std::string> SealMessage(const google::protobuf::Message& message,
                                          absl::string_view purpose) const;
  absl::Status UnsealMessage(absl::string_view sealed, absl::string_view purpose,
                             google::protobuf::Message& message) const;
  absl::Status PutRecord(Table table, absl::string_view name,
                         const google::protobuf::Message& record);
  absl::Status RemoveResource(Table table, absl::string_view name, absl::string_view reason);
  absl::StatusOr<drover::v1::Hypervisor> StoreHypervisor(drover::v1::Hypervisor hypervisor);
  absl::StatusOr<drover::v1::VmType> StoreType(drover::v1::VmType type);
  absl::StatusOr<drover::v1::VmType> TypeWithSecrets(absl::string_view name) const;

  Store* const store_;
  Vault* const vault_;
  Clock* const clock_;
  VmModel vms_;
  ResourceShelf<HypervisorRecord> hypervisors_;
  ResourceShelf<TypeRecord> types_;
  ResourceShelf<drover::v1::Environment> environments_;
  // VMs take turns by name, the other resources by collection.
  Turns turns_;

  mutable absl::Mutex mutex_;
  std::vector<Listener> listeners_ ABSL_GUARDED_BY(mutex_);
  QueueOf queue_of_ ABSL_GUARDED_BY(mutex_);
};

}  // namespace drover::core
