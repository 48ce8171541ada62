#include "controller/api/dispatcher.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/stat.h>

#include <memory>
#include <string>
#include <thread>
#include <vector>

#include "absl/synchronization/notification.h"
#include "controller/api/gateway_key.h"
#include "controller/core/client_address.h"
#include "drover/v1/activity.pb.h"
#include "drover/v1/inventory.pb.h"
#include "drover/v1/people.pb.h"
#include "proto/support/contract.h"
#include "proto/support/status.h"
#include "tests/controller/api/fake_gate.h"
#include "tests/testing/fake_clock.h"
#include "tests/testing/temp_dir.h"

namespace drover::api {
namespace {

using google::protobuf::Empty;
using google::protobuf::Message;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::Not;
using ::testing::SizeIs;

constexpr char kCanary[] = "CANARY-secret-7f3";

// Sets every secret field, at any depth.
void FillSecrets(Message* message, const std::string& canary, int depth) {
  using google::protobuf::FieldDescriptor;
  const auto* reflection = message->GetReflection();
  for (int i = 0; i < message->GetDescriptor()->field_count(); ++i) {
    const FieldDescriptor* field = message->GetDescriptor()->field(i);
    if (field->options().GetExtension(v1::secret)) {
      reflection->SetString(message, field, canary);
    } else if (field->cpp_type() == FieldDescriptor::CPPTYPE_MESSAGE && !field->is_map() &&
               depth > 0) {
      FillSecrets(field->is_repeated() ? reflection->AddMessage(message, field)
                                       : reflection->MutableMessage(message, field),
                  canary, depth - 1);
    }
  }
}

class DispatcherTest : public ::testing::Test {
 protected:
  DispatcherTest()
      : log_(
            [this](v1::LogEntry entry) {
              entries_.push_back(std::move(entry));
              return log_status_;
            },
            [](absl::string_view name) -> std::optional<v1::Vm> {
              if (name != "vms/web-01" && name != "vms/db-01") return std::nullopt;
              v1::Vm vm;
              vm.set_name(std::string(name));
              vm.set_type(name == "vms/web-01" ? "types/web" : "types/mysql");
              vm.set_environment("environments/prod");
              return vm;
            },
            &clock_),
        dispatcher_(gate_.AsGate(), &log_) {}

  absl::StatusOr<std::unique_ptr<Message>> Call(const std::string& method, const Message& request,
                                                const std::string& token) {
    std::unique_ptr<Message> copy(request.New());
    copy->CopyFrom(request);
    return dispatcher_.Dispatch(*FindMethod(method), {token, "10.9.8.7"}, std::move(copy));
  }

