// What the agents tell, taken into the model: who is connected, services, samples, and the events
// of their guests, each stored once (MON-3).
//
// Thread promise: the listener's methods from any thread; those of one VM come one after the other.
// Survives a restart: events, and which of them are stored.
#pragma once

#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/container/flat_hash_map.h"
#include "absl/container/flat_hash_set.h"
#include "absl/status/status.h"
#include "absl/strings/string_view.h"
#include "absl/synchronization/mutex.h"
#include "controller/core/command_tracker.h"
#include "controller/core/event_log.h"
#include "controller/core/inventory.h"
#include "controller/core/ports.h"
#include "controller/core/samples.h"

namespace drover::core {

class AgentFacts : public AgentListener {
 public:
  AgentFacts(Store* store, Inventory* inventory, EventLog* events, CommandTracker* commands,
             Clock* clock);

  // Before the first agent comes: where samples are kept. Null, or never called = nowhere.
  void SetSamples(SampleStore* samples) { samples_ = samples; }
  // Before the first agent comes: agents tell owners themselves while they are without a link for
  // `after`. `language` gives the language of an address, "en" or "zh-CN".
  struct MailRelay {
    std::string relay;
    std::string sender;
    absl::Duration after;
    std::function<std::string(absl::string_view address)> language;
  };
  void SetMailRelay(MailRelay relay);
  // Before the first agent comes: from now on agents learn of a type's changed services at once.
  void SetGateway(AgentGateway* gateway);

  absl::Status OnConnected(absl::string_view vm_uid,
                           const drover::agent::v1::Hello& hello) override;
  void OnDisconnected(absl::string_view vm_uid, absl::string_view why) override;
  void OnQuarantined(absl::string_view vm_uid, absl::string_view why) override;
  absl::Status OnEvents(absl::string_view vm_uid,
                        const std::vector<drover::agent::v1::AgentEvent>& events) override;
  absl::Status OnCommandUpdate(absl::string_view vm_uid,
                               const drover::agent::v1::CommandUpdate& update) override;
  void OnState(absl::string_view vm_uid, const drover::agent::v1::StateReport& state) override;
  void OnSamples(absl::string_view vm_uid, const drover::agent::v1::Samples& samples) override;
  void OnDesiredStateApplied(absl::string_view vm_uid, int64_t generation) override;
  absl::StatusOr<drover::agent::v1::DesiredState> DesiredStateOf(absl::string_view vm_uid) override;

 private:
  // False when the VM is not there.
  bool Change(absl::string_view vm_uid, absl::FunctionRef<void(drover::v1::Vm&)> change);
  void Record(drover::v1::Event event);
  // Commands of VMs that are gone.
  absl::Status DropLeftovers();
  void AddMailFallback(const drover::v1::Vm& vm, const drover::v1::VmType& type,
                       drover::agent::v1::DesiredState& state) const;
  void OnTypeChanged(absl::string_view type) ABSL_LOCKS_EXCLUDED(mutex_);
  absl::Status StoreEvents(StoreWriter& writer, absl::string_view vm_uid, const drover::v1::Vm& vm,
                           const std::vector<drover::agent::v1::AgentEvent>& told,
                           std::vector<drover::v1::Event>& stored);

  Store* const store_;
  Inventory* const inventory_;
  EventLog* const events_;
  CommandTracker* const commands_;
  Clock* const clock_;
  AgentGateway* gateway_ = nullptr;
  SampleStore* samples_ = nullptr;
  std::optional<MailRelay> relay_;

  absl::Mutex mutex_;
  // VMs whose loss was told and whose return was not.
  absl::flat_hash_set<std::string> told_lost_ ABSL_GUARDED_BY(mutex_);
  // Generation of each type that agents were last told of.
  absl::flat_hash_map<std::string, int64_t> generations_ ABSL_GUARDED_BY(mutex_);
};

}  // namespace drover::core
