#include "controller/vsphere/clone_plan.h"

#include "controller/vsphere/host_facts.h"
#include "controller/vsphere/inventory_sync.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "proto/support/status.h"

namespace drover::vsphere {
namespace {

using ::testing::HasSubstr;
using ::testing::Not;

constexpr char kTemplate[] = R"(<objects><obj type="VirtualMachine">7</obj>
<propSet><name>name</name><val>tpl%2fweb</val></propSet>
<propSet><name>runtime.powerState</name><val>poweredOff</val></propSet>
<propSet><name>config.guestId</name><val>debian10_64Guest</val></propSet>
<propSet><name>config.version</name><val>vmx-14</val></propSet>
<propSet><name>config.firmware</name><val>efi</val></propSet>
<propSet><name>config.files.vmPathName</name><val>[ds 1] tpl/tpl.vmx</val></propSet>
<propSet><name>config.bootOptions</name><val><bootDelay>5</bootDelay><networkBootProtocol>ipv4</networkBootProtocol></val></propSet>
<propSet><name>config.cpuAllocation</name><val><reservation>100</reservation><limit>-1</limit><shares><shares>2000</shares><level>normal</level></shares></val></propSet>
<propSet><name>config.hardware</name><val><numCPU>4</numCPU><numCoresPerSocket>2</numCoresPerSocket><memoryMB>2048</memoryMB>
<device xsi:type="VirtualIDEController"><key>200</key><busNumber>0</busNumber></device>
<device xsi:type="ParaVirtualSCSIController"><key>1000</key><busNumber>0</busNumber><sharedBus>noSharing</sharedBus></device>
<device xsi:type="VirtualAHCIController"><key>15000</key><busNumber>0</busNumber></device>
<device xsi:type="VirtualDisk"><key>2001</key><backing xsi:type="VirtualDiskFlatVer2BackingInfo"><fileName>[ds 2] tpl/data.vmdk</fileName><diskMode>independent_persistent</diskMode></backing><controllerKey>1000</controllerKey><unitNumber>1</unitNumber><capacityInKB>2097152</capacityInKB></device>
<device xsi:type="VirtualDisk"><key>2000</key><backing xsi:type="VirtualDiskFlatVer2BackingInfo"><fileName>[ds 1] tpl/tpl.vmdk</fileName><diskMode>persistent</diskMode></backing><controllerKey>1000</controllerKey><unitNumber>0</unitNumber><capacityInKB>10485760</capacityInKB></device>
<device xsi:type="VirtualVmxnet3"><key>4000</key><backing xsi:type="VirtualEthernetCardNetworkBackingInfo"><deviceName>VM Network</deviceName></backing><macAddress>00:0c:29:aa:bb:cc</macAddress></device>
</val></propSet></objects>)";

TemplateHardware Hardware() {
  static pugi::xml_document document;
  document.load_string(kTemplate);
  return ReadTemplate(ObjectView(document.child("objects")));
}

core::CopySpec Spec() {
  core::CopySpec spec;
  spec.set_vm_name("web-1");
  spec.set_uid("u-1");
  spec.set_template_("tpl/web");
  return spec;
}

TEST(ClonePlan, ReadsATemplate) {
  TemplateHardware hardware = Hardware();
  EXPECT_EQ(hardware.name, "tpl/web");
  EXPECT_EQ(hardware.cpus, 4);
  ASSERT_EQ(hardware.devices.disks.size(), 2u);
  EXPECT_EQ(hardware.devices.disks[0].file, "[ds 1] tpl/tpl.vmdk");
  EXPECT_EQ(DiskGb(hardware.devices), 10);
  EXPECT_EQ(hardware.occupied_bytes, int64_t{12} << 30);
  ASSERT_EQ(hardware.devices.controllers.size(), 2u);
  EXPECT_TRUE(CheckTemplate(hardware, Spec(), "h").ok());
}

TEST(ClonePlan, CreatesTheHardwareInSchemaOrderWithoutIdentity) {
  std::string config = CreateSpec(Hardware(), Spec(), "ds 1", "Other net");
  std::vector<std::string> order = {
      "<name>web-1</name>",
      "<version>vmx-14</version>",
      "<guestId>",
      "<annotation>Drover uid: u-1</annotation>",
      "<vmPathName>[ds 1]</vmPathName>",
      "<numCPUs>4</numCPUs><numCoresPerSocket>2</numCoresPerSocket>",
      "<memoryMB>2048</memoryMB>",
      "ParaVirtualSCSIController",
      "VirtualAHCIController",
      "VirtualVmxnet3",
      "<deviceName>Other net</deviceName>",
      "<addressType>generated</addressType>",
      "<cpuAllocation><reservation>100</reservation><limit>-1</limit>",
      "<extraConfig><key>drover.uid</key>",
      "<bootOptions><bootDelay>5</bootDelay></bootOptions>",
      "<firmware>efi</firmware>"};
  size_t at = 0;
  for (const auto& piece : order) {
    size_t found = config.find(piece, at);
    ASSERT_NE(found, std::string::npos) << piece << " not in order in " << config;
    at = found;
  }
  EXPECT_THAT(config, Not(HasSubstr("VirtualDisk")));
  EXPECT_THAT(config, Not(HasSubstr("macAddress")));
  EXPECT_THAT(config, Not(HasSubstr("VirtualIDEController")));
  EXPECT_THAT(config, Not(HasSubstr("00:0c:29")));
}

TEST(ClonePlan, OtherSizesDropReservationsAndOddCores) {
  core::CopySpec spec = Spec();
  spec.set_cpus(3);
  std::string config = CreateSpec(Hardware(), spec, "ds", "n");
  EXPECT_THAT(config, HasSubstr("<numCPUs>3</numCPUs><numCoresPerSocket>1</numCoresPerSocket>"));
  EXPECT_THAT(config, Not(HasSubstr("cpuAllocation")));
}

TEST(ClonePlan, PlansEveryDiskBesideTheNewVm) {
  auto disks = PlanDisks(Hardware(), "[ds 1] web-1");
  ASSERT_EQ(disks.size(), 2u);
  EXPECT_EQ(disks[0].source, "[ds 1] tpl/tpl.vmdk");
  EXPECT_EQ(disks[0].target, "[ds 1] web-1/web-1.vmdk");
  EXPECT_EQ(disks[1].source, "[ds 2] tpl/data.vmdk");
  EXPECT_EQ(disks[1].target, "[ds 1] web-1/web-1_1.vmdk");
  EXPECT_EQ(disks[1].mode, "independent_persistent");

  // The new VM has its own keys.
  DeviceList devices = Hardware().devices;
  devices.disks.clear();
  for (auto& controller : devices.controllers) controller.key += 202;
  auto attach = AttachSpec(disks, devices);
  ASSERT_TRUE(attach.ok()) << attach.status();
  EXPECT_THAT(*attach, HasSubstr("<controllerKey>1202</controllerKey><unitNumber>0</unitNumber>"));
  EXPECT_THAT(*attach, HasSubstr("<controllerKey>1202</controllerKey><unitNumber>1</unitNumber>"));
  EXPECT_THAT(*attach, Not(HasSubstr("fileOperation")));

  // One is attached already; then both are.
  Disk first;
  first.file = "[ds 1] web-1/web-1.vmdk";
  devices.disks.push_back(first);
  EXPECT_THAT(*AttachSpec(disks, devices), Not(HasSubstr("web-1/web-1.vmdk")));
  first.file = "[ds 1] web-1/web-1_1.vmdk";
  devices.disks.push_back(first);
  EXPECT_EQ(*AttachSpec(disks, devices), "");
  devices.disks.clear();
  devices.controllers.clear();
  EXPECT_TRUE(HasReason(AttachSpec(disks, devices).status(), "INVALID_HARDWARE"));
}

TEST(ClonePlan, RefusesTemplatesThatCannotBeCopied) {
  struct Row {
    const char* name;
    const char* reason;
    std::function<void(TemplateHardware&, core::CopySpec&)> spoil;
  };
  const Row rows[] = {
      {"running", "TEMPLATE_RUNNING", [](auto& h, auto&) { h.power = "poweredOn"; }},
      {"suspended", "TEMPLATE_RUNNING", [](auto& h, auto&) { h.power = "suspended"; }},
      {"snapshot", "TEMPLATE_HAS_SNAPSHOT", [](auto& h, auto&) { h.has_snapshot = true; }},
      {"no disk", "TEMPLATE_UNFIT", [](auto& h, auto&) { h.devices.disks.clear(); }},
      {"raw disk", "TEMPLATE_UNFIT", [](auto& h, auto&) { h.devices.disks[1].file.clear(); }},
      {"linked", "TEMPLATE_UNFIT", [](auto& h, auto&) { h.devices.disks[0].is_delta = true; }},
      {"IDE disk", "TEMPLATE_UNFIT",
       [](auto& h, auto&) { h.devices.disks[0].controller_key = 200; }},
      {"no adapter", "TEMPLATE_UNFIT",
       [](auto& h, auto& s) {
         h.devices.adapters.clear();
         s.set_port_group("x");
       }},
  };
  for (const Row& row : rows) {
    TemplateHardware hardware = Hardware();
    core::CopySpec spec = Spec();
    row.spoil(hardware, spec);
    EXPECT_TRUE(HasReason(CheckTemplate(hardware, spec, "h"), row.reason)) << row.name;
  }
  core::CopySpec spec = Spec();
  spec.set_disk_gb(9);
  EXPECT_TRUE(absl::IsInvalidArgument(CheckTemplate(Hardware(), spec, "h")));
  spec.set_disk_gb(10);
  EXPECT_TRUE(CheckTemplate(Hardware(), spec, "h").ok());
}

TEST(ClonePlan, ChangesOnlyWhatDiffers) {
  DeviceList devices = Hardware().devices;
  core::HardwareChange change;
  EXPECT_EQ(*HardwareSpec(change, devices, 1, ""), "");
  change.set_disk_gb(10);
  EXPECT_EQ(*HardwareSpec(change, devices, 1, ""), "");
  change.set_disk_gb(20);
  EXPECT_THAT(*HardwareSpec(change, devices, 1, ""),
              HasSubstr("<operation>edit</operation><device xsi:type=\"VirtualDisk\"><key>2000"));
  change.set_disk_gb(5);
  EXPECT_TRUE(absl::IsInvalidArgument(HardwareSpec(change, devices, 1, "").status()));
}

TEST(ClonePlan, KnowsFolders) {
  EXPECT_EQ(FolderOfPath("[ds (1)] a b/c.vmx"), "[ds (1)] a b");
  EXPECT_EQ(FolderOfPath("[ds] c.vmx"), "");
  EXPECT_EQ(FolderOfPath("nonsense/x"), "");
  EXPECT_TRUE(IsInFolder("[ds] a/x.vmdk", "[ds] a"));
  EXPECT_FALSE(IsInFolder("[ds] ab/x.vmdk", "[ds] a"));
  EXPECT_FALSE(IsInFolder("[ds] a/b/x.vmdk", "[ds] a"));
  EXPECT_FALSE(IsInFolder("[other] a/x.vmdk", "[ds] a"));
  EXPECT_FALSE(IsInFolder("[ds] a/x.vmdk", ""));
  EXPECT_EQ(DatastoreOfPath("[ds (1)] a/b"), "ds (1)");
  EXPECT_EQ(DatastoreOfPath("x"), "");
  EXPECT_EQ(UidOfNotes("mine\nDrover uid: u-7 \nmore"), "u-7");
  EXPECT_EQ(UidOfNotes("about Drover uid: u-7"), "");
}

TEST(HostFacts, ChooseTheWayByKindAndLicence) {
  struct Row {
    const char* name;
    bool vcenter;
    Licence licence;
    bool shell;
    drover::v1::CopyMethod method;
  };
  Licence licensed{"vSphere 7 Enterprise Plus", "esx.enterprisePlus.cpuPackage", -1};
  Licence evaluation{"Evaluation Mode", "eval", 3600};
  Licence expired{"Evaluation Mode", "eval", 0};
  Licence free7{"vSphere 7 Hypervisor", "esx.hypervisor.cpuPackageCoreLimited", -1};
  Licence free5{"vSphere 5 Hypervisor", "esxBasic", -1};
  for (const Row& row : {
           Row{"vCenter", true, free7, false, drover::v1::COPY_METHOD_CLONE},
           Row{"licensed", false, licensed, false, drover::v1::COPY_METHOD_CREATE_AND_COPY},
           Row{"evaluation", false, evaluation, true, drover::v1::COPY_METHOD_CREATE_AND_COPY},
           Row{"expired", false, expired, true, drover::v1::COPY_METHOD_SHELL},
           Row{"expired, no shell", false, expired, false, drover::v1::COPY_METHOD_UNSPECIFIED},
           Row{"free with shell", false, free7, true, drover::v1::COPY_METHOD_SHELL},
           Row{"free", false, free5, false, drover::v1::COPY_METHOD_UNSPECIFIED},
       }) {
    CopyWay way = ChooseWay(row.vcenter, row.licence, row.shell, "host1");
    EXPECT_EQ(way.method, row.method) << row.name;
    bool refused = row.method == drover::v1::COPY_METHOD_UNSPECIFIED;
    EXPECT_EQ(!way.refusal.empty(), refused) << row.name;
    if (refused) {
      EXPECT_THAT(way.refusal, HasSubstr("host1")) << row.name;
      EXPECT_THAT(way.refusal, HasSubstr(row.licence.name)) << row.name;
    }
  }
}

}  // namespace
}  // namespace drover::vsphere
