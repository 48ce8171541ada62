// What a debug bundle is made of: a gzipped tar in memory, and text without secrets.
//
// Thread promise: TarGz for one thread; Redact is a pure function.
#pragma once

#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/time/time.h"

namespace drover::cli {

// Files of a ustar archive.
class TarGz {
 public:
  explicit TarGz(absl::Time time) : time_(time) {}
  // `name` has at most 99 bytes.
  void Add(absl::string_view name, absl::string_view contents);
  // The archive, complete. INTERNAL when it cannot be compressed.
  absl::StatusOr<std::string> Finish();

 private:
  const absl::Time time_;
  std::string tar_;
};

// Takes out the words of `secrets` wherever they stand, private keys, bearer tokens, passwords in
// URLs, and what follows "password", "secret", "token" and the like. What it takes out becomes
// "[removed]"; JSON stays JSON.
std::string Redact(absl::string_view text, const std::vector<std::string>& secrets);

}  // namespace drover::cli
