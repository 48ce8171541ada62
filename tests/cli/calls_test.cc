// Lines and the requests they become, dangerous commands, errors.
#include "cli/call.h"

#include <google/protobuf/empty.pb.h>
#include <google/protobuf/util/message_differencer.h>
#include <sys/stat.h>

#include "drover/v1/guest.pb.h"
#include "drover/v1/inventory.pb.h"
#include "drover/v1/people.pb.h"
#include "gmock/gmock.h"
#include "google/protobuf/text_format.h"
#include "gtest/gtest.h"
#include "proto/support/contract.h"
#include "proto/support/status.h"
#include "tests/cli/drover_run.h"

namespace drover::cli {
namespace {

using ::testing::HasSubstr;
using ::testing::Not;

class CallsTest : public testing::DroverTest {
 protected:
  CallsTest() {
    SignIn();
    v1::ListVmsResponse vms;
    for (const char* name : {"vms/shop-web-01", "vms/shop-web-02", "vms/shop-db-01"}) {
      vms.add_vms()->set_name(name);
    }
    controller_.Answer("InventoryService/ListVms", vms);
  }

  // Every method answers an empty message: enough where only the request matters.
  void AnswerEverything() {
    for (const auto* service : PublicServices()) {
      for (int i = 0; i < service->method_count(); ++i) {
        const auto* method = service->method(i);
        if (method->name() == "ListVms" || method->name() == "ListTypes") continue;
        auto answer = NewMessage(*method->output_type());
        if (auto* operation = dynamic_cast<v1::Operation*>(answer.get())) {
          operation->set_name("operations/1");
          operation->set_state(v1::Operation::STATE_SUCCEEDED);
        }
        controller_.Answer(service->name() + "/" + method->name(), *answer);
      }
    }
  }

