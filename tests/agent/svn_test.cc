// Working copies with the real svn, svnadmin and svnserve.
#include <dirent.h>
#include <signal.h>
#include <sys/stat.h>
#include <unistd.h>

#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "agent/process_watch.h"
#include "agent/svn_client.h"
#include "agent/svn_text.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "proto/support/status.h"
#include "tests/agent/svn_server.h"
#include "tests/agent/test_loop.h"
#include "tests/testing/temp_dir.h"

namespace drover::agent {
namespace {

using drover::v1::RolloutSpec;
using ::testing::Contains;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::UnorderedElementsAre;

struct Outcome {
  absl::Status status;
  v1::CommandUpdate details;
};

class SvnTest : public ::testing::Test {
 protected:
  SvnTest() : server_(Folder("server")), copy_(dir_.File("copy")) {
    Restart();
    server_.Commit("app.py", "one\ntwo\nthree\nfour\nfive\n");
    second_ = server_.Commit("util.py", "util\n", "add a tool\n\nit is | small");
    server_.CheckOut(copy_, second_);
    third_ = server_.Commit("app.py", "one\ntwo\nthree\nfour\nFIVE\n", "louder");
  }
  ~SvnTest() override {
    work_.reset();
    client_.reset();
    EndAllWith(dir_.path());
  }

  std::string Folder(const std::string& name) {
    const std::string path = dir_.File(name);
    mkdir(path.c_str(), 0755);
    return path;
  }
  // As when the agent ends and comes back: its children live on.
  void Restart() {
    work_.reset();
    client_ = std::make_unique<SvnClient>(&loop_.loop, Folder("state"));
  }

  v1::SvnWorkingCopy Copy() const {
    v1::SvnWorkingCopy copy;
    copy.set_id("app");
    copy.set_path(copy_);
    copy.set_url(server_.trunk());
    copy.set_user(SvnServer::kUser);
    copy.set_password(SvnServer::kPassword);
    return copy;
  }
  v1::UpdateWorkingCopies To(
      int64_t revision, RolloutSpec::LocalEdits edits = RolloutSpec::LOCAL_EDITS_REFUSE) const {
    v1::UpdateWorkingCopies order;
    *order.add_targets()->mutable_working_copy() = Copy();
    order.mutable_targets(0)->set_revision(revision);
    order.set_local_edits(edits);
    return order;
  }

  OrderVoice Voice() {
    outcome_.reset();
    output_.clear();
    return {[this](const absl::Status& status, v1::CommandUpdate details) {
              outcome_ = Outcome{status, std::move(details)};
            },
            [this](absl::string_view piece) { output_.append(piece.data(), piece.size()); }};
  }
  void Begin(const v1::UpdateWorkingCopies& order) {
    auto work = client_->Update(order, Voice());
    ASSERT_TRUE(work.ok()) << work.status();
    work_ = *std::move(work);
  }
  Outcome Await() {
    loop_.UntilAdvancing(absl::Milliseconds(5), [&] { return outcome_.has_value(); });
    work_.reset();
    return *outcome_;
  }
  Outcome Update(const v1::UpdateWorkingCopies& order) {
    Begin(order);
    return Await();
  }
  v1::WorkingCopyState Look() {
    v1::ReadWorkingCopies order;
    *order.add_working_copies() = Copy();
    auto work = client_->Read(order, Voice());
    EXPECT_TRUE(work.ok()) << work.status();
    work_ = *std::move(work);
    const Outcome outcome = Await();
    EXPECT_TRUE(outcome.status.ok()) << outcome.status;
    return outcome.details.working_copies().working_copies(0);
  }
  Outcome Revisions(v1::ReadRevisions order) {
    if (!order.has_working_copy()) *order.mutable_working_copy() = Copy();
    auto work = client_->ReadRevisions(order, Voice());
    EXPECT_TRUE(work.ok()) << work.status();
    work_ = *std::move(work);
    return Await();
  }
  std::string FileOf(const std::string& name) { return testing::ReadFile(copy_ + "/" + name); }
  void Edit(const std::string& name, const std::string& contents) {
    testing::WriteFile(copy_ + "/" + name, contents);
  }
  std::vector<std::string> SavedFolders() {
    std::vector<std::string> names;
    if (DIR* folder = opendir((dir_.path() + "/state/saved-edits").c_str())) {
      while (const dirent* entry = readdir(folder)) {
        if (entry->d_name[0] != '.')
          names.push_back(dir_.path() + "/state/saved-edits/" + entry->d_name);
      }
      closedir(folder);
    }
    return names;
  }

