#include "controller/core/environment_plan.h"

#include <algorithm>
#include <random>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "controller/core/ipv4.h"
#include "gmock/gmock.h"
#include "google/protobuf/text_format.h"
#include "gtest/gtest.h"
#include "proto/support/resource_name.h"
#include "proto/support/status.h"

namespace drover::core {
namespace {

using drover::v1::EnvironmentDocument;
using drover::v1::EnvironmentPlan;
using drover::v1::PlannedVm;
using drover::v1::Vm;
using ::testing::Contains;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

EnvironmentDocument Document(const std::string& text) {
  EnvironmentDocument document;
  EXPECT_TRUE(google::protobuf::TextFormat::ParseFromString(text, &document)) << text;
  return document;
}

PlanInputs Inputs() {
  PlanInputs inputs;
  for (const char* id : {"web", "mysql"}) {
    drover::v1::VmType type;
    type.set_name(ResourceName("types", id));
    type.set_template_(absl::StrCat("tpl-", id));
    type.set_cpus(2);
    inputs.types.push_back(type);
  }
  for (const char* id : {"esxi-1", "esxi-2"}) {
    drover::v1::Hypervisor hypervisor;
    hypervisor.set_name(ResourceName("hypervisors", id));
    hypervisor.add_templates("tpl-web");
    hypervisor.add_templates("tpl-mysql");
    inputs.hypervisors.push_back(hypervisor);
  }
  return inputs;
}

void AddVm(PlanInputs& inputs, const std::string& id, const std::string& ip,
           const std::string& environment = "prod", const std::string& type = "web") {
  Vm vm;
  vm.set_name(ResourceName("vms", id));
  vm.set_uid("uid-" + id);
  vm.set_environment(ResourceName("environments", environment));
  vm.set_type(ResourceName("types", type));
  vm.set_hypervisor("hypervisors/esxi-1");
  vm.mutable_network()->set_ip(ip);
  vm.set_cpus(2);
  vm.set_memory_mb(2048);
  vm.set_disk_gb(40);
  vm.set_state(Vm::STATE_READY);
  inputs.vms.push_back(MakeVmRow(vm, ""));
  std::sort(inputs.vms.begin(), inputs.vms.end(),
            [](const VmRowPtr& a, const VmRowPtr& b) { return a->vm.name() < b->vm.name(); });
}

std::vector<std::string> FieldsOf(const absl::Status& status) {
  std::vector<std::string> fields;
  const google::rpc::BadRequest violations = ViolationsOf(status);
  for (const auto& violation : violations.field_violations()) fields.push_back(violation.field());
  return fields;
}

// "create web-01 10.0.0.1 esxi-1; change ..." of a plan, or its error.
std::string Told(const absl::StatusOr<EnvironmentPlan>& plan) {
  if (!plan.ok()) return plan.status().ToString();
  return absl::StrJoin(plan->changes(), "; ", [](std::string* out, const PlannedVm& change) {
    const char* actions[] = {"", "create", "change", "delete"};
    absl::StrAppend(out, actions[change.action()], " ", IdOf(change.vm().name()), " ",
                    change.vm().network().ip());
    if (!change.vm().hypervisor().empty()) {
      absl::StrAppend(out, " ", IdOf(change.vm().hypervisor()));
    }
    if (!change.differences().empty()) {
      absl::StrAppend(out, " (", absl::StrJoin(change.differences(), ", "), ")");
    }
  });
}

constexpr char kHead[] = R"(environment: "prod"
    network { netmask: "255.255.255.0" gateway: "10.0.0.1" dns1: "10.0.0.2" }
    address_pool: "10.0.0.0-10.0.0.9" )";

TEST(PlanEnvironment, MakesNamesAndTakesTheLowestFreeAddresses) {
  PlanInputs inputs = Inputs();
  AddVm(inputs, "other-1", "10.0.0.3", "test");
  inputs.foreign_addresses[*ParseIpv4("10.0.0.5")] = "the VM printer on esxi-1";
  auto plan = PlanEnvironment(Document(absl::StrCat(kHead, R"(
          groups { type: "types/web" count: 2 vms { vm: "front" ip: "10.0.0.4" } }
          groups { type: "types/mysql" count: 2 name_prefix: "db" })")),
                              false, inputs);
  // .0 is the network, .1 the gateway, .2 the name server, .3 and .5 are others', .4 is given.
  EXPECT_EQ(Told(plan),
            "create front 10.0.0.4; create prod-web-01 10.0.0.6; create db-01 10.0.0.7; "
            "create db-02 10.0.0.8");
  ASSERT_TRUE(plan.ok());
  EXPECT_TRUE(plan->create_environment());
  EXPECT_EQ(plan->environment(), "environments/prod");
  EXPECT_EQ(plan->changes(0).vm().cpus(), 2);
  EXPECT_EQ(plan->changes(0).vm().network().netmask(), "255.255.255.0");
  EXPECT_THAT(plan->warnings(), IsEmpty());
}

TEST(PlanEnvironment, LeavesWhatIsThereAlone) {
  PlanInputs inputs = Inputs();
  inputs.environment.emplace();
  inputs.environment->set_display_name("Old");
  AddVm(inputs, "prod-web-01", "10.0.0.7");
  AddVm(inputs, "prod-web-03", "10.0.0.8");
  auto document = Document(absl::StrCat(
      kHead, R"(display_name: "New" groups { type: "types/web" count: 2 memory_mb: 4096 })"));
  auto plan = PlanEnvironment(document, false, inputs);
  EXPECT_EQ(Told(plan),
            "change prod-web-01 10.0.0.7 esxi-1 (memory 2048 MB -> 4096 MB); "
            "create prod-web-02 10.0.0.3");
  ASSERT_TRUE(plan.ok());
  EXPECT_FALSE(plan->create_environment());
  EXPECT_THAT(plan->environment_differences(), ElementsAre("display name \"Old\" -> \"New\""));
  EXPECT_THAT(plan->warnings(), ElementsAre(HasSubstr("prod-web-03")));
  plan = PlanEnvironment(document, true, inputs);
  EXPECT_THAT(Told(plan), HasSubstr("; delete prod-web-03 10.0.0.8"));
  ASSERT_TRUE(plan.ok());
  EXPECT_THAT(plan->warnings(), IsEmpty());
}

TEST(PlanEnvironment, WhatCannotBeChangedIsAWarning) {
  PlanInputs inputs = Inputs();
  AddVm(inputs, "front", "10.0.0.7");
  auto plan = PlanEnvironment(Document(absl::StrCat(kHead, R"(groups { type: "types/web"
          vms { vm: "front" ip: "10.0.0.8" hypervisor: "hypervisors/esxi-2" } })")),
                              false, inputs);
  EXPECT_EQ(Told(plan), "");
  ASSERT_TRUE(plan.ok());
  EXPECT_EQ(plan->unchanged(), 1);
  EXPECT_THAT(plan->warnings(), ElementsAre(HasSubstr("10.0.0.8"), HasSubstr("esxi-2")));
}

TEST(PlanEnvironment, SpreadsOverTheHypervisorsGiven) {
  PlanInputs inputs = Inputs();
  AddVm(inputs, "prod-web-01", "10.0.0.7");
  auto plan = PlanEnvironment(Document(absl::StrCat(kHead, R"(hypervisors: "hypervisors/esxi-1"
          hypervisors: "hypervisors/esxi-2" groups { type: "types/web" count: 4 })")),
                              false, inputs);
  EXPECT_EQ(Told(plan),
            "create prod-web-02 10.0.0.3 esxi-2; create prod-web-03 10.0.0.4 esxi-1; "
            "create prod-web-04 10.0.0.5 esxi-2");
}

TEST(PlanEnvironment, WarnsOfTemplatesNobodyCarries) {
  PlanInputs inputs = Inputs();
  for (auto& hypervisor : inputs.hypervisors) hypervisor.clear_templates();
  auto plan = PlanEnvironment(
      Document(absl::StrCat(kHead, R"(groups { type: "types/web" count: 2 })")), false, inputs);
  ASSERT_TRUE(plan.ok()) << plan.status();
  EXPECT_THAT(plan->warnings(), ElementsAre(HasSubstr("tpl-web")));
}

TEST(PlanEnvironment, TellsEveryProblemWithItsPath) {
  PlanInputs inputs = Inputs();
  AddVm(inputs, "taken", "10.0.0.7", "test");
  AddVm(inputs, "prod-web-01", "10.0.0.8", "prod", "mysql");
  AddVm(inputs, "big", "10.0.0.9");
  struct Row {
    const char* text;
    std::vector<std::string> fields;
  };
  const Row rows[] = {
      {R"(environment: "Prod!" address_pool: "10.0.0.9-10.0.0.1" hypervisors: "hypervisors/none"
          network { netmask: "255.0.255.0" gateway: "x" ip: "10.0.0.1" }
          groups { type: "types/none" count: -1 name_prefix: "-" cpus: -1
                   address_pool: "10.0.0.0/24" hypervisors: "hypervisors/none"
                   vms { vm: "UP" ip: "1.2.3" hypervisor: "hypervisors/none" } }
          groups { type: "types/web" }
          groups { type: "types/web" count: 1 vms {} vms {} })",
       {"document.environment", "document.network.ip", "document.network.netmask",
        "document.network.gateway", "document.hypervisors[0]", "document.address_pool[0]",
        "document.groups[0].type", "document.groups[0].count", "document.groups[0].name_prefix",
        "document.groups[0].cpus", "document.groups[0].hypervisors[0]",
        "document.groups[0].address_pool[0]", "document.groups[0].vms[0].vm",
        "document.groups[0].vms[0].ip", "document.groups[0].vms[0].hypervisor",
        "document.groups[1].count", "document.groups[2].count"}},
      // Taken names and addresses, of VMs, of the document itself, of the network.
      {R"(groups { type: "types/web" vms { vm: "taken" ip: "10.0.0.3" }
                   vms { vm: "a" ip: "10.0.0.7" } vms { vm: "b" ip: "10.0.0.1" }
                   vms { vm: "c" ip: "10.0.0.4" } vms { vm: "d" ip: "10.0.0.4" }
                   vms { vm: "e" ip: "10.0.1.4" } })",
       {"document.groups[0].vms[1].ip", "document.groups[0].vms[2].ip",
        "document.groups[0].vms[4].ip", "document.groups[0].vms[0]",
        "document.groups[0].vms[5].ip"}},
      {R"(groups { type: "types/web" count: 1 })", {"document.groups[0]"}},
      {R"(groups { type: "types/web" vms { vm: "a" ip: "10.0.0.3" } }
          groups { type: "types/mysql" vms { vm: "a" ip: "10.0.0.4" } })",
       {"document.groups[1].vms[0].vm"}},
      {R"(groups { type: "types/mysql" count: 1 } groups { type: "types/mysql" count: 1 })",
       {"document.groups[1].name_prefix"}},
      {R"(groups { type: "types/mysql" count: 9 })", {"document.address_pool"}},
      {R"(groups { type: "types/mysql" count: 2 address_pool: "10.0.0.7" })",
       {"document.groups[0].address_pool"}},
      {R"(groups { type: "types/mysql" count: 2 address_pool: "10.9.0.7-10.9.0.9" })",
       {"document.groups[0].address_pool"}},
      {R"(groups { type: "types/web" disk_gb: 20 vms { vm: "big" } })",
       {"document.groups[0].disk_gb"}},
  };
  for (const Row& row : rows) {
    std::string text = row.text;
    if (text.find("environment") == std::string::npos) text = kHead + text;
    absl::Status refused = PlanEnvironment(Document(text), false, inputs).status();
    EXPECT_EQ(refused.code(), absl::StatusCode::kInvalidArgument) << row.text;
    EXPECT_THAT(FieldsOf(refused), ::testing::UnorderedElementsAreArray(row.fields)) << row.text;
  }
}

