#include "controller/core/event_log.h"

#include <sys/stat.h>

#include <atomic>
#include <filesystem>
#include <set>
#include <thread>
#include <vector>

#include "absl/strings/escaping.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
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

class EventLogTest : public ::testing::Test {
 protected:
  EventLogTest() { Restart(); }

  void Restart() {
    log_.reset();
    ground_.Reopen();
    log_ = std::make_unique<EventLog>(&ground_.store(), &ground_.vault(), &ground_.clock(),
                                      ground_.directory() + "/log-backups");
  }
  // Changes rows behind the log's back.
  void Tamper(const std::string& sql) {
    log_.reset();
    ground_.Tamper(sql);
    Restart();
  }
  static v1::LogEntry Entry(const std::string& action) {
    v1::LogEntry entry;
    entry.set_kind(v1::LOG_KIND_OPERATION);
    entry.set_user("ann");
    entry.set_client_address("10.0.0.7");
    entry.set_action(action);
    entry.set_result("OK");
    return entry;
  }
  // Entries a minute apart.
  void Fill(int count) {
    for (int i = 0; i < count; ++i) {
      ASSERT_TRUE(log_->Log(Entry(absl::StrCat("do ", i + 1))).ok());
      ground_.clock().Advance(absl::Minutes(1));
    }
  }
  std::string Ids(const v1::SearchLogRequest& request) {
    auto response = log_->Search(request);
    if (!response.ok()) return response.status().ToString();
    std::string ids;
    for (const auto& entry : response->entries()) absl::StrAppend(&ids, entry.id(), " ");
    return ids;
  }
  v1::VerifyLogResponse Verify() {
    auto response = log_->Verify();
    EXPECT_TRUE(response.ok()) << response.status();
    return response.ok() ? *response : v1::VerifyLogResponse();
  }
  v1::LogBackup BackUpAll() {
    auto backup = log_->BackUp({});
    EXPECT_TRUE(backup.ok()) << backup.status();
    return backup.ok() ? *backup : v1::LogBackup();
  }
  absl::StatusOr<v1::DeleteLogResponse> DeleteBefore(absl::Time time) {
    v1::DeleteLogRequest request;
    *request.mutable_before_time() = ToProto(time);
    request.set_confirm("delete log entries");
    Caller caller;
    caller.user = "root";
    caller.client_address = "10.0.0.1";
    return log_->Delete(request, caller);
  }

  TestStore ground_;
  std::unique_ptr<EventLog> log_;
};

// ---------------------------------------------------------------- chain

TEST_F(EventLogTest, EmptyLogIsIntact) {
  EXPECT_TRUE(Verify().intact());
  EXPECT_EQ(Verify().entries(), 0);
}

TEST_F(EventLogTest, ChainHoldsOverRestarts) {
  Fill(3);
  Restart();
  Fill(3);
  EXPECT_TRUE(Verify().intact()) << Verify().problem();
  EXPECT_EQ(Verify().entries(), 6);
}

TEST_F(EventLogTest, HashIsWhatTheContractSays) {
  Fill(2);
  auto found = log_->Search({});
  ASSERT_TRUE(found.ok());
  const v1::LogEntry& second = found->entries(0);
  const v1::LogEntry& first = found->entries(1);
  // Written out by hand, as anybody with sha256sum can.
  const std::string text =
      absl::StrCat(first.hash(), "1:1:2,2:1:2,3:19:", absl::ToUnixNanos(FromProto(second.time())),
                   ",4:3:ann,5:8:10.0.0.7,9:4:do 2,11:2:OK,");
  EXPECT_EQ(second.hash(), absl::BytesToHexString(ground_.vault().Sha256(text)));
}

TEST_F(EventLogTest, EditOfAnyColumnOfAnyRowIsNamed) {
  const char* const edits[] = {
      "kind = kind + 1",     "kind = 'x'",          "time = time + 1",     "user_id = 'bob'",
      "client_address = ''", "vm = 'vms/x'",        "vm_type = 'types/x'", "environment = 'e'",
      "action = 'other'",    "resource_name = 'r'", "result = 'FAILED'",   "detail = 'd'",
      "operation = 'o'",     "gaps = x'7a020801'",  "hash = 'ab'",
  };
  Fill(5);
  for (const char* edit : edits) {
    for (const int row : {1, 3, 5}) {
      Tamper(absl::StrCat("CREATE TABLE kept AS SELECT * FROM log; UPDATE log SET ", edit,
                          " WHERE id = ", row));
      EXPECT_EQ(Verify().first_bad_id(), row) << edit;
      EXPECT_FALSE(Verify().intact());
      EXPECT_FALSE(Verify().problem().empty());
      Tamper("DELETE FROM log; INSERT INTO log SELECT * FROM kept; DROP TABLE kept");
      ASSERT_TRUE(Verify().intact()) << edit;
    }
  }
}

