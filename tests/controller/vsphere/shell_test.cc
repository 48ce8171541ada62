#include "controller/vsphere/esxi_shell.h"

#include <sys/stat.h>
#include <unistd.h>

#include <cstdio>
#include <fstream>
#include <thread>

#include "absl/strings/str_cat.h"
#include "controller/vsphere/shell_copy.h"
#include "controller/vsphere/vmx_text.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "proto/support/status.h"
#include "tests/testing/temp_dir.h"

namespace drover::vsphere {
namespace {

using ::testing::HasSubstr;
using ::testing::Not;

constexpr char kVmx[] = R"(.encoding = "UTF-8"
displayName = "tpl-web"
scsi0.virtualDev = "pvscsi"
scsi0.pciSlotNumber = "160"
scsi0:0.fileName = "tpl-web.vmdk"
scsi0:0.present = "TRUE"
scsi0:1.fileName = "/vmfs/volumes/5f-ab/tpl/data.vmdk"
sata0:0.fileName = "/vmfs/volumes/iso/debian.iso"
sata0:0.present = "TRUE"
ethernet0.present = "TRUE"
ethernet0.networkName = "VM Network"
ethernet0.addressType = "static"
ethernet0.address = "00:50:56:00:00:01"
ethernet0.generatedAddress = "00:0c:29:aa:bb:cc"
uuid.bios = "56 4d aa"
uuid.location = "56 4d bb"
vc.uuid = "52 aa"
numvcpus = "2"
cpuid.coresPerSocket = "2"
memSize = "1024"
nvram = "tpl-web.nvram"
guestinfo.secret = "s"
drover.uid = "other"
)";

core::CopySpec Spec() {
  core::CopySpec spec;
  spec.set_vm_name("web-1");
  spec.set_uid("u-1");
  return spec;
}

TEST(Vmx, FindsDisksAndNothingElse) {
  auto disks = VmxDisks(kVmx);
  ASSERT_EQ(disks.size(), 2u);
  EXPECT_EQ(disks[0].device, "scsi0:0");
  EXPECT_EQ(disks[0].file, "tpl-web.vmdk");
  EXPECT_EQ(disks[1].file, "/vmfs/volumes/5f-ab/tpl/data.vmdk");
}

TEST(Vmx, ACopyHasNoneOfTheTemplatesIdentity) {
  std::string copy = CopiedVmx(kVmx, Spec(), {"web-1.vmdk", "web-1_1.vmdk"});
  for (const char* gone : {"56 4d", "52 aa", "00:50:56", "00:0c:29", "guestinfo.secret", "other",
                           "pciSlotNumber", "tpl-web"}) {
    EXPECT_THAT(copy, Not(HasSubstr(gone)));
  }
  EXPECT_EQ(VmxValue(copy, "displayname"), "web-1");
  EXPECT_EQ(VmxValue(copy, "scsi0:0.fileName"), "web-1.vmdk");
  EXPECT_EQ(VmxValue(copy, "scsi0:1.fileName"), "web-1_1.vmdk");
  EXPECT_EQ(VmxValue(copy, "sata0:0.fileName"), "/vmfs/volumes/iso/debian.iso");
  EXPECT_EQ(VmxValue(copy, "ethernet0.addressType"), "generated");
  EXPECT_EQ(VmxValue(copy, "ethernet0.networkName"), "VM Network");
  EXPECT_EQ(VmxValue(copy, "drover.uid"), "u-1");
  EXPECT_EQ(VmxValue(copy, "uuid.action"), "create");
  EXPECT_EQ(VmxValue(copy, "numvcpus"), "2");
}

TEST(Vmx, ACopyHasTheSizesAskedFor) {
  core::CopySpec spec = Spec();
  spec.set_cpus(3);
  spec.set_memory_mb(512);
  spec.set_port_group("Other");
  std::string copy = CopiedVmx(kVmx, spec, {});
  EXPECT_EQ(VmxValue(copy, "numvcpus"), "3");
  EXPECT_EQ(VmxValue(copy, "cpuid.coresPerSocket"), "");
  EXPECT_EQ(VmxValue(copy, "memSize"), "512");
  EXPECT_EQ(VmxValue(copy, "ethernet0.networkName"), "Other");
}

TEST(Shell, QuotesWordsAndRefusesWhatCannotBeQuoted) {
  EXPECT_EQ(*ShellWord("ds (1)/a b$x"), "'ds (1)/a b$x'");
  for (const char* bad : {"a'b", "a\nb", "a\rb", "\x01"}) {
    EXPECT_FALSE(ShellWord(bad).ok()) << bad;
  }
}

TEST(Shell, ReadsAddresses) {
  struct Row {
    const char* text;
    bool ok;
    const char* host;
    int port;
  };
  for (const Row& row :
       {Row{"", true, "url-host", 22}, Row{"h", true, "h", 22}, Row{"h:2222", true, "h", 2222},
        Row{"h:", false, "", 0}, Row{":22", false, "", 0}, Row{"h:0", false, "", 0},
        Row{"h:65536", false, "", 0}, Row{"h:x", false, "", 0}}) {
    ShellAccount account;
    absl::Status status = ParseShellAddress(row.text, "url-host", account);
    EXPECT_EQ(status.ok(), row.ok) << row.text;
    if (!row.ok) continue;
    EXPECT_EQ(account.host, row.host) << row.text;
    EXPECT_EQ(account.port, row.port) << row.text;
  }
}

TEST(Shell, ReadsTheProgressOfVmkfstools) {
  EXPECT_EQ(PercentOfClone(""), 0);
  EXPECT_EQ(
      PercentOfClone("Cloning disk 'x'...\nClone: 0% done.\rClone: 7% done.\rClone: 41% done."),
      41);
  EXPECT_EQ(PercentOfClone("Clone: 100% done.\n"), 100);
  EXPECT_EQ(PercentOfClone("Failed to clone disk"), 0);
}

std::string OutputOf(const std::string& command) {
  FILE* pipe = popen(command.c_str(), "r");
  std::string text;
  for (int c = fgetc(pipe); c != EOF; c = fgetc(pipe)) text.push_back(static_cast<char>(c));
  pclose(pipe);
  return text;
}

TEST(Shell, TellsHowACopyIs) {
  testing::TempDir dir;
  const std::string state = dir.File("copy");
  EXPECT_EQ(OutputOf(CopyStateCommand(state)), "\nended\n") << "never begun";
  testing::WriteFile(state + ".pid", absl::StrCat(getpid(), "\n"));
  testing::WriteFile(state + ".out", "Clone: 7% done.");
  EXPECT_EQ(OutputOf(CopyStateCommand(state)), "\nrunning\nClone: 7% done.");
  testing::WriteFile(state + ".pid", "999999999\n");
  testing::WriteFile(state + ".rc", "1\n");
  EXPECT_EQ(OutputOf(CopyStateCommand(state)), "1\nended\nClone: 7% done.");
}

TEST(Shell, ACopyThatEndsWhileItIsLookedAtHasItsExitCode) {
  testing::TempDir dir;
  const std::string state = dir.File("copy");
  // The process id is a pipe, so that the copy can end at the very moment it is asked for.
  ASSERT_EQ(mkfifo((state + ".pid").c_str(), 0600), 0);
  std::string output;
  std::thread reader([&] { output = OutputOf(CopyStateCommand(state)); });
  std::ofstream pid(state + ".pid");
  testing::WriteFile(state + ".rc", "0\n");
  pid << "999999999\n" << std::flush;
  pid.close();
  reader.join();
  EXPECT_EQ(output, "0\nended\n");
}

TEST(Shell, ToldErrorsHaveReasons) {
  struct Row {
    const char* text;
    int code;
    const char* reason;
  };
  for (const Row& row :
       {Row{"Failed to clone disk: There is not enough space on the file system", 1, "NO_SPACE"},
        Row{"Failed to lock the file", 1, "FILE_LOCKED"},
        Row{"Unable to find a VM corresponding to \"7\"", 1, "VM_NOT_FOUND"},
        Row{"Failed to clone disk: The file already exists (39)", 255, "FILE_EXISTS"},
        Row{"sh: vim-cmd: not found", 127, "HYPERVISOR_UNSUPPORTED"},
        Row{"something", 3, "HYPERVISOR_FAULT"}}) {
    ShellOutput output;
    output.exit_code = row.code;
    output.err = row.text;
    EXPECT_EQ(ReasonOf(ErrorOfOutput("h", "x", output)), row.reason) << row.text;
  }
}

}  // namespace
}  // namespace drover::vsphere
