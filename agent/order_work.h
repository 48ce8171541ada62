// Orders that take longer than a moment: what the command runner starts, ends and hears of. Each
// kind of order has a class of its own, made by a factory that is registered for it.
//
// Thread promise: everything here belongs to the event loop's thread and never waits.
#pragma once

#include <functional>
#include <memory>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "drover/agent/v1/agent_link.pb.h"

namespace drover::agent {

// An order at work. Destroying it lets go of its processes without a word.
class OrderWork {
 public:
  virtual ~OrderWork() = default;
  // Ends it with all its processes, then calls `ended` once, also when it has ended by itself
  // meanwhile. What it has changed stays, unless its header says otherwise.
  virtual void Abort(std::function<void(absl::Status)> ended) = 0;
};

// How an order at work speaks.
struct OrderVoice {
  // Once, at the end, also from within the factory: OK is SUCCEEDED, anything else FAILED. Of
  // `details` the exit code, the output and the fields from 20 on are told. The work may be
  // destroyed any time after it.
  std::function<void(const absl::Status& status, v1::CommandUpdate details)> done;
  // A piece of output while it works, for people who watch; may be lost when there is no link.
  std::function<void(absl::string_view piece)> output;
};

// Refuses by its status (then nothing has begun), or begins.
using OrderFactory = std::function<absl::StatusOr<std::unique_ptr<OrderWork>>(
    const v1::Command& command, OrderVoice voice)>;

// What becomes of an order that was at work when the agent ended.
enum class AfterInterruption {
  // FAILED, reason INTERRUPTED: it may have been half done.
  kFail,
  // Forgotten here; the controller sends it again and it begins anew.
  kRepeat,
  // Stays open: whoever carries it out remembers it by the command's id on its own disk, and tells
  // its end by CommandRunner::Settle.
  kSurvive,
};

}  // namespace drover::agent
