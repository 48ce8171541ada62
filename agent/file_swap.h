// One file replaced as a whole, with a way back: the new one is made beside it with the old one's
// owner, mode, ACL and extended attributes, then takes its name in one step; the old one itself is
// kept under another name, and is what comes back.
//
// Thread promise: pure but for the files named; nothing is kept between calls. Every call can be
// repeated after a crash at any point of it.
#pragma once

#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"

namespace drover::agent {

// In hex.
std::string Sha256Hex(absl::string_view data);

// The file that `path` leads to over symbolic links. NOT_FOUND, reason FILE_MISSING;
// FAILED_PRECONDITION, reason FILE_UNFIT for one that is no regular file or has several names (hard
// links), which a replacement would part.
absl::StatusOr<std::string> ResolveFile(const std::string& path);
// Its bytes. FILE_UNFIT above 4 MiB.
absl::StatusOr<std::string> ReadConfigFile(const std::string& target);

// Names beside the target that directories read as a whole pass over: they begin with a dot. The
// ending stays, for programs that go by it.
std::string StagedName(const std::string& target, absl::string_view transaction);
std::string BackupName(const std::string& target, absl::string_view transaction);

// Makes `staged` with the bytes, synced, with all metadata of `target`. RESOURCE_EXHAUSTED, reason
// NO_SPACE; FAILED_PRECONDITION, reason METADATA_LOST when owner, mode, ACL or attributes cannot be
// given. Nothing is left after an error.
absl::Status StageFile(const std::string& target, const std::string& staged,
                       absl::string_view contents);
// Keeps `target` as `backup`, then `staged` takes its name. After an error the old file is in
// place.
absl::Status SwapIn(const std::string& target, const std::string& staged,
                    const std::string& backup);
// The file kept as `backup`, if there is one, is `target` again.
absl::Status SwapBack(const std::string& target, const std::string& backup);
// OK when it is not there.
absl::Status RemoveFile(const std::string& path);

}  // namespace drover::agent
