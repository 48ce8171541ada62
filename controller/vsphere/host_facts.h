// What a server is and may do, read without writing: kind, licence, datastores, networks, templates
// and the way copies go.
//
// Thread promise: functions from any thread.
#pragma once

#include <stop_token>
#include <string>

#include "absl/status/statusor.h"
#include "controller/core/records.pb.h"
#include "controller/vsphere/vim_client.h"

namespace drover::vsphere {

struct Licence {
  std::string name;
  std::string edition;
  // Seconds to the end of an evaluation; negative when there is no end.
  int64_t seconds_left = -1;
};

// How VMs are copied there, and why not when they cannot be. Pure.
struct CopyWay {
  drover::v1::CopyMethod method = drover::v1::COPY_METHOD_UNSPECIFIED;
  std::string refusal;
};
CopyWay ChooseWay(bool is_vcenter, const Licence& licence, bool has_shell, const std::string& host);
// Free editions, by the names they have had, and an expired evaluation: both refuse changes.
bool RefusesChanges(const Licence& licence);

absl::StatusOr<Licence> ReadLicence(VimClient& client, std::stop_token stop);
absl::StatusOr<core::HostFacts> ReadFacts(VimClient& client, bool has_shell, std::stop_token stop);

}  // namespace drover::vsphere
