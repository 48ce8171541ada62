#include "controller/core/vm_operations.h"

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "proto/support/status.h"
#include "tests/controller/core/vm_test_bench.h"

namespace drover::core {
namespace {

using drover::v1::Operation;
using drover::v1::Vm;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

std::string ReasonOf(const Operation& operation) {
  return drover::ReasonOf(FromRpcStatus(operation.error()));
}

class VmOperationsTest : public ::testing::Test {
 protected:
  VmTestBench bench_;
};

TEST_F(VmOperationsTest, CreateEndsWithAConnectedAgentAndDeleteWithNothing) {
  const Operation created = bench_.AwaitEnd(bench_.Create("web-01", "10.0.0.15"));
  ASSERT_EQ(created.state(), Operation::STATE_SUCCEEDED) << created.DebugString();
  EXPECT_EQ(bench_.WhyNotComplete("web-01"), "");
  Vm vm;
  ASSERT_TRUE(created.response().UnpackTo(&vm));
  EXPECT_EQ(vm.name(), "vms/web-01");
  EXPECT_EQ(vm.state(), Vm::STATE_READY);
  EXPECT_EQ(vm.hypervisor(), "hypervisors/esx1");

  const Operation deleted = bench_.AwaitEnd(bench_.Delete("web-01"));
  EXPECT_EQ(deleted.state(), Operation::STATE_SUCCEEDED) << deleted.DebugString();
  EXPECT_EQ(bench_.WhatIsLeft("web-01", "10.0.0.15"), "");
}

TEST_F(VmOperationsTest, SecretsAreNeitherInArgumentsNorInFiles) {
  bench_.AwaitEnd(bench_.Create("web-01", "10.0.0.15"));
  for (const std::string& arguments : bench_.host().Arguments()) {
    EXPECT_FALSE(absl::StrContains(arguments, VmTestBench::kPassword)) << arguments;
    EXPECT_FALSE(absl::StrContains(arguments, "token-")) << arguments;
  }
  EXPECT_EQ(testing::FilesContaining(bench_.files().directory(), VmTestBench::kPassword), "");
}

TEST_F(VmOperationsTest, TakenAddressesAndNamesAreRefusedWithTheirHolder) {
  bench_.AwaitEnd(bench_.Create("web-01", "10.0.0.15"));
  const auto check = [&](const std::string& id, const std::string& ip) {
    auto complete = bench_.operations().create().Complete({VmTestBench::CreateRequest(id, ip)});
    return complete.ok() ? bench_.operations().create().Check(complete->front())
                         : complete.status();
  };
  EXPECT_TRUE(check("web-02", "10.0.0.16").ok());
  const absl::Status name = check("web-01", "10.0.0.16");
  EXPECT_EQ(drover::ReasonOf(name), "VM_NAME_TAKEN");
  const absl::Status managed = check("web-02", "10.0.0.15");
  EXPECT_EQ(drover::ReasonOf(managed), "ADDRESS_TAKEN");
  EXPECT_EQ(ErrorMetadata(managed, "holder"), "vms/web-01");
  bench_.prober().AddStranger("10.0.0.77");
  const absl::Status stranger = check("web-02", "10.0.0.77");
  EXPECT_EQ(drover::ReasonOf(stranger), "ADDRESS_TAKEN");
  EXPECT_THAT(std::string(stranger.message()), HasSubstr("none of the hypervisors"));
}

TEST_F(VmOperationsTest, CreateIsCheckedBeforeAnythingIsWritten) {
  const auto complete = [&](const std::function<void(drover::v1::CreateVmRequest&)>& change) {
    auto request = VmTestBench::CreateRequest("web-01", "10.0.0.15");
    change(request);
    return bench_.operations().create().Complete({request}).status();
  };
  using Request = drover::v1::CreateVmRequest;
  struct Case {
    const char* name;
    std::function<void(Request&)> change;
    const char* expected;
  };
  const std::vector<Case> cases = {
      {"id", [](Request& r) { r.set_vm_id("Web 01"); }, "vm_id"},
      {"address", [](Request& r) { r.mutable_vm()->mutable_network()->clear_ip(); },
       "vm.network.ip"},
      {"netmask", [](Request& r) { r.mutable_vm()->mutable_network()->clear_netmask(); },
       "vm.network.netmask"},
      {"gateway", [](Request& r) { r.mutable_vm()->mutable_network()->set_gateway("10.9.0.1"); },
       "vm.network.gateway"},
      {"password", [](Request& r) { r.set_guest_password("a\nroot:b"); }, "guest_password"},
      {"type", [](Request& r) { r.mutable_vm()->set_type("types/none"); }, "none"},
      {"hypervisor", [](Request& r) { r.mutable_vm()->set_hypervisor("hypervisors/none"); },
       "none"},
      {"port group", [](Request& r) { r.mutable_vm()->set_port_group("net9"); },
       "no port group \"net9\""},
  };
  for (const Case& c : cases) {
    const absl::Status status = complete(c.change);
    EXPECT_FALSE(status.ok()) << c.name;
    EXPECT_THAT(std::string(status.message()), HasSubstr(c.expected)) << c.name;
  }
  bench_.host().SetFreeBytes(1 << 20);
  auto request = VmTestBench::CreateRequest("web-01", "10.0.0.15");
  request.mutable_vm()->set_hypervisor("hypervisors/esx1");
  auto full = bench_.operations().create().Complete({request});
  ASSERT_TRUE(full.ok()) << full.status();
  EXPECT_EQ(drover::ReasonOf(bench_.operations().create().Check(full->front())), "NO_SPACE");
  EXPECT_THAT(bench_.host().VmNames(), IsEmpty());
}

TEST_F(VmOperationsTest, AgentThatNeverConnectsLeavesNothingAndIsLogged) {
  bench_.agents().KeepAway(true);
  const Operation ended = bench_.AwaitEnd(bench_.Create("web-01", "10.0.0.15"), /*tick=*/true);
  EXPECT_EQ(ended.state(), Operation::STATE_FAILED);
  EXPECT_EQ(ReasonOf(ended), "AGENT_NOT_CONNECTED");
  EXPECT_THAT(ended.error().message(), HasSubstr("wait for the agent"));
  EXPECT_EQ(bench_.WhatIsLeft("web-01", "10.0.0.15"), "");
  drover::v1::SearchLogRequest search;
  search.add_kinds(drover::v1::LOG_KIND_ERROR);
  const auto log = bench_.events().Search(search);
  ASSERT_TRUE(log.ok());
  ASSERT_EQ(log->entries_size(), 1);
  EXPECT_EQ(log->entries(0).vm(), "vms/web-01");
}

TEST_F(VmOperationsTest, CancelAtEachHypervisorCallLeavesNothing) {
  for (const std::string method :
       {"Copy", "PowerOn", "WaitForTools", "WriteGuestFile", "RunInGuest"}) {
    SCOPED_TRACE(method);
    bench_.host().Hold(method);
    const auto operation = bench_.Create("web-01", "10.0.0.15");
    ASSERT_TRUE(operation.ok());
    bench_.host().AwaitHeld(method);
    ASSERT_TRUE(bench_.runner().Cancel(operation->name()).ok());
    // What clears away may call the same method again.
    bench_.host().Release(method);
    EXPECT_EQ(bench_.AwaitEnd(operation).state(), Operation::STATE_CANCELLED);
    EXPECT_EQ(bench_.WhatIsLeft("web-01", "10.0.0.15"), "");
  }
}

TEST_F(VmOperationsTest, VmGoneFromItsHostIsDeletedAllTheSame) {
  bench_.AwaitEnd(bench_.Create("web-01", "10.0.0.15"));
  bench_.host().Vanish("web-01");
  EXPECT_EQ(bench_.AwaitEnd(bench_.Delete("web-01")).state(), Operation::STATE_SUCCEEDED);
  EXPECT_EQ(bench_.WhatIsLeft("web-01", "10.0.0.15"), "");
}

TEST_F(VmOperationsTest, ForeignDiskKeepsTheVm) {
  bench_.AwaitEnd(bench_.Create("web-01", "10.0.0.15"));
  bench_.host().FailMethod("Destroy", MakeError(absl::StatusCode::kFailedPrecondition,
                                                "FOREIGN_DISK", "a disk lies elsewhere"));
  const Operation ended = bench_.AwaitEnd(bench_.Delete("web-01"));
  EXPECT_EQ(ended.state(), Operation::STATE_FAILED);
  EXPECT_EQ(ReasonOf(ended), "FOREIGN_DISK");
  EXPECT_EQ(bench_.WhyNotComplete("web-01"), "");
}

TEST_F(VmOperationsTest, PowerAndHardware) {
  bench_.AwaitEnd(bench_.Create("web-01", "10.0.0.15"));
  const auto power = [&](drover::v1::PowerAction action) {
    auto operation = bench_.operations().power().Operation("vms/web-01", action, 0);
    EXPECT_TRUE(operation.ok());
    return bench_.AwaitEnd(bench_.runner().Submit(*std::move(operation))).state();
  };
  EXPECT_EQ(power(drover::v1::POWER_ACTION_OFF), Operation::STATE_SUCCEEDED);
  EXPECT_EQ(bench_.inventory().GetVm("vms/web-01")->power(), drover::v1::POWER_STATE_OFF);
  EXPECT_EQ(power(drover::v1::POWER_ACTION_RESTART), Operation::STATE_SUCCEEDED);
  EXPECT_EQ(bench_.inventory().GetVm("vms/web-01")->power(), drover::v1::POWER_STATE_ON);

  drover::v1::SetVmHardwareRequest request;
  request.set_name("vms/web-01");
  EXPECT_FALSE(bench_.operations().hardware().Operation(request).ok());
  request.set_disk_gb(1);
  EXPECT_THAT(std::string(bench_.operations().hardware().Operation(request).status().message()),
              HasSubstr("never shrinks"));
  request.set_disk_gb(0);
  request.set_memory_mb(4096);
  EXPECT_EQ(
      bench_.AwaitEnd(bench_.runner().Submit(*bench_.operations().hardware().Operation(request)))
          .state(),
      Operation::STATE_SUCCEEDED);
  EXPECT_EQ(bench_.inventory().GetVm("vms/web-01")->memory_mb(), 4096);
}

TEST_F(VmOperationsTest, AgentsAreToldBeforeTheirMachineGoesDown) {
  bench_.AwaitEnd(bench_.Create("web-01", "10.0.0.15"));
  const auto power = [&](drover::v1::PowerAction action, int deadline) {
    auto operation = bench_.operations().power().Operation("vms/web-01", action, deadline);
    EXPECT_TRUE(operation.ok());
    return bench_.AwaitEnd(bench_.runner().Submit(*std::move(operation))).state();
  };
  bench_.host().FailMethod("PowerOff", absl::InternalError("it will not"));
  EXPECT_EQ(power(drover::v1::POWER_ACTION_OFF, 20), Operation::STATE_FAILED);
  EXPECT_THAT(bench_.shutdowns(), ElementsAre(50, 0));
  bench_.host().FailMethod("PowerOff", absl::OkStatus());
  EXPECT_EQ(power(drover::v1::POWER_ACTION_RESTART, 0), Operation::STATE_SUCCEEDED);
  EXPECT_THAT(bench_.shutdowns(), ElementsAre(50, 0, 150));
  EXPECT_EQ(power(drover::v1::POWER_ACTION_OFF, 20), Operation::STATE_SUCCEEDED);
  EXPECT_THAT(bench_.shutdowns(), ElementsAre(50, 0, 150, 50));
  // What is off is told nothing.
  EXPECT_EQ(power(drover::v1::POWER_ACTION_OFF, 20), Operation::STATE_SUCCEEDED);
  EXPECT_EQ(power(drover::v1::POWER_ACTION_ON, 0), Operation::STATE_SUCCEEDED);
  EXPECT_THAT(bench_.shutdowns(), ElementsAre(50, 0, 150, 50));
}

TEST_F(VmOperationsTest, ImportWithAnAgentThenForget) {
  const std::string object = bench_.host().AddVm("old-box", true, "10.0.0.30");
  drover::v1::ImportVmRequest request;
  request.set_vm_id("legacy");
  request.set_hypervisor("hypervisors/esx1");
  request.set_hypervisor_object(object);
  request.set_environment("environments/prod");
  request.set_type("types/web");
  request.set_guest_user("root");
  request.set_guest_password(testing::FakeHypervisor::kTemplatePassword);
  const Operation ended =
      bench_.AwaitEnd(bench_.runner().Submit(*bench_.operations().import().Operation(request)));
  ASSERT_EQ(ended.state(), Operation::STATE_SUCCEEDED) << ended.DebugString();
  const auto vm = bench_.inventory().GetVm("vms/legacy");
  ASSERT_TRUE(vm.ok());
  EXPECT_TRUE(vm->imported());
  EXPECT_EQ(vm->network().ip(), "10.0.0.30");
  EXPECT_TRUE(bench_.agents().IsConnected(vm->uid()));
  EXPECT_EQ(drover::ReasonOf(bench_.operations().import().Operation(request).status()),
            "VM_NAME_TAKEN");
  request.set_vm_id("other");
  EXPECT_EQ(drover::ReasonOf(bench_.operations().import().Operation(request).status()),
            "VM_MANAGED");
  ASSERT_TRUE(bench_.operations().import().Forget("vms/legacy").ok());
  EXPECT_FALSE(bench_.inventory().GetVm("vms/legacy").ok());
  EXPECT_THAT(bench_.host().VmNames(), ElementsAre("old-box"));
  EXPECT_THAT(bench_.agents().Known(), IsEmpty());
}

// As a stand-alone host shows it: an ordinary VM with the name that a type is copied from.
TEST_F(VmOperationsTest, WhatATypeIsCopiedFromIsNotTakenIn) {
  drover::v1::ImportVmRequest request;
  request.set_vm_id("golden");
  request.set_hypervisor("hypervisors/esx1");
  request.set_hypervisor_object(bench_.host().AddVm(testing::FakeHypervisor::kTemplate, false, ""));
  request.set_environment("environments/prod");
  request.set_type("types/web");
  const Operation ended =
      bench_.AwaitEnd(bench_.runner().Submit(*bench_.operations().import().Operation(request)));
  EXPECT_EQ(ended.state(), Operation::STATE_FAILED);
  EXPECT_EQ(ReasonOf(ended), "VM_IS_TEMPLATE");
  EXPECT_FALSE(bench_.inventory().GetVm("vms/golden").ok());
}

TEST_F(VmOperationsTest, EnvironmentIsAppliedPoweredAndDeleted) {
  drover::v1::ApplyEnvironmentRequest apply;
  drover::v1::EnvironmentDocument& document = *apply.mutable_document();
  document.set_environment("test");
  document.mutable_network()->set_netmask("255.255.255.0");
  document.mutable_network()->set_gateway("10.0.0.1");
  document.add_address_pool("10.0.0.40-10.0.0.49");
  document.set_guest_password(VmTestBench::kPassword);
  drover::v1::VmGroup& group = *document.add_groups();
  group.set_type("types/web");
  group.set_count(4);
  const auto run = [&](absl::StatusOr<Batch> batch) {
    EXPECT_TRUE(batch.ok()) << batch.status();
    return bench_.AwaitEnd(
        bench_.runner().SubmitBatch(std::move(batch->parent), std::move(batch->children), 0));
  };
  ASSERT_TRUE(bench_.operations().environments().CheckApply(apply).ok());
  const Operation applied = run(bench_.operations().environments().Apply(apply));
  ASSERT_EQ(applied.state(), Operation::STATE_SUCCEEDED) << applied.DebugString();
  EXPECT_EQ(applied.targets_size(), 4);
  for (const auto& target : applied.targets()) {
    EXPECT_EQ(bench_.WhyNotComplete(target.vm().substr(4)), "");
  }
  // Once more changes nothing.
  EXPECT_EQ(run(bench_.operations().environments().Apply(apply)).targets_size(), 0);

  drover::v1::PowerEnvironmentsRequest power;
  power.add_names("environments/test");
  power.set_action(drover::v1::POWER_ACTION_OFF);
  EXPECT_EQ(run(bench_.operations().environments().Power(power)).state(),
            Operation::STATE_SUCCEEDED);
  EXPECT_EQ(bench_.host().Vm(bench_.host().VmNames().front()).power(), drover::v1::POWER_STATE_OFF);

  const Operation deleted = run(bench_.operations().environments().Delete("environments/test"));
  EXPECT_EQ(deleted.state(), Operation::STATE_SUCCEEDED) << deleted.DebugString();
  EXPECT_THAT(bench_.host().VmNames(), IsEmpty());
  EXPECT_FALSE(bench_.inventory().GetEnvironment("environments/test").ok());
}

}  // namespace
}  // namespace drover::core
