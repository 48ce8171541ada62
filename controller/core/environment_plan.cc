#include "controller/core/environment_plan.h"

#include <algorithm>
#include <set>
#include <tuple>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/strings/str_join.h"
#include "controller/core/address_allocator.h"
#include "controller/core/ipv4.h"
#include "controller/core/paging.h"
#include "proto/support/resource_name.h"
#include "proto/support/status.h"

namespace drover::core {
namespace {

using drover::v1::EnvironmentDocument;
using drover::v1::EnvironmentPlan;
using drover::v1::PlannedVm;
using drover::v1::Vm;
using drover::v1::VmEntry;
using drover::v1::VmGroup;

// A VM that the document asks for.
struct Wanted {
  std::string name;
  std::string ip;
  std::string hypervisor;
  std::string remark;
  int group = 0;
  // Of what in the document it comes from.
  std::string path;
};

class Planner {
 public:
  Planner(const EnvironmentDocument& document, bool delete_missing, const PlanInputs& inputs)
      : document_(document), delete_missing_(delete_missing), inputs_(inputs) {}

  absl::StatusOr<EnvironmentPlan> Plan();

 private:
  void CheckDocument();
  void CheckAddress(const std::string& address, const std::string& path);
  void CheckHypervisors(const google::protobuf::RepeatedPtrField<std::string>& names,
                        const std::string& path);
  std::vector<AddressRange> ParsePool(const google::protobuf::RepeatedPtrField<std::string>& pool,
                                      const std::string& path);
  void CheckGroup(int index);
  void CollectWanted();
  void CollectGroup(int index, const std::set<std::string>& given);
  void TakeKnownAddresses();
  void PlanWanted(const Wanted& wanted);
  void PlanCreation(const Wanted& wanted);
  void PlanExisting(const Wanted& wanted, const Vm& vm);
  bool AssignAddress(const Wanted& wanted, Vm& vm);
  void CheckInNetwork(uint32_t address, const std::string& path);
  std::string Place(const Wanted& wanted);
  void PlanMissing();
  void TellPoolProblems();
  void WarnOfTemplates();
  void CompareEnvironment();

  std::string PrefixOf(const VmGroup& group) const {
    if (!group.name_prefix().empty()) return group.name_prefix();
    return absl::StrCat(document_.environment(), "-", IdOf(group.type()));
  }
  const Vm* FindVm(const std::string& name) const;
  const drover::v1::VmType* FindType(const std::string& name) const;
  bool HasHypervisor(const std::string& name) const;

  const EnvironmentDocument& document_;
  const bool delete_missing_;
  const PlanInputs& inputs_;

