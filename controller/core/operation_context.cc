#include "controller/core/operation_context.h"

#include <algorithm>
#include <map>
#include <utility>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/synchronization/mutex.h"
#include "controller/core/operation_record.h"
#include "controller/core/output_lines.h"
#include "proto/support/status.h"

namespace drover::core {
namespace {

using drover::v1::Operation;
using Step = Operation::Step;

// Memory of the whole operation.
constexpr int kForAll = -1;
constexpr char kWaits[] = "STEP_WAITS";

// Whether that is news.
bool SetDetail(OperationRecord& record, int step, int percent, absl::string_view detail) {
  Step& its = *record.mutable_operation()->mutable_steps(step);
  percent = std::clamp(percent, its.percent(), 100);
  if (its.percent() == percent && its.detail() == detail) return false;
  its.set_percent(percent);
  its.set_detail(std::string(detail));
  SetPercent(record);
  return true;
}

class FarStep : public WaitingStep {
 public:
  FarStep(std::weak_ptr<OpenOperations> open, Clock* clock, std::string id, int step)
      : open_(std::move(open)), clock_(clock), id_(std::move(id)), step_(step) {}

  void Wake() override {
    if (const auto open = open_.lock()) open->Wake(id_);
  }
  void Report(int percent, absl::string_view detail, Operation::Target::State state) override {
    const auto open = open_.lock();
    if (open == nullptr) return;
    open->Touch(id_, [&](OperationRecord& record) {
      if (record.operation().steps(step_).state() != Step::STATE_RUNNING) return false;
      const bool same_state = record.order_state() == state;
      record.set_order_state(state);
      return SetDetail(record, step_, percent, detail) || !same_state;
    });
  }
  void LogOutput(absl::string_view key, absl::string_view output, int64_t offset,
                 bool whole) override {
    const auto open = open_.lock();
    if (open == nullptr) return;
    const std::string memory_key = absl::StrCat("output of ", key);
    int64_t before = 0;
    (void)absl::SimpleAtoi(open->Recall(id_, step_, memory_key), &before);
    std::vector<std::string> fresh;
    std::string seen;
    {
      absl::MutexLock lock(&mutex_);
      OutputLines& lines = outputs_.try_emplace(memory_key, before).first->second;
      fresh = lines.Add(output, offset, whole);
      seen = absl::StrCat(lines.seen());
    }
    if (fresh.empty()) return;
    const absl::Time now = clock_->Now();
    open->Touch(id_, [&](OperationRecord& record) {
      for (const std::string& line : fresh) AppendLogLine(record, line, now);
      // Beside the lines, so that both are recorded or none.
      (*(*record.mutable_memory())[step_].mutable_values())[memory_key] = seen;
      return true;
    });
  }

 private:
  const std::weak_ptr<OpenOperations> open_;
  Clock* const clock_;
  const std::string id_;
  const int step_;
  absl::Mutex mutex_;
  std::map<std::string, OutputLines> outputs_ ABSL_GUARDED_BY(mutex_);
};

}  // namespace

bool IsWaiting(const absl::Status& status) { return HasReason(status, kWaits); }

std::string SecretsPurpose(const OperationRecord& record) {
  return absl::StrCat("operation ", record.operation().kind(), " ",
                      record.holds_size() > 0 ? record.holds(0) : "");
}

StepRun::StepRun(OpenOperations* open, Vault* vault, Clock* clock, std::string id, int step,
                 OperationRecord record, std::stop_token stop)
    : open_(open),
      vault_(vault),
      clock_(clock),
      id_(std::move(id)),
      step_(step),
      record_(std::move(record)),
      stop_(std::move(stop)) {}

void StepRun::Report(int percent, absl::string_view detail) {
  open_->Touch(id_,
               [&](OperationRecord& record) { return SetDetail(record, step_, percent, detail); });
}

absl::Status StepRun::Remember(absl::string_view key, absl::string_view value) {
  return RememberAt(step_, key, value);
}

std::string StepRun::Recall(absl::string_view key) {
  return open_->Recall(id_, step_, std::string(key));
}

absl::StatusOr<std::string> StepRun::Secrets() {
  if (record_.sealed_secrets().empty()) return "";
  return vault_->Unseal(record_.sealed_secrets(), SecretsPurpose(record_));
}

void StepRun::Log(absl::string_view line) {
  const absl::Time now = clock_->Now();
  open_->Touch(id_, [&](OperationRecord& record) {
    AppendLogLine(record, line, now);
    return true;
  });
}

absl::Status StepRun::RememberForAll(absl::string_view key, absl::string_view value) {
  return RememberAt(kForAll, key, value);
}

std::string StepRun::RecallForAll(absl::string_view key) {
  return open_->Recall(id_, kForAll, std::string(key));
}

absl::Status StepRun::WaitForWake(absl::Duration at_most) {
  wait_ = wait_.has_value() ? std::min(*wait_, at_most) : at_most;
  return MakeError(absl::StatusCode::kUnavailable, kWaits, "the step waits");
}

std::shared_ptr<WaitingStep> StepRun::Waiting() {
  return std::make_shared<FarStep>(open_->weak_from_this(), clock_, id_, step_);
}

std::optional<absl::Duration> StepRun::WaitOf(const absl::Status& status) const {
  if (!IsWaiting(status)) return std::nullopt;
  return wait_;
}

void StepRun::SetResponse(const google::protobuf::Message& response) {
  open_->Touch(id_, [&](OperationRecord& record) {
    record.mutable_operation()->mutable_response()->PackFrom(response);
    return true;
  });
}

absl::Status StepRun::RememberAt(int step, absl::string_view key, absl::string_view value) {
  return open_->Save(id_, [&](OperationRecord& record) {
    (*(*record.mutable_memory())[step].mutable_values())[std::string(key)] = std::string(value);
  });
}

}  // namespace drover::core
