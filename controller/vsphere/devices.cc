#include "controller/vsphere/devices.h"

#include <algorithm>
#include <iterator>
#include <map>
#include <tuple>

#include "absl/strings/match.h"
#include "controller/vsphere/soap.h"

namespace drover::vsphere {
namespace {

constexpr absl::string_view kDiskControllers[] = {
    "ParaVirtualSCSIController", "VirtualLsiLogicController", "VirtualLsiLogicSASController",
    "VirtualBusLogicController", "VirtualAHCIController",     "VirtualNVMEController"};
constexpr absl::string_view kAdapters[] = {
    "VirtualVmxnet3", "VirtualVmxnet2", "VirtualVmxnet",           "VirtualE1000",
    "VirtualE1000e",  "VirtualPCNet32", "VirtualSriovEthernetCard"};

Disk ReadDisk(pugi::xml_node device) {
  Disk disk;
  disk.key = static_cast<int>(IntAt(device, "key"));
  disk.controller_key = static_cast<int>(IntAt(device, "controllerKey"));
  disk.unit = static_cast<int>(IntAt(device, "unitNumber"));
  disk.capacity_kb = IntAt(device, "capacityInKB");
  pugi::xml_node backing = device.child("backing");
  disk.file = std::string(TextAt(backing, "fileName"));
  disk.mode = std::string(TextAt(backing, "diskMode"));
  disk.backing_type = std::string(XsiType(backing));
  disk.is_delta = bool(backing.child("parent"));
  return disk;
}

}  // namespace

bool IsDiskController(absl::string_view type) {
  return std::find(std::begin(kDiskControllers), std::end(kDiskControllers), type) !=
         std::end(kDiskControllers);
}

bool IsAdapter(absl::string_view type) {
  return std::find(std::begin(kAdapters), std::end(kAdapters), type) != std::end(kAdapters);
}

DeviceList ReadDevices(pugi::xml_node value) {
  DeviceList list;
  for (pugi::xml_node device : value.children()) {
    absl::string_view type = XsiType(device);
    if (type == "VirtualDisk") {
      list.disks.push_back(ReadDisk(device));
    } else if (IsAdapter(type)) {
      list.adapters.push_back({std::string(type), static_cast<int>(IntAt(device, "key")),
                               std::string(TextAt(device, "backing.deviceName"))});
    } else if (IsDiskController(type)) {
      list.controllers.push_back({std::string(type), static_cast<int>(IntAt(device, "key")),
                                  static_cast<int>(IntAt(device, "busNumber")),
                                  std::string(TextAt(device, "sharedBus"))});
    }
  }
  std::map<int, int> bus_of;
  for (const auto& controller : list.controllers) bus_of[controller.key] = controller.bus;
  std::sort(list.disks.begin(), list.disks.end(), [&](const Disk& a, const Disk& b) {
    return std::make_tuple(bus_of[a.controller_key], a.controller_key, a.unit) <
           std::make_tuple(bus_of[b.controller_key], b.controller_key, b.unit);
  });
  return list;
}

int64_t DiskBytes(const DeviceList& devices) {
  int64_t kb = 0;
  for (const auto& disk : devices.disks) kb += disk.capacity_kb;
  return kb * 1024;
}

int DiskGb(const DeviceList& devices) {
  constexpr int64_t kKbInGb = int64_t{1} << 20;
  if (devices.disks.empty()) return 0;
  return static_cast<int>((devices.disks[0].capacity_kb + kKbInGb - 1) / kKbInGb);
}

std::string ExtraConfig(pugi::xml_node value, absl::string_view key) {
  for (pugi::xml_node option : value.children()) {
    if (TextAt(option, "key") == key) return std::string(TextAt(option, "value"));
  }
  return "";
}

}  // namespace drover::vsphere
