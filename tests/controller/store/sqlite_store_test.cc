#include "controller/store/sqlite_store.h"

#include <atomic>
#include <thread>
#include <vector>

#include "absl/strings/str_cat.h"
#include "controller/store/sqlite.h"
#include "gtest/gtest.h"
#include "proto/support/status.h"
#include "proto/support/time.h"
#include "tests/testing/test_store.h"

namespace drover::store {
namespace {

using core::Document;
using core::Table;
using drover::testing::ModeOf;
using drover::testing::TestStore;

class SqliteStoreTest : public ::testing::Test {
 protected:
  absl::Status Put(Table table, const Document& document) {
    return ground_.store().Write(
        [&](core::StoreWriter& writer) { return writer.Put(table, document); });
  }
  absl::StatusOr<Document> Get(Table table, absl::string_view key) {
    absl::StatusOr<Document> found;
    absl::Status status = ground_.store().Read([&](core::StoreReader& reader) {
      found = reader.Get(table, key);
      return found.status();
    });
    if (!status.ok()) return status;
    return found;
  }
  std::string Keys(Table table, const core::ListQuery& query) {
    std::string keys;
    EXPECT_TRUE(ground_.store()
                    .Read([&](core::StoreReader& reader) -> absl::Status {
                      DROVER_ASSIGN_OR_RETURN(auto documents, reader.List(table, query));
                      for (const Document& document : documents) {
                        absl::StrAppend(&keys, document.key, " ");
                      }
                      return absl::OkStatus();
                    })
                    .ok());
    return keys;
  }

