#include "controller/core/config_plan.h"

#include <algorithm>
#include <map>
#include <set>
#include <utility>

#include "absl/strings/str_cat.h"
#include "controller/core/paging.h"
#include "controller/core/profile_rules.h"
#include "proto/support/resource_name.h"
#include "proto/support/status.h"

namespace drover::core {
namespace {

using drover::agent::v1::FileEdits;
using drover::v1::Configuration;
using drover::v1::DependencyCheck;
using drover::v1::Profile;
using drover::v1::Vm;
using drover::v1::VmType;

constexpr int kUsualHealthSeconds = 5;
constexpr int kUsualStartSeconds = 60;

class Worker {
 public:
  Worker(const Configuration& configuration, const Profile& profile, const Inventory& inventory)
      : configuration_(configuration), profile_(profile), inventory_(inventory) {}

  absl::StatusOr<ConfigWork> Work(bool needs_roles) {
    for (const Profile::Dependency& dependency : profile_.dependencies()) Choose(dependency);
    for (const auto& [id, vm] : configuration_.dependency_vms()) {
      if (FieldOf(id) == nullptr) {
        violations_.Add(absl::StrCat("configuration.dependency_vms[\"", id, "\"]"),
                        absl::StrCat("is not a dependency of ", IdOf(profile_.name())));
      }
    }
    for (int i = 0; i < configuration_.role_vms_size(); ++i) Role(i);
    if (needs_roles && targets_.empty() && violations_.empty()) {
      violations_.Add("configuration.role_vms", "choose at least one VM for a role");
    }
    DROVER_RETURN_IF_ERROR(violations_.ToStatus());
    ConfigWork work;
    for (const Profile::Dependency& dependency : profile_.dependencies()) {
      AddProbes(dependency, work.probes);
    }
    for (auto& [name, target] : targets_) work.targets.push_back(std::move(target));
    return work;
  }

 private:
  const Profile::Dependency* FieldOf(const std::string& id) const {
    for (const Profile::Dependency& dependency : profile_.dependencies()) {
      if (dependency.id() == id) return &dependency;
    }
    return nullptr;
  }

  void Choose(const Profile::Dependency& dependency) {
    const std::string at = absl::StrCat("configuration.dependency_vms[\"", dependency.id(), "\"]");
    const auto chosen = configuration_.dependency_vms().find(dependency.id());
    if (chosen == configuration_.dependency_vms().end() || chosen->second.empty()) {
      return violations_.Add(at, "choose a VM");
    }
    const auto vm = inventory_.GetVm(chosen->second);
    if (!vm.ok()) return violations_.Add(at, vm.status().message());
    if (!dependency.type().empty() && vm->type() != dependency.type()) {
      return violations_.Add(at, absl::StrCat(IdOf(vm->name()), " is of type ", IdOf(vm->type()),
                                              ", not ", IdOf(dependency.type())));
    }
    if (vm->network().ip().empty()) {
      return violations_.Add(at, absl::StrCat(IdOf(vm->name()), " has no address"));
    }
    values_[absl::StrCat(dependency.id(), ".ip")] = vm->network().ip();
    values_[absl::StrCat(dependency.id(), ".port")] = absl::StrCat(PortOf(dependency));
    chosen_[dependency.id()] = *vm;
  }

  void Role(int index) {
    const Configuration::RoleVms& choice = configuration_.role_vms(index);
    const std::string at = absl::StrCat("configuration.role_vms[", index, "]");
    const auto role =
        std::find_if(profile_.roles().begin(), profile_.roles().end(),
                     [&](const Profile::ProfileRole& its) { return its.role() == choice.role(); });
    if (role == profile_.roles().end()) {
      return violations_.Add(at + ".role", absl::StrCat("\"", choice.role(), "\" is not a role of ",
                                                        IdOf(profile_.name())));
    }
    for (int i = 0; i < choice.vms_size(); ++i) {
      AddVm(choice.vms(i), *role, absl::StrCat(at, ".vms[", i, "]"));
    }
  }

  void AddVm(const std::string& name, const Profile::ProfileRole& role, const std::string& at) {
    const auto vm = inventory_.GetVm(name);
    if (!vm.ok()) return violations_.Add(at, vm.status().message());
    if (vm->environment() != configuration_.environment()) {
      return violations_.Add(
          at, absl::StrCat(IdOf(name), " is not in ", IdOf(configuration_.environment())));
    }
    const auto type = inventory_.GetType(vm->type());
    if (!type.ok()) return violations_.Add(at, type.status().message());
    if (!roles_.insert({name, role.role()}).second) return;
    ConfigTarget& target = targets_[name];
    target.vm = *vm;
    for (const Profile::Edit& edit : role.edits()) AddEdit(edit, role, *type, at, target);
    for (const std::string& service : role.restart_services()) {
      AddRestart(service, role, *type, at, target);
    }
    const int health = role.health_seconds() > 0 ? role.health_seconds() : kUsualHealthSeconds;
    target.health_seconds = std::max(target.health_seconds, health);
  }

