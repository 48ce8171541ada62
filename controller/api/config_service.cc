#include "controller/api/config_service.h"

#include <google/protobuf/empty.pb.h>

#include "drover/v1/config.pb.h"
#include "proto/support/status.h"

namespace drover::api {
namespace {

using google::protobuf::Empty;

void RegisterProfiles(Dispatcher& dispatcher, core::Profiles* profiles) {
  dispatcher.OnUnary<v1::ListProfilesRequest, v1::ListProfilesResponse>(
      "ConfigService.ListProfiles",
      [profiles](const Call&, const auto& request) { return profiles->List(request); });
  dispatcher.OnUnary<v1::GetProfileRequest, v1::Profile>(
      "ConfigService.GetProfile",
      [profiles](const Call&, const auto& request) { return profiles->Get(request.name()); });
  dispatcher.OnUnary<v1::CreateProfileRequest, v1::Profile>(
      "ConfigService.CreateProfile", [profiles](const Call&, const auto& request) {
        return profiles->Add(request.profile_id(), request.profile());
      });
  dispatcher.OnUnary<v1::UpdateProfileRequest, v1::Profile>(
      "ConfigService.UpdateProfile", [profiles](const Call&, const auto& request) {
        return profiles->Update(request.profile(), request.update_mask());
      });
  dispatcher.OnUnary<v1::DeleteProfileRequest, Empty>(
      "ConfigService.DeleteProfile",
      [profiles](const Call&, const v1::DeleteProfileRequest& request) -> absl::StatusOr<Empty> {
        DROVER_RETURN_IF_ERROR(profiles->Remove(request.name()));
        return Empty();
      });
}

void RegisterConfigurations(Dispatcher& dispatcher, core::Configurations* configurations) {
  dispatcher.OnUnary<v1::CheckConfigurationRequest, v1::CheckConfigurationResponse>(
      "ConfigService.CheckConfiguration", [configurations](const Call&, const auto& request) {
        return configurations->Check(request.configuration());
      });
  dispatcher.OnUnary<v1::PlanConfigurationRequest, v1::ConfigurationPlan>(
      "ConfigService.PlanConfiguration", [configurations](const Call&, const auto& request) {
        return configurations->Plan(request.configuration());
      });
  dispatcher.OnUnary<v1::ApplyConfigurationRequest, v1::Operation>(
      "ConfigService.ApplyConfiguration", [configurations](const Call& call, const auto& request) {
        return configurations->Apply(request, call.caller);
      });
  dispatcher.OnUnary<v1::ListConfigurationsRequest, v1::ListConfigurationsResponse>(
      "ConfigService.ListConfigurations",
      [configurations](const Call&, const auto& request) { return configurations->List(request); });
  dispatcher.OnUnary<v1::GetConfigurationRequest, v1::Configuration>(
      "ConfigService.GetConfiguration", [configurations](const Call&, const auto& request) {
        return configurations->Get(request.name());
      });
  dispatcher.OnUnary<v1::RestoreConfigurationRequest, v1::Operation>(
      "ConfigService.RestoreConfiguration",
      [configurations](const Call& call, const auto& request) {
        return configurations->Restore(request, call.caller);
      });
}

}  // namespace

void RegisterConfigService(Dispatcher& dispatcher, core::Profiles* profiles,
                           core::Configurations* configurations) {
  RegisterProfiles(dispatcher, profiles);
  RegisterConfigurations(dispatcher, configurations);
}

}  // namespace drover::api
