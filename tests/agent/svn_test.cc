// Working copies with the real svn, svnadmin and svnserve.
#include <unistd.h>

#include <string>
#include <vector>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "agent/process_watch.h"
#include "agent/svn_text.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "proto/support/status.h"
#include "tests/agent/svn_bench.h"

namespace drover::agent {
namespace {

using drover::v1::RolloutSpec;
using ::testing::Contains;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::UnorderedElementsAre;

class SvnTest : public SvnBench {};

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
