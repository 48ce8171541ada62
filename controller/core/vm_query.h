// VMs as the model keeps them, and the pure questions asked of a list of them: one page of a
// filtered, ordered list (DASH-3), and totals (DASH-1, ENV-1). Thread promise: pure functions; rows
// never change once made.
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "controller/core/records.pb.h"
#include "drover/v1/activity.pb.h"
#include "drover/v1/inventory.pb.h"

namespace drover::core {

// One VM at one moment. A changed VM is another row, so that a list can be read without a lock.
struct VmRow {
  drover::v1::Vm vm;
  // VmRecord.sealed_secrets.
  std::string sealed_secrets;
  // What of the VM must last, serialized: equal texts need no write.
  std::string durable;
  // Lower-case text that a search looks into.
  std::string search_text;
  // AddressOf as a number, 0 without one.
  uint32_t address = 0;
};
using VmRowPtr = std::shared_ptr<const VmRow>;
// By name.
using VmList = std::vector<VmRowPtr>;

VmRowPtr MakeVmRow(drover::v1::Vm vm, std::string sealed_secrets);
// Without what is only true at the moment.
drover::v1::Vm DurableVm(const drover::v1::Vm& vm);
// The address it was given, else the one VMware Tools report, else "".
const std::string& AddressOf(const drover::v1::Vm& vm);

struct VmSelection {
  std::vector<VmRowPtr> rows;
  // "" on the last page.
  std::string next_page_token;
  int total_size = 0;
};
// INVALID_ARGUMENT naming page_size, page_token, skip or order_by.
absl::StatusOr<VmSelection> SelectVms(const VmList& vms, const drover::v1::ListVmsRequest& request);

// Counts of one type or environment, or of all.
struct VmCounts {
  int total = 0;
  int up = 0;
  int down = 0;
  int unknown = 0;
  int powered_off = 0;
  // Not powered off and known to be unreachable.
  int missed = 0;
  // Not powered off and reachable.
  int present = 0;
  // VMs with a service down, or gone from their hypervisor.
  int troubled = 0;
  int agents_connected = 0;
};
struct VmTotals {
  VmCounts all;
  // By resource name.
  std::map<std::string, VmCounts> by_type;
  std::map<std::string, VmCounts> by_environment;
  std::map<std::string, VmCounts> by_hypervisor;
};
VmTotals CountVms(const VmList& vms);
drover::v1::Environment::Health HealthOf(const VmCounts& counts);

}  // namespace drover::core
