// Configuration transactions over real files, with services that are as the test says.
#include <fcntl.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/xattr.h>
#include <unistd.h>

#include <algorithm>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "agent/config_orders.h"
#include "agent/durable_file.h"
#include "agent/file_swap.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "proto/support/status.h"
#include "tests/agent/test_loop.h"
#include "tests/testing/temp_dir.h"

namespace drover::agent {
namespace {

using drover::v1::Profile;
using drover::v1::ServiceStatus;
using Journal = v1::ConfigJournal;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::Not;

struct Stat {
  mode_t mode = 0;
  uid_t uid = 0;
  gid_t gid = 0;
  std::string attribute;
  bool operator==(const Stat&) const = default;
};

class ConfigTransactionTest : public ::testing::Test {
 protected:
  ConfigTransactionTest() : settings_(dir_.File("settings.py")), ini_(dir_.File("web.ini")) {
    testing::WriteFile(settings_, kSettings);
    testing::WriteFile(ini_, kIni);
    chmod(settings_.c_str(), 0640);
    (void)!chown(settings_.c_str(), 33, 44);
    setxattr(settings_.c_str(), "user.drover", "keep", 4, 0);
    before_ = StatOf(settings_);
    for (const char* name : {"web", "worker"}) statuses_[name] = Running(name, ++pid_);
    StartAgent();
  }

  static ServiceStatus Running(const std::string& name, int pid) {
    ServiceStatus status;
    status.set_name(name);
    status.set_state(ServiceStatus::STATE_RUNNING);
    status.set_pid(pid);
    return status;
  }

  static Stat StatOf(const std::string& path) {
    struct stat its = {};
    lstat(path.c_str(), &its);
    char value[16];
    const ssize_t size = lgetxattr(path.c_str(), "user.drover", value, sizeof(value));
    return {its.st_mode, its.st_uid, its.st_gid,
            size < 0 ? "" : std::string(value, static_cast<size_t>(size))};
  }

  // As after a crash: nothing of the agent is left but its disk.
  void StartAgent() {
    works_.clear();
    orders_.reset();
    auto opened = ConfigOrders::Open(&loop_.loop, dir_.File("state"));
    ASSERT_TRUE(opened.ok()) << opened.status();
    orders_ = *std::move(opened);
    files_at_start_ = Files();
    ConfigServices services;
    services.statuses = [this] {
      std::vector<ServiceStatus> all;
      for (const auto& [name, status] : statuses_) all.push_back(status);
      return all;
    };
    services.restart = [this](const std::string& name, ConfigServices::Done done) {
      restarts_.push_back(absl::StrCat(name, Files() == Old() ? " old" : " new"));
      if (hanging_ == name) {
        hung_ = std::move(done);
        return;
      }
      if (refused_.count(name) > 0 && refused_[name]-- > 0) {
        return done(absl::FailedPreconditionError("it says no"));
      }
      statuses_[name] = Running(name, ++pid_);
      done(absl::OkStatus());
    };
    services.abort = [this](const std::string&) {
      if (hung_) std::exchange(hung_, nullptr)(absl::CancelledError("aborted"));
    };
    orders_->Begin(std::move(services));
  }

  v1::EditFiles Order(v1::EditFiles::Action action) {
    v1::EditFiles order;
    order.set_action(action);
    order.set_transaction("t-1");
    if (action != v1::EditFiles::ACTION_PREPARE && action != v1::EditFiles::ACTION_PLAN) {
      return order;
    }
    AddEdit(order, settings_, Profile::Edit::FORMAT_PYTHON, "HOST", "10.0.0.1");
    AddEdit(order, ini_, Profile::Edit::FORMAT_INI, "db/host", "10.0.0.2");
    order.add_restart_services("web");
    order.add_restart_services("worker");
    order.set_health_seconds(3);
    return order;
  }
  static void AddEdit(v1::EditFiles& order, const std::string& path, Profile::Edit::Format format,
                      const std::string& key, const std::string& value) {
    v1::FileEdits& file = *order.add_files();
    file.set_path(path);
    Profile::Edit& edit = *file.add_edits();
    edit.set_format(format);
    edit.set_key(key);
    edit.set_value(value);
  }

