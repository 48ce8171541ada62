#include "controller/vsphere/inventory_sync.h"

#include <utility>

#include "absl/container/flat_hash_set.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "absl/strings/strip.h"
#include "controller/vsphere/devices.h"
#include "proto/support/status.h"

namespace drover::vsphere {
namespace {

using core::HypervisorVm;
using drover::v1::PowerState;

// How long the server may hold a question for changes back, and how much longer its answer may
// take.
constexpr int kMaxWaitSeconds = 15;
constexpr absl::Duration kWaitTimeout = absl::Seconds(kMaxWaitSeconds + 15);
// The first answer holds everything.
constexpr absl::Duration kFirstTimeout = absl::Minutes(3);
constexpr int kUpdatesAtOnce = 2000;

constexpr absl::string_view kNotePrefix = "Drover uid: ";

// A VM and what is known of it by reference only.
struct Known {
  HypervisorVm vm;
  std::string network;
};

PowerState PowerOf(absl::string_view text) {
  if (text == "poweredOn") return drover::v1::POWER_STATE_ON;
  if (text == "poweredOff") return drover::v1::POWER_STATE_OFF;
  if (text == "suspended") return drover::v1::POWER_STATE_SUSPENDED;
  return drover::v1::POWER_STATE_UNSPECIFIED;
}

bool IsReachableIpv4(absl::string_view address) {
  if (address.empty() || absl::StrContains(address, ':')) return false;
  return !absl::StartsWith(address, "169.254.") && !absl::StartsWith(address, "127.");
}

// Takes over one property; a null node means unset.
using Setter = void (*)(pugi::xml_node value, Known& known);

struct Listed {
  absl::string_view path;
  Setter set;
};

std::string Copy(absl::string_view text) { return std::string(text); }

constexpr Listed kListed[] = {
    {"name", [](pugi::xml_node v, Known& k) { k.vm.set_name(UnescapeName(Text(v))); }},
    {"config.uuid", [](pugi::xml_node v, Known& k) { k.vm.set_bios_uuid(Copy(Text(v))); }},
    {"config.instanceUuid",
     [](pugi::xml_node v, Known& k) { k.vm.set_instance_uuid(Copy(Text(v))); }},
    {"config.template", [](pugi::xml_node v, Known& k) { k.vm.set_is_template(IsTrue(v)); }},
    {"config.hardware.numCPU",
     [](pugi::xml_node v, Known& k) { k.vm.set_cpus(static_cast<int>(IntAt(v, ""))); }},
    {"config.hardware.memoryMB",
     [](pugi::xml_node v, Known& k) { k.vm.set_memory_mb(static_cast<int>(IntAt(v, ""))); }},
    {"config.guestFullName",
     [](pugi::xml_node v, Known& k) { k.vm.set_os_version(Copy(Text(v))); }},
    {"config.annotation",
     [](pugi::xml_node v, Known& k) { k.vm.set_drover_uid(UidOfNotes(Text(v))); }},
    {"config.files.vmPathName",
     [](pugi::xml_node v, Known& k) { k.vm.set_datastore(Copy(DatastoreOfPath(Text(v)))); }},
    {"runtime.powerState", [](pugi::xml_node v, Known& k) { k.vm.set_power(PowerOf(Text(v))); }},
    {"runtime.connectionState",
     [](pugi::xml_node v, Known& k) { k.vm.set_accessible(Text(v) == "connected"); }},
    {"runtime.question",
     [](pugi::xml_node v, Known& k) { k.vm.set_question(Copy(TextAt(v, "text"))); }},
    {"guest.toolsRunningStatus",
     [](pugi::xml_node v, Known& k) {
       k.vm.set_tools_running(Text(v) == "guestToolsRunning" ||
                              Text(v) == "guestToolsExecutingScripts");
     }},
    {"guest.ipAddress",
     [](pugi::xml_node v, Known& k) {
       k.vm.set_ip(IsReachableIpv4(Text(v)) ? Copy(Text(v)) : "");
     }},
    {"network", [](pugi::xml_node v, Known& k) { k.network = Copy(Text(v.first_child())); }},
    {"snapshot", [](pugi::xml_node v, Known& k) { k.vm.set_has_snapshot(bool(v)); }},
};

Setter SetterOf(absl::string_view path) {
  static const auto* const kSetters = [] {
    auto* setters = new absl::flat_hash_map<absl::string_view, Setter>();
    for (const Listed& one : kListed) setters->emplace(one.path, one.set);
    return setters;
  }();
  auto it = kSetters->find(path);
  return it == kSetters->end() ? nullptr : it->second;
}

std::vector<PropertyPaths> FollowedProperties() {
  return {{"VirtualMachine", ListedPaths()}, {"Network", {"name"}}};
}

std::string ParentName(const absl::flat_hash_map<std::string, std::string>& names,
                       const std::string& network) {
  auto it = names.find(network);
  return it == names.end() ? "" : it->second;
}

}  // namespace

const std::vector<std::string>& ListedPaths() {
  static const auto* const kPaths = [] {
    auto* paths = new std::vector<std::string>();
    for (const Listed& one : kListed) paths->emplace_back(one.path);
    return paths;
  }();
  return *kPaths;
}

std::string UidNote(absl::string_view uid) { return absl::StrCat(kNotePrefix, uid); }

std::string UidOfNotes(absl::string_view notes) {
  if (notes.empty()) return "";
  for (absl::string_view line : absl::StrSplit(notes, '\n')) {
    if (absl::ConsumePrefix(&line, kNotePrefix)) return Copy(absl::StripAsciiWhitespace(line));
  }
  return "";
}

absl::string_view DatastoreOfPath(absl::string_view path) {
  if (!absl::ConsumePrefix(&path, "[")) return "";
  size_t end = path.find(']');
  return end == absl::string_view::npos ? "" : path.substr(0, end);
}

std::string AddressOf(pugi::xml_node guest_net, absl::string_view primary) {
  for (pugi::xml_node nic : guest_net.children("GuestNicInfo")) {
    // Adapters the VM does not have (bridges of containers) carry key -1.
    if (IntAt(nic, "deviceConfigId") < 0) continue;
    for (pugi::xml_node address : nic.children("ipAddress")) {
      if (IsReachableIpv4(Text(address))) return Copy(Text(address));
    }
  }
  return IsReachableIpv4(primary) ? Copy(primary) : "";
}

absl::StatusOr<std::vector<HypervisorVm>> ListVms(VimClient& client, std::stop_token stop) {
  DROVER_ASSIGN_OR_RETURN(Objects objects, client.RetrieveAll(FollowedProperties(), stop));
  absl::flat_hash_map<std::string, std::string> networks;
  std::vector<Known> all;
  objects.ForEach([&](const ObjectView& object) {
    pugi::xml_node ref = object.node().child("obj");
    if (absl::string_view(ref.attribute("type").value()) != "VirtualMachine") {
      networks[Text(ref)] = UnescapeName(object.TextOf("name"));
      return;
    }
    Known& known = all.emplace_back();
    known.vm.set_object(Copy(Text(ref)));
    for (pugi::xml_node set : object.node().children("propSet")) {
      if (Setter setter = SetterOf(Text(set.child("name")))) setter(set.child("val"), known);
    }
  });
  std::vector<HypervisorVm> vms;
  vms.reserve(all.size());
  for (Known& known : all) {
    known.vm.set_port_group(ParentName(networks, known.network));
    vms.push_back(std::move(known.vm));
  }
  return vms;
}

absl::StatusOr<HypervisorVm> GetVm(VimClient& client, absl::string_view object,
                                   std::stop_token stop) {
  std::vector<std::string> paths = ListedPaths();
  for (const char* more :
       {"config.hardware.device", "config.extraConfig", "guest.net", "summary.quickStats"}) {
    paths.push_back(more);
  }
  DROVER_ASSIGN_OR_RETURN(Objects objects, client.RetrieveOne(VmRef(object), paths, stop));
  ObjectView view = objects.First();
  Known known;
  known.vm.set_object(Copy(object));
  for (const Listed& one : kListed) one.set(view.Property(one.path), known);
  DeviceList devices = ReadDevices(view.Property("config.hardware.device"));
  known.vm.set_disk_gb(DiskGb(devices));
  if (!devices.adapters.empty()) known.vm.set_port_group(devices.adapters[0].network);
  known.vm.set_drover_uid(ExtraConfig(view.Property("config.extraConfig"), kUidKey));
  known.vm.set_ip(AddressOf(view.Property("guest.net"), view.TextOf("guest.ipAddress")));
  pugi::xml_node usage = view.Property("summary.quickStats");
  known.vm.set_cpu_usage_mhz(static_cast<int>(IntAt(usage, "overallCpuUsage")));
  known.vm.set_memory_usage_mb(static_cast<int>(IntAt(usage, "guestMemoryUsage")));
  // A distributed port group is known by key only: its name is the network's.
  if (known.vm.port_group().empty() && !known.network.empty()) {
    pugi::xml_node network = view.Property("network").first_child();
    DROVER_ASSIGN_OR_RETURN(Objects named, client.RetrieveOne(ReadRef(network), {"name"}, stop));
    known.vm.set_port_group(UnescapeName(named.First().TextOf("name")));
  }
  return std::move(known.vm);
}

namespace {

// The collector, filter and view of one stay on a server, and the model they feed.
class Follower {
 public:
  Follower(VimClient& client, core::InventorySink& sink, std::stop_token stop)
      : client_(client), sink_(sink), stop_(stop) {}

