#include "controller/api/guest_service.h"

#include <algorithm>

#include "absl/container/flat_hash_set.h"
#include "absl/strings/str_cat.h"
#include "controller/core/paging.h"
#include "proto/support/status.h"

namespace drover::api {
namespace {

constexpr int kUsualPage = 100;

std::string ScopeOf(v1::ListServicesRequest request) {
  request.clear_page_size();
  request.clear_page_token();
  return absl::StrCat("services", request.SerializeAsString());
}

// The services of the VM that are in one of the states, all of them when none is asked for.
v1::VmServices ServicesOf(const v1::Vm& vm, const v1::ListServicesRequest& request) {
  v1::VmServices services;
  services.set_vm(vm.name());
  services.set_agent_state(vm.agent_state());
  for (const v1::ServiceStatus& service : vm.services()) {
    bool wanted = request.states().empty() ||
                  std::find(request.states().begin(), request.states().end(), service.state()) !=
                      request.states().end();
    if (wanted) *services.add_services() = service;
  }
  return services;
}

}  // namespace

void GuestService::Register(Dispatcher& dispatcher) {
  dispatcher.OnUnary<v1::ListServicesRequest, v1::ListServicesResponse>(
      "GuestService.ListServices",
      [this](const Call&, const auto& request) { return ListServices(request); });
  dispatcher.OnUnary<v1::ControlServicesRequest, v1::Operation>(
      "GuestService.ControlServices", [this](const Call& call, const auto& request) {
        return parts_.guests->Control(request, call.caller);
      });
  dispatcher.OnUnary<v1::GetServiceOutputRequest, v1::ServiceOutput>(
      "GuestService.GetServiceOutput",
      [this](const Call&, const auto& request) { return parts_.guests->Output(request); });
  dispatcher.OnUnary<v1::SetVmNetworkRequest, v1::Operation>(
      "GuestService.SetVmNetwork", [this](const Call& call, const auto& request) {
        return parts_.network->Set(request, call.caller);
      });
  dispatcher.OnUnary<v1::SetVmPasswordRequest, v1::Operation>(
      "GuestService.SetVmPassword", [this](const Call& call, const auto& request) {
        return parts_.passwords->Set(request, call.caller);
      });
  dispatcher.OnUnary<v1::RepairVmRequest, v1::Operation>(
      "GuestService.RepairVm", [this](const Call& call, const auto& request) {
        return parts_.repair->Repair(request, call.caller);
      });
  dispatcher.OnUnary<v1::QuerySamplesRequest, v1::QuerySamplesResponse>(
      "GuestService.QuerySamples",
      [this](const Call&, const auto& request) { return QuerySamples(request); });
}

absl::StatusOr<v1::QuerySamplesResponse> GuestService::QuerySamples(
    const v1::QuerySamplesRequest& request) {
  DROVER_ASSIGN_OR_RETURN(const v1::Vm vm, parts_.inventory->GetVm(request.name()));
  return core::QuerySamples(*parts_.samples, vm, request, parts_.clock->Now());
}

absl::StatusOr<v1::ListServicesResponse> GuestService::ListServices(
    const v1::ListServicesRequest& request) {
  DROVER_ASSIGN_OR_RETURN(int limit, core::PageSize(request.page_size(), kUsualPage));
  std::string after;
  if (!request.page_token().empty()) {
    DROVER_ASSIGN_OR_RETURN(std::vector<std::string> place,
                            core::ParsePageToken(request.page_token(), ScopeOf(request), 1));
    after = place[0];
  }
  for (const std::string& name : request.vms()) {
    DROVER_RETURN_IF_ERROR(parts_.inventory->GetVm(name).status());
  }
  const absl::flat_hash_set<std::string> vms(request.vms().begin(), request.vms().end());
  const absl::flat_hash_set<std::string> environments(request.environments().begin(),
                                                      request.environments().end());
  v1::ListServicesResponse response;
  const auto rows = parts_.inventory->Vms();
  for (const core::VmRowPtr& row : *rows) {
    const v1::Vm& vm = row->vm;
    if (vm.name() <= after) continue;
    if (!vms.empty() && !vms.contains(vm.name())) continue;
    if (!environments.empty() && !environments.contains(vm.environment())) continue;
    v1::VmServices services = ServicesOf(vm, request);
    // Asked for a state, a VM without such a service does not match.
    if (!request.states().empty() && services.services().empty()) continue;
    if (response.vms_size() == limit) {
      response.set_next_page_token(
          core::MakePageToken(ScopeOf(request), {response.vms(limit - 1).vm()}));
      break;
    }
    *response.add_vms() = std::move(services);
  }
  return response;
}

}  // namespace drover::api