  // The last request of a method as text, without its request_id.
  std::string Sent(const std::string& method) {
    const auto requests = controller_.Requests(method);
    if (requests.empty()) return "(not called)";
    const auto request = NewMessage(*FindMethod(method)->input_type());
    request->ParseFromString(requests.back());
    const auto* id = request->GetDescriptor()->FindFieldByName("request_id");
    if (id != nullptr) {
      EXPECT_EQ(request->GetReflection()->GetString(*request, id).size(), 36u) << method;
      request->GetReflection()->ClearField(request.get(), id);
    }
    google::protobuf::TextFormat::Printer printer;
    printer.SetSingleLineMode(true);
    printer.SetUseUtf8StringEscaping(true);
    std::string text;
    printer.PrintToString(*request, &text);
    return text;
  }
};

struct Row {
  std::vector<std::string> words;
  const char* input;
  const char* method;
  const char* request;
};

TEST_F(CallsTest, LinesBecomeRequests) {
  AnswerEverything();
  const Row rows[] = {
      {{"vm", "list", "--env", "shop", "--type", "web", "--network", "down", "--sort", "cpu desc",
        "--limit", "5"},
       "",
       "InventoryService/ListVms",
       "page_size: 5 environments: \"environments/shop\" types: \"types/web\" reachability: "
       "REACHABILITY_DOWN "
       "order_by: \"cpu desc\" "},
      {{"vm", "show", "web-01"}, "", "InventoryService/GetVm", "name: \"vms/web-01\" "},
      {{"vm", "show", "vms/web-01"}, "", "InventoryService/GetVm", "name: \"vms/web-01\" "},
      {{"vm", "create", "web-05", "--type", "web", "--env", "shop", "--ip", "10.0.0.5", "--netmask",
        "255.255.255.0", "--memory", "4G", "--guest-password-stdin"},
       "pass word\n",
       "InventoryService/CreateVm",
       "vm_id: \"web-05\" vm { environment: \"environments/shop\" type: \"types/web\" network { "
       "ip: \"10.0.0.5\" netmask: "
       "\"255.255.255.0\" } memory_mb: 4096 } guest_password: \"pass word\" "},
      {{"vm", "create", "web-05", "-t", "web", "-e", "shop", "--ip", "10.0.0.5", "--netmask",
        "255.0.0.0", "--dry-run"},
       "",
       "InventoryService/CreateVm",
       "vm_id: \"web-05\" vm { environment: \"environments/shop\" type: \"types/web\" network { "
       "ip: \"10.0.0.5\" netmask: "
       "\"255.0.0.0\" } } validate_only: true "},
      {{"vm", "delete", "shop-web-*", "--yes"},
       "",
       "InventoryService/DeleteVms",
       "names: \"vms/shop-web-01\" names: \"vms/shop-web-02\" "},
      {{"vm", "power", "hard-off", "a", "b", "--shutdown-deadline", "2m"},
       "",
       "InventoryService/PowerVms",
       "names: \"vms/a\" names: \"vms/b\" action: POWER_ACTION_HARD_OFF shutdown_deadline_seconds: "
       "120 "},
      {{"vm", "set-hardware", "a", "--cpus", "4", "--disk", "1T"},
       "",
       "InventoryService/SetVmHardware",
       "name: \"vms/a\" cpus: 4 disk_gb: 1024 "},
      {{"vm", "set-remark", "a", "--remark", "中文"},
       "",
       "InventoryService/UpdateVm",
       "vm { name: \"vms/a\" remark: \"中文\" } update_mask { paths: \"remark\" } "},
      {{"vm", "set-remark", "a", "--remark", ""},
       "",
       "InventoryService/UpdateVm",
       "vm { name: \"vms/a\" } update_mask { paths: \"remark\" } "},
      {{"vm", "forget", "a", "-y"}, "", "InventoryService/ForgetVm", "name: \"vms/a\" "},
      {{"env", "power", "restart", "shop", "test"},
       "",
       "InventoryService/PowerEnvironments",
       "names: \"environments/shop\" names: \"environments/test\" action: POWER_ACTION_RESTART "},
      {{"env", "edit", "shop", "--description", "x"},
       "",
       "InventoryService/UpdateEnvironment",
       "environment { name: \"environments/shop\" description: \"x\" } update_mask { paths: "
       "\"description\" } "},
      {{"env", "delete", "shop", "--confirm", "shop"},
       "",
       "InventoryService/DeleteEnvironment",
       "name: \"environments/shop\" confirm: \"shop\" "},
      {{"hypervisor", "add", "esxi1", "--url", "https://10.0.0.2/sdk", "--user", "root",
        "--password-stdin", "--fingerprint", "sha256:ab:cd"},
       "pw\n",
       "InventoryService/CreateHypervisor",
       "hypervisor_id: \"esxi1\" hypervisor { url: \"https://10.0.0.2/sdk\" user: \"root\" "
       "password: \"pw\" "
       "certificate_fingerprint: \"AB:CD\" } "},
      {{"hypervisor", "add", "esxi1", "--url", "https://10.0.0.2/sdk", "--user", "root",
        "--password-stdin", "--fingerprint", "AB", "--ssh-host-key", "SHA256:x"},
       "pw\n",
       "InventoryService/CreateHypervisor",
       "hypervisor_id: \"esxi1\" hypervisor { url: \"https://10.0.0.2/sdk\" user: \"root\" "
       "password: \"pw\" "
       "certificate_fingerprint: \"AB\" ssh { user: \"root\" password: \"pw\" "
       "host_key_fingerprint: \"SHA256:x\" } } "},
      {{"hypervisor", "add", "esxi1", "--url", "https://10.0.0.2/sdk", "--user", "root",
        "--password-stdin", "--fingerprint", "AB", "--ssh-user", "ops", "--ssh-password-stdin"},
       "pw\nssh pw\n",
       "InventoryService/CreateHypervisor",
       "hypervisor_id: \"esxi1\" hypervisor { url: \"https://10.0.0.2/sdk\" user: \"root\" "
       "password: \"pw\" "
       "certificate_fingerprint: \"AB\" ssh { user: \"ops\" password: \"ssh pw\" } } "},
      {{"hypervisor", "edit", "esxi1", "--password-stdin"},
       "new\n",
       "InventoryService/UpdateHypervisor",
       "hypervisor { name: \"hypervisors/esxi1\" password: \"new\" } update_mask { paths: "
       "\"password\" } "},
      {{"service", "restart", "a", "--service", "nginx"},
       "",
       "GuestService/ControlServices",
       "vms: \"vms/a\" services: \"nginx\" action: SERVICE_ACTION_RESTART "},
      {{"service", "output", "a", "nginx"},
       "",
       "GuestService/GetServiceOutput",
       "vm: \"vms/a\" service: \"nginx\" "},
      {{"user", "add", "wang", "--role", "administrator", "--title", "王伟", "--password-stdin"},
       "0123456789\n",
       "PeopleService/CreateUser",
       "user_id: \"wang\" user { display_name: \"王伟\" role: ROLE_ADMINISTRATOR password: "
       "\"0123456789\" } "},
      {{"user", "set-role", "wang", "--role", "system-administrator"},
       "",
       "PeopleService/UpdateUser",
       "user { name: \"users/wang\" role: ROLE_SYSTEM_ADMINISTRATOR } update_mask { paths: "
       "\"role\" } "},
      {{"log", "search", "--kind", "login", "--since", "2026-01-02T03:04:05Z", "--text", "x"},
       "",
       "ActivityService/SearchLog",
       "page_size: 500 start_time { seconds: 1767323045 } kinds: LOG_KIND_LOGIN text: \"x\" "},
      {{"log", "delete", "--before", "2026-01-02T03:04:05Z", "--confirm", "delete log entries"},
       "",
       "ActivityService/DeleteLog",
       "before_time { seconds: 1767323045 } confirm: \"delete log entries\" "},
      {{"operation", "cancel", "3"},
       "",
       "ActivityService/CancelOperation",
       "name: \"operations/3\" "},
  };
  for (const Row& row : rows) {
    const testing::Ran ran = Run(row.words, row.input);
    EXPECT_EQ(ran.exit_code, 0) << row.words[0] << " " << row.words[1] << ": " << ran.err;
    EXPECT_EQ(Sent(row.method), row.request) << row.words[0] << " " << row.words[1];
  }
}

TEST_F(CallsTest, AllPagesAreFetched) {
  controller_.On<v1::ListTypesRequest, v1::ListTypesResponse>(
      "InventoryService/ListTypes",
      [](const v1::ListTypesRequest& request, v1::ListTypesResponse* answer) {
        const int page = request.page_token().empty() ? 1 : std::stoi(request.page_token());
        answer->add_types()->set_name("types/t" + std::to_string(page));
        if (page < 3) answer->set_next_page_token(std::to_string(page + 1));
        return absl::OkStatus();
      });
  EXPECT_EQ(Run({"type", "list", "-q"}).out, "t1\nt2\nt3\n");
  EXPECT_EQ(Run({"type", "list", "-q", "--limit", "2"}).out, "t1\nt2\n");
  EXPECT_EQ(Run({"type", "list", "--limit", "0"}).exit_code, 2);
}

TEST_F(CallsTest, AGlobThatMatchesNothingChangesNothing) {
  const testing::Ran ran = Run({"vm", "power", "off", "prod-*"});
  EXPECT_EQ(ran.exit_code, 3);
  EXPECT_THAT(ran.err, HasSubstr("no name among the vms matches \"prod-*\""));
  EXPECT_TRUE(controller_.Requests("InventoryService/PowerVms").empty());
}

TEST_F(CallsTest, WithoutATerminalDangerNeedsAFlag) {
  AnswerEverything();
  const std::vector<std::vector<std::string>> dangerous = {{"vm", "delete", "a"},
                                                           {"vm", "forget", "a"},
                                                           {"hypervisor", "delete", "a"},
                                                           {"type", "delete", "a"},
                                                           {"user", "delete", "a"},
                                                           {"env", "delete", "a"},
                                                           {"log", "delete", "--before", "1d"}};
  for (const auto& words : dangerous) {
    const testing::Ran ran = Run(words, "y\n");
    EXPECT_EQ(ran.exit_code, 2) << words[0] << words[1];
    EXPECT_THAT(ran.err, HasSubstr("reason: NEEDS_")) << words[0] << words[1];
  }
  for (const char* method : {"InventoryService/DeleteVms", "InventoryService/ForgetVm",
                             "InventoryService/DeleteHypervisor", "InventoryService/DeleteType",
                             "PeopleService/DeleteUser", "ActivityService/DeleteLog"}) {
    EXPECT_TRUE(controller_.Requests(method).empty()) << method;
  }
  // What would go was asked, and only that.
  EXPECT_EQ(Sent("InventoryService/DeleteEnvironment"),
            "name: \"environments/a\" validate_only: true ");
}

TEST_F(CallsTest, AnUpdateOfNothingIsRefused) {
  const testing::Ran ran = Run({"env", "edit", "shop"});
  EXPECT_EQ(ran.exit_code, 2);
  EXPECT_THAT(ran.err, HasSubstr("nothing to change; give at least one of --title, --description"));
}

TEST_F(CallsTest, ASecretFileMustBePrivate) {
  const std::string path = FileWith("pw", "secret\n");
  ASSERT_EQ(chmod(path.c_str(), 0640), 0);
  const std::vector<std::string> words = {"vm", "set-password", "a", "--password-file", path};
  EXPECT_THAT(Run(words).err, HasSubstr("has mode 0640: others can read it"));
  AnswerEverything();
  ASSERT_EQ(chmod(path.c_str(), 0600), 0);
  EXPECT_EQ(Run(words).exit_code, 0);
  EXPECT_EQ(Sent("GuestService/SetVmPassword"), "name: \"vms/a\" password: \"secret\" ");
}

struct ErrorRow {
  absl::Status status;
  int exit_code;
  const char* err;
};

TEST_F(CallsTest, ErrorsSayWhatWhyAndWhatHelps) {
  Violations two;
  two.Add("vm.network.ip", "\"10.0.0\" is not an IPv4 address");
  two.Add("vm_id", "has capital letters");
  const ErrorRow rows[] = {
      {MakeError(absl::StatusCode::kNotFound, "TYPE_NOT_FOUND", "there is no type \"web\""), 3,
       "drover: there is no type \"web\"\n  reason: TYPE_NOT_FOUND\n"},
      {InvalidField("vm.network.ip", "\"10.0.0\" is not an IPv4 address"), 2,
       "drover: --ip: \"10.0.0\" is not an IPv4 address\n"},
      {two.ToStatus(), 2,
       "drover: 2 fields are wrong\n  --ip: \"10.0.0\" is not an IPv4 address\n  VM: has capital "
       "letters\n"},
      {MakeError(absl::StatusCode::kAlreadyExists, "ADDRESS_TAKEN", "10.0.0.5 belongs to web-01"),
       5, "drover: 10.0.0.5 belongs to web-01\n  reason: ADDRESS_TAKEN\n"},
      {MakeError(absl::StatusCode::kUnauthenticated, "NOT_SIGNED_IN", "sign in first"), 4,
       "drover: sign in first\n  reason: NOT_SIGNED_IN\n  hint: sign in with: drover login "
       "HOST:PORT --user NAME\n"},
      {MakeError(absl::StatusCode::kPermissionDenied, "ROLE_NOT_SUFFICIENT",
                 "only system administrators may do this"),
       4,
       "drover: only system administrators may do this\n  reason: ROLE_NOT_SUFFICIENT\n  hint: ask "
       "a system administrator; "
       "see: drover whoami\n"},
      {absl::UnimplementedError("x"), 1,
       "drover: this controller cannot do that: CreateVm is not built into its version\n  reason: "
       "NOT_BUILT\n"},
      {absl::InternalError("boom"), 1, "drover: boom\n"},
  };
  const std::vector<std::string> words = {"vm",       "create",    "web-05",   "-t",
                                          "web",      "-e",        "shop",     "--ip",
                                          "10.0.0.5", "--netmask", "255.0.0.0"};
  for (const ErrorRow& row : rows) {
    controller_.Refuse("InventoryService/CreateVm", row.status);
    const testing::Ran ran = Run(words);
    EXPECT_EQ(ran.exit_code, row.exit_code) << row.status;
    EXPECT_EQ(ran.err, row.err);
    EXPECT_EQ(ran.out, "");
  }
}

TEST_F(CallsTest, WithJsonTheErrorIsJsonToo) {
  controller_.Refuse("InventoryService/GetVm",
                     MakeError(absl::StatusCode::kNotFound, "VM_NOT_FOUND", "there is none"));
  const testing::Ran ran = Run({"vm", "show", "a", "-o", "json"});
  EXPECT_EQ(ran.exit_code, 3);
  EXPECT_EQ(ran.out, "");
  EXPECT_THAT(ran.err, HasSubstr("\"code\": 5"));
  EXPECT_THAT(ran.err, HasSubstr("\"reason\": \"VM_NOT_FOUND\""));
}

TEST_F(CallsTest, AChangeIsSentAgainWithTheSameIdWhenTheConnectionWasLost) {
  controller_.OnCall(
      "InventoryService/CreateEnvironment",
      [this](const google::protobuf::Message&, const testing::FakeController::Send& send) {
        if (controller_.Requests("InventoryService/CreateEnvironment").size() == 1) {
          return absl::UnavailableError("gone");
        }
        send(v1::Environment());
        return absl::OkStatus();
      });
  EXPECT_EQ(Run({"env", "add", "shop"}).exit_code, 0);
  const auto sent = controller_.Requests("InventoryService/CreateEnvironment");
  ASSERT_EQ(sent.size(), 2u);
  EXPECT_EQ(sent[0], sent[1]);
}

// ---- documents

class DocumentCallsTest : public CallsTest {
 protected:
  DocumentCallsTest() {
    plan_.set_environment("environments/shop");
    plan_.set_create_environment(true);
    plan_.set_digest("d1");
    auto* change = plan_.add_changes();
    change->set_action(v1::PlannedVm::ACTION_CREATE);
    change->mutable_vm()->set_name("vms/shop-web-01");
    change->mutable_vm()->set_type("types/web");
    change->mutable_vm()->mutable_network()->set_ip("10.0.0.10");
    plan_.add_warnings("esxi2 is away");
    controller_.Answer("InventoryService/PlanEnvironment", plan_);
    v1::Operation done;
    done.set_name("operations/9");
    done.set_title("apply environment shop");
    done.set_state(v1::Operation::STATE_SUCCEEDED);
    controller_.Answer("InventoryService/ApplyEnvironment", done);
    file_ = FileWith("env.toml", "environment = \"shop\"\n[[group]]\ntype = \"web\"\ncount = 1\n");
  }
  v1::EnvironmentPlan plan_;
  std::string file_;
};

TEST_F(DocumentCallsTest, PlanShowsTheDifference) {
  const testing::Ran ran = Run({"plan", "-f", file_});
  EXPECT_EQ(ran.exit_code, 0) << ran.err;
  EXPECT_EQ(ran.out,
            "environment shop is new\n"
            "ACTION  VM           TYPE  IP         HYPERVISOR  DIFFERENCES\n"
            "create  shop-web-01  web   10.0.0.10  -           -\n"
            "1 to create, 0 to change, 0 to delete, 0 as they should be\n");
  EXPECT_EQ(ran.err, "Warning: esxi2 is away\n");
  EXPECT_EQ(Sent("InventoryService/PlanEnvironment"),
            "document { environment: \"shop\" groups { type: \"types/web\" count: 1 } } ");
}

TEST_F(DocumentCallsTest, ApplySendsThePlanThatWasShown) {
  const testing::Ran ran =
      Run({"apply", "-f", file_, "--yes", "--guest-password-stdin"}, "guest\n");
  EXPECT_EQ(ran.exit_code, 0) << ran.err;
  EXPECT_EQ(Sent("InventoryService/ApplyEnvironment"),
            "document { environment: \"shop\" groups { type: \"types/web\" count: 1 } "
            "guest_password: \"guest\" } "
            "expected_plan_digest: \"d1\" ");
  EXPECT_THAT(ran.out, HasSubstr("apply environment shop: succeeded"));
}

TEST_F(DocumentCallsTest, ApplyWithoutAWordChangesNothing) {
  const testing::Ran ran = Run({"apply", "-f", file_});
  EXPECT_EQ(ran.exit_code, 2);
  EXPECT_THAT(ran.err, HasSubstr("give --yes"));
  EXPECT_EQ(Run({"apply", "-f", file_, "--dry-run"}).exit_code, 0);
  EXPECT_TRUE(controller_.Requests("InventoryService/ApplyEnvironment").empty());
}

TEST_F(DocumentCallsTest, NothingToDoIsDone) {
  controller_.Answer("InventoryService/PlanEnvironment", v1::EnvironmentPlan());
  const testing::Ran ran = Run({"apply", "-f", file_});
  EXPECT_EQ(ran.exit_code, 0);
  EXPECT_THAT(ran.err, HasSubstr("Nothing to do."));
}

TEST_F(DocumentCallsTest, FromStandardInput) {
  EXPECT_EQ(Run({"plan", "-f", "-"}, "environment = \"shop\"\n").exit_code, 0);
  const testing::Ran bad = Run({"plan", "-f", "-"}, "environmnt = \"shop\"\n");
  EXPECT_EQ(bad.exit_code, 2);
  EXPECT_THAT(bad.err,
              HasSubstr("stdin:1:1: environmnt: unknown key; did you mean \"environment\"?"));
  EXPECT_EQ(Run({"plan", "-f", home_.File("none.toml")}).exit_code, 3);
}

TEST_F(DocumentCallsTest, ProblemsTheControllerFindsGetTheirPlace) {
  controller_.Refuse("InventoryService/PlanEnvironment",
                     InvalidField("document.groups[0].type", "there is no type \"web\""));
  const testing::Ran ran = Run({"plan", "-f", file_});
  EXPECT_EQ(ran.exit_code, 2);
  EXPECT_EQ(ran.err, "drover: " + file_ + ":3:8: groups[0].type: there is no type \"web\"\n");
}

TEST_F(DocumentCallsTest, Export) {
  v1::EnvironmentDocument document;
  document.set_environment("shop");
  document.add_groups()->set_type("types/web");
  controller_.Answer("InventoryService/ExportEnvironment", document);
  EXPECT_EQ(Run({"env", "export", "shop", "-o", "toml"}).out,
            "environment = \"shop\"\n\n[[group]]\ntype = \"web\"\n");
  EXPECT_THAT(Run({"env", "export", "shop", "-o", "json"}).out,
              HasSubstr("\"environment\": \"shop\""));
}

class TypeCallsTest : public CallsTest {
 protected:
  TypeCallsTest() {
    v1::ListTypesResponse known;
    known.add_types()->set_name("types/web");
    controller_.Answer("InventoryService/ListTypes", known);
    controller_.On<v1::CreateTypeRequest, v1::VmType>(
        "InventoryService/CreateType", [](const v1::CreateTypeRequest& request, v1::VmType* type) {
          if (request.type_id() == "bad")
            return InvalidField("type.services[0].command_line", "is not RE2");
          *type = request.type();
          type->set_name("types/" + request.type_id());
          return absl::OkStatus();
        });
    controller_.On<v1::UpdateTypeRequest, v1::VmType>(
        "InventoryService/UpdateType", [](const v1::UpdateTypeRequest& request, v1::VmType* type) {
          *type = request.type();
          return absl::OkStatus();
        });
  }
  static std::string Type(const std::string& name) {
    return "[[type]]\nname = \"" + name +
           "\"\ntemplate = \"t\"\n[[type.service]]\nname = \"s\"\ncommand_line = \"(\"\n";
  }
};

TEST_F(TypeCallsTest, AddsEachOfAFile) {
  const testing::Ran ran = Run(
      {"type", "add", "-f", FileWith("t.toml", Type("a") + Type("b")), "--guest-password-stdin"},
      "pw\n");
  EXPECT_EQ(ran.exit_code, 0) << ran.err;
  EXPECT_EQ(ran.out, "type a added\ntype b added\n");
  EXPECT_EQ(Sent("InventoryService/CreateType"),
            "type_id: \"b\" type { template: \"t\" guest_password: \"pw\" services { name: \"s\" "
            "command_line: \"(\" } } ");
}

TEST_F(TypeCallsTest, OneThatIsThereStopsAllBeforeTheFirst) {
  const std::string file = FileWith("t.toml", Type("a") + Type("web"));
  const testing::Ran ran = Run({"type", "add", "-f", file});
  EXPECT_EQ(ran.exit_code, 5);
  EXPECT_EQ(ran.err, "drover: web: there already; change with: drover type edit -f " + file + "\n");
  EXPECT_TRUE(controller_.Requests("InventoryService/CreateType").empty());
  EXPECT_EQ(Run({"type", "add", "-f", file, "--update"}).out, "type a added\ntype web changed\n");
  EXPECT_EQ(Run({"type", "edit", "-f", file}).exit_code, 3);
}

TEST_F(TypeCallsTest, AProblemOfOneIsToldWithItsName) {
  const std::string file = FileWith("t.toml", Type("a") + Type("bad"));
  const testing::Ran ran = Run({"type", "add", "-f", file});
  EXPECT_EQ(ran.exit_code, 2);
  EXPECT_THAT(ran.err, HasSubstr("saved: a; not saved: type bad: " + file +
                                 ":12:16: services[0].command_line: is not RE2"));
}

}  // namespace
}  // namespace drover::cli