  ~Follower() {
    CallOptions options;
    options.timeout = absl::Seconds(5);
    // Without a session they are gone already.
    if (gone_) return;
    if (!collector_.empty()) {
      client_.session().Call(collector_, "DestroyPropertyCollector", "", options).IgnoreError();
    }
    if (!view_.empty()) client_.session().Call(view_, "DestroyView", "", options).IgnoreError();
  }

  absl::Status Run() {
    absl::Status status = Begin();
    while (status.ok()) {
      if (stop_.stop_requested()) return absl::CancelledError("cancelled");
      status = Turn();
    }
    bool session_ended = IsFault(status, "NotAuthenticated") ||
                         IsFault(status, "ManagedObjectNotFound") || absl::IsUnavailable(status);
    gone_ = session_ended;
    return status;
  }
  bool synced() const { return synced_; }

 private:
  absl::Status Begin() {
    DROVER_ASSIGN_OR_RETURN(ServiceContent content, client_.Content(stop_));
    DROVER_ASSIGN_OR_RETURN(view_, client_.CreateView({"VirtualMachine", "Network"}, stop_));
    // A collector of its own: waiting on the common one would disturb others.
    DROVER_ASSIGN_OR_RETURN(
        SoapReply collector,
        client_.Read(content.Manager("propertyCollector"), "CreatePropertyCollector", "", stop_));
    collector_ = ReadRef(collector.value());
    std::string spec = XmlOf("spec", ViewSpec(FollowedProperties(), view_));
    DROVER_RETURN_IF_ERROR(client_
                               .Read(collector_, "CreateFilter",
                                     absl::StrCat(spec, Xml("partialUpdates", false)), stop_)
                               .status());
    sink_.OnReset();
    return absl::OkStatus();
  }

