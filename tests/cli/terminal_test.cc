// What only happens at a terminal: prompts, widths, drawing in place. The terminal is a real
// pseudo-terminal.
#include "cli/terminal.h"

#include <google/protobuf/empty.pb.h>
#include <poll.h>
#include <pty.h>
#include <termios.h>

#include <thread>

#include "absl/strings/match.h"
#include "absl/strings/str_split.h"
#include "drover/v1/inventory.pb.h"
#include "drover/v1/people.pb.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "proto/support/status.h"
#include "tests/cli/drover_run.h"

namespace drover::cli {
namespace {

using ::testing::HasSubstr;
using ::testing::Not;

// Both ends of a pseudo-terminal; collects what the program writes.
class Screen {
 public:
  explicit Screen(int columns) {
    winsize size = {.ws_row = 10,
                    .ws_col = static_cast<unsigned short>(columns),
                    .ws_xpixel = 0,
                    .ws_ypixel = 0};
    EXPECT_EQ(openpty(&outside_, &inside_, nullptr, nullptr, &size), 0);
  }
  ~Screen() {
    close(outside_);
    if (inside_ >= 0) close(inside_);
  }
  int inside() const { return inside_; }
  bool EchoIsOn() const {
    termios state = {};
    tcgetattr(outside_, &state);
    return (state.c_lflag & ECHO) != 0;
  }

  // Waits until the program has written the text after what was waited for before.
  void WaitFor(const std::string& text) {
    while (!absl::StrContains(seen_.substr(matched_), text)) {
      char buffer[1024];
      const ssize_t got = read(outside_, buffer, sizeof buffer);
      ASSERT_GT(got, 0) << "waiting for \"" << text << "\", seen: " << seen_;
      seen_.append(buffer, static_cast<size_t>(got));
    }
    matched_ = seen_.find(text, matched_) + text.size();
  }
  void Type(const std::string& keys) {
    ASSERT_EQ(write(outside_, keys.data(), keys.size()), static_cast<ssize_t>(keys.size()));
  }
  // All that was written, once the program is done.
  std::string Finish() {
    close(inside_);
    inside_ = -1;
    char buffer[1024];
    ssize_t got = 0;
    while ((got = read(outside_, buffer, sizeof buffer)) > 0) {
      seen_.append(buffer, static_cast<size_t>(got));
    }
    return seen_;
  }

 private:
  int outside_ = -1;
  int inside_ = -1;
  std::string seen_;
  size_t matched_ = 0;
};

class TerminalTest : public testing::DroverTest {
 protected:
  TerminalTest() { SignIn(); }

