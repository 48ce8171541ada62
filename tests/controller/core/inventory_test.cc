#include "controller/core/inventory.h"

#include <atomic>
#include <thread>

#include "absl/strings/str_cat.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "proto/support/status.h"
#include "tests/testing/test_store.h"

namespace drover::core {
namespace {

using drover::v1::Vm;
using google::protobuf::FieldMask;
using ::testing::Contains;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

FieldMask Mask(std::initializer_list<const char*> paths) {
  FieldMask mask;
  for (const char* path : paths) mask.add_paths(path);
  return mask;
}

std::vector<std::string> FieldsOf(const absl::Status& status) {
  std::vector<std::string> fields;
  const google::rpc::BadRequest violations = ViolationsOf(status);
  for (const auto& violation : violations.field_violations()) {
    fields.push_back(violation.field());
  }
  return fields;
}

class InventoryTest : public ::testing::Test {
 protected:
  InventoryTest() { Restart(); }

  void Restart() {
    inventory_.reset();
    files_.Reopen();
    inventory_ = std::make_unique<Inventory>(&files_.store(), &files_.vault(), &files_.clock());
    ASSERT_TRUE(inventory_->Load().ok());
  }

  void AddBasics() {
    ASSERT_TRUE(inventory_->AddEnvironment("prod", {}).ok());
    ASSERT_TRUE(inventory_->AddEnvironment("test", {}).ok());
    drover::v1::VmType web;
    web.set_template_("web-template");
    web.set_guest_password("template-password-9");
    ASSERT_TRUE(inventory_->AddType("web", web).ok());
    drover::v1::Hypervisor host;
    host.set_url("https://esxi-1.example.net/sdk");
    host.set_user("root");
    host.set_password("host-password-9");
    ASSERT_TRUE(inventory_->AddHypervisor("esxi-1", host).ok());
  }

  static Vm NewVm(const std::string& id, const std::string& ip) {
    Vm vm;
    vm.set_name("vms/" + id);
    vm.set_uid("uid-" + id);
    vm.set_environment("environments/prod");
    vm.set_type("types/web");
    vm.set_hypervisor("hypervisors/esxi-1");
    vm.mutable_network()->set_ip(ip);
    vm.set_state(Vm::STATE_READY);
    return vm;
  }