  absl::Status Turn() {
    CallOptions options;
    options.timeout = version_.empty() ? kFirstTimeout : kWaitTimeout;
    options.stop = stop_;
    options.waits = true;
    std::string limits =
        XmlOf("options", absl::StrCat(Xml("maxWaitSeconds", int64_t{kMaxWaitSeconds}),
                                      Xml("maxObjectUpdates", int64_t{kUpdatesAtOnce})));
    DROVER_ASSIGN_OR_RETURN(SoapReply reply,
                            client_.session().Call(collector_, "WaitForUpdatesEx",
                                                   Xml("version", version_) + limits, options));
    pugi::xml_node updates = reply.value();
    if (!updates) return absl::OkStatus();
    version_ = Copy(TextAt(updates, "version"));
    for (pugi::xml_node set : updates.children("filterSet")) {
      for (pugi::xml_node object : set.children("objectSet")) Apply(object);
    }
    Emit();
    if (!synced_ && !IsTrue(updates.child("truncated"))) {
      synced_ = true;
      sink_.OnSynced();
    }
    return absl::OkStatus();
  }

  void Apply(pugi::xml_node update) {
    pugi::xml_node ref = update.child("obj");
    std::string id = Copy(Text(ref));
    bool leaves = Text(update.child("kind")) == "leave";
    if (absl::string_view(ref.attribute("type").value()) != "VirtualMachine") {
      ApplyNetwork(update, id, leaves);
      return;
    }
    if (leaves) {
      auto it = known_.find(id);
      if (it == known_.end()) return;
      departed_.push_back(std::move(it->second.vm));
      known_.erase(it);
      changed_.erase(id);
      return;
    }
    Known& known = known_[id];
    known.vm.set_object(id);
    for (pugi::xml_node change : update.children("changeSet")) {
      if (Setter setter = SetterOf(Text(change.child("name")))) setter(change.child("val"), known);
    }
    changed_.insert(std::move(id));
  }

