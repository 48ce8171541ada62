// Files and folders of a datastore, through the server.
//
// Thread promise: functions from any thread.
#pragma once

#include <stop_token>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "controller/vsphere/vim_client.h"

namespace drover::vsphere {

// Whether "[ds] dir" or "[ds] dir/file" is there. `browser`: of that datastore.
absl::StatusOr<bool> DatastoreFileExists(VimClient& client, const MoRef& browser,
                                         absl::string_view path, std::stop_token stop);
// Deletes a folder with all that is in it. INVALID_ARGUMENT for a datastore's root and for paths
// with ".."; OK when it is not there. ESXi only.
absl::Status DeleteDatastoreFolder(VimClient& client, absl::string_view path, std::stop_token stop);
// Deletes a disk, descriptor and data. OK when it is not there. ESXi only.
absl::Status DeleteDisk(VimClient& client, absl::string_view path, std::stop_token stop);

// The browser of a datastore, by its name. FAILED_PRECONDITION, reason DATASTORE_NOT_FOUND.
absl::StatusOr<MoRef> BrowserOf(VimClient& client, absl::string_view datastore,
                                std::stop_token stop);

}  // namespace drover::vsphere
