// The calls of UpgradeService through the dispatcher, over the real core and agents that know svn.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <memory>
#include <string>
#include <vector>

#include "controller/api/call_log.h"
#include "controller/api/dispatcher.h"
#include "controller/api/operation_service.h"
#include "controller/api/upgrade_service.h"
#include "controller/core/automatic_upgrades.h"
#include "controller/core/event_log.h"
#include "proto/support/contract.h"
#include "proto/support/json.h"
#include "proto/support/status.h"
#include "proto/support/time.h"
#include "tests/controller/api/fake_gate.h"
#include "tests/controller/core/upgrade_bench.h"

namespace drover::api {
namespace {

using google::protobuf::Message;
using ::testing::HasSubstr;

constexpr char kKey[] = "0123456789abcdef0123456789abcdef";

// Keeps what a stream sends.
class Rollouts : public StreamSink {
 public:
  bool Push(const Message& message) override {
    absl::MutexLock lock(&mutex_);
    pushed_.push_back(static_cast<const v1::Rollout&>(message));
    return true;
  }
  void Finish(absl::Status status) override {
    absl::MutexLock lock(&mutex_);
    status_ = std::move(status);
    finished_ = true;
  }
  std::vector<v1::Rollout> AwaitEnd() {
    absl::MutexLock lock(&mutex_);
    mutex_.Await(absl::Condition(&finished_));
    EXPECT_TRUE(status_.ok()) << status_;
    return pushed_;
  }

 private:
  absl::Mutex mutex_;
  std::vector<v1::Rollout> pushed_ ABSL_GUARDED_BY(mutex_);
  absl::Status status_ ABSL_GUARDED_BY(mutex_);
  bool finished_ ABSL_GUARDED_BY(mutex_) = false;
};

class UpgradeServiceTest : public core::UpgradeBench {
 protected:
  void SetUp() override {
    UpgradeBench::SetUp();
    AddVms(3);
    events_ = std::make_unique<core::EventLog>(&files_.store(), &files_.vault(), &files_.clock(),
                                               files_.directory() + "/backups");
    core::AutomaticUpgrades::Options options;
    options.hook_key = kKey;
    automatic_ = std::make_unique<core::AutomaticUpgrades>(
        &files_.store(), inventory_.get(), rollouts_.get(), runner_.get(), events_.get(),
        &files_.vault(), &files_.clock(), std::move(options));
    operations_ = std::make_unique<OperationService>(runner_.get());
    service_ = std::make_unique<UpgradeService>(copies_.get(), rollouts_.get(), automatic_.get(),
                                                operations_.get());
    operations_->Register(dispatcher_);
    service_->Register(dispatcher_);
  }
  ~UpgradeServiceTest() override {
    End();
    automatic_.reset();
  }

  absl::StatusOr<std::unique_ptr<Message>> CallJson(const std::string& method,
                                                    const std::string& json,
                                                    const std::string& token = "system") {
    const auto* descriptor = FindMethod("UpgradeService/" + method);
    std::unique_ptr<Message> request = NewMessage(*descriptor->input_type());
    EXPECT_TRUE(FromJson(json, request.get()).ok()) << method << " " << json;
    return dispatcher_.Dispatch(*descriptor, {token, "10.9.8.7"}, std::move(request));
  }
  template <typename Response>
  Response Good(const std::string& method, const std::string& json,
                const std::string& token = "system") {
    auto answer = CallJson(method, json, token);
    EXPECT_TRUE(answer.ok()) << method << ": " << answer.status();
    return answer.ok() ? static_cast<const Response&>(**answer) : Response();
  }