  testing::FakeClock clock_;
  FakeGate gate_;
  std::vector<v1::LogEntry> entries_;
  absl::Status log_status_;
  CallLog log_;
  Dispatcher dispatcher_;
};

struct AccessCase {
  const char* name;
  const char* method;
  const char* token;
  absl::StatusCode code;
  const char* reason;
  bool logged;
};

class Access : public DispatcherTest, public ::testing::WithParamInterface<AccessCase> {};

// One method of each access level; UNIMPLEMENTED stands for "let in": nothing is registered.
TEST_P(Access, IsDecidedByTheRule) {
  const AccessCase& row = GetParam();
  const auto* method = FindMethod(row.method);
  ASSERT_NE(method, nullptr);
  const auto answer = Call(row.method, *NewMessage(*method->input_type()), row.token);
  EXPECT_EQ(answer.status().code(), row.code) << answer.status();
  EXPECT_EQ(ReasonOf(answer.status()), row.reason);
  EXPECT_EQ(entries_.size(), row.logged ? 1 : 0);
  if (row.logged) {
    EXPECT_EQ(entries_[0].result(), absl::StatusCodeToString(row.code));
  }
}

constexpr auto kIn = absl::StatusCode::kUnimplemented;
constexpr auto kOut = absl::StatusCode::kUnauthenticated;
constexpr auto kNo = absl::StatusCode::kPermissionDenied;
const AccessCase kAccess[] = {
    {"anyone_anonymous", "PeopleService/Login", "", kIn, "", true},
    {"anyone_with_stale_token", "PeopleService/Login", "stale", kIn, "", true},
    {"self_anonymous", "PeopleService/GetSelf", "", kOut, "NOT_SIGNED_IN", true},
    {"self_stale", "PeopleService/GetSelf", "stale", kOut, "SESSION_EXPIRED", true},
    {"self_administrator", "PeopleService/GetSelf", "admin", kIn, "", false},
    {"self_must_change", "PeopleService/GetSelf", "fresh", kIn, "", false},
    {"change_password_must_change", "PeopleService/ChangePassword", "fresh", kIn, "", true},
    {"read_anonymous", "InventoryService/ListVms", "", kOut, "NOT_SIGNED_IN", true},
    {"read_administrator", "InventoryService/ListVms", "admin", kIn, "", false},
    {"read_system", "InventoryService/ListVms", "system", kIn, "", false},
    {"read_must_change", "InventoryService/ListVms", "fresh", kNo, "PASSWORD_CHANGE_REQUIRED",
     true},
    {"read_without_role", "InventoryService/ListVms", "nobody", kNo, "ROLE_NOT_SUFFICIENT", true},
    {"power_administrator", "InventoryService/PowerVms", "admin", kIn, "", true},
    {"create_administrator", "InventoryService/CreateVm", "admin", kNo, "ROLE_NOT_SUFFICIENT",
     true},
    {"create_system", "InventoryService/CreateVm", "system", kIn, "", true},
    {"create_anonymous", "InventoryService/CreateVm", "", kOut, "NOT_SIGNED_IN", true},
    {"users_administrator", "PeopleService/ListUsers", "admin", kNo, "ROLE_NOT_SUFFICIENT", true},
    {"users_system", "PeopleService/ListUsers", "system", kIn, "", false},
};
INSTANTIATE_TEST_SUITE_P(All, Access, ::testing::ValuesIn(kAccess),
                         [](const auto& info) { return std::string(info.param.name); });

// Every method of the contract, not only those above: nothing is open that does not say so, and an
// administrator gets exactly what the options allow.
TEST_F(DispatcherTest, EveryMethodOfTheContractIsGuarded) {
  for (const auto* service : PublicServices()) {
    for (int i = 0; i < service->method_count(); ++i) {
      const auto* method = service->method(i);
      const v1::Access access = RuleOf(*method).access();
      const std::string path = MethodPath(*method);
      const auto code = [&](const char* token) {
        core::Caller caller;
        return dispatcher_.Admit(*method, {token, "10.0.0.1"}, &caller).code();
      };
      EXPECT_EQ(code(""), access == v1::ACCESS_ANYONE ? absl::StatusCode::kOk : kOut) << path;
      EXPECT_EQ(code("admin"),
                access == v1::ACCESS_SYSTEM_ADMINISTRATOR ? kNo : absl::StatusCode::kOk)
          << path;
      EXPECT_EQ(code("system"), absl::StatusCode::kOk) << path;
    }
  }
}

TEST_F(DispatcherTest, HandlerGetsCallerAndCheckedRequest) {
  dispatcher_.OnUnary<v1::GetVmRequest, v1::Vm>(
      "InventoryService.GetVm", [](const struct Call& call, const v1::GetVmRequest& request) {
        EXPECT_EQ(call.caller.user, "anna");
        EXPECT_EQ(call.caller.client_address, "10.9.8.7");
        v1::Vm vm;
        vm.set_name(request.name());
        return vm;
      });
  v1::GetVmRequest request;
  EXPECT_TRUE(absl::IsInvalidArgument(Call("InventoryService/GetVm", request, "admin").status()));
  request.set_name("vms/web-01");
  auto answer = Call("InventoryService/GetVm", request, "admin");
  ASSERT_TRUE(answer.ok()) << answer.status();
  EXPECT_EQ(static_cast<v1::Vm&>(**answer).name(), "vms/web-01");
  // Reads leave no trace.
  EXPECT_TRUE(entries_.empty());
}

TEST_F(DispatcherTest, LogsAChangeWithItsVmAndWithoutSecrets) {
  dispatcher_.OnUnary<v1::CreateVmRequest, v1::Operation>(
      "InventoryService.CreateVm", [](const auto&, const v1::CreateVmRequest& request) {
        EXPECT_EQ(request.guest_password(), kCanary);
        v1::Operation operation;
        operation.set_name("operations/7");
        return operation;
      });
  v1::CreateVmRequest request;
  request.set_vm_id("new-01");
  request.set_guest_password(kCanary);
  request.mutable_vm()->set_type("types/web");
  request.mutable_vm()->set_environment("environments/prod");
  ASSERT_TRUE(Call("InventoryService/CreateVm", request, "system").ok());
  ASSERT_THAT(entries_, SizeIs(1));
  const v1::LogEntry& entry = entries_[0];
  EXPECT_EQ(entry.kind(), v1::LOG_KIND_OPERATION);
  EXPECT_EQ(entry.user(), "sysop");
  EXPECT_EQ(entry.client_address(), "10.9.8.7");
  EXPECT_EQ(entry.action(), "create VM");
  EXPECT_EQ(entry.resource_name(), "vms/new-01");
  EXPECT_EQ(entry.vm(), "vms/new-01");
  EXPECT_EQ(entry.vm_type(), "types/web");
  EXPECT_EQ(entry.environment(), "environments/prod");
  EXPECT_EQ(entry.result(), "OK");
  EXPECT_EQ(entry.operation(), "operations/7");
  EXPECT_THAT(entry.detail(), HasSubstr("\"vmId\":\"new-01\""));
  EXPECT_THAT(entry.ShortDebugString(), Not(HasSubstr(kCanary)));
}

TEST_F(DispatcherTest, NoSecretOfAnyRequestReachesTheLog) {
  for (const auto* service : PublicServices()) {
    for (int i = 0; i < service->method_count(); ++i) {
      const auto* method = service->method(i);
      std::unique_ptr<Message> request = NewMessage(*method->input_type());
      FillSecrets(request.get(), kCanary, 4);
      if (method->server_streaming()) continue;
      dispatcher_.Dispatch(*method, {"admin", "10.0.0.1"}, std::move(request))
          .status()
          .IgnoreError();
    }
  }
  EXPECT_GT(entries_.size(), 20u);
  for (const v1::LogEntry& entry : entries_) {
    EXPECT_THAT(entry.ShortDebugString(), Not(HasSubstr(kCanary)));
  }
}

TEST_F(DispatcherTest, FailedAndRefusedCallsAreLoggedWithTheirReason) {
  dispatcher_.OnUnary<v1::ForgetVmRequest, Empty>(
      "InventoryService.ForgetVm", [](const auto&, const auto&) -> absl::StatusOr<Empty> {
        return MakeError(absl::StatusCode::kNotFound, "VM_NOT_FOUND", "there is no VM db-01");
      });
  v1::ForgetVmRequest request;
  request.set_name("vms/db-01");
  EXPECT_TRUE(absl::IsNotFound(Call("InventoryService/ForgetVm", request, "system").status()));
  EXPECT_TRUE(
      absl::IsPermissionDenied(Call("InventoryService/ForgetVm", request, "admin").status()));
  ASSERT_THAT(entries_, SizeIs(2));
  EXPECT_EQ(entries_[0].result(), "NOT_FOUND");
  EXPECT_THAT(entries_[0].detail(), HasSubstr("there is no VM db-01"));
  EXPECT_EQ(entries_[0].vm_type(), "types/mysql");
  EXPECT_EQ(entries_[1].result(), "PERMISSION_DENIED");
  EXPECT_EQ(entries_[1].user(), "anna");
  EXPECT_EQ(entries_[1].resource_name(), "vms/db-01");
}

TEST_F(DispatcherTest, BadInputIsLoggedAndNothingRuns) {
  dispatcher_.OnUnary<v1::PowerVmsRequest, v1::Operation>(
      "InventoryService.PowerVms", [](const auto&, const auto&) -> absl::StatusOr<v1::Operation> {
        ADD_FAILURE() << "the handler ran";
        return absl::InternalError("");
      });
  v1::PowerVmsRequest request;
  request.add_names("types/x");
  EXPECT_TRUE(
      absl::IsInvalidArgument(Call("InventoryService/PowerVms", request, "admin").status()));
  ASSERT_THAT(entries_, SizeIs(1));
  EXPECT_EQ(entries_[0].result(), "INVALID_ARGUMENT");
}

TEST_F(DispatcherTest, OneEntryPerVmOfABatch) {
  dispatcher_.OnUnary<v1::PowerVmsRequest, v1::Operation>(
      "InventoryService.PowerVms", [](const auto&, const auto&) { return v1::Operation(); });
  v1::PowerVmsRequest request;
  request.add_names("vms/web-01");
  request.add_names("vms/db-01");
  request.set_action(v1::POWER_ACTION_OFF);
  ASSERT_TRUE(Call("InventoryService/PowerVms", request, "admin").ok());
  ASSERT_THAT(entries_, SizeIs(2));
  EXPECT_EQ(entries_[0].vm(), "vms/web-01");
  EXPECT_EQ(entries_[0].vm_type(), "types/web");
  EXPECT_EQ(entries_[1].vm(), "vms/db-01");
  EXPECT_EQ(entries_[1].vm_type(), "types/mysql");
}

TEST_F(DispatcherTest, ARehearsalIsNotLoggedAsIfItWereDone) {
  dispatcher_.OnUnary<v1::DeleteVmsRequest, v1::Operation>(
      "InventoryService.DeleteVms", [](const auto&, const auto&) { return v1::Operation(); });
  v1::DeleteVmsRequest request;
  request.add_names("vms/web-01");
  request.set_validate_only(true);
  ASSERT_TRUE(Call("InventoryService/DeleteVms", request, "system").ok());
  request.set_validate_only(false);
  ASSERT_TRUE(Call("InventoryService/DeleteVms", request, "system").ok());
  ASSERT_THAT(entries_, SizeIs(2));
  EXPECT_EQ(entries_[0].action(), "check: " + entries_[1].action());
  EXPECT_THAT(entries_[0].detail(), HasSubstr("validateOnly"));
}

TEST_F(DispatcherTest, SigningInIsLoggedWithTheNameThatWasTried) {
  dispatcher_.OnUnary<v1::LoginRequest, v1::Session>(
      "PeopleService.Login",
      [](const auto&, const v1::LoginRequest& request) -> absl::StatusOr<v1::Session> {
        if (request.password() != kCanary) {
          return MakeError(absl::StatusCode::kUnauthenticated, "LOGIN_FAILED", "wrong");
        }
        v1::Session session;
        session.set_token(kCanary);
        return session;
      });
  v1::LoginRequest request;
  request.set_user("anna");
  request.set_password("wrong");
  for (int i = 0; i < 3; ++i) {
    EXPECT_TRUE(absl::IsUnauthenticated(Call("PeopleService/Login", request, "").status()));
  }
  request.set_password(kCanary);
  auto answer = Call("PeopleService/Login", request, "");
  ASSERT_TRUE(answer.ok());
  // The one answer that may carry a secret.
  EXPECT_EQ(static_cast<v1::Session&>(**answer).token(), kCanary);
  // Failed sign-ins are never folded.
  ASSERT_THAT(entries_, SizeIs(4));
  EXPECT_EQ(entries_[0].kind(), v1::LOG_KIND_LOGIN);
  EXPECT_EQ(entries_[0].user(), "anna");
  EXPECT_EQ(entries_[0].resource_name(), "users/anna");
  EXPECT_EQ(entries_[0].result(), "UNAUTHENTICATED");
  EXPECT_EQ(entries_[3].result(), "OK");
}

TEST_F(DispatcherTest, CallsWithoutSessionAreFoldedPerAddress) {
  const v1::ListVmsRequest request;
  for (int i = 0; i < 5; ++i) Call("InventoryService/ListVms", request, "").status().IgnoreError();
  EXPECT_THAT(entries_, SizeIs(1));
  clock_.Advance(absl::Minutes(2));
  Call("InventoryService/ListVms", request, "").status().IgnoreError();
  ASSERT_THAT(entries_, SizeIs(2));
  EXPECT_THAT(entries_[1].detail(), HasSubstr("4 more like it before"));
}

TEST_F(DispatcherTest, AnswersCarryNoSecrets) {
  dispatcher_.OnUnary<v1::GetOperationRequest, v1::Operation>(
      "ActivityService.GetOperation", [](const auto&, const auto&) {
        v1::User user;
        user.set_name("users/x");
        user.set_password(kCanary);
        v1::Operation operation;
        operation.mutable_response()->PackFrom(user);
        return operation;
      });
  v1::GetOperationRequest request;
  request.set_name("operations/1");
  auto answer = Call("ActivityService/GetOperation", request, "admin");
  ASSERT_TRUE(answer.ok()) << answer.status();
  EXPECT_THAT((*answer)->SerializeAsString(), Not(HasSubstr(kCanary)));
  v1::User user;
  ASSERT_TRUE(static_cast<v1::Operation&>(**answer).response().UnpackTo(&user));
  EXPECT_EQ(user.name(), "users/x");
}

TEST_F(DispatcherTest, TheSameRequestIdIsCarriedOutOnce) {
  int runs = 0;
  dispatcher_.OnUnary<v1::CreateEnvironmentRequest, v1::Environment>(
      "InventoryService.CreateEnvironment", [&runs](const auto&, const auto& request) {
        v1::Environment environment;
        environment.set_name("environments/" + request.environment_id());
        environment.set_vm_count(++runs);
        return environment;
      });
  v1::CreateEnvironmentRequest request;
  request.set_environment_id("prod");
  request.set_request_id("r-1");
  auto first = Call("InventoryService/CreateEnvironment", request, "system");
  auto second = Call("InventoryService/CreateEnvironment", request, "system");
  ASSERT_TRUE(first.ok() && second.ok());
  EXPECT_EQ((*first)->SerializeAsString(), (*second)->SerializeAsString());
  EXPECT_EQ(runs, 1);
  request.set_environment_id("test");
  EXPECT_TRUE(absl::IsInvalidArgument(
      Call("InventoryService/CreateEnvironment", request, "system").status()));
  EXPECT_EQ(runs, 1);
}

TEST_F(DispatcherTest, TheSameRequestIdAtTheSameTimeIsRefused) {
  absl::Notification entered;
  absl::Notification go;
  dispatcher_.OnUnary<v1::CreateEnvironmentRequest, v1::Environment>(
      "InventoryService.CreateEnvironment", [&](const auto&, const auto&) {
        entered.Notify();
        go.WaitForNotification();
        return v1::Environment();
      });
  v1::CreateEnvironmentRequest request;
  request.set_environment_id("prod");
  request.set_request_id("r-1");
  std::thread first(
      [&] { EXPECT_TRUE(Call("InventoryService/CreateEnvironment", request, "system").ok()); });
  entered.WaitForNotification();
  // The log is written by one thread at a time here: the first one waits.
  const auto second = Call("InventoryService/CreateEnvironment", request, "system");
  EXPECT_TRUE(HasReason(second.status(), "REQUEST_IN_PROGRESS")) << second.status();
  go.Notify();
  first.join();
}

TEST_F(DispatcherTest, ALogThatCannotBeWrittenDoesNotHideTheAnswer) {
  log_status_ = absl::UnavailableError("disk full");
  dispatcher_.OnUnary<v1::ForgetVmRequest, Empty>("InventoryService.ForgetVm",
                                                  [](const auto&, const auto&) { return Empty(); });
  v1::ForgetVmRequest request;
  request.set_name("vms/db-01");
  EXPECT_TRUE(Call("InventoryService/ForgetVm", request, "system").ok());
}

TEST(DispatcherDeathTest, WrongRegistrationEndsTheProgram) {
  testing::FakeClock clock;
  CallLog log([](auto) { return absl::OkStatus(); }, [](auto) { return std::nullopt; }, &clock);
  Dispatcher dispatcher(FakeGate().AsGate(), &log);
  const auto handler = [](const Call&, const v1::GetVmRequest&) { return v1::Vm(); };
  EXPECT_DEATH((dispatcher.OnUnary<v1::GetVmRequest, v1::Vm>("InventoryService.Nope", handler)),
               "no such method");
  EXPECT_DEATH((dispatcher.OnUnary<v1::GetVmRequest, v1::Vm>("InventoryService.ListVms", handler)),
               "not as the contract says");
}

struct AddressCase {
  const char* peer;
  const char* told;
  bool from_gateway;
  const char* want;
};

TEST(ClientAddress, IsBelievedFromTheGatewayOnly) {
  const AddressCase rows[] = {
      {"ipv4:10.0.0.9:1234", "", false, "10.0.0.9"},
      {"ipv4:10.0.0.9:1234", "1.2.3.4", false, "10.0.0.9"},
      {"ipv4:10.0.0.1:1234", "1.2.3.4", true, "1.2.3.4"},
      {"ipv4:10.0.0.1:1234", "", true, "10.0.0.1"},
      {"ipv4:10.0.0.1:1234", "<script>", true, "10.0.0.1"},
      {"ipv6:%5B::1%5D:77", "2001:db8::5", true, "2001:db8::5"},
      {"ipv6:[2001:db8::9]:77", "1.1.1.1", false, "2001:db8::9"},
      {"ipv6:%5B::ffff:10.0.0.9%5D:77", "", true, "10.0.0.9"},
      {"unix:/tmp/x", "", false, "local"},
  };
  for (const AddressCase& row : rows) {
    EXPECT_EQ(core::ClientAddress(core::AddressOfPeer(row.peer), row.told, row.from_gateway),
              row.want)
        << row.peer;
  }
}

TEST(GatewayKey, IsMadeOnceAndKeptPrivate) {
  const drover::testing::TempDir dir;
  const std::string path = dir.File("gateway.key");
  const std::string first(64, 'a');
  EXPECT_EQ(OpenGatewayKey(path, [&first] { return first; }).value(), first);
  EXPECT_EQ(OpenGatewayKey(path, [] { return std::string(64, 'b'); }).value(), first);
  EXPECT_EQ(drover::testing::ModeOf(path), 0600);
  chmod(path.c_str(), 0644);
  EXPECT_TRUE(absl::IsFailedPrecondition(OpenGatewayKey(path, [] { return ""; }).status()));
  chmod(path.c_str(), 0600);
  drover::testing::WriteFile(path, "short\n");
  EXPECT_TRUE(absl::IsFailedPrecondition(OpenGatewayKey(path, [] { return ""; }).status()));
}

}  // namespace
}  // namespace drover::api
