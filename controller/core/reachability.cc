#include "controller/core/reachability.h"

#include <algorithm>
#include <optional>
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

// Half of it for each of the prober's two questions.
constexpr absl::Duration kPatience = absl::Milliseconds(500);

std::optional<Event> EventOf(const Vm& before, const Vm& after) {
  if (before.reachability() == after.reachability() ||
      before.reachability() == drover::v1::REACHABILITY_UNKNOWN ||
      after.reachability() == drover::v1::REACHABILITY_UNKNOWN) {
    return std::nullopt;
  }
  if (after.reachability() == drover::v1::REACHABILITY_UP) {
    return VmEvent(
        "vm.reachable", Event::SEVERITY_INFO, after,
        absl::StrCat("VM ", IdOf(after.name()), " answers at ", AddressOf(after), " again"));
  }
  bool expected = after.power() == drover::v1::POWER_STATE_OFF ||
                  after.state() == Vm::STATE_DELETING || !after.holding_operation().empty();
  return VmEvent("vm.unreachable", expected ? Event::SEVERITY_INFO : Event::SEVERITY_ERROR, after,
                 absl::StrCat("VM ", IdOf(after.name()), " does not answer at ", AddressOf(after)));
}

}  // namespace

ReachabilitySweep::ReachabilitySweep(Prober* prober, Store* store, Inventory* inventory,
                                     EventLog* events, Clock* clock, absl::Duration interval)
    : prober_(prober),
      store_(store),
      inventory_(inventory),
      events_(events),
      clock_(clock),
      interval_(interval) {}

ReachabilitySweep::~ReachabilitySweep() { Stop(); }

void ReachabilitySweep::Start() {
  thread_ = std::jthread([this](std::stop_token stop) { Run(stop); });
}

void ReachabilitySweep::Stop() {
  if (!thread_.joinable()) return;
  thread_.request_stop();
  thread_.join();
}

void ReachabilitySweep::Run(std::stop_token stop) {
  absl::Status last;
  do {
    absl::Time begin = clock_->Now();
    absl::Status swept = Sweep();
    // Once, not every few seconds.
    if (!swept.ok() && swept != last) LogError("reachability sweep: ", swept.message());
    last = swept;
    absl::Duration rest = begin + interval_ - clock_->Now();
    if (!clock_->Sleep(std::max(rest, absl::Milliseconds(1)), stop).ok()) return;
  } while (!stop.stop_requested());
}

absl::Status ReachabilitySweep::Sweep() {
  std::vector<ProbeTarget> targets;
  std::vector<drover::v1::Reachability> was;
  const auto rows = inventory_->Vms();
  for (const VmRowPtr& row : *rows) {
    const std::string& address = AddressOf(row->vm);
    if (address.empty()) continue;
    targets.push_back({row->vm.name(), address});
    was.push_back(row->vm.reachability());
  }
  DROVER_ASSIGN_OR_RETURN(std::vector<bool> answered, prober_->Sweep(targets, kPatience));
  std::vector<ProbeTarget> silent;
  std::vector<size_t> places;
  for (size_t i = 0; i < targets.size(); ++i) {
    if (answered[i] || was[i] != drover::v1::REACHABILITY_UP) continue;
    silent.push_back(targets[i]);
    places.push_back(i);
  }
  if (!silent.empty()) {
    DROVER_ASSIGN_OR_RETURN(std::vector<bool> again, prober_->Sweep(silent, kPatience));
    for (size_t i = 0; i < silent.size(); ++i) answered[places[i]] = again[i];
  }
  std::vector<Event> events;
  for (size_t i = 0; i < targets.size(); ++i) {
    auto state = answered[i] ? drover::v1::REACHABILITY_UP : drover::v1::REACHABILITY_DOWN;
    if (state == was[i]) continue;
    if (auto event = Lay(targets[i], state)) events.push_back(*std::move(event));
  }
  {
    absl::MutexLock lock(&mutex_);
    swept_at_ = clock_->Now();
  }
  if (events.empty()) return absl::OkStatus();
  // A host that is lost takes hundreds of VMs with it: one transaction for all.
  DROVER_RETURN_IF_ERROR(store_->Write([&](StoreWriter& writer) -> absl::Status {
    for (Event& event : events) DROVER_RETURN_IF_ERROR(events_->RecordIn(writer, &event));
    return absl::OkStatus();
  }));
  events_->Announce(events);
  return absl::OkStatus();
}

std::optional<Event> ReachabilitySweep::Lay(const ProbeTarget& target,
                                            drover::v1::Reachability state) {
  Vm before, after;
  absl::Status changed = inventory_->ChangeVm(target.id, [&](Vm& vm) {
    before = vm;
    // One that got another address meanwhile was not asked.
    if (AddressOf(vm) == target.address) vm.set_reachability(state);
    after = vm;
  });
  if (!changed.ok() || before.reachability() == after.reachability()) return std::nullopt;
  // With the operation that holds it, if one does.
  auto described = inventory_->DescribeVm(target.id);
  return EventOf(before, described.ok() ? *described : after);
}

absl::Time ReachabilitySweep::swept_at() const {
  absl::MutexLock lock(&mutex_);
  return swept_at_;
}

}  // namespace drover::core
