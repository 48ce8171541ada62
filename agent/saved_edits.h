// Local edits kept aside before an update may touch them: a folder "ID-TIME" for each time, with
// edits.patch, files.tar and the lists of what was edited. The newest ten of a working copy stay,
// and whatever is younger than thirty days.
//
// Thread promise: functions of one thread. Survives a restart: the folders.
#pragma once

#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/time/time.h"

namespace drover::agent {

// Where the edits of a working copy at this time go; nothing is made.
std::string SavedEditsFolder(absl::string_view directory, absl::string_view id, absl::Time now);

// Names, each ended by a zero byte, as tar reads them; synced.
absl::Status WriteNames(const std::string& path, const std::vector<std::string>& names);
absl::StatusOr<std::vector<std::string>> ReadNames(const std::string& path);

// Removes what is neither among the newest ten of its working copy nor younger than thirty days.
// What cannot be removed stays for the next time; what is not named as such a folder is not
// touched.
void PruneSavedEdits(const std::string& directory, absl::string_view id, absl::Time now);

}  // namespace drover::agent
