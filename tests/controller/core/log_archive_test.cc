#include "controller/core/log_archive.h"

#include <sys/stat.h>

#include <filesystem>
#include <fstream>
#include <vector>

#include "absl/strings/escaping.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "controller/core/event_log.h"
#include "controller/core/log_chain.h"
#include "gtest/gtest.h"
#include "proto/support/json.h"
#include "proto/support/status.h"
#include "proto/support/time.h"
#include "tests/testing/test_store.h"

namespace drover::core {
namespace {

using drover::testing::ModeOf;
using drover::testing::ReadFile;
using drover::testing::TestStore;
using drover::testing::WriteFile;

class LogArchiveTest : public ::testing::Test {
 protected:
  LogArchiveTest()
      : log_(&ground_.store(), &ground_.vault(), &ground_.clock(),
             ground_.directory() + "/log-backups") {}

  // Entries a minute apart.
  void Fill(int count) {
    for (int i = 0; i < count; ++i) {
      v1::LogEntry entry;
      entry.set_kind(v1::LOG_KIND_OPERATION);
      entry.set_user("ann");
      entry.set_action("act");
      ASSERT_TRUE(log_.Log(entry).ok());
      ground_.clock().Advance(absl::Minutes(1));
    }
  }
  absl::Time Minute(int minutes) { return start_ + absl::Minutes(minutes); }
  std::string Ids() {
    std::string ids;
    auto entries = ground_.store().ReadLog(0, 0);
    EXPECT_TRUE(entries.ok());
    for (const auto& entry : *entries) absl::StrAppend(&ids, entry.id(), " ");
    return ids;
  }
  v1::VerifyLogResponse Verify() { return *log_.Verify(); }
  absl::StatusOr<v1::LogBackup> BackUpBefore(absl::Time time) {
    v1::BackUpLogRequest request;
    *request.mutable_end_time() = ToProto(time);
    return log_.BackUp(request);
  }
  absl::StatusOr<v1::DeleteLogResponse> DeleteBefore(absl::Time time) {
    v1::DeleteLogRequest request;
    *request.mutable_before_time() = ToProto(time);
    request.set_confirm("delete log entries");
    Caller caller;
    caller.user = "root";
    caller.client_address = "10.0.0.1";
    return log_.Delete(request, caller);
  }

