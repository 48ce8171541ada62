// What a copy of a template is made of: pure decisions and the texts that carry them, for all three
// ways to copy.
//
// A copy gets the template's hardware and never its identity: name, files, uuids, MAC addresses and
// what hosts write into a configuration are made anew.
//
// Thread promise: pure functions and values.
#pragma once

#include <cstdint>
#include <map>
#include <pugixml.hpp>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "controller/core/records.pb.h"
#include "controller/vsphere/devices.h"
#include "controller/vsphere/soap.h"
#include "controller/vsphere/vim_client.h"

namespace drover::vsphere {

// A template as its server describes it.
struct TemplateHardware {
  MoRef vm;
  std::string name;
  std::string vm_path;
  std::string power;
  bool is_template = false;
  bool has_snapshot = false;
  std::string guest_id;
  std::string alternate_guest_name;
  std::string version;
  std::string firmware;
  int cpus = 0;
  int cores_per_socket = 0;
  int64_t memory_mb = 0;
  bool cpu_hot_add = false;
  bool memory_hot_add = false;
  bool nested_hv = false;
  bool disk_uuid = false;
  DeviceList devices;
  // Elements to send again as they are, checked for order.
  std::string boot_options;
  std::string cpu_allocation;
  std::string memory_allocation;
  // vCenter: where a copy is put when nothing else is said.
  MoRef parent;
  MoRef pool;
  MoRef host;
  // What its disks occupy; their whole size when the server does not tell.
  int64_t occupied_bytes = 0;
};

// Paths of the template's properties, and how they are read.
const std::vector<std::string>& TemplatePaths();
TemplateHardware ReadTemplate(const ObjectView& object);

// Why this VM cannot be copied now, as the port's error; OK when it can. `where` names the host.
absl::Status CheckTemplate(const TemplateHardware& hardware, const core::CopySpec& spec,
                           absl::string_view where);

// ---- create and copy (ESXi)

// <config> of CreateVM_Task: everything but the disks. `network`: port group of the first adapter,
// others stay as the template's.
std::string CreateSpec(const TemplateHardware& hardware, const core::CopySpec& spec,
                       absl::string_view datastore, absl::string_view network);

struct PlannedDisk {
  // Datastore paths.
  std::string source;
  std::string target;
  int64_t capacity_kb = 0;
  std::string mode;
  // Where it is attached: the controller of this type and bus, this unit.
  std::string controller_type;
  int bus = 0;
  int unit = 0;
};
// `folder`: "[ds] dir".
std::vector<PlannedDisk> PlanDisks(const TemplateHardware& hardware, absl::string_view folder);
// <spec> of ReconfigVM_Task that attaches those disks; `devices` are the new VM's.
// FAILED_PRECONDITION when the new VM lacks a controller.
absl::StatusOr<std::string> AttachSpec(const std::vector<PlannedDisk>& disks,
                                       const DeviceList& devices);

// ---- clone (vCenter)

// <spec> of CloneVM_Task. Empty references are left out.
std::string CloneSpec(const core::CopySpec& spec, const MoRef& datastore, const MoRef& pool,
                      const MoRef& host);

// ---- all

// <spec> of ReconfigVM_Task for hardware; "" when nothing changes. `network_backing`: new backing
// of the first adapter, "" = stays. INVALID_ARGUMENT for a disk that would shrink.
absl::StatusOr<std::string> HardwareSpec(const core::HardwareChange& change,
                                         const DeviceList& devices, int cores_per_socket,
                                         absl::string_view network_backing);
std::string PortGroupBacking(absl::string_view name);
std::string DistributedBacking(absl::string_view switch_uuid, absl::string_view key);

// "[ds] dir" of "[ds] dir/file"; "" when there is no directory.
std::string FolderOfPath(absl::string_view path);
// Whether the path lies in this folder itself.
bool IsInFolder(absl::string_view path, absl::string_view folder);
// Name of the i-th disk file.
std::string DiskFileName(absl::string_view vm_name, int index);

}  // namespace drover::vsphere
