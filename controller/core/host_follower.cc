#include "controller/core/host_follower.h"

#include <algorithm>
#include <utility>

#include "absl/strings/str_cat.h"
#include "controller/core/vm_events.h"
#include "proto/support/log.h"
#include "proto/support/resource_name.h"
#include "proto/support/status.h"

namespace drover::core {
namespace {

using drover::v1::Event;
using drover::v1::Vm;
using HostState = drover::v1::Hypervisor;

constexpr absl::Duration kFirstDelay = absl::Seconds(1);
constexpr absl::Duration kLongestDelay = absl::Seconds(30);
constexpr absl::Duration kFactsAge = absl::Seconds(60);

absl::Duration DelayAfter(int failures) {
  return std::min(kLongestDelay, kFirstDelay * (1 << std::min(failures, 5)));
}

HostState::State StateOf(const absl::Status& why) {
  if (HasReason(why, "HYPERVISOR_LOGIN_REFUSED")) return HostState::STATE_LOGIN_REFUSED;
  if (HasReason(why, "CERTIFICATE_NOT_CONFIRMED")) return HostState::STATE_CERTIFICATE_CHANGED;
  return HostState::STATE_UNREACHABLE;
}

absl::string_view PowerWord(drover::v1::PowerState power) {
  switch (power) {
    case drover::v1::POWER_STATE_ON:
      return "on";
    case drover::v1::POWER_STATE_OFF:
      return "off";
    case drover::v1::POWER_STATE_SUSPENDED:
      return "suspended";
    default:
      return "unknown";
  }
}

// What the host knows of a VM, laid over what we know.
void Learn(const HypervisorVm& seen, Vm& vm) {
  vm.set_power(seen.power());
  vm.set_reported_ip(seen.ip());
  vm.set_hypervisor_object(seen.object());
  if (!seen.bios_uuid().empty()) vm.set_bios_uuid(seen.bios_uuid());
  if (!seen.instance_uuid().empty()) vm.set_instance_uuid(seen.instance_uuid());
  if (!seen.datastore().empty()) vm.set_datastore(seen.datastore());
  if (!seen.port_group().empty()) vm.set_port_group(seen.port_group());
  if (seen.cpus() > 0) vm.set_cpus(seen.cpus());
  if (seen.memory_mb() > 0) vm.set_memory_mb(seen.memory_mb());
  if (seen.disk_gb() > 0) vm.set_disk_gb(seen.disk_gb());
  // The agent sees the system itself; the host has what was configured.
  bool agent_tells = !vm.agent_version().empty() && !vm.os_version().empty();
  if (!seen.os_version().empty() && !agent_tells) vm.set_os_version(seen.os_version());
  if (vm.state() == Vm::STATE_MISSING) vm.set_state(Vm::STATE_READY);
}

void FillFacts(const HostFacts& facts, drover::v1::Hypervisor& hypervisor) {
  hypervisor.set_kind(facts.kind());
  hypervisor.set_product(facts.product());
  hypervisor.set_copy_method(facts.copy_method());
  hypervisor.set_copy_refusal(facts.copy_refusal());
  *hypervisor.mutable_datastores() = facts.datastores();
  *hypervisor.mutable_networks() = facts.networks();
  hypervisor.clear_templates();
  for (const TemplateFacts& facts_of_one : facts.templates()) {
    hypervisor.add_templates(facts_of_one.name());
  }
}

}  // namespace

HostFollower::HostFollower(std::string name, std::shared_ptr<Hypervisor> host, Inventory* inventory,
                           EventLog* events, Clock* clock, EveryMinute every_minute)
    : name_(std::move(name)),
      host_(std::move(host)),
      inventory_(inventory),
      events_(events),
      clock_(clock),
      every_minute_(std::move(every_minute)),
      facts_thread_([this](std::stop_token stop) { KeepFactsFresh(stop); }),
      follow_thread_([this](std::stop_token stop) { Run(stop); }) {}

HostFollower::~HostFollower() {
  facts_thread_.request_stop();
  follow_thread_.request_stop();
}

absl::StatusOr<std::shared_ptr<Hypervisor>> HostFollower::Connection() const {
  absl::MutexLock lock(&mutex_);
  if (!away_.ok()) return away_;
  return host_;
}

absl::StatusOr<HostFacts> HostFollower::Facts(bool fresh) {
  {
    absl::MutexLock lock(&mutex_);
    if (!fresh && facts_) return *facts_;
    if (!away_.ok()) return away_;
  }
  DROVER_ASSIGN_OR_RETURN(HostFacts facts, host_->Describe());
  {
    absl::MutexLock lock(&mutex_);
    facts_ = facts;
  }
  // A hypervisor that was removed meanwhile needs none.
  inventory_->ChangeHypervisor(name_, [&](HostState& hypervisor) { FillFacts(facts, hypervisor); })
      .IgnoreError();
  return facts;
}

std::vector<HypervisorVm> HostFollower::Vms() const {
  absl::MutexLock lock(&mutex_);
  std::vector<HypervisorVm> vms;
  vms.reserve(reported_.size());
  for (const auto& [object, vm] : reported_) vms.push_back(vm);
  return vms;
}

void HostFollower::Reapply(const Vm& vm) {
  HypervisorVm seen;
  {
    absl::MutexLock lock(&mutex_);
    auto found = reported_.find(vm.hypervisor_object());
    if (found == reported_.end()) return;
    seen = found->second;
  }
  // Its power was not known: there is no event in it.
  inventory_->ChangeVm(vm.name(), [&](Vm& known) { Learn(seen, known); }).IgnoreError();
}

void HostFollower::Run(std::stop_token stop) {
  SetState(HostState::STATE_CONNECTING, "");
  int failures = 0;
  while (!stop.stop_requested()) {
    synced_ = false;
    absl::Status ended = FollowOnce(stop);
    if (stop.stop_requested()) return;
    if (ended.ok()) ended = absl::UnavailableError("the host ended the connection");
    TellLost(ended);
    if (StateOf(ended) == HostState::STATE_LOGIN_REFUSED) return;
    failures = synced_ ? 0 : failures + 1;
    if (!clock_->Sleep(DelayAfter(failures), stop).ok()) return;
  }
}

absl::Status HostFollower::FollowOnce(std::stop_token stop) {
  DROVER_ASSIGN_OR_RETURN(HostFacts facts, host_->Describe());
  {
    absl::MutexLock lock(&mutex_);
    facts_ = facts;
  }
  DROVER_RETURN_IF_ERROR(inventory_->ChangeHypervisor(
      name_, [&](HostState& hypervisor) { FillFacts(facts, hypervisor); }));
  return host_->Follow(*this, stop);
}

void HostFollower::KeepFactsFresh(std::stop_token stop) {
  while (clock_->Sleep(kFactsAge, stop).ok()) {
    bool connected;
    {
      absl::MutexLock lock(&mutex_);
      connected = connected_;
    }
    if (!connected) continue;
    // That the host is lost is seen by the thread that follows it.
    if (auto facts = Facts(/*fresh=*/true); !facts.ok()) {
      LogDebug("facts of ", name_, ": ", facts.status().message());
      continue;
    }
    if (every_minute_) every_minute_(name_, *host_, stop);
  }
}

void HostFollower::TellLost(const absl::Status& why) {
  HostState::State state = StateOf(why);
  {
    absl::MutexLock lock(&mutex_);
    connected_ = false;
    away_ = why;
    if (state == HostState::STATE_UNREACHABLE) {
      away_ =
          MakeError(absl::StatusCode::kUnavailable, "HYPERVISOR_UNREACHABLE",
                    absl::StrCat("hypervisor ", IdOf(name_), " is not reachable: ", why.message()),
                    {{"hypervisor", name_}});
    }
  }
  SetState(state, why.message());
  if (told_lost_) return;
  told_lost_ = true;
  Event event;
  event.set_kind("hypervisor.lost");
  event.set_severity(Event::SEVERITY_ERROR);
  event.set_subject(name_);
  event.set_message(absl::StrCat("hypervisor ", IdOf(name_), " is lost: ", why.message()));
  (*event.mutable_attributes())["reason"] = ReasonOf(why);
  if (absl::Status recorded = events_->Record(event); !recorded.ok()) {
    LogError("event hypervisor.lost of ", name_, ": ", recorded.message());
  }
}

void HostFollower::SetState(HostState::State state, absl::string_view reason) {
  absl::Status set = inventory_->ChangeHypervisor(name_, [&](HostState& hypervisor) {
    hypervisor.set_state(state);
    hypervisor.set_state_reason(std::string(reason));
  });
  if (!set.ok()) LogDebug("state of ", name_, ": ", set.message());
}

void HostFollower::OnReset() {
  arriving_.clear();
  syncing_ = true;
}

void HostFollower::OnVm(InventoryChange change, const HypervisorVm& vm) {
  bool gone = change == InventoryChange::kGone;
  if (syncing_) {
    if (gone) {
      arriving_.erase(vm.object());
    } else {
      arriving_[vm.object()] = vm;
    }
    return;
  }
  {
    absl::MutexLock lock(&mutex_);
    if (gone) {
      reported_.erase(vm.object());
    } else {
      reported_[vm.object()] = vm;
    }
  }
  if (gone) {
    std::string name = inventory_->VmOfObject(name_, vm.object());
    if (!name.empty()) MarkMissing(name);
  } else if (std::string name = Match(vm); !name.empty()) {
    Apply(name, vm);
  }
}

void HostFollower::OnSynced() {
  syncing_ = false;
  synced_ = true;
  std::vector<HypervisorVm> vms;
  for (const auto& [object, vm] : arriving_) vms.push_back(vm);
  {
    absl::MutexLock lock(&mutex_);
    reported_ = std::move(arriving_);
  }
  arriving_.clear();
  missing_.clear();
  const auto rows = inventory_->Vms();
  for (const VmRowPtr& row : *rows) {
    if (row->vm.hypervisor() == name_ && !IsReported(row->vm.hypervisor_object())) {
      MarkMissing(row->vm.name());
    }
  }
  for (const HypervisorVm& vm : vms) {
    if (std::string name = Match(vm); !name.empty()) Apply(name, vm);
  }
  {
    absl::MutexLock lock(&mutex_);
    connected_ = true;
    away_ = absl::OkStatus();
  }
  SetState(HostState::STATE_CONNECTED, "");
  told_lost_ = false;
  Event event;
  event.set_kind("hypervisor.connected");
  event.set_severity(Event::SEVERITY_INFO);
  event.set_subject(name_);
  event.set_message(
      absl::StrCat("hypervisor ", IdOf(name_), " is connected, ", vms.size(), " VMs"));
  if (absl::Status recorded = events_->Record(event); !recorded.ok()) {
    LogError("event hypervisor.connected of ", name_, ": ", recorded.message());
  }
}

bool HostFollower::IsReported(absl::string_view object) const {
  absl::MutexLock lock(&mutex_);
  return reported_.contains(object);
}

std::string HostFollower::Match(const HypervisorVm& vm) {
  std::string name = inventory_->VmOfObject(name_, vm.object());
  if (!name.empty() || missing_.empty()) return name;
  // A VM that was registered anew has another object id. The uid in its configuration and the
  // instance uuid stay; a copy made behind our back has the uid too, but its original is not
  // missing.
  for (const std::string& candidate : missing_) {
    absl::StatusOr<Vm> known = inventory_->GetVm(candidate);
    if (!known.ok() || known->state() != Vm::STATE_MISSING) continue;
    if (known->uid() == vm.drover_uid() ||
        (!vm.instance_uuid().empty() && known->instance_uuid() == vm.instance_uuid())) {
      return candidate;
    }
  }
  return "";
}

void HostFollower::Apply(const std::string& name, const HypervisorVm& vm) {
  Vm before, after;
  absl::Status changed = inventory_->ChangeVm(name, [&](Vm& known) {
    before = known;
    Learn(vm, known);
    after = known;
  });
  if (!changed.ok()) {
    // Removed a moment ago; anything else is for whoever runs the controller.
    if (!HasReason(changed, "VM_NOT_FOUND")) LogError("VM ", name, ": ", changed.message());
    return;
  }
  if (before.state() == Vm::STATE_MISSING) {
    missing_.erase(name);
    RecordVmEvent("vm.found", Event::SEVERITY_INFO, after,
                  absl::StrCat("VM ", IdOf(name), " is on ", IdOf(name_), " again"));
  }
  bool known_before = before.power() != drover::v1::POWER_STATE_UNSPECIFIED;
  if (known_before && before.power() != after.power()) {
    RecordVmEvent("vm.power", Event::SEVERITY_INFO, after,
                  absl::StrCat("VM ", IdOf(name), " is ", PowerWord(after.power())));
  }
}

void HostFollower::MarkMissing(const std::string& name) {
  Vm before, after;
  absl::Status changed = inventory_->ChangeVm(name, [&](Vm& vm) {
    before = vm;
    // One that is being made or deleted is the operation's.
    if (vm.state() == Vm::STATE_READY) {
      vm.set_state(Vm::STATE_MISSING);
      vm.set_power(drover::v1::POWER_STATE_UNSPECIFIED);
    }
    after = vm;
  });
  if (!changed.ok() || after.state() != Vm::STATE_MISSING) return;
  missing_.insert(name);
  if (before.state() == Vm::STATE_MISSING) return;
  RecordVmEvent("vm.missing", Event::SEVERITY_ERROR, after,
                absl::StrCat("VM ", IdOf(name), " is not on ", IdOf(name_), " any more"));
}

void HostFollower::RecordVmEvent(absl::string_view kind, Event::Severity severity, const Vm& vm,
                                 absl::string_view message) {
  Event event = VmEvent(kind, severity, vm, message);
  event.set_subject(name_);
  (*event.mutable_attributes())["power"] = std::string(PowerWord(vm.power()));
  if (absl::Status recorded = events_->Record(event); !recorded.ok()) {
    LogError("event ", kind, " of ", vm.name(), ": ", recorded.message());
  }
}

}  // namespace drover::core