  void AddRestart(const std::string& service, const Profile::ProfileRole& role, const VmType& type,
                  const std::string& at, ConfigTarget& target) {
    const auto spec =
        std::find_if(type.services().begin(), type.services().end(),
                     [&](const drover::v1::ServiceSpec& its) { return its.name() == service; });
    if (spec == type.services().end()) {
      return violations_.Add(
          at, absl::StrCat("type ", IdOf(type.name()), " of ", IdOf(target.vm.name()),
                           " has no service ", service, ", which ", role.role(), " restarts"));
    }
    auto& services = target.restart_services;
    if (std::find(services.begin(), services.end(), service) != services.end()) return;
    services.push_back(service);
    const int limit =
        spec->start_timeout_seconds() > 0 ? spec->start_timeout_seconds() : kUsualStartSeconds;
    // Stopped and started, and the same again with the old files.
    target.restart_seconds += 4 * limit;
  }

  void AddEdit(const Profile::Edit& edit, const Profile::ProfileRole& role, const VmType& type,
               const std::string& at, ConfigTarget& target) {
    std::string path;
    for (const drover::v1::ConfigFileRole& file : type.config_files()) {
      if (file.role() == role.role() && file.file() == edit.file()) path = file.path();
    }
    if (path.empty()) {
      return violations_.Add(at, absl::StrCat("type ", IdOf(type.name()), " does not say where ",
                                              edit.file(), " of ", role.role(), " is"));
    }
    for (const std::string& id : ReferencesIn(edit.value())) {
      users_[id].insert(target.vm.name());
    }
    auto file = std::find_if(target.files.begin(), target.files.end(),
                             [&](const FileEdits& its) { return its.path() == path; });
    if (file == target.files.end()) {
      file = target.files.insert(target.files.end(), FileEdits());
      file->set_path(path);
    }
    Profile::Edit filled = edit;
    filled.set_value(FillReferences(edit.value(), values_));
    *file->add_edits() = std::move(filled);
  }

  void AddProbes(const Profile::Dependency& dependency, std::vector<ConfigProbe>& probes) const {
    ConfigProbe probe;
    probe.dependency = dependency.id();
    probe.vm = chosen_.at(dependency.id());
    probe.order.set_protocol(dependency.protocol());
    probe.order.set_host(probe.vm.network().ip());
    probe.order.set_port(dependency.port());
    probe.from = probe.vm;
    probes.push_back(probe);
    const auto users = users_.find(dependency.id());
    for (const auto& [name, target] : targets_) {
      if (name == probe.vm.name()) continue;
      if (users != users_.end() && users->second.count(name) == 0) continue;
      probe.from = target.vm;
      probes.push_back(probe);
    }
  }

  const Configuration& configuration_;
  const Profile& profile_;
  const Inventory& inventory_;
  Violations violations_;
  std::map<std::string, std::string> values_;
  std::map<std::string, Vm> chosen_;
  // Dependency -> VMs whose edits refer to it.
  std::map<std::string, std::set<std::string>> users_;
  std::set<std::pair<std::string, std::string>> roles_;
  std::map<std::string, ConfigTarget> targets_;
};

absl::string_view WordOf(DependencyCheck::Result result) {
  switch (result) {
    case DependencyCheck::RESULT_OK:
      return "ok";
    case DependencyCheck::RESULT_SERVICE_MISSING:
      return "service missing";
    case DependencyCheck::RESULT_WRONG_ANSWER:
      return "wrong answer";
    default:
      return "unreachable";
  }
}

}  // namespace

absl::StatusOr<ConfigWork> WorkOut(const Configuration& configuration, const Profile& profile,
                                   const Inventory& inventory, bool needs_roles) {
  DROVER_RETURN_IF_ERROR(inventory.GetEnvironment(configuration.environment()).status());
  return Worker(configuration, profile, inventory).Work(needs_roles);
}

std::string DigestOf(const Configuration& configuration, const Profile& profile,
                     const std::vector<std::string>& files_and_restarts) {
  std::string all;
  const auto add = [&all](absl::string_view part) {
    absl::StrAppend(&all, part.size(), ":", part);
  };
  const std::map<std::string, std::string> dependencies(configuration.dependency_vms().begin(),
                                                        configuration.dependency_vms().end());
  add(configuration.environment());
  for (const auto& [id, vm] : dependencies) {
    add(id);
    add(vm);
  }
  for (const Configuration::RoleVms& role : configuration.role_vms()) {
    add(role.SerializeAsString());
  }
  add(profile.SerializeAsString());
  for (const std::string& part : files_and_restarts) add(part);
  return Fingerprint(all);
}

std::string DescribeCheck(const DependencyCheck& check) {
  return absl::StrCat(check.dependency(), " on ", IdOf(check.vm()), " from ", IdOf(check.from_vm()),
                      ": ", WordOf(check.result()), ", ", check.detail());
}

}  // namespace drover::core
