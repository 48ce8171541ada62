// Waiting for an operation: its steps and VMs are redrawn in place on a terminal, told line by line
// elsewhere. The operation belongs to the controller: when waiting ends early it goes on.
//
// Thread promise: for one thread.
#pragma once

#include <map>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "cli/client.h"
#include "cli/terminal.h"
#include "drover/v1/activity.pb.h"

namespace drover::cli {

// Shows one operation's progress on standard error.
class Progress {
 public:
  Progress(Terminal& terminal, bool quiet) : terminal_(terminal), quiet_(quiet) {}
  void Show(const v1::Operation& operation);
  // Takes the drawing away; what is told then stays.
  void Clear();

 private:
  void Draw(const v1::Operation& operation);
  void TellChanges(const v1::Operation& operation);
  void TellOnce(const std::string& key, absl::string_view state, absl::string_view detail);

  Terminal& terminal_;
  const bool quiet_;
  int drawn_lines_ = 0;
  std::map<std::string, std::string> told_;
};

struct WaitOptions {
  absl::Duration timeout = absl::InfiniteDuration();
  bool quiet = false;
};

bool IsDone(const v1::Operation& operation);

// Watches the operation until it is done; a controller that goes away and comes back is waited for,
// up to five minutes. DEADLINE_EXCEEDED, reason WAIT_TIMED_OUT; CANCELLED, reason INTERRUPTED after
// Ctrl-C.
absl::StatusOr<v1::Operation> WaitForOperation(Client& client, Terminal& terminal,
                                               const v1::Operation& operation,
                                               const WaitOptions& options);

// OK when it succeeded; else what failed, with the reason of its error; reason PARTLY_FAILED when
// some VMs succeeded.
absl::Status ResultOf(const v1::Operation& operation);

}  // namespace drover::cli
