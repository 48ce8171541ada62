// Commands to agents, from the order to the result (OPS-3): written down before they are sent, sent
// again whenever the agent comes back until it answers, carried out once since the agent knows the
// id. A command whose agent stays away expires.
//
// Thread promise: all methods from any thread; Wait blocks. Survives a restart: commands that were
// ordered and not forgotten.
#pragma once

#include <memory>
#include <optional>
#include <set>
#include <stop_token>
#include <string>

#include "absl/base/thread_annotations.h"
#include "absl/container/flat_hash_map.h"
#include "absl/functional/function_ref.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/synchronization/mutex.h"
#include "absl/time/time.h"
#include "controller/core/ports.h"

namespace drover::core {

class CommandTracker {
 public:
  using Update = drover::agent::v1::CommandUpdate;

  CommandTracker(Store* store, Vault* vault, Clock* clock);

  // Before the first agent comes.
  void SetGateway(AgentGateway* gateway) ABSL_LOCKS_EXCLUDED(mutex_);
  // Reads the commands of before the start. Once.
  absl::Status Load() ABSL_LOCKS_EXCLUDED(mutex_);

  // A new id, never used before.
  std::string NewId();
  // Durable when it returns; then handed to the agent if it is there. An id that was ordered before
  // is the same command: nothing is changed. `command` needs an id and an expire_time; without a
  // timeout it has ten minutes. `operation` is for people.
  absl::Status Order(absl::string_view vm_uid, const drover::agent::v1::Command& command,
                     absl::string_view operation) ABSL_LOCKS_EXCLUDED(mutex_);
  // The final update, with all output; EXPIRED when the agent did not come for it in time.
  // `progress` is called for each change before. UNAVAILABLE, reason CONTACT_LOST, when the command
  // was handed over and the agent was not heard of again in the time the command had. CANCELLED
  // when `stop` is requested; the command goes on. NOT_FOUND for an id that was not ordered.
  absl::StatusOr<Update> Wait(absl::string_view command_id, std::stop_token stop,
                              absl::FunctionRef<void(const Update&)> progress)
      ABSL_LOCKS_EXCLUDED(mutex_);
  // Asks the agent to stop it; one that was not handed over yet is CANCELLED at once.
  absl::Status Cancel(absl::string_view command_id) ABSL_LOCKS_EXCLUDED(mutex_);
  // Cancels it, and waits up to `patience` for the agent to say that it has ended: then its final
  // update. Nothing when it said so not yet; then the agent is told again whenever it comes back,
  // and the command is forgotten once it has ended.
  absl::StatusOr<std::optional<Update>> Stop(absl::string_view command_id, absl::Duration patience,
                                             std::stop_token stop) ABSL_LOCKS_EXCLUDED(mutex_);
  // Orders it, waits, forgets it: for orders that matter only now. DEADLINE_EXCEEDED, reason
  // COMMAND_TIMED_OUT, after `patience` or when `stop` is requested.
  absl::StatusOr<Update> Ask(absl::string_view vm_uid, drover::agent::v1::Command command,
                             absl::Duration patience, std::stop_token stop)
      ABSL_LOCKS_EXCLUDED(mutex_);
  // Its result is not needed any more. OK when it is not there.
  absl::Status Forget(absl::string_view command_id) ABSL_LOCKS_EXCLUDED(mutex_);
  // Uids of the VMs that have commands.
  std::set<std::string> Vms() const ABSL_LOCKS_EXCLUDED(mutex_);
  // All of a VM that is gone; who waits is told NOT_FOUND.
  absl::Status ForgetVm(absl::string_view vm_uid) ABSL_LOCKS_EXCLUDED(mutex_);

  // ---- from the agents
  // Durable before it returns when it is final. OK for a command that is not known (any more).
  absl::Status OnUpdate(absl::string_view vm_uid, const Update& update) ABSL_LOCKS_EXCLUDED(mutex_);
  void OnConnected(absl::string_view vm_uid) ABSL_LOCKS_EXCLUDED(mutex_);

 private:
  struct Tracked {
    CommandRecord record;
    std::string output;
    // Was given to a stream, maybe in an earlier life of the controller: the agent may have it.
    bool handed = false;
    // Is never handed over any more.
    bool withdrawn = false;
    // Grows with each update.
    int64_t changes = 0;
  };

  // As Wait, but CANCELLED after `patience` too.
  absl::StatusOr<Update> WaitFor(absl::string_view command_id, absl::Duration patience,
                                 std::stop_token stop) ABSL_LOCKS_EXCLUDED(mutex_);
  absl::Status Abandon(absl::string_view command_id) ABSL_LOCKS_EXCLUDED(mutex_);
  void Hand(absl::string_view command_id) ABSL_LOCKS_EXCLUDED(mutex_);
  absl::Status Finish(absl::string_view command_id, const Update& final)
      ABSL_LOCKS_EXCLUDED(mutex_);
  absl::Status Write(const CommandRecord& record);

  Store* const store_;
  Vault* const vault_;
  Clock* const clock_;
  mutable absl::Mutex mutex_;
  AgentGateway* gateway_ ABSL_GUARDED_BY(mutex_) = nullptr;
  absl::flat_hash_map<std::string, Tracked> commands_ ABSL_GUARDED_BY(mutex_);
};

// Not to be followed by another update.
bool IsFinal(drover::agent::v1::CommandUpdate::State state);

}  // namespace drover::core
