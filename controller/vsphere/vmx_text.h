// A VM's configuration file, .vmx: lines of key = "value". Keys are the same in upper and lower
// case.
//
// Thread promise: pure functions.
#pragma once

#include <map>
#include <string>
#include <vector>

#include "absl/strings/string_view.h"

namespace drover::vsphere {

// "" when the key is not there.
std::string VmxValue(absl::string_view text, absl::string_view key);

struct VmxDisk {
  // "scsi0:0".
  std::string device;
  // As the file says: beside the .vmx, or an absolute path.
  std::string file;
};
// Disk files in the order of their devices; CD-ROMs are none.
std::vector<VmxDisk> VmxDisks(absl::string_view text);

// The text with these keys set; "" removes one.
std::string WithVmxValues(absl::string_view text, const std::map<std::string, std::string>& values);

// What a copy gets: the text without identity and without what hosts write for themselves.
std::string WithoutIdentity(absl::string_view text);

}  // namespace drover::vsphere
