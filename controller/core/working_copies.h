// The working copies of all VMs as last read (UPG-1): what lists show without asking anybody, and
// the asking, which happens beside.
//
// Thread promise: all methods from any thread. Owns the threads that ask; a VM that does not answer
// holds one of them for its patience. Survives a restart: what was read.
#pragma once

#include <memory>
#include <set>
#include <stop_token>
#include <string>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/synchronization/mutex.h"
#include "absl/time/time.h"
#include "controller/core/command_tracker.h"
#include "controller/core/inventory.h"
#include "controller/core/ports.h"
#include "controller/core/worker_pool.h"

namespace drover::core {

class WorkingCopies {
 public:
  WorkingCopies(Store* store, Inventory* inventory, CommandTracker* commands, AgentGateway* agents,
                Clock* clock);
  ~WorkingCopies();

  // Before agents come: a VM whose agent comes is asked when what is known of it is old.
  void Follow();
  // Asks no more.
  void Stop();

  // By VM and id; of VMs that match all criteria, one row for each working copy of their types,
  // read or not. VMs whose rows are old are asked beside. NOT_FOUND for a VM that is not there.
  absl::StatusOr<drover::v1::ListWorkingCopiesResponse> List(
      const drover::v1::ListWorkingCopiesRequest& request);
  // The rows of one VM.
  absl::StatusOr<std::vector<drover::v1::WorkingCopy>> Of(const drover::v1::Vm& vm);

  // What an agent told of `vm`; working copies that its type does not have any more go.
  absl::Status Take(const drover::v1::Vm& vm, const drover::agent::v1::WorkingCopyStates& states);
  // Asks those that are connected, and waits for all answers, at most for `patience`.
  void Refresh(const std::vector<drover::v1::Vm>& vms, absl::Duration patience);

  // The order's form of the working copies of the VM's type, those of `ids` (empty = all), in the
  // type's order; with passwords when asked for. NOT_FOUND, reason WORKING_COPY_UNKNOWN.
  absl::StatusOr<std::vector<drover::agent::v1::SvnWorkingCopy>> SpecsOf(
      const drover::v1::Vm& vm, const std::vector<std::string>& ids, bool with_passwords) const;

 private:
  // Asks when nobody does.
  void AskSoon(const drover::v1::Vm& vm) ABSL_LOCKS_EXCLUDED(mutex_);
  void AskNow(const std::string& vm_name);
  void OnVmChanged(absl::string_view name) ABSL_LOCKS_EXCLUDED(mutex_);
  bool IsOld(const std::vector<drover::v1::WorkingCopy>& rows) const;

  Store* const store_;
  Inventory* const inventory_;
  CommandTracker* const commands_;
  AgentGateway* const agents_;
  Clock* const clock_;
  std::stop_source stop_;
  absl::Mutex mutex_;
  // VMs that are being asked or wait for it.
  std::set<std::string> asking_ ABSL_GUARDED_BY(mutex_);
  // VMs that were connected when last looked at.
  std::set<std::string> connected_ ABSL_GUARDED_BY(mutex_);
  std::unique_ptr<WorkerPool> pool_;
};

}  // namespace drover::core
