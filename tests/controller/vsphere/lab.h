// The lab as the vSphere adapter's tests see it: its hosts, its levers, and a step that remembers.
//
// Thread promise: none; one test, one thread, but StepContext and clock as their ports say.
#pragma once

#include <map>
#include <memory>
#include <stop_token>
#include <string>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/strings/string_view.h"
#include "absl/synchronization/mutex.h"
#include "controller/core/ports.h"
#include "controller/vsphere/connector.h"

namespace drover::vsphere {

// The machine's time.
class MachineClock : public core::Clock {
 public:
  absl::Time Now() const override;
  absl::Status Sleep(absl::Duration duration, std::stop_token stop) override;
};

// A step's memory as an operation would keep it.
class RecordedStep : public core::StepContext {
 public:
  void Report(int percent, absl::string_view detail) override;
  absl::Status Remember(absl::string_view key, absl::string_view value) override;
  std::string Recall(absl::string_view key) override;
  std::stop_token stop() const override { return stop_.get_token(); }

  void Cancel() { stop_.request_stop(); }
  // As after a restart: the memory stays, the wish to stop does not.
  void Revive() { stop_ = std::stop_source(); }
  std::vector<absl::Time> reports() const;

 private:
  mutable absl::Mutex mutex_;
  std::map<std::string, std::string> memory_ ABSL_GUARDED_BY(mutex_);
  std::vector<absl::Time> reports_ ABSL_GUARDED_BY(mutex_);
  std::stop_source stop_;
};

struct LabHost {
  std::string name;
  // esxi, vcenter or free.
  std::string kind;
  drover::v1::Hypervisor hypervisor;
  core::HypervisorSecrets secrets;
};

// All hosts of the lab this runs in; the test fails when there is none.
std::vector<LabHost> LabHosts();
// Runs `lab WORDS` and gives its output; exit code by `code` when wanted, else it must be 0.
std::string Lab(const std::string& words, int* code = nullptr);

}  // namespace drover::vsphere
