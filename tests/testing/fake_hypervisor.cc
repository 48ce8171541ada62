#include "tests/testing/fake_hypervisor.h"

#include <utility>

#include "absl/strings/str_cat.h"
#include "proto/support/status.h"
#include "proto/support/time.h"

namespace drover::testing {

using core::CopiedVm;
using core::CopySpec;
using core::HypervisorVm;
using core::StepContext;

namespace {

constexpr int64_t kTemplateBytes = int64_t{2} << 30;

std::string DiskOf(absl::string_view vm_name) {
  return absl::StrCat("[ds1] ", vm_name, "/", vm_name, ".vmdk");
}

}  // namespace

FakeHypervisor::FakeHypervisor() {
  absl::MutexLock lock(&mutex_);
  Machine& machine = machines_["tpl-1"];
  machine.vm.set_object("tpl-1");
  machine.vm.set_name(kTemplate);
  machine.vm.set_is_template(true);
  machine.vm.set_power(drover::v1::POWER_STATE_OFF);
  disks_.insert(DiskOf(kTemplate));
}

// ---------------------------------------------------------------- faults

void FakeHypervisor::FailCall(int number, absl::Status status, bool after) {
  absl::MutexLock lock(&mutex_);
  calls_ = 0;
  fail_at_ = number;
  failure_ = std::move(status);
  fail_after_ = after;
}

void FakeHypervisor::FailMethod(const std::string& method, absl::Status status) {
  absl::MutexLock lock(&mutex_);
  failing_[method] = std::move(status);
}

void FakeHypervisor::ResetCalls() {
  absl::MutexLock lock(&mutex_);
  calls_ = 0;
  fail_at_ = 0;
}

int FakeHypervisor::calls() const {
  absl::MutexLock lock(&mutex_);
  return calls_;
}

void FakeHypervisor::Hold(const std::string& method) {
  absl::MutexLock lock(&mutex_);
  holding_.insert(method);
}

void FakeHypervisor::Release(const std::string& method) {
  absl::MutexLock lock(&mutex_);
  holding_.erase(method);
}

void FakeHypervisor::AwaitHeld(const std::string& method) {
  absl::MutexLock lock(&mutex_);
  const auto held = [&]() ABSL_NO_THREAD_SAFETY_ANALYSIS { return held_.contains(method); };
  mutex_.Await(absl::Condition(&held));
}

absl::Status FakeHypervisor::Enter(const std::string& method, const std::stop_token& stop,
                                   bool* lose_answer) {
  std::stop_callback wake(stop, [this] { absl::MutexLock lock(&mutex_); });
  absl::MutexLock lock(&mutex_);
  ++calls_;
  const int number = calls_;
  if (holding_.contains(method)) {
    held_.insert(method);
    const auto free = [&]() ABSL_NO_THREAD_SAFETY_ANALYSIS {
      return !holding_.contains(method) || stop.stop_requested();
    };
    mutex_.Await(absl::Condition(&free));
    held_.erase(method);
  }
  if (stop.stop_requested()) return absl::CancelledError(absl::StrCat(method, " was stopped"));
  const auto failing = failing_.find(method);
  if (failing != failing_.end() && !failing->second.ok()) return failing->second;
  if (number != fail_at_) return absl::OkStatus();
  if (!fail_after_) return Annotate(failure_, method);
  *lose_answer = true;
  return absl::OkStatus();
}

absl::Status FakeHypervisor::Call(const std::string& method, std::stop_token stop,
                                  const std::function<absl::Status()>& body) {
  bool lose_answer = false;
  DROVER_RETURN_IF_ERROR(Enter(method, stop, &lose_answer));
  DROVER_RETURN_IF_ERROR(body());
  absl::MutexLock lock(&mutex_);
  return lose_answer ? Annotate(failure_, method) : absl::OkStatus();
}

// ---------------------------------------------------------------- what there is

std::string FakeHypervisor::AddVm(const std::string& name, bool on, const std::string& ip) {
  absl::MutexLock lock(&mutex_);
  const std::string object = absl::StrCat("vm-", ++last_object_);
  HypervisorVm& vm = machines_[object].vm;
  vm.set_object(object);
  vm.set_name(name);
  vm.set_bios_uuid(absl::StrCat("bios-", object));
  vm.set_power(on ? drover::v1::POWER_STATE_ON : drover::v1::POWER_STATE_OFF);
  vm.set_tools_running(on);
  vm.set_ip(ip);
  vm.set_cpus(1);
  vm.set_memory_mb(512);
  vm.set_disk_gb(2);
  vm.set_datastore("ds1");
  vm.set_accessible(true);
  disks_.insert(DiskOf(name));
  ++version_;
  return object;
}

void FakeHypervisor::Vanish(const std::string& name) {
  absl::MutexLock lock(&mutex_);
  if (const Machine* machine = FindByName(name)) Remove(machine->vm.object());
}

void FakeHypervisor::Remove(const std::string& object) {
  const auto it = machines_.find(object);
  if (it == machines_.end()) return;
  disks_.erase(DiskOf(it->second.vm.name()));
  machines_.erase(it);
  ++version_;
}

void FakeHypervisor::SetFreeBytes(int64_t bytes) {
  absl::MutexLock lock(&mutex_);
  free_bytes_ = bytes;
}

std::vector<std::string> FakeHypervisor::VmNames() const {
  absl::MutexLock lock(&mutex_);
  std::vector<std::string> names;
  for (const auto& [object, machine] : machines_) {
    if (!machine.vm.is_template()) names.push_back(machine.vm.name());
  }
  return names;
}

HypervisorVm FakeHypervisor::Vm(const std::string& name) const {
  absl::MutexLock lock(&mutex_);
  const Machine* machine = FindByName(name);
  return machine == nullptr ? HypervisorVm() : machine->vm;
}

std::set<std::string> FakeHypervisor::Disks() const {
  absl::MutexLock lock(&mutex_);
  return disks_;
}

std::string FakeHypervisor::GuestPassword(const std::string& name) const {
  absl::MutexLock lock(&mutex_);
  const Machine* machine = FindByName(name);
  return machine == nullptr ? "" : machine->password;
}

std::map<std::string, std::string> FakeHypervisor::GuestFiles(const std::string& name) const {
  absl::MutexLock lock(&mutex_);
  const Machine* machine = FindByName(name);
  return machine == nullptr ? std::map<std::string, std::string>() : machine->files;
}

std::vector<std::string> FakeHypervisor::Arguments() const {
  absl::MutexLock lock(&mutex_);
  return arguments_;
}

bool FakeHypervisor::Answers(const std::string& address) const {
  absl::MutexLock lock(&mutex_);
  for (const auto& [object, machine] : machines_) {
    if (machine.vm.power() == drover::v1::POWER_STATE_ON && machine.vm.ip() == address &&
        !machine.disconnected && !unrouted_.contains(address)) {
      return true;
    }
  }
  return false;
}

void FakeHypervisor::Disconnect(const std::string& name, bool disconnected) {
  absl::MutexLock lock(&mutex_);
  if (const Machine* machine = FindByName(name)) {
    Find(machine->vm.object())->disconnected = disconnected;
  }
}

void FakeHypervisor::SetAddress(const std::string& name, const std::string& ip) {
  absl::MutexLock lock(&mutex_);
  if (const Machine* machine = FindByName(name)) {
    Find(machine->vm.object())->vm.set_ip(ip);
    ++version_;
  }
}

void FakeHypervisor::Unroute(const std::string& address) {
  absl::MutexLock lock(&mutex_);
  unrouted_.insert(address);
}

void FakeHypervisor::SetUsage(const std::string& name,
                              std::vector<drover::agent::v1::Sample> samples) {
  absl::MutexLock lock(&mutex_);
  if (const Machine* machine = FindByName(name)) {
    Find(machine->vm.object())->usage = std::move(samples);
  }
}

void FakeHypervisor::OnAgentSetup(std::function<void(const std::string&)> listener) {
  absl::MutexLock lock(&mutex_);
  on_setup_ = std::move(listener);
}

FakeHypervisor::Machine* FakeHypervisor::Find(absl::string_view object) {
  const auto it = machines_.find(std::string(object));
  return it == machines_.end() ? nullptr : &it->second;
}

const FakeHypervisor::Machine* FakeHypervisor::FindByName(const std::string& name) const {
  for (const auto& [object, machine] : machines_) {
    if (machine.vm.name() == name) return &machine;
  }
  return nullptr;
}

absl::Status FakeHypervisor::NoVm(absl::string_view object) const {
  return MakeError(absl::StatusCode::kNotFound, "VM_NOT_FOUND", absl::StrCat("no VM ", object));
}

// ---------------------------------------------------------------- reading

absl::StatusOr<core::HostFacts> FakeHypervisor::Describe() {
  absl::MutexLock lock(&mutex_);
  core::HostFacts facts;
  facts.set_kind(drover::v1::Hypervisor::KIND_ESXI);
  facts.set_product("fake");
  facts.set_copy_method(drover::v1::COPY_METHOD_CREATE_AND_COPY);
  facts.set_certificate_fingerprint("AA");
  facts.add_networks("net1");
  drover::v1::Datastore& store = *facts.add_datastores();
  store.set_name("ds1");
  store.set_capacity_bytes(int64_t{1} << 40);
  store.set_free_bytes(free_bytes_);
  store.set_accessible(true);
  core::TemplateFacts& its = *facts.add_templates();
  its.set_name(kTemplate);
  its.set_datastore("ds1");
  its.set_port_group("net1");
  its.set_disk_bytes(kTemplateBytes);
  return facts;
}

absl::StatusOr<std::vector<HypervisorVm>> FakeHypervisor::ListVms() {
  absl::MutexLock lock(&mutex_);
  std::vector<HypervisorVm> vms;
  for (const auto& [object, machine] : machines_) vms.push_back(machine.vm);
  return vms;
}

absl::StatusOr<HypervisorVm> FakeHypervisor::GetVm(absl::string_view object) {
  HypervisorVm vm;
  DROVER_RETURN_IF_ERROR(Call("GetVm", {}, [&]() -> absl::Status {
    absl::MutexLock lock(&mutex_);
    const Machine* machine = Find(object);
    if (machine == nullptr) return NoVm(object);
    vm = machine->vm;
    return absl::OkStatus();
  }));
  return vm;
}

absl::StatusOr<std::vector<core::VmUsage>> FakeHypervisor::ReadUsage(
    const std::vector<std::string>& objects, absl::Time since, std::stop_token) {
  absl::MutexLock lock(&mutex_);
  std::vector<core::VmUsage> all;
  for (const std::string& object : objects) {
    const Machine* machine = Find(object);
    if (machine == nullptr) continue;
    core::VmUsage usage;
    usage.object = object;
    for (const auto& sample : machine->usage) {
      if (FromProto(sample.time()) > since) usage.samples.push_back(sample);
    }
    if (!usage.samples.empty()) all.push_back(std::move(usage));
  }
  return all;
}

absl::Status FakeHypervisor::Follow(core::InventorySink& sink, std::stop_token stop) {
  std::stop_callback wake(stop, [this] { absl::MutexLock lock(&mutex_); });
  std::map<std::string, HypervisorVm> told;
  sink.OnReset();
  int64_t seen = -1;
  for (bool synced = false;;) {
    std::map<std::string, HypervisorVm> now;
    {
      absl::MutexLock lock(&mutex_);
      const auto changed = [&]() ABSL_NO_THREAD_SAFETY_ANALYSIS {
        return version_ != seen || stop.stop_requested();
      };
      mutex_.Await(absl::Condition(&changed));
      if (stop.stop_requested()) return absl::CancelledError("stopped");
      seen = version_;
      for (const auto& [object, machine] : machines_) now[object] = machine.vm;
    }
    for (const auto& [object, vm] : now) {
      const auto before = told.find(object);
      if (before != told.end() && before->second.SerializeAsString() == vm.SerializeAsString()) {
        continue;
      }
      sink.OnVm(core::InventoryChange::kPresent, vm);
    }
    for (const auto& [object, vm] : told) {
      if (!now.contains(object)) sink.OnVm(core::InventoryChange::kGone, vm);
    }
    told = std::move(now);
    if (!synced) sink.OnSynced();
    synced = true;
  }
}

// ---------------------------------------------------------------- copying

absl::Status FakeHypervisor::CheckCopy(const CopySpec& spec) {
  return Call("CheckCopy", {}, [&]() -> absl::Status {
    absl::MutexLock lock(&mutex_);
    if (spec.template_() != kTemplate) {
      return MakeError(absl::StatusCode::kFailedPrecondition, "TEMPLATE_NOT_FOUND",
                       absl::StrCat("no template \"", spec.template_(), "\""));
    }
    if (free_bytes_ < kTemplateBytes) {
      return MakeError(absl::StatusCode::kResourceExhausted, "NO_SPACE", "ds1 is full");
    }
    const Machine* machine = FindByName(spec.vm_name());
    if (machine != nullptr && machine->vm.drover_uid() != spec.uid()) {
      return MakeError(absl::StatusCode::kFailedPrecondition, "VM_NAME_TAKEN",
                       absl::StrCat("the host has a VM \"", spec.vm_name(), "\""));
    }
    return absl::OkStatus();
  });
}

absl::StatusOr<CopiedVm> FakeHypervisor::Copy(const CopySpec& spec, StepContext& context) {
  CopiedVm copied;
  DROVER_RETURN_IF_ERROR(Call("Copy", context.stop(), [&]() -> absl::Status {
    // The disk first, the VM after it, as on a real host: two points to die at.
    DROVER_RETURN_IF_ERROR(context.Remember("folder", spec.vm_name()));
    absl::MutexLock lock(&mutex_);
    const Machine* there = FindByName(spec.vm_name());
    if (there != nullptr && there->vm.drover_uid() != spec.uid()) {
      return MakeError(absl::StatusCode::kFailedPrecondition, "VM_NAME_TAKEN", "name taken");
    }
    if (there == nullptr) {
      const std::string object = absl::StrCat("vm-", ++last_object_);
      HypervisorVm& vm = machines_[object].vm;
      vm.set_object(object);
      vm.set_name(spec.vm_name());
      vm.set_drover_uid(spec.uid());
      vm.set_bios_uuid(absl::StrCat("bios-", object));
      vm.set_instance_uuid(absl::StrCat("instance-", object));
      vm.set_power(drover::v1::POWER_STATE_OFF);
      vm.set_cpus(spec.cpus() > 0 ? spec.cpus() : 1);
      vm.set_memory_mb(spec.memory_mb() > 0 ? spec.memory_mb() : 512);
      vm.set_disk_gb(spec.disk_gb() > 0 ? spec.disk_gb() : 2);
      vm.set_datastore("ds1");
      vm.set_port_group("net1");
      vm.set_accessible(true);
      disks_.insert(DiskOf(spec.vm_name()));
      ++version_;
      there = &machines_[object];
    }
    copied.set_object(there->vm.object());
    copied.set_bios_uuid(there->vm.bios_uuid());
    copied.set_instance_uuid(there->vm.instance_uuid());
    copied.set_datastore("ds1");
    copied.set_port_group("net1");
    copied.set_cpus(there->vm.cpus());
    copied.set_memory_mb(there->vm.memory_mb());
    copied.set_disk_gb(there->vm.disk_gb());
    return absl::OkStatus();
  }));
  return copied;
}

absl::Status FakeHypervisor::DiscardCopy(const CopySpec& spec, StepContext& context) {
  return Call("DiscardCopy", context.stop(), [&]() -> absl::Status {
    absl::MutexLock lock(&mutex_);
    const Machine* machine = FindByName(spec.vm_name());
    if (machine == nullptr || machine->vm.drover_uid() != spec.uid()) return absl::OkStatus();
    Remove(machine->vm.object());
    return absl::OkStatus();
  });
}

// ---------------------------------------------------------------- changing

absl::Status FakeHypervisor::PowerOn(absl::string_view object, StepContext& context) {
  return Call("PowerOn", context.stop(), [&]() -> absl::Status {
    absl::MutexLock lock(&mutex_);
    Machine* machine = Find(object);
    if (machine == nullptr) return NoVm(object);
    machine->vm.set_power(drover::v1::POWER_STATE_ON);
    machine->vm.set_tools_running(true);
    ++version_;
    return absl::OkStatus();
  });
}

absl::Status FakeHypervisor::PowerOff(absl::string_view object, absl::Duration,
                                      StepContext& context) {
  return Call("PowerOff", context.stop(), [&]() -> absl::Status {
    absl::MutexLock lock(&mutex_);
    Machine* machine = Find(object);
    if (machine == nullptr) return NoVm(object);
    machine->vm.set_power(drover::v1::POWER_STATE_OFF);
    machine->vm.set_tools_running(false);
    ++version_;
    return absl::OkStatus();
  });
}

absl::Status FakeHypervisor::Restart(absl::string_view object, bool, StepContext& context) {
  return Call("Restart", context.stop(), [&]() -> absl::Status {
    absl::MutexLock lock(&mutex_);
    return Find(object) == nullptr ? NoVm(object) : absl::OkStatus();
  });
}

absl::Status FakeHypervisor::SetHardware(absl::string_view object,
                                         const core::HardwareChange& change, StepContext& context) {
  return Call("SetHardware", context.stop(), [&]() -> absl::Status {
    absl::MutexLock lock(&mutex_);
    Machine* machine = Find(object);
    if (machine == nullptr) return NoVm(object);
    if (change.cpus() > 0) machine->vm.set_cpus(change.cpus());
    if (change.memory_mb() > 0) machine->vm.set_memory_mb(change.memory_mb());
    if (change.disk_gb() > 0) machine->vm.set_disk_gb(change.disk_gb());
    ++version_;
    return absl::OkStatus();
  });
}

absl::Status FakeHypervisor::Destroy(absl::string_view object, StepContext& context) {
  return Call("Destroy", context.stop(), [&]() -> absl::Status {
    absl::MutexLock lock(&mutex_);
    if (Find(object) == nullptr) return NoVm(object);
    Remove(std::string(object));
    return absl::OkStatus();
  });
}

}  // namespace drover::testing
