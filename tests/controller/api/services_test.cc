// Inventory, VM, operation, guest and activity services through the dispatcher, on the real core
// over a fake hypervisor: what is wrong is refused with the field's name, and nothing is changed.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <memory>
#include <string>
#include <vector>

#include "controller/api/activity_service.h"
#include "controller/api/call_log.h"
#include "controller/api/dispatcher.h"
#include "controller/api/guest_service.h"
#include "controller/api/inventory_service.h"
#include "controller/api/operation_service.h"
#include "controller/api/platform_service.h"
#include "controller/api/vm_service.h"
#include "controller/core/change_hub.h"
#include "controller/core/guest_operations.h"
#include "controller/core/reachability.h"
#include "proto/support/contract.h"
#include "proto/support/json.h"
#include "proto/support/status.h"
#include "tests/controller/api/fake_gate.h"
#include "tests/controller/core/vm_test_bench.h"

namespace drover::api {
namespace {

using google::protobuf::Message;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::SizeIs;

class ServicesTest : public ::testing::Test {
 protected:
  ServicesTest() {
    inventory_.Register(dispatcher_);
    vms_.Register(dispatcher_);
    operations_.Register(dispatcher_);
    guests_.Register(dispatcher_);
    activity_.Register(dispatcher_);
    platform_.Register(dispatcher_);
  }

  absl::StatusOr<std::unique_ptr<Message>> CallJson(const std::string& method,
                                                    const std::string& json) {
    const auto* descriptor = FindMethod(method);
    std::unique_ptr<Message> request = NewMessage(*descriptor->input_type());
    EXPECT_TRUE(FromJson(json, request.get()).ok()) << method << " " << json;
    return dispatcher_.Dispatch(*descriptor, {"system", "10.9.8.7"}, std::move(request));
  }
  template <typename Response>
  Response Good(const std::string& method, const std::string& json) {
    auto answer = CallJson(method, json);
    EXPECT_TRUE(answer.ok()) << method << ": " << answer.status();
    return answer.ok() ? static_cast<const Response&>(**answer) : Response();
  }
  // Everything a refused request must leave alone.
  std::string World() {
    std::string world;
    for (const auto& hypervisor : bench_.inventory().Hypervisors())
      world += hypervisor.name() + " ";
    for (const auto& type : bench_.inventory().Types()) world += type.SerializeAsString();
    // What is learnt from the host meanwhile is nobody's doing: power, address, health.
    auto environments =
        Good<v1::ListEnvironmentsResponse>("InventoryService/ListEnvironments", "{}");
    for (v1::Environment& environment : *environments.mutable_environments()) {
      environment.clear_health();
      environment.clear_vms_up();
    }
    world += environments.SerializeAsString();
    for (const auto& row : *bench_.inventory().Vms()) {
      v1::Vm vm = row->vm;
      vm.clear_power();
      vm.clear_reported_ip();
      world += vm.SerializeAsString();
    }
    for (const std::string& vm : bench_.host().VmNames()) world += vm + " ";
    world += bench_.runner().List({})->SerializeAsString();
    return world;
  }

  core::VmTestBench bench_;
  FakeGate gate_;
  CallLog log_{[](v1::LogEntry) { return absl::OkStatus(); },
               [](absl::string_view) { return std::nullopt; }, &bench_.files().clock()};
  Dispatcher dispatcher_{gate_.AsGate(), &log_};
  core::GuestOperations guest_operations_{&bench_.inventory(), &bench_.commands(), &bench_.agents(),
                                          &bench_.runner(), &bench_.files().clock()};
  core::ReachabilitySweep sweep_{&bench_.prober(), &bench_.store(),         &bench_.inventory(),
                                 &bench_.events(), &bench_.files().clock(), absl::Seconds(3)};
  core::ChangeHub hub_{&bench_.files().clock(), [](absl::string_view) { return std::string(); }};
  InventoryService inventory_{&bench_.inventory(), &bench_.estate()};
  VmService vms_{&bench_.inventory(), &bench_.operations(), &bench_.runner()};
  OperationService operations_{&bench_.runner()};
  GuestService guests_{{.inventory = &bench_.inventory(),
                        .guests = &guest_operations_,
                        .network = &bench_.network(),
                        .passwords = &bench_.passwords(),
                        .repair = &bench_.repair(),
                        .clock = &bench_.files().clock()}};
  ActivityService activity_{&bench_.inventory(), &bench_.events(), &hub_, &sweep_,
                            [] { return 7; }};

