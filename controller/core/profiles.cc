#include "controller/core/profiles.h"

#include <utility>

#include "absl/strings/str_cat.h"
#include "controller/core/paging.h"
#include "controller/core/profile_rules.h"
#include "controller/core/resource_rules.h"
#include "proto/support/resource_name.h"
#include "proto/support/status.h"

namespace drover::core {
namespace {

using drover::v1::Profile;

constexpr char kScope[] = "profiles";

absl::Status Check(const Profile& profile) {
  Violations violations;
  CheckProfile(profile, "profile", violations);
  return violations.ToStatus();
}

}  // namespace

Profiles::Profiles(Store* store, const std::vector<Profile>& built_in) : store_(store) {
  for (const Profile& profile : built_in) {
    Profile& kept = built_in_[profile.name()];
    kept = profile;
    kept.set_built_in(true);
  }
}

absl::Status Profiles::Load() {
  return store_->Read([&](StoreReader& reader) -> absl::Status {
    DROVER_ASSIGN_OR_RETURN(const std::vector<Document> documents,
                            reader.List(Table::kProfiles, {}));
    for (const Document& document : documents) {
      Profile profile;
      if (!profile.ParseFromString(document.body)) {
        return MakeError(absl::StatusCode::kDataLoss, "STORE_CORRUPT",
                         absl::StrCat("the stored ", document.key, " is damaged"));
      }
      own_.Put(document.key, std::move(profile));
    }
    return absl::OkStatus();
  });
}

absl::StatusOr<Profile> Profiles::Get(absl::string_view name) const {
  const auto built_in = built_in_.find(std::string(name));
  if (built_in != built_in_.end()) return built_in->second;
  if (const auto own = own_.Find(name); own != nullptr) return *own;
  return MakeError(absl::StatusCode::kNotFound, "PROFILE_NOT_FOUND",
                   absl::StrCat("there is no profile ", IdOf(name)));
}

absl::StatusOr<drover::v1::ListProfilesResponse> Profiles::List(
    const drover::v1::ListProfilesRequest& request) const {
  DROVER_ASSIGN_OR_RETURN(const int limit, PageSize(request.page_size(), kUsualPage));
  std::string after;
  if (!request.page_token().empty()) {
    DROVER_ASSIGN_OR_RETURN(const std::vector<std::string> place,
                            ParsePageToken(request.page_token(), kScope, 1));
    after = place[0];
  }
  std::map<std::string, Profile> all = built_in_;
  // One that came with Drover later than a user's of the same name hides it.
  for (const auto& own : own_.All()) all.emplace(own->name(), *own);
  drover::v1::ListProfilesResponse response;
  for (auto at = all.upper_bound(after); at != all.end(); ++at) {
    if (response.profiles_size() == limit) {
      response.set_next_page_token(MakePageToken(kScope, {response.profiles(limit - 1).name()}));
      break;
    }
    *response.add_profiles() = at->second;
  }
  return response;
}

absl::Status Profiles::CheckOwn(absl::string_view name) const {
  DROVER_ASSIGN_OR_RETURN(const Profile profile, Get(name));
  if (!profile.built_in()) return absl::OkStatus();
  return MakeError(
      absl::StatusCode::kFailedPrecondition, "BUILT_IN",
      absl::StrCat("profile ", IdOf(name), " came with Drover; add one of your own in its place"));
}

absl::Status Profiles::Keep(const Profile& profile) {
  const Document document{profile.name(), "", profile.SerializeAsString()};
  DROVER_RETURN_IF_ERROR(
      store_->Write([&](StoreWriter& writer) { return writer.Put(Table::kProfiles, document); }));
  own_.Put(profile.name(), profile);
  return absl::OkStatus();
}

absl::StatusOr<Profile> Profiles::Add(absl::string_view id, const Profile& profile) {
  if (!IsValidId(id)) {
    return InvalidField("profile_id", absl::StrCat("\"", id, "\" is not an id"));
  }
  Profile added = profile;
  added.set_name(ResourceName("profiles", id));
  added.set_built_in(false);
  DROVER_RETURN_IF_ERROR(Check(added));
  Turn turn(turns_, kScope);
  if (Get(added.name()).ok()) {
    return MakeError(absl::StatusCode::kAlreadyExists, "PROFILE_EXISTS",
                     absl::StrCat("a profile ", id, " exists; choose another id"));
  }
  DROVER_RETURN_IF_ERROR(Keep(added));
  return added;
}

absl::StatusOr<Profile> Profiles::Update(const Profile& profile,
                                         const google::protobuf::FieldMask& mask) {
  Turn turn(turns_, kScope);
  DROVER_RETURN_IF_ERROR(CheckOwn(profile.name()));
  DROVER_ASSIGN_OR_RETURN(Profile after, Get(profile.name()));
  DROVER_RETURN_IF_ERROR(ApplyUpdate(profile, mask, after));
  after.set_name(profile.name());
  DROVER_RETURN_IF_ERROR(Check(after));
  DROVER_RETURN_IF_ERROR(Keep(after));
  return after;
}

absl::Status Profiles::Remove(absl::string_view name) {
  Turn turn(turns_, kScope);
  DROVER_RETURN_IF_ERROR(CheckOwn(name));
  DROVER_RETURN_IF_ERROR(
      store_->Write([&](StoreWriter& writer) { return writer.Delete(Table::kProfiles, name); }));
  own_.Erase(name);
  return absl::OkStatus();
}

}  // namespace drover::core
