// Operations: waiting, progress, how they end.
#include "cli/progress.h"

#include <google/protobuf/empty.pb.h>
#include <signal.h>
#include <unistd.h>

#include <atomic>

#include "absl/strings/str_cat.h"
#include "absl/synchronization/notification.h"
#include "drover/v1/inventory.pb.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "proto/support/status.h"
#include "tests/cli/drover_run.h"

namespace drover::cli {
namespace {

using ::testing::HasSubstr;
using ::testing::Not;
using v1::Operation;

Operation CreateVm(Operation::State state) {
  Operation operation;
  operation.set_name("operations/7");
  operation.set_title("create VM web-05");
  operation.set_state(state);
  Operation::Step* check = operation.add_steps();
  check->set_title("check the host");
  check->set_state(Operation::Step::STATE_DONE);
  Operation::Step* copy = operation.add_steps();
  copy->set_title("copy disks");
  copy->set_state(Operation::Step::STATE_PENDING);
  operation.add_targets()->set_vm("vms/web-05");
  return operation;
}

class ProgressTest : public testing::DroverTest {
 protected:
  ProgressTest() { SignIn(); }

  // PowerVms answers the first, WatchOperation sends all of them.
  void Operations(std::vector<Operation> states) {
    controller_.Answer("InventoryService/PowerVms", states.front());
    controller_.OnCall(
        "ActivityService/WatchOperation",
        [states](const google::protobuf::Message&, const testing::FakeController::Send& send) {
          for (const Operation& state : states) send(state);
          return absl::OkStatus();
        });
  }
  testing::Ran Power(std::vector<std::string> more = {}) {
    std::vector<std::string> words = {"vm", "power", "on", "web-05"};
    words.insert(words.end(), more.begin(), more.end());
    return Run(words);
  }
};

TEST_F(ProgressTest, StepsAreToldOnceEachAndTheEndOnStandardOutput) {
  Operation running = CreateVm(Operation::STATE_RUNNING);
  running.mutable_steps(1)->set_state(Operation::Step::STATE_RUNNING);
  running.mutable_steps(1)->set_detail("1 of 2");
  Operation done = CreateVm(Operation::STATE_SUCCEEDED);
  done.mutable_steps(1)->set_state(Operation::Step::STATE_DONE);
  Operations({CreateVm(Operation::STATE_RUNNING), running, running, done});
  const testing::Ran ran = Power();
  EXPECT_EQ(ran.exit_code, 0) << ran.err;
  EXPECT_THAT(ran.out, HasSubstr("create VM web-05: succeeded in "));
  EXPECT_THAT(ran.err, HasSubstr("create VM web-05, check the host: done\n"));
  EXPECT_THAT(ran.err, HasSubstr("create VM web-05, copy disks: running: 1 of 2\n"));
  EXPECT_THAT(ran.err, HasSubstr("create VM web-05, copy disks: done"));
  EXPECT_EQ(ran.err.find("copy disks: running"), ran.err.rfind("copy disks: running"));
  EXPECT_THAT(ran.err, Not(HasSubstr("\033[")));
}

TEST_F(ProgressTest, DetachPrintsTheName) {
  Operations({CreateVm(Operation::STATE_RUNNING)});
  const testing::Ran ran = Power({"--detach"});
  EXPECT_EQ(ran.exit_code, 0);
  EXPECT_EQ(ran.out, "operations/7\n");
  EXPECT_THAT(ran.err, HasSubstr("drover operation watch 7"));
  EXPECT_EQ(Power({"--detach", "-q"}).out, "7\n");
  EXPECT_TRUE(controller_.Requests("ActivityService/WatchOperation").empty());
}

TEST_F(ProgressTest, AFailureNamesTheStepAndTheReason) {
  Operation failed = CreateVm(Operation::STATE_FAILED);
  failed.mutable_steps(1)->set_state(Operation::Step::STATE_FAILED);
  *failed.mutable_error() = ToRpcStatus(MakeError(absl::StatusCode::kFailedPrecondition, "NO_SPACE",
                                                  "datastore1 has 2 GiB free, 40 GiB are needed"));
  Operations({CreateVm(Operation::STATE_RUNNING), failed});
  const testing::Ran ran = Power();
  EXPECT_EQ(ran.exit_code, 1);
  EXPECT_EQ(ran.out, "");
  EXPECT_THAT(ran.err, HasSubstr("create VM web-05: failed at \"copy disks\": datastore1 has 2 GiB "
                                 "free, 40 GiB are needed\n"
                                 "  see: drover operation show 7\n"
                                 "  reason: NO_SPACE\n"));
}

TEST_F(ProgressTest, PartlyFailedIsExitCode8AndNamesTheVms) {
  Operation partly = CreateVm(Operation::STATE_PARTLY_FAILED);
  partly.mutable_targets(0)->set_state(Operation::Target::STATE_SUCCEEDED);
  Operation::Target* lost = partly.add_targets();
  lost->set_vm("vms/web-06");
  lost->set_state(Operation::Target::STATE_CONTACT_LOST);
  lost->mutable_error()->set_message("last seen at 12:00");
  Operations({CreateVm(Operation::STATE_RUNNING), partly});
  const testing::Ran ran = Power();
  EXPECT_EQ(ran.exit_code, 8);
  EXPECT_THAT(ran.err, HasSubstr("  web-06: contact-lost: last seen at 12:00\n"));
  EXPECT_THAT(ran.err, Not(HasSubstr("  web-05: ")));
}

TEST_F(ProgressTest, JsonPrintsTheFinishedOperation) {
  Operations({CreateVm(Operation::STATE_RUNNING), CreateVm(Operation::STATE_SUCCEEDED)});
  const testing::Ran ran = Power({"-o", "json"});
  EXPECT_THAT(ran.out, HasSubstr("\"state\": \"STATE_SUCCEEDED\""));
}

TEST_F(ProgressTest, AnOperationThatIsDoneAtOnceIsNotWatched) {
  Operations({CreateVm(Operation::STATE_SUCCEEDED)});
  EXPECT_EQ(Power().exit_code, 0);
  EXPECT_TRUE(controller_.Requests("ActivityService/WatchOperation").empty());
}

TEST_F(ProgressTest, ALostConnectionIsTakenUpAgain) {
  controller_.Answer("InventoryService/PowerVms", CreateVm(Operation::STATE_RUNNING));
  controller_.OnCall(
      "ActivityService/WatchOperation",
      [this](const google::protobuf::Message&, const testing::FakeController::Send& send) {
        if (controller_.Requests("ActivityService/WatchOperation").size() == 1) {
          send(CreateVm(Operation::STATE_RUNNING));
          return absl::UnavailableError("controller ends");
        }
        send(CreateVm(Operation::STATE_SUCCEEDED));
        return absl::OkStatus();
      });
  const testing::Ran ran = Power();
  EXPECT_EQ(ran.exit_code, 0) << ran.err;
  EXPECT_THAT(ran.err, HasSubstr("The connection to the controller is lost; trying again."));
}

// The stream that is watched stays open until the test ends it.
class OpenOperationTest : public ProgressTest {
 protected:
  OpenOperationTest() {
    controller_.Answer("InventoryService/PowerVms", CreateVm(Operation::STATE_RUNNING));
    controller_.OnCall(
        "ActivityService/WatchOperation",
        [this](const google::protobuf::Message&, const testing::FakeController::Send& send) {
          send(CreateVm(Operation::STATE_RUNNING));
          on_watch_();
          end_.WaitForNotification();
          return absl::OkStatus();
        });
  }
  ~OpenOperationTest() override { end_.Notify(); }
  absl::Notification end_;
  std::function<void()> on_watch_ = [] {};
};

TEST_F(OpenOperationTest, TimeoutIsExitCode7AndLeavesItRunning) {
  const testing::Ran ran = Power({"--timeout", "0.2s"});
  EXPECT_EQ(ran.exit_code, 7);
  EXPECT_THAT(ran.err, HasSubstr("goes on; see it with: drover operation watch 7, stop it with: "
                                 "drover operation cancel 7"));
  EXPECT_TRUE(controller_.Requests("ActivityService/CancelOperation").empty());
}

TEST_F(OpenOperationTest, AWrongTimeoutStartsNothing) {
  EXPECT_EQ(Power({"--timeout", "soon"}).exit_code, 2);
  EXPECT_TRUE(controller_.Requests("InventoryService/PowerVms").empty());
}

TEST_F(OpenOperationTest, InterruptDoesNotCancel) {
  on_watch_ = [] { kill(getpid(), SIGINT); };
  const testing::Ran ran = Power();
  EXPECT_EQ(ran.exit_code, 130);
  EXPECT_THAT(ran.err, HasSubstr("no longer waiting. \"create VM web-05\" goes on"));
  EXPECT_TRUE(controller_.Requests("ActivityService/CancelOperation").empty());
}

TEST_F(ProgressTest, OperationWatchAttachesAgain) {
  controller_.Answer("ActivityService/GetOperation", CreateVm(Operation::STATE_RUNNING));
  controller_.Answer("ActivityService/WatchOperation", CreateVm(Operation::STATE_SUCCEEDED));
  const testing::Ran ran = Run({"op", "watch", "7"});
  EXPECT_EQ(ran.exit_code, 0) << ran.err;
  EXPECT_EQ(controller_.LastRequest<v1::GetOperationRequest>("ActivityService/GetOperation").name(),
            "operations/7");
  EXPECT_THAT(ran.out, HasSubstr("succeeded"));
}

// ---- lists that are shown again

TEST_F(OpenOperationTest, WatchShowsAListAgainWhenSomethingHasChanged) {
  std::atomic<int> lists = 0;
  controller_.On<v1::ListEnvironmentsRequest, v1::ListEnvironmentsResponse>(
      "InventoryService/ListEnvironments",
      [&lists](const v1::ListEnvironmentsRequest&, v1::ListEnvironmentsResponse* answer) {
        answer->add_environments()->set_name(absl::StrCat("environments/shop-", ++lists));
        if (lists == 2) kill(getpid(), SIGINT);
        return absl::OkStatus();
      });
  controller_.OnCall("ActivityService/Watch", [this](const google::protobuf::Message&,
                                                     const testing::FakeController::Send& send) {
    v1::WatchResponse change;
    change.mutable_heartbeat();
    send(change);
    change.set_changed("environments/shop");
    send(change);
    end_.WaitForNotification();
    return absl::OkStatus();
  });
  const testing::Ran ran = Run({"env", "list", "--watch", "-o", "name"});
  EXPECT_EQ(ran.exit_code, 130) << ran.err;
  EXPECT_EQ(ran.out, "environments/shop-1\nenvironments/shop-2\n");
}

TEST_F(OpenOperationTest, WatchEndsWithWhatCannotBeShown) {
  controller_.Refuse("InventoryService/ListEnvironments", absl::PermissionDeniedError("not yours"));
  EXPECT_EQ(Run({"env", "list", "-w"}).exit_code, 4);
}

}  // namespace
}  // namespace drover::cli