  TestStore ground_;
  const absl::Time start_ = ground_.clock().Now();
  EventLog log_;
};

TEST_F(LogArchiveTest, BackupIsAFileAnybodyCanCheck) {
  Fill(5);
  auto backup = BackUpBefore(Minute(3));
  ASSERT_TRUE(backup.ok()) << backup.status();
  EXPECT_EQ(backup->first_id(), 1);
  EXPECT_EQ(backup->last_id(), 3);
  EXPECT_EQ(backup->entries(), 3);
  EXPECT_EQ(ModeOf(backup->path()), 0600);
  EXPECT_EQ(ModeOf(ground_.directory() + "/log-backups"), 0700);
  const std::string contents = ReadFile(backup->path());
  EXPECT_EQ(backup->bytes(), static_cast<int64_t>(contents.size()));
  EXPECT_EQ(backup->sha256(), absl::BytesToHexString(ground_.vault().Sha256(contents)));
  const std::vector<std::string> lines = absl::StrSplit(contents, '\n');
  ASSERT_EQ(lines.size(), 5u);
  std::string previous;
  for (int i = 1; i <= 3; ++i) {
    v1::LogEntry entry;
    ASSERT_TRUE(FromJson(lines[i], &entry).ok()) << lines[i];
    EXPECT_EQ(entry.id(), i);
    EXPECT_EQ(entry.hash(), ChainHash(ground_.vault(), previous, entry));
    previous = entry.hash();
  }
  EXPECT_TRUE(absl::StrContains(lines[0], R"("firstId":"1","lastId":"3","entries":"3")"));
  EXPECT_TRUE(absl::StrContains(lines[0], absl::StrCat(R"("lastHash":")", previous, "\"")));
  EXPECT_EQ(lines[4], "");
}

TEST_F(LogArchiveTest, NothingIsLeftOfABackupThatFails) {
  Fill(2);
  WriteFile(ground_.directory() + "/log-backups", "a file where the folder should be");
  auto backup = log_.BackUp({});
  EXPECT_TRUE(HasReason(backup.status(), "BACKUP_NOT_WRITTEN")) << backup.status();
  EXPECT_EQ(log_.ListBackups({})->backups_size(), 0);
  EXPECT_TRUE(Verify().intact());
}

TEST_F(LogArchiveTest, EmptyLogHasNoBackup) {
  EXPECT_TRUE(HasReason(log_.BackUp({}).status(), "LOG_EMPTY"));
  Fill(1);
  EXPECT_TRUE(HasReason(BackUpBefore(start_).status(), "LOG_EMPTY"));
}

TEST_F(LogArchiveTest, BackupsAreListedNewestFirst) {
  std::vector<std::string> names;
  for (int i = 0; i < 5; ++i) {
    Fill(1);
    names.push_back(log_.BackUp({})->name());
  }
  v1::ListLogBackupsRequest request;
  request.set_page_size(2);
  std::vector<std::string> listed;
  do {
    auto page = log_.ListBackups(request);
    ASSERT_TRUE(page.ok());
    for (const auto& backup : page->backups()) listed.push_back(backup.name());
    request.set_page_token(page->next_page_token());
  } while (!request.page_token().empty());
  EXPECT_EQ(listed, std::vector<std::string>(names.rbegin(), names.rend()));
  EXPECT_EQ(log_.GetBackup(names[2])->last_id(), 3);
  EXPECT_TRUE(HasReason(log_.GetBackup("logBackups/none").status(), "LOG_BACKUP_NOT_FOUND"));
  EXPECT_EQ(log_.GetBackup("vms/x").status().code(), absl::StatusCode::kInvalidArgument);
}

TEST_F(LogArchiveTest, OnlyWhatABackupHoldsIsDeleted) {
  Fill(6);
  EXPECT_TRUE(HasReason(DeleteBefore(Minute(2)).status(), "LOG_NOT_BACKED_UP"));
  ASSERT_TRUE(BackUpBefore(Minute(3)).ok());
  auto refused = DeleteBefore(Minute(4)).status();
  EXPECT_TRUE(HasReason(refused, "LOG_NOT_BACKED_UP"));
  EXPECT_EQ(ErrorMetadata(refused, "entry"), "4");
  EXPECT_EQ(Ids(), "1 2 3 4 5 6 ");
  auto deleted = DeleteBefore(Minute(3));
  ASSERT_TRUE(deleted.ok()) << deleted.status();
  EXPECT_EQ(deleted->deleted(), 3);
  EXPECT_EQ(Ids(), "4 5 6 7 ");
  EXPECT_TRUE(Verify().intact()) << Verify().problem();
  EXPECT_EQ(Verify().entries(), 4);
}

TEST_F(LogArchiveTest, TheDeletionIsAnEntryThatStays) {
  Fill(3);
  ASSERT_TRUE(log_.BackUp({}).ok());
  ASSERT_TRUE(DeleteBefore(ground_.clock().Now()).ok());
  ground_.clock().Advance(absl::Minutes(1));
  Fill(2);
  ASSERT_TRUE(log_.BackUp({}).ok());
  auto deleted = DeleteBefore(ground_.clock().Now());
  ASSERT_TRUE(deleted.ok()) << deleted.status();
  EXPECT_EQ(deleted->deleted(), 2);
  EXPECT_EQ(Ids(), "4 7 ");
  ASSERT_TRUE(log_.BackUp({}).ok());
  ground_.clock().Advance(absl::Minutes(1));
  EXPECT_EQ(DeleteBefore(ground_.clock().Now())->deleted(), 0);
  EXPECT_EQ(Ids(), "4 7 ");
  const v1::LogEntry entry = ground_.store().ReadLog(0, 1)->front();
  EXPECT_EQ(entry.user(), "root");
  EXPECT_EQ(entry.client_address(), "10.0.0.1");
  EXPECT_EQ(entry.action(), "delete log entries");
  EXPECT_EQ(entry.detail(), "3 entries deleted: 1 to 3");
  EXPECT_TRUE(Verify().intact()) << Verify().problem();
}

TEST_F(LogArchiveTest, TheChainHoldsOverManyDeletions) {
  for (int round = 0; round < 6; ++round) {
    Fill(4);
    ASSERT_TRUE(log_.BackUp({}).ok());
    // Half of what is there, so that runs are taken piece by piece.
    ASSERT_TRUE(DeleteBefore(ground_.clock().Now() - absl::Minutes(2)).ok());
    ASSERT_TRUE(Verify().intact()) << round << ": " << Verify().problem();
  }
}

TEST_F(LogArchiveTest, RowsTakenBesideTheDeletionAreMissed) {
  Fill(6);
  ASSERT_TRUE(log_.BackUp({}).ok());
  ASSERT_TRUE(DeleteBefore(Minute(3)).ok());
  ground_.Tamper("DELETE FROM log WHERE id = 4");
  EventLog log(&ground_.store(), &ground_.vault(), &ground_.clock(), ground_.directory() + "/b");
  EXPECT_EQ(log.Verify()->first_bad_id(), 5);
}

TEST_F(LogArchiveTest, ADeletionWhoseEntryIsGoneIsNoDeletion) {
  Fill(6);
  ASSERT_TRUE(log_.BackUp({}).ok());
  ASSERT_TRUE(DeleteBefore(Minute(3)).ok());
  Fill(1);
  ground_.Tamper("DELETE FROM log WHERE id = 7");
  EventLog log(&ground_.store(), &ground_.vault(), &ground_.clock(), ground_.directory() + "/b");
  EXPECT_EQ(log.Verify()->first_bad_id(), 4);
}

TEST_F(LogArchiveTest, DamagedOrMissingBackupsHoldNothing) {
  Fill(3);
  const v1::LogBackup first = *log_.BackUp({});
  std::string contents = ReadFile(first.path());
  contents[contents.size() / 2] ^= 1;
  WriteFile(first.path(), contents);
  auto refused = DeleteBefore(Minute(3)).status();
  EXPECT_TRUE(HasReason(refused, "LOG_NOT_BACKED_UP"));
  EXPECT_TRUE(absl::StrContains(refused.message(), "checksum differs")) << refused;
  std::filesystem::remove(first.path());
  EXPECT_TRUE(HasReason(DeleteBefore(Minute(3)).status(), "LOG_NOT_BACKED_UP"));
  ASSERT_TRUE(log_.BackUp({}).ok());
  EXPECT_EQ(DeleteBefore(Minute(3))->deleted(), 3);
}

TEST_F(LogArchiveTest, ATamperedLogIsEvidence) {
  Fill(4);
  ground_.Tamper("UPDATE log SET user_id = 'bob' WHERE id = 2");
  EventLog log(&ground_.store(), &ground_.vault(), &ground_.clock(), ground_.directory() + "/b");
  ASSERT_TRUE(log.BackUp({}).ok());
  v1::DeleteLogRequest request;
  *request.mutable_before_time() = ToProto(Minute(4));
  request.set_confirm("delete log entries");
  EXPECT_TRUE(HasReason(log.Delete(request, {}).status(), "LOG_NOT_INTACT"));
}

TEST_F(LogArchiveTest, DeletionAsksForATimeAndAWord) {
  v1::DeleteLogRequest request;
  EXPECT_EQ(ViolationsOf(log_.Delete(request, {}).status()).field_violations(0).field(), "confirm");
  request.set_confirm("delete log entries");
  EXPECT_EQ(ViolationsOf(log_.Delete(request, {}).status()).field_violations(0).field(),
            "before_time");
}

}  // namespace
}  // namespace drover::core