  // A mail server that answers as it was told to.
  class FakeMailer : public core::Mailer {
   public:
    absl::Status Send(const core::Mail& mail) override {
      last = mail;
      return answer;
    }
    core::Mail last;
    absl::Status answer;
  };
  static core::HealthSources SourcesOf(core::VmTestBench& bench, core::ReachabilitySweep* sweep) {
    core::HealthSources sources;
    sources.store = &bench.store();
    sources.inventory = &bench.inventory();
    sources.events = &bench.events();
    sources.runner = &bench.runner();
    sources.sweep = sweep;
    sources.clock = &bench.files().clock();
    sources.sweep_interval = absl::Seconds(3);
    sources.disk = [] { return core::DiskFacts{"/", 1 << 30, 1 << 30, 100, 100}; };
    sources.clock_synchronised = [] { return std::optional<bool>(); };
    return sources;
  }
  FakeMailer mailer_;
  core::PlatformHealth health_{SourcesOf(bench_, &sweep_)};
  PlatformService platform_{&health_, &bench_.store(), &mailer_, "smtp.lab:25"};
};

TEST_F(ServicesTest, TestMailGoesAtOnceAndTellsWhatTheServerSaid) {
  const std::string method = "ActivityService/SendTestMail";
  auto sent = Good<v1::SendTestMailResponse>(method, R"({"to":"ops@lab.example"})");
  EXPECT_EQ(sent.server(), "smtp.lab:25");
  EXPECT_THAT(mailer_.last.to, ElementsAre("ops@lab.example"));
  EXPECT_EQ(mailer_.last.subject, "[Drover] test mail");
  Good<v1::SendTestMailResponse>(method, R"({"to":"ops@lab.example","language":"zh-CN"})");
  EXPECT_EQ(mailer_.last.subject, "[Drover] 测试邮件");
  core::UserRecord user;
  user.mutable_user()->set_mail("li@lab.example");
  user.mutable_user()->set_language("zh-CN");
  ASSERT_TRUE(bench_.store()
                  .Write([&](core::StoreWriter& writer) {
                    return writer.Put(core::Table::kUsers, {"li", "", user.SerializeAsString()});
                  })
                  .ok());
  Good<v1::SendTestMailResponse>(method, R"({"to":"li@lab.example"})");
  EXPECT_EQ(mailer_.last.subject, "[Drover] 测试邮件");
  mailer_.answer = absl::UnavailableError("no connection");
  EXPECT_EQ(ReasonOf(CallJson(method, R"({"to":"ops@lab.example"})").status()),
            "MAIL_SERVER_UNREACHABLE");
  mailer_.answer = absl::FailedPreconditionError("550 unknown");
  EXPECT_EQ(ReasonOf(CallJson(method, R"({"to":"ops@lab.example"})").status()), "MAIL_REFUSED");
  for (const char* bad : {R"({})", R"({"to":"nobody"})", R"({"to":"a@b.c","language":"fr"})"}) {
    EXPECT_EQ(CallJson(method, bad).status().code(), absl::StatusCode::kInvalidArgument) << bad;
  }
  Dispatcher without{gate_.AsGate(), &log_};
  PlatformService silent{&health_, &bench_.store(), nullptr, ""};
  silent.Register(without);
  const auto* descriptor = FindMethod(method);
  std::unique_ptr<Message> request = NewMessage(*descriptor->input_type());
  ASSERT_TRUE(FromJson(R"({"to":"ops@lab.example"})", request.get()).ok());
  EXPECT_EQ(
      ReasonOf(without.Dispatch(*descriptor, {"system", "10.9.8.7"}, std::move(request)).status()),
      "MAIL_NOT_CONFIGURED");
}

TEST_F(ServicesTest, PlatformHealthHasAllChecks) {
  const auto health = Good<v1::PlatformHealth>("ActivityService/GetPlatformHealth", "{}");
  std::vector<std::string> names;
  for (const auto& check : health.checks()) names.push_back(check.name());
  EXPECT_THAT(names, ElementsAre("store", "disk", "clock", "hypervisors", "agents", "mail", "sweep",
                                 "operations", "log"));
}

struct Bad {
  const char* method;
  const char* json;
  // The field that the violation names, or the error's reason.
  const char* expected;
};

// A complete VM with something else put into it.
#define VM(more)                                                                    \
  R"({"vmId":"web-02","vm":{"environment":"environments/prod","type":"types/web",)" \
  R"("network":{"ip":"10.0.0.16","netmask":"255.255.255.0","gateway":"10.0.0.1"})" more

const Bad kBad[] = {
    {"CreateVm", "{}", "vm_id"},
    {"CreateVm", R"({"vmId":"web-02"})", "vm"},
    {"CreateVm", R"({"vmId":"Web 02","vm":{}})", "vm_id"},
    {"CreateVm", R"({"vmId":"web-02","vm":{}})", "vm.environment"},
    {"CreateVm", R"({"vmId":"web-02","vm":{"environment":"environments/prod"}})", "vm.type"},
    {"CreateVm", R"({"vmId":"web-02","vm":{"environment":"prod","type":"types/web"}})",
     "vm.environment"},
    {"CreateVm", VM(R"(,"cpus":129}})"), "vm.cpus"},
    {"CreateVm", VM(R"(,"cpus":-1}})"), "vm.cpus"},
    {"CreateVm", VM(R"(,"memoryMb":63}})"), "vm.memory_mb"},
    {"CreateVm", VM(R"(,"diskGb":63489}})"), "vm.disk_gb"},
    {"CreateVm", VM(R"(,"hypervisor":"esx1"}})"), "vm.hypervisor"},
    {"CreateVm", VM(R"(,"hypervisor":"hypervisors/none"}})"), "HYPERVISOR_NOT_FOUND"},
    {"CreateVm", VM(R"(,"datastore":"a\nb"}})"), "vm.datastore"},
    {"CreateVm", VM(R"(,"datastore":"none"}})"), "NO_HYPERVISOR"},
    {"CreateVm", VM(R"(,"portGroup":"none"}})"), "NO_HYPERVISOR"},
    {"CreateVm", VM(R"(,"remark":"a\u0000b"}})"), "vm.remark"},
    {"CreateVm", VM(R"(,"name":"vms/another"}})"), "vm.name"},
    {"CreateVm", VM(R"(},"guestPassword":"a\nroot:b"})"), "guest_password"},
    {"CreateVm", VM(R"(},"requestId":"not a uuid"})"), "request_id"},
    {"CreateVm",
     R"({"vmId":"web-02","vm":{"environment":"environments/prod","type":"types/web",
         "network":{"ip":"10.0.0.300","netmask":"255.255.255.0"}}})",
     "vm.network.ip"},
    {"CreateVm",
     R"({"vmId":"web-02","vm":{"environment":"environments/prod","type":"types/web",
         "network":{"ip":"10.0.0.16","netmask":"255.0.255.0"}}})",
     "vm.network.netmask"},
    {"CreateVm",
     R"({"vmId":"web-02","vm":{"environment":"environments/prod","type":"types/web",
         "network":{"ip":"10.0.0.16","netmask":"255.255.255.0","gateway":"10.9.0.1"}}})",
     "vm.network.gateway"},
    {"CreateVm",
     R"({"vmId":"web-02","vm":{"environment":"environments/prod","type":"types/web",
         "network":{"ip":"10.0.0.16","netmask":"255.255.255.0","dns1":"nowhere"}}})",
     "vm.network.dns1"},
    {"CreateVm",
     R"({"vmId":"web-02","vm":{"environment":"environments/none","type":"types/web",
         "network":{"ip":"10.0.0.16","netmask":"255.255.255.0"}}})",
     "ENVIRONMENT_NOT_FOUND"},
    {"CreateVm",
     R"({"vmId":"web-02","vm":{"environment":"environments/prod","type":"types/none",
         "network":{"ip":"10.0.0.16","netmask":"255.255.255.0"}}})",
     "TYPE_NOT_FOUND"},
    {"CreateVm",
     R"({"vmId":"web-01","vm":{"environment":"environments/prod","type":"types/web",
         "network":{"ip":"10.0.0.16","netmask":"255.255.255.0"}}})",
     "VM_NAME_TAKEN"},
    {"CreateVm",
     R"({"vmId":"web-02","vm":{"environment":"environments/prod","type":"types/web",
         "network":{"ip":"10.0.0.15","netmask":"255.255.255.0"}}})",
     "ADDRESS_TAKEN"},

    {"DeleteVms", "{}", "names"},
    {"DeleteVms", R"({"names":["web-01"]})", "names[0]"},
    {"DeleteVms", R"({"names":["vms/web-01","vms/none"]})", "VM_NOT_FOUND"},
    {"PowerVms", R"({"names":["vms/web-01"]})", "action"},
    {"PowerVms", R"({"names":["vms/web-01"],"action":99})", "action"},
    {"PowerVms",
     R"({"names":["vms/web-01"],"action":"POWER_ACTION_OFF","shutdownDeadlineSeconds":3601})",
     "shutdown_deadline_seconds"},
    {"PowerVms", R"({"names":["vms/web-01","vms/none"],"action":"POWER_ACTION_OFF"})",
     "VM_NOT_FOUND"},
    {"SetVmHardware", "{}", "name"},
    {"SetVmHardware", R"({"name":"vms/web-01","cpus":129})", "cpus"},
    {"SetVmHardware", R"({"name":"vms/web-01","memoryMb":1})", "memory_mb"},
    {"SetVmHardware", R"({"name":"vms/web-01","diskGb":63489})", "disk_gb"},
    {"SetVmHardware", R"({"name":"vms/none","cpus":2})", "VM_NOT_FOUND"},
    {"UpdateVm", "{}", "vm"},
    {"UpdateVm", R"({"vm":{"name":"vms/none","remark":"x"}})", "VM_NOT_FOUND"},
    {"UpdateVm", R"({"vm":{"name":"vms/web-01","remark":"x"},"updateMask":"colour"})",
     "update_mask"},
    {"ImportVm", "{}", "vm_id"},
    {"ImportVm",
     R"({"vmId":"x","hypervisor":"hypervisors/esx1","environment":"environments/prod","type":"types/web"})",
     "hypervisor_object"},
    {"ForgetVm", R"({"name":"vms/none"})", "VM_NOT_FOUND"},
    {"ListVms", R"({"pageSize":1001})", "page_size"},
    {"ListVms", R"({"pageSize":-1})", "page_size"},
    {"ListVms", R"({"skip":-1})", "skip"},
    {"ListVms", R"({"types":["web"]})", "types[0]"},
    {"ListVms", R"({"orderBy":"colour"})", "order_by"},
    {"ListVms", R"({"pageToken":"made up"})", "page_token"},

    {"CreateEnvironment", "{}", "environment_id"},
    {"CreateEnvironment", R"({"environmentId":"Prod!"})", "environment_id"},
    {"CreateEnvironment", R"({"environmentId":"prod"})", "ENVIRONMENT_EXISTS"},
    {"DeleteEnvironment", R"({"name":"environments/prod"})", "confirm"},
    {"DeleteEnvironment", R"({"name":"environments/prod","confirm":"pro"})", "confirm"},
    {"DeleteEnvironment", R"({"name":"environments/none","confirm":"none"})",
     "ENVIRONMENT_NOT_FOUND"},
    {"PowerEnvironments", R"({"names":["environments/none"],"action":"POWER_ACTION_ON"})",
     "ENVIRONMENT_NOT_FOUND"},
    {"PowerEnvironments", R"({"names":["environments/prod"]})", "action"},
    {"ApplyEnvironment", "{}", "document"},
    {"ApplyEnvironment", R"({"document":{"environment":"Test 1"}})", "document.environment"},
    {"ApplyEnvironment", R"({"document":{"environment":"t","groups":[{}]}})",
     "document.groups[0].type"},
    {"ApplyEnvironment",
     R"({"document":{"environment":"t","groups":[{"type":"types/web","count":1001}]}})",
     "document.groups[0].count"},
    {"ApplyEnvironment",
     R"({"document":{"environment":"t","groups":[{"type":"types/web","vms":[{"vm":"a","ip":"1.2.3"}]}]}})",
     "document.groups[0].vms[0].ip"},

    {"CreateType", "{}", "type_id"},
    {"CreateType", R"({"typeId":"x","type":{}})", "type.template"},
    {"CreateType", R"({"typeId":"web","type":{"template":"t"}})", "TYPE_EXISTS"},
    {"CreateType", R"({"typeId":"x","type":{"template":"t","owners":["nobody"]}})",
     "type.owners[0]"},
    {"CreateType", R"({"typeId":"x","type":{"template":"t","services":[{"name":"A b"}]}})",
     "type.services[0].name"},
    {"CreateType",
     R"({"typeId":"x","type":{"template":"t","services":[{"name":"a","pidFile":"/a","attempts":101}]}})",
     "type.services[0].attempts"},
    {"CreateType",
     R"({"typeId":"x","type":{"template":"t","services":[{"name":"a","pidFile":"/a"},{"name":"a","pidFile":"/b"}]}})",
     "type.services[1].name"},
    {"UpdateType", R"({"type":{"name":"types/none","description":"x"}})", "TYPE_NOT_FOUND"},
    {"DeleteType", R"({"name":"types/web"})", "TYPE_IN_USE"},
    {"CreateHypervisor", "{}", "hypervisor_id"},
    {"CreateHypervisor", R"({"hypervisorId":"h","hypervisor":{"url":"ftp://x","user":"root"}})",
     "hypervisor.url"},
    {"CreateHypervisor", R"({"hypervisorId":"h","hypervisor":{"url":"https://x/sdk"}})",
     "hypervisor.user"},
    {"CreateHypervisor",
     R"({"hypervisorId":"h","hypervisor":{"url":"https://x/sdk","user":"root","certificateFingerprint":"AA"}})",
     "hypervisor.certificate_fingerprint"},
    {"DeleteHypervisor", R"({"name":"hypervisors/esx1"})", "HYPERVISOR_IN_USE"},

    {"ActivityService/GetOperation", "{}", "name"},
    {"ActivityService/GetOperation", R"({"name":"operations/none"})", "OPERATION_NOT_FOUND"},
    {"ActivityService/CancelOperation", R"({"name":"operations/none"})", "OPERATION_NOT_FOUND"},
    {"ActivityService/ContinueOperation", R"({"name":"vms/web-01"})", "name"},
    {"ActivityService/ListOperations", R"({"pageSize":1001})", "page_size"},
    {"ActivityService/ListOperations", R"({"pageToken":"made up"})", "page_token"},
    {"ActivityService/ListEvents", R"({"vm":"web-01"})", "vm"},
    {"ActivityService/ListEvents", R"({"pageToken":"made up"})", "page_token"},

    {"GuestService/ControlServices", "{}", "vms"},
    {"GuestService/ControlServices", R"({"vms":["vms/web-01"]})", "action"},
    {"GuestService/ControlServices", R"({"vms":["vms/none"],"action":"SERVICE_ACTION_STOP"})",
     "VM_NOT_FOUND"},
    {"GuestService/ControlServices",
     R"({"vms":["vms/web-01"],"action":"SERVICE_ACTION_STOP","timeToLiveSeconds":604801})",
     "time_to_live_seconds"},
    {"GuestService/GetServiceOutput", R"({"vm":"vms/web-01"})", "service"},
    {"GuestService/GetServiceOutput", R"({"vm":"vms/none","service":"a"})", "VM_NOT_FOUND"},
    {"GuestService/ListServices", R"({"vms":["vms/none"]})", "VM_NOT_FOUND"},
    {"GuestService/ListServices", R"({"pageToken":"made up"})", "page_token"},
};
#undef VM