TEST_F(EventLogTest, DeletedRowIsNamedByWhatFollowsIt) {
  Fill(6);
  struct Case {
    const char* where;
    int64_t bad;
    const char* problem;
  };
  const Case cases[] = {
      {"id = 1", 2, "entry 1 is missing"},
      {"id = 3", 4, "entry 3 is missing"},
      {"id IN (2, 3, 4)", 5, "entries 2 to 4 are missing"},
      {"id = 6", 6, "are missing"},
      {"id >= 4", 4, "4 to 6"},
      {"id > 0", 1, "1 to 6"},
  };
  for (const Case& row : cases) {
    Tamper(
        absl::StrCat("CREATE TABLE kept AS SELECT * FROM log; DELETE FROM log WHERE ", row.where));
    EXPECT_EQ(Verify().first_bad_id(), row.bad) << row.where;
    EXPECT_TRUE(absl::StrContains(Verify().problem(), row.problem)) << Verify().problem();
    Tamper("DELETE FROM log; INSERT INTO log SELECT * FROM kept; DROP TABLE kept");
  }
}

TEST_F(EventLogTest, RowsInsertedOrSwappedAreNamed) {
  Fill(4);
  Tamper(
      "UPDATE log SET id = 99 WHERE id = 2; UPDATE log SET id = 2 WHERE id = 3; "
      "UPDATE log SET id = 3 WHERE id = 99");
  EXPECT_EQ(Verify().first_bad_id(), 2);
}

TEST_F(EventLogTest, CutEndStaysVisibleWhenTheLogGoesOn) {
  Fill(5);
  Tamper("DELETE FROM log WHERE id >= 4");
  Fill(3);
  EXPECT_FALSE(Verify().intact());
  EXPECT_EQ(Verify().first_bad_id(), 6);
}

TEST_F(EventLogTest, ForgedHeadStaysVisibleWhenTheLogGoesOn) {
  Fill(5);
  for (const char* head : {"DELETE FROM settings WHERE key = 'log_head'",
                           "UPDATE settings SET body = x'0803' WHERE key = 'log_head'",
                           "UPDATE settings SET body = 'junk' WHERE key = 'log_head'"}) {
    Tamper(
        absl::StrCat("CREATE TABLE kept AS SELECT * FROM log; CREATE TABLE heads AS SELECT * "
                     "FROM settings; DELETE FROM log WHERE id >= 4; ",
                     head));
    EXPECT_FALSE(Verify().intact()) << head;
    Fill(2);
    EXPECT_EQ(Verify().first_bad_id(), 4) << head;
    Tamper(
        "DELETE FROM log; INSERT INTO log SELECT * FROM kept; DROP TABLE kept; DELETE FROM "
        "settings; INSERT INTO settings SELECT * FROM heads; DROP TABLE heads");
    ASSERT_TRUE(Verify().intact());
  }
}

