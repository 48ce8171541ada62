#include "controller/api/people_service.h"

#include <google/protobuf/empty.pb.h>

#include "drover/v1/people.pb.h"
#include "proto/support/status.h"

namespace drover::api {
namespace {

using google::protobuf::Empty;

void RegisterSessions(Dispatcher& dispatcher, core::People* people) {
  dispatcher.OnUnary<v1::LoginRequest, v1::Session>(
      "PeopleService.Login", [people](const Call& call, const v1::LoginRequest& request) {
        return people->Login(request, call.caller.client_address);
      });
  dispatcher.OnUnary<v1::LogoutRequest, Empty>(
      "PeopleService.Logout",
      [people](const Call& call, const v1::LogoutRequest&) -> absl::StatusOr<Empty> {
        DROVER_RETURN_IF_ERROR(people->Logout(call.caller));
        return Empty();
      });
  dispatcher.OnUnary<v1::GetSelfRequest, v1::User>(
      "PeopleService.GetSelf", [people](const Call& call, const v1::GetSelfRequest&) {
        return people->GetSelf(call.caller);
      });
  dispatcher.OnUnary<v1::ChangePasswordRequest, Empty>(
      "PeopleService.ChangePassword",
      [people](const Call& call,
               const v1::ChangePasswordRequest& request) -> absl::StatusOr<Empty> {
        DROVER_RETURN_IF_ERROR(people->ChangePassword(call.caller, request));
        return Empty();
      });
}

void RegisterUsers(Dispatcher& dispatcher, core::People* people) {
  dispatcher.OnUnary<v1::ListUsersRequest, v1::ListUsersResponse>(
      "PeopleService.ListUsers", [people](const Call&, const v1::ListUsersRequest& request) {
        return people->ListUsers(request);
      });
  dispatcher.OnUnary<v1::GetUserRequest, v1::User>(
      "PeopleService.GetUser", [people](const Call&, const v1::GetUserRequest& request) {
        return people->GetUser(request.name());
      });
  dispatcher.OnUnary<v1::CreateUserRequest, v1::User>(
      "PeopleService.CreateUser", [people](const Call&, const v1::CreateUserRequest& request) {
        return people->CreateUser(request);
      });
  dispatcher.OnUnary<v1::UpdateUserRequest, v1::User>(
      "PeopleService.UpdateUser", [people](const Call& call, const v1::UpdateUserRequest& request) {
        return people->UpdateUser(call.caller, request);
      });
  dispatcher.OnUnary<v1::DeleteUserRequest, Empty>(
      "PeopleService.DeleteUser",
      [people](const Call&, const v1::DeleteUserRequest& request) -> absl::StatusOr<Empty> {
        DROVER_RETURN_IF_ERROR(people->DeleteUser(request));
        return Empty();
      });
}

}  // namespace

void RegisterPeopleService(Dispatcher& dispatcher, core::People* people) {
  RegisterSessions(dispatcher, people);
  RegisterUsers(dispatcher, people);
}

}  // namespace drover::api
