// The hash chain of the platform log. Thread promise: pure functions.
//
// An entry's hash is the SHA-256 of the previous entry's hash (lower-case hex, "" before the first
// entry ever) followed by the entry's canonical text, so that nobody can change, insert or remove
// an entry without changing every hash after it.
#pragma once

#include <string>

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

}  // namespace drover::core
