// The VMs of a server as HypervisorVm: all of them in one property call, one of them in full, and
// followed by the server's own change push.
//
// Which properties are asked for is one table, which also says where each goes. Lists carry leaves
// only, so that thousands of VMs stay cheap: no devices, no disk sizes, no usage.
//
// Thread promise: functions from any thread. `Follow` keeps its model on its own stack.
#pragma once

#include <stop_token>
#include <string>
#include <vector>

#include "absl/container/flat_hash_map.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "controller/core/ports.h"
#include "controller/vsphere/vim_client.h"

namespace drover::vsphere {

// What a list asks of each VM.
const std::vector<std::string>& ListedPaths();

// The line in a VM's notes by which a list knows our copies, e.g. "Drover uid: u1". The notes are
// for reading; before anything is changed or removed the uid in the VM's own configuration decides.
std::string UidNote(absl::string_view uid);
// The uid of such a line in a text, "" without one.
std::string UidOfNotes(absl::string_view notes);

// Key of the uid in config.extraConfig and in the .vmx.
inline constexpr absl::string_view kUidKey = "drover.uid";

absl::StatusOr<std::vector<core::HypervisorVm>> ListVms(VimClient& client, std::stop_token stop);
// All fields. drover_uid is the one of the configuration. FaultStatus ManagedObjectNotFound.
absl::StatusOr<core::HypervisorVm> GetVm(VimClient& client, absl::string_view object,
                                         std::stop_token stop);

// As the port says. A session that ended meanwhile is renewed and the sink told to start again.
absl::Status Follow(VimClient& client, core::InventorySink& sink, std::stop_token stop);

// "ds" of "[ds] folder/file".
absl::string_view DatastoreOfPath(absl::string_view path);
// First IPv4 address a guest reports that others can reach, preferring the VM's own adapters.
std::string AddressOf(pugi::xml_node guest_net, absl::string_view primary);

inline MoRef VmRef(absl::string_view object) { return {"VirtualMachine", std::string(object)}; }

}  // namespace drover::vsphere
