#include "controller/core/operation_events.h"

#include <cstring>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "proto/support/resource_name.h"
#include "proto/support/status.h"

namespace drover::core {
namespace {

using drover::v1::Event;
using drover::v1::Operation;

absl::string_view OutcomeOf(Operation::State state) {
  switch (state) {
    case Operation::STATE_SUCCEEDED:
      return "succeeded";
    case Operation::STATE_CANCELLED:
      return "was cancelled";
    case Operation::STATE_PARTLY_FAILED:
      return "succeeded for some of its VMs only";
    default:
      return "failed";
  }
}

// What happened to each VM's code is in the upgrade log, whoever began it.
std::optional<drover::v1::LogEntry> UpgradeEntry(const OperationRecord& record) {
  const Operation& operation = record.operation();
  if (operation.kind() != "vm.upgrade" && operation.kind() != "rollout") return std::nullopt;
  drover::v1::LogEntry entry;
  entry.set_kind(drover::v1::LOG_KIND_UPGRADE);
  entry.set_user(operation.user());
  entry.set_client_address(operation.client_address());
  entry.set_action(operation.title());
  entry.set_resource_name(operation.name());
  entry.set_operation(operation.name());
  entry.set_result(operation.state() == Operation::STATE_SUCCEEDED
                       ? "OK"
                       : Operation::State_Name(operation.state()).substr(strlen("STATE_")));
  entry.set_detail(operation.error().message());
  for (const std::string& name : record.resource_names()) {
    if (absl::StartsWith(name, "environments/")) entry.set_environment(name);
    if (operation.kind() == "vm.upgrade" && absl::StartsWith(name, "vms/")) entry.set_vm(name);
  }
  return entry;
}

}  // namespace

std::optional<Event> EndEvent(const OperationRecord& record) {
  const Operation& operation = record.operation();
  const bool succeeded = operation.state() == Operation::STATE_SUCCEEDED;
  if (succeeded && !operation.parent().empty()) return std::nullopt;
  Event event;
  event.set_kind("operation.finished");
  event.set_subject(operation.name());
  event.set_severity(succeeded                                         ? Event::SEVERITY_INFO
                     : operation.state() == Operation::STATE_CANCELLED ? Event::SEVERITY_WARNING
                                                                       : Event::SEVERITY_ERROR);
  std::string message = absl::StrCat(operation.title(), " ", OutcomeOf(operation.state()));
  if (operation.error().code() != 0) {
    absl::StrAppend(&message, ": ", operation.error().message());
  }
  event.set_message(message);
  for (const std::string& name : record.resource_names()) {
    if (absl::StartsWith(name, "vms/") && event.vm().empty()) event.set_vm(name);
    if (absl::StartsWith(name, "environments/") && event.environment().empty()) {
      event.set_environment(name);
    }
  }
  auto& attributes = *event.mutable_attributes();
  attributes["kind"] = operation.kind();
  attributes["state"] = Operation::State_Name(operation.state());
  attributes["user"] = operation.user();
  const std::string reason = ReasonOf(FromRpcStatus(operation.error()));
  if (!reason.empty()) attributes["reason"] = reason;
  return event;
}

void LogEnds(OperationRunner& runner, EventLog* events) {
  runner.OnEnd(
      [events](StoreWriter& writer, const OperationRecord& record,
               std::vector<Event>* made) -> absl::Status {
        if (const auto entry = UpgradeEntry(record)) {
          DROVER_RETURN_IF_ERROR(events->LogIn(writer, *entry));
        }
        std::optional<Event> event = EndEvent(record);
        if (!event.has_value()) return absl::OkStatus();
        DROVER_RETURN_IF_ERROR(events->RecordIn(writer, &*event));
        made->push_back(*std::move(event));
        return absl::OkStatus();
      },
      [events](const std::vector<Event>& made) { events->Announce(made); });
}

}  // namespace drover::core