  struct Ended {
    bool done = false;
    absl::Status status;
    v1::CommandUpdate details;
  };
  std::shared_ptr<Ended> Begin(const v1::EditFiles& order) {
    auto ended = std::make_shared<Ended>();
    v1::Command command;
    command.set_id("c");
    *command.mutable_edit_files() = order;
    OrderVoice voice;
    voice.done = [ended](const absl::Status& status, v1::CommandUpdate details) {
      *ended = {true, status, std::move(details)};
    };
    auto work = orders_->Start(command, voice);
    if (work.ok()) {
      works_.push_back(*std::move(work));
    } else {
      *ended = {true, work.status(), {}};
    }
    return ended;
  }
  Ended Do(const v1::EditFiles& order) {
    const auto ended = Begin(order);
    loop_.UntilAdvancing(absl::Milliseconds(100), [&] { return ended->done; });
    return *ended;
  }
  Ended Do(v1::EditFiles::Action action) { return Do(Order(action)); }

  std::string Files() const { return testing::ReadFile(settings_) + testing::ReadFile(ini_); }
  static std::string Old() { return absl::StrCat(kSettings, kIni); }
  static std::string New() { return "# ä\r\nHOST = '10.0.0.1'\r\n[db]\nhost = 10.0.0.2 ; x\n"; }
  // Beside the two, what is left in their folder.
  std::vector<std::string> Left() const {
    std::vector<std::string> left;
    for (const std::string& path : {settings_, ini_}) {
      for (const std::string& name : {StagedName(path, "t-1"), BackupName(path, "t-1")}) {
        if (access(name.c_str(), F_OK) == 0) left.push_back(name);
      }
    }
    return left;
  }
  void ExpectAsBefore() {
    EXPECT_EQ(Files(), Old());
    EXPECT_EQ(StatOf(settings_), before_);
    EXPECT_THAT(Left(), IsEmpty());
  }

  static constexpr char kSettings[] = "# ä\r\nHOST = 'localhost'\r\n";
  static constexpr char kIni[] = "[db]\nhost = localhost ; x\n";

