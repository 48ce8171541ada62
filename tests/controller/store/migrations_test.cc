#include "controller/store/migrations.h"

#include <filesystem>
#include <memory>
#include <string>
#include <vector>

#include "absl/strings/escaping.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "controller/secrets/openssl_vault.h"
#include "controller/store/sqlite_store.h"
#include "gtest/gtest.h"
#include "proto/support/status.h"
#include "tests/testing/fake_clock.h"
#include "tests/testing/temp_dir.h"

namespace drover::store {
namespace {

using drover::testing::FakeClock;
using drover::testing::ModeOf;
using drover::testing::TempDir;

const std::vector<Migration> kOne = {{1, "0001_first", "aa", "CREATE TABLE t (v BIGINT);"}};
const std::vector<Migration> kTwo = {
    kOne[0], {2, "0002_more", "bb", "CREATE TABLE u (v BIGINT); INSERT INTO u SELECT v FROM t;"}};

class MigrationsTest : public ::testing::Test {
 protected:
  MigrationsTest() { Open(); }

  void Open() {
    connection_.reset();
    connection_ = *Connection::Open(folder_.File("s.db"), Access::kReadWrite);
  }
  absl::Status Run(const std::vector<Migration>& migrations) {
    return Migrate(*connection_, migrations, folder_.File("backups"), clock_.Now());
  }
  int64_t Count(const std::string& what) {
    auto count = connection_->QueryInt(absl::StrCat("SELECT count(*) FROM ", what));
    return count.ok() ? *count : -1;
  }
  std::vector<std::string> Backups() {
    std::vector<std::string> files;
    if (!std::filesystem::exists(folder_.File("backups"))) return files;
    for (const auto& entry : std::filesystem::directory_iterator(folder_.File("backups"))) {
      files.push_back(entry.path());
    }
    return files;
  }

  TempDir folder_;
  FakeClock clock_;
  std::unique_ptr<Connection> connection_;
};

TEST_F(MigrationsTest, EachRunsOnce) {
  ASSERT_TRUE(Run(kTwo).ok());
  EXPECT_EQ(Count("schema_version"), 2);
  Open();
  ASSERT_TRUE(Run(kTwo).ok());
  EXPECT_EQ(Count("schema_version"), 2);
  EXPECT_TRUE(Backups().empty());
}

TEST_F(MigrationsTest, AStoreIsCopiedBeforeItChanges) {
  ASSERT_TRUE(Run(kOne).ok());
  ASSERT_TRUE(connection_->Execute("INSERT INTO t VALUES (7)").ok());
  ASSERT_TRUE(Run(kTwo).ok());
  EXPECT_EQ(Count("u"), 1);
  const auto backups = Backups();
  ASSERT_EQ(backups.size(), 1u);
  EXPECT_TRUE(absl::EndsWith(backups[0], "store-before-0002.db")) << backups[0];
  EXPECT_EQ(ModeOf(backups[0]), 0600);
  EXPECT_EQ(ModeOf(folder_.File("backups")), 0700);
  // The copy is a store of the schema before.
  connection_ = *Connection::Open(backups[0], Access::kReadWrite);
  EXPECT_TRUE(Run(kOne).ok());
  EXPECT_EQ(Count("t"), 1);
  EXPECT_EQ(Count("u"), -1);
}

TEST_F(MigrationsTest, ANewerStoreIsRefusedAndLeftAlone) {
  ASSERT_TRUE(Run(kTwo).ok());
  const absl::Status status = Run(kOne);
  EXPECT_TRUE(HasReason(status, "STORE_TOO_NEW"));
  EXPECT_TRUE(absl::StrContains(status.message(), "its schema is 2, this program knows 1"))
      << status;
  EXPECT_EQ(Count("schema_version"), 2);
}

TEST_F(MigrationsTest, AnotherMigrationOfTheSameNumberIsRefused) {
  ASSERT_TRUE(Run(kOne).ok());
  std::vector<Migration> other = kTwo;
  other[0].checksum = "cc";
  EXPECT_TRUE(HasReason(Run(other), "STORE_ALTERED"));
  EXPECT_EQ(Count("schema_version"), 1);
}

TEST_F(MigrationsTest, AFailedMigrationLeavesTheStoreAsItWas) {
  ASSERT_TRUE(Run(kOne).ok());
  std::vector<Migration> broken = kTwo;
  broken[1].sql = "CREATE TABLE u (v BIGINT); INSERT INTO nowhere VALUES (1);";
  const absl::Status status = Run(broken);
  EXPECT_FALSE(status.ok());
  EXPECT_TRUE(absl::StrContains(status.message(), "0002_more")) << status;
  EXPECT_EQ(Count("u"), -1);
  EXPECT_EQ(Count("schema_version"), 1);
  EXPECT_TRUE(Run(kTwo).ok());
  EXPECT_EQ(Backups().size(), 1u);
}

TEST_F(MigrationsTest, AnotherProgramsFileIsLeftAlone) {
  ASSERT_TRUE(connection_->Execute("CREATE TABLE theirs (v BIGINT)").ok());
  EXPECT_TRUE(HasReason(Run(kOne), "NOT_A_STORE"));
  EXPECT_EQ(Count("sqlite_master"), 1);
}

TEST_F(MigrationsTest, WhatIsNoDatabaseIsRefused) {
  connection_.reset();
  drover::testing::WriteFile(folder_.File("s.db"), std::string(5000, 'x'));
  auto opened = Connection::Open(folder_.File("s.db"), Access::kReadWrite);
  const absl::Status status =
      opened.ok() ? Migrate(**opened, kOne, "b", clock_.Now()) : opened.status();
  EXPECT_TRUE(HasReason(status, "STORE_CORRUPT")) << status;
}

// The rules a distributed engine needs, and the checksum that guards what was released.
TEST(Schema, KeepsItsRules) {
  TempDir folder;
  auto vault = secrets::OpenSslVault::Open(folder.File("key"));
  int number = 0;
  for (const Migration& migration : Schema()) {
    EXPECT_EQ(migration.number, ++number);
    EXPECT_EQ(migration.checksum, absl::BytesToHexString((*vault)->Sha256(migration.sql)));
    for (const char* word : {"AUTOINCREMENT", "TRIGGER", "DATETIME", "TIMESTAMP", "INTEGER"}) {
      EXPECT_FALSE(absl::StrContains(migration.sql, word)) << migration.name << ": " << word;
    }
  }
  EXPECT_GE(number, 1);
}

TEST(Schema, StoreInAFolderOthersMayEnterIsRefused) {
  TempDir folder;
  FakeClock clock;
  std::filesystem::create_directory(folder.File("open"));
  std::filesystem::permissions(folder.File("open"), std::filesystem::perms(0755));
  auto store = SqliteStore::Open(folder.File("open"), clock);
  EXPECT_TRUE(HasReason(store.status(), "UNSAFE_PERMISSIONS")) << store.status();
  EXPECT_TRUE(std::filesystem::is_empty(folder.File("open")));
}

}  // namespace
}  // namespace drover::store
