// What can be wrong with a working copy, its repository and its machine: each fault ends in a named
// state, and local edits are never lost.
#include <signal.h>
#include <sys/mount.h>
#include <sys/stat.h>

#include <functional>
#include <string>
#include <vector>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "agent/process_watch.h"
#include "agent/saved_edits.h"
#include "agent/svn_run.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "proto/support/status.h"
#include "tests/agent/svn_bench.h"

namespace drover::agent {
namespace {

using drover::v1::RolloutSpec;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::UnorderedElementsAre;

class SvnFaultsTest : public SvnBench {};

TEST_F(SvnFaultsTest, ADeadLockIsCleared) {
  Shell(absl::StrCat("sqlite3 ", copy_, "/.svn/wc.db \"insert into WC_LOCK values(1,'',-1)\""));
  EXPECT_TRUE(Look().locked());
  const Outcome updated = Update(To(third_));
  ASSERT_TRUE(updated.status.ok()) << updated.status;
  EXPECT_FALSE(Look().locked());
}

TEST_F(SvnFaultsTest, ALockThatIsHeldIsWaitedForAndLeftAlone) {
  Shell(absl::StrCat("sqlite3 ", copy_, "/.svn/wc.db \"insert into WC_LOCK values(1,'',-1)\""));
  // Stands for an svn that works: it has the journal open.
  const std::string holder = absl::StrCat("exec 3<", copy_, "/.svn/wc.db; exec sleep 1000 # ");
  FILE* pipe = popen(absl::StrCat("sh -c '", holder, "'").c_str(), "r");
  loop_.Until([&] { return FindHolder(copy_).pid != 0; });
  const pid_t pid = FindHolder(copy_).pid;
  Begin(To(third_));
  loop_.UntilAdvancing(absl::Milliseconds(200), [&] { return outcome_.has_value(); });
  EXPECT_EQ(ReasonOf(outcome_->status), "WORKING_COPY_BUSY") << outcome_->status;
  EXPECT_TRUE(Look().locked());
  EXPECT_EQ(kill(pid, 0), 0);
  kill(pid, SIGKILL);
  pclose(pipe);
}

struct Case {
  const char* name;
  const char* reason;
  std::function<void(v1::UpdateWorkingCopies&)> change;
};

TEST_F(SvnFaultsTest, EachFaultHasItsReasonAndChangesNothing) {
  const std::string elsewhere = server_.url("lib");
  const std::vector<Case> cases = {
      {"wrong password", "SVN_LOGIN_REFUSED",
       [](auto& order) {
         order.mutable_targets(0)->mutable_working_copy()->set_password("wrong");
       }},
      {"unknown user", "SVN_LOGIN_REFUSED",
       [](auto& order) { order.mutable_targets(0)->mutable_working_copy()->set_user("nobody"); }},
      {"unknown revision", "REVISION_UNKNOWN",
       [](auto& order) { order.mutable_targets(0)->set_revision(4711); }},
      {"missing", "WORKING_COPY_MISSING",
       [](auto& order) { order.mutable_targets(0)->mutable_working_copy()->set_path("/nowhere"); }},
      {"no working copy", "WORKING_COPY_MISSING",
       [](auto& order) { order.mutable_targets(0)->mutable_working_copy()->set_path("/etc"); }},
      {"switched", "WORKING_COPY_SWITCHED",
       [&](auto& order) { order.mutable_targets(0)->mutable_working_copy()->set_url(elsewhere); }}};
  for (const Case& each : cases) {
    SCOPED_TRACE(each.name);
    v1::UpdateWorkingCopies order = To(third_);
    each.change(order);
    const Outcome outcome = Update(order);
    EXPECT_EQ(ReasonOf(outcome.status), each.reason) << outcome.status;
    EXPECT_FALSE(outcome.details.working_copies().working_copies(0).problem().empty());
    EXPECT_EQ(Look().revision(), second_);
  }
}

// A part of it comes from elsewhere, and no revision of the whole would say so.
TEST_F(SvnFaultsTest, ASwitchedPartIsToldAndChangesNothing) {
  const int64_t with = server_.CommitAfter("mkdir trunk/part lib/part; echo 1 > trunk/part/x");
  ASSERT_TRUE(Update(To(with)).status.ok());
  Shell(
      absl::StrCat("svn -q switch --non-interactive --no-auth-cache --ignore-ancestry --username ",
                   SvnServer::kUser, " --password-from-stdin ", server_.url("lib/part"), " ", copy_,
                   "/part < ", dir_.path(), "/server/password"));
  EXPECT_THAT(Look().problem(), HasSubstr("were switched to another place: part"));
  const Outcome refused = Update(To(second_));
  EXPECT_EQ(ReasonOf(refused.status), "WORKING_COPY_SWITCHED") << refused.status;
  EXPECT_EQ(Look().revision(), with);
}

class InterruptedUpdate : public SvnBench {
 protected:
  InterruptedUpdate() {
    many_ = server_.CommitAfter(
        "mkdir trunk/many; for i in $(seq 1500); do echo $i > trunk/many/file$i; done");
  }
  // An update that was stopped in its middle: its svn.
  pid_t UntilHalfDone() {
    Begin(To(many_));
    pid_t svn = 0;
    loop_.Until([&] {
      struct stat info;
      svn = FindHolder(copy_).pid;
      return outcome_.has_value() || (svn != 0 && stat((copy_ + "/many").c_str(), &info) == 0);
    });
    EXPECT_FALSE(outcome_.has_value());
    kill(svn, SIGSTOP);
    return svn;
  }
  int64_t many_ = 0;
};

TEST_F(InterruptedUpdate, KilledWithItsAgentItIsRepeatedToTheSameEnd) {
  const pid_t svn = UntilHalfDone();
  Restart();
  kill(svn, SIGKILL);
  loop_.Until([&] { return FindHolder(copy_).pid == 0; });
  const v1::WorkingCopyState between = Look();
  EXPECT_TRUE(between.locked());
  EXPECT_EQ(between.previous_revision(), second_);
  const Outcome repeated = Update(To(many_));
  ASSERT_TRUE(repeated.status.ok()) << repeated.status;
  EXPECT_EQ(FileOf("many/file1500"), "1500\n");
  EXPECT_EQ(Look().previous_revision(), second_);
}

TEST_F(InterruptedUpdate, AnSvnThatOutlivedItsAgentIsEnded) {
  const pid_t svn = UntilHalfDone();
  Restart();
  const Outcome repeated = Update(To(many_));
  ASSERT_TRUE(repeated.status.ok()) << repeated.status;
  const auto process = ReadProcess(svn);
  EXPECT_TRUE(!process || process->dead());
}

TEST_F(InterruptedUpdate, AbortEndsTheProcessAndTheWayBackWorks) {
  const pid_t svn = UntilHalfDone();
  bool ended = false;
  work_->Abort([&](const absl::Status& status) { ended = status.ok(); });
  loop_.UntilAdvancing(absl::Milliseconds(2), [&] { return ended; });
  const auto process = ReadProcess(svn);
  EXPECT_TRUE(!process || process->dead());
  work_.reset();
  const Outcome back = Update(To(second_, RolloutSpec::LOCAL_EDITS_MERGE));
  ASSERT_TRUE(back.status.ok()) << back.status;
  EXPECT_EQ(Look().revision(), second_);
  // As if nothing had been.
  EXPECT_EQ(Look().previous_revision(), 0);
}

// ---------------------------------------------------------------- conflicts that nobody foresaw

class UnforeseenConflict : public SvnBench {
 protected:
  // A dry run of the merge does not look into externals.
  UnforeseenConflict() {
    const int64_t pinned = server_.CommitAfter("echo 1 > lib/x.py", "library");
    const int64_t newer = server_.CommitAfter("echo 2 > lib/x.py", "newer library");
    with_ = server_.CommitAfter(
        absl::StrCat("svn -q propset svn:externals '^/lib@", pinned, " lib' trunk"), "use it");
    EXPECT_TRUE(Update(To(with_)).status.ok());
    next_ = server_.CommitAfter(
        absl::StrCat("svn -q propset svn:externals '^/lib@", newer, " lib' trunk"), "use newer");
    Edit("lib/x.py", "mine\n");
    Edit("app.py", "ONE\ntwo\nthree\nfour\nFIVE\n");
    Edit("new.py", "new\n");
    Shell(absl::StrCat("cd ", copy_,
                       "; mkdir empty; svn -q add new.py empty; svn -q delete util.py"));
    before_ = EditsNow();
  }
  std::vector<std::string> EditsNow() {
    const v1::WorkingCopyState state = Look();
    EXPECT_TRUE(state.problem().empty()) << state.problem();
    return {state.local_edits().begin(), state.local_edits().end()};
  }
  void ExpectAsBefore() {
    EXPECT_THAT(EditsNow(), ::testing::UnorderedElementsAreArray(before_));
    EXPECT_EQ(Look().revision(), with_);
    EXPECT_THAT(Look().externals(), IsEmpty());
    EXPECT_EQ(FileOf("lib/x.py"), "mine\n");
    EXPECT_EQ(FileOf("app.py"), "ONE\ntwo\nthree\nfour\nFIVE\n");
    EXPECT_EQ(FileOf("new.py"), "new\n");
    EXPECT_NE(access((copy_ + "/util.py").c_str(), F_OK), 0);
    EXPECT_EQ(Look().previous_revision(), second_);
  }
  int64_t with_ = 0;
  int64_t next_ = 0;
  std::vector<std::string> before_;
};

TEST_F(UnforeseenConflict, GoesBackWithTheEditsAsTheyWere) {
  ASSERT_THAT(before_,
              UnorderedElementsAre("M app.py", "M lib/x.py", "A new.py", "A empty", "D util.py"));
  const Outcome conflict = Update(To(next_, RolloutSpec::LOCAL_EDITS_MERGE));
  EXPECT_EQ(ReasonOf(conflict.status), "CONFLICT") << conflict.status;
  EXPECT_THAT(std::string(conflict.status.message()), HasSubstr("lib/x.py"));
  EXPECT_THAT(std::string(conflict.status.message()), HasSubstr("as it was"));
  EXPECT_EQ(conflict.details.working_copies().working_copies(0).revision(), with_);
  ExpectAsBefore();
  // What the controller orders then finds it there.
  EXPECT_TRUE(Update(To(with_, RolloutSpec::LOCAL_EDITS_MERGE)).status.ok());
  ExpectAsBefore();
}

// The agent ends after each step of the way back; begun anew, it comes to the same end.
TEST_F(UnforeseenConflict, AnAgentThatEndsOnTheWayBackGoesOnWithIt) {
  const std::vector<std::function<bool()>> steps = {
      [&] {
        const std::string memory = testing::ReadFile(dir_.path() + "/state/working-copies.state");
        return absl::StrContains(memory, "saved-edits");
      },
      [&] { return !absl::StrContains(FileOf("app.py"), "ONE"); },
      [&] { return FileOf("lib/x.py") == "1\n"; },
      [&] { return access((copy_ + "/util.py").c_str(), F_OK) != 0; },
      [&] { return absl::StrContains(FileOf("app.py"), "ONE"); }};
  for (size_t last = 0; last < steps.size(); ++last) {
    SCOPED_TRACE(last);
    Begin(To(next_, RolloutSpec::LOCAL_EDITS_MERGE));
    for (size_t step = 0; step <= last; ++step) {
      loop_.Until([&] { return outcome_.has_value() || steps[step](); });
    }
    EXPECT_FALSE(outcome_.has_value());
    Restart();
    loop_.clock.Advance(absl::Seconds(1));
    const Outcome again = Update(To(next_, RolloutSpec::LOCAL_EDITS_MERGE));
    EXPECT_EQ(ReasonOf(again.status), "CONFLICT") << again.status;
    EXPECT_THAT(std::string(again.status.message()), HasSubstr("as it was"));
    ExpectAsBefore();
    loop_.clock.Advance(absl::Seconds(1));
  }
}

TEST_F(UnforeseenConflict, WhatIsNotPutBackIsToldWithItsPlace) {
  Shell(absl::StrCat("cd ", copy_, "; svn -q propset colour red app.py"));
  const Outcome conflict = Update(To(next_, RolloutSpec::LOCAL_EDITS_MERGE));
  EXPECT_EQ(ReasonOf(conflict.status), "CONFLICT") << conflict.status;
  const std::string message(conflict.status.message());
  EXPECT_THAT(message, HasSubstr("not all as they were"));
  const std::string folder = message.substr(message.find(dir_.path() + "/state/saved-edits"));
  EXPECT_THAT(testing::ReadFile(folder + "/edits.patch"), HasSubstr("colour"));
  ExpectAsBefore();
}

TEST_F(SvnFaultsTest, AnUnversionedFileInTheWayIsKept) {
  const int64_t with = server_.Commit("new.py", "theirs\n");
  for (const auto policy : {RolloutSpec::LOCAL_EDITS_REFUSE, RolloutSpec::LOCAL_EDITS_MERGE,
                            RolloutSpec::LOCAL_EDITS_SAVE_AND_REVERT}) {
    SCOPED_TRACE(policy);
    Edit("new.py", "mine\n");
    const Outcome conflict = Update(To(with, policy));
    EXPECT_EQ(ReasonOf(conflict.status), "CONFLICT") << conflict.status;
    EXPECT_EQ(FileOf("new.py"), "mine\n");
    EXPECT_EQ(Look().revision(), second_);
    EXPECT_THAT(Look().local_edits(), IsEmpty());
  }
  Shell(absl::StrCat("rm ", copy_, "/new.py"));
  EXPECT_TRUE(Update(To(with)).status.ok());
  EXPECT_EQ(FileOf("new.py"), "theirs\n");
}

// ---------------------------------------------------------------- a full disk

class SmallDisk {
 public:
  SmallDisk(const std::string& path, const std::string& options) : path_(path) {
    mkdir(path.c_str(), 0755);
    there_ = mount("tmpfs", path.c_str(), "tmpfs", 0, options.c_str()) == 0;
  }
  ~SmallDisk() {
    if (there_) umount2(path_.c_str(), MNT_DETACH);
  }
  bool there() const { return there_; }
  bool Grow(const std::string& options) {
    return mount("tmpfs", path_.c_str(), "tmpfs", MS_REMOUNT, options.c_str()) == 0;
  }

