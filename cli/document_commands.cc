// Environments and types from files: plan, apply, export.
#include <algorithm>
#include <map>
#include <memory>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "cli/call.h"
#include "cli/commands.h"
#include "cli/context_store.h"
#include "cli/documents.h"
#include "cli/fields.h"
#include "drover/v1/inventory.pb.h"
#include "proto/support/resource_name.h"
#include "proto/support/status.h"

namespace drover::cli {
namespace {

// ---- environments

absl::Status ShowEnvironmentPlan(Invocation& invocation, const v1::EnvironmentPlan& plan) {
  if (!invocation.shows_table()) {
    return PrintMessage(invocation.terminal, invocation.output, plan);
  }
  std::map<v1::PlannedVm::Action, int> counts;
  std::vector<const google::protobuf::Message*> rows;
  for (const auto& change : plan.changes()) {
    ++counts[change.action()];
    rows.push_back(&change);
  }
  if (plan.create_environment()) {
    invocation.terminal.Print(absl::StrCat("environment ", IdOf(plan.environment()), " is new\n"));
  }
  if (!rows.empty()) {
    DROVER_RETURN_IF_ERROR(
        PrintRows(invocation.terminal, invocation.output, *v1::PlannedVm::descriptor(), rows));
  }
  for (const std::string& warning : plan.warnings()) invocation.Tell("Warning: " + warning);
  invocation.terminal.Print(absl::StrCat(counts[v1::PlannedVm::ACTION_CREATE], " to create, ",
                                         counts[v1::PlannedVm::ACTION_CHANGE], " to change, ",
                                         counts[v1::PlannedVm::ACTION_DELETE], " to delete, ",
                                         plan.unchanged(), " as they should be\n"));
  return absl::OkStatus();
}

absl::StatusOr<v1::EnvironmentPlan> PlanOf(Invocation& invocation, const EnvironmentFile& file) {
  v1::PlanEnvironmentRequest request;
  *request.mutable_document() = file.document;
  request.set_delete_missing(invocation.arguments.Has("delete-missing"));
  v1::EnvironmentPlan plan;
  const absl::Status planned =
      invocation.client.Call("InventoryService/PlanEnvironment", request, &plan);
  if (!planned.ok()) return InFile(planned, file, "document.");
  return plan;
}

absl::StatusOr<EnvironmentFile> LoadEnvironment(Invocation& invocation) {
  DROVER_ASSIGN_OR_RETURN(const std::string text, ReadDocument(invocation));
  return ParseEnvironment(text, DocumentName(invocation));
}

absl::Status PlanEnvironment(Invocation& invocation) {
  DROVER_ASSIGN_OR_RETURN(const EnvironmentFile file, LoadEnvironment(invocation));
  DROVER_ASSIGN_OR_RETURN(const v1::EnvironmentPlan plan, PlanOf(invocation, file));
  return ShowEnvironmentPlan(invocation, plan);
}

bool Has(const v1::EnvironmentPlan& plan, v1::PlannedVm::Action action) {
  return std::any_of(plan.changes().begin(), plan.changes().end(),
                     [action](const auto& change) { return change.action() == action; });
}

absl::Status ApplyEnvironment(Invocation& invocation) {
  DROVER_ASSIGN_OR_RETURN(EnvironmentFile file, LoadEnvironment(invocation));
  DROVER_ASSIGN_OR_RETURN(const v1::EnvironmentPlan plan, PlanOf(invocation, file));
  const bool nothing = plan.changes().empty() && !plan.create_environment();
  if (invocation.shows_table()) DROVER_RETURN_IF_ERROR(ShowEnvironmentPlan(invocation, plan));
  if (invocation.arguments.Has("dry-run")) {
    return invocation.shows_table() ? absl::OkStatus() : ShowEnvironmentPlan(invocation, plan);
  }
  if (nothing) {
    invocation.Tell("Nothing to do.");
    return invocation.shows_table() ? absl::OkStatus() : ShowEnvironmentPlan(invocation, plan);
  }
  const std::string id = file.document.environment();
  const bool deletes = Has(plan, v1::PlannedVm::ACTION_DELETE);
  DROVER_RETURN_IF_ERROR(ConfirmQuestion(
      invocation,
      absl::StrCat(deletes ? "Apply this, with what it DELETES, to \"" : "Apply this to \"", id,
                   "\"?")));
  v1::ApplyEnvironmentRequest request;
  *request.mutable_document() = file.document;
  request.set_expected_plan_digest(plan.digest());
  request.set_delete_missing(invocation.arguments.Has("delete-missing"));
  for (const Flag& flag : invocation.command.flags) {
    if (flag.kind != Flag::Kind::kSecret) continue;
    DROVER_ASSIGN_OR_RETURN(const std::string password, ReadSecret(invocation, flag));
    request.mutable_document()->set_guest_password(password);
  }
  v1::Operation operation;
  const absl::Status started =
      invocation.client.Call("InventoryService/ApplyEnvironment", request, &operation);
  if (!started.ok()) return InFile(started, file, "document.");
  return FinishOperation(invocation, operation);
}

absl::Status Export(Invocation& invocation) {
  v1::ExportEnvironmentRequest request;
  DROVER_RETURN_IF_ERROR(FillRequest(invocation, &request));
  v1::EnvironmentDocument document;
  DROVER_RETURN_IF_ERROR(invocation.client.Call(invocation.command.method, request, &document));
  if (invocation.output.format == Format::kJson || invocation.output.format == Format::kYaml) {
    return PrintMessage(invocation.terminal, invocation.output, document);
  }
  invocation.terminal.Print(WriteEnvironment(document));
  return absl::OkStatus();
}

// ---- types

absl::StatusOr<TypesFile> LoadTypes(Invocation& invocation) {
  DROVER_ASSIGN_OR_RETURN(const std::string text, ReadDocument(invocation));
  return ParseTypes(text, DocumentName(invocation));
}

// The password of --guest-password-stdin is that of every type of the file that names no file of
// its own.
absl::Status FillPasswords(Invocation& invocation, TypesFile& file) {
  for (const Flag& flag : invocation.command.flags) {
    if (flag.kind != Flag::Kind::kSecret) continue;
    DROVER_ASSIGN_OR_RETURN(const std::string password, ReadSecret(invocation, flag));
    for (v1::VmType& type : file.types) {
      if (!password.empty() && type.guest_password().empty()) type.set_guest_password(password);
    }
  }
  return absl::OkStatus();
}

// All fields a file can hold: what it does not name becomes empty.
google::protobuf::FieldMask WholeType(const v1::VmType& type) {
  google::protobuf::FieldMask mask;
  for (int i = 0; i < v1::VmType::descriptor()->field_count(); ++i) {
    const auto& field = *v1::VmType::descriptor()->field(i);
    if (field.options().GetExtension(v1::output_only) || field.name() == "name") continue;
    // A password that is not given stays.
    if (field.options().GetExtension(v1::secret) && type.guest_password().empty()) continue;
    mask.add_paths(field.name());
  }
  return mask;
}

absl::Status SaveType(Invocation& invocation, const v1::VmType& type, bool exists,
                      v1::VmType* saved) {
  if (exists) {
    v1::UpdateTypeRequest request;
    *request.mutable_type() = type;
    *request.mutable_update_mask() = WholeType(type);
    return invocation.client.Call("InventoryService/UpdateType", request, saved);
  }
  v1::CreateTypeRequest request;
  request.set_type_id(std::string(IdOf(type.name())));
  *request.mutable_type() = type;
  request.mutable_type()->clear_name();
  return invocation.client.Call("InventoryService/CreateType", request, saved);
}

// All types of a file. Everything is looked at before the first is written.
absl::Status SaveTypes(Invocation& invocation, bool may_create, bool may_change) {
  DROVER_ASSIGN_OR_RETURN(TypesFile file, LoadTypes(invocation));
  DROVER_RETURN_IF_ERROR(FillPasswords(invocation, file));
  DROVER_ASSIGN_OR_RETURN(const std::vector<std::string> known,
                          NamesIn(invocation.client, "types"));
  std::vector<std::string> wrong;
  std::vector<bool> exists;
  for (const v1::VmType& type : file.types) {
    exists.push_back(std::find(known.begin(), known.end(), type.name()) != known.end());
    if (exists.back() ? !may_change : !may_create) wrong.push_back(std::string(IdOf(type.name())));
  }
  if (!wrong.empty() && !may_change) {
    return absl::AlreadyExistsError(
        absl::StrCat(absl::StrJoin(wrong, ", "),
                     ": there already; change with: drover type edit -f ", file.path));
  }
  if (!wrong.empty()) {
    return absl::NotFoundError(absl::StrCat("no type of this name: ", absl::StrJoin(wrong, ", "),
                                            "; add with: drover type add -f ", file.path));
  }
  std::vector<std::string> done;
  for (size_t i = 0; i < file.types.size(); ++i) {
    v1::VmType saved;
    absl::Status status = SaveType(invocation, file.types[i], exists[i], &saved);
    if (!status.ok()) {
      status = Annotate(InFile(status, file, "type.", absl::StrCat("types[", i, "].")),
                        absl::StrCat("type ", IdOf(file.types[i].name())));
      return done.empty() ? status
                          : Annotate(status, absl::StrCat("saved: ", absl::StrJoin(done, ", "),
                                                          "; not saved"));
    }
    done.push_back(std::string(IdOf(saved.name())));
    if (invocation.shows_table()) {
      invocation.terminal.Print(
          absl::StrCat("type ", done.back(), exists[i] ? " changed\n" : " added\n"));
    } else {
      DROVER_RETURN_IF_ERROR(PrintMessage(invocation.terminal, invocation.output, saved));
    }
  }
  return absl::OkStatus();
}

absl::Status AddTypes(Invocation& invocation) {
  return SaveTypes(invocation, true, invocation.arguments.Has("update"));
}
absl::Status EditTypes(Invocation& invocation) { return SaveTypes(invocation, false, true); }

absl::Status ShowType(Invocation& invocation) {
  if (invocation.output.format != Format::kToml) return RunCall(invocation);
  v1::GetTypeRequest request;
  DROVER_RETURN_IF_ERROR(FillRequest(invocation, &request));
  v1::VmType type;
  DROVER_RETURN_IF_ERROR(invocation.client.Call(invocation.command.method, request, &type));
  invocation.terminal.Print(WriteTypes({type}));
  return absl::OkStatus();
}

Flag FileFlag(const char* help) {
  return {.name = "file", .help = help, .letter = 'f', .value = "FILE", .required = true};
}

const Flag& DeleteMissingFlag() {
  static const auto* const flag = new Flag{.name = "delete-missing",
                                           .help = "also delete VMs that the file does not name",
                                           .kind = Flag::Kind::kSwitch};
  return *flag;
}

constexpr char kEnvironmentExample[] =
    "A file:\n"
    "  environment = \"shop\"\n"
    "  address_pool = [\"10.0.0.10-10.0.0.99\"]\n"
    "  [network]\n"
    "  netmask = \"255.255.255.0\"\n"
    "  gateway = \"10.0.0.1\"\n"
    "  [[group]]\n"
    "  type = \"web\"\n"
    "  count = 4";

constexpr char kTypeExample[] =
    "A file:\n"
    "  [[type]]\n"
    "  name = \"web\"\n"
    "  template = \"debian12\"\n"
    "  guest_user = \"root\"\n"
    "  guest_password_file = \"guest.password\"   # mode 0600\n"
    "  [[type.service]]\n"
    "  name = \"nginx\"\n"
    "  exe = \"/usr/sbin/nginx\"\n"
    "  start_command = \"systemctl start nginx\"";

std::vector<Command> EnvironmentFileCommands() {
  const Command plan = {
      .summary = "Show what an environment file would change; change nothing.",
      .flags = {FileFlag("environment file; - is standard input"), DeleteMissingFlag()},
      .notes = kEnvironmentExample,
      .run = PlanEnvironment};
  const Command apply = {
      .summary = "Make an environment as its file says: create what is missing, in parallel.",
      .flags = {FileFlag("environment file; - is standard input"),
                DeleteMissingFlag(),
                {.name = "guest-password",
                 .help = "root's password in the new VMs",
                 .kind = Flag::Kind::kSecret,
                 .new_secret = true},
                {.name = "dry-run",
                 .help = "show the plan; change nothing",
                 .kind = Flag::Kind::kSwitch},
                {.name = "yes", .help = "do not ask", .letter = 'y', .kind = Flag::Kind::kSwitch}},
      .notes = kEnvironmentExample,
      .run = ApplyEnvironment,
      .waits = true};
  std::vector<Command> commands;
  for (const char* prefix : {"", "env "}) {
    Command one = plan;
    one.path = absl::StrCat(prefix, "plan");
    one.examples = {absl::StrCat("drover ", one.path, " -f env.toml")};
    commands.push_back(one);
    one = apply;
    one.path = absl::StrCat(prefix, "apply");
    one.examples = {absl::StrCat("drover ", one.path, " -f env.toml"),
                    absl::StrCat("drover ", one.path, " -f env.toml --yes --timeout 30m")};
    commands.push_back(one);
  }
  commands.push_back(
      {.path = "env export",
       .summary = "Write the file that describes an environment.",
       .method = "InventoryService/ExportEnvironment",
       .arguments = {{.name = "ENV", .field = "name", .help = "environment", .required = true}},
       .examples = {"drover env export shop > shop.toml"},
       .run = Export});
  return commands;
}

std::vector<Command> TypeCommands() {
  const std::vector<Flag> name = {
      {.name = "TYPE", .field = "name", .help = "type", .required = true}};
  const Flag password = {.name = "guest-password",
                         .help = "password of the template's guest account",
                         .kind = Flag::Kind::kSecret};
  return {
      {.path = "type list",
       .summary = "List types.",
       .method = "InventoryService/ListTypes",
       .empty_hint = "No types. Add them from a file with: drover type add -f types.toml"},
      {.path = "type show",
       .summary = "Show a type; with -o toml as the file it can be edited from.",
       .method = "InventoryService/GetType",
       .arguments = name,
       .examples = {"drover type show web -o toml > web.toml"},
       .run = ShowType},
      {.path = "type add",
       .summary = "Add the types of a file.",
       .flags = {FileFlag("file of types; - is standard input"),
                 password,
                 {.name = "update",
                  .help = "change those that are there already",
                  .kind = Flag::Kind::kSwitch}},
       .examples = {"drover type add -f types.toml"},
       .notes = kTypeExample,
       .run = AddTypes},
      {.path = "type edit",
       .summary = "Make types as their file says; running agents follow by themselves.",
       .flags = {FileFlag("file of types; - is standard input"), password},
       .examples = {"drover type edit -f types.toml"},
       .notes = kTypeExample,
       .run = EditTypes},
      {.path = "type delete",
       .summary = "Delete a type that no VM has.",
       .method = "InventoryService/DeleteType",
       .arguments = name,
       .danger = Danger::kConfirm,
       .done = "type {} deleted"},
  };
}

}  // namespace

std::vector<Command> DocumentCommands() {
  std::vector<Command> commands = TypeCommands();
  for (Command& command : EnvironmentFileCommands()) commands.push_back(std::move(command));
  return commands;
}

}  // namespace drover::cli