TEST(PlanEnvironment, NeedsANetmaskAndAPool) {
  absl::Status refused =
      PlanEnvironment(Document(R"(environment: "prod" groups { type: "types/web" count: 3 })"),
                      false, Inputs())
          .status();
  EXPECT_THAT(FieldsOf(refused),
              ::testing::UnorderedElementsAre("document.network.netmask", "document.groups[0]"));
  EXPECT_THAT(std::string(refused.message()), HasSubstr("3 VMs have no address"));
}

TEST(PlanEnvironment, DigestIsOfTheChanges) {
  PlanInputs inputs = Inputs();
  auto document = Document(absl::StrCat(kHead, R"(groups { type: "types/web" count: 2 })"));
  auto plan = PlanEnvironment(document, false, inputs);
  ASSERT_TRUE(plan.ok());
  auto again = PlanEnvironment(document, false, inputs);
  EXPECT_EQ(plan->digest(), again->digest());
  AddVm(inputs, "elsewhere", "10.0.7.7", "test");
  EXPECT_EQ(PlanEnvironment(document, false, inputs)->digest(), plan->digest());
  AddVm(inputs, "in-the-pool", "10.0.0.3", "test");
  EXPECT_NE(PlanEnvironment(document, false, inputs)->digest(), plan->digest());
}

