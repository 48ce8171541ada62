// All services this machine shall run, by the desired state last received.
//
// Thread promise: belongs to the event loop's thread; never waits. Ownership: the services; the
// loop and the callbacks are the caller's and outlive it. Survives a restart: the desired state
// (desired.state) and each service's record (services.state); processes found running are taken up
// again, whether the controller is there or not.
#pragma once

#include <functional>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "agent/event_loop.h"
#include "agent/watched_service.h"
#include "drover/agent/v1/agent_link.pb.h"
#include "drover/agent/v1/agent_state.pb.h"

namespace drover::agent {

class Supervisor {
 public:
  struct Options {
    std::string state_directory;
    // Of this boot of the machine.
    std::string boot_id;
  };
  // Told from the loop, in order, never from within a call to the supervisor.
  struct Listener {
    std::function<void(v1::AgentEvent)> event;
    std::function<void()> status_changed;
  };

  // Reads what was kept and takes it up. Damaged files are reported and begun anew.
  Supervisor(EventLoop* loop, Options options, Listener listener);
  ~Supervisor();

  // Generation of the desired state in force, 0 before the first.
  int64_t generation() const { return desired_.generation(); }

  // Keeps the desired state on disk, then puts it in force. Services that are the same are left
  // alone; those not named any more are no longer watched, their processes stay. A service whose
  // spec is bad is given up with the reason as its output. Errors: the disk's; then nothing
  // changed.
  absl::Status Apply(const v1::DesiredState& desired);

  std::vector<drover::v1::ServiceStatus> Statuses() const;

  // Starts, stops or restarts services together. NOT_FOUND, reason SERVICE_NOT_FOUND naming the
  // first that is not watched, or ABORTED, reason SERVICE_BUSY, before anything is done; otherwise
  // `done` gets the first error, or OK when all went well.
  void Control(const v1::ControlService& order, WatchedService::Done done);
  // Ends what Control began for these services (empty = all).
  void Abort(const v1::ControlService& order, WatchedService::Done done);
  // Until then services that end are no outage and stay down; zero = as before, at once.
  void PrepareShutdown(absl::Duration window);
  // SERVICE_NOT_FOUND.
  absl::StatusOr<std::string> Output(const std::string& service) const;

 private:
  struct Rejected {
    drover::v1::ServiceSpec spec;
    std::string reason;
  };

  void Tick();
  void BuildServices(const v1::ServiceRecords& known, bool same_boot, absl::Duration grace);
  absl::Status Check(const v1::ControlService& order) const;
  std::vector<WatchedService*> Selected(const v1::ControlService& order) const;
  v1::ServiceRecords Records() const;
  void SaveSoon();
  absl::Status SaveNow();

  EventLoop* const loop_;
  const Options options_;
  const Listener listener_;
  ServiceSurroundings surroundings_;
  v1::DesiredState desired_;
  std::map<std::string, std::unique_ptr<WatchedService>> services_;
  std::map<std::string, Rejected> rejected_;
  ProcessTable table_;
  std::string saved_;
  bool save_pending_ = false;
  EventLoop::TimerId tick_ = 0;
  EventLoop::TimerId stays_up_ = 0;
  std::shared_ptr<bool> alive_ = std::make_shared<bool>(true);
};

}  // namespace drover::agent
