#include "controller/vsphere/shell_copy.h"

#include <map>
#include <utility>
#include <vector>

#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/strings/str_split.h"
#include "absl/strings/strip.h"
#include "controller/vsphere/clone_plan.h"
#include "controller/vsphere/inventory_sync.h"
#include "controller/vsphere/vm_control.h"
#include "controller/vsphere/vmx_text.h"
#include "proto/support/status.h"

namespace drover::vsphere {
namespace {

// Who a folder belongs to, until the VM in it says so itself.
constexpr char kUidFile[] = "drover.uid";
// Beside each disk while it is copied: process id, output, exit code.
constexpr char kStateFiles[] = "drover-copy.*";

absl::string_view DirOf(absl::string_view path) { return path.substr(0, path.rfind('/')); }

// Copies one disk and leaves word of it; started detached, so that it outlives the connection.
std::string CopyScript(const std::string& source, const std::string& target,
                       const std::string& state) {
  return absl::StrCat("echo $$ > ", state, ".pid\nvmkfstools -i ", source, " -d thin ", target,
                      " > ", state, ".out 2>&1\necho $? > ", state, ".rc\n");
}

struct CopyState {
  // Exit code, empty while it runs or when it never ended.
  std::string exit_code;
  bool running = false;
  std::string output;
};

CopyState ReadCopyState(absl::string_view text) {
  std::vector<absl::string_view> lines = absl::StrSplit(text, absl::MaxSplits('\n', 2));
  CopyState state;
  if (!lines.empty()) state.exit_code = std::string(absl::StripAsciiWhitespace(lines[0]));
  if (lines.size() > 1) state.running = absl::StripAsciiWhitespace(lines[1]) == "running";
  if (lines.size() > 2) state.output = std::string(absl::StripAsciiWhitespace(lines[2]));
  return state;
}

}  // namespace

std::string CopyStateCommand(absl::string_view state) {
  // Whether it runs is asked first: once it has ended, its exit code is there to be read.
  return absl::StrCat("if kill -0 $(cat ", state,
                      ".pid 2>/dev/null) 2>/dev/null; then is=running; else is=ended; fi; "
                      "echo $(cat ",
                      state, ".rc 2>/dev/null); echo $is; tail -c 300 ", state,
                      ".out 2>/dev/null; true");
}

int PercentOfClone(absl::string_view output) {
  size_t at = output.rfind("Clone: ");
  if (at == absl::string_view::npos) return 0;
  absl::string_view number = output.substr(at + 7);
  int percent = 0;
  return absl::SimpleAtoi(number.substr(0, number.find('%')), &percent) ? percent : 0;
}

std::string CopiedVmx(absl::string_view text, const core::CopySpec& spec,
                      const std::vector<std::string>& disks) {
  std::map<std::string, std::string> values = {
      {"displayName", spec.vm_name()},
      {"annotation", UidNote(spec.uid())},
      {std::string(kUidKey), spec.uid()},
      {"nvram", absl::StrCat(spec.vm_name(), ".nvram")},
      {"extendedConfigFile", absl::StrCat(spec.vm_name(), ".vmxf")},
      // The copied identity lines are gone; this keeps the host from asking about it too.
      {"uuid.action", "create"}};
  std::vector<VmxDisk> found = VmxDisks(text);
  for (size_t i = 0; i < found.size() && i < disks.size(); ++i) {
    values[absl::StrCat(found[i].device, ".fileName")] = disks[i];
  }
  if (spec.cpus() > 0) {
    values["numvcpus"] = absl::StrCat(spec.cpus());
    values["cpuid.coresPerSocket"] = "";
  }
  if (spec.memory_mb() > 0) values["memSize"] = absl::StrCat(spec.memory_mb());
  for (int i = 0; i < 10; ++i) {
    if (VmxValue(text, absl::StrCat("ethernet", i, ".present")).empty()) continue;
    values[absl::StrCat("ethernet", i, ".addressType")] = "generated";
  }
  if (!spec.port_group().empty()) values["ethernet0.networkName"] = spec.port_group();
  return WithVmxValues(WithoutIdentity(text), values);
}

absl::StatusOr<bool> ShellCopy::IsOurs(const std::string& folder, absl::string_view uid,
                                       std::stop_token stop) {
  DROVER_ASSIGN_OR_RETURN(ShellOutput output,
                          shell_.Run(absl::StrCat("cat ", folder, "/", kUidFile), stop));
  return output.exit_code == 0 && absl::StripAsciiWhitespace(output.out) == uid;
}

absl::StatusOr<core::CopiedVm> ShellCopy::Copy(const core::CopySpec& spec,
                                               core::StepContext& context) {
  DROVER_ASSIGN_OR_RETURN(MoRef vm, FindCopy(client_, spec, &context, context.stop()));
  if (vm.empty()) {
    DROVER_ASSIGN_OR_RETURN(vm, Build(spec, context));
  }
  DROVER_RETURN_IF_ERROR(context.Remember("vm", vm.value));
  // From here on the VM itself carries the uid.
  if (std::string folder = context.Recall("folder"); !folder.empty()) {
    DROVER_ASSIGN_OR_RETURN(std::string word, ShellWord(folder));
    DROVER_RETURN_IF_ERROR(
        ShellCommand(shell_,
                     absl::StrCat("rm -f ", word, "/", kUidFile, " ", word, "/", kStateFiles),
                     "tidying up", context.stop())
            .status());
  }
  return DescribeCopy(client_, vm, context.stop());
}

absl::StatusOr<MoRef> ShellCopy::Build(const core::CopySpec& spec, core::StepContext& context) {
  std::stop_token stop = context.stop();
  std::string folder = context.Recall("folder");
  bool ours = false;
  if (!folder.empty()) {
    DROVER_ASSIGN_OR_RETURN(std::string word, ShellWord(folder));
    DROVER_ASSIGN_OR_RETURN(ours, IsOurs(word, spec.uid(), stop));
  }
  DROVER_ASSIGN_OR_RETURN(Placement placement, Place(client_, spec, !ours, stop));
  folder = absl::StrCat("/vmfs/volumes/", placement.datastore, "/", spec.vm_name());
  DROVER_ASSIGN_OR_RETURN(std::string word, ShellWord(folder));
  DROVER_ASSIGN_OR_RETURN(std::string uid, ShellWord(spec.uid()));
  context.Report(0, absl::StrCat("creating ", folder, " on ", shell_.host()));
  DROVER_RETURN_IF_ERROR(context.Remember("folder", folder));
  DROVER_RETURN_IF_ERROR(ShellCommand(shell_,
                                      absl::StrCat(ours ? "true" : absl::StrCat("mkdir ", word),
                                                   " && echo ", uid, " > ", word, "/", kUidFile),
                                      "creating the folder", stop)
                             .status());
  std::string template_path = ShellPath(placement.hardware.vm_path);
  DROVER_ASSIGN_OR_RETURN(std::string vmx_word, ShellWord(template_path));
  DROVER_ASSIGN_OR_RETURN(std::string vmx, ShellCommand(shell_, absl::StrCat("cat ", vmx_word),
                                                        "reading the template", stop));
  std::vector<VmxDisk> disks = VmxDisks(vmx);
  std::vector<std::string> files;
  {
    DROVER_ASSIGN_OR_RETURN(CopyQueue::Place place, queue_.Enter(placement.datastore, context));
    for (size_t i = 0; i < disks.size(); ++i) {
      files.push_back(DiskFileName(spec.vm_name(), static_cast<int>(i)));
      std::string source = absl::StartsWith(disks[i].file, "/")
                               ? disks[i].file
                               : absl::StrCat(DirOf(template_path), "/", disks[i].file);
      std::string detail = absl::StrCat("copying disk ", i + 1, " of ", disks.size());
      auto progress = [&](int percent) {
        size_t done = i * 100 + static_cast<size_t>(percent);
        context.Report(static_cast<int>(5 + done * 85 / (disks.size() * 100)), detail);
      };
      progress(0);
      DROVER_RETURN_IF_ERROR(CopyDisk(source, folder, files.back(), progress, context));
    }
  }
  if (spec.disk_gb() > DiskGb(placement.hardware.devices)) {
    DROVER_ASSIGN_OR_RETURN(std::string disk, ShellWord(absl::StrCat(folder, "/", files[0])));
    DROVER_RETURN_IF_ERROR(ShellCommand(shell_,
                                        absl::StrCat("vmkfstools -X ", spec.disk_gb(), "G ", disk),
                                        "growing the disk", stop)
                               .status());
  }
  context.Report(92, "registering the copy");
  DROVER_ASSIGN_OR_RETURN(std::string target,
                          ShellWord(absl::StrCat(folder, "/", spec.vm_name(), ".vmx")));
  DROVER_RETURN_IF_ERROR(ShellCommand(shell_, absl::StrCat("cat > ", target),
                                      "writing the configuration", stop,
                                      CopiedVmx(vmx, spec, files))
                             .status());
  DROVER_ASSIGN_OR_RETURN(std::string id,
                          ShellCommand(shell_, absl::StrCat("vim-cmd solo/registervm ", target),
                                       "registering the copy", stop));
  return VmRef(absl::StripAsciiWhitespace(id));
}

absl::Status ShellCopy::CopyDisk(const std::string& source, const std::string& folder,
                                 const std::string& file, const TaskProgress& progress,
                                 core::StepContext& context) {
  std::stop_token stop = context.stop();
  DROVER_ASSIGN_OR_RETURN(std::string from, ShellWord(source));
  DROVER_ASSIGN_OR_RETURN(std::string to, ShellWord(absl::StrCat(folder, "/", file)));
  DROVER_ASSIGN_OR_RETURN(std::string state,
                          ShellWord(absl::StrCat(folder, "/drover-copy.", file)));
  Backoff pause;
  bool started = false;
  while (true) {
    DROVER_ASSIGN_OR_RETURN(ShellOutput seen, shell_.Run(CopyStateCommand(state), stop));
    CopyState now = ReadCopyState(seen.out);
    if (now.exit_code == "0") return absl::OkStatus();
    if (!now.exit_code.empty() && started) {
      ShellOutput failed;
      absl::SimpleAtoi(now.exit_code, &failed.exit_code);
      failed.err = now.output;
      return ErrorOfOutput(shell_.host(), absl::StrCat("copying ", source), failed);
    }
    if (!now.running && !started) {
      // Never begun, failed before, or cut off by the host's own restart.
      progress(0);
      std::string script = CopyScript(from, to, state);
      std::string begin = absl::StrCat(
          "rm -f ", state, ".rc ", state, ".out; if [ -e ", to, " ]; then vmkfstools -U ", to,
          " >/dev/null 2>&1 || rm -f ", to, "; fi; cat > ", state, ".sh && echo 0 > ", state,
          ".pid && { setsid sh ", state,
          ".sh </dev/null >/dev/null 2>&1 & }; for i in 1 2 3 4 5 6 7 8 9 10; do "
          "[ \"$(cat ",
          state,
          ".pid)\" != 0 ] && break; sleep 0.05 2>/dev/null || usleep 50000 2>/dev/null || "
          "sleep 1; done");
      DROVER_RETURN_IF_ERROR(
          ShellCommand(shell_, begin, "starting the disk's copy", stop, script).status());
      started = true;
      continue;
    }
    if (!now.running && now.exit_code.empty()) {
      return MakeError(absl::StatusCode::kUnavailable, "HYPERVISOR_UNREACHABLE",
                       absl::StrCat("copying ", source, " on ", shell_.host(),
                                    " ended without a result; was the host restarted?"));
    }
    // Somebody else's life started it: what it ends with counts now.
    started = true;
    progress(PercentOfClone(now.output));
    DROVER_RETURN_IF_ERROR(client_.clock()->Sleep(pause.Next(), stop));
  }
}

absl::Status ShellCopy::Discard(const core::CopySpec& spec, core::StepContext& context) {
  std::stop_token stop = context.stop();
  DROVER_ASSIGN_OR_RETURN(MoRef vm, FindCopy(client_, spec, &context, stop));
  std::string folder = context.Recall("folder");
  if (!vm.empty()) {
    DROVER_ASSIGN_OR_RETURN(Objects objects,
                            client_.RetrieveOne(vm, {"config.files.vmPathName"}, stop));
    folder = std::string(DirOf(ShellPath(objects.First().TextOf("config.files.vmPathName"))));
    DROVER_RETURN_IF_ERROR(context.Remember("folder", folder));
    DROVER_ASSIGN_OR_RETURN(std::string word, ShellWord(folder));
    // So that the folder is known as ours when the VM is gone and something is left in it.
    DROVER_ASSIGN_OR_RETURN(std::string uid, ShellWord(spec.uid()));
    DROVER_RETURN_IF_ERROR(ShellCommand(shell_,
                                        absl::StrCat("echo ", uid, " > ", word, "/", kUidFile),
                                        "marking the folder", stop)
                               .status());
    context.Report(30, absl::StrCat("removing ", spec.vm_name(), " from ", shell_.host()));
    DROVER_RETURN_IF_ERROR(control_.Destroy(vm, context));
  }
  return folder.empty() ? absl::OkStatus() : RemoveFolder(folder, spec.uid(), context);
}

absl::Status ShellCopy::RemoveFolder(const std::string& folder, absl::string_view uid,
                                     core::StepContext& context) {
  std::stop_token stop = context.stop();
  DROVER_ASSIGN_OR_RETURN(std::string word, ShellWord(folder));
  DROVER_ASSIGN_OR_RETURN(bool ours, IsOurs(word, uid, stop));
  if (!ours) {
    // Between making the folder and marking it nothing was put in: an empty one may go.
    return shell_.Run(absl::StrCat("rmdir ", word), stop).status();
  }
  // The copying shells lead process groups of their own.
  std::string command =
      absl::StrCat("for f in ", word,
                   "/drover-copy.*.pid; do [ -e \"$f\" ] && kill -9 -$(cat \"$f\") "
                   "2>/dev/null; done; rm -rf ",
                   word);
  return ShellCommand(shell_, command, "removing the folder", stop).status();
}

}  // namespace drover::vsphere