// Makes the plan true in `inputs`.
void Apply(const EnvironmentPlan& plan, const EnvironmentDocument& document, PlanInputs& inputs) {
  if (!inputs.environment) {
    inputs.environment.emplace();
    inputs.environment->set_name(plan.environment());
  }
  if (!document.display_name().empty()) {
    inputs.environment->set_display_name(document.display_name());
  }
  std::map<std::string, VmRowPtr> rows;
  for (const VmRowPtr& row : inputs.vms) rows[row->vm.name()] = row;
  for (const PlannedVm& change : plan.changes()) {
    if (change.action() == PlannedVm::ACTION_DELETE) {
      rows.erase(change.vm().name());
      continue;
    }
    Vm vm = change.action() == PlannedVm::ACTION_CREATE ? Vm() : rows[change.vm().name()]->vm;
    vm.MergeFrom(change.vm());
    // What the template has.
    if (vm.cpus() == 0) vm.set_cpus(1);
    if (vm.memory_mb() == 0) vm.set_memory_mb(1024);
    if (vm.disk_gb() == 0) vm.set_disk_gb(10);
    if (vm.hypervisor().empty()) vm.set_hypervisor("hypervisors/esxi-2");
    vm.set_state(Vm::STATE_READY);
    rows[vm.name()] = MakeVmRow(vm, "");
  }
  inputs.vms.clear();
  for (const auto& [name, row] : rows) inputs.vms.push_back(row);
}

