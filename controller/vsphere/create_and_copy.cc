#include "controller/vsphere/create_and_copy.h"

#include <algorithm>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "controller/vsphere/datastore_files.h"
#include "controller/vsphere/inventory_sync.h"
#include "controller/vsphere/vm_control.h"
#include "proto/support/status.h"

namespace drover::vsphere {
namespace {

// A VM has at most so many disks.
constexpr int kMostDisks = 64;
// A disk somebody still writes cannot be removed; so often and so long is waited for it.
constexpr int kBusyAttempts = 40;
constexpr absl::Duration kBusyPause = absl::Seconds(3);

std::string DiskKey(size_t index) { return absl::StrCat("disk", index); }

bool IsBusyFile(const absl::Status& status) {
  return IsFault(status, "FileLocked") || IsFault(status, "CannotAccessFile") ||
         IsFault(status, "CannotDeleteFile") || IsFault(status, "FileFault");
}

absl::StatusOr<DeviceList> DevicesOf(VimClient& client, const MoRef& vm, std::string* vm_path,
                                     std::stop_token stop) {
  DROVER_ASSIGN_OR_RETURN(
      Objects objects,
      client.RetrieveOne(vm, {"config.files.vmPathName", "config.hardware.device"}, stop));
  if (vm_path != nullptr) *vm_path = std::string(objects.First().TextOf("config.files.vmPathName"));
  return ReadDevices(objects.First().Property("config.hardware.device"));
}

bool IsAttached(const DeviceList& devices, const PlannedDisk& disk) {
  return std::any_of(devices.disks.begin(), devices.disks.end(),
                     [&](const Disk& existing) { return existing.file == disk.target; });
}

}  // namespace

absl::StatusOr<core::CopiedVm> CreateAndCopy::Copy(const core::CopySpec& spec,
                                                   core::StepContext& context) {
  std::stop_token stop = context.stop();
  if (auto task = RecallTask(context, "create")) {
    // The effect is looked for below, whatever the task says or whether it is still known.
    client_.AwaitTask(*task, stop).status().IgnoreError();
  } else if (AnswerLost(context, "create")) {
    DROVER_RETURN_IF_ERROR(AwaitTasksOf(client_, "Folder.createVm", stop));
  }
  DROVER_ASSIGN_OR_RETURN(MoRef vm, FindCopy(client_, spec, &context, stop));
  DROVER_ASSIGN_OR_RETURN(Placement placement, Place(client_, spec, vm.empty(), stop));
  if (vm.empty()) {
    context.Report(0, absl::StrCat("creating ", spec.vm_name(), " on ", client_.host()));
    DROVER_ASSIGN_OR_RETURN(vm, Create(spec, placement, context));
  }
  DROVER_RETURN_IF_ERROR(context.Remember("vm", vm.value));
  std::string vm_path;
  DROVER_ASSIGN_OR_RETURN(DeviceList devices, DevicesOf(client_, vm, &vm_path, stop));
  std::string folder = FolderOfPath(vm_path);
  DROVER_RETURN_IF_ERROR(context.Remember("folder", folder));
  std::vector<PlannedDisk> disks = PlanDisks(placement.hardware, folder);
  DROVER_RETURN_IF_ERROR(CopyDisks(disks, devices, placement, context));
  DROVER_ASSIGN_OR_RETURN(std::string attach, AttachSpec(disks, devices));
  if (!attach.empty()) {
    context.Report(95, "attaching the disks");
    DROVER_RETURN_IF_ERROR(client_.RunTask(vm, "ReconfigVM_Task", attach, stop).status());
  }
  core::HardwareChange sizes;
  sizes.set_disk_gb(spec.disk_gb());
  DROVER_RETURN_IF_ERROR(ChangeHardware(client_, vm, sizes, "", stop));
  return DescribeCopy(client_, vm, stop);
}

absl::StatusOr<MoRef> CreateAndCopy::Create(const core::CopySpec& spec, const Placement& placement,
                                            core::StepContext& context) {
  // Disks of an earlier copy that somebody deleted are none of the new one's.
  for (size_t i = 0; i < placement.hardware.devices.disks.size(); ++i) {
    DROVER_RETURN_IF_ERROR(context.Remember(DiskKey(i), ""));
  }
  // A stand-alone host has one pool and one folder for VMs.
  DROVER_ASSIGN_OR_RETURN(
      Objects found, client_.RetrieveAll({{"ResourcePool", {"name"}}, {"Datacenter", {"vmFolder"}}},
                                         context.stop()));
  MoRef pool, folder;
  found.ForEach([&](const ObjectView& object) {
    MoRef ref = object.ref();
    if (ref.type == "Datacenter") folder = ReadRef(object.Property("vmFolder"));
    if (ref.type == "ResourcePool" && pool.empty()) pool = ref;
  });
  std::string parameters =
      absl::StrCat(CreateSpec(placement.hardware, spec, placement.datastore, placement.port_group),
                   XmlRef("pool", pool));
  DROVER_ASSIGN_OR_RETURN(
      MoRef task, StartRemembered(client_, context, "create", folder, "CreateVM_Task", parameters));
  return client_.AwaitTask(task, context.stop());
}

absl::Status CreateAndCopy::CopyDisks(const std::vector<PlannedDisk>& disks,
                                      const DeviceList& attached, const Placement& placement,
                                      core::StepContext& context) {
  int64_t all_kb = 1, done_kb = 0;
  for (const auto& disk : disks) all_kb += disk.capacity_kb;
  for (size_t i = 0; i < disks.size(); ++i) {
    std::string key = DiskKey(i);
    if (!IsAttached(attached, disks[i]) && context.Recall(key) != "done") {
      std::string detail =
          absl::StrCat("copying disk ", i + 1, " of ", disks.size(), " to ", disks[i].target);
      auto progress = [&](int percent) {
        int64_t kb = done_kb + disks[i].capacity_kb * percent / 100;
        context.Report(static_cast<int>(5 + kb * 90 / all_kb), detail);
      };
      DROVER_ASSIGN_OR_RETURN(CopyQueue::Place place, queue_.Enter(placement.datastore, context));
      progress(0);
      DROVER_RETURN_IF_ERROR(CopyDisk(disks[i], key, progress, context));
      DROVER_RETURN_IF_ERROR(context.Remember(key, "done"));
    }
    done_kb += disks[i].capacity_kb;
  }
  return absl::OkStatus();
}

absl::Status CreateAndCopy::CopyDisk(const PlannedDisk& disk, const std::string& key,
                                     const TaskProgress& progress, core::StepContext& context) {
  std::stop_token stop = context.stop();
  if (auto task = RecallTask(context, key)) {
    absl::Status status = client_.AwaitTask(*task, stop, progress).status();
    if (status.ok() || absl::IsCancelled(status)) return status;
    // Failed or forgotten: what it left is not whole.
    DROVER_RETURN_IF_ERROR(StartOver(disk, context));
  } else if (AnswerLost(context, key)) {
    DROVER_RETURN_IF_ERROR(StartOver(disk, context));
  }
  DROVER_ASSIGN_OR_RETURN(ServiceContent content, client_.Content(stop));
  // Without a destSpec a host would make a thick disk; the adapter type is a hint in the descriptor
  // only.
  std::string parameters = absl::StrCat(
      Xml("sourceName", disk.source), Xml("destName", disk.target),
      XmlOf("destSpec", absl::StrCat(Xml("diskType", "thin"), Xml("adapterType", "lsiLogic"))),
      Xml("force", false));
  for (int attempt = 0;; ++attempt) {
    auto task = StartRemembered(client_, context, key, content.Manager("virtualDiskManager"),
                                "CopyVirtualDisk_Task", parameters);
    absl::Status status = task.status();
    if (task.ok()) status = client_.AwaitTask(*task, stop, progress).status();
    // A file in our own folder that no step finished is left over from an earlier life.
    if (attempt > 0 || !IsFault(status, "FileAlreadyExists")) return status;
    DROVER_RETURN_IF_ERROR(StartOver(disk, context));
  }
}

absl::Status CreateAndCopy::StartOver(const PlannedDisk& disk, core::StepContext& context) {
  absl::Status status;
  for (int attempt = 0; attempt < kBusyAttempts; ++attempt) {
    status = DeleteDisk(client_, disk.target, context.stop());
    if (!IsBusyFile(status)) return status;
    context.Report(5, absl::StrCat("waiting until ", disk.target, " is no longer in use"));
    DROVER_RETURN_IF_ERROR(client_.clock()->Sleep(kBusyPause, context.stop()));
  }
  return status;
}

absl::Status CreateAndCopy::EndTasks(core::StepContext& context) {
  std::stop_source cancelled;
  cancelled.request_stop();
  for (int i = 0; i < kMostDisks; ++i) {
    std::string key = DiskKey(i);
    if (auto task = RecallTask(context, key)) {
      client_.AwaitTask(*task, cancelled.get_token()).status().IgnoreError();
    }
  }
  if (auto task = RecallTask(context, "create")) {
    client_.AwaitTask(*task, context.stop()).status().IgnoreError();
  } else if (AnswerLost(context, "create")) {
    return AwaitTasksOf(client_, "Folder.createVm", context.stop());
  }
  return absl::OkStatus();
}

absl::Status CreateAndCopy::Discard(const core::CopySpec& spec, core::StepContext& context) {
  std::stop_token stop = context.stop();
  DROVER_RETURN_IF_ERROR(EndTasks(context));
  DROVER_ASSIGN_OR_RETURN(MoRef vm, FindCopy(client_, spec, &context, stop));
  std::string folder = context.Recall("folder");
  if (!vm.empty()) {
    std::string vm_path;
    DROVER_ASSIGN_OR_RETURN(DeviceList devices, DevicesOf(client_, vm, &vm_path, stop));
    folder = FolderOfPath(vm_path);
    // Remembered before the VM goes, since afterwards nothing tells whose folder it was.
    DROVER_RETURN_IF_ERROR(context.Remember("folder", folder));
    context.Report(30, absl::StrCat("removing ", spec.vm_name(), " from ", client_.host()));
    DROVER_RETURN_IF_ERROR(DestroyVm(client_, vm, context));
  }
  if (!folder.empty()) DROVER_RETURN_IF_ERROR(RemoveFolder(folder, context));
  return absl::OkStatus();
}

absl::Status CreateAndCopy::RemoveFolder(const std::string& folder, core::StepContext& context) {
  std::stop_token stop = context.stop();
  DROVER_ASSIGN_OR_RETURN(
      Objects vms, client_.RetrieveAll({{"VirtualMachine", {"config.files.vmPathName"}}}, stop));
  bool used = false;
  vms.ForEach([&](const ObjectView& vm) {
    used |= absl::StartsWith(vm.TextOf("config.files.vmPathName"), absl::StrCat(folder, "/"));
  });
  // Somebody registered another VM there: not ours any more.
  if (used) return absl::OkStatus();
  DROVER_ASSIGN_OR_RETURN(MoRef browser, BrowserOf(client_, DatastoreOfPath(folder), stop));
  DROVER_ASSIGN_OR_RETURN(bool exists, DatastoreFileExists(client_, browser, folder, stop));
  if (!exists) return absl::OkStatus();
  absl::Status status;
  for (int attempt = 0; attempt < kBusyAttempts; ++attempt) {
    status = DeleteDatastoreFolder(client_, folder, stop);
    if (!IsBusyFile(status)) return status;
    DROVER_RETURN_IF_ERROR(client_.clock()->Sleep(kBusyPause, stop));
  }
  return status;
}

}  // namespace drover::vsphere
