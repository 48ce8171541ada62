#include "controller/core/placement.h"

#include "absl/strings/str_cat.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "proto/support/status.h"

namespace drover::core {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;

constexpr int64_t kGiB = int64_t{1} << 30;

PlacementHost Host(const std::string& id, int64_t free_gb) {
  PlacementHost host{absl::StrCat("hypervisors/", id), {}, ""};
  drover::v1::Datastore& store = *host.facts.add_datastores();
  store.set_name("ds1");
  store.set_free_bytes(free_gb * kGiB);
  store.set_accessible(true);
  host.facts.add_networks("net1");
  TemplateFacts& its = *host.facts.add_templates();
  its.set_name("tpl");
  its.set_datastore("ds1");
  its.set_disk_bytes(10 * kGiB);
  return host;
}

TEST(Placement, MostFreeSpaceFirstThenSpreadEvenly) {
  const std::vector<PlacementHost> hosts = {Host("a", 100), Host("b", 500)};
  const std::vector<PlacementWish> wishes(5, {"vm", "tpl", "", ""});
  EXPECT_THAT(*PlaceVms(hosts, wishes),
              ElementsAre("hypervisors/b", "hypervisors/a", "hypervisors/b", "hypervisors/a",
                          "hypervisors/b"));
}

TEST(Placement, RoomIsReservedForEarlierOnes) {
  const std::vector<PlacementHost> hosts = {Host("a", 15), Host("b", 100)};
  const std::vector<PlacementWish> wishes(3, {"vm", "tpl", "", ""});
  EXPECT_THAT(*PlaceVms(hosts, wishes),
              ElementsAre("hypervisors/b", "hypervisors/a", "hypervisors/b"));
}

TEST(Placement, SaysOfEachHostWhyNot) {
  std::vector<PlacementHost> hosts = {Host("away", 100), Host("licence", 100), Host("bare", 100),
                                      Host("net", 100),  Host("locked", 100),  Host("full", 5)};
  hosts[0].away = "it is not reachable";
  hosts[1].facts.set_copy_refusal("the licence forbids writes");
  hosts[2].facts.clear_templates();
  hosts[3].facts.clear_networks();
  hosts[4].facts.mutable_datastores(0)->set_accessible(false);
  const absl::Status status = PlaceVms(hosts, {{"web-01", "tpl", "", "net1"}}).status();
  EXPECT_EQ(ReasonOf(status), "NO_HYPERVISOR");
  for (const char* why : {"away: it is not reachable", "licence: the licence forbids writes",
                          "bare: it has no such template", "net: it has no port group \"net1\"",
                          "locked: datastore \"ds1\" is not accessible",
                          "full: datastore \"ds1\" has no room for 10240 MB more"}) {
    EXPECT_THAT(std::string(status.message()), HasSubstr(why));
  }
  EXPECT_THAT(std::string(PlaceVms({}, {{"web-01", "tpl", "", ""}}).status().message()),
              HasSubstr("add one"));
}

}  // namespace
}  // namespace drover::core
