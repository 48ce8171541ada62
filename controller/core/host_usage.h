// Samples of VMs without an agent, as their hypervisors measured them.
//
// Thread promise: Read may run for different hosts at the same time. Nothing survives a restart:
// then the last hour is read again, and what is known of it already is passed over.
#pragma once

#include <stop_token>

#include "absl/base/thread_annotations.h"
#include "absl/container/flat_hash_map.h"
#include "absl/strings/string_view.h"
#include "absl/synchronization/mutex.h"
#include "absl/time/time.h"
#include "controller/core/inventory.h"
#include "controller/core/ports.h"
#include "controller/core/samples.h"

namespace drover::core {

class HostUsage {
 public:
  HostUsage(Inventory* inventory, SampleStore* samples, AgentGateway* agents, Clock* clock)
      : inventory_(inventory), samples_(samples), agents_(agents), clock_(clock) {}

  // What this host has measured since it was asked last of VMs whose agent is not connected.
  void Read(absl::string_view hypervisor, Hypervisor& host, std::stop_token stop)
      ABSL_LOCKS_EXCLUDED(mutex_);

  // Samples of VMs that are gone.
  void ForgetGone() ABSL_LOCKS_EXCLUDED(mutex_);

 private:
  Inventory* const inventory_;
  SampleStore* const samples_;
  AgentGateway* const agents_;
  Clock* const clock_;

  absl::Mutex mutex_;
  // The newest sample taken over of each VM, by uid.
  absl::flat_hash_map<std::string, absl::Time> newest_ ABSL_GUARDED_BY(mutex_);
};

}  // namespace drover::core
