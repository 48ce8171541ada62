#include "controller/vsphere/clone_plan.h"

#include <algorithm>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/strip.h"
#include "controller/vsphere/inventory_sync.h"
#include "proto/support/status.h"

namespace drover::vsphere {
namespace {

constexpr int64_t kKbInGb = int64_t{1} << 20;

std::string Option(absl::string_view key, absl::string_view value) {
  return XmlOf("extraConfig",
               absl::StrCat(Xml("key", key), XmlTyped("value", "xsd:string", Escape(value))));
}

// The children of `node` with these names, in this order, simple values only.
std::string Again(pugi::xml_node node, std::initializer_list<const char*> names) {
  std::string text;
  for (const char* name : names) {
    if (pugi::xml_node child = node.child(name)) absl::StrAppend(&text, Xml(name, Text(child)));
  }
  return text;
}

// A ResourceAllocationInfo; "" when it says nothing that differs from a new VM's.
std::string AllocationAgain(absl::string_view tag, pugi::xml_node node) {
  std::string text = Again(node, {"reservation", "expandableReservation", "limit"});
  if (pugi::xml_node shares = node.child("shares")) {
    absl::StrAppend(&text, XmlOf("shares", Again(shares, {"shares", "level"})));
  }
  return text.empty() ? "" : XmlOf(tag, text);
}

int64_t OccupiedBytes(pugi::xml_node layout_files, const DeviceList& devices) {
  int64_t bytes = 0;
  for (pugi::xml_node file : layout_files.children()) {
    if (TextAt(file, "type") == "diskExtent") bytes += IntAt(file, "size");
  }
  return bytes > 0 ? bytes : DiskBytes(devices);
}

int CoresPerSocket(int wanted, int cpus) { return wanted > 0 && cpus % wanted == 0 ? wanted : 1; }

std::string DeviceChange(absl::string_view operation, absl::string_view type,
                         absl::string_view body) {
  return XmlOf("deviceChange",
               absl::StrCat(Xml("operation", operation), XmlTyped("device", type, body)));
}

std::string NewController(const Controller& controller, int key) {
  std::string body =
      absl::StrCat(Xml("key", int64_t{key}), Xml("busNumber", int64_t{controller.bus}));
  if (!controller.shared_bus.empty()) {
    absl::StrAppend(&body, Xml("sharedBus", controller.shared_bus));
  }
  return DeviceChange("add", controller.type, body);
}

constexpr char kConnected[] =
    "<connectable><startConnected>true</startConnected><allowGuestControl>true</allowGuestControl>"
    "<connected>true</connected></connectable>";

std::string NewAdapter(const Adapter& adapter, absl::string_view network, int key) {
  return DeviceChange("add", adapter.type,
                      absl::StrCat(Xml("key", int64_t{key}), PortGroupBacking(network), kConnected,
                                   Xml("addressType", "generated")));
}

const Controller* ControllerOf(const DeviceList& devices, int key) {
  for (const auto& controller : devices.controllers) {
    if (controller.key == key) return &controller;
  }
  return nullptr;
}

}  // namespace

const std::vector<std::string>& TemplatePaths() {
  static const auto* const kPaths = new std::vector<std::string>{"name",
                                                                 "parent",
                                                                 "resourcePool",
                                                                 "runtime.host",
                                                                 "runtime.powerState",
                                                                 "snapshot",
                                                                 "layoutEx.file",
                                                                 "config.template",
                                                                 "config.guestId",
                                                                 "config.alternateGuestName",
                                                                 "config.version",
                                                                 "config.firmware",
                                                                 "config.bootOptions",
                                                                 "config.hardware",
                                                                 "config.files.vmPathName",
                                                                 "config.extraConfig",
                                                                 "config.cpuAllocation",
                                                                 "config.memoryAllocation",
                                                                 "config.cpuHotAddEnabled",
                                                                 "config.memoryHotAddEnabled",
                                                                 "config.nestedHVEnabled"};
  return *kPaths;
}

TemplateHardware ReadTemplate(const ObjectView& object) {
  TemplateHardware hardware;
  hardware.vm = object.ref();
  hardware.name = UnescapeName(object.TextOf("name"));
  hardware.parent = ReadRef(object.Property("parent"));
  hardware.pool = ReadRef(object.Property("resourcePool"));
  hardware.host = ReadRef(object.Property("runtime.host"));
  hardware.power = std::string(object.TextOf("runtime.powerState"));
  hardware.has_snapshot = bool(object.Property("snapshot"));
  hardware.is_template = IsTrue(object.Property("config.template"));
  hardware.guest_id = std::string(object.TextOf("config.guestId"));
  hardware.alternate_guest_name = std::string(object.TextOf("config.alternateGuestName"));
  hardware.version = std::string(object.TextOf("config.version"));
  hardware.firmware = std::string(object.TextOf("config.firmware"));
  hardware.vm_path = std::string(object.TextOf("config.files.vmPathName"));
  hardware.cpu_hot_add = IsTrue(object.Property("config.cpuHotAddEnabled"));
  hardware.memory_hot_add = IsTrue(object.Property("config.memoryHotAddEnabled"));
  hardware.nested_hv = IsTrue(object.Property("config.nestedHVEnabled"));
  pugi::xml_node parts = object.Property("config.hardware");
  hardware.cpus = static_cast<int>(IntAt(parts, "numCPU"));
  hardware.cores_per_socket = static_cast<int>(IntAt(parts, "numCoresPerSocket"));
  hardware.memory_mb = IntAt(parts, "memoryMB");
  // Devices repeat as <device> here; wrapped lists hold them as children of one node.
  pugi::xml_document wrapped;
  pugi::xml_node list = wrapped.append_child("devices");
  for (pugi::xml_node device : parts.children("device")) list.append_copy(device);
  hardware.devices = ReadDevices(list);
  hardware.occupied_bytes = OccupiedBytes(object.Property("layoutEx.file"), hardware.devices);
  std::string uuid = ExtraConfig(object.Property("config.extraConfig"), "disk.EnableUUID");
  hardware.disk_uuid = absl::EqualsIgnoreCase(uuid, "true");
  hardware.boot_options =
      Again(object.Property("config.bootOptions"),
            {"bootDelay", "efiSecureBootEnabled", "bootRetryEnabled", "bootRetryDelay"});
  hardware.cpu_allocation =
      AllocationAgain("cpuAllocation", object.Property("config.cpuAllocation"));
  hardware.memory_allocation =
      AllocationAgain("memoryAllocation", object.Property("config.memoryAllocation"));
  return hardware;
}

absl::Status CheckTemplate(const TemplateHardware& hardware, const core::CopySpec& spec,
                           absl::string_view where) {
  auto refuse = [&](absl::string_view reason, absl::string_view problem) {
    return MakeError(absl::StatusCode::kFailedPrecondition, reason,
                     absl::StrCat("template ", hardware.name, " on ", where, " ", problem));
  };
  if (hardware.power != "poweredOff") {
    return refuse("TEMPLATE_RUNNING",
                  "is not powered off: its disks are in use; shut it down first");
  }
  if (hardware.has_snapshot) {
    return refuse("TEMPLATE_HAS_SNAPSHOT", "has a snapshot; remove its snapshots first");
  }
  if (hardware.devices.disks.empty()) return refuse("TEMPLATE_UNFIT", "has no disk");
  for (const auto& disk : hardware.devices.disks) {
    if (disk.file.empty() || disk.is_delta) {
      return refuse("TEMPLATE_UNFIT", absl::StrCat("has a disk that is no plain disk file (",
                                                   disk.backing_type, "), which cannot be copied"));
    }
    const Controller* controller = ControllerOf(hardware.devices, disk.controller_key);
    if (controller == nullptr) {
      return refuse("TEMPLATE_UNFIT", absl::StrCat("has the disk ", disk.file,
                                                   " on a controller that is neither SCSI, SATA "
                                                   "nor NVMe, which is not copied"));
    }
  }
  if (!spec.port_group().empty() && hardware.devices.adapters.empty()) {
    return refuse("TEMPLATE_UNFIT", "has no network adapter to put on a port group");
  }
  if (spec.disk_gb() > 0 && spec.disk_gb() * kKbInGb < hardware.devices.disks[0].capacity_kb) {
    return InvalidField("disk_gb",
                        absl::StrCat("template ", hardware.name, " has a disk of ",
                                     DiskGb(hardware.devices), " GB; a copy cannot be smaller"));
  }
  return absl::OkStatus();
}

std::string CreateSpec(const TemplateHardware& hardware, const core::CopySpec& spec,
                       absl::string_view datastore, absl::string_view network) {
  int cpus = spec.cpus() > 0 ? spec.cpus() : hardware.cpus;
  int64_t memory = spec.memory_mb() > 0 ? spec.memory_mb() : hardware.memory_mb;
  std::string text =
      absl::StrCat(Xml("name", EscapeName(spec.vm_name())), Xml("version", hardware.version),
                   Xml("guestId", hardware.guest_id));
  if (!hardware.alternate_guest_name.empty()) {
    absl::StrAppend(&text, Xml("alternateGuestName", hardware.alternate_guest_name));
  }
  absl::StrAppend(
      &text, Xml("annotation", UidNote(spec.uid())),
      XmlOf("files", Xml("vmPathName", absl::StrCat("[", datastore, "]"))),
      Xml("numCPUs", int64_t{cpus}),
      Xml("numCoresPerSocket", int64_t{CoresPerSocket(hardware.cores_per_socket, cpus)}),
      Xml("memoryMB", memory));
  if (hardware.memory_hot_add) absl::StrAppend(&text, Xml("memoryHotAddEnabled", true));
  if (hardware.cpu_hot_add) absl::StrAppend(&text, Xml("cpuHotAddEnabled", true));
  int key = -100;
  for (const auto& controller : hardware.devices.controllers) {
    absl::StrAppend(&text, NewController(controller, --key));
  }
  bool first = true;
  for (const auto& adapter : hardware.devices.adapters) {
    absl::StrAppend(&text, NewAdapter(adapter, first ? network : adapter.network, --key));
    first = false;
  }
  // Reservations fit the template's sizes only.
  if (spec.cpus() == 0) absl::StrAppend(&text, hardware.cpu_allocation);
  if (spec.memory_mb() == 0) absl::StrAppend(&text, hardware.memory_allocation);
  absl::StrAppend(&text, Option(kUidKey, spec.uid()));
  if (hardware.disk_uuid) absl::StrAppend(&text, Option("disk.EnableUUID", "TRUE"));
  if (!hardware.boot_options.empty()) {
    absl::StrAppend(&text, XmlOf("bootOptions", hardware.boot_options));
  }
  if (!hardware.firmware.empty()) absl::StrAppend(&text, Xml("firmware", hardware.firmware));
  if (hardware.nested_hv) absl::StrAppend(&text, Xml("nestedHVEnabled", true));
  return XmlOf("config", text);
}

std::vector<PlannedDisk> PlanDisks(const TemplateHardware& hardware, absl::string_view folder) {
  std::vector<PlannedDisk> planned;
  absl::string_view name = folder.substr(folder.find("] ") + 2);
  name = name.substr(name.rfind('/') + 1);
  for (const auto& disk : hardware.devices.disks) {
    const Controller* controller = ControllerOf(hardware.devices, disk.controller_key);
    PlannedDisk& one = planned.emplace_back();
    one.source = disk.file;
    one.target =
        absl::StrCat(folder, "/", DiskFileName(name, static_cast<int>(planned.size()) - 1));
    one.capacity_kb = disk.capacity_kb;
    one.mode = disk.mode.empty() ? "persistent" : disk.mode;
    one.controller_type = controller == nullptr ? "" : controller->type;
    one.bus = controller == nullptr ? 0 : controller->bus;
    one.unit = disk.unit;
  }
  return planned;
}

absl::StatusOr<std::string> AttachSpec(const std::vector<PlannedDisk>& disks,
                                       const DeviceList& devices) {
  std::string text;
  int key = 0;
  for (const auto& disk : disks) {
    auto attached =
        std::find_if(devices.disks.begin(), devices.disks.end(),
                     [&](const Disk& existing) { return existing.file == disk.target; });
    if (attached != devices.disks.end()) continue;
    auto controller = std::find_if(
        devices.controllers.begin(), devices.controllers.end(), [&](const Controller& existing) {
          return existing.type == disk.controller_type && existing.bus == disk.bus;
        });
    if (controller == devices.controllers.end()) {
      return MakeError(absl::StatusCode::kFailedPrecondition, "INVALID_HARDWARE",
                       absl::StrCat("the copy has no controller ", disk.controller_type, " ",
                                    disk.bus, " for ", disk.target));
    }
    std::string backing =
        XmlTyped("backing", "VirtualDiskFlatVer2BackingInfo",
                 absl::StrCat(Xml("fileName", disk.target), Xml("diskMode", disk.mode)));
    absl::StrAppend(&text, DeviceChange("add", "VirtualDisk",
                                        absl::StrCat(Xml("key", int64_t{--key}), backing,
                                                     Xml("controllerKey", int64_t{controller->key}),
                                                     Xml("unitNumber", int64_t{disk.unit}),
                                                     Xml("capacityInKB", disk.capacity_kb))));
  }
  return text.empty() ? "" : XmlOf("spec", text);
}

std::string CloneSpec(const core::CopySpec& spec, const MoRef& datastore, const MoRef& pool,
                      const MoRef& host) {
  std::string location;
  if (!datastore.empty()) absl::StrAppend(&location, XmlRef("datastore", datastore));
  if (!pool.empty()) absl::StrAppend(&location, XmlRef("pool", pool));
  if (!host.empty()) absl::StrAppend(&location, XmlRef("host", host));
  return XmlOf("spec",
               absl::StrCat(XmlOf("location", location), Xml("template", false),
                            XmlOf("config", absl::StrCat(Xml("annotation", UidNote(spec.uid())),
                                                         Option(kUidKey, spec.uid()))),
                            Xml("powerOn", false)));
}

absl::StatusOr<std::string> HardwareSpec(const core::HardwareChange& change,
                                         const DeviceList& devices, int cores_per_socket,
                                         absl::string_view network_backing) {
  std::string text;
  if (change.cpus() > 0) {
    absl::StrAppend(&text, Xml("numCPUs", int64_t{change.cpus()}));
    int cores = CoresPerSocket(cores_per_socket, change.cpus());
    if (cores != cores_per_socket) absl::StrAppend(&text, Xml("numCoresPerSocket", int64_t{cores}));
  }
  if (change.memory_mb() > 0) absl::StrAppend(&text, Xml("memoryMB", int64_t{change.memory_mb()}));
  if (change.disk_gb() > 0) {
    if (devices.disks.empty()) return InvalidField("disk_gb", "the VM has no disk");
    const Disk& disk = devices.disks[0];
    int64_t wanted = change.disk_gb() * kKbInGb;
    if (wanted < disk.capacity_kb) {
      return InvalidField("disk_gb", absl::StrCat("the disk has ", DiskGb(devices),
                                                  " GB and cannot become smaller"));
    }
    if (wanted > disk.capacity_kb) {
      std::string backing =
          XmlTyped("backing", "VirtualDiskFlatVer2BackingInfo",
                   absl::StrCat(Xml("fileName", disk.file),
                                Xml("diskMode", disk.mode.empty() ? "persistent" : disk.mode)));
      absl::StrAppend(&text,
                      DeviceChange("edit", "VirtualDisk",
                                   absl::StrCat(Xml("key", int64_t{disk.key}), backing,
                                                Xml("controllerKey", int64_t{disk.controller_key}),
                                                Xml("unitNumber", int64_t{disk.unit}),
                                                Xml("capacityInKB", wanted))));
    }
  }
  if (!network_backing.empty() && !devices.adapters.empty()) {
    absl::StrAppend(&text, DeviceChange("edit", devices.adapters[0].type,
                                        absl::StrCat(Xml("key", int64_t{devices.adapters[0].key}),
                                                     network_backing)));
  }
  return text.empty() ? "" : XmlOf("spec", text);
}

std::string PortGroupBacking(absl::string_view name) {
  return XmlTyped("backing", "VirtualEthernetCardNetworkBackingInfo", Xml("deviceName", name));
}

std::string DistributedBacking(absl::string_view switch_uuid, absl::string_view key) {
  return XmlTyped(
      "backing", "VirtualEthernetCardDistributedVirtualPortBackingInfo",
      XmlOf("port", absl::StrCat(Xml("switchUuid", switch_uuid), Xml("portgroupKey", key))));
}

std::string FolderOfPath(absl::string_view path) {
  size_t bracket = path.find("] ");
  size_t slash = path.rfind('/');
  if (bracket == absl::string_view::npos || slash == absl::string_view::npos) return "";
  if (slash <= bracket + 2) return "";
  return std::string(path.substr(0, slash));
}

bool IsInFolder(absl::string_view path, absl::string_view folder) {
  return !folder.empty() && absl::ConsumePrefix(&path, folder) && absl::ConsumePrefix(&path, "/") &&
         !path.empty() && !absl::StrContains(path, '/');
}

std::string DiskFileName(absl::string_view vm_name, int index) {
  return index == 0 ? absl::StrCat(vm_name, ".vmdk") : absl::StrCat(vm_name, "_", index, ".vmdk");
}

}  // namespace drover::vsphere
