#include "controller/vsphere/shell_control.h"

#include <algorithm>
#include <map>
#include <vector>

#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/strip.h"
#include "controller/vsphere/clone_plan.h"
#include "controller/vsphere/devices.h"
#include "controller/vsphere/inventory_sync.h"
#include "controller/vsphere/vm_control.h"
#include "controller/vsphere/vmx_text.h"
#include "proto/support/status.h"

namespace drover::vsphere {
namespace {

// The shell's commands wait for their task; the state is looked at once more.
constexpr absl::Duration kSettle = absl::Seconds(30);

}  // namespace

absl::Status ErrorOfOutput(absl::string_view host, absl::string_view what,
                           const ShellOutput& output) {
  std::string text = absl::StrCat(output.err, output.err.empty() ? "" : " ", output.out);
  std::string lower = absl::AsciiStrToLower(text);
  auto has = [&](absl::string_view words) { return absl::StrContains(lower, words); };
  absl::StatusCode code = absl::StatusCode::kUnknown;
  absl::string_view reason = "HYPERVISOR_FAULT";
  if (has("not enough space") || has("no space left") || has("nodiskspace")) {
    code = absl::StatusCode::kResourceExhausted, reason = "NO_SPACE";
  } else if (has("failed to lock") || has("resource busy")) {
    code = absl::StatusCode::kFailedPrecondition, reason = "FILE_LOCKED";
  } else if (has("unable to find a vm")) {
    code = absl::StatusCode::kNotFound, reason = "VM_NOT_FOUND";
  } else if (has("toolsunavailable")) {
    code = absl::StatusCode::kFailedPrecondition, reason = "TOOLS_NOT_RUNNING";
  } else if (has("command not found") || output.exit_code == 127) {
    code = absl::StatusCode::kFailedPrecondition, reason = "HYPERVISOR_UNSUPPORTED";
  } else if (has("already exists") || has("alreadyexists")) {
    code = absl::StatusCode::kFailedPrecondition, reason = "FILE_EXISTS";
  }
  return MakeError(code, reason,
                   absl::StrCat(what, " on ", host, " failed (exit code ", output.exit_code, "): ",
                                text.empty() ? absl::string_view("no message")
                                             : absl::StripAsciiWhitespace(text)));
}

absl::StatusOr<std::string> ShellCommand(EsxiShell& shell, absl::string_view command,
                                         absl::string_view what, std::stop_token stop,
                                         absl::string_view input) {
  DROVER_ASSIGN_OR_RETURN(ShellOutput output, shell.Run(command, stop, input));
  if (output.exit_code != 0) return ErrorOfOutput(shell.host(), what, output);
  return std::move(output.out);
}

std::string ShellPath(absl::string_view datastore_path) {
  absl::string_view rest =
      datastore_path.substr(std::min(datastore_path.find("] "), datastore_path.size()));
  absl::ConsumePrefix(&rest, "] ");
  return absl::StrCat("/vmfs/volumes/", DatastoreOfPath(datastore_path), "/", rest);
}

absl::Status ShellControl::VmCommand(absl::string_view verb, const MoRef& vm,
                                     core::StepContext& context) {
  // On ESXi the object id is the number vim-cmd knows.
  DROVER_ASSIGN_OR_RETURN(std::string id, ShellWord(vm.value));
  return ShellCommand(shell_, absl::StrCat("vim-cmd vmsvc/", verb, " ", id), verb, context.stop())
      .status();
}

absl::Status ShellControl::PowerOn(const MoRef& vm, core::StepContext& context) {
  DROVER_ASSIGN_OR_RETURN(std::string state, PowerStateOf(client_, vm, context.stop()));
  if (state == "poweredOn") return absl::OkStatus();
  DROVER_RETURN_IF_ERROR(VmCommand("power.on", vm, context));
  DROVER_ASSIGN_OR_RETURN(bool on, AwaitPowerState(client_, vm, "poweredOn", kSettle, context));
  if (on) return absl::OkStatus();
  return MakeError(absl::StatusCode::kFailedPrecondition, "QUESTION_PENDING",
                   absl::StrCat(client_.host(),
                                " did not power the VM on; it may wait for an "
                                "answer, see the VM in the host's client"));
}

absl::Status ShellControl::PowerOff(const MoRef& vm, absl::Duration patience,
                                    core::StepContext& context) {
  DROVER_ASSIGN_OR_RETURN(std::string state, PowerStateOf(client_, vm, context.stop()));
  if (state == "poweredOff") return absl::OkStatus();
  if (patience > absl::ZeroDuration() && state == "poweredOn" &&
      VmCommand("power.shutdown", vm, context).ok()) {
    context.Report(10, "waiting for the guest to shut down");
    DROVER_ASSIGN_OR_RETURN(bool off,
                            AwaitPowerState(client_, vm, "poweredOff", patience, context));
    if (off) return absl::OkStatus();
    context.Report(80, "the guest did not shut down in time; cutting power");
  }
  absl::Status status = VmCommand("power.off", vm, context);
  DROVER_ASSIGN_OR_RETURN(bool off,
                          AwaitPowerState(client_, vm, "poweredOff",
                                          status.ok() ? kSettle : absl::ZeroDuration(), context));
  if (off) return absl::OkStatus();
  return status.ok() ? MakeError(absl::StatusCode::kDeadlineExceeded, "WRONG_POWER_STATE",
                                 absl::StrCat(client_.host(), " did not power the VM off"))
                     : status;
}

absl::Status ShellControl::Restart(const MoRef& vm, bool hard, core::StepContext& context) {
  DROVER_ASSIGN_OR_RETURN(std::string state, PowerStateOf(client_, vm, context.stop()));
  if (state != "poweredOn") return PowerOn(vm, context);
  if (!hard) {
    DROVER_ASSIGN_OR_RETURN(BootSigns before, ReadBootSigns(client_, vm, context.stop()));
    if (VmCommand("power.reboot", vm, context).ok()) {
      return AwaitRebootBegun(client_, vm, before, context);
    }
  }
  return VmCommand("power.reset", vm, context);
}

absl::Status ShellControl::SetHardware(const MoRef& vm, const core::HardwareChange& change,
                                       core::StepContext& context) {
  std::stop_token stop = context.stop();
  std::vector<std::string> paths = HardwarePaths();
  paths.push_back("config.files.vmPathName");
  DROVER_ASSIGN_OR_RETURN(Objects objects, client_.RetrieveOne(vm, paths, stop));
  ObjectView view = objects.First();
  core::HardwareChange wanted = change;
  DROVER_RETURN_IF_ERROR(CheckHardwareChange(view, wanted));
  DeviceList devices = ReadDevices(view.Property("config.hardware.device"));
  // Says what cannot be; the text itself is SOAP's way.
  DROVER_ASSIGN_OR_RETURN(std::string spec, HardwareSpec(wanted, devices, 1, ""));
  if (spec.empty()) return absl::OkStatus();
  if (view.TextOf("runtime.powerState") != "poweredOff") {
    return MakeError(absl::StatusCode::kFailedPrecondition, "POWER_OFF_FIRST",
                     "a host that is changed by its shell changes hardware only while the VM is "
                     "off; power it off first");
  }
  DROVER_ASSIGN_OR_RETURN(std::string vmx,
                          ShellWord(ShellPath(view.TextOf("config.files.vmPathName"))));
  if (wanted.disk_gb() > DiskGb(devices)) {
    DROVER_ASSIGN_OR_RETURN(std::string disk, ShellWord(ShellPath(devices.disks[0].file)));
    DROVER_RETURN_IF_ERROR(
        ShellCommand(shell_, absl::StrCat("vmkfstools -X ", wanted.disk_gb(), "G ", disk),
                     "growing the disk", stop)
            .status());
  }
  DROVER_ASSIGN_OR_RETURN(std::string text, ShellCommand(shell_, absl::StrCat("cat ", vmx),
                                                         "reading the configuration", stop));
  std::map<std::string, std::string> values;
  if (wanted.cpus() > 0) {
    values["numvcpus"] = absl::StrCat(wanted.cpus());
    values["cpuid.coresPerSocket"] = "";
  }
  if (wanted.memory_mb() > 0) values["memSize"] = absl::StrCat(wanted.memory_mb());
  DROVER_RETURN_IF_ERROR(ShellCommand(shell_, absl::StrCat("cat > ", vmx),
                                      "writing the configuration", stop,
                                      WithVmxValues(text, values))
                             .status());
  return VmCommand("reload", vm, context);
}

absl::Status ShellControl::Destroy(const MoRef& vm, core::StepContext& context) {
  absl::Status own = CheckOwnDisks(client_, vm, context.stop());
  if (IsFault(own, "ManagedObjectNotFound")) return absl::OkStatus();
  DROVER_RETURN_IF_ERROR(own);
  DROVER_RETURN_IF_ERROR(PowerOff(vm, absl::ZeroDuration(), context));
  absl::Status gone = VmCommand("destroy", vm, context);
  return HasReason(gone, "VM_NOT_FOUND") ? absl::OkStatus() : gone;
}

}  // namespace drover::vsphere