  Violations violations_;
  EnvironmentPlan plan_;
  std::vector<Wanted> wanted_;
  AddressAllocator addresses_;
  std::vector<AddressRange> document_pool_;
  std::vector<std::vector<AddressRange>> group_pools_;
  // VMs of a group that got no address from its pool.
  std::map<int, int> without_address_;
  // VMs on a hypervisor, of this environment, by type.
  std::map<std::pair<std::string, std::string>, int> placed_;
  std::set<std::string> told_;
};

std::string GroupPath(int index) { return absl::StrCat("document.groups[", index, "]"); }

// The fields a plan is about, so that equal plans have equal digests.
Vm Identity(const Vm& vm) {
  Vm identity;
  identity.set_name(vm.name());
  identity.set_uid(vm.uid());
  identity.set_environment(vm.environment());
  identity.set_type(vm.type());
  identity.set_hypervisor(vm.hypervisor());
  identity.mutable_network()->set_ip(AddressOf(vm));
  return identity;
}

absl::StatusOr<EnvironmentPlan> Planner::Plan() {
  CheckDocument();
  for (int i = 0; i < document_.groups_size(); ++i) CheckGroup(i);
  // What is asked for can be understood only when this much is right.
  DROVER_RETURN_IF_ERROR(violations_.ToStatus());
  plan_.set_environment(ResourceName("environments", document_.environment()));
  plan_.set_create_environment(!inputs_.environment.has_value());
  CollectWanted();
  TakeKnownAddresses();
  for (const Wanted& wanted : wanted_) PlanWanted(wanted);
  TellPoolProblems();
  PlanMissing();
  CompareEnvironment();
  WarnOfTemplates();
  DROVER_RETURN_IF_ERROR(violations_.ToStatus());
  EnvironmentPlan identity = plan_;
  identity.clear_warnings();
  identity.clear_unchanged();
  plan_.set_digest(Fingerprint(identity.SerializeAsString()));
  return plan_;
}

void Planner::CheckAddress(const std::string& address, const std::string& path) {
  if (!address.empty() && !ParseIpv4(address)) {
    violations_.Add(path, absl::StrCat("\"", address, "\" is not an address like 10.0.0.1"));
  }
}

void Planner::CheckDocument() {
  if (!IsValidId(document_.environment())) {
    violations_.Add("document.environment",
                    absl::StrCat("\"", document_.environment(),
                                 "\" is not an id: 1 to 63 lower-case letters, digits and '-'"));
  }
  const auto& network = document_.network();
  if (!network.ip().empty()) {
    violations_.Add("document.network.ip",
                    "belongs to one VM; give vms[].ip or an address_pool instead");
  }
  if (!network.netmask().empty() && !ParseNetmask(network.netmask())) {
    violations_.Add("document.network.netmask",
                    absl::StrCat("\"", network.netmask(), "\" is not a mask like 255.255.255.0"));
  }
  CheckAddress(network.gateway(), "document.network.gateway");
  CheckAddress(network.dns1(), "document.network.dns1");
  CheckAddress(network.dns2(), "document.network.dns2");
  CheckHypervisors(document_.hypervisors(), "document.hypervisors");
  document_pool_ = ParsePool(document_.address_pool(), "document.address_pool");
}

void Planner::CheckHypervisors(const google::protobuf::RepeatedPtrField<std::string>& names,
                               const std::string& path) {
  for (int i = 0; i < names.size(); ++i) {
    if (HasHypervisor(names[i])) continue;
    violations_.Add(absl::StrCat(path, "[", i, "]"),
                    absl::StrCat("there is no hypervisor ", IdOf(names[i])));
  }
}

std::vector<AddressRange> Planner::ParsePool(
    const google::protobuf::RepeatedPtrField<std::string>& pool, const std::string& path) {
  std::vector<AddressRange> ranges;
  for (int i = 0; i < pool.size(); ++i) {
    absl::StatusOr<AddressRange> range = ParseAddressRange(pool[i]);
    if (range.ok()) {
      ranges.push_back(*range);
    } else {
      violations_.Add(absl::StrCat(path, "[", i, "]"), range.status().message());
    }
  }
  return ranges;
}

void Planner::CheckGroup(int index) {
  const VmGroup& group = document_.groups(index);
  const std::string path = GroupPath(index);
  if (FindType(group.type()) == nullptr) {
    violations_.Add(path + ".type", absl::StrCat("there is no type \"", IdOf(group.type()), "\""));
  }
  if (group.count() < 0 || group.count() > 1000) {
    violations_.Add(path + ".count", absl::StrCat("is ", group.count(), "; it is 1 to 1000"));
  } else if (group.count() == 0 && group.vms().empty()) {
    violations_.Add(path + ".count", "is required for a group that lists no VMs");
  } else if (group.count() > 0 && group.count() < group.vms_size()) {
    violations_.Add(path + ".count", absl::StrCat("is ", group.count(), ", less than the ",
                                                  group.vms_size(), " VMs listed"));
  }
  if (!group.name_prefix().empty() && !IsValidId(group.name_prefix())) {
    violations_.Add(path + ".name_prefix",
                    "is not of lower-case letters, digits and '-', ending with none of '-'");
  }
  for (auto [field, value] : {std::pair<const char*, int>{".cpus", group.cpus()},
                              {".memory_mb", group.memory_mb()},
                              {".disk_gb", group.disk_gb()}}) {
    if (value < 0) violations_.Add(path + field, "is below 0");
  }
  CheckHypervisors(group.hypervisors(), path + ".hypervisors");
  group_pools_.push_back(ParsePool(group.address_pool(), path + ".address_pool"));
  for (int i = 0; i < group.vms_size(); ++i) {
    const VmEntry& entry = group.vms(i);
    const std::string at = absl::StrCat(path, ".vms[", i, "]");
    if (!entry.vm().empty() && !IsValidId(entry.vm())) {
      violations_.Add(at + ".vm",
                      absl::StrCat("\"", entry.vm(),
                                   "\" is not an id: 1 to 63 lower-case letters, digits and '-'"));
    }
    CheckAddress(entry.ip(), at + ".ip");
    if (!entry.hypervisor().empty() && !HasHypervisor(entry.hypervisor())) {
      violations_.Add(at + ".hypervisor",
                      absl::StrCat("there is no hypervisor ", IdOf(entry.hypervisor())));
    }
  }
}

void Planner::CollectWanted() {
  std::map<std::string, std::string> given;
  std::set<std::string> names;
  for (int g = 0; g < document_.groups_size(); ++g) {
    for (int i = 0; i < document_.groups(g).vms_size(); ++i) {
      const std::string& name = document_.groups(g).vms(i).vm();
      const std::string path = absl::StrCat(GroupPath(g), ".vms[", i, "]");
      if (name.empty()) continue;
      auto [other, is_new] = given.emplace(name, path);
      if (!is_new) {
        violations_.Add(path + ".vm",
                        absl::StrCat("\"", name, "\" is the name of ", other->second, " too"));
      }
      names.insert(name);
    }
  }
  std::map<std::string, int> prefixes;
  for (int g = 0; g < document_.groups_size(); ++g) {
    const VmGroup& group = document_.groups(g);
    bool makes_names = group.count() > group.vms_size() ||
                       std::any_of(group.vms().begin(), group.vms().end(),
                                   [](const VmEntry& entry) { return entry.vm().empty(); });
    auto [other, is_new] = prefixes.emplace(PrefixOf(group), g);
    if (makes_names && !is_new) {
      violations_.Add(
          GroupPath(g) + ".name_prefix",
          absl::StrCat("is required: the names made would be those of ", GroupPath(other->second)));
      continue;
    }
    if (!makes_names && is_new) prefixes.erase(other);
    CollectGroup(g, names);
  }
}

void Planner::CollectGroup(int index, const std::set<std::string>& given) {
  const VmGroup& group = document_.groups(index);
  const std::string prefix = PrefixOf(group);
  int number = 0;
  auto make_name = [&] {
    for (;;) {
      std::string name = absl::StrFormat("%s-%02d", prefix, ++number);
      if (!given.contains(name)) return name;
    }
  };
  int count = std::max(group.count(), group.vms_size());
  for (int i = 0; i < count; ++i) {
    Wanted wanted;
    wanted.group = index;
    wanted.path = GroupPath(index);
    if (i < group.vms_size()) {
      const VmEntry& entry = group.vms(i);
      wanted.path = absl::StrCat(GroupPath(index), ".vms[", i, "]");
      wanted.name = entry.vm();
      wanted.ip = entry.ip();
      wanted.hypervisor = entry.hypervisor();
      wanted.remark = entry.remark();
    }
    if (wanted.name.empty()) wanted.name = make_name();
    if (!IsValidId(wanted.name)) {
      violations_.Add(wanted.path + ".name_prefix",
                      absl::StrCat("makes the name ", wanted.name, ", which is too long"));
      return;
    }
    wanted_.push_back(std::move(wanted));
  }
}

void Planner::TakeKnownAddresses() {
  for (const VmRowPtr& row : inputs_.vms) {
    if (row->address != 0) addresses_.Take(row->address, absl::StrCat("VM ", IdOf(row->vm.name())));
    if (auto seen = ParseIpv4(row->vm.reported_ip())) {
      addresses_.Take(*seen, absl::StrCat("VM ", IdOf(row->vm.name())));
    }
    if (row->vm.environment() == plan_.environment()) {
      ++placed_[{row->vm.hypervisor(), row->vm.type()}];
    }
  }
  for (const auto& [address, holder] : inputs_.foreign_addresses) addresses_.Take(address, holder);
  const auto& network = document_.network();
  if (auto gateway = ParseIpv4(network.gateway())) {
    addresses_.Take(*gateway, "the gateway");
    if (auto mask = ParseNetmask(network.netmask()); mask && ~*mask > 1) {
      addresses_.Take(*gateway & *mask, "the network itself");
      addresses_.Take(*gateway | ~*mask, "the network's broadcast");
    }
  }
  for (const std::string* dns : {&network.dns1(), &network.dns2()}) {
    if (auto address = ParseIpv4(*dns)) addresses_.Take(*address, "a name server");
  }
  // Addresses given in the document come before those taken from its pools.
  for (const Wanted& wanted : wanted_) {
    auto address = ParseIpv4(wanted.ip);
    if (!address || FindVm(ResourceName("vms", wanted.name)) != nullptr) continue;
    std::string holder = addresses_.HolderOf(*address);
    if (holder.empty()) {
      addresses_.Take(*address, absl::StrCat("VM ", wanted.name));
    } else {
      violations_.Add(wanted.path + ".ip", absl::StrCat(wanted.ip, " belongs to ", holder));
    }
  }
}

void Planner::PlanWanted(const Wanted& wanted) {
  const std::string name = ResourceName("vms", wanted.name);
  const VmGroup& group = document_.groups(wanted.group);
  const Vm* vm = FindVm(name);
  if (vm == nullptr) {
    PlanCreation(wanted);
  } else if (vm->environment() != plan_.environment()) {
    violations_.Add(wanted.path, absl::StrCat("the name ", wanted.name, " belongs to a VM of ",
                                              vm->environment()));
  } else if (vm->type() != group.type()) {
    violations_.Add(wanted.path,
                    absl::StrCat("VM ", wanted.name, " exists and is of ", vm->type()));
  } else if (vm->state() == Vm::STATE_DELETING) {
    violations_.Add(wanted.path,
                    absl::StrCat("VM ", wanted.name, " is being deleted; wait until it is gone"));
  } else {
    PlanExisting(wanted, *vm);
  }
}

void Planner::PlanCreation(const Wanted& wanted) {
  const VmGroup& group = document_.groups(wanted.group);
  const drover::v1::VmType& type = *FindType(group.type());
  Vm vm;
  vm.set_name(ResourceName("vms", wanted.name));
  vm.set_environment(plan_.environment());
  vm.set_type(group.type());
  vm.set_hypervisor(Place(wanted));
  vm.set_datastore(group.datastore());
  vm.set_port_group(group.port_group());
  vm.set_cpus(group.cpus() > 0 ? group.cpus() : type.cpus());
  vm.set_memory_mb(group.memory_mb() > 0 ? group.memory_mb() : type.memory_mb());
  vm.set_disk_gb(group.disk_gb() > 0 ? group.disk_gb() : type.disk_gb());
  vm.set_remark(wanted.remark);
  *vm.mutable_network() = document_.network();
  if (document_.network().netmask().empty() && told_.insert("netmask").second) {
    violations_.Add("document.network.netmask", "is required for VMs that are to be created");
  }
  if (!AssignAddress(wanted, vm)) return;
  PlannedVm* change = plan_.add_changes();
  change->set_action(PlannedVm::ACTION_CREATE);
  *change->mutable_vm() = std::move(vm);
}

bool Planner::AssignAddress(const Wanted& wanted, Vm& vm) {
  const VmGroup& group = document_.groups(wanted.group);
  std::string path = wanted.path + ".ip";
  std::optional<uint32_t> address = ParseIpv4(wanted.ip);
  if (!address) {
    bool own = !group.address_pool().empty();
    path = own ? GroupPath(wanted.group) + ".address_pool" : "document.address_pool";
    address = addresses_.Next(own ? group_pools_[wanted.group] : document_pool_,
                              absl::StrCat("VM ", wanted.name));
  }
  if (!address) {
    ++without_address_[wanted.group];
    return false;
  }
  vm.mutable_network()->set_ip(FormatIpv4(*address));
  CheckInNetwork(*address, path);
  return true;
}

void Planner::CheckInNetwork(uint32_t address, const std::string& path) {
  auto gateway = ParseIpv4(document_.network().gateway());
  auto mask = ParseNetmask(document_.network().netmask());
  if (!gateway || !mask || (address & *mask) == (*gateway & *mask)) return;
  if (!told_.insert(path).second) return;
  violations_.Add(path, absl::StrCat(FormatIpv4(address), " is not in the network of the gateway ",
                                     document_.network().gateway(), " with the netmask ",
                                     document_.network().netmask()));
}

void Planner::TellPoolProblems() {
  for (const auto& [index, count] : without_address_) {
    const VmGroup& group = document_.groups(index);
    bool own = !group.address_pool().empty();
    if (own || !document_.address_pool().empty()) {
      violations_.Add(own ? GroupPath(index) + ".address_pool" : "document.address_pool",
                      absl::StrCat("has no free address left for ", count, " VMs of ",
                                   GroupPath(index), "; make it larger"));
    } else {
      violations_.Add(
          GroupPath(index),
          absl::StrCat(count, " VMs have no address; give vms[].ip or an address_pool"));
    }
  }
}

// With several hypervisors to choose from, the one with the fewest VMs of the environment and type.
// Without any, the choice is made by free space when the VM is created.
std::string Planner::Place(const Wanted& wanted) {
  const VmGroup& group = document_.groups(wanted.group);
  std::string chosen = wanted.hypervisor;
  if (chosen.empty()) {
    const auto& candidates =
        group.hypervisors().empty() ? document_.hypervisors() : group.hypervisors();
    for (const std::string& candidate : candidates) {
      if (chosen.empty() || placed_[{candidate, group.type()}] < placed_[{chosen, group.type()}]) {
        chosen = candidate;
      }
    }
  }
  if (!chosen.empty()) ++placed_[{chosen, group.type()}];
  return chosen;
}

void Planner::PlanExisting(const Wanted& wanted, const Vm& vm) {
  const VmGroup& group = document_.groups(wanted.group);
  const absl::string_view id = IdOf(vm.name());
  PlannedVm change;
  change.set_action(PlannedVm::ACTION_CHANGE);
  *change.mutable_vm() = Identity(vm);
  auto differ = [&change](absl::string_view what, int has, int wants, absl::string_view unit) {
    if (wants == 0 || has == 0 || has == wants) return false;
    change.add_differences(absl::StrCat(what, " ", has, unit, " -> ", wants, unit));
    return true;
  };
  if (differ("CPUs", vm.cpus(), group.cpus(), "")) change.mutable_vm()->set_cpus(group.cpus());
  if (differ("memory", vm.memory_mb(), group.memory_mb(), " MB")) {
    change.mutable_vm()->set_memory_mb(group.memory_mb());
  }
  if (group.disk_gb() > 0 && group.disk_gb() < vm.disk_gb()) {
    violations_.Add(GroupPath(wanted.group) + ".disk_gb",
                    absl::StrCat("is ", group.disk_gb(), ", VM ", id, " has ", vm.disk_gb(),
                                 " GB; a disk never shrinks"));
  } else if (differ("disk", vm.disk_gb(), group.disk_gb(), " GB")) {
    change.mutable_vm()->set_disk_gb(group.disk_gb());
  }
  if (!wanted.remark.empty() && wanted.remark != vm.remark()) {
    change.add_differences(absl::StrCat("remark \"", vm.remark(), "\" -> \"", wanted.remark, "\""));
    change.mutable_vm()->set_remark(wanted.remark);
  }
  if (!wanted.ip.empty() && wanted.ip != AddressOf(vm)) {
    plan_.add_warnings(absl::StrCat("VM ", id, " has the address ", AddressOf(vm),
                                    " and keeps it; the document says ", wanted.ip));
  }
  if (!wanted.hypervisor.empty() && wanted.hypervisor != vm.hypervisor()) {
    plan_.add_warnings(absl::StrCat("VM ", id, " is on ", IdOf(vm.hypervisor()),
                                    " and stays there; the document says ",
                                    IdOf(wanted.hypervisor)));
  }
  if (vm.state() == Vm::STATE_MISSING) {
    plan_.add_warnings(
        absl::StrCat("VM ", id, " is missing on its hypervisor ", IdOf(vm.hypervisor())));
  }
  if (change.differences().empty()) {
    plan_.set_unchanged(plan_.unchanged() + 1);
  } else {
    *plan_.add_changes() = std::move(change);
  }
}

void Planner::PlanMissing() {
  std::set<std::string> wanted;
  for (const Wanted& one : wanted_) wanted.insert(ResourceName("vms", one.name));
  for (const VmRowPtr& row : inputs_.vms) {
    const Vm& vm = row->vm;
    if (vm.environment() != plan_.environment() || wanted.contains(vm.name()) ||
        vm.state() == Vm::STATE_DELETING) {
      continue;
    }
    if (!delete_missing_) {
      plan_.add_warnings(absl::StrCat("VM ", IdOf(vm.name()),
                                      " is in the environment and not in the document; it stays"));
      continue;
    }
    PlannedVm* change = plan_.add_changes();
    change->set_action(PlannedVm::ACTION_DELETE);
    *change->mutable_vm() = Identity(vm);
  }
}

void Planner::CompareEnvironment() {
  if (!inputs_.environment) return;
  auto differ = [this](absl::string_view what, const std::string& has, const std::string& wants) {
    if (wants.empty() || has == wants) return;
    plan_.add_environment_differences(absl::StrCat(what, " \"", has, "\" -> \"", wants, "\""));
  };
  differ("display name", inputs_.environment->display_name(), document_.display_name());
  differ("description", inputs_.environment->description(), document_.description());
}

void Planner::WarnOfTemplates() {
  std::set<std::pair<std::string, std::string>> told;
  for (const PlannedVm& change : plan_.changes()) {
    if (change.action() != PlannedVm::ACTION_CREATE) continue;
    const std::string& wanted_host = change.vm().hypervisor();
    const std::string& name = FindType(change.vm().type())->template_();
    if (!told.insert({name, wanted_host}).second) continue;
    bool there = false;
    for (const auto& host : inputs_.hypervisors) {
      bool asked = wanted_host.empty() || wanted_host == host.name();
      there |= asked && std::find(host.templates().begin(), host.templates().end(), name) !=
                            host.templates().end();
    }
    if (there) continue;
    plan_.add_warnings(absl::StrCat(
        "the template ", name, " was not seen on ",
        wanted_host.empty() ? "any hypervisor" : absl::StrCat("hypervisor ", IdOf(wanted_host))));
  }
}

const Vm* Planner::FindVm(const std::string& name) const {
  auto row = std::lower_bound(
      inputs_.vms.begin(), inputs_.vms.end(), name,
      [](const VmRowPtr& row, const std::string& name) { return row->vm.name() < name; });
  return row == inputs_.vms.end() || (*row)->vm.name() != name ? nullptr : &(*row)->vm;
}

const drover::v1::VmType* Planner::FindType(const std::string& name) const {
  for (const auto& type : inputs_.types) {
    if (type.name() == name) return &type;
  }
  return nullptr;
}

bool Planner::HasHypervisor(const std::string& name) const {
  return std::any_of(inputs_.hypervisors.begin(), inputs_.hypervisors.end(),
                     [&name](const auto& hypervisor) { return hypervisor.name() == name; });
}

}  // namespace

absl::StatusOr<EnvironmentPlan> PlanEnvironment(const EnvironmentDocument& document,
                                                bool delete_missing, const PlanInputs& inputs) {
  return Planner(document, delete_missing, inputs).Plan();
}

EnvironmentDocument ExportEnvironment(const drover::v1::Environment& environment,
                                      const VmList& vms) {
  constexpr int kLargestGroup = 1000;
  using Hardware = std::tuple<std::string, int, int, int, std::string, std::string>;
  EnvironmentDocument document;
  document.set_environment(std::string(IdOf(environment.name())));
  document.set_display_name(environment.display_name());
  document.set_description(environment.description());
  std::map<Hardware, VmGroup*> groups;
  // The network most VMs have; new ones get it.
  std::map<std::string, int> networks;
  int most = 0;
  for (const VmRowPtr& row : vms) {
    const Vm& vm = row->vm;
    if (vm.environment() != environment.name() || vm.state() == Vm::STATE_DELETING) continue;
    VmGroup*& group = groups[{vm.type(), vm.cpus(), vm.memory_mb(), vm.disk_gb(), vm.datastore(),
                              vm.port_group()}];
    if (group == nullptr || group->vms_size() == kLargestGroup) {
      group = document.add_groups();
      group->set_type(vm.type());
      group->set_cpus(vm.cpus());
      group->set_memory_mb(vm.memory_mb());
      group->set_disk_gb(vm.disk_gb());
      group->set_datastore(vm.datastore());
      group->set_port_group(vm.port_group());
    }
    VmEntry* entry = group->add_vms();
    entry->set_vm(std::string(IdOf(vm.name())));
    entry->set_ip(AddressOf(vm));
    entry->set_hypervisor(vm.hypervisor());
    entry->set_remark(vm.remark());
    group->set_count(group->vms_size());
    drover::v1::NetworkSettings network = vm.network();
    network.clear_ip();
    if (network.ByteSizeLong() > 0 && ++networks[network.SerializeAsString()] > most) {
      ++most;
      *document.mutable_network() = network;
    }
  }
  return document;
}

}  // namespace drover::core
