#include "controller/vsphere/clone.h"

#include <algorithm>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "controller/vsphere/datastore_files.h"
#include "controller/vsphere/inventory_sync.h"
#include "proto/support/status.h"

namespace drover::vsphere {
namespace {

constexpr absl::string_view kStarted = "started";
constexpr absl::Duration kTaskPatience = absl::Minutes(10);

std::string Gb(int64_t bytes) { return absl::StrCat((bytes + (int64_t{1} << 29)) >> 30, " GB"); }

absl::Status Refuse(absl::string_view reason, absl::string_view message) {
  return MakeError(absl::StatusCode::kFailedPrecondition, reason, message);
}

struct DatastoreFound {
  MoRef ref;
  MoRef browser;
  int64_t free_bytes = 0;
  bool accessible = false;
};

// Everything of the server a copy can collide with or needs, in one call.
class Surroundings {
 public:
  static absl::StatusOr<Surroundings> Read(VimClient& client, std::stop_token stop) {
    Surroundings surroundings;
    DROVER_ASSIGN_OR_RETURN(surroundings.objects_,
                            client.RetrieveAll({{"VirtualMachine", {"name"}},
                                                {"Datastore", {"name", "summary", "browser"}},
                                                {"Network", {"name"}}},
                                               stop));
    return surroundings;
  }
  std::vector<MoRef> VmsNamed(absl::string_view name) const {
    return Named("VirtualMachine", name);
  }
  std::optional<DatastoreFound> Datastore(absl::string_view name) const {
    auto refs = Named("Datastore", name);
    if (refs.empty()) return std::nullopt;
    ObjectView object = objects_.Find(refs[0]);
    pugi::xml_node summary = object.Property("summary");
    return DatastoreFound{refs[0], ReadRef(object.Property("browser")), IntAt(summary, "freeSpace"),
                          IsTrue(summary.child("accessible"))};
  }
  MoRef Network(absl::string_view name) const {
    MoRef found;
    objects_.ForEach([&](const ObjectView& object) {
      MoRef ref = object.ref();
      if (ref.type == "VirtualMachine" || ref.type == "Datastore") return;
      if (UnescapeName(object.TextOf("name")) == name) found = ref;
    });
    return found;
  }
  std::string NamesOf(absl::string_view type) const {
    std::string names;
    objects_.ForEach([&](const ObjectView& object) {
      MoRef ref = object.ref();
      bool matches = type == "Network" ? ref.type != "VirtualMachine" && ref.type != "Datastore"
                                       : ref.type == type;
      if (!matches) return;
      absl::StrAppend(&names, names.empty() ? "" : ", ", UnescapeName(object.TextOf("name")));
    });
    return names.empty() ? "none" : names;
  }

