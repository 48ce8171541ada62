// A step's view of its operation, over the open operations.
//
// Thread promise: all methods from any thread. Owns nothing; what Waiting() answers may outlive the
// open operations.
#pragma once

#include <memory>
#include <optional>
#include <stop_token>
#include <string>

#include "controller/core/open_operations.h"
#include "controller/core/operation_runner.h"
#include "controller/core/ports.h"

namespace drover::core {

class StepRun : public OperationContext {
 public:
  StepRun(OpenOperations* open, Vault* vault, Clock* clock, std::string id, int step,
          OperationRecord record, std::stop_token stop);

  void Report(int percent, absl::string_view detail) override;
  absl::Status Remember(absl::string_view key, absl::string_view value) override;
  std::string Recall(absl::string_view key) override;
  std::stop_token stop() const override { return stop_; }
  const OperationRecord& record() const override { return record_; }
  absl::StatusOr<std::string> Secrets() override;
  void Log(absl::string_view line) override;
  absl::Status RememberForAll(absl::string_view key, absl::string_view value) override;
  std::string RecallForAll(absl::string_view key) override;
  absl::Status WaitForWake(absl::Duration at_most) override;
  std::shared_ptr<WaitingStep> Waiting() override;
  void SetResponse(const google::protobuf::Message& response) override;

  // How long to wait, when `status` of the run says that it waits.
  std::optional<absl::Duration> WaitOf(const absl::Status& status) const;

 private:
  absl::Status RememberAt(int step, absl::string_view key, absl::string_view value);

  OpenOperations* const open_;
  Vault* const vault_;
  Clock* const clock_;
  const std::string id_;
  const int step_;
  const OperationRecord record_;
  const std::stop_token stop_;
  std::optional<absl::Duration> wait_;
};

// What the secrets of an operation are sealed for.
std::string SecretsPurpose(const OperationRecord& record);

}  // namespace drover::core