  void ApplyNetwork(pugi::xml_node update, const std::string& id, bool leaves) {
    if (leaves) {
      networks_.erase(id);
      return;
    }
    for (pugi::xml_node change : update.children("changeSet")) {
      networks_[id] = UnescapeName(Text(change.child("val")));
    }
    for (const auto& [object, known] : known_) {
      if (known.network == id) changed_.insert(object);
    }
  }

  void Emit() {
    for (const auto& vm : departed_) sink_.OnVm(core::InventoryChange::kGone, vm);
    departed_.clear();
    for (const auto& object : changed_) {
      auto it = known_.find(object);
      if (it == known_.end()) continue;
      it->second.vm.set_port_group(ParentName(networks_, it->second.network));
      sink_.OnVm(core::InventoryChange::kPresent, it->second.vm);
    }
    changed_.clear();
  }

  VimClient& client_;
  core::InventorySink& sink_;
  std::stop_token stop_;
  MoRef view_;
  MoRef collector_;
  std::string version_;
  bool synced_ = false;
  bool gone_ = false;
  absl::flat_hash_map<std::string, Known> known_;
  absl::flat_hash_map<std::string, std::string> networks_;
  absl::flat_hash_set<std::string> changed_;
  std::vector<HypervisorVm> departed_;
};

bool WorthAnotherStart(const absl::Status& status) {
  return IsFault(status, "NotAuthenticated") || IsFault(status, "ManagedObjectNotFound") ||
         IsFault(status, "InvalidCollectorVersion") || IsFault(status, "RequestCanceled");
}

}  // namespace

absl::Status Follow(VimClient& client, core::InventorySink& sink, std::stop_token stop) {
  bool again = true;
  while (true) {
    int64_t generation = client.session().generation();
    Follower follower(client, sink, stop);
    absl::Status status = follower.Run();
    if (stop.stop_requested()) return absl::CancelledError("cancelled");
    if (follower.synced()) again = true;
    if (!WorthAnotherStart(status) || !again) return status;
    // One more start from nothing; a server that fails that one too has another trouble.
    again = false;
    if (IsFault(status, "NotAuthenticated")) client.session().Lost(generation);
  }
}

}  // namespace drover::vsphere
