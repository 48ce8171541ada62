#include "controller/core/vm_create.h"

#include <set>
#include <utility>

#include "absl/strings/str_cat.h"
#include "controller/core/network_rules.h"
#include "controller/core/placement.h"
#include "proto/support/resource_name.h"
#include "proto/support/status.h"

namespace drover::core {
namespace {

using drover::v1::CreateVmRequest;
using drover::v1::Vm;

// chpasswd reads lines.
bool IsUsablePassword(absl::string_view password) {
  for (const unsigned char c : password) {
    if (c < 0x20 || c == 0x7f) return false;
  }
  return password.size() <= 256;
}

absl::Status CheckFields(const CreateVmRequest& request) {
  Violations violations;
  const Vm& vm = request.vm();
  if (!IsValidId(request.vm_id())) {
    violations.Add("vm_id", "use 1 to 63 lower-case letters, digits and '-'");
  }
  if (!vm.name().empty() && vm.name() != ResourceName("vms", request.vm_id())) {
    violations.Add("vm.name", absl::StrCat("is another one than vm_id \"", request.vm_id(),
                                           "\"; leave it empty"));
  }
  if (vm.environment().empty()) violations.Add("vm.environment", "is required");
  if (vm.type().empty()) violations.Add("vm.type", "is required");
  CheckNetwork(vm.network(), "vm.network", violations);
  if (!IsUsablePassword(request.guest_password())) {
    violations.Add("guest_password", "must have at most 256 characters and no control characters");
  }
  return violations.ToStatus();
}

PlacementHost HostFor(const VmWorld& world, const drover::v1::Hypervisor& hypervisor, bool fresh) {
  PlacementHost host{hypervisor.name(), {}, ""};
  absl::StatusOr<HostFacts> facts = world.estate->Facts(hypervisor.name(), fresh);
  if (facts.ok()) {
    host.facts = *std::move(facts);
  } else {
    host.away = std::string(facts.status().message());
  }
  return host;
}

std::vector<PlacementHost> HostsOf(const VmWorld& world, bool fresh) {
  std::vector<PlacementHost> hosts;
  for (const drover::v1::Hypervisor& hypervisor : world.inventory->Hypervisors()) {
    hosts.push_back(HostFor(world, hypervisor, fresh));
  }
  return hosts;
}

}  // namespace

// ---------------------------------------------------------------- before it is recorded

absl::StatusOr<std::vector<CreateVmRequest>> VmCreate::Complete(
    std::vector<CreateVmRequest> requests) const {
  std::vector<PlacementWish> wishes;
  std::vector<CreateVmRequest*> wishing;
  for (CreateVmRequest& request : requests) {
    DROVER_RETURN_IF_ERROR(CheckFields(request));
    Vm& vm = *request.mutable_vm();
    DROVER_ASSIGN_OR_RETURN(const drover::v1::VmType type, world_->inventory->GetType(vm.type()));
    vm.set_name(ResourceName("vms", request.vm_id()));
    vm.set_uid(NewVmUid(*world_->vault));
    vm.set_state(Vm::STATE_CREATING);
    if (vm.cpus() == 0) vm.set_cpus(type.cpus());
    if (vm.memory_mb() == 0) vm.set_memory_mb(type.memory_mb());
    if (vm.disk_gb() == 0) vm.set_disk_gb(type.disk_gb());
    if (!vm.hypervisor().empty()) {
      DROVER_RETURN_IF_ERROR(world_->inventory->GetHypervisor(vm.hypervisor()).status());
      continue;
    }
    wishes.push_back({request.vm_id(), type.template_(), vm.datastore(), vm.port_group()});
    wishing.push_back(&request);
  }
  if (wishes.empty()) return requests;
  absl::StatusOr<std::vector<std::string>> places =
      PlaceVms(HostsOf(*world_, /*fresh=*/false), wishes);
  // A template that was made a moment ago is not in what was read before.
  if (!places.ok()) places = PlaceVms(HostsOf(*world_, /*fresh=*/true), wishes);
  if (!places.ok()) return places.status();
  for (size_t i = 0; i < wishing.size(); ++i) {
    wishing[i]->mutable_vm()->set_hypervisor((*places)[i]);
  }
  return requests;
}

bool VmCreate::IsOurs(const Vm& vm) const {
  const absl::StatusOr<Vm> there = world_->inventory->GetVm(vm.name());
  return there.ok() && there->uid() == vm.uid();
}

absl::Status VmCreate::CheckClaims(const Vm& vm) const {
  if (IsOurs(vm)) return absl::OkStatus();
  if (world_->inventory->GetVm(vm.name()).ok()) {
    return MakeError(absl::StatusCode::kAlreadyExists, "VM_NAME_TAKEN",
                     absl::StrCat("there is a VM \"", IdOf(vm.name()), "\" already"),
                     {{"holder", vm.name()}});
  }
  return CheckAddressFree(*world_, vm.name(), vm.network().ip());
}

absl::StatusOr<CopySpec> VmCreate::SpecOf(const Vm& vm) const {
  DROVER_ASSIGN_OR_RETURN(const drover::v1::VmType type, world_->inventory->GetType(vm.type()));
  CopySpec spec;
  spec.set_vm_name(std::string(IdOf(vm.name())));
  spec.set_uid(vm.uid());
  spec.set_template_(type.template_());
  spec.set_datastore(vm.datastore());
  spec.set_port_group(vm.port_group());
  spec.set_cpus(vm.cpus());
  spec.set_memory_mb(vm.memory_mb());
  spec.set_disk_gb(vm.disk_gb());
  return spec;
}

absl::Status VmCreate::Check(const CreateVmRequest& request) const {
  const Vm& vm = request.vm();
  DROVER_RETURN_IF_ERROR(CheckClaims(vm));
  DROVER_ASSIGN_OR_RETURN(const CopySpec spec, SpecOf(vm));
  DROVER_ASSIGN_OR_RETURN(const std::shared_ptr<Hypervisor> host,
                          world_->estate->Connection(vm.hypervisor()));
  return host->CheckCopy(spec);
}

OperationRequest VmCreate::Operation(CreateVmRequest request) const {
  CreateVmRequest secrets;
  secrets.set_guest_password(request.guest_password());
  const Vm vm = request.vm();
  const std::string title = absl::StrCat("create VM ", request.vm_id());
  OperationRequest operation = RequestFor(kKind, title, vm, std::move(request));
  if (!secrets.guest_password().empty()) operation.secrets = secrets.SerializeAsString();
  return operation;
}

// ---------------------------------------------------------------- steps

absl::Status VmCreate::Claim(const Vm& vm) const {
  if (IsOurs(vm)) return absl::OkStatus();
  return world_->inventory->AddVm(vm);
}

absl::Status VmCreate::Release(const Vm& vm) const {
  return IsOurs(vm) ? world_->inventory->RemoveVm(vm.name()) : absl::OkStatus();
}

absl::Status VmCreate::Copy(const Vm& vm, StepContext& context) const {
  DROVER_ASSIGN_OR_RETURN(const CopySpec spec, SpecOf(vm));
  DROVER_ASSIGN_OR_RETURN(const std::shared_ptr<Hypervisor> host,
                          world_->estate->Connection(vm.hypervisor()));
  DROVER_ASSIGN_OR_RETURN(const CopiedVm copied, host->Copy(spec, context));
  return world_->inventory->ChangeVm(vm.name(), [&](Vm& its) {
    its.set_hypervisor_object(copied.object());
    its.set_bios_uuid(copied.bios_uuid());
    its.set_instance_uuid(copied.instance_uuid());
    its.set_datastore(copied.datastore());
    its.set_port_group(copied.port_group());
    its.set_cpus(copied.cpus());
    its.set_memory_mb(copied.memory_mb());
    its.set_disk_gb(copied.disk_gb());
  });
}

absl::Status VmCreate::DiscardCopy(const Vm& vm, StepContext& context) const {
  absl::StatusOr<CopySpec> spec = SpecOf(vm);
  // The type may have been removed meanwhile; the uid alone says what is ours.
  if (absl::IsNotFound(spec.status())) {
    spec.emplace();
    spec->set_vm_name(std::string(IdOf(vm.name())));
    spec->set_uid(vm.uid());
    spec->set_datastore(vm.datastore());
  }
  DROVER_RETURN_IF_ERROR(spec.status());
  DROVER_ASSIGN_OR_RETURN(const std::shared_ptr<Hypervisor> host,
                          world_->estate->Connection(vm.hypervisor()));
  const absl::StatusOr<Vm> there = world_->inventory->GetVm(vm.name());
  if (there.ok() && there->uid() == vm.uid() && !there->hypervisor_object().empty()) {
    const absl::Status off =
        host->PowerOff(there->hypervisor_object(), absl::ZeroDuration(), context);
    if (!off.ok() && !absl::IsNotFound(off)) return off;
  }
  return host->DiscardCopy(*spec, context);
}

std::vector<OperationStep> VmCreate::Steps(const OperationRecord& record) const {
  const auto request = std::make_shared<const CreateVmRequest>(RequestOf<CreateVmRequest>(record));
  const std::string name = request->vm().name();
  std::vector<OperationStep> steps;
  const auto add = [&steps](absl::string_view title, int weight, auto run) -> OperationStep& {
    OperationStep& step = steps.emplace_back();
    step.title = std::string(title);
    step.weight = weight;
    step.run = std::move(run);
    return step;
  };
  add("check", 2, [this, request](OperationContext&) { return Check(*request); });
  add("claim name and address", 1, [this, request](OperationContext&) {
    return Claim(request->vm());
  }).undo = [this, request](OperationContext&) { return Release(request->vm()); };
  add("copy the template", 40, [this, request](OperationContext& context) {
    return Copy(request->vm(), context);
  }).undo = [this, request](OperationContext& context) {
    return DiscardCopy(request->vm(), context);
  };
  add("power on", 5, [this, name](OperationContext& context) -> absl::Status {
    DROVER_ASSIGN_OR_RETURN(const PlacedVm placed, FindPlacedVm(*world_, name));
    return placed.host->PowerOn(placed.vm.hypervisor_object(), context);
  });
  add("wait for VMware Tools", 15,
      [this, name](OperationContext& context) { return guest_->AwaitTools(name, context); });
  add("set the password", 4, [this, name](OperationContext& context) -> absl::Status {
    DROVER_ASSIGN_OR_RETURN(const std::string plain, context.Secrets());
    CreateVmRequest secrets;
    if (!secrets.ParseFromString(plain)) return absl::DataLossError("the secrets are damaged");
    if (secrets.guest_password().empty()) return absl::OkStatus();
    return guest_->SetPassword(name, secrets.guest_password(), context);
  });
  add("set the network", 5,
      [this, name](OperationContext& context) { return guest_->SetNetwork(name, context); });
  add("install the agent", 15, [this, name](OperationContext& context) {
    return guest_->InstallAgent(name, context);
  }).undo = [this, request](OperationContext&) {
    return world_->agents->Revoke(request->vm().uid());
  };
  add("wait for the agent", 12,
      [this, name](OperationContext& context) { return guest_->AwaitAgent(name, context); });
  add("finish", 1, [this, name](OperationContext& context) -> absl::Status {
    DROVER_RETURN_IF_ERROR(
        world_->inventory->ChangeVm(name, [](Vm& vm) { vm.set_state(Vm::STATE_READY); }));
    DROVER_ASSIGN_OR_RETURN(const Vm vm, world_->inventory->GetVm(name));
    context.SetResponse(vm);
    return absl::OkStatus();
  });
  return steps;
}

}  // namespace drover::core
