#include "controller/api/call_log.h"

#include <google/protobuf/descriptor.h>

#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/strings/str_split.h"
#include "absl/strings/strip.h"
#include "controller/api/redaction.h"
#include "drover/v1/options.pb.h"
#include "proto/support/contract.h"
#include "proto/support/log.h"
#include "proto/support/resource_name.h"

namespace drover::api {
namespace {

using drover::v1::LogEntry;
using google::protobuf::Descriptor;
using google::protobuf::FieldDescriptor;
using google::protobuf::Message;
using google::protobuf::MethodDescriptor;
using google::protobuf::Reflection;

// Collection of a resource type, "" when it has no name of its own.
absl::string_view CollectionOf(const Descriptor* type) {
  const FieldDescriptor* name = type == nullptr ? nullptr : type->FindFieldByName("name");
  return name == nullptr ? "" : absl::string_view(name->options().GetExtension(v1::resource));
}

// Of an id field like "vm_id" or "environment": by the resource that stands beside it in the
// request, else by the type of that name.
absl::string_view CollectionOfId(const FieldDescriptor& field) {
  const std::string stem(absl::StripSuffix(field.name(), "_id"));
  const FieldDescriptor* sibling = field.containing_type()->FindFieldByName(stem);
  if (sibling != nullptr && sibling->message_type() != nullptr) {
    return CollectionOf(sibling->message_type());
  }
  std::string type = stem;
  if (!type.empty()) type[0] = absl::ascii_toupper(type[0]);
  return CollectionOf(
      field.file()->pool()->FindMessageTypeByName(absl::StrCat("drover.v1.", type)));
}

std::string Complete(const FieldDescriptor& field, const std::string& text) {
  if (text.empty() || field.options().GetExtension(v1::shape) != v1::SHAPE_ID) return text;
  const absl::string_view collection = CollectionOfId(field);
  return collection.empty() ? text : ResourceName(collection, text);
}

// Asks what would happen; nothing is done.
bool IsRehearsal(const Message& request) {
  const FieldDescriptor* field = request.GetDescriptor()->FindFieldByName("validate_only");
  return field != nullptr && field->cpp_type() == FieldDescriptor::CPPTYPE_BOOL &&
         !field->is_repeated() && request.GetReflection()->GetBool(request, field);
}

std::string CodeName(const absl::Status& status) { return absl::StatusCodeToString(status.code()); }

}  // namespace

std::vector<std::string> ResourcesOf(const MethodDescriptor& method, const Message& request) {
  const std::string& path = RuleOf(method).resource_field();
  if (path.empty()) return {};
  const Message* at = &request;
  const std::vector<std::string> names = absl::StrSplit(path, '.');
  for (size_t i = 0; i < names.size(); ++i) {
    const FieldDescriptor* field = at->GetDescriptor()->FindFieldByName(names[i]);
    const Reflection* reflection = at->GetReflection();
    if (field == nullptr) return {};
    if (i + 1 < names.size()) {
      if (field->message_type() == nullptr || field->is_repeated()) return {};
      at = &reflection->GetMessage(*at, field);
      continue;
    }
    if (field->cpp_type() != FieldDescriptor::CPPTYPE_STRING) return {};
    std::vector<std::string> found;
    if (!field->is_repeated()) {
      found.push_back(Complete(*field, reflection->GetString(*at, field)));
    } else {
      for (int j = 0; j < reflection->FieldSize(*at, field); ++j) {
        found.push_back(Complete(*field, reflection->GetRepeatedString(*at, field, j)));
      }
    }
    if (found.size() == 1 && found[0].empty()) found.clear();
    return found;
  }
  return {};
}

CallLog::CallLog(Append append, FindVm find_vm, core::Clock* clock)
    : append_(std::move(append)), find_vm_(std::move(find_vm)), clock_(clock) {}

std::vector<drover::v1::Vm> CallLog::VmsOf(const MethodDescriptor& method,
                                           const Message& request) const {
  std::vector<drover::v1::Vm> vms;
  for (const std::string& name : ResourcesOf(method, request)) {
    if (!absl::StartsWith(name, "vms/")) continue;
    if (auto vm = find_vm_(name)) vms.push_back(*std::move(vm));
  }
  return vms;
}

std::optional<int> CallLog::Unfold(const Record& record) {
  if (!record.refused || !absl::IsUnauthenticated(record.result)) return 0;
  return fold_.Count(absl::StrCat(record.caller.client_address, " ", record.method->full_name()),
                     clock_->Now());
}

LogEntry CallLog::EntryOf(const Record& record) const {
  const drover::v1::MethodRule& rule = RuleOf(*record.method);
  LogEntry entry;
  entry.set_kind(rule.log_kind() != v1::LOG_KIND_UNSPECIFIED ? rule.log_kind()
                 : absl::IsUnauthenticated(record.result)    ? v1::LOG_KIND_LOGIN
                                                             : v1::LOG_KIND_OPERATION);
  entry.set_user(record.caller.user);
  entry.set_client_address(record.caller.client_address);
  entry.set_action(rule.summary().empty() ? record.method->name() : rule.summary());
  if (IsRehearsal(*record.request)) entry.set_action(absl::StrCat("check: ", entry.action()));
  entry.set_result(CodeName(record.result));
  entry.set_operation(record.operation);
  const std::string request = LogText(*record.request);
  entry.set_detail(
      record.result.ok() ? request : absl::StrCat(record.result.message(), "; request: ", request));
  return entry;
}

void CallLog::AddVm(const Record& record, absl::string_view name, LogEntry* entry) const {
  if (absl::StartsWith(name, "environments/")) entry->set_environment(std::string(name));
  if (!absl::StartsWith(name, "vms/")) return;
  entry->set_vm(std::string(name));
  for (const drover::v1::Vm& vm : record.vms_before) {
    if (vm.name() != name) continue;
    entry->set_vm_type(vm.type());
    entry->set_environment(vm.environment());
    return;
  }
  if (auto vm = find_vm_(name)) {
    entry->set_vm_type(vm->type());
    entry->set_environment(vm->environment());
    return;
  }
  // A new VM that did not come to be: as it was asked for.
  const Descriptor* type = record.request->GetDescriptor();
  const Reflection* reflection = record.request->GetReflection();
  const FieldDescriptor* field = type->FindFieldByName("vm");
  if (field != nullptr && field->message_type() == drover::v1::Vm::descriptor()) {
    const auto& vm =
        static_cast<const drover::v1::Vm&>(reflection->GetMessage(*record.request, field));
    entry->set_vm_type(vm.type());
    entry->set_environment(vm.environment());
  }
}

void CallLog::Write(const Record& record) {
  const drover::v1::MethodRule& rule = RuleOf(*record.method);
  if (rule.log_kind() == v1::LOG_KIND_UNSPECIFIED && !record.refused) return;
  const std::optional<int> left_out = Unfold(record);
  if (!left_out) return;
  const std::vector<std::string> resources = ResourcesOf(*record.method, *record.request);
  LogEntry entry = EntryOf(record);
  if (*left_out > 0) {
    entry.set_detail(absl::StrCat(entry.detail(), "; ", *left_out, " more like it before"));
  }
  // Who signs in has no session yet; it is about them, and by them.
  if (entry.user().empty() && rule.access() == v1::ACCESS_ANYONE && resources.size() == 1) {
    entry.set_user(std::string(IdOf(resources[0]).substr(0, 64)));
  }
  const bool entry_per_vm =
      !record.refused && resources.size() > 1 && absl::StartsWith(resources[0], "vms/");
  std::vector<std::string> subjects = resources;
  if (!entry_per_vm) subjects = {absl::StrJoin(resources, ", ").substr(0, 1024)};
  for (const std::string& subject : subjects) {
    LogEntry one = entry;
    one.set_resource_name(subject);
    AddVm(record, subject, &one);
    if (absl::Status status = append_(std::move(one)); !status.ok()) {
      LogError("the platform log could not be written: ", entry.action(), " of ", subject, " by ",
               entry.user(), " (", entry.result(), "): ", status.message());
    }
  }
}

}  // namespace drover::api