TEST_F(EventLogTest, ManyThreadsMakeOneChain) {
  std::vector<std::thread> threads;
  for (int t = 0; t < 8; ++t) {
    threads.emplace_back([this, t] {
      for (int i = 0; i < 50; ++i) {
        EXPECT_TRUE(log_->Log(Entry(absl::StrCat(t, " ", i))).ok());
        EXPECT_TRUE(i % 10 != 0 || log_->Verify()->intact());
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  EXPECT_TRUE(Verify().intact()) << Verify().problem();
  EXPECT_EQ(Verify().entries(), 400);
}

// ---------------------------------------------------------------- events

TEST_F(EventLogTest, ListenersHearEveryEventInOrder) {
  std::vector<int64_t> heard;
  log_->OnEvent([&](const v1::Event& event) { heard.push_back(event.sequence()); });
  std::vector<std::thread> threads;
  for (int t = 0; t < 8; ++t) {
    threads.emplace_back([this] {
      for (int i = 0; i < 50; ++i) {
        v1::Event event;
        event.set_kind("vm.power");
        EXPECT_TRUE(log_->Record(event).ok());
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  ASSERT_EQ(heard.size(), 400u);
  for (int64_t i = 0; i < 400; ++i) EXPECT_EQ(heard[i], i + 1);
}

TEST_F(EventLogTest, EventsNobodyAnnouncedAreToldWithTheNext) {
  std::vector<std::string> heard;
  log_->OnEvent([&](const v1::Event& event) { heard.push_back(event.kind()); });
  v1::Event event;
  for (const char* kind : {"a", "b"}) {
    event.Clear();
    event.set_kind(kind);
    ASSERT_TRUE(ground_.store()
                    .Write([&](StoreWriter& writer) { return log_->RecordIn(writer, &event); })
                    .ok());
  }
  EXPECT_TRUE(heard.empty());
  event.Clear();
  event.set_kind("c");
  ASSERT_TRUE(log_->Record(event).ok());
  EXPECT_EQ(heard, (std::vector<std::string>{"a", "b", "c"}));
}

TEST_F(EventLogTest, ARolledBackEventIsNotTold) {
  std::vector<std::string> heard;
  log_->OnEvent([&](const v1::Event& event) { heard.push_back(event.kind()); });
  v1::Event event;
  event.set_kind("never");
  EXPECT_FALSE(ground_.store()
                   .Write([&](StoreWriter& writer) -> absl::Status {
                     EXPECT_TRUE(log_->RecordIn(writer, &event).ok());
                     return absl::AbortedError("no");
                   })
                   .ok());
  event.set_kind("real");
  ASSERT_TRUE(log_->Record(event).ok());
  EXPECT_EQ(heard, (std::vector<std::string>{"real"}));
  EXPECT_EQ(log_->ListEvents({})->events_size(), 1);
}

TEST_F(EventLogTest, NumbersGoOnAfterARestartAndOldEventsAreNotToldAgain) {
  v1::Event event;
  event.set_kind("before");
  ASSERT_TRUE(log_->Record(event).ok());
  Restart();
  std::vector<int64_t> heard;
  log_->OnEvent([&](const v1::Event& told) { heard.push_back(told.sequence()); });
  event.set_kind("after");
  ASSERT_TRUE(log_->Record(event).ok());
  EXPECT_EQ(heard, (std::vector<int64_t>{2}));
}

TEST_F(EventLogTest, AListenerMayRecord) {
  std::vector<std::string> heard;
  log_->OnEvent([&](const v1::Event& event) {
    heard.push_back(event.kind());
    if (event.kind() != "cause") return;
    v1::Event next;
    next.set_kind("effect");
    EXPECT_TRUE(log_->Record(next).ok());
  });
  v1::Event event;
  event.set_kind("cause");
  ASSERT_TRUE(log_->Record(event).ok());
  EXPECT_EQ(heard, (std::vector<std::string>{"cause", "effect"}));
}

TEST_F(EventLogTest, ErrorEventsAreEntriesToo) {
  v1::Event event;
  event.set_kind("service.died");
  event.set_severity(v1::Event::SEVERITY_ERROR);
  event.set_vm("vms/web-01");
  event.set_type("types/web");
  event.set_environment("environments/prod");
  event.set_subject("nginx");
  event.set_message("nginx died");
  ASSERT_TRUE(log_->Record(event).ok());
  event.set_severity(v1::Event::SEVERITY_INFO);
  ASSERT_TRUE(log_->Record(event).ok());
  auto found = log_->Search({});
  ASSERT_EQ(found->entries_size(), 1);
  const v1::LogEntry& entry = found->entries(0);
  EXPECT_EQ(entry.kind(), v1::LOG_KIND_ERROR);
  EXPECT_EQ(entry.vm(), "vms/web-01");
  EXPECT_EQ(entry.vm_type(), "types/web");
  EXPECT_EQ(entry.environment(), "environments/prod");
  EXPECT_EQ(entry.action(), "service.died");
  EXPECT_EQ(entry.detail(), "nginx died");
  EXPECT_TRUE(Verify().intact());
}

TEST_F(EventLogTest, EventsAreListedByCriteriaAndPages) {
  for (int i = 1; i <= 6; ++i) {
    v1::Event event;
    event.set_kind(i % 2 == 0 ? "even" : "odd");
    event.set_vm(i <= 3 ? "vms/a" : "vms/b");
    event.set_environment("environments/e");
    ASSERT_TRUE(log_->Record(event).ok());
    ground_.clock().Advance(absl::Minutes(1));
  }
  const auto sequences = [&](const v1::ListEventsRequest& request) {
    std::string text;
    const auto response = log_->ListEvents(request);
    EXPECT_TRUE(response.ok()) << response.status();
    for (const auto& event : response->events()) {
      absl::StrAppend(&text, event.sequence(), " ");
    }
    return text;
  };
  v1::ListEventsRequest request;
  EXPECT_EQ(sequences(request), "6 5 4 3 2 1 ");
  request.set_vm("vms/a");
  EXPECT_EQ(sequences(request), "3 2 1 ");
  request.add_kinds("even");
  EXPECT_EQ(sequences(request), "2 ");
  request.Clear();
  request.set_environment("environments/other");
  EXPECT_EQ(sequences(request), "");
  request.Clear();
  const absl::Time start = absl::FromUnixSeconds(1767225600);
  *request.mutable_start_time() = ToProto(start + absl::Minutes(1));
  *request.mutable_end_time() = ToProto(start + absl::Minutes(3));
  EXPECT_EQ(sequences(request), "3 2 ");
  request.Clear();
  request.set_page_size(4);
  auto page = log_->ListEvents(request);
  EXPECT_EQ(page->events_size(), 4);
  request.set_page_token(page->next_page_token());
  EXPECT_EQ(sequences(request), "2 1 ");
  EXPECT_EQ(log_->ListEvents(request)->next_page_token(), "");
}

// ---------------------------------------------------------------- search

TEST_F(EventLogTest, SearchCriteriaMustAllHold) {
  const auto add = [&](v1::LogKind kind, const char* user, const char* address, const char* type,
                       const char* vm, const char* detail) {
    v1::LogEntry entry = Entry("act");
    entry.set_kind(kind);
    entry.set_user(user);
    entry.set_client_address(address);
    entry.set_vm_type(type);
    entry.set_vm(vm);
    entry.set_environment("environments/e");
    entry.set_detail(detail);
    ASSERT_TRUE(log_->Log(entry).ok());
    ground_.clock().Advance(absl::Minutes(1));
  };
  add(v1::LOG_KIND_LOGIN, "ann", "10.0.0.1", "", "", "");
  add(v1::LOG_KIND_OPERATION, "ann", "10.0.0.2", "types/web", "vms/w1", "100% of a_b");
  add(v1::LOG_KIND_OPERATION, "bob", "10.0.0.2", "types/db", "vms/d1", "1000 of aXb");
  add(v1::LOG_KIND_ERROR, "system", "", "types/db", "vms/d1", "back\\slash");
  add(v1::LOG_KIND_UPGRADE, "bob", "10.0.0.3", "types/web", "vms/w2", "'; DROP TABLE log; --");
  struct Case {
    const char* name;
    const char* request;
    const char* ids;
  };
  const Case cases[] = {
      {"all", "{}", "5 4 3 2 1 "},
      {"kind", R"({"kinds":["LOG_KIND_OPERATION"]})", "3 2 "},
      {"kinds", R"({"kinds":["LOG_KIND_LOGIN","LOG_KIND_UPGRADE"]})", "5 1 "},
      {"types", R"({"vmTypes":["types/web","types/db"]})", "5 4 3 2 "},
      {"type", R"({"vmTypes":["types/db"]})", "4 3 "},
      {"user", R"({"user":"ann"})", "2 1 "},
      {"address", R"({"clientAddress":"10.0.0.2"})", "3 2 "},
      {"vm", R"({"vm":"vms/d1"})", "4 3 "},
      {"environment", R"({"environment":"environments/e"})", "5 4 3 2 1 "},
      {"percent is itself", R"({"text":"100%"})", "2 "},
      {"underscore is itself", R"({"text":"a_b"})", "2 "},
      {"backslash is itself", R"({"text":"k\\s"})", "4 "},
      {"quotes are themselves", R"({"text":"'; DROP"})", "5 "},
      {"time", R"({"startTime":"2026-01-01T00:01:00Z","endTime":"2026-01-01T00:03:00Z"})", "3 2 "},
      {"and", R"({"user":"bob","kinds":["LOG_KIND_OPERATION"],"vmTypes":["types/db"]})", "3 "},
      {"nothing", R"({"user":"bob","clientAddress":"10.0.0.1"})", ""},
  };
  for (const Case& row : cases) {
    v1::SearchLogRequest request;
    ASSERT_TRUE(FromJson(row.request, &request).ok()) << row.name;
    EXPECT_EQ(Ids(request), row.ids) << row.name;
  }
}

TEST_F(EventLogTest, SearchPagesNewestFirstWhileTheLogGrows) {
  Fill(25);
  v1::SearchLogRequest request;
  request.set_page_size(10);
  std::set<int64_t> seen;
  int pages = 0;
  do {
    auto page = log_->Search(request);
    ASSERT_TRUE(page.ok());
    for (const auto& entry : page->entries()) EXPECT_TRUE(seen.insert(entry.id()).second);
    request.set_page_token(page->next_page_token());
    Fill(3);
    ++pages;
  } while (!request.page_token().empty());
  EXPECT_EQ(pages, 3);
  EXPECT_EQ(seen.size(), 25u);
  for (const char* token : {"x", "-1", "0", "1; DROP"}) {
    request.set_page_token(token);
    EXPECT_EQ(log_->Search(request).status().code(), absl::StatusCode::kInvalidArgument) << token;
  }
}

}  // namespace
}  // namespace drover::core
