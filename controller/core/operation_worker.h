// Carries out one operation from wherever it is to its end, or to where it must wait.
//
// Thread promise: Run may be called from many threads, for different operations. Owns nothing.
#pragma once

#include <map>
#include <string>
#include <vector>

#include "absl/strings/string_view.h"
#include "controller/core/open_operations.h"
#include "controller/core/operation_runner.h"
#include "controller/core/ports.h"

namespace drover::core {

class OperationWorker {
 public:
  using Factories = std::map<std::string, StepFactory, std::less<>>;

  OperationWorker(OpenOperations* open, Vault* vault, Clock* clock, const Factories* factories)
      : open_(open), vault_(vault), clock_(clock), factories_(factories) {}

  // `id` was taken from the open operations.
  void Run(const std::string& id);
  // Ends an operation that has not begun, and that was withdrawn. `surely` insists until the store
  // takes it.
  absl::Status CancelUnbegun(const std::string& id, bool surely);

 private:
  // False when the operation ended, waits, or the controller stops.
  bool GoOn(const std::string& id, const std::vector<OperationStep>& steps);
  bool RunStep(const std::string& id, const OperationRecord& record,
               const std::vector<OperationStep>& steps, int step);
  bool EndSteps(const std::string& id, const OperationRecord& record);
  bool UndoStep(const std::string& id, const OperationRecord& record,
                const std::vector<OperationStep>& steps);
  bool RetryUndo(const std::string& id, int step, const absl::Status& error);
  void CancelChildren(const std::string& id);
  void Fail(const std::string& id, const absl::Status& error);

  OpenOperations* const open_;
  Vault* const vault_;
  Clock* const clock_;
  const Factories* const factories_;
};

}  // namespace drover::core
