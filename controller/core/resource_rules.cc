#include "controller/core/resource_rules.h"

#include <re2/re2.h>

#include <algorithm>
#include <memory>
#include <set>
#include <string>
#include <vector>

#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "drover/v1/options.pb.h"
#include "proto/support/resource_name.h"

namespace drover::core {
namespace {

using drover::v1::HealthProbe;
using drover::v1::ServiceSpec;
using google::protobuf::FieldDescriptor;
using google::protobuf::Message;

void CheckAbsolute(absl::string_view value, absl::string_view path, Violations& violations) {
  if (!value.empty() && value[0] != '/') {
    violations.Add(path, absl::StrCat("\"", value, "\" is not an absolute path"));
  }
}

void CheckProbe(const HealthProbe& probe, const std::string& path, Violations& violations) {
  switch (probe.kind_case()) {
    case HealthProbe::kTcpPort:
      if (probe.tcp_port() < 1 || probe.tcp_port() > 65535) {
        violations.Add(path + ".tcp_port",
                       absl::StrCat("is ", probe.tcp_port(), "; a port is 1 to 65535"));
      }
      break;
    case HealthProbe::kHttp: {
      std::pair<std::string, std::string> parts =
          absl::StrSplit(probe.http(), absl::MaxSplits('/', 1));
      int port = 0;
      if (!absl::SimpleAtoi(parts.first, &port) || port < 1 || port > 65535) {
        violations.Add(
            path + ".http",
            absl::StrCat("\"", probe.http(), "\" is not a port and a path like 8080/healthz"));
      }
      break;
    }
    case HealthProbe::kCommand:
      if (probe.command().empty()) violations.Add(path + ".command", "is empty");
      break;
    case HealthProbe::KIND_NOT_SET:
      violations.Add(path, "has no kind; set one of tcp_port, http, command");
  }
}

void CheckService(const ServiceSpec& service, const std::string& path, Violations& violations) {
  if (!IsValidId(service.name())) {
    violations.Add(path + ".name",
                   absl::StrCat("\"", service.name(),
                                "\" is not a name of lower-case letters, digits and '-'"));
  }
  if (service.systemd_unit().empty() && service.pid_file().empty() && service.exe().empty() &&
      service.command_line().empty()) {
    violations.Add(path,
                   "says not how the process is recognised; set systemd_unit, pid_file, exe or "
                   "command_line");
  }
  if (service.systemd_unit().empty() && service.start_command().empty()) {
    violations.Add(path + ".start_command", "is required for a service without a systemd unit");
  }
  CheckAbsolute(service.pid_file(), path + ".pid_file", violations);
  CheckAbsolute(service.exe(), path + ".exe", violations);
  if (!service.command_line().empty()) {
    RE2::Options quiet;
    quiet.set_log_errors(false);
    RE2 pattern(service.command_line(), quiet);
    if (!pattern.ok()) {
      violations.Add(path + ".command_line",
                     absl::StrCat("is not a regular expression: ", pattern.error()));
    }
  }
  if (service.has_probe()) CheckProbe(service.probe(), path + ".probe", violations);
}

bool MayBeSet(const FieldDescriptor& field) {
  return !field.options().GetExtension(drover::v1::output_only) &&
         !field.options().GetExtension(drover::v1::immutable) && field.name() != "name";
}

void CopyField(const Message& from, const FieldDescriptor& field, Message& to) {
  // A message with this one field alone, merged into the cleared place.
  const auto* reflection = from.GetReflection();
  reflection->ClearField(&to, &field);
  std::unique_ptr<Message> single(from.New());
  single->CopyFrom(from);
  std::vector<const FieldDescriptor*> set;
  reflection->ListFields(*single, &set);
  for (const FieldDescriptor* other : set) {
    if (other != &field) reflection->ClearField(single.get(), other);
  }
  to.MergeFrom(*single);
}

absl::Status CopyPath(const Message& from, absl::string_view whole, absl::string_view path,
                      Message& to) {
  std::pair<absl::string_view, absl::string_view> parts =
      absl::StrSplit(path, absl::MaxSplits('.', 1));
  const FieldDescriptor* field = from.GetDescriptor()->FindFieldByName(std::string(parts.first));
  if (field == nullptr) {
    return InvalidField("update_mask", absl::StrCat("\"", whole, "\" is not a field of ",
                                                    from.GetDescriptor()->name()));
  }
  if (!MayBeSet(*field)) {
    return InvalidField("update_mask", absl::StrCat("\"", whole, "\" cannot be changed"));
  }
  if (parts.second.empty()) {
    CopyField(from, *field, to);
    return absl::OkStatus();
  }
  if (field->is_repeated() || field->message_type() == nullptr) {
    return InvalidField("update_mask", absl::StrCat("\"", whole,
                                                    "\" goes into a field without "
                                                    "fields of its own"));
  }
  return CopyPath(from.GetReflection()->GetMessage(from, field), whole, parts.second,
                  *to.GetReflection()->MutableMessage(&to, field));
}

}  // namespace

void CheckHypervisor(const drover::v1::Hypervisor& hypervisor, absl::string_view path,
                     Violations& violations) {
  if (!absl::StartsWithIgnoreCase(hypervisor.url(), "https://") &&
      !absl::StartsWithIgnoreCase(hypervisor.url(), "http://")) {
    violations.Add(absl::StrCat(path, ".url"), absl::StrCat("\"", hypervisor.url(),
                                                            "\" is not an address like "
                                                            "https://esxi-1.example.net/sdk"));
  }
  if (hypervisor.user().empty()) violations.Add(absl::StrCat(path, ".user"), "is required");
  if (hypervisor.has_ssh() && hypervisor.ssh().user().empty()) {
    violations.Add(absl::StrCat(path, ".ssh.user"), "is required when ssh is given");
  }
}

void CheckType(const drover::v1::VmType& type, absl::string_view path, Violations& violations) {
  if (type.template_().empty()) {
    violations.Add(absl::StrCat(path, ".template"),
                   "is required; it is the name of the VM to copy");
  }
  std::set<std::string> names;
  for (int i = 0; i < type.services_size(); ++i) {
    std::string at = absl::StrCat(path, ".services[", i, "]");
    CheckService(type.services(i), at, violations);
    if (!names.insert(type.services(i).name()).second) {
      violations.Add(at + ".name",
                     absl::StrCat("\"", type.services(i).name(), "\" is there twice"));
    }
  }
  std::set<std::string> copies;
  for (int i = 0; i < type.working_copies_size(); ++i) {
    const auto& copy = type.working_copies(i);
    std::string at = absl::StrCat(path, ".working_copies[", i, "]");
    if (!IsValidId(copy.id())) violations.Add(at + ".id", "is required");
    if (copy.path().empty()) violations.Add(at + ".path", "is required");
    CheckAbsolute(copy.path(), at + ".path", violations);
    if (!copies.insert(copy.id()).second) {
      violations.Add(at + ".id", absl::StrCat("\"", copy.id(), "\" is there twice"));
    }
    for (const std::string& service : copy.restart_services()) {
      if (!names.contains(service)) {
        violations.Add(at + ".restart_services",
                       absl::StrCat("\"", service, "\" is not a service of the type"));
      }
    }
  }
  std::set<std::pair<std::string, std::string>> files;
  for (int i = 0; i < type.config_files_size(); ++i) {
    const auto& file = type.config_files(i);
    std::string at = absl::StrCat(path, ".config_files[", i, "]");
    if (file.role().empty()) violations.Add(at + ".role", "is required");
    if (file.file().empty()) violations.Add(at + ".file", "is required");
    if (file.path().empty()) violations.Add(at + ".path", "is required");
    CheckAbsolute(file.path(), at + ".path", violations);
    if (!files.insert({file.role(), file.file()}).second) {
      violations.Add(at, "has the role and name of another file");
    }
  }
}

absl::Status ApplyUpdate(const Message& wanted, const google::protobuf::FieldMask& mask,
                         Message& current) {
  if (mask.paths_size() > 0 && !(mask.paths_size() == 1 && mask.paths(0) == "*")) {
    for (const std::string& path : mask.paths()) {
      DROVER_RETURN_IF_ERROR(CopyPath(wanted, path, path, current));
    }
    return absl::OkStatus();
  }
  std::vector<const FieldDescriptor*> set;
  wanted.GetReflection()->ListFields(wanted, &set);
  bool all = mask.paths_size() == 1;
  for (int i = 0; i < wanted.GetDescriptor()->field_count(); ++i) {
    const FieldDescriptor* field = wanted.GetDescriptor()->field(i);
    bool given = std::find(set.begin(), set.end(), field) != set.end();
    if (MayBeSet(*field) && (all || given)) CopyField(wanted, *field, current);
  }
  return absl::OkStatus();
}

absl::Status NoResource(absl::string_view reason, absl::string_view what, absl::string_view name) {
  return MakeError(absl::StatusCode::kNotFound, reason,
                   absl::StrCat("there is no ", what, " ", IdOf(name)));
}

}  // namespace drover::core
