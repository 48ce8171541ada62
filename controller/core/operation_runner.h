// Runs operations: recorded before they begin, step by step, on a bounded pool of workers
// (OPS-1..3).
//
// An operation is a list of named steps that its kind makes from the record alone. Each step asks
// "is it already so?" and can be repeated. The record is written before a step begins and after it
// ends, so that a controller that died goes on at the first step not done; when a step fails or a
// cancel is asked for, the steps done are undone in reverse order, where they have an undo. A VM is
// held by the oldest open operation that names it; the others wait, visibly. A batch is a parent
// and one child per VM: while the children run it occupies no worker, and its state follows from
// theirs. A parent's own steps run before the children, or after all of them have succeeded.
//
// Thread promise: all methods from any thread. Owns its workers; Stop ends them at a step's
// boundary or at its next look at stop(). Survives a restart: everything, but Report()ed
// percentages.
#pragma once

#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/time/time.h"
#include "controller/core/caller.h"
#include "controller/core/operation_record.h"
#include "controller/core/ports.h"

namespace drover::core {

// A step from outside of its run, for whoever has news for one that waits. From any thread; does
// nothing when the step is not the running one any more, and may outlive the runner.
class WaitingStep {
 public:
  virtual ~WaitingStep() = default;
  virtual void Wake() = 0;
  // As OperationContext::Report, with the state its VM's target has meanwhile; unspecified = the
  // operation's own.
  virtual void Report(int percent, absl::string_view detail,
                      drover::v1::Operation::Target::State state) = 0;
  // `output` is all of it up to now or any piece of it that begins at `offset`; what is new of it
  // goes to the operation's log, line by line, the last piece of a line when it is `whole`. `key`
  // is as in OperationContext::Remember.
  virtual void LogOutput(absl::string_view key, absl::string_view output, int64_t offset,
                         bool whole) = 0;
};

// What a step sees of its operation.
class OperationContext : public StepContext {
 public:
  // As it was when the step began.
  virtual const OperationRecord& record() const = 0;
  // The secrets message of the request, unsealed; "" without any.
  virtual absl::StatusOr<std::string> Secrets() = 0;
  // A line of the operation's own log.
  virtual void Log(absl::string_view line) = 0;
  // Values of the whole operation, not of one step.
  virtual absl::Status RememberForAll(absl::string_view key, absl::string_view value) = 0;
  virtual std::string RecallForAll(absl::string_view key) = 0;
  // What `run` and `undo` return at once to wait for something without a worker: the operation
  // keeps its VM, its place and its state, and the step is run again when it is woken (Wake, a
  // cancel) or after `at_most`. A wake since the run began counts: nothing is missed between
  // looking and waiting.
  virtual absl::Status WaitForWake(absl::Duration at_most) = 0;
  virtual std::shared_ptr<WaitingStep> Waiting() = 0;
  // Recorded with the end of the step.
  virtual void SetResponse(const google::protobuf::Message& response) = 0;
};

// Made by WaitForWake.
bool IsWaiting(const absl::Status& status);

struct OperationStep {
  std::string title;
  // Share of the percentage.
  int weight = 1;
  std::function<absl::Status(OperationContext&)> run;
  // Called for a step that ran, or began to; empty = nothing to undo. It can be repeated too, and
  // is: while it fails, it is tried again for some time before the operation ends as FAILED.
  std::function<absl::Status(OperationContext&)> undo;
  // Nothing undoes it: once it is done, a cancel comes too late and a failure leaves what is done.
  bool commits = false;
  // Of a parent: runs when all children have succeeded, not before them.
  bool after_children = false;
  // What it did stays although the operation failed later: Continue goes on behind it.
  bool lasts = false;
};

struct OperationRequest {
  // Registered kind, "vm.create".
  std::string kind;
  std::string title;
  // The RPC's request, secrets cleared.
  std::unique_ptr<google::protobuf::Message> request;
  // As the caller sent it, secrets cleared, when `request` is more than that: a request id is known
  // again by it. Null = `request`.
  std::unique_ptr<google::protobuf::Message> asked;
  // Serialized message with the secrets only, "" without any.
  std::string secrets;
  // "vms/x" held while it runs.
  std::vector<std::string> holds;
  // Resources it is about.
  std::vector<std::string> resource_names;
  // "hypervisors/x" whose share of the workers it runs on, "" = none's.
  std::string lane;
  Caller caller;
  std::string request_id;
};

struct RunnerLimits {
  // Operations that run at a time: all, of one lane, of one batch. One that waits does not run.
  int workers = 32;
  int per_lane = 12;
  int per_batch = 28;
  // Ended operations are kept this long.
  absl::Duration keep = absl::Hours(24 * 30);
};

// Decides over a batch whose children begin bit by bit. Pure, and quick: it is asked with locks
// held.
using ReleaseRule = std::function<BatchRelease(const OperationRecord& parent)>;
using StepFactory = std::function<std::vector<OperationStep>(const OperationRecord&)>;

class OperationRunner {
 public:
  OperationRunner(Store* store, Vault* vault, Clock* clock, RunnerLimits limits = {});
  ~OperationRunner();

