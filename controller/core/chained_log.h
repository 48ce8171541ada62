// The platform log as a chain in the store: appends at its head, verifies it from its beginning.
//
// The head (newest id and hash) is kept beside the log under the vault's Mac, so that whoever can
// write the store without the key file cannot take away the newest entries unseen. What nobody can
// see from within is a store put back as a whole to an earlier state; backups kept elsewhere show
// it.
//
// Thread promise: all methods from any thread. Survives a restart: everything.
#pragma once

#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "controller/core/ports.h"

namespace drover::core {

class ChainedLog {
 public:
  ChainedLog(Store* store, Vault* vault, Clock* clock)
      : store_(store), vault_(vault), clock_(clock) {}

  // Sets time, id and hash. When the head was tampered with, the log goes on with a link that does
  // not fit, which Verify finds for ever.
  absl::Status Append(StoreWriter& writer, drover::v1::LogEntry entry);

  // Walks the whole chain. Entries may be appended meanwhile.
  absl::StatusOr<drover::v1::VerifyLogResponse> Verify();

 private:
  // Where the next entry is linked.
  struct Link {
    int64_t next_id = 1;
    std::string previous_hash;
  };
  absl::StatusOr<Link> NextLink(StoreWriter& writer);
  // The head that is there; invalid when its Mac is not ours.
  absl::StatusOr<LogHead> ReadHead(StoreReader& reader, bool* valid);
  std::string MacOf(const LogHead& head);

  Store* const store_;
  Vault* const vault_;
  Clock* const clock_;
};

}  // namespace drover::core
