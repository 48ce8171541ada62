#include "controller/core/operation_worker.h"

#include <algorithm>
#include <optional>
#include <utility>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "controller/core/operation_context.h"
#include "controller/core/operation_record.h"
#include "proto/support/log.h"
#include "proto/support/status.h"

namespace drover::core {
namespace {

using drover::v1::Operation;
using Step = Operation::Step;

// What the worker itself remembers of a step.
constexpr char kUndoAttempts[] = "undo attempts";
// What may work later is tried for about an hour, anything else a few times.
constexpr int kUndoAttemptsAway = 65;
constexpr int kUndoAttemptsOther = 4;

absl::Duration UndoPause(int attempts) {
  return std::min(absl::Seconds(5) * (1 << std::min(attempts, 4)), absl::Seconds(60));
}

bool MayWorkLater(const absl::Status& error) {
  return absl::IsUnavailable(error) || absl::IsDeadlineExceeded(error) ||
         absl::IsResourceExhausted(error);
}

}  // namespace

void OperationWorker::Run(const std::string& id) {
  const std::optional<OperationRecord> record = open_->Find(id);
  if (!record.has_value()) return;
  const auto factory = factories_->find(record->operation().kind());
  if (factory == factories_->end()) {
    return Fail(id, absl::UnimplementedError(
                        absl::StrCat("this controller does not know operations of kind \"",
                                     record->operation().kind(), "\"")));
  }
  const std::vector<OperationStep> steps = factory->second(*record);
  if (static_cast<int>(steps.size()) != record->operation().steps_size()) {
    return Fail(id, absl::FailedPreconditionError(
                        "another version of the controller began this with other steps"));
  }
  const absl::Time now = clock_->Now();
  open_->Touch(id, [&](OperationRecord& its) {
    Start(its, now);
    return true;
  });
  while (GoOn(id, steps)) {
  }
}

bool OperationWorker::GoOn(const std::string& id, const std::vector<OperationStep>& steps) {
  if (open_->stopping()) return false;
  std::optional<OperationRecord> found = open_->Find(id);
  if (!found.has_value()) return false;
  const OperationRecord& record = *found;
  const Operation& operation = record.operation();
  if (operation.state() == Operation::STATE_UNDOING) return UndoStep(id, record, steps);
  const bool children_done = record.has_children() && ChildrenDone(record);
  // A parent that has come to its children has nothing of its own left that a cancel could stop; it
  // ends with them.
  const bool opening_done = NextStep(record, /*after_children=*/false) < 0;
  if (operation.cancel_requested() && !record.committed() &&
      !(record.has_children() && opening_done)) {
    const absl::Time now = clock_->Now();
    return open_->SaveSurely(id, [&](OperationRecord& its) { StopForCancel(its, now); }).ok();
  }
  const bool closing = children_done && ChildrenSucceeded(record);
  const int step = NextStep(record, closing);
  if (step >= 0) return RunStep(id, record, steps, step);
  return EndSteps(id, record);
}

bool OperationWorker::RunStep(const std::string& id, const OperationRecord& record,
                              const std::vector<OperationStep>& steps, int step) {
  const OperationStep& its = steps[static_cast<size_t>(step)];
  if (record.operation().steps(step).state() != Step::STATE_RUNNING) {
    const absl::Time now = clock_->Now();
    const absl::Status begun = open_->SaveSurely(id, [&](OperationRecord& changed) {
      Start(changed, now);
      BeginStep(changed, step, now);
    });
    if (!begun.ok()) return false;
  }
  StepRun context(open_, vault_, clock_, id, step, record,
                  open_->StopToken(id, /*renew=*/record.committed()));
  const absl::Status status = its.run(context);
  if (const auto wait = context.WaitOf(status)) {
    open_->SetAside(id, *wait);
    return false;
  }
  // It will be asked again at the next start.
  if (!status.ok() && open_->stopping()) return false;
  const absl::Time now = clock_->Now();
  if (!status.ok()) {
    return open_
        ->SaveSurely(id,
                     [&](OperationRecord& changed) {
                       const bool cancelled =
                           changed.operation().cancel_requested() && !changed.committed();
                       if (cancelled) {
                         StopForCancel(changed, now);
                       } else {
                         FailStep(changed, step, status, now);
                       }
                     })
        .ok();
  }
  const bool last = step + 1 == record.operation().steps_size() && !record.has_children();
  const auto end = [&](OperationRecord& changed) {
    EndStep(changed, step, now);
    if (its.commits) changed.set_committed(true);
    if (last) {
      Finish(changed, Operation::STATE_SUCCEEDED, now);
    } else if (!record.has_children() && !changed.operation().cancel_requested()) {
      // One that was continued may have done the next before.
      BeginStep(changed, NextStep(changed, /*after_children=*/false), now);
    }
  };
  return open_->SaveSurely(id, end).ok() && !last;
}

bool OperationWorker::EndSteps(const std::string& id, const OperationRecord& record) {
  const absl::Time now = clock_->Now();
  if (!record.has_children()) {
    (void)open_->SaveSurely(
        id, [&](OperationRecord& its) { Finish(its, Operation::STATE_SUCCEEDED, now); });
    return false;
  }
  if (!ChildrenDone(record)) {
    const std::optional<BatchRelease> release = open_->ReleaseOf(record);
    const bool paused = record.operation().state() == Operation::STATE_PAUSED;
    if (release.has_value() && release->stop && !paused) {
      open_->Touch(id, [&](OperationRecord& its) {
        AppendLogLine(its, absl::StrCat("no more VMs are begun: ", release->reason), now);
        return true;
      });
      CancelChildren(id);
      return true;
    }
    open_->ReleaseChildren(id);
    return false;
  }
  (void)open_->SaveSurely(id, [&](OperationRecord& its) {
    google::rpc::Status error;
    const Operation::State state = OutcomeOf(its, &error);
    if (error.code() != 0) *its.mutable_operation()->mutable_error() = error;
    Finish(its, state, now);
  });
  return false;
}

bool OperationWorker::UndoStep(const std::string& id, const OperationRecord& record,
                               const std::vector<OperationStep>& steps) {
  if (record.has_children() && !ChildrenDone(record)) CancelChildren(id);
  std::vector<bool> can_undo;
  for (const OperationStep& step : steps) can_undo.push_back(step.undo && !record.committed());
  const int step = NextToUndo(record, can_undo);
  const absl::Time now = clock_->Now();
  if (step < 0) {
    (void)open_->SaveSurely(id,
                            [&](OperationRecord& its) { Finish(its, StateAfterUndo(its), now); });
    return false;
  }
  StepRun context(open_, vault_, clock_, id, step, record, open_->StopToken(id, /*renew=*/true));
  const absl::Status undone = steps[static_cast<size_t>(step)].undo(context);
  if (const auto wait = context.WaitOf(undone)) {
    open_->SetAside(id, *wait);
    return false;
  }
  if (undone.ok()) {
    return open_->SaveSurely(id, [&](OperationRecord& its) { EndUndo(its, step, now); }).ok();
  }
  if (open_->stopping()) return false;
  return RetryUndo(id, step, undone);
}

bool OperationWorker::RetryUndo(const std::string& id, int step, const absl::Status& error) {
  int attempts = 0;
  (void)absl::SimpleAtoi(open_->Recall(id, step, kUndoAttempts), &attempts);
  ++attempts;
  const absl::Time now = clock_->Now();
  if (attempts >= (MayWorkLater(error) ? kUndoAttemptsAway : kUndoAttemptsOther)) {
    return open_->SaveSurely(id, [&](OperationRecord& its) { GiveUpUndo(its, step, error, now); })
        .ok();
  }
  const absl::Duration pause = UndoPause(attempts - 1);
  const absl::Status saved = open_->SaveSurely(id, [&](OperationRecord& its) {
    (*(*its.mutable_memory())[step].mutable_values())[kUndoAttempts] = absl::StrCat(attempts);
    AppendLogLine(its,
                  absl::StrCat("undoing \"", its.operation().steps(step).title(),
                               "\" failed, trying again in ", absl::FormatDuration(pause), ": ",
                               error.message()),
                  now);
  });
  if (saved.ok()) open_->PutBack(id, pause);
  return false;
}

absl::Status OperationWorker::CancelUnbegun(const std::string& id, bool surely) {
  const absl::Time now = clock_->Now();
  const auto end = [&](OperationRecord& its) {
    its.mutable_operation()->set_cancel_requested(true);
    Finish(its, Operation::STATE_CANCELLED, now);
  };
  return surely ? open_->SaveSurely(id, end) : open_->Save(id, end);
}

void OperationWorker::CancelChildren(const std::string& id) {
  for (const std::string& child : open_->WithdrawChildren(id)) {
    (void)CancelUnbegun(child, /*surely=*/true);
  }
}

void OperationWorker::Fail(const std::string& id, const absl::Status& error) {
  LogError("operation ", id, ": ", error.message());
  const absl::Time now = clock_->Now();
  CancelChildren(id);
  (void)open_->SaveSurely(id, [&](OperationRecord& its) {
    *its.mutable_operation()->mutable_error() = ToRpcStatus(error);
    Finish(its, Operation::STATE_FAILED, now);
  });
}

}  // namespace drover::core
