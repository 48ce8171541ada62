// --watch: what one call shows, shown again when something has changed.
#include <functional>
#include <memory>

#include "cli/call.h"
#include "cli/interrupt.h"
#include "drover/v1/activity.pb.h"
#include "proto/support/status.h"

namespace drover::cli {
namespace {

// Changes come in crowds; each showing reads everything.
constexpr absl::Duration kAtMostEach = absl::Seconds(1);
// What changed before the watch was open is seen by then.
constexpr absl::Duration kAtLeastEach = absl::Seconds(10);

}  // namespace

absl::Status ShowOnChange(Invocation& invocation, const std::function<absl::Status()>& show) {
  Interrupt interrupt;
  const bool in_place = invocation.terminal.out_is_tty() && invocation.terminal.CanRedraw();
  bool told = false;
  while (!interrupt.happened()) {
    DROVER_ASSIGN_OR_RETURN(
        const auto changes,
        invocation.client.Stream("ActivityService/Watch", v1::WatchRequest(), kAtLeastEach));
    interrupt.Do([&changes] { changes->Cancel(); });
    if (in_place) invocation.terminal.Print("\033[H\033[2J");
    const absl::Status shown = show();
    if (!shown.ok() && !absl::IsUnavailable(shown)) return shown;
    if (!shown.ok() && !told) {
      invocation.Tell("The connection to the controller is lost; trying again.");
    }
    told = !shown.ok();
    v1::WatchResponse change;
    // Also a gap: something was missed.
    while (changes->Read(&change)) {
      if (!change.has_heartbeat() && change.change_case() != 0) break;
    }
    interrupt.Do([] {});
    interrupt.WaitFor(kAtMostEach);
  }
  return absl::CancelledError("stopped");
}

}  // namespace drover::cli
