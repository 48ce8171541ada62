// Hypervisors, types, environments and VMs.
#include <map>
#include <memory>

#include "absl/strings/ascii.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/strings/strip.h"
#include "cli/call.h"
#include "cli/commands.h"
#include "cli/fields.h"
#include "drover/v1/inventory.pb.h"
#include "proto/support/resource_name.h"
#include "proto/support/status.h"

namespace drover::cli {
namespace {

// The host's certificate, when nobody has confirmed it yet: shown and asked about.
absl::Status ConfirmCertificate(Invocation& invocation, v1::Hypervisor& hypervisor) {
  if (!hypervisor.certificate_fingerprint().empty()) return absl::OkStatus();
  if (!invocation.terminal.in_is_tty() || !invocation.terminal.err_is_tty())
    return absl::OkStatus();
  v1::TestHypervisorRequest test;
  *test.mutable_hypervisor() = hypervisor;
  v1::TestHypervisorResponse found;
  const absl::Status tested =
      invocation.client.Call("InventoryService/TestHypervisor", test, &found);
  if (!HasReason(tested, "CERTIFICATE_NOT_CONFIRMED")) return tested;
  const std::string fingerprint = ErrorMetadata(tested, "fingerprint");
  invocation.terminal.Tell(
      absl::StrCat("The certificate of ", hypervisor.url(), ":\n  SHA-256  ", fingerprint));
  DROVER_RETURN_IF_ERROR(
      ConfirmQuestion(invocation, "Is it the one the host shows at its console?"));
  hypervisor.set_certificate_fingerprint(fingerprint);
  return absl::OkStatus();
}

// The second door opens with the first one's credentials where nothing else is said.
absl::Status CompleteSsh(Invocation& invocation, v1::Hypervisor& hypervisor) {
  if (!hypervisor.has_ssh()) return absl::OkStatus();
  v1::SshAccess& ssh = *hypervisor.mutable_ssh();
  if (ssh.user().empty()) ssh.set_user(hypervisor.user());
  if (!ssh.password().empty()) return absl::OkStatus();
  if (!invocation.arguments.Has("ssh-password-stdin") &&
      !invocation.arguments.Has("ssh-password-file")) {
    ssh.set_password(hypervisor.password());
  }
  return absl::OkStatus();
}

// "AA:BB" and "SHA256:aa:bb" are the same.
void NormaliseFingerprint(v1::Hypervisor& hypervisor) {
  const std::string upper = absl::AsciiStrToUpper(hypervisor.certificate_fingerprint());
  hypervisor.set_certificate_fingerprint(std::string(absl::StripPrefix(upper, "SHA256:")));
}

absl::Status AddHypervisor(Invocation& invocation) {
  v1::CreateHypervisorRequest request;
  DROVER_RETURN_IF_ERROR(FillRequest(invocation, &request));
  NormaliseFingerprint(*request.mutable_hypervisor());
  DROVER_RETURN_IF_ERROR(CompleteSsh(invocation, *request.mutable_hypervisor()));
  DROVER_RETURN_IF_ERROR(ConfirmCertificate(invocation, *request.mutable_hypervisor()));
  v1::Hypervisor added;
  DROVER_RETURN_IF_ERROR(invocation.client.Call(invocation.command.method, request, &added));
  if (!invocation.shows_table()) return PrintMessage(invocation.terminal, invocation.output, added);
  invocation.terminal.Print(absl::StrCat(
      "hypervisor ", IdOf(added.name()), " added: ", added.product(),
      added.product().empty() ? "" : ", ", "copies by ", FieldText(added, "copy_method"), "\n"));
  if (!added.copy_refusal().empty()) {
    invocation.Tell(absl::StrCat("No VM can be created there: ", added.copy_refusal()));
  }
  return absl::OkStatus();
}

absl::Status TestHypervisor(Invocation& invocation) {
  v1::TestHypervisorRequest request;
  DROVER_RETURN_IF_ERROR(FillRequest(invocation, &request));
  NormaliseFingerprint(*request.mutable_hypervisor());
  DROVER_RETURN_IF_ERROR(CompleteSsh(invocation, *request.mutable_hypervisor()));
  v1::Hypervisor& hypervisor = *request.mutable_hypervisor();
  if (hypervisor.url().empty() && hypervisor.name().empty()) {
    return absl::InvalidArgumentError("NAME or --url is missing: the host to test");
  }
  if (hypervisor.url().empty()) {
    // A stored one, with the credentials the controller has.
    v1::GetHypervisorRequest get;
    get.set_name(hypervisor.name());
    DROVER_RETURN_IF_ERROR(
        invocation.client.Call("InventoryService/GetHypervisor", get, &hypervisor));
  }
  v1::TestHypervisorResponse found;
  DROVER_RETURN_IF_ERROR(invocation.client.Call(invocation.command.method, request, &found));
  for (const std::string& warning : found.warnings()) invocation.Tell("Warning: " + warning);
  return PrintMessage(invocation.terminal, invocation.output, found);
}

absl::Status DeleteEnvironment(Invocation& invocation) {
  v1::DeleteEnvironmentRequest request;
  DROVER_RETURN_IF_ERROR(FillRequest(invocation, &request));
  const std::string id(IdOf(request.name()));
  request.set_validate_only(true);
  v1::Operation preview;
  DROVER_RETURN_IF_ERROR(invocation.client.Call(invocation.command.method, request, &preview));
  if (invocation.arguments.Has("dry-run")) {
    return PrintMessage(invocation.terminal, invocation.output, preview);
  }
  request.set_validate_only(false);
  request.clear_request_id();
  if (request.confirm().empty()) {
    invocation.terminal.Tell(absl::StrCat("This deletes environment ", id, " and its ",
                                          preview.targets_size(),
                                          " VMs, with their disks, on the hypervisors:"));
    for (const auto& target : preview.targets()) {
      invocation.terminal.Tell(absl::StrCat("  ", IdOf(target.vm()),
                                            target.detail().empty() ? "" : "  ", target.detail()));
    }
    if (!invocation.terminal.in_is_tty() || !invocation.terminal.err_is_tty()) {
      return MakeError(absl::StatusCode::kInvalidArgument, "NEEDS_CONFIRM",
                       absl::StrCat("without a terminal, confirm it with: --confirm ", id));
    }
    DROVER_ASSIGN_OR_RETURN(
        const std::string typed,
        invocation.terminal.Ask(absl::StrCat("Type the environment's name to delete it:")));
    if (typed != id) return absl::CancelledError("that is not its name; nothing was deleted");
    request.set_confirm(typed);
  }
  v1::Operation operation;
  DROVER_RETURN_IF_ERROR(invocation.client.Call(invocation.command.method, request, &operation));
  return FinishOperation(invocation, operation);
}

const std::vector<Flag>& HypervisorFlags(const char* prefix) {
  // Built once for each prefix: "hypervisor." of the request.
  static auto* const flags = new std::map<std::string, std::vector<Flag>>;
  std::vector<Flag>& made = (*flags)[prefix];
  if (!made.empty()) return made;
  const auto field = [prefix](const char* name) { return absl::StrCat(prefix, name); };
  made = {
      {.name = "url", .field = field("url"), .help = "https://HOST/sdk", .value = "URL"},
      {.name = "user",
       .field = field("user"),
       .help = "account there",
       .letter = 'u',
       .value = "NAME"},
      {.name = "password", .field = field("password"), .help = "the account's password"},
      {.name = "fingerprint",
       .field = field("certificate_fingerprint"),
       .help = "SHA-256 of its certificate, AA:BB:...",
       .value = "SHA256"},
      {.name = "ssh-user",
       .field = field("ssh.user"),
       .help = "account for SSH, the second door of free licences",
       .value = "NAME"},
      {.name = "ssh-password",
       .field = field("ssh.password"),
       .help = "its password; the same as above without"},
      {.name = "ssh-host-key",
       .field = field("ssh.host_key_fingerprint"),
       .help = "the host key as ssh-keygen -lf prints it",
       .value = "SHA256:..."},
      {.name = "ssh-address",
       .field = field("ssh.address"),
       .help = "where SSH listens, when not at the URL's host, port 22",
       .value = "HOST[:PORT]"},
      {.name = "remark", .field = field("remark"), .help = "free text", .value = "TEXT"},
  };
  return made;
}

// The flags with those of these names required.
std::vector<Flag> Required(std::vector<Flag> flags,
                           std::initializer_list<absl::string_view> names) {
  for (Flag& flag : flags) {
    for (absl::string_view name : names) flag.required = flag.required || flag.name == name;
  }
  return flags;
}

std::vector<Command> HypervisorCommands() {
  const auto name = [](const char* field, bool required = true) {
    return std::vector<Flag>{{.name = "NAME",
                              .field = field,
                              .help = "hypervisor",
                              .required = required,
                              .collection = "hypervisors"}};
  };
  return {
      {.path = "hypervisor list",
       .summary = "List hypervisors.",
       .method = "InventoryService/ListHypervisors",
       .empty_hint =
           "No hypervisors. Add one with: drover hypervisor add NAME --url https://HOST/sdk "
           "--user root"},
      {.path = "hypervisor show",
       .summary = "Show a hypervisor: state, datastores, networks, templates.",
       .method = "InventoryService/GetHypervisor",
       .arguments = name("name")},
      {.path = "hypervisor test",
       .summary = "Connect without storing anything: what is there and what it may do.",
       .method = "InventoryService/TestHypervisor",
       .arguments = name("hypervisor.name", false),
       .flags = HypervisorFlags("hypervisor."),
       .examples = {"drover hypervisor test esxi1",
                    "drover hypervisor test --url https://10.0.0.2/sdk --user root --ask-password"},
       .run = TestHypervisor},
      {.path = "hypervisor add",
       .summary = "Add an ESXi host or a vCenter.",
       .method = "InventoryService/CreateHypervisor",
       .arguments = {{.name = "NAME",
                      .field = "hypervisor_id",
                      .help = "its name in Drover: small letters, digits, '-'",
                      .required = true}},
       .flags = Required(HypervisorFlags("hypervisor."), {"url", "user", "password"}),
       .examples = {"drover hypervisor add esxi1 --url https://10.0.0.2/sdk --user root",
                    "drover hypervisor add esxi1 --url https://10.0.0.2/sdk --user root "
                    "--password-stdin --fingerprint AA:BB:... < password"},
       .notes = "Without --fingerprint the certificate is shown and asked about. Passwords from "
                "standard "
                "input: one line for\n--password-stdin, the next one for --ssh-password-stdin.",
       .run = AddHypervisor},
      {.path = "hypervisor edit",
       .summary = "Change a hypervisor's address, credentials, certificate or remark.",
       .method = "InventoryService/UpdateHypervisor",
       .arguments = name("hypervisor.name"),
       .flags = HypervisorFlags("hypervisor."),
       .examples = {"drover hypervisor edit esxi1 --ask-password"},
       .done = "hypervisor {} changed",
       .update_of = "hypervisor"},
      {.path = "hypervisor delete",
       .summary = "Forget a hypervisor; nothing changes on it.",
       .method = "InventoryService/DeleteHypervisor",
       .arguments = name("name"),
       .danger = Danger::kConfirm,
       .done = "hypervisor {} forgotten"},
  };
}

std::vector<Command> EnvironmentCommands() {
  const std::vector<Flag> name = {{.name = "ENV",
                                   .field = "name",
                                   .help = "environment",
                                   .required = true,
                                   .collection = "environments"}};
  return {
      {.path = "env list",
       .summary = "List environments.",
       .method = "InventoryService/ListEnvironments",
       .flags = {{.name = "search",
                  .field = "search",
                  .help = "text in name or description",
                  .value = "TEXT"}},
       .empty_hint = "No environments. Deploy one from a file with: drover apply -f env.toml"},
      {.path = "env show",
       .summary = "Show an environment.",
       .method = "InventoryService/GetEnvironment",
       .arguments = name},
      {.path = "env add",
       .summary = "Add an empty environment.",
       .method = "InventoryService/CreateEnvironment",
       .arguments = {{.name = "ENV",
                      .field = "environment_id",
                      .help = "its name: small letters, digits, '-'",
                      .required = true}},
       .flags = {{.name = "title",
                  .field = "environment.display_name",
                  .help = "name for people",
                  .value = "TEXT"},
                 {.name = "description",
                  .field = "environment.description",
                  .help = "free text",
                  .value = "TEXT"}},
       .examples = {"drover env add shop --description \"Shop, production\""},
       .done = "environment {} added"},
      {.path = "env edit",
       .summary = "Change an environment's title or description.",
       .method = "InventoryService/UpdateEnvironment",
       .arguments =
           {{.name = "ENV", .field = "environment.name", .help = "environment", .required = true}},
       .flags = {{.name = "title",
                  .field = "environment.display_name",
                  .help = "name for people",
                  .value = "TEXT"},
                 {.name = "description",
                  .field = "environment.description",
                  .help = "free text",
                  .value = "TEXT"}},
       .done = "environment {} changed",
       .update_of = "environment"},
      {.path = "env delete",
       .summary = "Delete an environment and its VMs on their hypervisors.",
       .method = "InventoryService/DeleteEnvironment",
       .arguments = name,
       .flags = {{.name = "confirm",
                  .field = "confirm",
                  .help = "the environment's name, instead of typing it when asked",
                  .value = "ENV"}},
       .examples = {"drover env delete shop", "drover env delete shop --confirm shop"},
       .run = DeleteEnvironment},
      {.path = "env power",
       .summary = "Power all VMs of environments on or off, or restart them.",
       .method = "InventoryService/PowerEnvironments",
       .arguments = {{.name = "ACTION",
                      .field = "action",
                      .help = "on, off, restart, hard-off, reset",
                      .required = true},
                     {.name = "ENV",
                      .field = "names",
                      .help = "environments, or globs of their names",
                      .required = true}},
       .examples = {"drover env power off shop", "drover env power restart 'test-*'"},
       .notes =
           "restart: running VMs reboot, stopped ones power on. off: the guest is asked first."},
  };
}

std::vector<Command> VmCommands() {
  const Flag vm = {
      .name = "VM", .field = "name", .help = "VM", .required = true, .collection = "vms"};
  const Flag vms = {.name = "VM",
                    .field = "names",
                    .help = "VMs, or globs of their names such as 'shop-web-*'",
                    .required = true};
  return {
      {.path = "vm list",
       .summary = "List VMs.",
       .method = "InventoryService/ListVms",
       .flags = {{.name = "env",
                  .field = "environments",
                  .help = "of this environment",
                  .letter = 'e',
                  .value = "ENV"},
                 {.name = "type",
                  .field = "types",
                  .help = "of this type",
                  .letter = 't',
                  .value = "TYPE"},
                 {.name = "hypervisor",
                  .field = "hypervisors",
                  .help = "on this hypervisor",
                  .value = "NAME"},
                 {.name = "search",
                  .field = "search",
                  .help = "text in name, IP or remark",
                  .value = "TEXT"},
                 {.name = "network", .field = "reachability", .help = "reachability"},
                 {.name = "power", .field = "power", .help = "power"},
                 {.name = "agent", .field = "agent_states", .help = "state of the agent"},
                 {.name = "sort",
                  .field = "order_by",
                  .help =
                      "name, ip, type, environment, power, reachability, agent_state, cpu, memory, "
                      "create_time; \"cpu desc\" reverses",
                  .value = "BY"}},
       .examples = {"drover vm list --env shop --network down",
                    "drover vm list -o wide --sort \"cpu desc\" --limit 10",
                    "drover vm list --columns name,network.gateway,agent_version"},
       .empty_hint = "No VMs. Create one with: drover vm create, or deploy many with: drover apply "
                     "-f env.toml"},
      {.path = "vm show",
       .summary = "Show everything about a VM.",
       .method = "InventoryService/GetVm",
       .arguments = {vm}},
      {.path = "vm create",
       .summary = "Copy a type's template to a new VM and bring it up to a connected agent.",
       .method = "InventoryService/CreateVm",
       .arguments = {{.name = "VM",
                      .field = "vm_id",
                      .help = "its name, also on the hypervisor and as host name",
                      .required = true}},
       .flags =
           {{.name = "type",
             .field = "vm.type",
             .help = "what it is copied from",
             .letter = 't',
             .required = true},
            {.name = "env",
             .field = "vm.environment",
             .help = "environment it joins",
             .letter = 'e',
             .required = true},
            {.name = "ip", .field = "vm.network.ip", .help = "address", .required = true},
            {.name = "netmask",
             .field = "vm.network.netmask",
             .help = "e.g. 255.255.255.0",
             .required = true},
            {.name = "gateway",
             .field = "vm.network.gateway",
             .help = "address of the gateway",
             .value = "IP"},
            {.name = "dns1",
             .field = "vm.network.dns1",
             .help = "first name server",
             .value = "IP"},
            {.name = "dns2",
             .field = "vm.network.dns2",
             .help = "second name server",
             .value = "IP"},
            {.name = "guest-password",
             .field = "guest_password",
             .help = "root's password in the guest",
             .new_secret = true},
            {.name = "hypervisor",
             .field = "vm.hypervisor",
             .help = "where; chosen by free space without",
             .value = "NAME"},
            {.name = "datastore",
             .field = "vm.datastore",
             .help = "the template's without",
             .value = "NAME"},
            {.name = "port-group",
             .field = "vm.port_group",
             .help = "the template's without",
             .value = "NAME"},
            {.name = "cpus", .field = "vm.cpus", .help = "CPUs", .value = "N"},
            {.name = "memory", .field = "vm.memory_mb", .help = "memory, e.g. 4G", .value = "SIZE"},
            {.name = "disk", .field = "vm.disk_gb", .help = "disk, e.g. 40G", .value = "SIZE"},
            {.name = "remark", .field = "vm.remark", .help = "free text", .value = "TEXT"}},
       .examples =
           {"drover vm create web-05 --type web --env shop --ip 10.0.0.15 --netmask 255.255.255.0 "
            "--gateway 10.0.0.1"}},
      {.path = "vm delete",
       .summary = "Delete VMs with their disks.",
       .method = "InventoryService/DeleteVms",
       .arguments = {vms},
       .examples = {"drover vm delete web-05", "drover vm delete 'shop-web-*' --dry-run"},
       .danger = Danger::kConfirm},
      {.path = "vm power",
       .summary = "Power VMs on or off, restart or reset them.",
       .method = "InventoryService/PowerVms",
       .arguments = {{.name = "ACTION",
                      .field = "action",
                      .help = "on, off, restart, hard-off, reset",
                      .required = true},
                     vms},
       .flags = {{.name = "shutdown-deadline",
                  .field = "shutdown_deadline_seconds",
                  .help = "time a guest may take to shut down before it is cut",
                  .value = "TIME"}},
       .examples = {"drover vm power restart web-01 web-02",
                    "drover vm power off 'shop-*' --detach"}},
      {.path = "vm set-hardware",
       .summary = "Change CPUs, memory or disk size.",
       .method = "InventoryService/SetVmHardware",
       .arguments = {vm},
       .flags =
           {{.name = "cpus", .field = "cpus", .help = "CPUs", .value = "N"},
            {.name = "memory", .field = "memory_mb", .help = "memory, e.g. 4G", .value = "SIZE"},
            {.name = "disk",
             .field = "disk_gb",
             .help = "disk, only larger, e.g. 40G",
             .value = "SIZE"}},
       .examples = {"drover vm set-hardware web-01 --memory 4G"}},
      {.path = "vm set-remark",
       .summary = "Change a VM's remark.",
       .method = "InventoryService/UpdateVm",
       .arguments = {{.name = "VM",
                      .field = "vm.name",
                      .help = "VM",
                      .required = true,
                      .collection = "vms"}},
       .flags = {{.name = "remark",
                  .field = "vm.remark",
                  .help = "free text",
                  .value = "TEXT",
                  .required = true}},
       .examples = {"drover vm set-remark web-01 --remark \"disk replaced in May\""},
       .done = "VM {} changed",
       .update_of = "vm"},
      {.path = "vm move",
       .summary = "Put a VM into another environment.",
       .method = "InventoryService/UpdateVm",
       .arguments = {{.name = "VM",
                      .field = "vm.name",
                      .help = "VM",
                      .required = true,
                      .collection = "vms"}},
       .flags = {{.name = "env",
                  .field = "vm.environment",
                  .help = "the environment",
                  .letter = 'e',
                  .required = true}},
       .done = "VM {} moved",
       .update_of = "vm"},
      {.path = "vm unmanaged",
       .summary = "List VMs on the hypervisors that Drover does not manage.",
       .method = "InventoryService/ListUnmanagedVms",
       .flags = {{.name = "hypervisor",
                  .field = "hypervisor",
                  .help = "only on this one",
                  .value = "NAME"}},
       .empty_hint = "Every VM on the hypervisors is managed."},
      {.path = "vm import",
       .summary = "Take an existing VM of a hypervisor into an environment.",
       .method = "InventoryService/ImportVm",
       .arguments = {{.name = "VM",
                      .field = "vm_id",
                      .help = "the name it gets in Drover",
                      .required = true}},
       .flags =
           {{.name = "hypervisor", .field = "hypervisor", .help = "where it is", .required = true},
            {.name = "object",
             .field = "hypervisor_object",
             .help = "its object there, from drover vm unmanaged",
             .required = true},
            {.name = "env",
             .field = "environment",
             .help = "environment it joins",
             .letter = 'e',
             .required = true},
            {.name = "type", .field = "type", .help = "its type", .letter = 't', .required = true},
            {.name = "guest-user",
             .field = "guest_user",
             .help = "account in the guest, to install the agent",
             .value = "NAME"},
            {.name = "guest-password",
             .field = "guest_password",
             .help = "that account's password"}},
       .examples =
           {"drover vm import web-09 --hypervisor esxi1 --object vm-42 --env shop --type web"}},
      {.path = "vm forget",
       .summary = "Forget a VM; it stays as it is on its hypervisor.",
       .method = "InventoryService/ForgetVm",
       .arguments = {vm},
       .danger = Danger::kConfirm,
       .done = "VM {} forgotten"},
  };
}

}  // namespace

std::vector<Command> InventoryCommands() {
  std::vector<Command> commands = HypervisorCommands();
  for (auto make : {EnvironmentCommands, VmCommands}) {
    for (Command& command : make()) commands.push_back(std::move(command));
  }
  return commands;
}

}  // namespace drover::cli