 private:
  std::vector<MoRef> Named(absl::string_view type, absl::string_view name) const {
    std::vector<MoRef> refs;
    std::string escaped = EscapeName(name);
    objects_.ForEach([&](const ObjectView& object) {
      absl::string_view text = object.TextOf("name");
      if (text != name && text != escaped) return;
      if (MoRef ref = object.ref(); ref.type == type) refs.push_back(std::move(ref));
    });
    return refs;
  }
  Objects objects_;
};

// Backing of another port group, by what kind of network it is.
absl::StatusOr<std::string> BackingOf(VimClient& client, const MoRef& network,
                                      absl::string_view name, std::stop_token stop) {
  if (network.type != "DistributedVirtualPortgroup") return PortGroupBacking(name);
  DROVER_ASSIGN_OR_RETURN(
      Objects group, client.RetrieveOne(network, {"key", "config.distributedVirtualSwitch"}, stop));
  MoRef the_switch = ReadRef(group.First().Property("config.distributedVirtualSwitch"));
  DROVER_ASSIGN_OR_RETURN(Objects switches, client.RetrieveOne(the_switch, {"uuid"}, stop));
  return DistributedBacking(switches.First().TextOf("uuid"), group.First().TextOf("key"));
}

absl::Status CheckSpace(const DatastoreFound& datastore, const Placement& placement,
                        const std::string& host) {
  if (!datastore.accessible) {
    return Refuse("DATASTORE_NOT_FOUND", absl::StrCat("datastore ", placement.datastore, " of ",
                                                      host, " is not accessible at the moment"));
  }
  if (datastore.free_bytes >= placement.hardware.occupied_bytes) return absl::OkStatus();
  return MakeError(
      absl::StatusCode::kResourceExhausted, "NO_SPACE",
      absl::StrCat("datastore ", placement.datastore, " of ", host, " has ",
                   Gb(datastore.free_bytes), " free; a copy of ", placement.hardware.name,
                   " needs ", Gb(placement.hardware.occupied_bytes)));
}

absl::Status CheckUnused(VimClient& client, const core::CopySpec& spec,
                         const Surroundings& surroundings, const DatastoreFound& datastore,
                         const Placement& placement, std::stop_token stop) {
  if (!surroundings.VmsNamed(spec.vm_name()).empty()) {
    return Refuse("VM_NAME_TAKEN",
                  absl::StrCat(client.host(), " has another VM named ", spec.vm_name()));
  }
  std::string folder = absl::StrCat("[", placement.datastore, "] ", spec.vm_name());
  DROVER_ASSIGN_OR_RETURN(bool exists,
                          DatastoreFileExists(client, datastore.browser, folder, stop));
  if (!exists) return absl::OkStatus();
  return Refuse("VM_NAME_TAKEN", absl::StrCat("the folder ", folder, " on ", client.host(),
                                              " exists already and belongs to nobody known; "
                                              "remove it or choose another name"));
}

}  // namespace

CopyQueue::Place::~Place() {
  if (queue_ != nullptr) queue_->Leave(datastore_);
}

absl::StatusOr<CopyQueue::Place> CopyQueue::Enter(absl::string_view datastore,
                                                  core::StepContext& context) {
  std::stop_token stop = context.stop();
  std::stop_callback wake(stop, [this] {
    absl::MutexLock lock(&mutex_);
    moved_.SignalAll();
  });
  bool told = false;
  mutex_.Lock();
  Line& line = lines_[std::string(datastore)];
  int64_t ticket = next_ticket_++;
  line.waiting.push_back(ticket);
  while (line.running >= at_once_ || line.waiting.front() != ticket) {
    if (stop.stop_requested()) {
      line.waiting.erase(std::find(line.waiting.begin(), line.waiting.end(), ticket));
      moved_.SignalAll();
      mutex_.Unlock();
      return absl::CancelledError("cancelled while waiting for other copies");
    }
    if (!told) {
      told = true;
      size_t before = line.waiting.size() - 1;
      mutex_.Unlock();
      context.Report(0, absl::StrCat("waiting for other copies to datastore ", datastore, ", ",
                                     before, " before this one"));
      mutex_.Lock();
      continue;
    }
    moved_.Wait(&mutex_);
  }
  line.waiting.pop_front();
  ++line.running;
  moved_.SignalAll();
  mutex_.Unlock();
  return Place(this, std::string(datastore));
}

void CopyQueue::Leave(const std::string& datastore) {
  absl::MutexLock lock(&mutex_);
  --lines_[datastore].running;
  moved_.SignalAll();
}

absl::StatusOr<MoRef> FindCopy(VimClient& client, const core::CopySpec& spec,
                               core::StepContext* context, std::stop_token stop) {
  std::vector<MoRef> candidates;
  std::string remembered = context == nullptr ? "" : context->Recall("vm");
  if (!remembered.empty()) candidates.push_back(VmRef(remembered));
  DROVER_ASSIGN_OR_RETURN(Objects vms, client.RetrieveAll({{"VirtualMachine", {"name"}}}, stop));
  std::string escaped = EscapeName(spec.vm_name());
  vms.ForEach([&](const ObjectView& vm) {
    absl::string_view name = vm.TextOf("name");
    if (name == escaped || name == spec.vm_name()) candidates.push_back(vm.ref());
  });
  for (const MoRef& candidate : candidates) {
    auto objects = client.RetrieveOne(candidate, {"config.extraConfig"}, stop);
    if (IsFault(objects.status(), "ManagedObjectNotFound")) continue;
    DROVER_RETURN_IF_ERROR(objects.status());
    std::string uid = ExtraConfig(objects->First().Property("config.extraConfig"), kUidKey);
    if (uid == spec.uid()) return candidate;
  }
  return MoRef{};
}

absl::StatusOr<Placement> Place(VimClient& client, const core::CopySpec& spec, bool fresh,
                                std::stop_token stop) {
  DROVER_ASSIGN_OR_RETURN(Surroundings surroundings, Surroundings::Read(client, stop));
  const std::string& host = client.host();
  auto templates = surroundings.VmsNamed(spec.template_());
  if (templates.empty()) {
    return Refuse("TEMPLATE_NOT_FOUND",
                  absl::StrCat(host, " has no VM named ", spec.template_(), " to copy"));
  }
  if (templates.size() > 1) {
    return Refuse("TEMPLATE_NOT_FOUND",
                  absl::StrCat(host, " has ", templates.size(), " VMs named ", spec.template_(),
                               "; rename all but the template"));
  }
  Placement placement;
  DROVER_ASSIGN_OR_RETURN(Objects objects, client.RetrieveOne(templates[0], TemplatePaths(), stop));
  placement.hardware = ReadTemplate(objects.First());
  DROVER_RETURN_IF_ERROR(CheckTemplate(placement.hardware, spec, host));
  placement.datastore = spec.datastore().empty()
                            ? std::string(DatastoreOfPath(placement.hardware.vm_path))
                            : spec.datastore();
  auto datastore = surroundings.Datastore(placement.datastore);
  if (!datastore) {
    return Refuse("DATASTORE_NOT_FOUND",
                  absl::StrCat(host, " has no datastore ", placement.datastore, "; it has ",
                               surroundings.NamesOf("Datastore")));
  }
  placement.datastore_ref = datastore->ref;
  const auto& adapters = placement.hardware.devices.adapters;
  std::string own = adapters.empty() ? "" : adapters[0].network;
  placement.port_group = spec.port_group().empty() ? own : spec.port_group();
  if (!placement.port_group.empty()) {
    MoRef network = surroundings.Network(placement.port_group);
    if (network.empty()) {
      return Refuse("NETWORK_NOT_FOUND",
                    absl::StrCat(host, " has no port group ", placement.port_group, "; it has ",
                                 surroundings.NamesOf("Network")));
    }
    if (placement.port_group != own) {
      DROVER_ASSIGN_OR_RETURN(placement.network_backing,
                              BackingOf(client, network, placement.port_group, stop));
    }
  }
  if (fresh) {
    DROVER_RETURN_IF_ERROR(CheckSpace(*datastore, placement, host));
    DROVER_RETURN_IF_ERROR(CheckUnused(client, spec, surroundings, *datastore, placement, stop));
  }
  return placement;
}

absl::StatusOr<core::CopiedVm> DescribeCopy(VimClient& client, const MoRef& vm,
                                            std::stop_token stop) {
  DROVER_ASSIGN_OR_RETURN(core::HypervisorVm state, GetVm(client, vm.value, stop));
  core::CopiedVm copied;
  copied.set_object(vm.value);
  copied.set_bios_uuid(state.bios_uuid());
  copied.set_instance_uuid(state.instance_uuid());
  copied.set_datastore(state.datastore());
  copied.set_port_group(state.port_group());
  copied.set_cpus(state.cpus());
  copied.set_memory_mb(state.memory_mb());
  copied.set_disk_gb(state.disk_gb());
  return copied;
}

absl::StatusOr<MoRef> StartRemembered(VimClient& client, core::StepContext& context,
                                      absl::string_view key, const MoRef& self,
                                      absl::string_view method, absl::string_view parameters) {
  DROVER_RETURN_IF_ERROR(context.Remember(key, kStarted));
  auto task = client.StartTask(self, method, parameters, context.stop());
  if (task.ok()) {
    DROVER_RETURN_IF_ERROR(context.Remember(key, task->value));
  } else if (FaultOf(task.status())) {
    // The server refused: nothing runs.
    DROVER_RETURN_IF_ERROR(context.Remember(key, ""));
  }
  return task;
}

std::optional<MoRef> RecallTask(core::StepContext& context, absl::string_view key) {
  std::string value = context.Recall(key);
  if (value.empty() || value == kStarted || value == "done") return std::nullopt;
  return MoRef{"Task", value};
}

bool AnswerLost(core::StepContext& context, absl::string_view key) {
  return context.Recall(key) == kStarted;
}

absl::Status AwaitTasksOf(VimClient& client, absl::string_view description, std::stop_token stop) {
  DROVER_ASSIGN_OR_RETURN(ServiceContent content, client.Content(stop));
  MoRef manager = content.Manager("taskManager");
  Backoff pause;
  absl::Time give_up = client.clock()->Now() + kTaskPatience;
  while (client.clock()->Now() < give_up) {
    DROVER_ASSIGN_OR_RETURN(Objects recent, client.RetrieveOne(manager, {"recentTask"}, stop));
    bool running = false;
    for (pugi::xml_node ref : recent.First().Property("recentTask").children()) {
      auto task = client.RetrieveOne(ReadRef(ref), {"info.descriptionId", "info.state"}, stop);
      if (IsFault(task.status(), "ManagedObjectNotFound")) continue;
      DROVER_RETURN_IF_ERROR(task.status());
      absl::string_view state = task->First().TextOf("info.state");
      bool open = state == "running" || state == "queued";
      running |= open && task->First().TextOf("info.descriptionId") == description;
    }
    if (!running) return absl::OkStatus();
    DROVER_RETURN_IF_ERROR(client.clock()->Sleep(pause.Next(), stop));
  }
  return absl::OkStatus();
}

}  // namespace drover::vsphere