TEST_F(ServicesTest, BadRequestsNameWhatIsWrongAndChangeNothing) {
  ASSERT_EQ(bench_.AwaitEnd(bench_.Create("web-01", "10.0.0.15")).state(),
            v1::Operation::STATE_SUCCEEDED);
  const std::string before = World();
  for (const Bad& row : kBad) {
    const std::string method = row.method;
    SCOPED_TRACE(method + " " + row.json);
    const bool plain = method.find('/') == std::string::npos;
    const absl::Status refused =
        CallJson(plain ? "InventoryService/" + method : method, row.json).status();
    EXPECT_FALSE(refused.ok());
    std::vector<std::string> told = {ReasonOf(refused)};
    const google::rpc::BadRequest violations = ViolationsOf(refused);
    for (const auto& violation : violations.field_violations()) {
      EXPECT_FALSE(violation.description().empty());
      told.push_back(violation.field());
    }
    EXPECT_THAT(told, ::testing::Contains(row.expected)) << refused;
    EXPECT_EQ(World(), before);
  }
}

TEST_F(ServicesTest, AVmFromRequestToRemoval) {
  const auto created = Good<v1::Operation>(
      "InventoryService/CreateVm",
      R"({"vmId":"web-01","guestPassword":"canary-1","vm":{"environment":"environments/prod",
          "type":"types/web","network":{"ip":"10.0.0.15","netmask":"255.255.255.0"}}})");
  EXPECT_EQ(created.user(), "sysop");
  EXPECT_EQ(created.client_address(), "10.9.8.7");
  ASSERT_EQ(bench_.AwaitEnd(created).state(), v1::Operation::STATE_SUCCEEDED);
  const auto vms = Good<v1::ListVmsResponse>("InventoryService/ListVms", "{}");
  ASSERT_THAT(vms.vms(), SizeIs(1));
  EXPECT_EQ(vms.vms(0).state(), v1::Vm::STATE_READY);

  const auto renamed =
      Good<v1::Vm>("InventoryService/UpdateVm", R"({"vm":{"name":"vms/web-01","remark":"first"}})");
  EXPECT_EQ(renamed.remark(), "first");
  const auto off =
      Good<v1::Operation>("InventoryService/PowerVms",
                          R"({"names":["vms/web-01","vms/web-01"],"action":"POWER_ACTION_OFF"})");
  ASSERT_EQ(bench_.AwaitEnd(off).state(), v1::Operation::STATE_SUCCEEDED);

  const auto operations =
      Good<v1::ListOperationsResponse>("ActivityService/ListOperations", R"({"pageSize":1})");
  ASSERT_THAT(operations.operations(), SizeIs(1));
  EXPECT_EQ(operations.operations(0).name(), off.name());
  EXPECT_FALSE(operations.next_page_token().empty());
  const auto dashboard = Good<v1::Dashboard>("ActivityService/GetDashboard", "{}");
  EXPECT_EQ(dashboard.total(), 1);
  EXPECT_EQ(dashboard.running_operations(), 7);
  EXPECT_EQ(dashboard.types(0).type(), "types/web");
  const auto services = Good<v1::ListServicesResponse>("GuestService/ListServices", "{}");
  ASSERT_THAT(services.vms(), SizeIs(1));
  EXPECT_EQ(services.vms(0).vm(), "vms/web-01");

  const auto rehearsed = Good<v1::Operation>("InventoryService/DeleteVms",
                                             R"({"names":["vms/web-01"],"validateOnly":true})");
  EXPECT_EQ(rehearsed.name(), "");
  EXPECT_THAT(rehearsed.targets(0).detail(), HasSubstr("would delete"));
  EXPECT_THAT(bench_.host().VmNames(), ElementsAre("web-01"));
  const auto deleted =
      Good<v1::Operation>("InventoryService/DeleteVms", R"({"names":["vms/web-01"]})");
  ASSERT_EQ(bench_.AwaitEnd(deleted).state(), v1::Operation::STATE_SUCCEEDED);
  EXPECT_THAT(bench_.host().VmNames(), IsEmpty());
}

TEST_F(ServicesTest, TheSameRequestIdIsTheSameOperation) {
  const std::string json =
      R"({"vmId":"web-01","requestId":"7b0f4d0e-0000-4000-8000-000000000001",
          "vm":{"environment":"environments/prod","type":"types/web",
          "network":{"ip":"10.0.0.15","netmask":"255.255.255.0"}}})";
  const auto first = Good<v1::Operation>("InventoryService/CreateVm", json);
  ASSERT_EQ(bench_.AwaitEnd(first).state(), v1::Operation::STATE_SUCCEEDED);
  // Its name and address are taken now, by itself.
  EXPECT_EQ(Good<v1::Operation>("InventoryService/CreateVm", json).name(), first.name());
  const auto operations = Good<v1::ListOperationsResponse>("ActivityService/ListOperations", "{}");
  EXPECT_THAT(operations.operations(), SizeIs(1));
}

}  // namespace
}  // namespace drover::api
