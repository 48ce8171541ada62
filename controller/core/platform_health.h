// Is the platform well, and what is to be done when it is not: what each part shows, judged.
//
// Thread promise: pure functions, and PlatformHealth, whose methods may be called from any thread.
// Nothing here survives a restart.
#pragma once

#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "controller/core/event_log.h"
#include "controller/core/inventory.h"
#include "controller/core/operation_runner.h"
#include "controller/core/ports.h"
#include "controller/core/reachability.h"
#include "drover/v1/activity.pb.h"

namespace drover::core {

using HealthCheck = drover::v1::PlatformHealth::Check;

struct DiskFacts {
  std::string directory;
  int64_t bytes = 0;
  int64_t free_bytes = 0;
  int64_t files = 0;
  int64_t free_files = 0;
};
struct MailFacts {
  // "" without one.
  std::string server;
  // Some type or service names somebody to be told.
  bool owners = false;
  int waiting = 0;
  absl::Time oldest = absl::InfiniteFuture();
  std::string last_error;
};
struct OperationFacts {
  int running = 0;
  int queued = 0;
  // Being undone, or under way for more than a day.
  std::vector<std::string> stuck;
};

// A write took so long, or failed.
HealthCheck JudgeStore(const absl::StatusOr<absl::Duration>& write);
HealthCheck JudgeDisk(const absl::StatusOr<DiskFacts>& disk);
// Nothing when the machine does not tell.
HealthCheck JudgeClock(std::optional<bool> synchronised);
HealthCheck JudgeHypervisors(const std::vector<drover::v1::Hypervisor>& hypervisors);
HealthCheck JudgeAgents(const std::vector<VmRowPtr>& vms);
HealthCheck JudgeMail(const absl::StatusOr<MailFacts>& mail, absl::Time now);
HealthCheck JudgeSweep(absl::Time swept_at, absl::Duration interval, absl::Time now);
HealthCheck JudgeOperations(const absl::StatusOr<OperationFacts>& operations);
HealthCheck JudgeLog(const absl::StatusOr<drover::v1::VerifyLogResponse>& verified);

struct HealthSources {
  Store* store = nullptr;
  Inventory* inventory = nullptr;
  EventLog* events = nullptr;
  OperationRunner* runner = nullptr;
  ReachabilitySweep* sweep = nullptr;
  Clock* clock = nullptr;
  absl::Duration sweep_interval;
  // "" without one.
  std::string mail_server;
  std::string version;
  // Of the folder with the store.
  std::function<absl::StatusOr<DiskFacts>()> disk;
  std::function<std::optional<bool>()> clock_synchronised;
};

class PlatformHealth {
 public:
  // It starts now.
  explicit PlatformHealth(HealthSources sources);

  // Looks at everything, which takes as long as verifying the log does.
  drover::v1::PlatformHealth Examine();

 private:
  absl::StatusOr<absl::Duration> TryStore();
  absl::StatusOr<MailFacts> LookAtMail();
  absl::StatusOr<OperationFacts> LookAtOperations();

  const HealthSources sources_;
  const absl::Time start_time_;
};

}  // namespace drover::core
