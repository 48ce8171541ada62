// Files of the machine that are replaced, and put back as they were: contents, owner, group, mode
// and extended attributes (access lists, labels).
//
// Thread promise: functions; any thread. A file is replaced by rename: after a crash it is the old
// one or the new one.
#pragma once

#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "drover/agent/v1/agent_state.pb.h"

namespace drover::agent {

// As it is now; `existed` is false when there is none. `root` is put before `path`.
absl::StatusOr<v1::SavedFile> ReadKeptFile(const std::string& root, const std::string& path);
// New contents, the rest as saved. A file that is new is root's, mode 0600.
absl::Status WriteKeptFile(const std::string& root, const v1::SavedFile& file,
                           absl::string_view text);
// As saved; removed when there was none. What a writer that died left beside it goes too.
absl::Status RestoreKeptFile(const std::string& root, const v1::SavedFile& file);

}  // namespace drover::agent
