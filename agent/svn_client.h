// Orders about working copies: ReadWorkingCopies, ReadRevisions and UpdateWorkingCopies, carried
// out by the svn that is installed in the guest (1.10 or newer).
//
// Thread promise: belongs to the event loop's thread; outlives the works it made. Survives a
// restart: what WorkingCopyMemory keeps, and saved edits (saved-edits/).
#pragma once

#include <memory>
#include <string>

#include "absl/status/statusor.h"
#include "agent/event_loop.h"
#include "agent/order_work.h"
#include "agent/working_copy.h"
#include "agent/working_copy_memory.h"
#include "drover/agent/v1/agent_link.pb.h"

namespace drover::agent {

class SvnClient {
 public:
  SvnClient(EventLoop* loop, const std::string& state_directory);

  // INVALID_ARGUMENT naming the field; then nothing has begun.
  absl::StatusOr<std::unique_ptr<OrderWork>> Read(const v1::ReadWorkingCopies& order,
                                                  OrderVoice voice);
  absl::StatusOr<std::unique_ptr<OrderWork>> ReadRevisions(const v1::ReadRevisions& order,
                                                           OrderVoice voice);
  // What it has changed when it is aborted stays; an order to a revision makes it whole.
  absl::StatusOr<std::unique_ptr<OrderWork>> Update(const v1::UpdateWorkingCopies& order,
                                                    OrderVoice voice);

 private:
  WorkingCopyMemory memory_;
  SvnSurroundings surroundings_;
};

}  // namespace drover::agent
