#include "controller/vsphere/vcenter_clone.h"

#include <string>
#include <utility>

#include "absl/strings/str_cat.h"
#include "controller/vsphere/inventory_sync.h"
#include "controller/vsphere/vm_control.h"
#include "proto/support/status.h"

namespace drover::vsphere {
namespace {

constexpr char kCloneTask[] = "VirtualMachine.clone";

}  // namespace

absl::StatusOr<core::CopiedVm> VcenterClone::Copy(const core::CopySpec& spec,
                                                  core::StepContext& context) {
  std::stop_token stop = context.stop();
  std::string detail = absl::StrCat("cloning ", spec.template_(), " to ", spec.vm_name());
  TaskProgress progress = [&](int percent) { context.Report(percent * 9 / 10, detail); };
  if (auto task = RecallTask(context, "clone")) {
    // What it made is looked for below, whatever the task says.
    absl::Status earlier = client_.AwaitTask(*task, stop, progress).status();
    if (absl::IsCancelled(earlier)) return earlier;
  } else if (AnswerLost(context, "clone")) {
    DROVER_RETURN_IF_ERROR(AwaitTasksOf(client_, kCloneTask, stop));
  }
  DROVER_ASSIGN_OR_RETURN(MoRef vm, FindCopy(client_, spec, &context, stop));
  DROVER_ASSIGN_OR_RETURN(Placement placement, Place(client_, spec, vm.empty(), stop));
  if (vm.empty()) {
    DROVER_ASSIGN_OR_RETURN(CopyQueue::Place place, queue_.Enter(placement.datastore, context));
    progress(0);
    DROVER_ASSIGN_OR_RETURN(MoRef task, Clone(spec, placement, context));
    DROVER_ASSIGN_OR_RETURN(vm, client_.AwaitTask(task, stop, progress));
  }
  DROVER_RETURN_IF_ERROR(context.Remember("vm", vm.value));
  context.Report(90, "setting the hardware of the copy");
  core::HardwareChange sizes;
  sizes.set_cpus(spec.cpus());
  sizes.set_memory_mb(spec.memory_mb());
  sizes.set_disk_gb(spec.disk_gb());
  DROVER_RETURN_IF_ERROR(ChangeHardware(client_, vm, sizes, placement.network_backing, stop));
  return DescribeCopy(client_, vm, stop);
}

absl::StatusOr<MoRef> VcenterClone::Clone(const core::CopySpec& spec, const Placement& placement,
                                          core::StepContext& context) {
  DROVER_ASSIGN_OR_RETURN(MoRef folder, FolderFor(placement.hardware, context.stop()));
  DROVER_ASSIGN_OR_RETURN(MoRef pool, PoolFor(placement.hardware, context.stop()));
  std::string parameters =
      absl::StrCat(XmlRef("folder", folder), Xml("name", EscapeName(spec.vm_name())),
                   CloneSpec(spec, placement.datastore_ref, pool, {}));
  return StartRemembered(client_, context, "clone", placement.hardware.vm, "CloneVM_Task",
                         parameters);
}

absl::StatusOr<MoRef> VcenterClone::PoolFor(const TemplateHardware& hardware,
                                            std::stop_token stop) {
  if (!hardware.pool.empty()) return hardware.pool;
  // A template has no pool; the one of the host it lies on serves.
  DROVER_ASSIGN_OR_RETURN(Objects hosts, client_.RetrieveOne(hardware.host, {"parent"}, stop));
  MoRef compute = ReadRef(hosts.First().Property("parent"));
  DROVER_ASSIGN_OR_RETURN(Objects computes, client_.RetrieveOne(compute, {"resourcePool"}, stop));
  return ReadRef(computes.First().Property("resourcePool"));
}

absl::StatusOr<MoRef> VcenterClone::FolderFor(const TemplateHardware& hardware,
                                              std::stop_token stop) {
  if (!hardware.parent.empty()) return hardware.parent;
  DROVER_ASSIGN_OR_RETURN(Objects found, client_.RetrieveAll({{"Datacenter", {"vmFolder"}}}, stop));
  return ReadRef(found.First().Property("vmFolder"));
}

absl::Status VcenterClone::Discard(const core::CopySpec& spec, core::StepContext& context) {
  std::stop_token stop = context.stop();
  if (auto task = RecallTask(context, "clone")) {
    std::stop_source cancelled;
    cancelled.request_stop();
    client_.AwaitTask(*task, cancelled.get_token()).status().IgnoreError();
  } else if (AnswerLost(context, "clone")) {
    DROVER_RETURN_IF_ERROR(AwaitTasksOf(client_, kCloneTask, stop));
  }
  DROVER_ASSIGN_OR_RETURN(MoRef vm, FindCopy(client_, spec, &context, stop));
  if (vm.empty()) return absl::OkStatus();
  context.Report(30, absl::StrCat("removing ", spec.vm_name(), " from ", client_.host()));
  return DestroyVm(client_, vm, context);
}

}  // namespace drover::vsphere
