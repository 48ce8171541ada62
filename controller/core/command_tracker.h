// Commands to agents, from the order to the result (OPS-3): written down before they are sent, sent
// again whenever the agent comes back until it answers, carried out once since the agent knows the
// id. A command whose agent stays away expires.
//
// Thread promise: all methods from any thread; Wait and Ask block. Survives a restart: commands
// that were ordered and not forgotten.
#pragma once

#include <functional>
#include <memory>
#include <optional>
#include <set>
#include <stop_token>
#include <string>
#include <vector>

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
  // Told a command's news by the thread that has them, one after the other: unspecified state when
  // it is handed to the agent, then the agent's updates, each with its own piece of the output, the
  // final one with the newest 64 KiB of it, durable.
  using Watcher = std::function<void(const Update&)>;
  struct Given {
    std::string vm_uid;
    drover::agent::v1::Command command;
    std::string operation;
    Watcher watcher;
  };
  struct Glance {
    // With the newest 64 KiB of its output, which begin at its offset.
    Update update;
    // The agent may have it.
    bool handed = false;
    // When to look again, should no news come before.
    absl::Time next;
  };

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
  // `watcher`, if any, is told of all that comes, unless another one is told already.
  absl::Status Order(absl::string_view vm_uid, const drover::agent::v1::Command& command,
                     absl::string_view operation, Watcher watcher = nullptr)
      ABSL_LOCKS_EXCLUDED(mutex_);
  // Many at once, written down together.
  absl::Status OrderAll(std::vector<Given> orders) ABSL_LOCKS_EXCLUDED(mutex_);
  // What expire times count by.
  absl::Time Now() const { return clock_->Now(); }
  // Where the command is, without waiting; errors and EXPIRED as Wait.
  absl::StatusOr<Glance> Look(absl::string_view command_id) ABSL_LOCKS_EXCLUDED(mutex_);
  // As Order's watcher, for a command that may be there.
  void Watch(absl::string_view command_id, Watcher watcher) ABSL_LOCKS_EXCLUDED(mutex_);
  // The final update, with its newest output; EXPIRED when the agent did not come for it in time.
  // `progress` is called for each change before. UNAVAILABLE, reason CONTACT_LOST, when the command
  // was handed over and the agent was not heard of again in the time the command had. CANCELLED
  // when `stop` is requested; the command goes on. NOT_FOUND for an id that was not ordered.
  absl::StatusOr<Update> Wait(absl::string_view command_id, std::stop_token stop,
                              absl::FunctionRef<void(const Update&)> progress)
      ABSL_LOCKS_EXCLUDED(mutex_);
  // Asks the agent to stop it; one that was not handed over yet is CANCELLED at once.
  absl::Status Cancel(absl::string_view command_id) ABSL_LOCKS_EXCLUDED(mutex_);
  // Cancels it. Call again with news of it, or when the answer says: until then the agent has not
  // said that it ended. Nothing when the matter is over: it has ended and is forgotten, or the
  // agent said nothing for `patience` since the first call; then it is told again whenever it comes
  // back, and the command is forgotten once it has ended. `confirmed` tells which.
  absl::StatusOr<std::optional<absl::Time>> Stop(absl::string_view command_id,
                                                 absl::Duration patience, bool* confirmed)
      ABSL_LOCKS_EXCLUDED(mutex_);
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
    // The newest; what is older was told to the watcher.
    std::string output;
    int64_t output_begin = 0;
    Watcher watcher;
    // Since when Stop waits for the agent.
    std::optional<absl::Time> stopping;
    // Was given to a stream, maybe in an earlier life of the controller.
    bool given = false;
    // Is never handed over any more.
    bool withdrawn = false;
    // Grows with each update.
    int64_t changes = 0;
  };

  // As Wait, but CANCELLED after `patience` too.
  absl::StatusOr<Update> WaitFor(absl::string_view command_id, absl::Duration patience,
                                 std::stop_token stop) ABSL_LOCKS_EXCLUDED(mutex_);
  absl::StatusOr<Tracked> NewCommand(Given given);
  static void KeepOutput(Tracked& tracked, absl::string_view piece, int64_t offset);
  absl::Status Abandon(absl::string_view command_id) ABSL_LOCKS_EXCLUDED(mutex_);
  // Writes down that they may be with the agent; nothing for those that were before.
  absl::Status MarkHanded(const std::vector<std::string>& ids) ABSL_LOCKS_EXCLUDED(mutex_);
  void Hand(absl::string_view command_id) ABSL_LOCKS_EXCLUDED(mutex_);
  void NotHanded(const CommandRecord& record, const absl::Status& why) ABSL_LOCKS_EXCLUDED(mutex_);
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
