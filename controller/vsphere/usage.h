// What VMs used as the host's performance manager measured it: real-time samples of 20 s, which
// hosts keep for an hour.
//
// Counter ids are a server's own and are read once. Thread promise: all methods from any thread.
// Nothing survives a restart.
#pragma once

#include <map>
#include <stop_token>
#include <string>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/synchronization/mutex.h"
#include "absl/time/time.h"
#include "controller/core/ports.h"
#include "controller/vsphere/vim_client.h"

namespace drover::vsphere {

// Ids by name, "cpu.usage.average", from the perfCounter property.
std::map<std::string, int64_t> ReadCounters(pugi::xml_node perf_counters);
// querySpec of one VM for the counters of which the server has any.
std::string UsageQuery(absl::string_view object, const std::map<std::string, int64_t>& counters,
                       int max_samples);
// One returnval of QueryPerf in CSV; samples after `since` with a value, oldest first.
core::VmUsage ReadUsage(pugi::xml_node entity, const std::map<std::string, int64_t>& counters,
                        absl::Time since);

class UsageReader {
 public:
  explicit UsageReader(VimClient* client) : client_(*client) {}
  absl::StatusOr<std::vector<core::VmUsage>> Read(const std::vector<std::string>& objects,
                                                  absl::Time since, std::stop_token stop)
      ABSL_LOCKS_EXCLUDED(mutex_);

 private:
  absl::StatusOr<std::map<std::string, int64_t>> Counters(const MoRef& manager,
                                                          std::stop_token stop)
      ABSL_LOCKS_EXCLUDED(mutex_);

  VimClient& client_;
  absl::Mutex mutex_;
  std::map<std::string, int64_t> counters_ ABSL_GUARDED_BY(mutex_);
};

}  // namespace drover::vsphere
