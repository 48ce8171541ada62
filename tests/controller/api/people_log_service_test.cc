// Signing in, users and the platform log through the dispatcher, on the real core and store.
#include <gtest/gtest.h>

#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "controller/api/call_log.h"
#include "controller/api/dispatcher.h"
#include "controller/api/log_service.h"
#include "controller/api/people_service.h"
#include "controller/core/event_log.h"
#include "controller/core/people.h"
#include "controller/core/request_ledger.h"
#include "drover/v1/activity.pb.h"
#include "proto/support/contract.h"
#include "proto/support/status.h"
#include "proto/support/time.h"
#include "tests/testing/quick_vault.h"
#include "tests/testing/test_store.h"

namespace drover::api {
namespace {

using drover::testing::FilesContaining;
using drover::testing::QuickVault;
using drover::testing::ReadFile;
using drover::testing::TestStore;
using google::protobuf::Empty;
using google::protobuf::Message;

constexpr char kPassword[] = "canary-9e01-password";

// Takes `room` messages at a time.
class SmallSink : public StreamSink {
 public:
  bool Push(const Message& message) override {
    if (static_cast<int>(pieces.size()) >= room) return false;
    pieces.push_back(static_cast<const v1::FileChunk&>(message));
    return true;
  }
  void Finish(absl::Status end) override { status = end; }

  int room = 1;
  std::vector<v1::FileChunk> pieces;
  std::optional<absl::Status> status;
};

class PeopleLogServiceTest : public ::testing::Test {
 protected:
  PeopleLogServiceTest()
      : people_(&ground_.store(), &vault_, &ground_.clock()),
        log_(&ground_.store(), &vault_, &ground_.clock(), ground_.directory() + "/log-backups"),
        ledger_(&ground_.store(), &vault_, &ground_.clock()),
        calls_([this](v1::LogEntry entry) { return log_.Log(std::move(entry)); },
               [](absl::string_view) { return std::nullopt; }, &ground_.clock()),
        dispatcher_(MakeGate(), &calls_) {
    RegisterPeopleService(dispatcher_, &people_);
    RegisterLogService(dispatcher_, &log_);
    one_time_ = **people_.Start();
  }

  Gate MakeGate() {
    Gate gate;
    gate.authenticate = [this](absl::string_view token, absl::string_view address) {
      return people_.Authenticate(token, address);
    };
    gate.recall = [this](const core::Caller& caller, absl::string_view method, absl::string_view id,
                         const Message& request) {
      return ledger_.Recall(caller, method, id, request);
    };
    gate.remember = [this](const core::Caller& caller, absl::string_view method,
                           absl::string_view id, const Message& request, const Message& response) {
      return ledger_.Remember(caller, method, id, request, response);
    };
    return gate;
  }
  template <typename Response>
  absl::StatusOr<Response> Call(const std::string& token, const std::string& method,
                                const Message& request) {
    std::unique_ptr<Message> copy(request.New());
    copy->CopyFrom(request);
    auto answer = dispatcher_.Dispatch(*FindMethod(method), {token, "192.0.2.44"}, std::move(copy));
    if (!answer.ok()) return answer.status();
    return static_cast<const Response&>(**answer);
  }
  absl::StatusOr<v1::Session> Login(const std::string& user, const std::string& password) {
    v1::LoginRequest request;
    request.set_user(user);
    request.set_password(password);
    return Call<v1::Session>("", "PeopleService/Login", request);
  }
  absl::Status Change(const std::string& token, const std::string& before,
                      const std::string& after) {
    v1::ChangePasswordRequest request;
    request.set_old_password(before);
    request.set_new_password(after);
    return Call<Empty>(token, "PeopleService/ChangePassword", request).status();
  }
  // The token of an administrator of the system, and of "ann" who is a plain one.
  std::string SystemToken() {
    const std::string token = Login("admin", one_time_)->token();
    EXPECT_TRUE(Change(token, one_time_, kPassword).ok());
    return token;
  }
  std::string PlainToken(const std::string& system) {
    EXPECT_TRUE(Call<v1::User>(system, "PeopleService/CreateUser", NewUser("ann")).ok());
    const std::string token = Login("ann", kPassword)->token();
    EXPECT_TRUE(Change(token, kPassword, absl::StrCat(kPassword, "-2")).ok());
    return token;
  }
  static v1::CreateUserRequest NewUser(const std::string& id) {
    v1::CreateUserRequest request;
    request.set_user_id(id);
    request.mutable_user()->set_role(v1::ROLE_ADMINISTRATOR);
    request.mutable_user()->set_password(kPassword);
    return request;
  }
  v1::LogEntry Newest() {
    auto found = log_.Search({});
    return found.ok() && found->entries_size() > 0 ? found->entries(0) : v1::LogEntry();
  }