  // ---- before Start

  // Once for each kind. A parent's kind has its own steps, or none.
  void Register(absl::string_view kind, StepFactory factory);
  // A kind of parent whose children begin when the rule releases them, first to last. It can be
  // paused.
  void RegisterBatch(absl::string_view kind, StepFactory factory, ReleaseRule release);
  // Told "operations/x" after each change, without locks held, at once from the thread that made
  // the change. Get gives what it is now.
  void OnChange(std::function<void(absl::string_view name)> listener);
  // `record` writes more in the transaction that records an operation's end, and may run more than
  // once; the events it made are handed to `announce` when they are durable.
  void OnEnd(std::function<absl::Status(StoreWriter&, const OperationRecord&,
                                        std::vector<drover::v1::Event>*)>
                 record,
             std::function<void(const std::vector<drover::v1::Event>&)> announce);

  // Loads open operations and goes on with them.
  absl::Status Start();
  // Returns when no worker runs. Open operations stay open in the store.
  void Stop();

  // ---- operations

  // Recorded when it returns. The same request_id of the same user answers the operation made
  // before; INVALID_ARGUMENT, reason REQUEST_ID_REUSED, when that was for another request.
  absl::StatusOr<drover::v1::Operation> Submit(OperationRequest request);
  // Parent and children are recorded together; at most `at_once` children have begun and not ended
  // at a time, those that wait included; 0 = as limits allow.
  absl::StatusOr<drover::v1::Operation> SubmitBatch(OperationRequest parent,
                                                    std::vector<OperationRequest> children,
                                                    int at_once);
  // What Submit would answer because it was asked for before; nothing when it was not. For handlers
  // whose checks would refuse a request that is already carried out.
  absl::StatusOr<std::optional<drover::v1::Operation>> Earlier(
      const Caller& caller, absl::string_view request_id, const google::protobuf::Message& request);

  // `name` is "operations/x". NOT_FOUND, reason OPERATION_NOT_FOUND.
  absl::StatusOr<drover::v1::Operation> Get(absl::string_view name);
  // With its request.
  absl::StatusOr<OperationRecord> GetRecord(absl::string_view name);
  // Those of a kind without a parent, newest first, of ids before `before_id` ("" = all).
  absl::StatusOr<std::vector<OperationRecord>> ListRecords(absl::string_view kind,
                                                           absl::string_view before_id, int limit);
  absl::StatusOr<drover::v1::ListOperationsResponse> List(
      const drover::v1::ListOperationsRequest& request);
  // Asks it to stop, and all children of it. FAILED_PRECONDITION, reasons OPERATION_DONE and
  // OPERATION_COMMITTED.
  absl::StatusOr<drover::v1::Operation> Cancel(absl::string_view name);
  // No child begins any more until Resume; those that have begun go on. FAILED_PRECONDITION,
  // reasons OPERATION_DONE, NOT_PAUSABLE, ALREADY_PAUSED and NOT_PAUSED.
  absl::Status Pause(absl::string_view name);
  absl::Status Resume(absl::string_view name);
  // The same again for the targets that did not succeed. FAILED_PRECONDITION, reasons
  // OPERATION_NOT_DONE and NOTHING_TO_CONTINUE.
  absl::StatusOr<drover::v1::Operation> Continue(absl::string_view name, const Caller& caller,
                                                 absl::string_view request_id);
  // Runs a step again that waits (OperationContext::WaitForWake); nothing for any other operation.
  void Wake(absl::string_view name);
  // Operations ("operations/x") of a VM ("vms/x"): holder first, then those that wait, in order.
  std::vector<std::string> QueueOf(absl::string_view vm_name);

 private:
  class State;
  std::unique_ptr<State> state_;
};

}  // namespace drover::core
