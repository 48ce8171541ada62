// Runs operations: recorded before they begin, step by step, on a bounded pool of workers
// (OPS-1..3).
//
// An operation is a list of named steps that its kind makes from the record alone. Each step asks
// "is it already so?" and can be repeated. The record is written before a step begins and after it
// ends, so that a controller that died goes on at the first step not done; when a step fails or a
// cancel is asked for, the steps done are undone in reverse order, where they have an undo. A VM is
// held by the oldest open operation that names it; the others wait, visibly, and hold nothing else
// meanwhile. A batch is a parent without steps and one child per VM: it occupies no worker, its
// state follows from its children.
//
// Thread promise: all methods from any thread. Owns its workers; Stop ends them at a step's
// boundary or at its next look at stop(). Survives a restart: everything, but Report()ed
// percentages.
#pragma once

#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "controller/core/caller.h"
#include "controller/core/ports.h"

namespace drover::core {

// What a step sees of its operation.
class OperationContext : public StepContext {
 public:
  virtual const OperationRecord& record() const = 0;
  // The secrets message of the request, unsealed.
  virtual absl::StatusOr<std::string> Secrets() = 0;
  // A line of the operation's own log.
  virtual void Log(absl::string_view line) = 0;
  // Values of the whole operation, not of one step.
  virtual absl::Status RememberForAll(absl::string_view key, absl::string_view value) = 0;
  virtual std::string RecallForAll(absl::string_view key) = 0;
  virtual void SetResponse(const google::protobuf::Message& response) = 0;
};

struct OperationStep {
  std::string title;
  // Share of the percentage.
  int weight = 1;
  std::function<absl::Status(OperationContext&)> run;
  // Called for a step that ran, or began to; empty = nothing to undo. It can be repeated too.
  std::function<absl::Status(OperationContext&)> undo;
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
  Caller caller;
  std::string request_id;
};

using StepFactory = std::function<std::vector<OperationStep>(const OperationRecord&)>;

class OperationRunner {
 public:
  // `workers` operations run at a time.
  OperationRunner(Store* store, Vault* vault, Clock* clock, int workers);
  ~OperationRunner();

  // Before Start, once for each kind.
  void Register(absl::string_view kind, StepFactory factory);
  // Called after each durable change of an operation, without locks held.
  void OnChange(std::function<void(const drover::v1::Operation&)> listener);
  // Loads open operations and goes on with them.
  absl::Status Start();
  // Returns when no worker runs. Open operations stay open in the store.
  void Stop();

  // Recorded when it returns. The same request_id of the same user answers the operation made
  // before.
  absl::StatusOr<drover::v1::Operation> Submit(OperationRequest request);
  // Parent and children are recorded together; at most `at_once` children run at a time, 0 = as
  // workers allow.
  absl::StatusOr<drover::v1::Operation> SubmitBatch(OperationRequest parent,
                                                    std::vector<OperationRequest> children,
                                                    int at_once);
  // `name` is "operations/x".
  absl::StatusOr<drover::v1::Operation> Get(absl::string_view name);
  absl::StatusOr<drover::v1::ListOperationsResponse> List(
      const drover::v1::ListOperationsRequest& request);
  absl::StatusOr<drover::v1::Operation> Cancel(absl::string_view name);
  absl::StatusOr<drover::v1::Operation> Continue(absl::string_view name, const Caller& caller,
                                                 absl::string_view request_id);
  // Holder first, then those that wait, in order.
  std::vector<std::string> QueueOf(absl::string_view vm_name);

 private:
  class State;
  std::unique_ptr<State> state_;
};

}  // namespace drover::core
