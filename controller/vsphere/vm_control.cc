#include "controller/vsphere/vm_control.h"

#include <algorithm>
#include <string>
#include <vector>

#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "controller/vsphere/clone_plan.h"
#include "controller/vsphere/inventory_sync.h"
#include "proto/support/status.h"

namespace drover::vsphere {
namespace {

// Another task of the host on the same VM passes soon, as a rule.
constexpr absl::Duration kBusyPatience = absl::Seconds(60);
// A guest that was told to reboot and still runs after this does not obey, or was too quick to be
// seen.
constexpr absl::Duration kRebootPatience = absl::Seconds(60);

bool IsBusy(const absl::Status& status) {
  return IsFault(status, "TaskInProgress") || IsFault(status, "VAppTaskInProgress") ||
         IsFault(status, "ConcurrentAccess");
}

// OK when the server refuses because the state is the wanted one already.
absl::Status UnlessAlready(const absl::Status& status, absl::string_view wanted) {
  auto fault = FaultOf(status);
  if (!fault || fault->type != "InvalidPowerState") return status;
  auto existing = fault->fields.find("existingState");
  bool already = existing != fault->fields.end() && existing->second == wanted;
  return already ? absl::OkStatus() : status;
}

// "Did you copy or move this VM?" is asked of a copied configuration; ours are copies.
absl::Status AnswerCopied(VimClient& client, const MoRef& vm, std::stop_token stop) {
  DROVER_ASSIGN_OR_RETURN(Objects objects,
                          client.RetrieveOne(vm, {"runtime.question", "config.extraConfig"}, stop));
  pugi::xml_node question = objects.First().Property("runtime.question");
  if (!question) return absl::OkStatus();
  Fault pending;
  pending.type = "QuestionPending";
  pending.message = std::string(TextAt(question, "text"));
  if (ExtraConfig(objects.First().Property("config.extraConfig"), kUidKey).empty()) {
    return FaultStatus(pending);
  }
  for (pugi::xml_node choice : question.child("choice").children("choiceInfo")) {
    std::string words = absl::StrCat(TextAt(choice, "label"), " ", TextAt(choice, "summary"));
    if (!absl::StrContains(absl::AsciiStrToLower(words), "copied")) continue;
    return client
        .Change(vm, "AnswerVM",
                absl::StrCat(Xml("questionId", TextAt(question, "id")),
                             Xml("answerChoice", TextAt(choice, "key"))),
                stop)
        .status();
  }
  return FaultStatus(pending);
}

// Runs a task on a VM: waits for others on the same VM, and deals with questions where the method
// can raise one.
absl::Status RunVmTask(VimClient& client, const MoRef& vm, absl::string_view method, bool may_ask,
                       core::StepContext& context) {
  std::stop_token stop = context.stop();
  MoRef asked_about = may_ask ? vm : MoRef{};
  absl::Time give_up = client.clock()->Now() + kBusyPatience;
  Backoff pause;
  while (true) {
    auto task = client.StartTask(vm, method, "", stop);
    absl::Status status = task.status();
    if (task.ok()) status = client.AwaitTask(*task, stop, nullptr, asked_about).status();
    for (int answers = 0; answers < 3 && task.ok() && IsFault(status, "QuestionPending");
         ++answers) {
      DROVER_RETURN_IF_ERROR(AnswerCopied(client, vm, stop));
      status = client.AwaitTask(*task, stop, nullptr, asked_about).status();
    }
    if (!IsBusy(status) || client.clock()->Now() > give_up) return status;
    context.Report(0, "waiting for another task of the host on this VM");
    DROVER_RETURN_IF_ERROR(client.clock()->Sleep(pause.Next(), stop));
  }
}

absl::Status PowerOffFirst(absl::string_view why) {
  return MakeError(absl::StatusCode::kFailedPrecondition, "POWER_OFF_FIRST",
                   absl::StrCat(why, "; power the VM off first"));
}

}  // namespace

absl::StatusOr<BootSigns> ReadBootSigns(VimClient& client, const MoRef& vm, std::stop_token stop) {
  DROVER_ASSIGN_OR_RETURN(
      Objects objects,
      client.RetrieveOne(
          vm, {"runtime.bootTime", "guest.toolsRunningStatus", "summary.quickStats.uptimeSeconds"},
          stop));
  ObjectView view = objects.First();
  return BootSigns{std::string(view.TextOf("runtime.bootTime")),
                   view.TextOf("guest.toolsRunningStatus") == "guestToolsRunning",
                   IntAt(view.Property("summary.quickStats.uptimeSeconds"), "")};
}

absl::Status AwaitRebootBegun(VimClient& client, const MoRef& vm, const BootSigns& before,
                              core::StepContext& context) {
  absl::Time give_up = client.clock()->Now() + kRebootPatience;
  Backoff pause(absl::Milliseconds(300));
  context.Report(20, "waiting for the guest to go down");
  while (client.clock()->Now() < give_up) {
    DROVER_ASSIGN_OR_RETURN(BootSigns now, ReadBootSigns(client, vm, context.stop()));
    if (!now.tools || now.boot_time != before.boot_time || now.uptime < before.uptime) break;
    DROVER_RETURN_IF_ERROR(client.clock()->Sleep(pause.Next(), context.stop()));
  }
  return absl::OkStatus();
}

absl::StatusOr<std::string> PowerStateOf(VimClient& client, const MoRef& vm, std::stop_token stop) {
  DROVER_ASSIGN_OR_RETURN(Objects objects, client.RetrieveOne(vm, {"runtime.powerState"}, stop));
  return std::string(objects.First().TextOf("runtime.powerState"));
}

absl::Status PowerOnVm(VimClient& client, const MoRef& vm, core::StepContext& context) {
  DROVER_ASSIGN_OR_RETURN(std::string state, PowerStateOf(client, vm, context.stop()));
  if (state == "poweredOn") return absl::OkStatus();
  return UnlessAlready(RunVmTask(client, vm, "PowerOnVM_Task", true, context), "poweredOn");
}

absl::Status PowerOffVm(VimClient& client, const MoRef& vm, absl::Duration patience,
                        core::StepContext& context) {
  std::stop_token stop = context.stop();
  DROVER_ASSIGN_OR_RETURN(std::string state, PowerStateOf(client, vm, stop));
  if (state == "poweredOff") return absl::OkStatus();
  if (patience > absl::ZeroDuration() && state == "poweredOn") {
    absl::Status asked = client.Change(vm, "ShutdownGuest", "", stop).status();
    if (asked.ok()) {
      context.Report(10, "waiting for the guest to shut down");
      DROVER_ASSIGN_OR_RETURN(bool off,
                              AwaitPowerState(client, vm, "poweredOff", patience, context));
      if (off) return absl::OkStatus();
      context.Report(80, "the guest did not shut down in time; cutting power");
    } else if (IsFault(asked, "InvalidPowerState")) {
      asked = UnlessAlready(asked, "poweredOff");
      if (asked.ok()) return asked;
    } else if (!FaultOf(asked)) {
      return asked;
    }
    // Tools away or refusing: what is left is the switch.
  }
  return UnlessAlready(RunVmTask(client, vm, "PowerOffVM_Task", true, context), "poweredOff");
}

absl::StatusOr<bool> AwaitPowerState(VimClient& client, const MoRef& vm, absl::string_view state,
                                     absl::Duration patience, core::StepContext& context) {
  absl::Time deadline = client.clock()->Now() + patience;
  Backoff pause;
  while (true) {
    DROVER_ASSIGN_OR_RETURN(std::string now, PowerStateOf(client, vm, context.stop()));
    if (now == state) return true;
    absl::Duration left = deadline - client.clock()->Now();
    if (left <= absl::ZeroDuration()) return false;
    DROVER_RETURN_IF_ERROR(client.clock()->Sleep(std::min(pause.Next(), left), context.stop()));
  }
}

absl::Status RestartVm(VimClient& client, const MoRef& vm, bool hard, core::StepContext& context) {
  DROVER_ASSIGN_OR_RETURN(std::string state, PowerStateOf(client, vm, context.stop()));
  if (state != "poweredOn") return PowerOnVm(client, vm, context);
  if (!hard) {
    DROVER_ASSIGN_OR_RETURN(BootSigns before, ReadBootSigns(client, vm, context.stop()));
    absl::Status asked = client.Change(vm, "RebootGuest", "", context.stop()).status();
    if (asked.ok()) return AwaitRebootBegun(client, vm, before, context);
    if (!FaultOf(asked)) return asked;
  }
  return RunVmTask(client, vm, "ResetVM_Task", true, context);
}

const std::vector<std::string>& HardwarePaths() {
  static const auto* const kPaths =
      new std::vector<std::string>{"config.hardware.numCPU",
                                   "config.hardware.memoryMB",
                                   "config.hardware.device",
                                   "config.cpuHotAddEnabled",
                                   "config.memoryHotAddEnabled",
                                   "runtime.powerState",
                                   "config.hardware.numCoresPerSocket",
                                   "snapshot"};
  return *kPaths;
}

absl::Status CheckHardwareChange(const ObjectView& vm, core::HardwareChange& change) {
  int64_t cpus = IntAt(vm.Property("config.hardware.numCPU"), "");
  int64_t memory = IntAt(vm.Property("config.hardware.memoryMB"), "");
  bool on = vm.TextOf("runtime.powerState") == "poweredOn";
  if (change.cpus() == cpus) change.clear_cpus();
  if (change.memory_mb() == memory) change.clear_memory_mb();
  if (on && change.cpus() > 0 &&
      (change.cpus() < cpus || !IsTrue(vm.Property("config.cpuHotAddEnabled")))) {
    return PowerOffFirst(change.cpus() < cpus ? "processors cannot be taken from a running VM"
                                              : "the VM does not allow hot added processors");
  }
  if (on && change.memory_mb() > 0 &&
      (change.memory_mb() < memory || !IsTrue(vm.Property("config.memoryHotAddEnabled")))) {
    return PowerOffFirst(change.memory_mb() < memory ? "memory cannot be taken from a running VM"
                                                     : "the VM does not allow hot added memory");
  }
  if (change.disk_gb() > 0 && vm.Property("snapshot")) {
    return MakeError(absl::StatusCode::kFailedPrecondition, "VM_HAS_SNAPSHOT",
                     "the disk of a VM with snapshots cannot grow; remove its snapshots first");
  }
  return absl::OkStatus();
}

absl::Status ChangeHardware(VimClient& client, const MoRef& vm, const core::HardwareChange& change,
                            absl::string_view network_backing, std::stop_token stop) {
  if (change.cpus() == 0 && change.memory_mb() == 0 && change.disk_gb() == 0 &&
      network_backing.empty()) {
    return absl::OkStatus();
  }
  DROVER_ASSIGN_OR_RETURN(Objects objects, client.RetrieveOne(vm, HardwarePaths(), stop));
  ObjectView view = objects.First();
  core::HardwareChange wanted = change;
  DROVER_RETURN_IF_ERROR(CheckHardwareChange(view, wanted));
  int cores = static_cast<int>(IntAt(view.Property("config.hardware.numCoresPerSocket"), ""));
  DROVER_ASSIGN_OR_RETURN(std::string spec,
                          HardwareSpec(wanted, ReadDevices(view.Property("config.hardware.device")),
                                       cores, network_backing));
  if (spec.empty()) return absl::OkStatus();
  return client.RunTask(vm, "ReconfigVM_Task", spec, stop).status();
}

absl::Status CheckOwnDisks(VimClient& client, const MoRef& vm, std::stop_token stop) {
  DROVER_ASSIGN_OR_RETURN(
      Objects objects,
      client.RetrieveOne(vm, {"name", "config.files.vmPathName", "config.hardware.device"}, stop));
  std::string folder = FolderOfPath(objects.First().TextOf("config.files.vmPathName"));
  DeviceList devices = ReadDevices(objects.First().Property("config.hardware.device"));
  for (const auto& disk : devices.disks) {
    if (IsInFolder(disk.file, folder)) continue;
    return MakeError(
        absl::StatusCode::kFailedPrecondition, "FOREIGN_DISK",
        absl::StrCat("VM ", UnescapeName(objects.First().TextOf("name")), " on ", client.host(),
                     " uses the disk ", disk.file.empty() ? disk.backing_type : disk.file,
                     " outside its own folder ", folder,
                     ", which deleting it would destroy; detach that disk first"));
  }
  return absl::OkStatus();
}

absl::Status DestroyVm(VimClient& client, const MoRef& vm, core::StepContext& context) {
  absl::Status own = CheckOwnDisks(client, vm, context.stop());
  if (IsFault(own, "ManagedObjectNotFound")) return absl::OkStatus();
  DROVER_RETURN_IF_ERROR(own);
  DROVER_RETURN_IF_ERROR(PowerOffVm(client, vm, absl::ZeroDuration(), context));
  absl::Status gone = RunVmTask(client, vm, "Destroy_Task", false, context);
  return IsFault(gone, "ManagedObjectNotFound") ? absl::OkStatus() : gone;
}

}  // namespace drover::vsphere