  TestStore ground_;
  QuickVault vault_{&ground_.vault()};
  core::People people_;
  core::EventLog log_;
  core::RequestLedger ledger_;
  CallLog calls_;
  Dispatcher dispatcher_;
  std::string one_time_;
};

TEST_F(PeopleLogServiceTest, FailedSignInsAreLoggedWithTheAddress) {
  EXPECT_TRUE(HasReason(Login("admin", "wrong password").status(), "LOGIN_FAILED"));
  const v1::LogEntry entry = Newest();
  EXPECT_EQ(entry.kind(), v1::LOG_KIND_LOGIN);
  EXPECT_EQ(entry.client_address(), "192.0.2.44");
  EXPECT_EQ(entry.result(), "UNAUTHENTICATED");
  EXPECT_EQ(entry.action(), "sign in");
  EXPECT_NE(absl::StrCat(entry.user(), entry.resource_name()).find("admin"), std::string::npos);
}

TEST_F(PeopleLogServiceTest, NothingButChangingThePasswordUntilItIsChanged) {
  const std::string token = Login("admin", one_time_)->token();
  EXPECT_TRUE(Call<v1::User>(token, "PeopleService/GetSelf", v1::GetSelfRequest()).ok());
  EXPECT_TRUE(HasReason(
      Call<v1::ListUsersResponse>(token, "PeopleService/ListUsers", v1::ListUsersRequest())
          .status(),
      "PASSWORD_CHANGE_REQUIRED"));
  ASSERT_TRUE(Change(token, one_time_, kPassword).ok());
  EXPECT_TRUE(
      Call<v1::ListUsersResponse>(token, "PeopleService/ListUsers", v1::ListUsersRequest()).ok());
  EXPECT_TRUE(Call<Empty>(token, "PeopleService/Logout", v1::LogoutRequest()).ok());
  EXPECT_TRUE(
      HasReason(Call<v1::User>(token, "PeopleService/GetSelf", v1::GetSelfRequest()).status(),
                "SESSION_EXPIRED"));
}

TEST_F(PeopleLogServiceTest, ARequestIdMakesAChangeOnce) {
  const std::string token = SystemToken();
  v1::CreateUserRequest request = NewUser("bob");
  request.set_request_id("8c5e4b1e-0001");
  const auto first = Call<v1::User>(token, "PeopleService/CreateUser", request);
  ASSERT_TRUE(first.ok()) << first.status();
  const auto again = Call<v1::User>(token, "PeopleService/CreateUser", request);
  ASSERT_TRUE(again.ok()) << again.status();
  EXPECT_EQ(first->SerializeAsString(), again->SerializeAsString());
  request.set_user_id("eve");
  EXPECT_TRUE(HasReason(Call<v1::User>(token, "PeopleService/CreateUser", request).status(),
                        "REQUEST_ID_REUSED"));
  request.clear_request_id();
  EXPECT_TRUE(Call<v1::User>(token, "PeopleService/CreateUser", request).ok());
}

TEST_F(PeopleLogServiceTest, APlainAdministratorCannotDeleteTheLogAndThatIsLogged) {
  const std::string token = PlainToken(SystemToken());
  ASSERT_TRUE(Call<v1::LogBackup>(token, "ActivityService/BackUpLog", v1::BackUpLogRequest()).ok());
  v1::DeleteLogRequest request;
  *request.mutable_before_time() = ToProto(ground_.clock().Now() + absl::Hours(1));
  request.set_confirm("delete log entries");
  EXPECT_EQ(
      Call<v1::DeleteLogResponse>(token, "ActivityService/DeleteLog", request).status().code(),
      absl::StatusCode::kPermissionDenied);
  EXPECT_EQ(Newest().action(), "delete log entries");
  EXPECT_EQ(Newest().user(), "ann");
  EXPECT_EQ(Newest().result(), "PERMISSION_DENIED");
  EXPECT_TRUE(HasReason(
      Call<v1::ListUsersResponse>(token, "PeopleService/ListUsers", v1::ListUsersRequest())
          .status(),
      "ROLE_NOT_SUFFICIENT"));
}

TEST_F(PeopleLogServiceTest, LogIsBackedUpDeletedAndVerified) {
  const std::string token = SystemToken();
  auto backup = Call<v1::LogBackup>(token, "ActivityService/BackUpLog", v1::BackUpLogRequest());
  ASSERT_TRUE(backup.ok()) << backup.status();
  EXPECT_GT(backup->entries(), 0);
  ground_.clock().Advance(absl::Seconds(1));
  v1::DeleteLogRequest request;
  *request.mutable_before_time() = ToProto(ground_.clock().Now());
  request.set_confirm("delete log entries");
  // The entry about the backup is newer than the backup.
  EXPECT_TRUE(
      HasReason(Call<v1::DeleteLogResponse>(token, "ActivityService/DeleteLog", request).status(),
                "LOG_NOT_BACKED_UP"));
  ASSERT_TRUE(Call<v1::LogBackup>(token, "ActivityService/BackUpLog", v1::BackUpLogRequest()).ok());
  auto deleted = Call<v1::DeleteLogResponse>(token, "ActivityService/DeleteLog", request);
  ASSERT_TRUE(deleted.ok()) << deleted.status();
  EXPECT_EQ(deleted->deleted(), backup->entries() + 1);
  auto verified =
      Call<v1::VerifyLogResponse>(token, "ActivityService/VerifyLog", v1::VerifyLogRequest());
  ASSERT_TRUE(verified.ok());
  EXPECT_TRUE(verified->intact()) << verified->problem();
  EXPECT_EQ(Call<v1::ListLogBackupsResponse>(token, "ActivityService/ListLogBackups",
                                             v1::ListLogBackupsRequest())
                ->backups_size(),
            2);
}

TEST_F(PeopleLogServiceTest, ABackupIsDownloadedAsFastAsItIsTaken) {
  const std::string token = SystemToken();
  for (int i = 0; i < 2000; ++i) {
    v1::LogEntry entry;
    entry.set_detail(std::string(100, 'd'));
    ASSERT_TRUE(log_.Log(entry).ok());
  }
  const v1::LogBackup backup = *log_.BackUp({});
  auto request = std::make_unique<v1::DownloadLogBackupRequest>();
  request->set_name(backup.name());
  auto sink = std::make_shared<SmallSink>();
  auto stream = dispatcher_.Open(*FindMethod("ActivityService/DownloadLogBackup"),
                                 {token, "192.0.2.44"}, std::move(request), sink);
  ASSERT_TRUE(stream.ok()) << stream.status();
  EXPECT_EQ(sink->pieces.size(), 1u);
  while (!sink->status.has_value()) {
    ++sink->room;
    (*stream)->OnRoom();
  }
  EXPECT_TRUE(sink->status->ok()) << *sink->status;
  EXPECT_EQ(sink->pieces[0].content_type(), "application/x-ndjson");
  EXPECT_NE(sink->pieces[0].file_name(), "");
  std::string bytes;
  for (const v1::FileChunk& piece : sink->pieces) bytes += piece.data();
  EXPECT_EQ(bytes, ReadFile(backup.path()));
  EXPECT_GT(sink->pieces.size(), 3u);
}

// P23
TEST_F(PeopleLogServiceTest, PasswordsAreInNoFileWhateverIsCalled) {
  const std::string system = SystemToken();
  const std::string plain = PlainToken(system);
  v1::CreateUserRequest request = NewUser("bob");
  request.set_request_id("8c5e4b1e-0002");
  ASSERT_TRUE(Call<v1::User>(system, "PeopleService/CreateUser", request).ok());
  EXPECT_FALSE(Call<v1::User>(plain, "PeopleService/CreateUser", request).ok());
  EXPECT_FALSE(Login("bob", absl::StrCat(kPassword, "-wrong")).ok());
  EXPECT_FALSE(Login("Bob?", kPassword).ok());
  ASSERT_TRUE(log_.BackUp({}).ok());
  EXPECT_EQ(FilesContaining(ground_.directory(), "canary-9e01"), "");
  EXPECT_EQ(FilesContaining(ground_.directory(), system), "");
}

}  // namespace
}  // namespace drover::api