  testing::TestStore files_;
  std::unique_ptr<Inventory> inventory_;
};

TEST_F(InventoryTest, KeepsWhatMustLast) {
  AddBasics();
  ASSERT_TRUE(inventory_->AddVm(NewVm("web-1", "10.0.0.1")).ok());
  ASSERT_TRUE(inventory_
                  ->ChangeVm("vms/web-1",
                             [](Vm& vm) {
                               vm.set_remark("first");
                               vm.set_power(drover::v1::POWER_STATE_ON);
                               vm.set_agent_state(drover::v1::AGENT_STATE_CONNECTED);
                             })
                  .ok());
  Restart();
  auto vm = inventory_->GetVm("vms/web-1");
  ASSERT_TRUE(vm.ok()) << vm.status();
  EXPECT_EQ(vm->remark(), "first");
  EXPECT_EQ(vm->network().ip(), "10.0.0.1");
  EXPECT_EQ(vm->power(), drover::v1::POWER_STATE_UNSPECIFIED);
  EXPECT_EQ(vm->reachability(), drover::v1::REACHABILITY_UNKNOWN);
  EXPECT_EQ(vm->agent_state(), drover::v1::AGENT_STATE_CONTACT_LOST);
  EXPECT_EQ(inventory_->GetVmByUid("uid-web-1")->name(), "vms/web-1");
  EXPECT_TRUE(inventory_->GetType("types/web").ok());
  EXPECT_TRUE(inventory_->GetHypervisor("hypervisors/esxi-1").ok());
  EXPECT_EQ(inventory_->SecretsOfHypervisor("hypervisors/esxi-1")->password(), "host-password-9");
}

TEST_F(InventoryTest, SecretsComeOutNowhere) {
  AddBasics();
  ASSERT_TRUE(inventory_->AddVm(NewVm("web-1", "10.0.0.1")).ok());
  ASSERT_TRUE(inventory_->SetGuestPassword("vms/web-1", "guest-password-9").ok());
  EXPECT_EQ(inventory_->GetType("types/web")->guest_password(), "");
  EXPECT_EQ(inventory_->DescribeHypervisor("hypervisors/esxi-1")->password(), "");
  for (const char* secret : {"template-password-9", "host-password-9", "guest-password-9"}) {
    EXPECT_EQ(testing::FilesContaining(files_.directory(), secret), "");
  }
}

TEST_F(InventoryTest, GuestLoginIsTheVmsOwnElseTheTypes) {
  AddBasics();
  ASSERT_TRUE(inventory_->AddVm(NewVm("web-1", "10.0.0.1")).ok());
  auto login = inventory_->GuestLoginOf("vms/web-1");
  ASSERT_TRUE(login.ok()) << login.status();
  EXPECT_EQ(login->user(), "root");
  EXPECT_EQ(login->password(), "template-password-9");
  ASSERT_TRUE(inventory_->SetGuestPassword("vms/web-1", "own").ok());
  Restart();
  login = inventory_->GuestLoginOf("vms/web-1");
  ASSERT_TRUE(login.ok()) << login.status();
  EXPECT_EQ(login->user(), "root");
  EXPECT_EQ(login->password(), "own");
  GuestLogin other;
  other.set_user("admin");
  other.set_password("theirs");
  ASSERT_TRUE(inventory_->SetGuestLogin("vms/web-1", other).ok());
  ASSERT_TRUE(inventory_->SetGuestPassword("vms/web-1", "new").ok());
  login = inventory_->GuestLoginOf("vms/web-1");
  EXPECT_EQ(login->user(), "admin");
  EXPECT_EQ(login->password(), "new");
}

TEST_F(InventoryTest, NamesAndAddressesAreGivenOnce) {
  AddBasics();
  ASSERT_TRUE(inventory_->AddVm(NewVm("web-1", "10.0.0.1")).ok());
  Vm again = NewVm("web-1", "10.0.0.2");
  again.set_uid("other");
  EXPECT_EQ(ReasonOf(inventory_->AddVm(again)), "VM_NAME_TAKEN");
  absl::Status taken = inventory_->AddVm(NewVm("web-2", "10.0.0.1"));
  EXPECT_EQ(taken.code(), absl::StatusCode::kAlreadyExists);
  EXPECT_EQ(ReasonOf(taken), "ADDRESS_TAKEN");
  EXPECT_EQ(ErrorMetadata(taken, "holder"), "vms/web-1");
  EXPECT_THAT(std::string(taken.message()), HasSubstr("web-1"));
  // A refused VM holds nothing.
  ASSERT_TRUE(inventory_->AddVm(NewVm("web-2", "10.0.0.2")).ok());
  absl::Status moved =
      inventory_->ChangeVm("vms/web-2", [](Vm& vm) { vm.mutable_network()->set_ip("10.0.0.1"); });
  EXPECT_EQ(ReasonOf(moved), "ADDRESS_TAKEN");
  EXPECT_EQ(inventory_->GetVm("vms/web-2")->network().ip(), "10.0.0.2");
  // An address is free again when its VM has another one, or is gone.
  ASSERT_TRUE(
      inventory_->ChangeVm("vms/web-1", [](Vm& vm) { vm.mutable_network()->set_ip("10.0.0.9"); })
          .ok());
  EXPECT_EQ(inventory_->HolderOf("10.0.0.1"), "");
  ASSERT_TRUE(inventory_->AddVm(NewVm("web-3", "10.0.0.1")).ok());
  ASSERT_TRUE(inventory_->RemoveVm("vms/web-3").ok());
  ASSERT_TRUE(inventory_->RemoveVm("vms/web-3").ok());
  ASSERT_TRUE(inventory_->AddVm(NewVm("web-4", "10.0.0.1")).ok());
  Restart();
  EXPECT_EQ(ReasonOf(inventory_->AddVm(NewVm("web-5", "10.0.0.1"))), "ADDRESS_TAKEN");
}

TEST_F(InventoryTest, TwoThreadsNeverGetOneAddress) {
  AddBasics();
  constexpr int kThreads = 4;
  constexpr int kAddresses = 12;
  std::atomic<int> added = 0, refused = 0;
  std::vector<std::thread> threads;
  for (int t = 0; t < kThreads; ++t) {
    threads.emplace_back([&, t] {
      for (int i = 0; i < kAddresses; ++i) {
        absl::Status status =
            inventory_->AddVm(NewVm(absl::StrCat("t", t, "-", i), absl::StrCat("10.0.1.", i + 1)));
        if (status.ok()) {
          ++added;
        } else if (ReasonOf(status) == "ADDRESS_TAKEN") {
          ++refused;
        }
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  EXPECT_EQ(added, kAddresses);
  EXPECT_EQ(refused, kAddresses * (kThreads - 1));
  EXPECT_EQ(inventory_->Vms()->size(), kAddresses);
}

TEST_F(InventoryTest, ChangesFromManyThreadsAllCount) {
  AddBasics();
  ASSERT_TRUE(inventory_->AddVm(NewVm("web-1", "10.0.0.1")).ok());
  std::vector<std::thread> threads;
  for (int t = 0; t < 4; ++t) {
    threads.emplace_back([&] {
      for (int i = 0; i < 25; ++i) {
        // One part lasts, the other does not: neither may undo the other.
        EXPECT_TRUE(
            inventory_->ChangeVm("vms/web-1", [](Vm& vm) { vm.set_cpus(vm.cpus() + 1); }).ok());
        EXPECT_TRUE(inventory_
                        ->ChangeVm("vms/web-1",
                                   [](Vm& vm) { vm.set_memory_used_mb(vm.memory_used_mb() + 1); })
                        .ok());
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  EXPECT_EQ(inventory_->GetVm("vms/web-1")->cpus(), 100);
  EXPECT_EQ(inventory_->GetVm("vms/web-1")->memory_used_mb(), 100);
  Restart();
  EXPECT_EQ(inventory_->GetVm("vms/web-1")->cpus(), 100);
}

TEST_F(InventoryTest, VmsReferToWhatIsThere) {
  AddBasics();
  Vm vm = NewVm("web-1", "10.0.0.1");
  vm.set_environment("environments/none");
  EXPECT_EQ(ReasonOf(inventory_->AddVm(vm)), "ENVIRONMENT_NOT_FOUND");
  vm = NewVm("web-1", "10.0.0.1");
  vm.set_type("types/none");
  EXPECT_EQ(ReasonOf(inventory_->AddVm(vm)), "TYPE_NOT_FOUND");
  vm = NewVm("web-1", "10.0.0.1");
  vm.set_hypervisor("hypervisors/none");
  EXPECT_EQ(ReasonOf(inventory_->AddVm(vm)), "HYPERVISOR_NOT_FOUND");
  EXPECT_EQ(ReasonOf(inventory_->ChangeVm("vms/none", [](Vm&) {})), "VM_NOT_FOUND");
  ASSERT_TRUE(inventory_->AddVm(NewVm("web-1", "10.0.0.1")).ok());
  EXPECT_EQ(ReasonOf(inventory_->RemoveEnvironment("environments/prod")), "ENVIRONMENT_IN_USE");
  EXPECT_EQ(ReasonOf(inventory_->RemoveType("types/web")), "TYPE_IN_USE");
  EXPECT_EQ(ReasonOf(inventory_->RemoveHypervisor("hypervisors/esxi-1")), "HYPERVISOR_IN_USE");
  EXPECT_EQ(ReasonOf(inventory_->RemoveType("types/none")), "TYPE_NOT_FOUND");
  ASSERT_TRUE(inventory_->RemoveVm("vms/web-1").ok());
  EXPECT_TRUE(inventory_->RemoveEnvironment("environments/prod").ok());
  EXPECT_TRUE(inventory_->RemoveType("types/web").ok());
  EXPECT_TRUE(inventory_->RemoveHypervisor("hypervisors/esxi-1").ok());
  Restart();
  EXPECT_FALSE(inventory_->GetType("types/web").ok());
}

TEST_F(InventoryTest, UpdatesFollowTheMask) {
  AddBasics();
  drover::v1::VmType type;
  type.set_name("types/web");
  type.set_description("front");
  type.set_template_("other");
  auto updated = inventory_->UpdateType(type, Mask({"description"}));
  ASSERT_TRUE(updated.ok()) << updated.status();
  EXPECT_EQ(updated->description(), "front");
  EXPECT_EQ(updated->template_(), "web-template");
  EXPECT_EQ(inventory_->SecretsOfType("types/web")->guest_password(), "template-password-9");
  // Without a mask: what is set.
  type.clear_description();
  updated = inventory_->UpdateType(type, {});
  ASSERT_TRUE(updated.ok());
  EXPECT_EQ(updated->description(), "front");
  EXPECT_EQ(updated->template_(), "other");
  for (const char* path : {"vm_count", "name", "colour", "generation", "services.name"}) {
    absl::Status refused = inventory_->UpdateType(type, Mask({path})).status();
    EXPECT_THAT(FieldsOf(refused), ElementsAre("update_mask")) << path;
  }
}

TEST_F(InventoryTest, GenerationGrowsWithTheServicesOnly) {
  AddBasics();
  int64_t first = inventory_->GetType("types/web")->generation();
  EXPECT_GT(first, 0);
  drover::v1::VmType type;
  type.set_name("types/web");
  type.set_description("x");
  EXPECT_EQ(inventory_->UpdateType(type, Mask({"description"}))->generation(), first);
  auto* service = type.add_services();
  service->set_name("nginx");
  service->set_systemd_unit("nginx.service");
  EXPECT_GT(inventory_->UpdateType(type, Mask({"services"}))->generation(), first);
}

TEST_F(InventoryTest, TypesTellAllTheirProblemsAtOnce) {
  drover::v1::VmType type;
  auto* service = type.add_services();
  service->set_name("Nginx");
  service->set_command_line("((");
  service->mutable_probe()->set_tcp_port(70000);
  *type.add_services() = *service;
  type.add_working_copies()->set_id("site");
  absl::Status refused = inventory_->AddType("web", type).status();
  EXPECT_THAT(
      FieldsOf(refused),
      ::testing::AllOf(Contains("type.template"), Contains("type.services[0].name"),
                       Contains("type.services[0].start_command"),
                       Contains("type.services[0].command_line"),
                       Contains("type.services[0].probe.tcp_port"),
                       Contains("type.services[1].name"), Contains("type.working_copies[0].path")));
  EXPECT_FALSE(inventory_->GetType("types/web").ok());
}

TEST_F(InventoryTest, WorkingCopyKeepsItsPasswordForItsRepositoryOnly) {
  drover::v1::VmType type;
  type.set_template_("t");
  auto* copy = type.add_working_copies();
  copy->set_id("site");
  copy->set_path("/srv/site");
  copy->set_url("https://svn.example.net/site");
  copy->set_user("deploy");
  copy->set_password("svn-password-9");
  ASSERT_TRUE(inventory_->AddType("web", type).ok());
  type.set_name("types/web");
  type.mutable_working_copies(0)->clear_password();
  type.mutable_working_copies(0)->set_path("/srv/other");
  ASSERT_TRUE(inventory_->UpdateType(type, Mask({"working_copies"})).ok());
  EXPECT_EQ(inventory_->SecretsOfType("types/web")->svn_passwords().at("site"), "svn-password-9");
  type.mutable_working_copies(0)->set_url("https://elsewhere.example.net/site");
  ASSERT_TRUE(inventory_->UpdateType(type, Mask({"working_copies"})).ok());
  EXPECT_THAT(inventory_->SecretsOfType("types/web")->svn_passwords(), IsEmpty());
}

TEST_F(InventoryTest, StoredPasswordGoesToNoOtherHost) {
  AddBasics();
  drover::v1::Hypervisor host;
  host.set_name("hypervisors/esxi-1");
  host.set_url("https://esxi-2.example.net/sdk");
  absl::Status refused = inventory_->UpdateHypervisor(host, Mask({"url"})).status();
  EXPECT_THAT(FieldsOf(refused), ElementsAre("hypervisor.password"));
  host.set_password("given-with-it");
  ASSERT_TRUE(inventory_->UpdateHypervisor(host, Mask({"url", "password"})).ok());
  EXPECT_EQ(inventory_->SecretsOfHypervisor(host.name())->password(), "given-with-it");
  host.set_remark("rack 2");
  ASSERT_TRUE(inventory_->UpdateHypervisor(host, Mask({"remark"})).ok());
  EXPECT_EQ(inventory_->SecretsOfHypervisor(host.name())->password(), "given-with-it");
}

TEST_F(InventoryTest, HypervisorsHaveNamesAndUrlsOfTheirOwn) {
  AddBasics();
  drover::v1::Hypervisor host;
  host.set_url("HTTPS://esxi-1.example.net:443/sdk/");
  host.set_user("root");
  EXPECT_EQ(ReasonOf(inventory_->AddHypervisor("esxi-2", host).status()), "URL_TAKEN");
  host.set_url("https://esxi-2.example.net/sdk");
  EXPECT_EQ(ReasonOf(inventory_->AddHypervisor("esxi-1", host).status()), "HYPERVISOR_EXISTS");
  EXPECT_THAT(FieldsOf(inventory_->AddHypervisor("Esxi 2", host).status()),
              ElementsAre("hypervisor_id"));
  EXPECT_THAT(FieldsOf(inventory_->AddHypervisor("esxi-2", {}).status()),
              ElementsAre("hypervisor.url", "hypervisor.user"));
  EXPECT_EQ(inventory_->Hypervisors().size(), 1);
}

TEST_F(InventoryTest, WatchersHearOfChangesNotOfSamples) {
  AddBasics();
  ASSERT_TRUE(inventory_->AddVm(NewVm("web-1", "10.0.0.1")).ok());
  std::vector<std::string> told;
  inventory_->OnChange([&told](absl::string_view name, bool deleted) {
    told.push_back(absl::StrCat(name, deleted ? " deleted" : ""));
  });
  ASSERT_TRUE(inventory_->ChangeVm("vms/web-1", [](Vm& vm) { vm.set_cpu_percent(7); }).ok());
  ASSERT_TRUE(inventory_->ChangeVm("vms/web-1", [](Vm&) {}).ok());
  EXPECT_THAT(told, IsEmpty());
  ASSERT_TRUE(
      inventory_->ChangeVm("vms/web-1", [](Vm& vm) { vm.set_power(drover::v1::POWER_STATE_ON); })
          .ok());
  ASSERT_TRUE(inventory_->RemoveVm("vms/web-1").ok());
  EXPECT_THAT(told, ElementsAre("vms/web-1", "vms/web-1 deleted"));
}

TEST_F(InventoryTest, PeopleSeeQueuesCountsAndHealth) {
  AddBasics();
  ASSERT_TRUE(inventory_->AddVm(NewVm("web-1", "10.0.0.1")).ok());
  inventory_->SetQueueOf([](absl::string_view vm) {
    return vm == "vms/web-1" ? std::vector<std::string>{"operations/a", "operations/b"}
                             : std::vector<std::string>();
  });
  EXPECT_EQ(inventory_->DescribeVm("vms/web-1")->holding_operation(), "operations/a");
  auto listed = inventory_->QueryVms({});
  ASSERT_TRUE(listed.ok());
  EXPECT_THAT(listed->vms(0).waiting_operations(), ElementsAre("operations/b"));
  EXPECT_EQ(inventory_->GetVm("vms/web-1")->holding_operation(), "");
  EXPECT_EQ(inventory_->DescribeEnvironment("environments/prod")->vm_count(), 1);
  EXPECT_EQ(inventory_->DescribeEnvironment("environments/test")->health(),
            drover::v1::Environment::HEALTH_EMPTY);
  EXPECT_EQ(inventory_->DescribeType("types/web")->vm_count(), 1);
  EXPECT_EQ(inventory_->DescribeHypervisor("hypervisors/esxi-1")->vm_count(), 1);
  drover::v1::ListEnvironmentsRequest request;
  request.set_page_size(1);
  auto page = inventory_->ListEnvironments(request);
  ASSERT_TRUE(page.ok());
  EXPECT_EQ(page->total_size(), 2);
  EXPECT_EQ(page->environments(0).name(), "environments/prod");
  request.set_page_token(page->next_page_token());
  page = inventory_->ListEnvironments(request);
  ASSERT_TRUE(page.ok());
  EXPECT_EQ(page->environments(0).name(), "environments/test");
  EXPECT_EQ(page->next_page_token(), "");
  request.clear_page_token();
  request.set_search("TES");
  EXPECT_EQ(inventory_->ListEnvironments(request)->total_size(), 1);
}

TEST_F(InventoryTest, UpdateVmChangesRemarkAndEnvironmentOnly) {
  AddBasics();
  ASSERT_TRUE(inventory_->AddVm(NewVm("web-1", "10.0.0.1")).ok());
  Vm vm;
  vm.set_name("vms/web-1");
  vm.set_remark("note");
  vm.set_environment("environments/test");
  auto updated = inventory_->UpdateVm(vm, {});
  ASSERT_TRUE(updated.ok()) << updated.status();
  EXPECT_EQ(updated->environment(), "environments/test");
  EXPECT_EQ(updated->remark(), "note");
  EXPECT_THAT(FieldsOf(inventory_->UpdateVm(vm, Mask({"cpus"})).status()),
              ElementsAre("update_mask"));
  vm.set_environment("environments/none");
  EXPECT_EQ(ReasonOf(inventory_->UpdateVm(vm, Mask({"environment"})).status()),
            "ENVIRONMENT_NOT_FOUND");
  EXPECT_EQ(inventory_->GetVm("vms/web-1")->environment(), "environments/test");
}

}  // namespace
}  // namespace drover::core