  testing::TempDir dir_;
  TestLoop loop_;
  SvnServer server_;
  const std::string copy_;
  int64_t second_ = 0;
  int64_t third_ = 0;
  std::unique_ptr<SvnClient> client_;
  std::unique_ptr<OrderWork> work_;
  std::optional<Outcome> outcome_;
  std::string output_;
};

TEST_F(SvnTest, UpdatesThereAndBackAndKnowsWhereItCameFrom) {
  EXPECT_EQ(Look().revision(), second_);
  EXPECT_EQ(Look().previous_revision(), 0);
  const Outcome there = Update(To(third_));
  ASSERT_TRUE(there.status.ok()) << there.status;
  EXPECT_EQ(there.details.working_copies().working_copies(0).revision(), third_);
  EXPECT_EQ(there.details.working_copies().working_copies(0).previous_revision(), second_);
  EXPECT_THAT(FileOf("app.py"), HasSubstr("FIVE"));
  // It is on the disk.
  Restart();
  EXPECT_EQ(Look().previous_revision(), second_);
  const Outcome back = Update(To(second_));
  ASSERT_TRUE(back.status.ok()) << back.status;
  EXPECT_THAT(FileOf("app.py"), HasSubstr("five"));
  // Back where it came from: what was before that, which nobody knows; not the revision just left.
  EXPECT_EQ(Look().previous_revision(), 0);
}

TEST_F(SvnTest, DoesNothingWhereItIsSoAlready) {
  server_.Stop();
  EXPECT_TRUE(Update(To(second_)).status.ok());
  const Outcome away = Update(To(third_));
  EXPECT_EQ(ReasonOf(away.status), "REPOSITORY_UNREACHABLE") << away.status;
  EXPECT_EQ(Look().revision(), second_);
}

TEST_F(SvnTest, LocalEditsAreListedAndRefused) {
  Edit("app.py", "ONE\ntwo\nthree\nfour\nfive\n");
  Edit("new.py", "new\n");
  Edit("scratch", "not versioned\n");
  Shell(absl::StrCat("cd ", copy_, "; svn -q add new.py; svn -q delete util.py"));
  EXPECT_THAT(Look().local_edits(), UnorderedElementsAre("M app.py", "A new.py", "D util.py"));
  const Outcome refused = Update(To(third_));
  EXPECT_EQ(ReasonOf(refused.status), "LOCAL_EDITS") << refused.status;
  EXPECT_THAT(refused.status.message(), HasSubstr("M app.py"));
  EXPECT_EQ(Look().revision(), second_);
  EXPECT_THAT(FileOf("app.py"), HasSubstr("ONE"));
}

TEST_F(SvnTest, LocalEditsAreMerged) {
  Edit("app.py", "ONE\ntwo\nthree\nfour\nfive\n");
  const Outcome merged = Update(To(third_, RolloutSpec::LOCAL_EDITS_MERGE));
  ASSERT_TRUE(merged.status.ok()) << merged.status;
  EXPECT_EQ(FileOf("app.py"), "ONE\ntwo\nthree\nfour\nFIVE\n");
  EXPECT_THAT(merged.details.working_copies().working_copies(0).local_edits(),
              ElementsAre("M app.py"));
}

TEST_F(SvnTest, AConflictIsFoundBeforeAnythingIsTouched) {
  const std::string mine = "one\ntwo\nthree\nfour\nmine\n";
  Edit("app.py", mine);
  const Outcome conflict = Update(To(third_, RolloutSpec::LOCAL_EDITS_MERGE));
  EXPECT_EQ(ReasonOf(conflict.status), "CONFLICT") << conflict.status;
  EXPECT_EQ(FileOf("app.py"), mine);
  EXPECT_EQ(Look().revision(), second_);
  EXPECT_THAT(Look().local_edits(), ElementsAre("M app.py"));
}

TEST_F(SvnTest, LocalEditsAreSavedAndReverted) {
  const std::string binary("\0\1\2 mine", 8);
  Edit("app.py", "mine\n");
  Edit("new.bin", binary);
  Shell(absl::StrCat("cd ", copy_, "; svn -q add new.bin; svn -q delete util.py"));
  const Outcome saved = Update(To(third_, RolloutSpec::LOCAL_EDITS_SAVE_AND_REVERT));
  ASSERT_TRUE(saved.status.ok()) << saved.status;
  EXPECT_THAT(FileOf("app.py"), HasSubstr("FIVE"));
  EXPECT_EQ(FileOf("util.py"), "util\n");
  EXPECT_THAT(Look().local_edits(), IsEmpty());
  ASSERT_EQ(SavedFolders().size(), 1u);
  const std::string folder = SavedFolders()[0];
  EXPECT_THAT(testing::ReadFile(folder + "/edits.patch"), HasSubstr("+mine"));
  Shell(absl::StrCat("mkdir ", dir_.path(), "/out; tar -C ", dir_.path(), "/out -xf ", folder,
                     "/files.tar"));
  EXPECT_EQ(testing::ReadFile(dir_.path() + "/out/app.py"), "mine\n");
  EXPECT_EQ(testing::ReadFile(dir_.path() + "/out/new.bin"), binary);
}

TEST_F(SvnTest, ADeadLockIsCleared) {
  Shell(absl::StrCat("sqlite3 ", copy_, "/.svn/wc.db \"insert into WC_LOCK values(1,'',-1)\""));
  EXPECT_TRUE(Look().locked());
  const Outcome updated = Update(To(third_));
  ASSERT_TRUE(updated.status.ok()) << updated.status;
  EXPECT_FALSE(Look().locked());
}

TEST_F(SvnTest, ALockThatIsHeldIsWaitedForAndLeftAlone) {
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

TEST_F(SvnTest, EachFaultHasItsReasonAndChangesNothing) {
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

TEST_F(SvnTest, OrdersThatSvnWouldMisreadAreRefused) {
  for (const char* path : {"copy", "-r", "/a\nb", "/a@5"}) {
    v1::UpdateWorkingCopies order = To(third_);
    order.mutable_targets(0)->mutable_working_copy()->set_path(path);
    EXPECT_EQ(client_->Update(order, Voice()).status().code(), absl::StatusCode::kInvalidArgument);
  }
  EXPECT_EQ(client_->Update(To(0), Voice()).status().code(), absl::StatusCode::kInvalidArgument);
}

TEST_F(SvnTest, ThePasswordIsNeverInACommandLine) {
  Begin(To(third_));
  int svns = 0;
  loop_.UntilAdvancing(absl::Milliseconds(1), [&] {
    ForEachPid([&](pid_t pid) {
      const std::string line = ReadCommandLine(pid);
      EXPECT_FALSE(absl::StrContains(line, "canary-9f2e71")) << line;
      if (absl::StrContains(line, "--password-from-stdin")) ++svns;
      return true;
    });
    return outcome_.has_value();
  });
  EXPECT_TRUE(outcome_->status.ok()) << outcome_->status;
  EXPECT_GT(svns, 0);
  EXPECT_FALSE(absl::StrContains(output_, "canary-9f2e71"));
  Shell(absl::StrCat("! grep -r canary-9f2e71 ", dir_.path(), "/state ", copy_));
}

class InterruptedUpdate : public SvnTest {
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

TEST_F(SvnTest, ExternalsAreVerified) {
  const int64_t pinned = server_.CommitAfter("echo 1 > lib/x.py", "library");
  server_.CommitAfter("echo 2 > lib/x.py", "newer library");
  const int64_t with = server_.CommitAfter(
      absl::StrCat("svn -q propset svn:externals '^/lib@", pinned, " lib' trunk"), "use it");
  const Outcome updated = Update(To(with));
  ASSERT_TRUE(updated.status.ok()) << updated.status;
  EXPECT_EQ(FileOf("lib/x.py"), "1\n");
  EXPECT_THAT(Look().externals(), IsEmpty());
  // Somebody moved it.
  Shell(absl::StrCat("printf '%s' '", "' | svn -q update --non-interactive -r HEAD ", copy_,
                     "/lib --username ", SvnServer::kUser,
                     " --no-auth-cache --password-from-stdin < ", dir_.path(), "/server/password"));
  EXPECT_THAT(Look().externals(), ElementsAre(absl::StrCat("lib@", pinned)));
  const Outcome again = Update(To(with));
  ASSERT_TRUE(again.status.ok()) << again.status;
  EXPECT_THAT(Look().externals(), IsEmpty());
  // One that is not there fails the update.
  const int64_t broken =
      server_.CommitAfter("svn -q propset svn:externals '^/nowhere lib2' trunk", "break it");
  EXPECT_FALSE(Update(To(broken)).status.ok());
}

TEST_F(SvnTest, EditsInExternalsCountToo) {
  const int64_t pinned = server_.CommitAfter("echo 1 > lib/x.py", "library");
  const int64_t with = server_.CommitAfter(
      absl::StrCat("svn -q propset svn:externals '^/lib@", pinned, " lib' trunk"), "use it");
  ASSERT_TRUE(Update(To(with)).status.ok());
  Edit("lib/x.py", "mine\n");
  EXPECT_THAT(Look().local_edits(), ElementsAre("M lib/x.py"));
  EXPECT_EQ(ReasonOf(Update(To(with)).status), "LOCAL_EDITS");
  const Outcome saved = Update(To(with, RolloutSpec::LOCAL_EDITS_SAVE_AND_REVERT));
  ASSERT_TRUE(saved.status.ok()) << saved.status;
  EXPECT_EQ(FileOf("lib/x.py"), "1\n");
  ASSERT_EQ(SavedFolders().size(), 1u);
  EXPECT_THAT(testing::ReadFile(SavedFolders()[0] + "/edits.patch"), HasSubstr("+mine"));
}

TEST_F(SvnTest, RevisionsAndTheLogBetweenThem) {
  v1::ReadRevisions order;
  order.set_from_revision(second_ - 1);
  Outcome read = Revisions(order);
  ASSERT_TRUE(read.status.ok()) << read.status;
  EXPECT_EQ(read.details.revisions().head(), third_);
  ASSERT_EQ(read.details.revisions().log_size(), 2);
  EXPECT_EQ(read.details.revisions().log(0).message(), "louder");
  EXPECT_EQ(read.details.revisions().log(1).message(), "add a tool\n\nit is | small");
  EXPECT_EQ(read.details.revisions().log(1).revision(), second_);
  order.set_to_revision(4711);
  EXPECT_EQ(ReasonOf(Revisions(order).status), "REVISION_UNKNOWN");
  *order.mutable_working_copy() = Copy();
  order.mutable_working_copy()->set_url(server_.url("nowhere"));
  EXPECT_EQ(ReasonOf(Revisions(order).status), "REPOSITORY_NOT_FOUND");
}

TEST_F(SvnTest, FilesStayTheirOwners) {
  if (geteuid() != 0) GTEST_SKIP() << "needs root";
  Shell(absl::StrCat("chmod 755 ", dir_.path(), "; chown -R nobody ", copy_));
  const Outcome updated = Update(To(third_));
  ASSERT_TRUE(updated.status.ok()) << updated.status;
  EXPECT_EQ(Shell(absl::StrCat("find ", copy_, " ! -user nobody")), "");
}

TEST(SvnText, Status) {
  const SvnStatus status = ParseSvnStatus(
      "M       /w/a b.py\n"
      " M      /w\n"
      "  L     /w/d\n"
      "C       /w/c\n"
      "      C /w/tree\n"
      "      >   local file edit, incoming file delete or move upon update\n"
      "?       /w/unversioned\n"
      "!       /w/gone\n"
      "~       /w/other\n"
      "    X   /w/file-external\n"
      "X       /w/ext\n"
      "\n"
      "--- Changelist 'x':\n"
      "A  +    /w/copied\n"
      "\n"
      "Performing status on external item at 'w/ext':\n"
      "D       /w/ext/y\n"
      "Summary of conflicts:\n"
      "  Text conflicts: 1\n",
      "/w");
  EXPECT_THAT(status.edits,
              ElementsAre("M a b.py", "M .", "C c", "C tree", "~ other", "A copied", "D ext/y"));
  EXPECT_THAT(status.conflicts, ElementsAre("c", "tree"));
  EXPECT_THAT(status.externals, ElementsAre("file-external", "ext"));
  EXPECT_TRUE(status.locked);
  EXPECT_TRUE(status.incomplete);
}

TEST(SvnText, Externals) {
  const auto externals = ParseSvnExternals(
      "Properties on 'w':\n"
      "  svn:externals\n"
      "    ^/lib@12 lib\n"
      "    -r 13 svn://h/r/x \"two words\"\n"
      "    old -r14 svn://h/r/y\n"
      "    ^/floating floating\n"
      "    # ^/lib@15 comment\n"
      "    \n"
      "Properties on 'w/sub':\n"
      "  svn:externals\n"
      "    -r16 ../z z\n",
      "/w");
  std::vector<std::string> found;
  for (const auto& each : externals) found.push_back(absl::StrCat(each.path, "@", each.revision));
  EXPECT_THAT(found, ElementsAre("lib@12", "two words@13", "old@14", "sub/z@16"));
}

TEST(SvnText, Version) {
  EXPECT_EQ(ParseSvnVersion("12\n"), 12);
  EXPECT_EQ(ParseSvnVersion("12MS\n"), 12);
  EXPECT_EQ(ParseSvnVersion("11:12\n"), 0);
  EXPECT_EQ(ParseSvnVersion("Unversioned directory\n"), 0);
}

}  // namespace
}  // namespace drover::agent
