// Hypervisors, types and environments of the inventory.
#include <algorithm>
#include <utility>

#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/strip.h"
#include "controller/core/inventory.h"
#include "controller/core/paging.h"
#include "controller/core/resource_rules.h"
#include "proto/support/json.h"
#include "proto/support/resource_name.h"
#include "proto/support/status.h"
#include "proto/support/time.h"

namespace drover::core {
namespace {

using drover::v1::Environment;
using drover::v1::VmType;
using google::protobuf::FieldMask;

absl::Status CheckId(absl::string_view id, absl::string_view field) {
  if (IsValidId(id)) return absl::OkStatus();
  return InvalidField(
      field, absl::StrCat("\"", id, "\" is not an id: 1 to 63 lower-case letters, ",
                          "digits and '-', beginning and ending with a letter or ", "digit"));
}

std::string HypervisorPurpose(absl::string_view name) { return absl::StrCat("hypervisor:", name); }
std::string TypePurpose(absl::string_view name) { return absl::StrCat("type:", name); }

// Same host, same door.
std::string NormalUrl(absl::string_view url) {
  std::string normal = absl::AsciiStrToLower(url);
  absl::string_view view = normal;
  while (absl::ConsumeSuffix(&view, "/")) {
  }
  absl::ConsumeSuffix(&view, "/sdk");
  absl::ConsumeSuffix(&view, ":443");
  return std::string(view);
}

v1::Hypervisor DurableHypervisor(const v1::Hypervisor& hypervisor) {
  v1::Hypervisor durable = hypervisor;
  ClearSecrets(&durable);
  durable.clear_state();
  durable.clear_state_reason();
  durable.clear_copy_method();
  durable.clear_copy_refusal();
  durable.clear_datastores();
  durable.clear_networks();
  durable.clear_templates();
  durable.clear_vm_count();
  return durable;
}

VmType DurableType(const VmType& type) {
  VmType durable = type;
  ClearSecrets(&durable);
  durable.clear_vm_count();
  return durable;
}

// One page of `items`, which stand by name, into `add`; the token of the next page comes back.
template <typename Item>
absl::StatusOr<std::string> AddPage(const std::vector<Item>& items, absl::string_view scope,
                                    int32_t page_size, absl::string_view page_token,
                                    absl::FunctionRef<void(const Item&)> add) {
  DROVER_ASSIGN_OR_RETURN(int limit, PageSize(page_size, kUsualPage));
  std::string after;
  if (!page_token.empty()) {
    DROVER_ASSIGN_OR_RETURN(std::vector<std::string> place, ParsePageToken(page_token, scope, 1));
    after = place[0];
  }
  int added = 0;
  absl::string_view last;
  for (const Item& item : items) {
    if (!after.empty() && item.name() <= after) continue;
    if (added++ == limit) return MakePageToken(scope, {std::string(last)});
    add(item);
    last = item.name();
  }
  return "";
}

int CountOf(const std::map<std::string, VmCounts>& counts, const std::string& name) {
  auto found = counts.find(name);
  return found == counts.end() ? 0 : found->second.total;
}

void FillCounts(const VmTotals& totals, Environment& environment) {
  auto found = totals.by_environment.find(environment.name());
  VmCounts counts = found == totals.by_environment.end() ? VmCounts() : found->second;
  environment.set_vm_count(counts.total);
  environment.set_vms_up(counts.up);
  environment.set_health(HealthOf(counts));
}

}  // namespace

absl::Status Inventory::PutRecord(Table table, absl::string_view name,
                                  const google::protobuf::Message& record) {
  Document document{std::string(name), "", record.SerializeAsString()};
  return store_->Write([&](StoreWriter& writer) { return writer.Put(table, document); });
}

absl::Status Inventory::RemoveResource(Table table, absl::string_view name,
                                       absl::string_view reason) {
  std::string user = vms_.BeginRemoval(name);
  if (!user.empty()) {
    return MakeError(absl::StatusCode::kFailedPrecondition, reason,
                     absl::StrCat(name, " is in use, by VM ", IdOf(user), " at least"),
                     {{"vm", user}});
  }
  absl::Status removed =
      store_->Write([&](StoreWriter& writer) { return writer.Delete(table, name); });
  if (removed.ok() && table == Table::kHypervisors) hypervisors_.Erase(name);
  if (removed.ok() && table == Table::kTypes) types_.Erase(name);
  if (removed.ok() && table == Table::kEnvironments) environments_.Erase(name);
  vms_.EndRemoval(name);
  return removed;
}

// ---------------------------------------------------------------- hypervisors

absl::StatusOr<v1::Hypervisor> Inventory::GetHypervisor(absl::string_view name) const {
  auto record = hypervisors_.Find(name);
  if (record == nullptr) return NoResource("HYPERVISOR_NOT_FOUND", "hypervisor", name);
  return record->hypervisor();
}

absl::StatusOr<v1::Hypervisor> Inventory::DescribeHypervisor(absl::string_view name) const {
  DROVER_ASSIGN_OR_RETURN(v1::Hypervisor hypervisor, GetHypervisor(name));
  hypervisor.set_vm_count(CountOf(CountVms(*vms_.Snapshot()).by_hypervisor, hypervisor.name()));
  return hypervisor;
}

std::vector<v1::Hypervisor> Inventory::Hypervisors() const {
  VmTotals totals = CountVms(*vms_.Snapshot());
  std::vector<v1::Hypervisor> hypervisors;
  for (const auto& record : hypervisors_.All()) {
    hypervisors.push_back(record->hypervisor());
    hypervisors.back().set_vm_count(CountOf(totals.by_hypervisor, record->hypervisor().name()));
  }
  return hypervisors;
}

absl::StatusOr<drover::v1::ListHypervisorsResponse> Inventory::ListHypervisors(
    const drover::v1::ListHypervisorsRequest& request) const {
  drover::v1::ListHypervisorsResponse response;
  DROVER_ASSIGN_OR_RETURN(
      std::string token,
      AddPage<v1::Hypervisor>(
          Hypervisors(), "hypervisors", request.page_size(), request.page_token(),
          [&](const v1::Hypervisor& item) { *response.add_hypervisors() = item; }));
  response.set_next_page_token(token);
  return response;
}

absl::StatusOr<HypervisorSecrets> Inventory::SecretsOfHypervisor(absl::string_view name) const {
  auto record = hypervisors_.Find(name);
  if (record == nullptr) return NoResource("HYPERVISOR_NOT_FOUND", "hypervisor", name);
  HypervisorSecrets secrets;
  if (!record->sealed_secrets().empty()) {
    DROVER_RETURN_IF_ERROR(
        UnsealMessage(record->sealed_secrets(), HypervisorPurpose(name), secrets));
  }
  return secrets;
}

absl::StatusOr<v1::Hypervisor> Inventory::StoreHypervisor(v1::Hypervisor hypervisor) {
  Violations violations;
  CheckHypervisor(hypervisor, "hypervisor", violations);
  DROVER_RETURN_IF_ERROR(violations.ToStatus());
  for (const auto& other : hypervisors_.All()) {
    if (other->hypervisor().name() != hypervisor.name() &&
        NormalUrl(other->hypervisor().url()) == NormalUrl(hypervisor.url())) {
      return MakeError(
          absl::StatusCode::kAlreadyExists, "URL_TAKEN",
          absl::StrCat(hypervisor.url(), " is already known as ", IdOf(other->hypervisor().name())),
          {{"holder", other->hypervisor().name()}});
    }
  }
  HypervisorSecrets secrets;
  secrets.set_password(hypervisor.password());
  secrets.set_ssh_password(hypervisor.ssh().password());
  HypervisorRecord record;
  DROVER_ASSIGN_OR_RETURN(*record.mutable_sealed_secrets(),
                          SealMessage(secrets, HypervisorPurpose(hypervisor.name())));
  *record.mutable_hypervisor() = DurableHypervisor(hypervisor);
  DROVER_RETURN_IF_ERROR(PutRecord(Table::kHypervisors, hypervisor.name(), record));
  ClearSecrets(&hypervisor);
  *record.mutable_hypervisor() = hypervisor;
  hypervisors_.Put(hypervisor.name(), std::move(record));
  return hypervisor;
}

absl::StatusOr<v1::Hypervisor> Inventory::AddHypervisor(absl::string_view id,
                                                        const v1::Hypervisor& hypervisor) {
  DROVER_RETURN_IF_ERROR(CheckId(id, "hypervisor_id"));
  v1::Hypervisor added = hypervisor;
  added.set_name(ResourceName("hypervisors", id));
  *added.mutable_create_time() = ToProto(clock_->Now());
  {
    Turn turn(turns_, "hypervisors");
    if (hypervisors_.Find(added.name()) != nullptr) {
      return MakeError(absl::StatusCode::kAlreadyExists, "HYPERVISOR_EXISTS",
                       absl::StrCat("a hypervisor ", id, " exists; choose another id"));
    }
    DROVER_ASSIGN_OR_RETURN(added, StoreHypervisor(std::move(added)));
  }
  Tell(added.name(), false);
  return DescribeHypervisor(added.name());
}

absl::StatusOr<v1::Hypervisor> Inventory::PreviewHypervisor(const v1::Hypervisor& hypervisor,
                                                            const FieldMask& mask) const {
  auto record = hypervisors_.Find(hypervisor.name());
  if (record == nullptr) return NoResource("HYPERVISOR_NOT_FOUND", "hypervisor", hypervisor.name());
  const v1::Hypervisor& before = record->hypervisor();
  v1::Hypervisor after = before;
  DROVER_RETURN_IF_ERROR(ApplyUpdate(hypervisor, mask, after));
  DROVER_ASSIGN_OR_RETURN(HypervisorSecrets secrets, SecretsOfHypervisor(hypervisor.name()));
  Violations violations;
  if (after.password().empty()) {
    bool same = NormalUrl(after.url()) == NormalUrl(before.url()) && after.user() == before.user();
    if (same) {
      after.set_password(secrets.password());
    } else {
      violations.Add("hypervisor.password", "is required with another url or user");
    }
  }
  if (after.has_ssh() && after.ssh().password().empty() && !secrets.ssh_password().empty()) {
    bool same = after.ssh().address() == before.ssh().address() &&
                after.ssh().user() == before.ssh().user() &&
                NormalUrl(after.url()) == NormalUrl(before.url());
    if (same) {
      after.mutable_ssh()->set_password(secrets.ssh_password());
    } else {
      violations.Add("hypervisor.ssh.password", "is required with another address or user");
    }
  }
  DROVER_RETURN_IF_ERROR(violations.ToStatus());
  return after;
}

absl::StatusOr<v1::Hypervisor> Inventory::UpdateHypervisor(const v1::Hypervisor& hypervisor,
                                                           const FieldMask& mask) {
  {
    Turn turn(turns_, "hypervisors");
    DROVER_ASSIGN_OR_RETURN(v1::Hypervisor after, PreviewHypervisor(hypervisor, mask));
    DROVER_ASSIGN_OR_RETURN(after, StoreHypervisor(std::move(after)));
  }
  Tell(hypervisor.name(), false);
  return DescribeHypervisor(hypervisor.name());
}

absl::Status Inventory::ChangeHypervisor(absl::string_view name,
                                         absl::FunctionRef<void(v1::Hypervisor&)> change) {
  {
    Turn turn(turns_, "hypervisors");
    auto before = hypervisors_.Find(name);
    if (before == nullptr) return NoResource("HYPERVISOR_NOT_FOUND", "hypervisor", name);
    HypervisorRecord after = *before;
    change(*after.mutable_hypervisor());
    after.mutable_hypervisor()->set_name(std::string(name));
    ClearSecrets(after.mutable_hypervisor());
    if (after.SerializeAsString() == before->SerializeAsString()) return absl::OkStatus();
    HypervisorRecord durable = after;
    *durable.mutable_hypervisor() = DurableHypervisor(after.hypervisor());
    if (durable.hypervisor().SerializeAsString() !=
        DurableHypervisor(before->hypervisor()).SerializeAsString()) {
      DROVER_RETURN_IF_ERROR(PutRecord(Table::kHypervisors, name, durable));
    }
    hypervisors_.Put(name, std::move(after));
  }
  Tell(name, false);
  return absl::OkStatus();
}

absl::Status Inventory::RemoveHypervisor(absl::string_view name) {
  {
    Turn turn(turns_, "hypervisors");
    if (hypervisors_.Find(name) == nullptr) {
      return NoResource("HYPERVISOR_NOT_FOUND", "hypervisor", name);
    }
    DROVER_RETURN_IF_ERROR(RemoveResource(Table::kHypervisors, name, "HYPERVISOR_IN_USE"));
  }
  Tell(name, true);
  return absl::OkStatus();
}

// ---------------------------------------------------------------- types

absl::StatusOr<VmType> Inventory::GetType(absl::string_view name) const {
  auto record = types_.Find(name);
  if (record == nullptr) return NoResource("TYPE_NOT_FOUND", "type", name);
  return record->type();
}

absl::StatusOr<VmType> Inventory::DescribeType(absl::string_view name) const {
  DROVER_ASSIGN_OR_RETURN(VmType type, GetType(name));
  type.set_vm_count(CountOf(CountVms(*vms_.Snapshot()).by_type, type.name()));
  return type;
}

std::vector<VmType> Inventory::Types() const {
  VmTotals totals = CountVms(*vms_.Snapshot());
  std::vector<VmType> types;
  for (const auto& record : types_.All()) {
    types.push_back(record->type());
    types.back().set_vm_count(CountOf(totals.by_type, record->type().name()));
  }
  return types;
}

absl::StatusOr<drover::v1::ListTypesResponse> Inventory::ListTypes(
    const drover::v1::ListTypesRequest& request) const {
  drover::v1::ListTypesResponse response;
  DROVER_ASSIGN_OR_RETURN(
      std::string token,
      AddPage<VmType>(Types(), "types", request.page_size(), request.page_token(),
                      [&](const VmType& item) { *response.add_types() = item; }));
  response.set_next_page_token(token);
  return response;
}

absl::flat_hash_set<std::string> Inventory::TemplateNames() const {
  absl::flat_hash_set<std::string> names;
  for (const auto& record : types_.All()) names.insert(record->type().template_());
  return names;
}

absl::StatusOr<TypeSecrets> Inventory::SecretsOfType(absl::string_view name) const {
  auto record = types_.Find(name);
  if (record == nullptr) return NoResource("TYPE_NOT_FOUND", "type", name);
  TypeSecrets secrets;
  if (!record->sealed_secrets().empty()) {
    DROVER_RETURN_IF_ERROR(UnsealMessage(record->sealed_secrets(), TypePurpose(name), secrets));
  }
  return secrets;
}

absl::StatusOr<VmType> Inventory::TypeWithSecrets(absl::string_view name) const {
  auto record = types_.Find(name);
  if (record == nullptr) return NoResource("TYPE_NOT_FOUND", "type", name);
  VmType type = record->type();
  DROVER_ASSIGN_OR_RETURN(TypeSecrets secrets, SecretsOfType(name));
  type.set_guest_password(secrets.guest_password());
  for (auto& copy : *type.mutable_working_copies()) {
    auto password = secrets.svn_passwords().find(copy.id());
    if (password != secrets.svn_passwords().end()) copy.set_password(password->second);
  }
  return type;
}

absl::StatusOr<VmType> Inventory::StoreType(VmType type) {
  Violations violations;
  CheckType(type, "type", violations);
  DROVER_RETURN_IF_ERROR(violations.ToStatus());
  TypeSecrets secrets;
  secrets.set_guest_password(type.guest_password());
  for (const auto& copy : type.working_copies()) {
    if (!copy.password().empty()) (*secrets.mutable_svn_passwords())[copy.id()] = copy.password();
  }
  TypeRecord record;
  DROVER_ASSIGN_OR_RETURN(*record.mutable_sealed_secrets(),
                          SealMessage(secrets, TypePurpose(type.name())));
  *record.mutable_type() = DurableType(type);
  DROVER_RETURN_IF_ERROR(PutRecord(Table::kTypes, type.name(), record));
  type = record.type();
  types_.Put(type.name(), std::move(record));
  return type;
}

absl::StatusOr<VmType> Inventory::AddType(absl::string_view id, const VmType& type) {
  DROVER_RETURN_IF_ERROR(CheckId(id, "type_id"));
  VmType added = type;
  added.set_name(ResourceName("types", id));
  *added.mutable_create_time() = ToProto(clock_->Now());
  // Seconds, so that a type that is made again under its old name does not count from an earlier
  // number than agents have seen.
  added.set_generation(absl::ToUnixSeconds(clock_->Now()));
  {
    Turn turn(turns_, "types");
    if (types_.Find(added.name()) != nullptr) {
      return MakeError(absl::StatusCode::kAlreadyExists, "TYPE_EXISTS",
                       absl::StrCat("a type ", id, " exists; choose another id"));
    }
    DROVER_ASSIGN_OR_RETURN(added, StoreType(std::move(added)));
  }
  Tell(added.name(), false);
  return added;
}

absl::StatusOr<VmType> Inventory::UpdateType(const VmType& type, const FieldMask& mask) {
  {
    Turn turn(turns_, "types");
    DROVER_ASSIGN_OR_RETURN(VmType before, TypeWithSecrets(type.name()));
    VmType after = before;
    DROVER_RETURN_IF_ERROR(ApplyUpdate(type, mask, after));
    if (after.guest_password().empty()) after.set_guest_password(before.guest_password());
    for (auto& copy : *after.mutable_working_copies()) {
      for (const auto& old : before.working_copies()) {
        // A password stays with the account and repository it was given for.
        bool same = old.id() == copy.id() && old.url() == copy.url() && old.user() == copy.user();
        if (same && copy.password().empty()) copy.set_password(old.password());
      }
    }
    VmType old_services, new_services;
    *old_services.mutable_services() = before.services();
    *new_services.mutable_services() = after.services();
    if (old_services.SerializeAsString() != new_services.SerializeAsString()) {
      after.set_generation(std::max(before.generation() + 1, absl::ToUnixSeconds(clock_->Now())));
    }
    DROVER_ASSIGN_OR_RETURN(after, StoreType(std::move(after)));
  }
  Tell(type.name(), false);
  return DescribeType(type.name());
}

absl::Status Inventory::RemoveType(absl::string_view name) {
  {
    Turn turn(turns_, "types");
    if (types_.Find(name) == nullptr) return NoResource("TYPE_NOT_FOUND", "type", name);
    DROVER_RETURN_IF_ERROR(RemoveResource(Table::kTypes, name, "TYPE_IN_USE"));
  }
  Tell(name, true);
  return absl::OkStatus();
}

// ---------------------------------------------------------------- environments

absl::StatusOr<Environment> Inventory::GetEnvironment(absl::string_view name) const {
  auto record = environments_.Find(name);
  if (record == nullptr) return NoResource("ENVIRONMENT_NOT_FOUND", "environment", name);
  return *record;
}

absl::StatusOr<Environment> Inventory::DescribeEnvironment(absl::string_view name) const {
  DROVER_ASSIGN_OR_RETURN(Environment environment, GetEnvironment(name));
  FillCounts(CountVms(*vms_.Snapshot()), environment);
  return environment;
}

absl::StatusOr<drover::v1::ListEnvironmentsResponse> Inventory::ListEnvironments(
    const drover::v1::ListEnvironmentsRequest& request) const {
  const std::string search = absl::AsciiStrToLower(request.search());
  std::vector<Environment> matches;
  for (const auto& record : environments_.All()) {
    std::string text = absl::AsciiStrToLower(absl::StrCat(
        IdOf(record->name()), "\n", record->display_name(), "\n", record->description()));
    if (absl::StrContains(text, search)) matches.push_back(*record);
  }
  VmTotals totals = CountVms(*vms_.Snapshot());
  drover::v1::ListEnvironmentsResponse response;
  response.set_total_size(static_cast<int>(matches.size()));
  DROVER_ASSIGN_OR_RETURN(
      std::string token,
      AddPage<Environment>(matches, absl::StrCat("environments", search), request.page_size(),
                           request.page_token(), [&](const Environment& item) {
                             Environment* environment = response.add_environments();
                             *environment = item;
                             FillCounts(totals, *environment);
                           }));
  response.set_next_page_token(token);
  return response;
}

absl::StatusOr<Environment> Inventory::AddEnvironment(absl::string_view id,
                                                      const Environment& environment) {
  DROVER_RETURN_IF_ERROR(CheckId(id, "environment_id"));
  Environment added;
  added.set_name(ResourceName("environments", id));
  added.set_display_name(environment.display_name());
  added.set_description(environment.description());
  *added.mutable_create_time() = ToProto(clock_->Now());
  {
    Turn turn(turns_, "environments");
    if (environments_.Find(added.name()) != nullptr) {
      return MakeError(absl::StatusCode::kAlreadyExists, "ENVIRONMENT_EXISTS",
                       absl::StrCat("an environment ", id, " exists; choose another id"));
    }
    DROVER_RETURN_IF_ERROR(PutRecord(Table::kEnvironments, added.name(), added));
    environments_.Put(added.name(), added);
  }
  Tell(added.name(), false);
  return DescribeEnvironment(added.name());
}

absl::StatusOr<Environment> Inventory::UpdateEnvironment(const Environment& environment,
                                                         const FieldMask& mask) {
  {
    Turn turn(turns_, "environments");
    auto before = environments_.Find(environment.name());
    if (before == nullptr) {
      return NoResource("ENVIRONMENT_NOT_FOUND", "environment", environment.name());
    }
    Environment after = *before;
    DROVER_RETURN_IF_ERROR(ApplyUpdate(environment, mask, after));
    DROVER_RETURN_IF_ERROR(PutRecord(Table::kEnvironments, after.name(), after));
    environments_.Put(after.name(), after);
  }
  Tell(environment.name(), false);
  return DescribeEnvironment(environment.name());
}

absl::Status Inventory::RemoveEnvironment(absl::string_view name) {
  {
    Turn turn(turns_, "environments");
    if (environments_.Find(name) == nullptr) {
      return NoResource("ENVIRONMENT_NOT_FOUND", "environment", name);
    }
    DROVER_RETURN_IF_ERROR(RemoveResource(Table::kEnvironments, name, "ENVIRONMENT_IN_USE"));
  }
  Tell(name, true);
  return absl::OkStatus();
}

}  // namespace drover::core
