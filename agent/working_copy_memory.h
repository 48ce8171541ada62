// What the agent remembers of working copies: which revisions they came from, and an update that
// has begun.
//
// Thread promise: belongs to the event loop's thread. Survives a restart: all of it
// (working-copies.state).
#pragma once

#include <cstdint>
#include <string>

#include "absl/status/status.h"
#include "drover/agent/v1/agent_state.pb.h"

namespace drover::agent {

class WorkingCopyMemory {
 public:
  // A damaged file is reported and begun anew.
  explicit WorkingCopyMemory(std::string path);

  // 0 when none is known.
  int64_t Previous(const std::string& working_copy) const;
  // An update from what is there to `to` is about to begin; one that was begun before and is
  // repeated, or goes back, keeps where it came from. Durable when it returns OK.
  absl::Status Begin(const std::string& working_copy, int64_t from, int64_t to);
  // An update has begun and was not verified.
  bool Interrupted(const std::string& working_copy) const;
  // The update that has begun goes back with the edits saved in this folder.
  absl::Status GoBack(const std::string& working_copy, const std::string& folder);
  // The folder while it does; "" otherwise.
  std::string GoingBack(const std::string& working_copy) const;
  // It is back, as if nothing had been.
  absl::Status Back(const std::string& working_copy);
  // It is verified.
  absl::Status End(const std::string& working_copy);

 private:
  absl::Status Write();

  const std::string path_;
  v1::WorkingCopyRecords records_;
};

}  // namespace drover::agent