 private:
  const std::string path_;
  bool there_ = false;
};

TEST_F(SvnFaultsTest, AFullDiskIsNamedAndWithRoomItGoesBack) {
  SmallDisk disk(dir_.File("small"), "size=1m");
  if (!disk.there()) GTEST_SKIP() << "needs the right to mount";
  const std::string copy = dir_.File("small/copy");
  server_.CheckOut(copy, second_);
  const int64_t big = server_.CommitAfter("head -c 3000000 /dev/urandom > trunk/big");
  v1::UpdateWorkingCopies order = To(big, RolloutSpec::LOCAL_EDITS_MERGE);
  order.mutable_targets(0)->mutable_working_copy()->set_path(copy);
  testing::WriteFile(copy + "/util.py", "mine\n");
  const Outcome full = Update(order);
  EXPECT_EQ(ReasonOf(full.status), "NO_SPACE") << full.status;
  EXPECT_EQ(testing::ReadFile(copy + "/util.py"), "mine\n");
  // svn itself needs room to clean up.
  order.mutable_targets(0)->set_revision(second_);
  EXPECT_EQ(ReasonOf(Update(order).status), "NO_SPACE");
  ASSERT_TRUE(disk.Grow("size=16m"));
  const Outcome back = Update(order);
  ASSERT_TRUE(back.status.ok()) << back.status;
  EXPECT_EQ(testing::ReadFile(copy + "/util.py"), "mine\n");
  EXPECT_THAT(back.details.working_copies().working_copies(0).local_edits(),
              ElementsAre("M util.py"));
}

TEST_F(SvnFaultsTest, EditsThatCannotBeSavedAreNotReverted) {
  SmallDisk disk(dir_.File("state"), "size=64k");
  if (!disk.there()) GTEST_SKIP() << "needs the right to mount";
  Restart();
  const std::string mine(200000, 'x');
  Edit("app.py", mine);
  const Outcome full = Update(To(third_, RolloutSpec::LOCAL_EDITS_SAVE_AND_REVERT));
  EXPECT_FALSE(full.status.ok());
  EXPECT_THAT(std::string(full.status.message()), HasSubstr("No space left"));
  EXPECT_EQ(FileOf("app.py"), mine);
  EXPECT_EQ(Look().revision(), second_);
  work_.reset();
  client_.reset();
}

// ---------------------------------------------------------------- saved edits

TEST(SavedEdits, TheNewestTenAndTheYoungStay) {
  testing::TempDir dir;
  const absl::Time now = absl::FromUnixSeconds(1767225600);
  const auto save = [&](const std::string& id, absl::Duration age) {
    const std::string folder = SavedEditsFolder(dir.path(), id, now - age);
    mkdir(folder.c_str(), 0700);
    testing::WriteFile(folder + "/edits.patch", "x");
    return folder;
  };
  const auto is_there = [](const std::string& folder) {
    return access((folder + "/edits.patch").c_str(), F_OK) == 0;
  };
  std::vector<std::string> young;
  std::vector<std::string> old;
  for (int i = 0; i < 4; ++i) young.push_back(save("app", absl::Hours(24 * i)));
  for (int i = 0; i < 10; ++i) old.push_back(save("app", absl::Hours(24 * (40 + i))));
  // Another working copy's, and what is no such folder.
  const std::string other = save("app-2", absl::Hours(24 * 400));
  const std::string strange = dir.File("app-notes");
  mkdir(strange.c_str(), 0700);
  testing::WriteFile(strange + "/edits.patch", "x");
  PruneSavedEdits(dir.path(), "app", now);
  for (const std::string& folder : young) EXPECT_TRUE(is_there(folder));
  for (int i = 0; i < 10; ++i) EXPECT_EQ(is_there(old[i]), i < 6) << i;
  EXPECT_TRUE(is_there(other));
  EXPECT_TRUE(is_there(strange));
  // However many there are, none younger than thirty days goes.
  for (int i = 0; i < 20; ++i) young.push_back(save("app", absl::Hours(24 * 20 + i)));
  PruneSavedEdits(dir.path(), "app", now);
  for (const std::string& folder : young) EXPECT_TRUE(is_there(folder));
  for (const std::string& folder : old) EXPECT_FALSE(is_there(folder));
}

}  // namespace
}  // namespace drover::agent
