#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "controller/core/vm_changes.h"
#include "proto/support/resource_name.h"
#include "proto/support/status.h"

namespace drover::core {
namespace {

using drover::v1::DeleteVmsRequest;
using drover::v1::Vm;

constexpr char kUid[] = "uid";
constexpr char kState[] = "state";

}  // namespace

absl::StatusOr<OperationRequest> VmDelete::Operation(absl::string_view vm_name) const {
  DROVER_ASSIGN_OR_RETURN(const Vm vm, world_->inventory->GetVm(vm_name));
  DeleteVmsRequest request;
  request.add_names(vm.name());
  return RequestFor(kKind, absl::StrCat("delete VM ", IdOf(vm.name())), vm, std::move(request));
}

absl::Status VmDelete::Mark(const std::string& name, OperationContext& context) const {
  const absl::StatusOr<Vm> vm = world_->inventory->GetVm(name);
  // An earlier delete that this one waited for has done it all.
  if (absl::IsNotFound(vm.status())) return absl::OkStatus();
  DROVER_RETURN_IF_ERROR(vm.status());
  DROVER_RETURN_IF_ERROR(context.RememberForAll(kUid, vm->uid()));
  if (vm->state() == Vm::STATE_DELETING) return absl::OkStatus();
  DROVER_RETURN_IF_ERROR(context.RememberForAll(kState, absl::StrCat(vm->state())));
  return world_->inventory->ChangeVm(name, [](Vm& its) { its.set_state(Vm::STATE_DELETING); });
}

absl::Status VmDelete::Unmark(const std::string& name, OperationContext& context) const {
  int state = Vm::STATE_READY;
  (void)absl::SimpleAtoi(context.RecallForAll(kState), &state);
  const absl::Status changed = world_->inventory->ChangeVm(name, [&](Vm& its) {
    if (its.state() == Vm::STATE_DELETING) its.set_state(static_cast<Vm::State>(state));
  });
  return absl::IsNotFound(changed) ? absl::OkStatus() : changed;
}

absl::Status VmDelete::Destroy(const std::string& name, OperationContext& context) const {
  if (context.RecallForAll(kUid).empty()) return absl::OkStatus();
  const absl::StatusOr<PlacedVm> placed = FindPlacedVm(*world_, name);
  if (HasReason(placed.status(), "VM_NOT_CREATED")) return absl::OkStatus();
  DROVER_RETURN_IF_ERROR(placed.status());
  const absl::Status destroyed = placed->host->Destroy(placed->vm.hypervisor_object(), context);
  if (!absl::IsNotFound(destroyed)) return destroyed;
  context.Log("it was gone from its hypervisor already");
  return absl::OkStatus();
}

absl::Status VmDelete::Forget(const std::string& name, OperationContext& context) const {
  const std::string uid = context.RecallForAll(kUid);
  if (uid.empty()) return absl::OkStatus();
  DROVER_RETURN_IF_ERROR(world_->agents->Revoke(uid));
  const absl::StatusOr<Vm> vm = world_->inventory->GetVm(name);
  if (!vm.ok() || vm->uid() != uid) return absl::OkStatus();
  return world_->inventory->RemoveVm(name);
}

std::vector<OperationStep> VmDelete::Steps(const OperationRecord& record) const {
  const std::string name = RequestOf<DeleteVmsRequest>(record).names(0);
  OperationStep mark{.title = "take it out of use",
                     .weight = 1,
                     .run = [this, name](OperationContext& c) { return Mark(name, c); },
                     .undo = [this, name](OperationContext& c) { return Unmark(name, c); }};
  OperationStep destroy{.title = "delete it on its hypervisor",
                        .weight = 8,
                        .run = [this, name](OperationContext& c) { return Destroy(name, c); }};
  destroy.commits = true;
  OperationStep forget{.title = "release name, address and identity",
                       .weight = 1,
                       .run = [this, name](OperationContext& c) { return Forget(name, c); }};
  return {mark, destroy, forget};
}

}  // namespace drover::core
