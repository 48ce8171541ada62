// Which columns the tables of each type have, and how states look.
#include <google/protobuf/descriptor.h>

#include <map>

#include "absl/strings/ascii.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/strings/str_join.h"
#include "absl/strings/str_replace.h"
#include "cli/fields.h"
#include "cli/output.h"
#include "drover/v1/activity.pb.h"
#include "drover/v1/config.pb.h"
#include "drover/v1/guest.pb.h"
#include "drover/v1/inventory.pb.h"
#include "drover/v1/options.pb.h"

namespace drover::cli {
namespace {

using google::protobuf::Descriptor;
using google::protobuf::FieldDescriptor;
using google::protobuf::Message;

Colour WorstColour(const google::protobuf::RepeatedPtrField<v1::ServiceStatus>& services) {
  Colour colour = Colour::kGreen;
  for (const auto& service : services) {
    const Colour one =
        StateCell(*v1::ServiceStatus::State_descriptor()->FindValueByNumber(service.state()), false)
            .colour;
    if (one == Colour::kRed) return one;
    if (one == Colour::kYellow) colour = one;
  }
  return colour;
}

// "3/4" running, in the colour of the worst.
Cell ServicesCell(const Message& message) {
  const auto& vm = static_cast<const v1::Vm&>(message);
  if (vm.services().empty()) return {};
  int running = 0;
  for (const auto& service : vm.services()) {
    running += service.state() == v1::ServiceStatus::STATE_RUNNING ? 1 : 0;
  }
  return {absl::StrCat(running, "/", vm.services_size()), WorstColour(vm.services())};
}

Cell ServiceListCell(const Message& message) {
  const auto& vm = static_cast<const v1::VmServices&>(message);
  std::string text;
  for (const auto& service : vm.services()) {
    absl::StrAppend(&text, text.empty() ? "" : ", ", service.name(), " ",
                    FieldText(service, "state"));
  }
  return {text, vm.services().empty() ? Colour::kNone : WorstColour(vm.services())};
}

Cell WatchedCell(const Message& message) {
  const auto& type = static_cast<const v1::VmType&>(message);
  return {absl::StrJoin(type.services(), ", ", [](std::string* out, const v1::ServiceSpec& spec) {
    absl::StrAppend(out, spec.name());
  })};
}

Cell NeedsCell(const Message& message) {
  const auto& profile = static_cast<const v1::Profile&>(message);
  return {absl::StrJoin(profile.dependencies(), ", ",
                        [](std::string* out, const v1::Profile::Dependency& dependency) {
                          absl::StrAppend(out, dependency.id());
                        })};
}

Cell RolesCell(const Message& message) {
  const auto& profile = static_cast<const v1::Profile&>(message);
  return {absl::StrJoin(
      profile.roles(), ", ",
      [](std::string* out, const v1::Profile::ProfileRole& role) { *out += role.role(); })};
}

// "7/10" of its VMs reachable.
Cell VmsUpCell(const Message& message) {
  const auto& environment = static_cast<const v1::Environment&>(message);
  return {absl::StrCat(environment.vms_up(), "/", environment.vm_count())};
}

Cell FreeSpaceCell(const Message& message) {
  const auto& host = static_cast<const v1::Hypervisor&>(message);
  double free = 0;
  for (const auto& datastore : host.datastores())
    free += static_cast<double>(datastore.free_bytes());
  return {host.datastores().empty() ? "" : HumanBytes(free)};
}

Cell PercentCell(const Message& message) {
  return {absl::StrCat(static_cast<const v1::Operation&>(message).percent(), "%")};
}

Cell ErrorCell(const Message& message) {
  const FieldDescriptor* field = message.GetDescriptor()->FindFieldByName("error");
  google::rpc::Status error;
  error.CopyFrom(message.GetReflection()->GetMessage(message, field));
  return {error.message()};
}

const v1::SamplePoint& SampleOf(const Message& message) {
  return static_cast<const v1::SamplePoint&>(message);
}
Cell CpuCell(const Message& message) {
  return {absl::StrFormat("%.1f%%", SampleOf(message).cpu_percent())};
}
Cell CpuMostCell(const Message& message) {
  return {absl::StrFormat("%.1f%%", SampleOf(message).cpu_percent_max())};
}
Cell MemoryCell(const Message& message) {
  return {absl::StrFormat("%.0f", SampleOf(message).memory_used_mb())};
}
Cell DiskCell(const Message& message) {
  return {absl::StrFormat("%.0f", SampleOf(message).disk_used_mb())};
}
Cell NetworkCell(const Message& message) {
  return {absl::StrFormat("%.1f", SampleOf(message).network_kbps())};
}

Cell SeverityCell(const Message& message) {
  const auto& event = static_cast<const v1::Event&>(message);
  const Colour colour = event.severity() == v1::Event::SEVERITY_ERROR     ? Colour::kRed
                        : event.severity() == v1::Event::SEVERITY_WARNING ? Colour::kYellow
                                                                          : Colour::kNone;
  return {FieldText(event, "severity"), colour};
}

Cell ResultCell(const Message& message) {
  const auto& entry = static_cast<const v1::LogEntry&>(message);
  return {entry.result(), entry.result() == "OK" ? Colour::kNone : Colour::kRed};
}

const std::map<std::string, std::vector<Column>>& Tables() {
  static const auto* const tables = new std::map<std::string, std::vector<Column>>{
      {"drover.v1.Vm",
       {{.header = "NAME", .path = "name"},
        {.header = "ENVIRONMENT", .path = "environment"},
        {.header = "TYPE", .path = "type"},
        {.header = "IP", .path = "network.ip"},
        {.header = "NETWORK", .path = "reachability"},
        {.header = "POWER", .path = "power"},
        {.header = "AGENT", .path = "agent_state"},
        {.header = "SERVICES", .cell = ServicesCell},
        {.header = "STATE", .path = "state", .wide = true},
        {.header = "HYPERVISOR", .path = "hypervisor", .wide = true},
        {.header = "CPUS", .path = "cpus", .wide = true, .right = true},
        {.header = "CPU", .path = "cpu_percent", .wide = true, .right = true},
        {.header = "MEMORY", .path = "memory_mb", .wide = true, .right = true},
        {.header = "DISK", .path = "disk_gb", .wide = true, .right = true},
        {.header = "OS", .path = "os_version", .wide = true},
        {.header = "REMARK", .path = "remark"}}},
      {"drover.v1.Environment",
       {{.header = "NAME", .path = "name"},
        {.header = "HEALTH", .path = "health"},
        {.header = "UP", .right = true, .cell = VmsUpCell},
        {.header = "CREATED", .path = "create_time", .wide = true},
        {.header = "TITLE", .path = "display_name", .wide = true},
        {.header = "DESCRIPTION", .path = "description"}}},
      {"drover.v1.VmType",
       {{.header = "NAME", .path = "name"},
        {.header = "TEMPLATE", .path = "template"},
        {.header = "VMS", .path = "vm_count", .right = true},
        {.header = "SERVICES", .cell = WatchedCell},
        {.header = "OWNERS", .path = "owners", .wide = true},
        {.header = "CPUS", .path = "cpus", .wide = true, .right = true},
        {.header = "MEMORY", .path = "memory_mb", .wide = true, .right = true},
        {.header = "DISK", .path = "disk_gb", .wide = true, .right = true},
        {.header = "DESCRIPTION", .path = "description"}}},
      {"drover.v1.Hypervisor",
       {{.header = "NAME", .path = "name"},
        {.header = "STATE", .path = "state"},
        {.header = "KIND", .path = "kind"},
        {.header = "PRODUCT", .path = "product"},
        {.header = "COPIES BY", .path = "copy_method"},
        {.header = "VMS", .path = "vm_count", .right = true},
        {.header = "FREE", .right = true, .cell = FreeSpaceCell},
        {.header = "URL", .path = "url", .wide = true},
        {.header = "TEMPLATES", .path = "templates", .wide = true},
        {.header = "NETWORKS", .path = "networks", .wide = true},
        {.header = "WHY", .path = "state_reason", .wide = true},
        {.header = "REMARK", .path = "remark"}}},
      {"drover.v1.Datastore",
       {{.header = "NAME", .path = "name"},
        {.header = "CAPACITY", .path = "capacity_bytes", .right = true},
        {.header = "FREE", .path = "free_bytes", .right = true},
        {.header = "ACCESSIBLE", .path = "accessible"}}},
      {"drover.v1.UnmanagedVm",
       {{.header = "OBJECT", .path = "hypervisor_object"},
        {.header = "HYPERVISOR", .path = "hypervisor"},
        {.header = "DISPLAY NAME", .path = "display_name"},
        {.header = "IP", .path = "ip"},
        {.header = "POWER", .path = "power"},
        {.header = "TEMPLATE", .path = "is_template"},
        {.header = "CPUS", .path = "cpus", .wide = true, .right = true},
        {.header = "MEMORY", .path = "memory_mb", .wide = true, .right = true},
        {.header = "OS", .path = "os_version", .wide = true}}},
      {"drover.v1.PlannedVm",
       {{.header = "ACTION", .path = "action"},
        {.header = "VM", .path = "vm.name"},
        {.header = "TYPE", .path = "vm.type"},
        {.header = "IP", .path = "vm.network.ip"},
        {.header = "HYPERVISOR", .path = "vm.hypervisor"},
        {.header = "DIFFERENCES", .path = "differences"}}},
      {"drover.v1.VmServices",
       {{.header = "VM", .path = "vm"},
        {.header = "AGENT", .path = "agent_state"},
        {.header = "SERVICES", .cell = ServiceListCell}}},
      {"drover.v1.SamplePoint",
       {{.header = "TIME", .path = "time"},
        {.header = "CPU", .right = true, .cell = CpuCell},
        {.header = "MIN", .path = "cpu_percent_min", .wide = true, .right = true},
        {.header = "MAX", .right = true, .cell = CpuMostCell},
        {.header = "MEMORY MB", .right = true, .cell = MemoryCell},
        {.header = "MEMORY MIN", .path = "memory_used_mb_min", .wide = true, .right = true},
        {.header = "MEMORY MAX", .path = "memory_used_mb_max", .wide = true, .right = true},
        {.header = "DISK MB", .right = true, .cell = DiskCell},
        {.header = "NETWORK KBIT/S", .right = true, .cell = NetworkCell},
        {.header = "AFTER GAP", .path = "after_gap"}}},
      {"drover.v1.ServiceStatus",
       {{.header = "NAME", .path = "name"},
        {.header = "STATE", .path = "state"},
        {.header = "PID", .path = "pid", .right = true},
        {.header = "SINCE", .path = "since"},
        {.header = "RESTARTS", .path = "restarts", .right = true},
        {.header = "LAST OUTPUT", .path = "last_output", .wide = true}}},
      {"drover.v1.ServiceSpec",
       {{.header = "NAME", .path = "name"},
        {.header = "UNIT", .path = "systemd_unit"},
        {.header = "EXE", .path = "exe"},
        {.header = "COMMAND LINE", .path = "command_line"},
        {.header = "START", .path = "start_command"},
        {.header = "ATTEMPTS", .path = "attempts", .wide = true, .right = true}}},
      {"drover.v1.Operation",
       {{.header = "NAME", .path = "name"},
        {.header = "STATE", .path = "state"},
        {.header = "DONE", .right = true, .cell = PercentCell},
        {.header = "TITLE", .path = "title"},
        {.header = "USER", .path = "user"},
        {.header = "CREATED", .path = "create_time"},
        {.header = "ENDED", .path = "end_time", .wide = true},
        {.header = "WAITS FOR", .path = "waits_for", .wide = true},
        {.header = "ERROR", .cell = ErrorCell}}},
      {"drover.v1.Operation.Step",
       {{.header = "STEP", .path = "title"},
        {.header = "STATE", .path = "state"},
        {.header = "ENDED", .path = "end_time"},
        {.header = "DETAIL", .path = "detail"}}},
      {"drover.v1.Operation.Target",
       {{.header = "VM", .path = "vm"},
        {.header = "STATE", .path = "state"},
        {.header = "DETAIL", .path = "detail"},
        {.header = "ERROR", .cell = ErrorCell}}},
      {"drover.v1.Operation.LogLine",
       {{.header = "TIME", .path = "time"}, {.header = "TEXT", .path = "text"}}},
      {"drover.v1.Event",
       {{.header = "TIME", .path = "time"},
        {.header = "SEVERITY", .cell = SeverityCell},
        {.header = "KIND", .path = "kind"},
        {.header = "VM", .path = "vm"},
        {.header = "MESSAGE", .path = "message"},
        {.header = "ENVIRONMENT", .path = "environment", .wide = true},
        {.header = "TYPE", .path = "type", .wide = true},
        {.header = "IP", .path = "ip", .wide = true},
        {.header = "SEQUENCE", .path = "sequence", .wide = true, .right = true}}},
      {"drover.v1.LogEntry",
       {{.header = "ID", .path = "id", .right = true},
        {.header = "TIME", .path = "time"},
        {.header = "KIND", .path = "kind"},
        {.header = "USER", .path = "user"},
        {.header = "FROM", .path = "client_address"},
        {.header = "ACTION", .path = "action"},
        {.header = "RESOURCE", .path = "resource_name"},
        {.header = "RESULT", .cell = ResultCell},
        {.header = "VM", .path = "vm", .wide = true},
        {.header = "TYPE", .path = "vm_type", .wide = true},
        {.header = "ENVIRONMENT", .path = "environment", .wide = true},
        {.header = "DETAIL", .path = "detail", .wide = true}}},
      {"drover.v1.LogBackup",
       {{.header = "NAME", .path = "name"},
        {.header = "ENTRIES", .path = "entries", .right = true},
        {.header = "FROM", .path = "first_id", .right = true},
        {.header = "TO", .path = "last_id", .right = true},
        {.header = "SIZE", .path = "bytes", .right = true},
        {.header = "CREATED", .path = "create_time"},
        {.header = "PATH", .path = "path", .wide = true},
        {.header = "SHA256", .path = "sha256", .wide = true}}},
      {"drover.v1.Dashboard.TypeCount",
       {{.header = "TYPE", .path = "type"},
        {.header = "TOTAL", .path = "total", .right = true},
        {.header = "UP", .path = "up", .right = true},
        {.header = "DOWN", .path = "down", .right = true},
        {.header = "UNKNOWN", .path = "unknown", .right = true}}},
      {"drover.v1.Profile",
       {{.header = "NAME", .path = "name"},
        {.header = "TITLE", .path = "display_name"},
        {.header = "NEEDS", .cell = NeedsCell},
        {.header = "ROLES", .cell = RolesCell},
        {.header = "BUILT IN", .path = "built_in"},
        {.header = "DESCRIPTION", .path = "description"}}},
      {"drover.v1.Configuration",
       {{.header = "NAME", .path = "name"},
        {.header = "APPLIED", .path = "apply_time"},
        {.header = "PROFILE", .path = "profile"},
        {.header = "ENVIRONMENT", .path = "environment"},
        {.header = "USER", .path = "user"},
        {.header = "OPERATION", .path = "operation", .wide = true}}},
      {"drover.v1.DependencyCheck",
       {{.header = "DEPENDENCY", .path = "dependency"},
        {.header = "VM", .path = "vm"},
        {.header = "FROM", .path = "from_vm"},
        {.header = "RESULT", .path = "result"},
        {.header = "DETAIL", .path = "detail"}}},
      {"drover.v1.PlatformHealth.Check",
       {{.header = "CHECK", .path = "name"},
        {.header = "STATE", .path = "state"},
        {.header = "FINDING", .path = "finding"},
        {.header = "ADVICE", .path = "advice"}}},
      {"drover.v1.WorkingCopy",
       {{.header = "VM", .path = "vm"},
        {.header = "COPY", .path = "id"},
        {.header = "REVISION", .path = "revision", .right = true},
        {.header = "PREVIOUS", .path = "previous_revision", .right = true},
        {.header = "LOCAL EDITS", .path = "local_edits"},
        {.header = "PROBLEM", .path = "problem"},
        {.header = "PATH", .path = "path", .wide = true},
        {.header = "URL", .path = "url", .wide = true},
        {.header = "LOCKED", .path = "locked", .wide = true},
        {.header = "READ", .path = "read_time", .wide = true}}},
      {"drover.v1.Rollout",
       {{.header = "NAME", .path = "name"},
        {.header = "STATE", .path = "operation.state"},
        {.header = "WAVE", .path = "wave", .right = true},
        {.header = "OF", .path = "waves", .right = true},
        {.header = "TITLE", .path = "operation.title"},
        {.header = "USER", .path = "operation.user"},
        {.header = "CREATED", .path = "operation.create_time"}}},
      {"drover.v1.AutomaticUpgrade",
       {{.header = "ENVIRONMENT", .path = "environment"},
        {.header = "TYPE", .path = "type"},
        {.header = "ENABLED", .path = "enabled"},
        {.header = "LAST REVISION", .path = "last_revision", .right = true},
        {.header = "LAST ROLLOUT", .path = "last_rollout"}}},
      {"drover.v1.RolloutPlan.LogMessage",
       {{.header = "REVISION", .path = "revision", .right = true},
        {.header = "AUTHOR", .path = "author"},
        {.header = "TIME", .path = "time"},
        {.header = "MESSAGE", .path = "message"}}},
      {"drover.v1.User",
       {{.header = "NAME", .path = "name"},
        {.header = "ROLE", .path = "role"},
        {.header = "TITLE", .path = "display_name"},
        {.header = "MAIL", .path = "mail"},
        {.header = "LAST LOGIN", .path = "last_login_time"},
        {.header = "MUST CHANGE PASSWORD", .path = "must_change_password", .wide = true}}},
  };
  return *tables;
}

struct Look {
  const char* symbol;
  Colour colour;
};

// By word: a state looks the same wherever it comes from. Never the colour alone.
const std::map<std::string, Look>& Looks() {
  static const auto* const looks = new std::map<std::string, Look>{
      {"up", {"●", Colour::kGreen}},
      {"on", {"●", Colour::kGreen}},
      {"ok", {"●", Colour::kGreen}},
      {"ready", {"●", Colour::kGreen}},
      {"running", {"●", Colour::kGreen}},
      {"connected", {"●", Colour::kGreen}},
      {"succeeded", {"✓", Colour::kGreen}},
      {"done", {"✓", Colour::kGreen}},
      {"down", {"✗", Colour::kRed}},
      {"missing", {"✗", Colour::kRed}},
      {"failed", {"✗", Colour::kRed}},
      {"partly-failed", {"✗", Colour::kRed}},
      {"given-up", {"✗", Colour::kRed}},
      {"timed-out", {"✗", Colour::kRed}},
      {"expired", {"✗", Colour::kRed}},
      {"contact-lost", {"✗", Colour::kRed}},
      {"unreachable", {"✗", Colour::kRed}},
      {"service-missing", {"✗", Colour::kRed}},
      {"wrong-answer", {"✗", Colour::kRed}},
      {"login-refused", {"✗", Colour::kRed}},
      {"certificate-changed", {"✗", Colour::kRed}},
      {"quarantined", {"!", Colour::kRed}},
      {"error", {"✗", Colour::kRed}},
      {"warning", {"!", Colour::kYellow}},
      {"degraded", {"!", Colour::kYellow}},
      {"unhealthy", {"!", Colour::kYellow}},
      {"restarting", {"↻", Colour::kYellow}},
      {"creating", {"↻", Colour::kYellow}},
      {"deleting", {"↻", Colour::kYellow}},
      {"undoing", {"↻", Colour::kYellow}},
      {"enrolling", {"↻", Colour::kYellow}},
      {"connecting", {"↻", Colour::kYellow}},
      {"suspended", {"‖", Colour::kYellow}},
      {"paused", {"‖", Colour::kYellow}},
      {"off", {"○", Colour::kGrey}},
      {"stopped", {"○", Colour::kGrey}},
      {"empty", {"○", Colour::kGrey}},
      {"unknown", {"?", Colour::kGrey}},
      {"none", {"○", Colour::kGrey}},
      {"queued", {"…", Colour::kGrey}},
      {"delivered", {"…", Colour::kGrey}},
      {"pending", {"…", Colour::kGrey}},
      {"cancelled", {"○", Colour::kGrey}},
      {"undone", {"○", Colour::kGrey}},
      {"skipped", {"○", Colour::kGrey}},
      {"create", {"+", Colour::kGreen}},
      {"change", {"~", Colour::kYellow}},
      {"delete", {"-", Colour::kRed}},
  };
  return *looks;
}

}  // namespace

Cell StateCell(const google::protobuf::EnumValueDescriptor& value, bool symbols) {
  const std::string word = EnumWord(value);
  const auto look = Looks().find(word);
  if (look == Looks().end()) return {word};
  return {symbols ? absl::StrCat(look->second.symbol, " ", word) : word, look->second.colour};
}

std::vector<Column> ColumnsOf(const Descriptor& type) {
  const auto known = Tables().find(type.full_name());
  if (known != Tables().end()) return known->second;
  std::vector<Column> columns;
  for (int i = 0; i < type.field_count(); ++i) {
    const FieldDescriptor* field = type.field(i);
    if (field->options().GetExtension(v1::secret)) continue;
    const std::string header =
        absl::AsciiStrToUpper(absl::StrReplaceAll(field->name(), {{"_", " "}}));
    columns.push_back({.header = header, .path = field->name()});
  }
  return columns;
}

}  // namespace drover::cli
