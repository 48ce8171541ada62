// When a service that is gone is started again, and when no more. Pure: no clock, no processes.
//
// Thread promise: a value. Nothing survives a restart here; the number of attempts is in the
// ServiceRecord.
#pragma once

#include "absl/time/time.h"
#include "drover/v1/inventory.pb.h"

namespace drover::agent {

class RestartPolicy {
 public:
  explicit RestartPolicy(const drover::v1::ServiceSpec& spec);

  struct Step {
    // No attempt is left.
    bool give_up = false;
    // To wait before the next attempt.
    absl::Duration delay;
  };
  // What follows when the service is not there and `attempts_made` were counted. The first attempt
  // comes at once: most deaths are a single one, and every second counts for them. From the second
  // on the delay doubles up to an hour.
  Step Next(int attempts_made) const;

  // How long the service has to stay up for its attempts to be forgotten.
  absl::Duration StableAfter(int attempts_made) const;

 private:
  int attempts_;
  absl::Duration delay_;
};

}  // namespace drover::agent