  testing::TempDir dir_;
  TestLoop loop_;
  const std::string settings_;
  const std::string ini_;
  Stat before_;
  int pid_ = 100;
  std::map<std::string, ServiceStatus> statuses_;
  std::vector<std::string> restarts_;
  std::map<std::string, int> refused_;
  std::string hanging_;
  ConfigServices::Done hung_;
  std::string files_at_start_;
  std::unique_ptr<ConfigOrders> orders_;
  std::vector<std::unique_ptr<OrderWork>> works_;
};

TEST_F(ConfigTransactionTest, PlanShowsAndChangesNothing) {
  v1::EditFiles order = Order(v1::EditFiles::ACTION_PLAN);
  AddEdit(order, dir_.File("none"), Profile::Edit::FORMAT_INI, "a", "b");
  const Ended ended = Do(order);
  ASSERT_TRUE(ended.status.ok()) << ended.status;
  const auto& files = ended.details.edited_files().files();
  ASSERT_EQ(files.size(), 3);
  EXPECT_THAT(files[0].diff(), HasSubstr("-HOST = 'localhost'\n+HOST = '10.0.0.1'\n"));
  EXPECT_EQ(files[1].old_sha256(), Sha256Hex(kIni));
  EXPECT_THAT(files[2].problem(), HasSubstr("No such file"));
  ExpectAsBefore();
}

TEST_F(ConfigTransactionTest, CommitReplacesRestartsAndKeeps) {
  ASSERT_TRUE(Do(v1::EditFiles::ACTION_PREPARE).status.ok());
  EXPECT_EQ(Files(), Old());
  EXPECT_THAT(restarts_, IsEmpty());
  const Ended committed = Do(v1::EditFiles::ACTION_COMMIT);
  ASSERT_TRUE(committed.status.ok()) << committed.status;
  EXPECT_EQ(Files(), New());
  EXPECT_EQ(StatOf(settings_), before_);
  EXPECT_THAT(restarts_, ElementsAre("web new", "worker new"));
  // Each of them may be sent again.
  EXPECT_TRUE(Do(v1::EditFiles::ACTION_COMMIT).status.ok());
  EXPECT_EQ(restarts_.size(), 2u);
  EXPECT_EQ(Left().size(), 2u);
  EXPECT_TRUE(Do(v1::EditFiles::ACTION_KEEP).status.ok());
  EXPECT_TRUE(Do(v1::EditFiles::ACTION_KEEP).status.ok());
  EXPECT_THAT(Left(), IsEmpty());
  EXPECT_EQ(Files(), New());
  EXPECT_EQ(ReasonOf(Do(v1::EditFiles::ACTION_COMMIT).status), "TRANSACTION_UNKNOWN");
}

TEST_F(ConfigTransactionTest, PutBackAfterCommitBringsTheOldFileItself) {
  struct stat old = {};
  ASSERT_EQ(stat(settings_.c_str(), &old), 0);
  ASSERT_TRUE(Do(v1::EditFiles::ACTION_PREPARE).status.ok());
  ASSERT_TRUE(Do(v1::EditFiles::ACTION_COMMIT).status.ok());
  ASSERT_TRUE(Do(v1::EditFiles::ACTION_PUT_BACK).status.ok());
  ExpectAsBefore();
  struct stat now = {};
  ASSERT_EQ(stat(settings_.c_str(), &now), 0);
  EXPECT_EQ(now.st_ino, old.st_ino);
  EXPECT_THAT(restarts_, ElementsAre("web new", "worker new", "web old", "worker old"));
  EXPECT_TRUE(Do(v1::EditFiles::ACTION_PUT_BACK).status.ok());
  EXPECT_EQ(restarts_.size(), 4u);
  EXPECT_EQ(ReasonOf(Do(v1::EditFiles::ACTION_COMMIT).status), "TRANSACTION_PUT_BACK");
  EXPECT_EQ(ReasonOf(Do(v1::EditFiles::ACTION_PREPARE).status), "TRANSACTION_PUT_BACK");
}

TEST_F(ConfigTransactionTest, LateOrdersAfterAPutBackAreRefused) {
  EXPECT_TRUE(Do(v1::EditFiles::ACTION_PUT_BACK).status.ok());
  StartAgent();
  EXPECT_EQ(ReasonOf(Do(v1::EditFiles::ACTION_PREPARE).status), "TRANSACTION_PUT_BACK");
  EXPECT_EQ(ReasonOf(Do(v1::EditFiles::ACTION_COMMIT).status), "TRANSACTION_PUT_BACK");
  ExpectAsBefore();
}

TEST_F(ConfigTransactionTest, ARestartThatFailsPutsBackFilesAndServices) {
  refused_["worker"] = 1;
  ASSERT_TRUE(Do(v1::EditFiles::ACTION_PREPARE).status.ok());
  const Ended ended = Do(v1::EditFiles::ACTION_COMMIT);
  EXPECT_EQ(ReasonOf(ended.status), "TRANSACTION_PUT_BACK");
  EXPECT_THAT(std::string(ended.status.message()), HasSubstr("restart of worker failed"));
  ExpectAsBefore();
  EXPECT_THAT(restarts_, ElementsAre("web new", "worker new", "web old", "worker old"));
}

TEST_F(ConfigTransactionTest, AServiceThatDoesNotStayWellPutsBack) {
  ASSERT_TRUE(Do(v1::EditFiles::ACTION_PREPARE).status.ok());
  const auto ended = Begin(Order(v1::EditFiles::ACTION_COMMIT));
  loop_.UntilAdvancing(absl::Milliseconds(100), [&] { return restarts_.size() == 2; });
  loop_.Pass(absl::Seconds(1));
  ASSERT_FALSE(ended->done);
  statuses_["web"].set_restarts(1);
  loop_.UntilAdvancing(absl::Milliseconds(100), [&] { return ended->done; });
  EXPECT_EQ(ReasonOf(ended->status), "TRANSACTION_PUT_BACK");
  EXPECT_THAT(std::string(ended->status.message()), HasSubstr("service web"));
  ExpectAsBefore();
  EXPECT_EQ(restarts_.size(), 4u);
}

TEST_F(ConfigTransactionTest, AServiceThatDoesNotComeBackIsToldAndOwed) {
  refused_["web"] = 2;
  ASSERT_TRUE(Do(v1::EditFiles::ACTION_PREPARE).status.ok());
  const Ended ended = Do(v1::EditFiles::ACTION_COMMIT);
  EXPECT_EQ(ReasonOf(ended.status), "NOT_PUT_BACK");
  EXPECT_THAT(std::string(ended.status.message()),
              HasSubstr("web did not start with its old files"));
  EXPECT_EQ(Files(), Old());
  // An order to put back tries again, and so does a start.
  refused_["web"] = 1;
  EXPECT_EQ(ReasonOf(Do(v1::EditFiles::ACTION_PUT_BACK).status), "NOT_PUT_BACK");
  restarts_.clear();
  StartAgent();
  loop_.Until([&] { return restarts_.size() == 1; });
  EXPECT_THAT(restarts_, ElementsAre("web old"));
  EXPECT_TRUE(Do(v1::EditFiles::ACTION_PUT_BACK).status.ok());
  EXPECT_EQ(restarts_.size(), 1u);
}

TEST_F(ConfigTransactionTest, WhatDoesNotChangeIsNotRestartedUnlessOwed) {
  v1::EditFiles order = Order(v1::EditFiles::ACTION_PREPARE);
  order.mutable_files(0)->mutable_edits(0)->set_value("localhost");
  order.mutable_files(1)->mutable_edits(0)->set_value("localhost");
  ASSERT_TRUE(Do(order).status.ok());
  ASSERT_TRUE(Do(v1::EditFiles::ACTION_COMMIT).status.ok());
  EXPECT_THAT(restarts_, IsEmpty());
  ASSERT_TRUE(Do(v1::EditFiles::ACTION_KEEP).status.ok());
  // The debt of another transaction.
  refused_["web"] = 2;
  ASSERT_TRUE(Do(v1::EditFiles::ACTION_PREPARE).status.ok());
  EXPECT_EQ(ReasonOf(Do(v1::EditFiles::ACTION_COMMIT).status), "NOT_PUT_BACK");
  restarts_.clear();
  order.set_transaction("t-2");
  ASSERT_TRUE(Do(order).status.ok());
  v1::EditFiles commit = Order(v1::EditFiles::ACTION_COMMIT);
  commit.set_transaction("t-2");
  ASSERT_TRUE(Do(commit).status.ok());
  EXPECT_THAT(restarts_, ElementsAre("web old"));
}

TEST_F(ConfigTransactionTest, AServiceStoppedOnOrderStaysStopped) {
  statuses_["worker"].set_state(ServiceStatus::STATE_STOPPED);
  ASSERT_TRUE(Do(v1::EditFiles::ACTION_PREPARE).status.ok());
  ASSERT_TRUE(Do(v1::EditFiles::ACTION_COMMIT).status.ok());
  ASSERT_TRUE(Do(v1::EditFiles::ACTION_PUT_BACK).status.ok());
  EXPECT_THAT(restarts_, ElementsAre("web new", "web old"));
}

TEST_F(ConfigTransactionTest, PutBackInTheMiddleOfACommitEndsIt) {
  hanging_ = "web";
  ASSERT_TRUE(Do(v1::EditFiles::ACTION_PREPARE).status.ok());
  const auto commit = Begin(Order(v1::EditFiles::ACTION_COMMIT));
  loop_.Until([&] { return hung_ != nullptr; });
  hanging_.clear();
  const Ended back = Do(v1::EditFiles::ACTION_PUT_BACK);
  EXPECT_TRUE(back.status.ok()) << back.status;
  EXPECT_EQ(ReasonOf(commit->status), "TRANSACTION_PUT_BACK");
  ExpectAsBefore();
}

TEST_F(ConfigTransactionTest, ACancelledCommitPutsBack) {
  ASSERT_TRUE(Do(v1::EditFiles::ACTION_PREPARE).status.ok());
  Begin(Order(v1::EditFiles::ACTION_COMMIT));
  loop_.Until([&] { return restarts_.size() == 2; });
  bool ended = false;
  works_.back()->Abort([&](absl::Status status) { ended = status.ok(); });
  loop_.Until([&] { return ended; });
  ExpectAsBefore();
}

TEST_F(ConfigTransactionTest, RefusalsOfPrepareLeaveNothing) {
  struct Row {
    const char* name;
    std::function<void(v1::EditFiles&)> change;
    const char* reason;
    const char* words;
  };
  const std::string link = dir_.File("link");
  ASSERT_EQ(symlink(dir_.File("nowhere").c_str(), link.c_str()), 0);
  const std::string other = dir_.File("other");
  testing::WriteFile(other, "HOST = 1\n");
  ASSERT_EQ(::link(other.c_str(), dir_.File("again").c_str()), 0);
  for (const Row& row : std::vector<Row>{
           {"an anchor that is not there",
            [](auto& o) { o.mutable_files(1)->mutable_edits(0)->set_key("db/hots"); },
            "KEY_MISSING", "web.ini: there is no db > hots"},
           {"changed since it was planned",
            [](auto& o) { o.mutable_files(0)->set_expected_sha256("00"); }, "FILE_CHANGED",
            "settings.py"},
           {"validation",
            [](auto& o) {
              o.mutable_files(0)->mutable_edits(0)->set_validate_command(
                  "echo 'PASSWORD = hunter2' >&2; exit 3");
            },
            "VALIDATION_FAILED", "exit code 3): PASSWORD = ***"},
           {"service", [](auto& o) { o.add_restart_services("celery"); }, "SERVICE_NOT_FOUND",
            "celery"},
           {"dangling link", [&](auto& o) { o.mutable_files(0)->set_path(link); }, "FILE_MISSING",
            "link"},
           {"hard links", [&](auto& o) { o.mutable_files(0)->set_path(other); }, "FILE_UNFIT",
            "2 names"},
           {"a folder", [&](auto& o) { o.mutable_files(0)->set_path(dir_.path()); }, "FILE_UNFIT",
            "no regular file"},
           {"not absolute", [](auto& o) { o.mutable_files(0)->set_path("settings.py"); },
            "FILE_UNFIT", "absolute"},
           {"transaction", [](auto& o) { o.set_transaction("../x"); }, "", "transaction"}}) {
    SCOPED_TRACE(row.name);
    v1::EditFiles order = Order(v1::EditFiles::ACTION_PREPARE);
    row.change(order);
    const Ended ended = Do(order);
    EXPECT_EQ(ReasonOf(ended.status), row.reason);
    EXPECT_THAT(std::string(ended.status.message()), HasSubstr(row.words));
    EXPECT_THAT(std::string(ended.status.message()), Not(HasSubstr("hunter2")));
    ExpectAsBefore();
    EXPECT_EQ(orders_->Find("t-1"), nullptr);
  }
}

TEST_F(ConfigTransactionTest, ValidationSeesTheNewFileByItsEnding) {
  v1::EditFiles order = Order(v1::EditFiles::ACTION_PREPARE);
  order.mutable_files(0)->mutable_edits(0)->set_validate_command(
      "case $1 in *.py) grep -q 10.0.0.1 \"$1\";; *) false;; esac");
  EXPECT_TRUE(Do(order).status.ok());
}

TEST_F(ConfigTransactionTest, AHangingValidationIsEnded) {
  v1::EditFiles order = Order(v1::EditFiles::ACTION_PREPARE);
  const std::string mark = dir_.File("hangs");
  order.mutable_files(0)->mutable_edits(0)->set_validate_command(
      absl::StrCat("tail -f /dev/null ", mark, " 2>/dev/null"));
  const auto ended = Begin(order);
  loop_.Until([&] { return CountWith(mark) > 0; });
  loop_.Pass(absl::Seconds(61));
  loop_.Until([&] { return ended->done; });
  EXPECT_EQ(ReasonOf(ended->status), "VALIDATION_FAILED");
  loop_.Until([&] { return CountWith(mark) == 0; });
  ExpectAsBefore();
}

TEST_F(ConfigTransactionTest, AFileChangedByOthersAfterPrepareIsNotReplaced) {
  ASSERT_TRUE(Do(v1::EditFiles::ACTION_PREPARE).status.ok());
  testing::WriteFile(ini_, "[db]\nhost = by-hand\n");
  const Ended ended = Do(v1::EditFiles::ACTION_COMMIT);
  EXPECT_THAT(std::string(ended.status.message()), HasSubstr("web.ini was changed"));
  EXPECT_EQ(testing::ReadFile(ini_), "[db]\nhost = by-hand\n");
  EXPECT_EQ(testing::ReadFile(settings_), kSettings);
  EXPECT_THAT(restarts_, IsEmpty());
}

TEST_F(ConfigTransactionTest, ALinkIsFollowedAndStays) {
  const std::string link = dir_.File("link.py");
  ASSERT_EQ(symlink(settings_.c_str(), link.c_str()), 0);
  v1::EditFiles order = Order(v1::EditFiles::ACTION_PREPARE);
  order.mutable_files(0)->set_path(link);
  ASSERT_TRUE(Do(order).status.ok());
  ASSERT_TRUE(Do(v1::EditFiles::ACTION_COMMIT).status.ok());
  EXPECT_EQ(Files(), New());
  struct stat its = {};
  ASSERT_EQ(lstat(link.c_str(), &its), 0);
  EXPECT_TRUE(S_ISLNK(its.st_mode));
}

TEST_F(ConfigTransactionTest, AFullDiskIsToldBeforeAnythingIsInForce) {
  const std::string small = dir_.File("small");
  ASSERT_EQ(mkdir(small.c_str(), 0700), 0);
  if (mount("tmpfs", small.c_str(), "tmpfs", 0, "size=16k") != 0) {
    GTEST_SKIP() << "needs the right to mount";
  }
  const std::string file = small + "/x.ini";
  const std::string old = absl::StrCat("[a]\nb = 1\n#", std::string(9000, 'x'), "\n");
  testing::WriteFile(file, old);
  v1::EditFiles order = Order(v1::EditFiles::ACTION_PREPARE);
  AddEdit(order, file, Profile::Edit::FORMAT_INI, "a/b", "2");
  const Ended ended = Do(order);
  EXPECT_EQ(ReasonOf(ended.status), "NO_SPACE") << ended.status;
  EXPECT_EQ(testing::ReadFile(file), old);
  EXPECT_NE(access(StagedName(file, "t-1").c_str(), F_OK), 0);
  ExpectAsBefore();
  umount2(small.c_str(), MNT_DETACH);
}

// Every point at which the agent can end between the first write and the last one.
TEST_F(ConfigTransactionTest, AnAgentThatEndsInTheMiddlePutsBackAtItsStart) {
  struct Row {
    const char* name;
    Journal::Phase phase;
    // Files swapped, and whether the next one has its backup already.
    int swapped;
    bool linked;
    int restarts_begun;
    bool back;
  };
  for (const Row& row :
       std::vector<Row>{{"preparing", Journal::PHASE_PREPARING, 0, false, 0, false},
                        {"before the first", Journal::PHASE_REPLACING, 0, false, 0, true},
                        {"first linked", Journal::PHASE_REPLACING, 0, true, 0, true},
                        {"first replaced", Journal::PHASE_REPLACING, 1, false, 0, true},
                        {"second linked", Journal::PHASE_REPLACING, 1, true, 0, true},
                        {"all replaced", Journal::PHASE_REPLACING, 2, false, 0, true},
                        {"between write and restart", Journal::PHASE_RESTARTING, 2, false, 0, true},
                        {"one restarted", Journal::PHASE_RESTARTING, 2, false, 1, true},
                        {"being watched", Journal::PHASE_RESTARTING, 2, false, 2, true},
                        {"putting back", Journal::PHASE_PUTTING_BACK, 2, false, 2, true}}) {
    SCOPED_TRACE(row.name);
    restarts_.clear();
    ASSERT_TRUE(Do(v1::EditFiles::ACTION_PREPARE).status.ok());
    Journal journal = orders_->Find("t-1")->journal();
    orders_.reset();
    journal.set_phase(row.phase);
    journal.set_restarts_begun(row.restarts_begun);
    for (int i = 0; i < row.swapped; ++i) {
      const Journal::File& file = journal.files(i);
      ASSERT_TRUE(SwapIn(file.target(), file.staged(), file.backup()).ok());
    }
    if (row.linked) {
      const Journal::File& file = journal.files(row.swapped);
      ASSERT_EQ(link(file.target().c_str(), file.backup().c_str()), 0);
    }
    ASSERT_TRUE(WriteMessage(dir_.File("state/t-1.journal"), journal).ok());
    StartAgent();
    // Before a service can be started.
    EXPECT_EQ(files_at_start_, Old());
    const Ended ended = Do(v1::EditFiles::ACTION_COMMIT);
    EXPECT_EQ(ReasonOf(ended.status), row.back ? "TRANSACTION_PUT_BACK" : "TRANSACTION_UNKNOWN");
    ExpectAsBefore();
    if (row.back) {
      loop_.Until([&] { return restarts_.size() == 2; });
      EXPECT_THAT(restarts_, ElementsAre("web old", "worker old"));
      loop_.Until([&] { return !orders_->Find("t-1")->busy(); });
    }
    ASSERT_TRUE(orders_->Drop("t-1").ok());
  }
}

TEST_F(ConfigTransactionTest, WhatIsPreparedOrCommittedOutlivesTheAgent) {
  ASSERT_TRUE(Do(v1::EditFiles::ACTION_PREPARE).status.ok());
  StartAgent();
  ASSERT_TRUE(Do(v1::EditFiles::ACTION_COMMIT).status.ok());
  StartAgent();
  EXPECT_EQ(Files(), New());
  EXPECT_TRUE(Do(v1::EditFiles::ACTION_COMMIT).status.ok());
  EXPECT_TRUE(Do(v1::EditFiles::ACTION_PUT_BACK).status.ok());
  ExpectAsBefore();
}

}  // namespace
}  // namespace drover::agent
