// The hash chain of the platform log: pure functions, and a walk along it that one thread uses.
//
// An entry's hash is the SHA-256 of the previous entry's hash (lower-case hex, "" before the first
// entry ever) followed by the entry's canonical text, so that nobody can change, insert or remove
// an entry without changing every hash after it.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "absl/strings/string_view.h"
#include "controller/core/ports.h"

namespace drover::core {

// The entry without its hash as "number:length:value,", field by field in the order of their
// numbers; empty fields are left out, so that a field added later does not change old hashes.
// Numbers are decimal; the time is in nanoseconds since 1970.
std::string CanonicalText(const drover::v1::LogEntry& entry);

// Lower-case hex, as LogEntry.hash.
std::string ChainHash(Vault& vault, absl::string_view previous_hash,
                      const drover::v1::LogEntry& entry);

// Looks at all entries that are there, oldest first, and says which is the first that is wrong.
class ChainWalk {
 public:
  explicit ChainWalk(Vault* vault) : vault_(*vault) {}

  void Add(const drover::v1::LogEntry& entry);
  int64_t last_id() const { return last_id_; }
  // `head_id` and `head_hash` are what the newest entry has to be. Missing runs are right when
  // entries about deletions tell of them.
  drover::v1::VerifyLogResponse Finish(int64_t head_id, const std::string& head_hash);

 private:
  // Entries that are not there, and the one that follows them.
  struct Missing {
    int64_t first;
    int64_t last;
    drover::v1::LogEntry next;
  };
  void Bad(int64_t id, const std::string& problem);
  void CheckMissing(const Missing& missing);
  bool WasDeleted(const Missing& missing) const;

  Vault& vault_;
  int64_t entries_ = 0;
  int64_t last_id_ = 0;
  std::string last_hash_;
  int64_t bad_id_ = 0;
  std::string problem_;
  std::vector<Missing> missing_;
  std::vector<drover::v1::LogGap> deleted_;
};

}  // namespace drover::core