  // Runs the line at the screen while `person` types.
  int RunAt(Screen& screen, const std::vector<std::string>& words,
            const std::function<void()>& person) {
    int exit_code = -1;
    std::thread program([&] {
      Terminal terminal({.in = screen.inside(),
                         .out = screen.inside(),
                         .err = screen.inside(),
                         .env = env_,
                         .now = absl::Now});
      exit_code = RunDrover(words, terminal);
    });
    person();
    program.join();
    return exit_code;
  }
};

TEST_F(TerminalTest, APasswordIsAskedForAndNotShown) {
  controller_.On<v1::LoginRequest, v1::Session>(
      "PeopleService/Login", [](const v1::LoginRequest&, v1::Session* session) {
        session->set_token("t");
        session->mutable_user()->set_must_change_password(true);
        return absl::OkStatus();
      });
  controller_.Answer("PeopleService/ChangePassword", google::protobuf::Empty());
  Screen screen(100);
  bool echo = true;
  const int exit_code = RunAt(screen, {"login", controller_.address(), "--context", "new"}, [&] {
    screen.WaitFor("[y/N] ");
    screen.Type("y\n");
    screen.WaitFor("User: ");
    screen.Type("admin\n");
    screen.WaitFor("Password: ");
    echo = screen.EchoIsOn();
    screen.Type("wronq\x7f\x7fng\x15one-time\n");
    screen.WaitFor("New password: ");
    screen.Type("first try\n");
    screen.WaitFor("New password again: ");
    screen.Type("other\n");
    screen.WaitFor("New password: ");
    screen.Type("my own\n");
    screen.WaitFor("New password again: ");
    screen.Type("my own\n");
    screen.WaitFor("Password changed.");
  });
  EXPECT_EQ(exit_code, 0);
  EXPECT_FALSE(echo);
  EXPECT_TRUE(screen.EchoIsOn());
  const std::string seen = screen.Finish();
  EXPECT_THAT(seen, Not(HasSubstr("one-time")));
  EXPECT_THAT(seen, Not(HasSubstr("my own")));
  const auto sent =
      controller_.LastRequest<v1::ChangePasswordRequest>("PeopleService/ChangePassword");
  EXPECT_EQ(sent.old_password(), "one-time");
  EXPECT_EQ(sent.new_password(), "my own");
}

TEST_F(TerminalTest, InterruptAtAPasswordGivesTheEchoBack) {
  Screen screen(80);
  const int exit_code = RunAt(screen, {"user", "passwd"}, [&] {
    screen.WaitFor("Old password: ");
    screen.Type("\x03");
  });
  EXPECT_EQ(exit_code, 130);
  EXPECT_TRUE(screen.EchoIsOn());
}

class DeleteAtTerminalTest : public TerminalTest {
 protected:
  DeleteAtTerminalTest() {
    controller_.On<v1::DeleteEnvironmentRequest, v1::Operation>(
        "InventoryService/DeleteEnvironment",
        [](const v1::DeleteEnvironmentRequest& request, v1::Operation* operation) {
          operation->set_title("delete environment shop");
          operation->set_state(v1::Operation::STATE_SUCCEEDED);
          operation->add_targets()->set_vm("vms/shop-web-01");
          operation->add_targets()->set_vm("vms/shop-db-01");
          if (!request.validate_only() && request.confirm() != "shop")
            return absl::InvalidArgumentError("confirm");
          return absl::OkStatus();
        });
  }
  size_t Calls() const { return controller_.Requests("InventoryService/DeleteEnvironment").size(); }
};

TEST_F(DeleteAtTerminalTest, TheNameIsTypedAfterWhatGoesWasShown) {
  Screen screen(80);
  const int exit_code = RunAt(screen, {"env", "delete", "shop"}, [&] {
    screen.WaitFor("shop-web-01");
    screen.WaitFor("shop-db-01");
    screen.WaitFor("Type the environment's name to delete it: ");
    screen.Type("shop\n");
    screen.WaitFor("succeeded");
  });
  EXPECT_EQ(exit_code, 0);
  EXPECT_EQ(Calls(), 2u);
}

TEST_F(DeleteAtTerminalTest, AnotherNameDeletesNothing) {
  Screen screen(80);
  const int exit_code = RunAt(screen, {"env", "delete", "shop"}, [&] {
    screen.WaitFor("delete it: ");
    screen.Type("shpo\n");
    screen.WaitFor("nothing was deleted");
  });
  EXPECT_EQ(exit_code, 130);
  EXPECT_EQ(Calls(), 1u);
}

TEST_F(TerminalTest, NoMeansNo) {
  controller_.Answer("PeopleService/DeleteUser", google::protobuf::Empty());
  Screen screen(80);
  const int exit_code = RunAt(screen, {"user", "delete", "wang"}, [&] {
    screen.WaitFor("Delete a user: wang? [y/N] ");
    screen.Type("\n");
    screen.WaitFor("nothing was changed");
  });
  EXPECT_EQ(exit_code, 130);
  EXPECT_TRUE(controller_.Requests("PeopleService/DeleteUser").empty());
}

TEST_F(TerminalTest, AHostsCertificateIsShownAndAskedAbout) {
  controller_.Refuse("InventoryService/TestHypervisor",
                     MakeError(absl::StatusCode::kFailedPrecondition, "CERTIFICATE_NOT_CONFIRMED",
                               "not confirmed", {{"fingerprint", "AA:BB"}}));
  v1::Hypervisor added;
  added.set_name("hypervisors/esxi1");
  added.set_product("VMware ESXi 8.0.3");
  added.set_copy_method(v1::COPY_METHOD_CREATE_AND_COPY);
  controller_.Answer("InventoryService/CreateHypervisor", added);
  Screen screen(120);
  const int exit_code = RunAt(
      screen, {"hypervisor", "add", "esxi1", "--url", "https://10.0.0.2/sdk", "--user", "root"},
      [&] {
        screen.WaitFor("password: ");
        screen.Type("pw\n");
        screen.WaitFor("AA:BB");
        screen.WaitFor("[y/N] ");
        screen.Type("y\n");
        screen.WaitFor("hypervisor esxi1 added: VMware ESXi 8.0.3, copies by create-and-copy");
      });
  EXPECT_EQ(exit_code, 0);
  const auto sent =
      controller_.LastRequest<v1::CreateHypervisorRequest>("InventoryService/CreateHypervisor");
  EXPECT_EQ(sent.hypervisor().certificate_fingerprint(), "AA:BB");
}

TEST_F(TerminalTest, TablesFitTheWindow) {
  v1::ListVmsResponse list;
  v1::Vm* vm = list.add_vms();
  vm->set_name("vms/web-01");
  vm->set_reachability(v1::REACHABILITY_UP);
  vm->set_remark("一个很长的备注一个很长的备注一个很长的备注一个很长的备注一个很长的备注");
  controller_.Answer("InventoryService/ListVms", list);
  Screen screen(60);
  EXPECT_EQ(
      RunAt(screen, {"vm", "list", "--columns", "name,network,remark", "--color", "never"}, [] {}),
      0);
  const std::string seen = screen.Finish();
  EXPECT_THAT(seen, HasSubstr("● up"));
  for (absl::string_view line : absl::StrSplit(seen, "\r\n"))
    EXPECT_LE(DisplayWidth(line), 60) << line;
  EXPECT_THAT(seen, HasSubstr("…"));
}

TEST_F(TerminalTest, ProgressIsDrawnInPlaceAndGoesAway) {
  v1::Operation running;
  running.set_name("operations/1");
  running.set_title("apply environment shop");
  running.set_state(v1::Operation::STATE_RUNNING);
  running.set_percent(50);
  for (int i = 0; i < 30; ++i) {
    auto* target = running.add_targets();
    target->set_vm("vms/shop-" + std::to_string(i));
    target->set_state(i < 3 ? v1::Operation::Target::STATE_RUNNING
                            : v1::Operation::Target::STATE_QUEUED);
  }
  v1::Operation done = running;
  done.set_state(v1::Operation::STATE_SUCCEEDED);
  controller_.Answer("ActivityService/GetOperation", running);
  controller_.OnCall(
      "ActivityService/WatchOperation",
      [running, done](const google::protobuf::Message&, const testing::FakeController::Send& send) {
        send(running);
        send(done);
        return absl::OkStatus();
      });
  Screen screen(80);
  EXPECT_EQ(RunAt(screen, {"op", "watch", "1"}, [&] { screen.WaitFor("succeeded"); }), 0);
  const std::string seen = screen.Finish();
  EXPECT_THAT(seen, HasSubstr("██████████░░░░░░░░░░  50%  0 of 30 done"));
  EXPECT_THAT(seen, HasSubstr("shop-0"));
  // Ten lines of window: eight of drawing.
  EXPECT_THAT(seen, HasSubstr("and 24 more"));
  EXPECT_THAT(seen, HasSubstr("\033[8A\033[J"));
}

}  // namespace
}  // namespace drover::cli
