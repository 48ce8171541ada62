#include "controller/vsphere/host_facts.h"

#include <algorithm>
#include <utility>
#include <vector>

#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "controller/vsphere/clone_plan.h"
#include "controller/vsphere/inventory_sync.h"
#include "proto/support/status.h"

namespace drover::vsphere {
namespace {

// Edition keys of free hosts: of 7 and 8, of 6, and of what came before.
constexpr absl::string_view kFreeEditions[] = {"esx.hypervisor", "esxBasic"};

Licence ReadLicenceInfo(pugi::xml_node info) {
  Licence licence;
  licence.name = std::string(TextAt(info, "name"));
  licence.edition = std::string(TextAt(info, "editionKey"));
  for (pugi::xml_node property : info.children("properties")) {
    if (TextAt(property, "key") != "expirationMinutes") continue;
    licence.seconds_left = IntAt(property, "value") * 60;
  }
  return licence;
}

void AddPlaces(const Objects& objects, core::HostFacts& facts) {
  objects.ForEach([&](const ObjectView& object) {
    std::string type = object.ref().type;
    if (type == "Datastore") {
      pugi::xml_node summary = object.Property("summary");
      auto* datastore = facts.add_datastores();
      datastore->set_name(UnescapeName(object.TextOf("name")));
      datastore->set_capacity_bytes(IntAt(summary, "capacity"));
      datastore->set_free_bytes(IntAt(summary, "freeSpace"));
      datastore->set_accessible(IsTrue(summary.child("accessible")));
    } else if (type != "VirtualMachine") {
      facts.add_networks(UnescapeName(object.TextOf("name")));
    }
  });
}

void AddTemplate(const TemplateHardware& hardware, core::HostFacts& facts) {
  auto* one = facts.add_templates();
  one->set_name(hardware.name);
  one->set_cpus(hardware.cpus);
  one->set_memory_mb(static_cast<int>(hardware.memory_mb));
  one->set_disk_gb(DiskGb(hardware.devices));
  one->set_datastore(std::string(DatastoreOfPath(hardware.vm_path)));
  if (!hardware.devices.adapters.empty()) {
    one->set_port_group(hardware.devices.adapters[0].network);
  }
  one->set_disk_bytes(DiskBytes(hardware.devices));
  one->set_guest_os(hardware.guest_id);
}

// Only what can be a template is read in full: off, and not ours unless somebody made it one.
absl::Status AddTemplates(VimClient& client, const Objects& objects, core::HostFacts& facts,
                          std::stop_token stop) {
  std::vector<MoRef> candidates;
  objects.ForEach([&](const ObjectView& vm) {
    MoRef ref = vm.ref();
    if (ref.type != "VirtualMachine" || vm.Property("snapshot")) return;
    if (vm.TextOf("runtime.powerState") != "poweredOff") return;
    const bool ours = !UidOfNotes(vm.TextOf("config.annotation")).empty();
    if (ours && !IsTrue(vm.Property("config.template"))) return;
    candidates.push_back(std::move(ref));
  });
  if (candidates.empty()) return absl::OkStatus();
  auto details =
      client.Retrieve(ObjectsSpec({{"VirtualMachine", TemplatePaths()}}, candidates), stop);
  // One that went meanwhile fails the whole call; the next look shows the rest.
  if (IsFault(details.status(), "ManagedObjectNotFound")) return absl::OkStatus();
  DROVER_RETURN_IF_ERROR(details.status());
  details->ForEach([&](const ObjectView& object) {
    TemplateHardware hardware = ReadTemplate(object);
    if (CheckTemplate(hardware, {}, "").ok()) AddTemplate(hardware, facts);
  });
  return absl::OkStatus();
}

}  // namespace

bool RefusesChanges(const Licence& licence) {
  if (licence.edition == "eval") return licence.seconds_left == 0;
  return std::any_of(std::begin(kFreeEditions), std::end(kFreeEditions),
                     [&](absl::string_view key) { return absl::StartsWith(licence.edition, key); });
}

CopyWay ChooseWay(bool is_vcenter, const Licence& licence, bool has_shell,
                  const std::string& host) {
  if (is_vcenter) return {drover::v1::COPY_METHOD_CLONE, ""};
  if (!RefusesChanges(licence)) return {drover::v1::COPY_METHOD_CREATE_AND_COPY, ""};
  if (has_shell) return {drover::v1::COPY_METHOD_SHELL, ""};
  return {drover::v1::COPY_METHOD_UNSPECIFIED,
          absl::StrCat("the licence of ", host, ", \"", licence.name, "\" (", licence.edition,
                       "), does not allow changes through its API, and no SSH access is configured "
                       "for it; configure SSH or license the host")};
}

absl::StatusOr<Licence> ReadLicence(VimClient& client, std::stop_token stop) {
  DROVER_ASSIGN_OR_RETURN(ServiceContent content, client.Content(stop));
  MoRef manager = content.Manager("licenseManager");
  if (manager.empty()) return Licence{};
  DROVER_ASSIGN_OR_RETURN(Objects objects, client.RetrieveOne(manager, {"licenses"}, stop));
  return ReadLicenceInfo(objects.First().Property("licenses").first_child());
}

absl::StatusOr<core::HostFacts> ReadFacts(VimClient& client, bool has_shell, std::stop_token stop) {
  DROVER_ASSIGN_OR_RETURN(ServiceContent content, client.Content(stop));
  DROVER_ASSIGN_OR_RETURN(Licence licence, ReadLicence(client, stop));
  core::HostFacts facts;
  facts.set_kind(content.is_vcenter ? drover::v1::Hypervisor::KIND_VCENTER
                                    : drover::v1::Hypervisor::KIND_ESXI);
  facts.set_product(content.full_name);
  facts.set_version(content.version);
  facts.set_licence(licence.name);
  CopyWay way = ChooseWay(content.is_vcenter, licence, has_shell, client.host());
  facts.set_copy_method(way.method);
  facts.set_copy_refusal(way.refusal);
  facts.set_certificate_fingerprint(client.session().account().fingerprint);
  DROVER_ASSIGN_OR_RETURN(
      Objects objects,
      client.RetrieveAll(
          {{"VirtualMachine",
            {"runtime.powerState", "snapshot", "config.annotation", "config.template"}},
           {"Datastore", {"name", "summary"}},
           {"Network", {"name"}}},
          stop));
  AddPlaces(objects, facts);
  DROVER_RETURN_IF_ERROR(AddTemplates(client, objects, facts, stop));
  return facts;
}

}  // namespace drover::vsphere