  TestStore ground_;
};

TEST_F(SqliteStoreTest, KeepsWhatWasWritten) {
  const std::string body("\0binary\xff", 8);
  ASSERT_TRUE(Put(Table::kVms, {"web-01", "prod", body}).ok());
  ASSERT_TRUE(Put(Table::kVms, {"web-02", "", ""}).ok());
  ground_.Reopen();
  auto found = Get(Table::kVms, "web-01");
  ASSERT_TRUE(found.ok()) << found.status();
  EXPECT_EQ(found->owner, "prod");
  EXPECT_EQ(found->body, body);
  EXPECT_EQ(Get(Table::kVms, "web-02")->body, "");
  EXPECT_TRUE(absl::IsNotFound(Get(Table::kVms, "web-03").status()));
  EXPECT_TRUE(absl::IsNotFound(Get(Table::kUsers, "web-01").status()));
}

TEST_F(SqliteStoreTest, EveryTableIsThere) {
  for (int table = 0; table <= static_cast<int>(Table::kSettings); ++table) {
    EXPECT_TRUE(Put(static_cast<Table>(table), {"k", "o", "b"}).ok()) << table;
    EXPECT_TRUE(Get(static_cast<Table>(table), "k").ok()) << table;
  }
}

TEST_F(SqliteStoreTest, PutReplacesInsertDoesNot) {
  ASSERT_TRUE(Put(Table::kUsers, {"ann", "", "1"}).ok());
  ASSERT_TRUE(Put(Table::kUsers, {"ann", "x", "2"}).ok());
  EXPECT_EQ(Get(Table::kUsers, "ann")->body, "2");
  EXPECT_EQ(Get(Table::kUsers, "ann")->owner, "x");
  absl::Status again = ground_.store().Write([](core::StoreWriter& writer) {
    return writer.Insert(Table::kUsers, {"ann", "", "3"});
  });
  EXPECT_TRUE(absl::IsAlreadyExists(again)) << again;
  EXPECT_EQ(Get(Table::kUsers, "ann")->body, "2");
}

TEST_F(SqliteStoreTest, ListsByKeyOwnerAndPage) {
  for (const char* key : {"d", "a", "c", "b", "e"}) {
    ASSERT_TRUE(Put(Table::kVms, {key, key[0] < 'd' ? "left" : "right", ""}).ok());
  }
  struct Row {
    const char* name;
    core::ListQuery query;
    const char* keys;
  };
  const Row rows[] = {
      {"all", {}, "a b c d e "},
      {"descending", {.descending = true}, "e d c b a "},
      {"owner", {.owner = "left"}, "a b c "},
      {"nobody's", {.owner = ""}, ""},
      {"page", {.after_key = "b", .limit = 2}, "c d "},
      {"page back", {.after_key = "c", .descending = true, .limit = 1}, "b "},
      {"owner and page", {.owner = "right", .after_key = "d"}, "e "},
      {"past the end", {.after_key = "z"}, ""},
  };
  for (const Row& row : rows) EXPECT_EQ(Keys(Table::kVms, row.query), row.keys) << row.name;
}

TEST_F(SqliteStoreTest, AFailedBodyLeavesNothing) {
  absl::Status status = ground_.store().Write([](core::StoreWriter& writer) -> absl::Status {
    EXPECT_TRUE(writer.Put(Table::kVms, {"a", "", ""}).ok());
    EXPECT_TRUE(writer.AppendEvent({}).ok());
    EXPECT_TRUE(writer.Get(Table::kVms, "a").ok());
    return absl::FailedPreconditionError("no");
  });
  EXPECT_EQ(status.code(), absl::StatusCode::kFailedPrecondition);
  EXPECT_EQ(status.message(), "no");
  EXPECT_TRUE(absl::IsNotFound(Get(Table::kVms, "a").status()));
  EXPECT_TRUE(ground_.store().ReadEvents(0, 0)->empty());
}

TEST_F(SqliteStoreTest, ReadSeesOneMoment) {
  ASSERT_TRUE(Put(Table::kVms, {"a", "", "old"}).ok());
  ASSERT_TRUE(
      ground_.store()
          .Read([&](core::StoreReader& reader) -> absl::Status {
            DROVER_ASSIGN_OR_RETURN(Document before, reader.Get(Table::kVms, "a"));
            std::thread other([&] { EXPECT_TRUE(Put(Table::kVms, {"a", "", "new"}).ok()); });
            other.join();
            DROVER_ASSIGN_OR_RETURN(Document after, reader.Get(Table::kVms, "a"));
            EXPECT_EQ(before.body, "old");
            EXPECT_EQ(after.body, "old");
            return absl::OkStatus();
          })
          .ok());
  EXPECT_EQ(Get(Table::kVms, "a")->body, "new");
}

TEST_F(SqliteStoreTest, ABodyThatCallsTheStoreIsToldSo) {
  absl::Status status = ground_.store().Write([&](core::StoreWriter&) {
    return ground_.store().Write([](core::StoreWriter&) { return absl::OkStatus(); });
  });
  EXPECT_EQ(status.code(), absl::StatusCode::kInternal);
  EXPECT_TRUE(Put(Table::kVms, {"a", "", ""}).ok());
}

TEST_F(SqliteStoreTest, ManyWritersEachGetTheirOwnAnswer) {
  constexpr int kThreads = 16;
  constexpr int kEach = 60;
  std::atomic<int> refused = 0;
  std::vector<std::thread> threads;
  for (int t = 0; t < kThreads; ++t) {
    threads.emplace_back([&, t] {
      for (int i = 0; i < kEach; ++i) {
        absl::Status status = ground_.store().Write([&](core::StoreWriter& writer) -> absl::Status {
          DROVER_RETURN_IF_ERROR(writer.Put(Table::kCommands, {absl::StrCat(t, "-", i), "", "x"}));
          DROVER_RETURN_IF_ERROR(writer.AppendEvent({}).status());
          return i % 3 == 0 ? absl::AbortedError("third") : absl::OkStatus();
        });
        if (absl::IsAborted(status)) {
          ++refused;
        } else {
          EXPECT_TRUE(status.ok()) << status;
        }
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  EXPECT_EQ(refused, kThreads * kEach / 3);
  auto events = ground_.store().ReadEvents(0, 0);
  ASSERT_TRUE(events.ok());
  ASSERT_EQ(events->size(), kThreads * kEach * 2 / 3);
  for (size_t i = 0; i < events->size(); ++i) {
    ASSERT_EQ((*events)[i].sequence(), static_cast<int64_t>(i + 1));
  }
  EXPECT_TRUE(Get(Table::kCommands, "3-1").ok());
  EXPECT_TRUE(absl::IsNotFound(Get(Table::kCommands, "3-0").status()));
}

TEST_F(SqliteStoreTest, FilesAreOurs) {
  ASSERT_TRUE(Put(Table::kVms, {"a", "", ""}).ok());
  const std::string folder = ground_.directory() + "/store";
  EXPECT_EQ(ModeOf(folder), 0700);
  for (const char* file : {"/drover.db", "/drover.db-wal", "/drover.db-shm", "/drover.lock"}) {
    EXPECT_EQ(ModeOf(folder + file), 0600) << file;
  }
}

TEST_F(SqliteStoreTest, TwoControllersCannotShareAStore) {
  auto second = SqliteStore::Open(ground_.directory() + "/store", ground_.clock());
  EXPECT_TRUE(HasReason(second.status(), "STORE_IN_USE")) << second.status();
}

TEST_F(SqliteStoreTest, WritesAreSyncedInWal) {
  auto connection = Connection::Open(ground_.directory() + "/store/drover.db", Access::kReadWrite);
  ASSERT_TRUE(connection.ok());
  EXPECT_EQ(*(*connection)->QueryInt("PRAGMA synchronous"), 2);
  EXPECT_EQ(*(*connection)->QueryInt("SELECT journal_mode = 'wal' FROM pragma_journal_mode"), 1);
}

}  // namespace
}  // namespace drover::store
