// Which VMs answer (DASH-2): sweeps over all that have an address, every few seconds, and lays what
// changed into the model. A VM that stops answering is asked once more at once, so that a single
// lost packet is no outage, and an outage is still seen within one sweep.
//
// Thread promise: all methods from any thread; Start and Stop once. Owns the sweeping thread.
// Survives a restart: nothing, it is learnt within one sweep.
#pragma once

#include <optional>
#include <stop_token>
#include <string>
#include <thread>

#include "absl/base/thread_annotations.h"
#include "absl/status/status.h"
#include "absl/synchronization/mutex.h"
#include "absl/time/time.h"
#include "controller/core/event_log.h"
#include "controller/core/inventory.h"
#include "controller/core/ports.h"

namespace drover::core {

class ReachabilitySweep {
 public:
  // From the beginning of one sweep to that of the next `interval`, 1 to 60 s.
  ReachabilitySweep(Prober* prober, Store* store, Inventory* inventory, EventLog* events,
                    Clock* clock, absl::Duration interval);
  ~ReachabilitySweep();

  void Start();
  void Stop();

  // One sweep, now. The prober's error, then nothing is changed.
  absl::Status Sweep() ABSL_LOCKS_EXCLUDED(mutex_);
  // When the last sweep ended, InfinitePast before the first.
  absl::Time swept_at() const ABSL_LOCKS_EXCLUDED(mutex_);

 private:
  void Run(std::stop_token stop);
  // Into the model; the event when the change is worth one.
  std::optional<drover::v1::Event> Lay(const ProbeTarget& target, drover::v1::Reachability state);

  Prober* const prober_;
  Store* const store_;
  Inventory* const inventory_;
  EventLog* const events_;
  Clock* const clock_;
  const absl::Duration interval_;
  mutable absl::Mutex mutex_;
  absl::Time swept_at_ ABSL_GUARDED_BY(mutex_) = absl::InfinitePast();
  std::jthread thread_;
};

}  // namespace drover::core
