#include "controller/core/vm_query.h"

#include <algorithm>
#include <random>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/strings/str_join.h"
#include "controller/core/ipv4.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "proto/support/resource_name.h"
#include "proto/support/status.h"

namespace drover::core {
namespace {

using drover::v1::ListVmsRequest;
using drover::v1::Vm;
using ::testing::ElementsAre;
using ::testing::HasSubstr;

VmRowPtr Row(const std::string& id, const std::string& ip, const std::string& type, double cpu) {
  Vm vm;
  vm.set_name("vms/" + id);
  vm.set_uid("uid-" + id);
  vm.set_type("types/" + type);
  vm.set_environment("environments/prod");
  vm.set_hypervisor("hypervisors/esxi-1");
  vm.mutable_network()->set_ip(ip);
  vm.set_cpu_percent(cpu);
  vm.set_power(drover::v1::POWER_STATE_ON);
  vm.set_reachability(drover::v1::REACHABILITY_UP);
  return MakeVmRow(vm, "");
}

VmList Four() {
  return {Row("app-1", "10.0.0.9", "web", 5), Row("app-2", "10.0.0.10", "mysql", 70),
          Row("app-3", "9.9.9.9", "web", 5), Row("app-4", "", "web", 0)};
}

std::string Ids(const VmSelection& selection) {
  return absl::StrJoin(selection.rows, " ", [](std::string* out, const VmRowPtr& row) {
    absl::StrAppend(out, IdOf(row->vm.name()));
  });
}

TEST(SelectVms, OrdersByEveryField) {
  struct Line {
    const char* order_by;
    const char* ids;
  };
  const Line lines[] = {
      {"", "app-1 app-2 app-3 app-4"},
      {"name desc", "app-4 app-3 app-2 app-1"},
      // As numbers, not as text.
      {"ip", "app-4 app-3 app-1 app-2"},
      {"ip desc", "app-2 app-1 app-3 app-4"},
      {"type", "app-2 app-1 app-3 app-4"},
      {"type desc", "app-1 app-3 app-4 app-2"},
      {"cpu", "app-4 app-1 app-3 app-2"},
      {"cpu desc", "app-2 app-1 app-3 app-4"},
      {"memory asc", "app-1 app-2 app-3 app-4"},
      {"create_time", "app-1 app-2 app-3 app-4"},
      {"environment", "app-1 app-2 app-3 app-4"},
      {"power", "app-1 app-2 app-3 app-4"},
      {"reachability", "app-1 app-2 app-3 app-4"},
      {"agent_state", "app-1 app-2 app-3 app-4"},
  };
  VmList vms = Four();
  for (const Line& line : lines) {
    ListVmsRequest request;
    request.set_order_by(line.order_by);
    auto selection = SelectVms(vms, request);
    ASSERT_TRUE(selection.ok()) << line.order_by << selection.status();
    EXPECT_EQ(Ids(*selection), line.ids) << line.order_by;
  }
}

TEST(SelectVms, FiltersTogether) {
  VmList vms = Four();
  auto ids = [&vms](auto fill) {
    ListVmsRequest request;
    fill(request);
    auto selection = SelectVms(vms, request);
    return selection.ok() ? Ids(*selection) : selection.status().ToString();
  };
  EXPECT_EQ(ids([](auto& r) { r.set_search("10.0.0"); }), "app-1 app-2");
  EXPECT_EQ(ids([](auto& r) { r.set_search("APP 10.0"); }), "app-1 app-2");
  EXPECT_EQ(ids([](auto& r) { r.set_search("nothing"); }), "");
  EXPECT_EQ(ids([](auto& r) { r.add_types("types/mysql"); }), "app-2");
  EXPECT_EQ(ids([](auto& r) {
              r.add_types("types/web");
              r.add_types("types/mysql");
              r.set_search("app-1");
            }),
            "app-1");
  EXPECT_EQ(ids([](auto& r) { r.add_environments("environments/other"); }), "");
  EXPECT_EQ(ids([](auto& r) { r.add_hypervisors("hypervisors/esxi-1"); }),
            "app-1 app-2 app-3 app-4");
  EXPECT_EQ(ids([](auto& r) { r.add_reachability(drover::v1::REACHABILITY_DOWN); }), "");
  EXPECT_EQ(ids([](auto& r) { r.add_power(drover::v1::POWER_STATE_ON); }),
            "app-1 app-2 app-3 app-4");
  EXPECT_EQ(ids([](auto& r) { r.add_agent_states(drover::v1::AGENT_STATE_CONNECTED); }), "");
}

TEST(SelectVms, BadRequestsNameTheField) {
  struct Line {
    const char* field;
    void (*fill)(ListVmsRequest&);
  };
  const Line lines[] = {
      {"order_by", [](auto& r) { r.set_order_by("colour"); }},
      {"order_by", [](auto& r) { r.set_order_by("name desc desc"); }},
      {"order_by", [](auto& r) { r.set_order_by("name,ip"); }},
      {"page_size", [](auto& r) { r.set_page_size(-1); }},
      {"page_size", [](auto& r) { r.set_page_size(1001); }},
      {"page_token", [](auto& r) { r.set_page_token("x"); }},
      {"skip", [](auto& r) { r.set_skip(-1); }},
      {"skip",
       [](auto& r) {
         r.set_skip(1);
         r.set_page_token("x");
       }},
  };
  for (const Line& line : lines) {
    ListVmsRequest request;
    line.fill(request);
    absl::Status refused = SelectVms(Four(), request).status();
    auto violations = ViolationsOf(refused);
    ASSERT_EQ(violations.field_violations_size(), 1) << refused;
    EXPECT_EQ(violations.field_violations(0).field(), line.field);
  }
}

TEST(SelectVms, TokenBelongsToItsCriteria) {
  VmList vms = Four();
  ListVmsRequest request;
  request.set_page_size(1);
  auto page = SelectVms(vms, request);
  ASSERT_TRUE(page.ok());
  request.set_page_token(page->next_page_token);
  // Another page size is fine, another order is not.
  request.set_page_size(2);
  auto next = SelectVms(vms, request);
  ASSERT_TRUE(next.ok()) << next.status();
  EXPECT_EQ(Ids(*next), "app-2 app-3");
  request.set_order_by("ip");
  EXPECT_FALSE(SelectVms(vms, request).ok());
}

TEST(SelectVms, PagesStayTrueWhileVmsComeAndGo) {
  VmList vms = Four();
  ListVmsRequest request;
  request.set_page_size(2);
  auto page = SelectVms(vms, request);
  ASSERT_TRUE(page.ok());
  EXPECT_EQ(Ids(*page), "app-1 app-2");
  // The row the token stands at goes, one comes before it.
  vms.erase(vms.begin() + 1);
  vms.insert(vms.begin(), Row("aaa", "10.0.0.1", "web", 1));
  request.set_page_token(page->next_page_token);
  page = SelectVms(vms, request);
  ASSERT_TRUE(page.ok());
  EXPECT_EQ(Ids(*page), "app-3 app-4");
  EXPECT_EQ(page->next_page_token, "");
  EXPECT_EQ(page->total_size, 4);
}

// Against sorting everything, for many random lists.
TEST(SelectVms, PagesAndSkipsCutOneOrder) {
  std::mt19937 random(7);
  const char* orders[] = {"name", "name desc", "ip desc", "type", "cpu desc", "cpu", "type desc"};
  for (int round = 0; round < 60; ++round) {
    VmList vms;
    int count = static_cast<int>(random() % 40);
    for (int i = 0; i < count; ++i) {
      vms.push_back(Row(absl::StrFormat("vm-%02d", i), FormatIpv4(0x0a000000 + random() % 20),
                        absl::StrCat("t", random() % 3), static_cast<double>(random() % 3)));
    }
    ListVmsRequest request;
    request.set_order_by(orders[round % 7]);
    request.set_page_size(1000);
    auto all = SelectVms(vms, request);
    ASSERT_TRUE(all.ok());
    ASSERT_EQ(all->rows.size(), vms.size());

    request.set_page_size(1 + static_cast<int>(random() % 7));
    std::vector<VmRowPtr> paged;
    for (;;) {
      auto page = SelectVms(vms, request);
      ASSERT_TRUE(page.ok());
      EXPECT_EQ(page->total_size, count);
      paged.insert(paged.end(), page->rows.begin(), page->rows.end());
      if (page->next_page_token.empty()) break;
      request.set_page_token(page->next_page_token);
    }
    EXPECT_EQ(paged, all->rows) << request.order_by();

    request.clear_page_token();
    request.set_skip(static_cast<int>(random() % 45));
    auto jumped = SelectVms(vms, request);
    ASSERT_TRUE(jumped.ok());
    size_t begin = std::min<size_t>(request.skip(), all->rows.size());
    size_t end = std::min<size_t>(begin + request.page_size(), all->rows.size());
    EXPECT_EQ(jumped->rows, VmList(all->rows.begin() + begin, all->rows.begin() + end));
  }
}

TEST(MakeVmRow, WhatIsOnlyTrueNowIsNotDurable) {
  Vm vm = Four()[0]->vm;
  std::string before = MakeVmRow(vm, "")->durable;
  vm.set_power(drover::v1::POWER_STATE_OFF);
  vm.set_reachability(drover::v1::REACHABILITY_DOWN);
  vm.set_cpu_percent(99);
  vm.set_memory_used_mb(1);
  vm.set_disk_used_mb(1);
  vm.set_reported_ip("1.2.3.4");
  vm.set_holding_operation("operations/x");
  vm.add_waiting_operations("operations/y");
  vm.mutable_agent_last_seen()->set_seconds(5);
  vm.add_services()->set_name("nginx");
  EXPECT_EQ(MakeVmRow(vm, "")->durable, before);
  vm.set_remark("x");
  EXPECT_NE(MakeVmRow(vm, "")->durable, before);
}

TEST(CountVms, CountsByTypeAndEnvironment) {
  VmList vms = Four();
  VmTotals totals = CountVms(vms);
  EXPECT_EQ(totals.all.total, 4);
  EXPECT_EQ(totals.all.up, 4);
  EXPECT_EQ(totals.by_type["types/web"].total, 3);
  EXPECT_EQ(totals.by_type["types/mysql"].total, 1);
  EXPECT_EQ(totals.by_environment["environments/prod"].total, 4);
  EXPECT_EQ(totals.by_hypervisor["hypervisors/esxi-1"].total, 4);
}

// One letter a VM: u up, d down, n not known, o off and down, s up with a service given up, m
// missing.
TEST(HealthOf, IsTheWorstThatIsNotOnPurpose) {
  using drover::v1::Environment;
  const std::pair<const char*, Environment::Health> rows[] = {
      {"", Environment::HEALTH_EMPTY},        {"u", Environment::HEALTH_OK},
      {"uuo", Environment::HEALTH_OK},        {"oo", Environment::HEALTH_OFF},
      {"ud", Environment::HEALTH_DEGRADED},   {"us", Environment::HEALTH_DEGRADED},
      {"dd", Environment::HEALTH_DOWN},       {"ddo", Environment::HEALTH_DOWN},
      {"n", Environment::HEALTH_UNSPECIFIED}, {"un", Environment::HEALTH_OK},
      {"um", Environment::HEALTH_DEGRADED},   {"nd", Environment::HEALTH_DEGRADED},
  };
  for (const auto& [letters, health] : rows) {
    VmList vms;
    for (char letter : std::string(letters)) {
      Vm vm;
      vm.set_environment("environments/e");
      vm.set_power(letter == 'o' ? drover::v1::POWER_STATE_OFF : drover::v1::POWER_STATE_ON);
      vm.set_reachability(letter == 'd' || letter == 'o' ? drover::v1::REACHABILITY_DOWN
                          : letter == 'n'                ? drover::v1::REACHABILITY_UNKNOWN
                                                         : drover::v1::REACHABILITY_UP);
      if (letter == 's') vm.add_services()->set_state(drover::v1::ServiceStatus::STATE_GIVEN_UP);
      if (letter == 'm') vm.set_state(Vm::STATE_MISSING);
      vms.push_back(MakeVmRow(vm, ""));
    }
    EXPECT_EQ(HealthOf(CountVms(vms).by_environment["environments/e"]), health) << letters;
  }
}

}  // namespace
}  // namespace drover::core
