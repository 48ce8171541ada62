// Configuration profiles: those that came with Drover, which are files and cannot be changed, and
// those of users, which are checked on the way in.
//
// Thread promise: all methods from any thread, after Load. Survives a restart: users' profiles.
#pragma once

#include <map>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "controller/core/ports.h"
#include "controller/core/resource_shelf.h"
#include "controller/core/turns.h"
#include "drover/v1/config.pb.h"
#include "google/protobuf/field_mask.pb.h"

namespace drover::core {

class Profiles {
 public:
  // `built_in` have names and were checked.
  Profiles(Store* store, const std::vector<drover::v1::Profile>& built_in);

  // Once, before all else.
  absl::Status Load();

  // NOT_FOUND, reason PROFILE_NOT_FOUND.
  absl::StatusOr<drover::v1::Profile> Get(absl::string_view name) const;
  absl::StatusOr<drover::v1::ListProfilesResponse> List(
      const drover::v1::ListProfilesRequest& request) const;
  // INVALID_ARGUMENT with all problems; ALREADY_EXISTS, reason PROFILE_EXISTS.
  absl::StatusOr<drover::v1::Profile> Add(absl::string_view id, const drover::v1::Profile& profile);
  // FAILED_PRECONDITION, reason BUILT_IN, for one that came with Drover.
  absl::StatusOr<drover::v1::Profile> Update(const drover::v1::Profile& profile,
                                             const google::protobuf::FieldMask& mask);
  absl::Status Remove(absl::string_view name);

 private:
  absl::Status CheckOwn(absl::string_view name) const;
  absl::Status Keep(const drover::v1::Profile& profile);

  Store* const store_;
  std::map<std::string, drover::v1::Profile> built_in_;
  ResourceShelf<drover::v1::Profile> own_;
  Turns turns_;
};

}  // namespace drover::core