EnvironmentDocument RandomDocument(std::mt19937& random) {
  EnvironmentDocument document;
  document.set_environment("prod");
  if (random() % 2) document.set_display_name(absl::StrCat("Name ", random() % 3));
  document.mutable_network()->set_netmask("255.255.0.0");
  if (random() % 2) document.mutable_network()->set_gateway("10.0.0.1");
  document.add_address_pool("10.0.1.0-10.0.1.250");
  const char* prefixes[] = {"", "front", "back"};
  int groups = 1 + static_cast<int>(random() % 3);
  for (int g = 0; g < groups; ++g) {
    auto* group = document.add_groups();
    group->set_type(random() % 2 ? "types/web" : "types/mysql");
    group->set_name_prefix(g == 0 ? "" : prefixes[g]);
    int listed = static_cast<int>(random() % 3);
    for (int i = 0; i < listed; ++i) {
      auto* entry = group->add_vms();
      if (random() % 2) entry->set_vm(absl::StrCat("g", g, "-", i));
      if (random() % 2) entry->set_ip(FormatIpv4(0x0a000200u + 10 * g + i));
      if (random() % 2) entry->set_hypervisor("hypervisors/esxi-1");
      if (random() % 2) entry->set_remark(absl::StrCat("remark ", random() % 3));
    }
    group->set_count(std::max(1, listed) + static_cast<int>(random() % 4));
    // Sizes only grow from one document to the next.
    if (random() % 2) group->set_memory_mb(1024 * (1 + static_cast<int>(random() % 3)));
  }
  return document;
}

TEST(PlanEnvironment, AppliedPlansAndExportsLeaveNothingToDo) {
  std::mt19937 random(11);
  int changed = 0;
  for (int round = 0; round < 200; ++round) {
    PlanInputs inputs = Inputs();
    AddVm(inputs, "stranger", "10.0.1.3", "test");
    for (int step = 0; step < 3; ++step) {
      EnvironmentDocument document = RandomDocument(random);
      auto plan = PlanEnvironment(document, true, inputs);
      // A name that was of another type in the document before.
      if (!plan.ok()) continue;
      ++changed;
      Apply(*plan, document, inputs);

      std::set<std::string> addresses;
      for (const VmRowPtr& row : inputs.vms) {
        EXPECT_TRUE(addresses.insert(row->vm.network().ip()).second) << document.DebugString();
      }
      auto again = PlanEnvironment(document, true, inputs);
      EXPECT_EQ(Told(again), "") << document.DebugString();
      EnvironmentDocument exported = ExportEnvironment(*inputs.environment, inputs.vms);
      auto nothing = PlanEnvironment(exported, true, inputs);
      ASSERT_TRUE(nothing.ok()) << nothing.status() << exported.DebugString();
      EXPECT_EQ(Told(nothing), "");
      EXPECT_THAT(nothing->environment_differences(), IsEmpty());
      EXPECT_THAT(nothing->warnings(), IsEmpty());
      EXPECT_EQ(nothing->unchanged(), static_cast<int>(inputs.vms.size()) - 1);
    }
  }
  EXPECT_GT(changed, 200);
}

TEST(ExportEnvironment, LargeEnvironmentsFitIntoGroups) {
  PlanInputs inputs = Inputs();
  for (int i = 0; i < 1001; ++i) {
    Vm vm;
    vm.set_name(absl::StrCat("vms/w", 1000 + i));
    vm.set_environment("environments/prod");
    vm.set_type("types/web");
    inputs.vms.push_back(MakeVmRow(vm, ""));
  }
  drover::v1::Environment environment;
  environment.set_name("environments/prod");
  EnvironmentDocument exported = ExportEnvironment(environment, inputs.vms);
  EXPECT_EQ(exported.groups_size(), 2);
  auto plan = PlanEnvironment(exported, true, inputs);
  ASSERT_TRUE(plan.ok()) << plan.status();
  EXPECT_EQ(plan->unchanged(), 1001);
}

}  // namespace
}  // namespace drover::core
