#include "web-gateway/route_table.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "drover/v1/inventory.pb.h"
#include "proto/support/contract.h"

namespace drover::gateway {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::Pair;

struct TemplateRow {
  const char* text;
  // Part of the complaint, "" when it is right.
  const char* problem;
};

TEST(PathTemplate, Reads) {
  const TemplateRow rows[] = {
      {"/v1/vms", ""},
      {"/v1/{name=vms/*}", ""},
      {"/v1/{name=vms/*}:watch", ""},
      {"/v1/{vm.name=vms/*}", ""},
      {"/v1/{vm=vms/*}/services/{service}:output", ""},
      {"/v1/{name=**}", ""},
      {"/v1/**", ""},
      {"/*", ""},
      {"v1/vms", "begin with '/'"},
      {"", "begin with '/'"},
      {"/", "empty"},
      {"/v1//vms", "empty"},
      {"/v1/", "empty"},
      {"/v1/vms:", "verb is empty"},
      {"/v1/**/vms", "must be the last"},
      {"/v1/{name=**}/x", "must be the last"},
      {"/v1/{name", "'}' is missing"},
      {"/v1/{name=vms/*}x", "'/' is missing"},
      {"/v1/{}", "is no field"},
      {"/v1/{1a}", "is no field"},
      {"/v1/{a..b}", "is no field"},
      {"/v1/{a}/{a}", "twice"},
      {"/v1/v*", "is no segment"},
      {"/v1/{a={b}}", "is no segment"},
      {"/v1/{a=}", "empty"},
  };
  for (const TemplateRow& row : rows) {
    const auto parsed = ParseTemplate(row.text);
    if (*row.problem == '\0') {
      EXPECT_TRUE(parsed.ok()) << row.text << ": " << parsed.status();
    } else {
      EXPECT_THAT(std::string(parsed.status().message()), HasSubstr(row.problem)) << row.text;
    }
  }
}

struct OverlapRow {
  const char* a;
  const char* b;
  bool same;
};

TEST(PathTemplate, KnowsWhichMayMatchTheSame) {
  const OverlapRow rows[] = {
      {"/v1/vms", "/v1/vms", true},
      {"/v1/vms", "/v1/types", false},
      {"/v1/vms", "/v1/vms/*", false},
      {"/v1/vms/*", "/v1/{name=vms/*}", true},
      {"/v1/*/x", "/v1/vms/*", true},
      {"/v1/{name=vms/*}:power", "/v1/{name=vms/*}:reset", false},
      {"/v1/{name=vms/*}", "/v1/{name=vms/*}:reset", false},
      {"/v1/**", "/v1/vms/a/b", true},
      {"/v1/**", "/v1", true},
      {"/v1/a/**", "/v1/b/**", false},
      {"/v1/a/**", "/v1/*/c", true},
      {"/v2/**", "/v1/vms", false},
  };
  for (const OverlapRow& row : rows) {
    const auto a = ParseTemplate(row.a).value();
    const auto b = ParseTemplate(row.b).value();
    EXPECT_EQ(MayMatchTheSame(a, b), row.same) << row.a << " " << row.b;
    EXPECT_EQ(MayMatchTheSame(b, a), row.same) << row.b << " " << row.a;
  }
}

RouteRule Rule(const std::string& method, const std::string& path, const std::string& body = "") {
  RouteRule rule;
  rule.method = FindMethod(method);
  rule.http_method = "GET";
  rule.path = path;
  rule.body = body;
  return rule;
}

TEST(RouteTable, RefusesWhatIsAmbiguousOrNamesNoField) {
  const auto ambiguous = RouteTable::Build({Rule("InventoryService/GetVm", "/v1/{name=vms/*}"),
                                            Rule("InventoryService/ListVms", "/v1/*/web-01")});
  EXPECT_THAT(std::string(ambiguous.status().message()),
              HasSubstr("drover.v1.InventoryService.ListVms and drover.v1.InventoryService.GetVm"));
  const struct {
    RouteRule rule;
    const char* problem;
  } rows[] = {
      {Rule("InventoryService/GetVm", "/v1/{nam=vms/*}"), "no field \"nam\""},
      {Rule("InventoryService/UpdateVm", "/v1/{vm=vms/*}"), "cannot hold a part of a path"},
      {Rule("InventoryService/UpdateVm", "/v1/{vm.nam=vms/*}"), "no field \"vm.nam\""},
      {Rule("InventoryService/DeleteVms", "/v1/{names}"), "cannot hold a part of a path"},
      {Rule("InventoryService/UpdateVm", "/v1/x", "vmm"), "no field \"vmm\""},
  };
  for (const auto& row : rows) {
    const auto table = RouteTable::Build({row.rule});
    EXPECT_THAT(std::string(table.status().message()), HasSubstr(row.problem)) << row.rule.path;
  }
}

class ContractRoutes : public ::testing::Test {
 protected:
  // "InventoryService.GetVm name=vms/a", or "code".
  std::string Find(const char* http_method, const char* path) const {
    const auto match = table_.Find(http_method, path);
    if (!match.ok()) return absl::StatusCodeToString(match.status().code());
    std::string text = absl::StrCat(match->route->rule.method->service()->name(), ".",
                                    match->route->rule.method->name());
    for (const auto& [field, value] : match->values) absl::StrAppend(&text, " ", field, "=", value);
    return text;
  }
  const RouteTable table_ = RouteTable::Build(RulesOf(PublicServices())).value();
};

TEST_F(ContractRoutes, FindsCalls) {
  const struct {
    const char* method;
    const char* path;
    const char* want;
  } rows[] = {
      {"GET", "/v1/vms", "InventoryService.ListVms"},
      {"GET", "/v1/vms/web-01", "InventoryService.GetVm name=vms/web-01"},
      {"PATCH", "/v1/vms/web-01", "InventoryService.UpdateVm vm.name=vms/web-01"},
      {"POST", "/v1/vms:power", "InventoryService.PowerVms"},
      {"GET", "/v1/vms/web-01/services/http:output",
       "GuestService.GetServiceOutput vm=vms/web-01 service=http"},
      {"GET", "/v1/operations/7:watch", "ActivityService.WatchOperation name=operations/7"},
      {"GET", "/v1/vms/a%20b", "InventoryService.GetVm name=vms/a b"},
      // More than one segment: a slash within stays escaped.
      {"GET", "/v1/vms/a%2Fb", "InventoryService.GetVm name=vms/a%2Fb"},
      {"GET", "/v1/vms/a/services/b%2Fc:output",
       "GuestService.GetServiceOutput vm=vms/a service=b/c"},
      {"GET", "/v1/vms/%E4%B8%AD", "InventoryService.GetVm name=vms/中"},
      // An escaped colon is no verb.
      {"GET", "/v1/vms/a%3Awatch", "InventoryService.GetVm name=vms/a:watch"},
      {"GET", "/v1/vms/..", "InventoryService.GetVm name=vms/.."},
      {"GET", "/v1/vms/a%00", "INVALID_ARGUMENT"},
      {"GET", "/v1/vms/a%zz", "INVALID_ARGUMENT"},
      {"GET", "/v1/vms/a%2", "INVALID_ARGUMENT"},
      {"GET", "/v1/vms/%ff", "INVALID_ARGUMENT"},
      {"PUT", "/v1/vms", "UNIMPLEMENTED"},
      {"BREW", "/v1/vms", "UNIMPLEMENTED"},
      {"get", "/v1/vms", "UNIMPLEMENTED"},
      {"GET", "/v1/vms/", "NOT_FOUND"},
      {"GET", "/v1//vms", "NOT_FOUND"},
      {"GET", "/v1/vms/a:", "NOT_FOUND"},
      {"GET", "/v1/vms/a:dance", "NOT_FOUND"},
      {"GET", "/v1/vms/a/b", "NOT_FOUND"},
      {"GET", "/v1", "NOT_FOUND"},
      {"GET", "/", "NOT_FOUND"},
      {"GET", "", "NOT_FOUND"},
      {"GET", "*", "NOT_FOUND"},
      {"GET", "/V1/vms", "NOT_FOUND"},
      {"GET", "http://host/v1/vms", "NOT_FOUND"},
  };
  for (const auto& row : rows) EXPECT_EQ(Find(row.method, row.path), row.want) << row.path;
}

TEST_F(ContractRoutes, HasEveryMethodOfTheContract) {
  for (const auto* service : PublicServices()) {
    for (int i = 0; i < service->method_count(); ++i) {
      bool found = false;
      for (const Route& route : table_.routes()) found |= route.rule.method == service->method(i);
      EXPECT_TRUE(found) << service->method(i)->full_name();
    }
  }
}

TEST_F(ContractRoutes, TellsWhatAPathTakes) {
  EXPECT_EQ(table_.MethodsOf("/v1/vms/a"), "GET, PATCH");
  EXPECT_EQ(table_.MethodsOf("/v1/nothing"), "");
}

}  // namespace
}  // namespace drover::gateway