  FakeGate gate_;
  CallLog log_{[](v1::LogEntry) { return absl::OkStatus(); },
               [](absl::string_view) { return std::nullopt; }, &files_.clock()};
  Dispatcher dispatcher_{gate_.AsGate(), &log_};
  std::unique_ptr<core::EventLog> events_;
  std::unique_ptr<core::AutomaticUpgrades> automatic_;
  std::unique_ptr<OperationService> operations_;
  std::unique_ptr<UpgradeService> service_;
};

constexpr char kStart[] =
    R"({"spec":{"environment":"environments/prod","type":"types/web","revision":"7","canaries":1,"waveSize":2}})";

TEST_F(UpgradeServiceTest, PlannedStartedWatchedAndListed) {
  const auto plan = Good<v1::RolloutPlan>("PlanRollout", kStart, "admin");
  EXPECT_EQ(plan.waves_size(), 2);
  EXPECT_EQ(world_.guest("uid-1").updates, 0);
  const auto started = Good<v1::Rollout>("StartRollout", kStart, "admin");
  v1::WatchRolloutRequest watch;
  watch.set_name(started.name());
  auto sink = std::make_shared<Rollouts>();
  const auto subscription =
      dispatcher_.Open(*FindMethod("UpgradeService/WatchRollout"), {"admin", "10.9.8.7"},
                       std::make_unique<v1::WatchRolloutRequest>(watch), sink);
  ASSERT_TRUE(subscription.ok()) << subscription.status();
  const std::vector<v1::Rollout> seen = sink->AwaitEnd();
  ASSERT_FALSE(seen.empty());
  EXPECT_EQ(seen.back().name(), started.name());
  EXPECT_EQ(seen.back().spec().revision(), 7);
  EXPECT_EQ(seen.back().waves(), 2);
  EXPECT_EQ(seen.back().operation().state(), v1::Operation::STATE_SUCCEEDED);
  EXPECT_EQ(seen.back().operation().user(), "anna");
  EXPECT_EQ(Good<v1::Rollout>("GetRollout", R"({"name":")" + started.name() + "\"}").wave(), 2);
  EXPECT_EQ(Good<v1::ListRolloutsResponse>("ListRollouts", "{}").rollouts_size(), 1);
  const auto copies = Good<v1::ListWorkingCopiesResponse>(
      "ListWorkingCopies", R"({"environments":["environments/prod"]})");
  ASSERT_EQ(copies.working_copies_size(), 3);
  EXPECT_EQ(copies.working_copies(0).revision(), 7);
}

TEST_F(UpgradeServiceTest, PausedResumedCancelled) {
  world_.Hold("uid-1");
  const std::string name = Good<v1::Rollout>("StartRollout", kStart).name();
  const std::string json = R"({"name":")" + name + "\"}";
  world_.AwaitHeld("uid-1");
  Good<v1::Rollout>("PauseRollout", json, "admin");
  EXPECT_EQ(ReasonOf(CallJson("PauseRollout", json).status()), "ALREADY_PAUSED");
  Good<v1::Rollout>("ResumeRollout", json, "admin");
  Good<v1::Rollout>("CancelRollout", json, "admin");
  world_.LetGo("uid-1");
  EXPECT_EQ(AwaitEnd(name).operation().state(), Operation::STATE_CANCELLED);
  EXPECT_EQ(world_.guest("uid-1").revision, 5);
  EXPECT_EQ(ReasonOf(CallJson("CancelRollout", json).status()), "OPERATION_DONE");
}

struct Bad {
  const char* method;
  const char* json;
  // The field that the violation names, or the error's reason.
  const char* expected;
};

