#include "controller/core/vm_import.h"

#include <utility>

#include "absl/strings/str_cat.h"
#include "proto/support/resource_name.h"
#include "proto/support/status.h"

namespace drover::core {
namespace {

using drover::v1::ImportVmRequest;
using drover::v1::Vm;

constexpr char kUid[] = "uid";

std::string NameOf(const ImportVmRequest& request) { return ResourceName("vms", request.vm_id()); }

}  // namespace

absl::StatusOr<OperationRequest> VmImport::Operation(ImportVmRequest request) const {
  const Inventory& inventory = *world_->inventory;
  DROVER_RETURN_IF_ERROR(inventory.GetEnvironment(request.environment()).status());
  DROVER_RETURN_IF_ERROR(inventory.GetType(request.type()).status());
  DROVER_RETURN_IF_ERROR(inventory.GetHypervisor(request.hypervisor()).status());
  const std::string name = NameOf(request);
  if (inventory.GetVm(name).ok()) {
    return MakeError(absl::StatusCode::kAlreadyExists, "VM_NAME_TAKEN",
                     absl::StrCat("there is a VM \"", request.vm_id(), "\" already"),
                     {{"holder", name}});
  }
  const std::string managed =
      inventory.VmOfObject(request.hypervisor(), request.hypervisor_object());
  if (!managed.empty()) {
    return MakeError(absl::StatusCode::kAlreadyExists, "VM_MANAGED",
                     absl::StrCat("that VM is managed already, as ", IdOf(managed)),
                     {{"holder", managed}});
  }
  if (!request.guest_user().empty() && request.guest_password().empty()) {
    return InvalidField("guest_password", "is required with guest_user");
  }
  ImportVmRequest secrets;
  secrets.set_guest_password(request.guest_password());
  Vm vm;
  vm.set_name(name);
  vm.set_environment(request.environment());
  vm.set_hypervisor(request.hypervisor());
  const std::string title = absl::StrCat("import VM ", request.vm_id());
  OperationRequest operation = RequestFor(kKind, title, vm, std::move(request));
  if (!secrets.guest_password().empty()) operation.secrets = secrets.SerializeAsString();
  return operation;
}

absl::Status VmImport::Take(const ImportVmRequest& request, OperationContext& context) const {
  std::string uid = context.RecallForAll(kUid);
  const absl::StatusOr<Vm> there = world_->inventory->GetVm(NameOf(request));
  if (there.ok() && !uid.empty() && there->uid() == uid) return absl::OkStatus();
  DROVER_ASSIGN_OR_RETURN(const std::shared_ptr<Hypervisor> host,
                          world_->estate->Connection(request.hypervisor()));
  DROVER_ASSIGN_OR_RETURN(const HypervisorVm found, host->GetVm(request.hypervisor_object()));
  if (found.is_template() || world_->inventory->TemplateNames().contains(found.name())) {
    return MakeError(absl::StatusCode::kFailedPrecondition, "VM_IS_TEMPLATE",
                     absl::StrCat("\"", found.name(), "\" is a template, not a VM"));
  }
  if (uid.empty()) {
    uid = NewVmUid(*world_->vault);
    DROVER_RETURN_IF_ERROR(context.RememberForAll(kUid, uid));
  }
  Vm vm;
  vm.set_name(NameOf(request));
  vm.set_uid(uid);
  vm.set_environment(request.environment());
  vm.set_type(request.type());
  vm.set_hypervisor(request.hypervisor());
  vm.set_hypervisor_object(found.object());
  vm.set_bios_uuid(found.bios_uuid());
  vm.set_instance_uuid(found.instance_uuid());
  vm.set_datastore(found.datastore());
  vm.set_port_group(found.port_group());
  vm.mutable_network()->set_ip(found.ip());
  vm.set_reported_ip(found.ip());
  vm.set_cpus(found.cpus());
  vm.set_memory_mb(found.memory_mb());
  vm.set_disk_gb(found.disk_gb());
  vm.set_power(found.power());
  vm.set_os_version(found.os_version());
  vm.set_imported(true);
  vm.set_state(Vm::STATE_READY);
  return world_->inventory->AddVm(vm);
}

absl::Status VmImport::Release(const ImportVmRequest& request, OperationContext& context) const {
  const std::string uid = context.RecallForAll(kUid);
  const absl::StatusOr<Vm> there = world_->inventory->GetVm(NameOf(request));
  if (uid.empty() || !there.ok() || there->uid() != uid) return absl::OkStatus();
  return world_->inventory->RemoveVm(there->name());
}

absl::Status VmImport::CheckLogin(const ImportVmRequest& request, OperationContext& context) const {
  DROVER_ASSIGN_OR_RETURN(const std::string plain, context.Secrets());
  ImportVmRequest secrets;
  if (!secrets.ParseFromString(plain)) return absl::DataLossError("the secrets are damaged");
  DROVER_ASSIGN_OR_RETURN(const PlacedVm placed, FindPlacedVm(*world_, NameOf(request)));
  GuestLogin login;
  login.set_user(request.guest_user());
  login.set_password(secrets.guest_password());
  if (login.user().empty()) {
    DROVER_ASSIGN_OR_RETURN(const GuestLogin own,
                            world_->inventory->GuestLoginOf(placed.vm.name()));
    login.set_user(own.user());
  }
  DROVER_RETURN_IF_ERROR(placed.host->CheckGuestLogin(placed.vm.hypervisor_object(), login));
  return world_->inventory->SetGuestLogin(placed.vm.name(), login);
}

std::vector<OperationStep> VmImport::Steps(const OperationRecord& record) const {
  const auto request = RequestOf<ImportVmRequest>(record);
  const std::string name = NameOf(request);
  OperationStep take{.title = "take it into the inventory",
                     .weight = 2,
                     .run = [this, request](OperationContext& c) { return Take(request, c); },
                     .undo = [this, request](OperationContext& c) { return Release(request, c); }};
  std::vector<OperationStep> steps = {take};
  if (!record.sealed_secrets().empty()) {
    steps.push_back({.title = "check the guest account",
                     .weight = 2,
                     .run = [this, request, name](OperationContext& c) -> absl::Status {
                       DROVER_RETURN_IF_ERROR(guest_->AwaitTools(name, c));
                       return CheckLogin(request, c);
                     }});
    steps.push_back(
        {.title = "install the agent",
         .weight = 8,
         .run = [this, name](OperationContext& c) { return guest_->InstallAgent(name, c); },
         .undo =
             [this](OperationContext& c) { return world_->agents->Revoke(c.RecallForAll(kUid)); }});
    steps.push_back(
        {.title = "wait for the agent", .weight = 4, .run = [this, name](OperationContext& c) {
           return guest_->AwaitAgent(name, c);
         }});
  }
  steps.push_back(
      {.title = "finish", .weight = 1, .run = [this, name](OperationContext& c) -> absl::Status {
         DROVER_ASSIGN_OR_RETURN(const Vm vm, world_->inventory->GetVm(name));
         c.SetResponse(vm);
         return absl::OkStatus();
       }});
  return steps;
}

absl::Status VmImport::Forget(absl::string_view vm_name) const {
  DROVER_ASSIGN_OR_RETURN(const Vm vm, world_->inventory->GetVm(vm_name));
  DROVER_RETURN_IF_ERROR(world_->agents->Revoke(vm.uid()));
  return world_->inventory->RemoveVm(vm_name);
}

}  // namespace drover::core
