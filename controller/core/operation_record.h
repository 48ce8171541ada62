// What can become of an operation's record: every change of state an operation makes is a function
// here, so that the runner decides nothing about records and tests need no threads.
//
// Thread promise: pure functions over a record that the caller owns. A step index is the one of
// record.operation().steps().
#pragma once

#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/strings/string_view.h"
#include "absl/time/time.h"
#include "controller/core/records.pb.h"

namespace drover::core {

// Which children of a parent may run now; a pure function of the parent's record. It is asked for
// when all that were released have ended.
struct BatchRelease {
  // So many of the first; never fewer than before.
  int children = 0;
  // None beyond them will ever begin.
  bool stop = false;
  // Why, for people.
  std::string reason;
};

// Lines of an operation's own log; older ones go.
inline constexpr int kMaxOperationLog = 200;

bool IsDone(drover::v1::Operation::State state);
inline bool IsDone(const OperationRecord& record) { return IsDone(record.operation().state()); }

// Something of it was begun, maybe by an earlier controller.
bool HasBegun(const OperationRecord& record);

// Ids of operations: they sort by the time they were made. `last` is the highest made before, ""
// for none; the answer is higher even when the clock went back.
std::string NextOperationId(absl::Time now, absl::string_view last);

// ---- a step begins and ends

// The step to go on with: the first that is not done among those that may run now (a parent's
// closing steps only `after_children`); -1 when there is none.
int NextStep(const OperationRecord& record, bool after_children);
void BeginStep(OperationRecord& record, int step, absl::Time now);
void EndStep(OperationRecord& record, int step, absl::Time now);
// The step failed; what follows is undoing.
void FailStep(OperationRecord& record, int step, const absl::Status& error, absl::Time now);
// The operation shall stop because somebody asked for it; what follows is undoing.
void StopForCancel(OperationRecord& record, absl::Time now);

// ---- undoing

// The last step that began and is not undone, of those that `can_undo`; -1 when there is none.
int NextToUndo(const OperationRecord& record, const std::vector<bool>& can_undo);
void EndUndo(OperationRecord& record, int step, absl::Time now);
// What could not be undone is told beside the first error.
void GiveUpUndo(OperationRecord& record, int step, const absl::Status& error, absl::Time now);

// ---- the whole operation

void Start(OperationRecord& record, absl::Time now);
// Steps that did not run are skipped. What steps remembered goes, and the secrets of one that
// succeeded.
void Finish(OperationRecord& record, drover::v1::Operation::State state, absl::Time now);
// The state that undoing ends in: FAILED when there is an error, else CANCELLED.
drover::v1::Operation::State StateAfterUndo(const OperationRecord& record);
// Sets percent from steps and weights. Never smaller than before while it runs.
void SetPercent(OperationRecord& record);
void AppendLogLine(OperationRecord& record, absl::string_view text, absl::Time now);

// ---- parents

// Not followed by another state.
bool IsFinal(drover::v1::Operation::Target::State state);
// How a VM fares in an operation of its own.
drover::v1::Operation::Target TargetOf(const OperationRecord& child);
// A parent's percent from its targets and own steps.
void SetParentPercent(OperationRecord& parent);
bool ChildrenDone(const OperationRecord& parent);
bool ChildrenSucceeded(const OperationRecord& parent);
// The state and error that follow from targets that are all final: SUCCEEDED, CANCELLED when none
// succeeded and none failed, PARTLY_FAILED when some succeeded, else FAILED.
drover::v1::Operation::State OutcomeOf(const OperationRecord& parent, google::rpc::Status* error);

}  // namespace drover::core
