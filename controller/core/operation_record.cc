#include "controller/core/operation_record.h"

#include <algorithm>
#include <cstdint>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/strip.h"
#include "proto/support/status.h"
#include "proto/support/time.h"

namespace drover::core {
namespace {

using drover::v1::Operation;
using Step = Operation::Step;
using Target = Operation::Target;

// Base 32 without letters that are read for others.
constexpr char kDigits[] = "0123456789abcdefghjkmnpqrstvwxyz";
constexpr int kIdLength = 11;
constexpr char kLeftOut[] = " earlier lines left out)";

int64_t ValueOf(absl::string_view id) {
  int64_t value = 0;
  for (const char c : id) {
    const absl::string_view digits = kDigits;
    const size_t digit = digits.find(c);
    if (digit == absl::string_view::npos) return 0;
    value = value * 32 + static_cast<int64_t>(digit);
  }
  return value;
}

void EndStepAs(OperationRecord& record, int step, Step::State state, absl::Time now) {
  Step& its = *record.mutable_operation()->mutable_steps(step);
  its.set_state(state);
  *its.mutable_end_time() = ToProto(now);
  record.clear_order_state();
}

Target::State TargetStateOf(Operation::State state) {
  switch (state) {
    case Operation::STATE_QUEUED:
    case Operation::STATE_PAUSED:
      return Target::STATE_QUEUED;
    case Operation::STATE_RUNNING:
    case Operation::STATE_UNDOING:
      return Target::STATE_RUNNING;
    case Operation::STATE_SUCCEEDED:
      return Target::STATE_SUCCEEDED;
    case Operation::STATE_CANCELLED:
      return Target::STATE_CANCELLED;
    default:
      return Target::STATE_FAILED;
  }
}

// How many lines a log has lost, as its first line says; 0 when it is whole.
int64_t LinesLeftOut(const Operation::LogLine& first) {
  absl::string_view text = first.text();
  int64_t count = 0;
  if (!absl::ConsumePrefix(&text, "(") || !absl::ConsumeSuffix(&text, kLeftOut)) return 0;
  return absl::SimpleAtoi(text, &count) ? count : 0;
}

}  // namespace

bool IsDone(Operation::State state) {
  return state == Operation::STATE_SUCCEEDED || state == Operation::STATE_FAILED ||
         state == Operation::STATE_CANCELLED || state == Operation::STATE_PARTLY_FAILED;
}

std::string NextOperationId(absl::Time now, absl::string_view last) {
  int64_t value = std::max(absl::ToUnixMicros(now), ValueOf(last) + 1);
  std::string id(kIdLength, '0');
  for (int i = kIdLength - 1; i >= 0; --i) {
    id[static_cast<size_t>(i)] = kDigits[value % 32];
    value /= 32;
  }
  return id;
}

int NextStep(const OperationRecord& record, bool after_children) {
  const Operation& operation = record.operation();
  const int end =
      record.has_children() && !after_children ? record.opening_steps() : operation.steps_size();
  for (int i = 0; i < end; ++i) {
    if (operation.steps(i).state() != Step::STATE_DONE) return i;
  }
  return -1;
}

bool HasBegun(const OperationRecord& record) {
  return record.operation().state() != Operation::STATE_QUEUED ||
         record.operation().has_start_time();
}

void BeginStep(OperationRecord& record, int step, absl::Time now) {
  Step& its = *record.mutable_operation()->mutable_steps(step);
  its.set_state(Step::STATE_RUNNING);
  its.set_percent(0);
  if (!its.has_start_time()) *its.mutable_start_time() = ToProto(now);
  SetPercent(record);
}

void EndStep(OperationRecord& record, int step, absl::Time now) {
  EndStepAs(record, step, Step::STATE_DONE, now);
  record.mutable_operation()->mutable_steps(step)->set_percent(100);
  SetPercent(record);
}

void FailStep(OperationRecord& record, int step, const absl::Status& error, absl::Time now) {
  EndStepAs(record, step, Step::STATE_FAILED, now);
  record.set_stopped_at(step + 1);
  Operation& operation = *record.mutable_operation();
  const std::string title = operation.steps(step).title();
  *operation.mutable_error() = ToRpcStatus(Annotate(error, title));
  operation.set_state(Operation::STATE_UNDOING);
  AppendLogLine(record, absl::StrCat(title, " failed: ", error.message()), now);
}

void StopForCancel(OperationRecord& record, absl::Time now) {
  Operation& operation = *record.mutable_operation();
  for (int i = 0; i < operation.steps_size(); ++i) {
    Step& step = *operation.mutable_steps(i);
    if (step.state() != Step::STATE_RUNNING) continue;
    step.set_state(Step::STATE_FAILED);
    *step.mutable_end_time() = ToProto(now);
    record.set_stopped_at(i + 1);
  }
  record.clear_order_state();
  operation.set_state(Operation::STATE_UNDOING);
  AppendLogLine(record, "cancelled", now);
}

int NextToUndo(const OperationRecord& record, const std::vector<bool>& can_undo) {
  const Operation& operation = record.operation();
  for (int i = operation.steps_size() - 1; i >= 0; --i) {
    const Step::State state = operation.steps(i).state();
    const bool began =
        state == Step::STATE_RUNNING || state == Step::STATE_DONE || state == Step::STATE_FAILED;
    if (began && can_undo[static_cast<size_t>(i)]) return i;
  }
  return -1;
}

void EndUndo(OperationRecord& record, int step, absl::Time now) {
  EndStepAs(record, step, Step::STATE_UNDONE, now);
}

void GiveUpUndo(OperationRecord& record, int step, const absl::Status& error, absl::Time now) {
  EndStepAs(record, step, Step::STATE_SKIPPED, now);
  Operation& operation = *record.mutable_operation();
  const std::string what = absl::StrCat("\"", operation.steps(step).title(),
                                        "\" could not be undone: ", error.message());
  AppendLogLine(record, what, now);
  google::rpc::Status& told = *operation.mutable_error();
  if (told.code() == 0) {
    told = ToRpcStatus(Annotate(error, what));
    return;
  }
  told.set_message(absl::StrCat(told.message(), "; ", what));
}

void Start(OperationRecord& record, absl::Time now) {
  Operation& operation = *record.mutable_operation();
  // One that is paused or being undone stays so.
  if (operation.state() == Operation::STATE_QUEUED) operation.set_state(Operation::STATE_RUNNING);
  if (!operation.has_start_time()) *operation.mutable_start_time() = ToProto(now);
}

void Finish(OperationRecord& record, Operation::State state, absl::Time now) {
  Operation& operation = *record.mutable_operation();
  for (Step& step : *operation.mutable_steps()) {
    if (step.state() == Step::STATE_PENDING) step.set_state(Step::STATE_SKIPPED);
  }
  operation.set_state(state);
  operation.clear_waits_for();
  *operation.mutable_end_time() = ToProto(now);
  record.clear_memory();
  if (state == Operation::STATE_SUCCEEDED) {
    operation.set_percent(100);
    // The others may be continued.
    record.clear_sealed_secrets();
  }
  if (!record.has_children() && operation.targets_size() == 1) {
    const Target target = TargetOf(record);
    *operation.mutable_targets(0) = target;
  }
}

Operation::State StateAfterUndo(const OperationRecord& record) {
  return record.operation().error().code() != 0 ? Operation::STATE_FAILED
                                                : Operation::STATE_CANCELLED;
}

void SetPercent(OperationRecord& record) {
  if (record.has_children()) return SetParentPercent(record);
  Operation& operation = *record.mutable_operation();
  if (operation.state() == Operation::STATE_UNDOING) return;
  int64_t all = 0;
  int64_t done = 0;
  for (int i = 0; i < operation.steps_size(); ++i) {
    const int64_t weight = i < record.weights_size() ? record.weights(i) : 1;
    all += 100 * weight;
    done += operation.steps(i).percent() * weight;
  }
  if (all == 0) return;
  operation.set_percent(std::max(operation.percent(), static_cast<int32_t>(done * 100 / all)));
}

void AppendLogLine(OperationRecord& record, absl::string_view text, absl::Time now) {
  auto& log = *record.mutable_operation()->mutable_log();
  if (log.size() >= kMaxOperationLog) {
    const int64_t before = LinesLeftOut(log.at(0));
    // The first line makes room for the one that says so.
    const int out = log.size() - kMaxOperationLog + 1;
    log.DeleteSubrange(1, out);
    Operation::LogLine& first = *log.Mutable(0);
    *first.mutable_time() = ToProto(now);
    first.set_text(absl::StrCat("(", before + out + (before == 0 ? 1 : 0), kLeftOut));
  }
  Operation::LogLine& line = *log.Add();
  *line.mutable_time() = ToProto(now);
  line.set_text(std::string(text));
}

// Ends that have a state of their own (OPS-3).
Target::State FailedStateOf(const absl::Status& error) {
  if (HasReason(error, "COMMAND_EXPIRED")) return Target::STATE_EXPIRED;
  if (HasReason(error, "COMMAND_TIMED_OUT")) return Target::STATE_TIMED_OUT;
  if (HasReason(error, "CONTACT_LOST")) return Target::STATE_CONTACT_LOST;
  return Target::STATE_FAILED;
}

bool IsFinal(Target::State state) {
  return state != Target::STATE_UNSPECIFIED && state != Target::STATE_QUEUED &&
         state != Target::STATE_DELIVERED && state != Target::STATE_RUNNING;
}

Target TargetOf(const OperationRecord& child) {
  const Operation& operation = child.operation();
  Target target;
  if (child.holds_size() > 0) {
    target.set_vm(child.holds(0));
  } else if (operation.targets_size() > 0) {
    target.set_vm(operation.targets(0).vm());
  }
  target.set_state(TargetStateOf(operation.state()));
  if (operation.state() == Operation::STATE_RUNNING && child.order_state() != 0) {
    target.set_state(child.order_state());
  }
  target.set_percent(operation.percent());
  if (child.has_operation() && !operation.parent().empty()) target.set_operation(operation.name());
  if (operation.has_error()) {
    *target.mutable_error() = operation.error();
    if (target.state() == Target::STATE_FAILED) {
      target.set_state(FailedStateOf(FromRpcStatus(operation.error())));
    }
  }
  for (const Step& step : operation.steps()) {
    if (step.state() != Step::STATE_RUNNING && step.state() != Step::STATE_FAILED) continue;
    target.set_detail(step.detail().empty() ? step.title()
                                            : absl::StrCat(step.title(), ": ", step.detail()));
  }
  return target;
}

void SetParentPercent(OperationRecord& parent) {
  Operation& operation = *parent.mutable_operation();
  int64_t all = 0;
  int64_t done = 0;
  for (const Target& target : operation.targets()) {
    all += 100;
    done += IsFinal(target.state()) ? 100 : target.percent();
  }
  for (const Step& step : operation.steps()) {
    all += 10;
    done += step.percent() / 10;
  }
  if (all == 0) return;
  operation.set_percent(std::max(operation.percent(), static_cast<int32_t>(done * 100 / all)));
}

bool ChildrenDone(const OperationRecord& parent) {
  const auto& targets = parent.operation().targets();
  return std::all_of(targets.begin(), targets.end(),
                     [](const Target& target) { return IsFinal(target.state()); });
}

bool ChildrenSucceeded(const OperationRecord& parent) {
  const auto& targets = parent.operation().targets();
  return std::all_of(targets.begin(), targets.end(), [](const Target& target) {
    return target.state() == Target::STATE_SUCCEEDED;
  });
}

Operation::State OutcomeOf(const OperationRecord& parent, google::rpc::Status* error) {
  int succeeded = 0;
  int cancelled = 0;
  int failed = 0;
  const Target* first = nullptr;
  for (const Target& target : parent.operation().targets()) {
    if (target.state() == Target::STATE_SUCCEEDED) {
      ++succeeded;
    } else if (target.state() == Target::STATE_CANCELLED) {
      ++cancelled;
    } else {
      if (first == nullptr) first = &target;
      ++failed;
    }
  }
  if (failed == 0 && cancelled == 0) return Operation::STATE_SUCCEEDED;
  if (first != nullptr) {
    *error = first->error();
    error->set_message(absl::StrCat(failed, " of ", parent.operation().targets_size(),
                                    " VMs failed; ", first->vm(), ": ", first->error().message()));
  }
  if (succeeded > 0) return Operation::STATE_PARTLY_FAILED;
  return failed > 0 ? Operation::STATE_FAILED : Operation::STATE_CANCELLED;
}

}  // namespace drover::core
