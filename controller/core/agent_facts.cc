#include "controller/core/agent_facts.h"

#include <optional>
#include <utility>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "controller/core/alert_policy.h"
#include "controller/core/vm_events.h"
#include "proto/support/log.h"
#include "proto/support/resource_name.h"
#include "proto/support/status.h"
#include "proto/support/time.h"

namespace drover::core {
namespace {

using drover::agent::v1::AgentEvent;
using drover::v1::Event;
using drover::v1::Vm;

// Between taking a sample and its coming, and between clocks that are kept.
constexpr absl::Duration kClockTolerance = absl::Seconds(30);

}  // namespace

AgentFacts::AgentFacts(Store* store, Inventory* inventory, EventLog* events,
                       CommandTracker* commands, Clock* clock)
    : store_(store), inventory_(inventory), events_(events), commands_(commands), clock_(clock) {}

absl::Status AgentFacts::DropLeftovers() {
  for (const std::string& uid : commands_->Vms()) {
    if (!inventory_->GetVmByUid(uid).ok()) DROVER_RETURN_IF_ERROR(commands_->ForgetVm(uid));
  }
  return absl::OkStatus();
}

void AgentFacts::SetGateway(AgentGateway* gateway) {
  gateway_ = gateway;
  if (absl::Status dropped = DropLeftovers(); !dropped.ok()) {
    LogWarning("what is left of VMs that are gone: ", dropped.message());
  }
  for (const drover::v1::VmType& type : inventory_->Types()) {
    absl::MutexLock lock(&mutex_);
    generations_[type.name()] = type.generation();
  }
  inventory_->OnChange([this](absl::string_view name, bool deleted) {
    if (!deleted && absl::StartsWith(name, "types/")) OnTypeChanged(name);
  });
}

void AgentFacts::SetMailRelay(MailRelay relay) { relay_ = std::move(relay); }

void AgentFacts::AddMailFallback(const Vm& vm, const drover::v1::VmType& type,
                                 drover::agent::v1::DesiredState& state) const {
  if (!relay_) return;
  drover::agent::v1::MailFallback& fallback = *state.mutable_mail_fallback();
  fallback.set_relay(relay_->relay);
  fallback.set_sender(relay_->sender);
  fallback.set_after_seconds(static_cast<int32_t>(absl::ToInt64Seconds(relay_->after)));
  fallback.set_vm(vm.name());
  fallback.set_environment(vm.environment());
  for (const auto& service : type.services()) {
    auto& owners = *fallback.add_owners();
    owners.set_service(service.name());
    for (const std::string& address : OwnersOf(type, service.name())) {
      auto& recipient = *owners.add_recipients();
      recipient.set_address(address);
      recipient.set_language(relay_->language(address));
    }
  }
}

void AgentFacts::OnTypeChanged(absl::string_view name) {
  absl::StatusOr<drover::v1::VmType> type = inventory_->GetType(name);
  if (!type.ok()) return;
  {
    absl::MutexLock lock(&mutex_);
    int64_t& told = generations_[name];
    if (told == type->generation()) return;
    told = type->generation();
  }
  const auto rows = inventory_->Vms();
  for (const VmRowPtr& row : *rows) {
    if (row->vm.type() == name) gateway_->DesiredStateChanged(row->vm.uid());
  }
}

bool AgentFacts::Change(absl::string_view vm_uid, absl::FunctionRef<void(Vm&)> change) {
  absl::StatusOr<Vm> vm = inventory_->GetVmByUid(vm_uid);
  if (!vm.ok()) return false;
  absl::Status changed = inventory_->ChangeVm(vm->name(), change);
  if (!changed.ok()) LogWarning("VM ", vm->name(), ": ", changed.message());
  return changed.ok();
}

void AgentFacts::Record(Event event) {
  absl::Status recorded = events_->Record(event);
  if (!recorded.ok()) LogError("event ", event.kind(), ": ", recorded.message());
}

absl::Status AgentFacts::OnConnected(absl::string_view vm_uid,
                                     const drover::agent::v1::Hello& hello) {
  DROVER_ASSIGN_OR_RETURN(Vm known, inventory_->GetVmByUid(vm_uid));
  Vm before, after;
  DROVER_RETURN_IF_ERROR(inventory_->ChangeVm(known.name(), [&](Vm& vm) {
    before = vm;
    vm.set_agent_state(drover::v1::AGENT_STATE_CONNECTED);
    vm.set_agent_version(hello.version());
    if (!hello.os_version().empty()) vm.set_os_version(hello.os_version());
    *vm.mutable_agent_last_seen() = ToProto(clock_->Now());
    after = vm;
  }));
  bool news;
  {
    absl::MutexLock lock(&mutex_);
    news = told_lost_.erase(vm_uid) > 0;
  }
  // An agent that comes back after a restart of the controller was never lost.
  news |= before.agent_state() != drover::v1::AGENT_STATE_CONNECTED &&
          before.agent_state() != drover::v1::AGENT_STATE_CONTACT_LOST;
  if (news) {
    Record(VmEvent(
        "agent.connected", Event::SEVERITY_INFO, after,
        absl::StrCat("agent of ", IdOf(after.name()), " is connected, version ", hello.version())));
  }
  commands_->OnConnected(vm_uid);
  return absl::OkStatus();
}

void AgentFacts::OnDisconnected(absl::string_view vm_uid, absl::string_view why) {
  Vm after;
  bool there = Change(vm_uid, [&](Vm& vm) {
    if (vm.agent_state() == drover::v1::AGENT_STATE_CONNECTED) {
      vm.set_agent_state(drover::v1::AGENT_STATE_CONTACT_LOST);
    }
    *vm.mutable_agent_last_seen() = ToProto(clock_->Now());
    after = vm;
  });
  // A VM that is being deleted loses its agent by that.
  if (!there || after.state() == Vm::STATE_DELETING) return;
  {
    absl::MutexLock lock(&mutex_);
    told_lost_.insert(std::string(vm_uid));
  }
  Event event =
      VmEvent("agent.lost", Event::SEVERITY_WARNING, after,
              absl::StrCat("contact to the agent of ", IdOf(after.name()), " is lost: ", why));
  Record(std::move(event));
}

void AgentFacts::OnQuarantined(absl::string_view vm_uid, absl::string_view why) {
  Vm after;
  const bool away = gateway_ == nullptr || !gateway_->IsConnected(vm_uid);
  bool there = Change(vm_uid, [&](Vm& vm) {
    if (away) vm.set_agent_state(drover::v1::AGENT_STATE_QUARANTINED);
    after = vm;
  });
  if (!there) return;
  Record(VmEvent("agent.quarantined", Event::SEVERITY_ERROR, after,
                 absl::StrCat("the identity of the agent of ", IdOf(after.name()),
                              " was shown by another machine, which gets nothing: ", why)));
}

absl::Status AgentFacts::OnEvents(absl::string_view vm_uid, const std::vector<AgentEvent>& events) {
  DROVER_ASSIGN_OR_RETURN(Vm vm, inventory_->GetVmByUid(vm_uid));
  std::vector<Event> stored;
  DROVER_RETURN_IF_ERROR(store_->Write([&](StoreWriter& writer) {
    stored.clear();
    return StoreEvents(writer, vm_uid, vm, events, stored);
  }));
  events_->Announce(stored);
  return absl::OkStatus();
}

absl::Status AgentFacts::StoreEvents(StoreWriter& writer, absl::string_view vm_uid, const Vm& vm,
                                     const std::vector<AgentEvent>& told,
                                     std::vector<Event>& stored) {
  DROVER_ASSIGN_OR_RETURN(Document document, writer.Get(Table::kAgents, vm_uid));
  AgentRecord agent;
  if (!agent.ParseFromString(document.body)) {
    return absl::DataLossError(absl::StrCat("the stored agent ", vm_uid, " is damaged"));
  }
  for (const AgentEvent& one : told) {
    if (one.sequence() <= agent.last_event()) continue;
    Event event = EventOfAgent(one, vm, clock_->Now());
    DROVER_RETURN_IF_ERROR(events_->RecordIn(writer, &event));
    if (auto entry = EntryOfRecovery(event)) {
      DROVER_RETURN_IF_ERROR(events_->LogIn(writer, *entry));
    }
    agent.set_last_event(one.sequence());
    stored.push_back(std::move(event));
  }
  if (stored.empty()) return absl::OkStatus();
  document.body = agent.SerializeAsString();
  return writer.Put(Table::kAgents, document);
}

absl::Status AgentFacts::OnCommandUpdate(absl::string_view vm_uid,
                                         const drover::agent::v1::CommandUpdate& update) {
  return commands_->OnUpdate(vm_uid, update);
}

void AgentFacts::OnState(absl::string_view vm_uid, const drover::agent::v1::StateReport& state) {
  Change(vm_uid, [&](Vm& vm) {
    *vm.mutable_services() = state.services();
    if (!state.os_version().empty()) vm.set_os_version(state.os_version());
    if (!state.ip().empty()) vm.set_reported_ip(state.ip());
    *vm.mutable_agent_last_seen() = ToProto(clock_->Now());
  });
}

void AgentFacts::OnSamples(absl::string_view vm_uid, const drover::agent::v1::Samples& samples) {
  if (samples.samples().empty()) return;
  const auto& latest = samples.samples(samples.samples_size() - 1);
  if (samples_ != nullptr) {
    // The newest one was taken a moment ago: a guest whose clock is wrong has its samples at the
    // right time all the same.
    const absl::Duration off = clock_->Now() - FromProto(latest.time());
    const bool wrong = absl::AbsDuration(off) > kClockTolerance;
    std::vector<UsagePoint> points;
    for (const auto& sample : samples.samples()) {
      points.push_back(PointOf(sample, /*by_hypervisor=*/false));
      if (wrong) points.back().time += absl::ToInt64Seconds(off);
    }
    samples_->Add(vm_uid, points);
  }
  Change(vm_uid, [&](Vm& vm) {
    vm.set_cpu_percent(latest.cpu_percent());
    vm.set_memory_used_mb(latest.memory_used_mb());
    vm.set_disk_used_mb(latest.disk_used_mb());
    *vm.mutable_agent_last_seen() = ToProto(clock_->Now());
  });
}

void AgentFacts::OnDesiredStateApplied(absl::string_view vm_uid, int64_t generation) {
  LogDebug("agent ", vm_uid, " watches by generation ", generation);
}

absl::StatusOr<drover::agent::v1::DesiredState> AgentFacts::DesiredStateOf(
    absl::string_view vm_uid) {
  DROVER_ASSIGN_OR_RETURN(Vm vm, inventory_->GetVmByUid(vm_uid));
  DROVER_ASSIGN_OR_RETURN(drover::v1::VmType type, inventory_->GetType(vm.type()));
  drover::agent::v1::DesiredState state;
  state.set_generation(type.generation());
  *state.mutable_services() = type.services();
  // Who is told of an outage is the controller's business while it is there.
  for (auto& service : *state.mutable_services()) service.clear_owners();
  AddMailFallback(vm, type, state);
  return state;
}

}  // namespace drover::core