TEST_F(UpgradeServiceTest, BadRequestsAreRefusedAndStartNothing) {
  for (const Bad& bad : std::vector<Bad>{
           {"PlanRollout", "{}", "spec"},
           {"StartRollout", "{}", "spec"},
           {"StartRollout", R"({"spec":{"vms":["vms/web-1"]}})", "where to"},
           {"StartRollout", R"({"spec":{"vms":["web-1"],"revision":"7"}})", "spec.vms[0]"},
           {"StartRollout", R"({"spec":{"vms":["vms/none"],"revision":"7"}})", "VM_NOT_FOUND"},
           {"StartRollout", R"({"spec":{"vms":["vms/web-1"],"revision":"4711"}})",
            "REVISION_UNKNOWN"},
           {"StartRollout", R"({"spec":{"vms":["vms/web-1"],"revision":"7","waveSize":-1}})",
            "spec.wave_size"},
           {"StartRollout",
            R"({"spec":{"vms":["vms/web-1"],"revision":"7","maxFailurePercent":101}})",
            "spec.max_failure_percent"},
           {"StartRollout",
            R"({"spec":{"vms":["vms/web-1"],"revision":"7"},"requestId":"not a uuid"})",
            "request_id"},
           {"GetRollout", R"({"name":"rollouts/none"})", "ROLLOUT_NOT_FOUND"},
           {"PauseRollout", R"({"name":"rollouts/none"})", "ROLLOUT_NOT_FOUND"},
           {"ResumeRollout", R"({"name":"operations/x"})", "name"},
           {"CancelRollout", "{}", "name"},
           {"ListRollouts", R"({"pageToken":"nonsense"})", "page_token"},
           {"ListWorkingCopies", R"({"pageSize":1001})", "page_size"},
           {"SetAutomaticUpgrade", "{}", "automatic_upgrade"},
           {"SetAutomaticUpgrade",
            R"({"automaticUpgrade":{"environment":"environments/none","type":"types/web"}})",
            "ENVIRONMENT_NOT_FOUND"}}) {
    SCOPED_TRACE(std::string(bad.method) + " " + bad.json);
    const absl::Status refused = CallJson(bad.method, bad.json).status();
    ASSERT_FALSE(refused.ok());
    if (ReasonOf(refused) != bad.expected) {
      EXPECT_THAT(std::string(refused.message()), HasSubstr(bad.expected));
    }
  }
  EXPECT_EQ(Good<v1::ListRolloutsResponse>("ListRollouts", "{}").rollouts_size(), 0);
  for (int i = 1; i <= 3; ++i) EXPECT_EQ(world_.guest(core::Uid(i)).updates, 0);
}

TEST_F(UpgradeServiceTest, WhoMayWhat) {
  const std::string set =
      R"({"automaticUpgrade":{"environment":"environments/prod","type":"types/web","enabled":true}})";
  EXPECT_EQ(CallJson("StartRollout", kStart, "nobody").status().code(),
            absl::StatusCode::kPermissionDenied);
  EXPECT_EQ(CallJson("StartRollout", kStart, "expired").status().code(),
            absl::StatusCode::kUnauthenticated);
  EXPECT_EQ(CallJson("SetAutomaticUpgrade", set, "admin").status().code(),
            absl::StatusCode::kPermissionDenied);
  EXPECT_TRUE(Good<v1::AutomaticUpgrade>("SetAutomaticUpgrade", set).enabled());
  EXPECT_EQ(Good<v1::ListAutomaticUpgradesResponse>("ListAutomaticUpgrades", "{}", "admin")
                .automatic_upgrades_size(),
            1);
  // A hook has no session, only its signature.
  v1::NotifyCommitRequest commit;
  commit.set_repository_url("svn://svn/repo");
  commit.set_revision(8);
  *commit.mutable_time() = ToProto(files_.clock().Now());
  commit.set_signature("00");
  const auto* notify = FindMethod("UpgradeService/NotifyCommit");
  const auto tell = [&] {
    return dispatcher_
        .Dispatch(*notify, {"", "10.9.8.7"}, std::make_unique<v1::NotifyCommitRequest>(commit))
        .status();
  };
  EXPECT_EQ(ReasonOf(tell()), "BAD_SIGNATURE");
  commit.set_signature(core::CommitSignature(files_.vault(), kKey, commit));
  EXPECT_TRUE(tell().ok());
}

}  // namespace
}  // namespace drover::api
