// The virtual devices of a VM, as far as copies and changes of hardware need them.
//
// Thread promise: pure functions and values.
#pragma once

#include <cstdint>
#include <pugixml.hpp>
#include <string>
#include <vector>

#include "absl/strings/string_view.h"

namespace drover::vsphere {

struct Controller {
  // Class, e.g. "ParaVirtualSCSIController".
  std::string type;
  int key = 0;
  int bus = 0;
  // SCSI only.
  std::string shared_bus;
};

struct Disk {
  int key = 0;
  int controller_key = 0;
  int unit = 0;
  int64_t capacity_kb = 0;
  // "[ds] folder/file.vmdk"; "" for a disk that is no file of the VM (a raw device).
  std::string file;
  std::string mode;
  std::string backing_type;
  // Has a parent: what a snapshot or a linked clone makes.
  bool is_delta = false;
};

struct Adapter {
  // Class, e.g. "VirtualVmxnet3".
  std::string type;
  int key = 0;
  // Port group; "" when it is known to a distributed switch only.
  std::string network;
};

struct DeviceList {
  std::vector<Controller> controllers;
  // In the order of controller and unit: the first is the one it boots from, as a rule.
  std::vector<Disk> disks;
  std::vector<Adapter> adapters;
};

// From the value of config.hardware.device.
DeviceList ReadDevices(pugi::xml_node value);
// Size of the first disk, rounded up: the one that can be asked for and grown.
int DiskGb(const DeviceList& devices);
// Of all disks.
int64_t DiskBytes(const DeviceList& devices);
// Value of one key of config.extraConfig, "" without it.
std::string ExtraConfig(pugi::xml_node value, absl::string_view key);

bool IsDiskController(absl::string_view type);
bool IsAdapter(absl::string_view type);

}  // namespace drover::vsphere
