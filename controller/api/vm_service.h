// The calls of InventoryService that answer operations: creating, changing, importing and deleting
// VMs and environments of VMs. What is refused is refused before anything is recorded.
//
// Thread promise: Register once before the server starts; handlers from any thread.
#pragma once

#include <vector>

#include "absl/status/statusor.h"
#include "controller/api/dispatcher.h"
#include "controller/core/inventory.h"
#include "controller/core/operation_runner.h"
#include "controller/core/vm_operations.h"

namespace drover::api {

class VmService {
 public:
  VmService(core::Inventory* inventory, core::VmOperations* operations,
            core::OperationRunner* runner)
      : inventory_(inventory), operations_(operations), runner_(runner) {}

  void Register(Dispatcher& dispatcher);

 private:
  absl::StatusOr<v1::Operation> CreateVm(const Call& call, const v1::CreateVmRequest& request);
  absl::StatusOr<v1::Operation> DeleteVms(const Call& call, const v1::DeleteVmsRequest& request);
  absl::StatusOr<v1::Operation> PowerVms(const Call& call, const v1::PowerVmsRequest& request);
  absl::StatusOr<v1::Operation> SetVmHardware(const Call& call,
                                              const v1::SetVmHardwareRequest& request);
  absl::StatusOr<v1::Operation> ImportVm(const Call& call, const v1::ImportVmRequest& request);
  absl::StatusOr<v1::Operation> PowerEnvironments(const Call& call,
                                                  const v1::PowerEnvironmentsRequest& request);
  absl::StatusOr<v1::Operation> DeleteEnvironment(const Call& call,
                                                  const v1::DeleteEnvironmentRequest& request);
  absl::StatusOr<v1::Operation> ApplyEnvironment(const Call& call,
                                                 const v1::ApplyEnvironmentRequest& request);

  // The VM's free for the change that is asked for, or not.
  absl::Status CheckForgettable(absl::string_view name) const;
  absl::StatusOr<v1::Operation> Submit(const Call& call, const google::protobuf::Message& asked,
                                       core::OperationRequest operation);
  absl::StatusOr<v1::Operation> SubmitBatch(const Call& call,
                                            const google::protobuf::Message& asked,
                                            core::Batch batch);
  // A batch of one is that one.
  absl::StatusOr<v1::Operation> SubmitSelection(const Call& call,
                                                const google::protobuf::Message& asked,
                                                absl::string_view kind, absl::string_view verb,
                                                std::vector<core::OperationRequest> children);

  core::Inventory* const inventory_;
  core::VmOperations* const operations_;
  core::OperationRunner* const runner_;
};

}  // namespace drover::api
