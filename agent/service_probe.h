// Asks a service whether it is well: TCP connect, HTTP GET, or a command's exit code, at an
// interval.
//
// Thread promise: belongs to the event loop's thread; never waits. Survives a restart: nothing, it
// begins to count anew.
#pragma once

#include <functional>
#include <memory>
#include <string>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "agent/child_process.h"
#include "agent/event_loop.h"
#include "agent/unique_fd.h"
#include "drover/v1/inventory.pb.h"

namespace drover::agent {

// Where "8080/healthz" leads. INVALID_ARGUMENT naming the field otherwise.
struct HttpTarget {
  int port = 0;
  std::string path;
};
absl::StatusOr<HttpTarget> ParseHttpTarget(absl::string_view text);

// The code in "HTTP/1.1 200 OK"; 0 when it is no status line.
int HttpStatusCode(absl::string_view response);

class ServiceProbe {
 public:
  // Tells a change: the first time it is well, when `threshold` tries in a row failed (with what
  // was wrong), and when it is well again.
  using Changed = std::function<void(bool healthy, const std::string& detail)>;

  // Begins with the first try one interval from now. The probe was checked by CheckProbe.
  ServiceProbe(EventLoop* loop, const drover::v1::HealthProbe& probe, const std::string& run_as,
               Changed changed);
  ~ServiceProbe();

 private:
  enum class Known { kNothing, kHealthy, kUnhealthy };

  void Wait();
  void Try();
  void TryConnection(int port);
  void TryCommand();
  void Connected();
  void Readable();
  void Finish(const std::string& problem);
  void EndTry();

  EventLoop* const loop_;
  const drover::v1::HealthProbe probe_;
  const std::string run_as_;
  Changed changed_;
  HttpTarget http_;
  Known known_ = Known::kNothing;
  int failures_ = 0;
  EventLoop::TimerId next_ = 0;
  EventLoop::TimerId timeout_ = 0;
  UniqueFd socket_;
  std::string response_;
  std::unique_ptr<ChildProcess> command_;
};

// INVALID_ARGUMENT naming the field.
absl::Status CheckProbe(const drover::v1::HealthProbe& probe);

}  // namespace drover::agent
