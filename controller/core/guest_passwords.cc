#include "controller/core/guest_passwords.h"

#include <algorithm>
#include <optional>
#include <string>
#include <utility>

#include "absl/strings/ascii.h"
#include "absl/strings/str_cat.h"
#include "controller/core/network_operations.h"
#include "proto/support/resource_name.h"
#include "proto/support/status.h"

namespace drover::core {
namespace {

using drover::agent::v1::Command;
using drover::agent::v1::CommandUpdate;
using drover::v1::Operation;
using drover::v1::Vm;

constexpr char kOrder[] = "order";
constexpr absl::Duration kToBegin = absl::Minutes(1);
constexpr int kTimeoutSeconds = 60;

// chpasswd reads lines of "account:password".
absl::Status CheckWords(const drover::v1::SetVmPasswordRequest& request) {
  Violations violations;
  const std::string& account = request.account();
  const bool plain = std::all_of(account.begin(), account.end(), [](unsigned char c) {
    return absl::ascii_isalnum(c) || c == '_' || c == '-' || c == '.' || c == '$';
  });
  if (!plain || account.size() > 64 || (!account.empty() && account[0] == '-')) {
    violations.Add("account", "must be the name of an account");
  }
  const std::string& password = request.password();
  const bool printable = std::none_of(password.begin(), password.end(),
                                      [](unsigned char c) { return c < 0x20 || c == 0x7f; });
  if (password.empty() || password.size() > 256 || !printable) {
    violations.Add("password", "must have 1 to 256 characters and no control characters");
  }
  return violations.ToStatus();
}

}  // namespace

void GuestPasswords::Register() {
  runner_->Register(kKind, [this](const OperationRecord& record) { return Steps(record); });
}

absl::StatusOr<Operation> GuestPasswords::Set(const Request& request, const Caller& caller) {
  // The password is no part of what a request id is known again by.
  Request asked = request;
  ClearSecrets(&asked);
  DROVER_ASSIGN_OR_RETURN(std::optional<Operation> earlier,
                          runner_->Earlier(caller, request.request_id(), asked));
  if (earlier) return *earlier;
  DROVER_RETURN_IF_ERROR(CheckWords(request));
  DROVER_ASSIGN_OR_RETURN(const Vm vm, world_.inventory->GetVm(request.name()));
  if (vm.state() != Vm::STATE_READY) {
    return MakeError(absl::StatusCode::kFailedPrecondition, "VM_NOT_READY",
                     absl::StrCat("VM ", IdOf(vm.name()), " is not ready; wait until it is"));
  }
  Request secrets;
  secrets.set_password(request.password());
  const std::string account = request.account().empty() ? "root" : request.account();
  OperationRequest operation = RequestFor(
      kKind, absl::StrCat("set password of ", account, " on ", IdOf(vm.name())), vm, request);
  operation.secrets = secrets.SerializeAsString();
  operation.caller = caller;
  operation.request_id = request.request_id();
  return runner_->Submit(std::move(operation));
}

std::vector<OperationStep> GuestPasswords::Steps(const OperationRecord& record) {
  auto request = RequestOf<Request>(record);
  if (request.account().empty()) request.set_account("root");
  OperationStep step;
  step.title = "set the password";
  step.run = [this, request](OperationContext& context) { return Change(request, context); };
  // A password that was set stays; nobody knows the old one.
  step.undo = [this](OperationContext& context) { return orders_.Withdraw(context, kOrder); };
  return {step};
}

absl::Status GuestPasswords::Change(const Request& request, OperationContext& context) {
  DROVER_ASSIGN_OR_RETURN(const std::string plain, context.Secrets());
  Request secrets;
  if (!secrets.ParseFromString(plain)) return absl::DataLossError("the secrets are damaged");
  DROVER_ASSIGN_OR_RETURN(const Vm vm, world_.inventory->GetVm(request.name()));
  DROVER_ASSIGN_OR_RETURN(const GuestLogin login, world_.inventory->GuestLoginOf(vm.name()));
  if (context.Recall(kOrder).empty() && !world_.agents->IsConnected(vm.uid())) {
    return ByTools(vm, request, secrets.password(), context);
  }
  // From here on the account may have either password.
  DROVER_RETURN_IF_ERROR(context.Remember("began", "yes"));
  Command command;
  command.mutable_set_password()->set_account(request.account());
  command.mutable_set_password()->set_password(secrets.password());
  command.set_timeout_seconds(kTimeoutSeconds);
  const absl::StatusOr<CommandUpdate> ended =
      orders_.CarryOut(context, kOrder, vm, std::move(command), kToBegin);
  const absl::Status changed = ended.ok() ? StatusOf(*ended) : ended.status();
  if (IsSilence(changed)) {
    context.Log(absl::StrCat("the agent did not do it: ", changed.message()));
    return ByTools(vm, request, secrets.password(), context);
  }
  DROVER_RETURN_IF_ERROR(changed);
  if (request.account() != login.user()) return absl::OkStatus();
  return world_.inventory->SetGuestPassword(vm.name(), secrets.password());
}

absl::Status GuestPasswords::ByTools(const Vm& vm, const Request& request,
                                     const std::string& password, OperationContext& context) {
  DROVER_RETURN_IF_ERROR(LogUseOfTools(*events_, context.record(), vm,
                                       absl::StrCat("set password of ", request.account()),
                                       "the VM's agent is not connected"));
  DROVER_ASSIGN_OR_RETURN(const GuestLogin login, world_.inventory->GuestLoginOf(vm.name()));
  if (request.account() == login.user()) return guest_->SetPassword(vm.name(), password, context);
  return guest_->SetPasswordOf(vm.name(), request.account(), password, context);
}

}  // namespace drover::core
