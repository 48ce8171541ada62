#include "controller/core/placement.h"

#include <algorithm>
#include <cstdint>
#include <map>
#include <tuple>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "proto/support/resource_name.h"
#include "proto/support/status.h"

namespace drover::core {
namespace {

const TemplateFacts* FindTemplate(const HostFacts& facts, const std::string& name) {
  for (const TemplateFacts& its : facts.templates()) {
    if (its.name() == name) return &its;
  }
  return nullptr;
}

const drover::v1::Datastore* FindDatastore(const HostFacts& facts, const std::string& name) {
  for (const drover::v1::Datastore& its : facts.datastores()) {
    if (its.name() == name) return &its;
  }
  return nullptr;
}

class Placer {
 public:
  explicit Placer(const std::vector<PlacementHost>& hosts) : hosts_(hosts) {}

  absl::StatusOr<std::string> Place(const PlacementWish& wish) {
    const PlacementHost* best = nullptr;
    std::vector<std::string> refusals;
    for (const PlacementHost& host : hosts_) {
      const std::string refusal = RefusalOf(host, wish);
      if (!refusal.empty()) {
        refusals.push_back(absl::StrCat(IdOf(host.hypervisor), ": ", refusal));
      } else if (best == nullptr || RankOf(host, wish) < RankOf(*best, wish)) {
        best = &host;
      }
    }
    if (best == nullptr) {
      return MakeError(
          absl::StatusCode::kFailedPrecondition, "NO_HYPERVISOR",
          hosts_.empty() ? std::string("there is no hypervisor to create VMs on; add one")
                         : absl::StrCat("no hypervisor can take ", wish.vm, " of template \"",
                                        wish.template_name, "\": ", absl::StrJoin(refusals, "; ")));
    }
    ++placed_[best->hypervisor];
    reserved_[{best->hypervisor, DatastoreOf(*best, wish)}] +=
        FindTemplate(best->facts, wish.template_name)->disk_bytes();
    return best->hypervisor;
  }

 private:
  static std::string DatastoreOf(const PlacementHost& host, const PlacementWish& wish) {
    if (!wish.datastore.empty()) return wish.datastore;
    return FindTemplate(host.facts, wish.template_name)->datastore();
  }

  int64_t FreeOn(const PlacementHost& host, const std::string& datastore) const {
    const drover::v1::Datastore* its = FindDatastore(host.facts, datastore);
    if (its == nullptr) return 0;
    const auto reserved = reserved_.find({host.hypervisor, datastore});
    return its->free_bytes() - (reserved == reserved_.end() ? 0 : reserved->second);
  }

  // Why not, "" when it can.
  std::string RefusalOf(const PlacementHost& host, const PlacementWish& wish) const {
    if (!host.away.empty()) return host.away;
    if (!host.facts.copy_refusal().empty()) return host.facts.copy_refusal();
    const TemplateFacts* its = FindTemplate(host.facts, wish.template_name);
    if (its == nullptr) {
      return "it has no such template; a VM that Drover manages is copied only when its hypervisor "
             "is named";
    }
    const auto& networks = host.facts.networks();
    if (!wish.port_group.empty() &&
        std::find(networks.begin(), networks.end(), wish.port_group) == networks.end()) {
      return absl::StrCat("it has no port group \"", wish.port_group, "\"");
    }
    const std::string datastore = DatastoreOf(host, wish);
    const drover::v1::Datastore* store = FindDatastore(host.facts, datastore);
    if (store == nullptr) return absl::StrCat("it has no datastore \"", datastore, "\"");
    if (!store->accessible())
      return absl::StrCat("datastore \"", datastore, "\" is not accessible");
    if (FreeOn(host, datastore) < its->disk_bytes()) {
      return absl::StrCat("datastore \"", datastore, "\" has no room for ", its->disk_bytes() >> 20,
                          " MB more");
    }
    return "";
  }

  // Less is better.
  std::tuple<int, int64_t, std::string> RankOf(const PlacementHost& host,
                                               const PlacementWish& wish) const {
    const auto placed = placed_.find(host.hypervisor);
    return {placed == placed_.end() ? 0 : placed->second, -FreeOn(host, DatastoreOf(host, wish)),
            host.hypervisor};
  }

  const std::vector<PlacementHost>& hosts_;
  // Of this request.
  std::map<std::string, int> placed_;
  std::map<std::pair<std::string, std::string>, int64_t> reserved_;
};

}  // namespace

absl::StatusOr<std::vector<std::string>> PlaceVms(const std::vector<PlacementHost>& hosts,
                                                  const std::vector<PlacementWish>& wishes) {
  Placer placer(hosts);
  std::vector<std::string> places;
  for (const PlacementWish& wish : wishes) {
    DROVER_ASSIGN_OR_RETURN(std::string place, placer.Place(wish));
    places.push_back(std::move(place));
  }
  return places;
}

}  // namespace drover::core
