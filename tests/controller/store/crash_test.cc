// What was acknowledged is there after kill -9, and after a full disk nothing is half done.
#include <sched.h>
#include <sys/mount.h>

#include <cstdlib>
#include <string>
#include <thread>
#include <vector>

#include "absl/strings/escaping.h"
#include "absl/strings/str_cat.h"
#include "controller/core/event_log.h"
#include "controller/secrets/openssl_vault.h"
#include "controller/store/sqlite.h"
#include "controller/store/sqlite_store.h"
#include "gtest/gtest.h"
#include "proto/support/status.h"
#include "tests/testing/child_test.h"
#include "tests/testing/fake_clock.h"
#include "tests/testing/temp_dir.h"

namespace drover::store {
namespace {

using core::Table;
using drover::testing::ChildTest;
using drover::testing::FakeClock;
using drover::testing::TellParent;
using drover::testing::TempDir;

constexpr char kDirectory[] = "DROVER_TEST_DIRECTORY";
constexpr int kNotPermitted = 77;

// Store, vault and log as the controller has them.
struct Ground {
  explicit Ground(const std::string& directory)
      : store(*SqliteStore::Open(directory + "/store", clock)),
        vault(*secrets::OpenSslVault::Open(directory + "/key")),
        log(store.get(), vault.get(), &clock, directory + "/backups") {}

  absl::Status Put(const std::string& key) {
    return store->Write([&](core::StoreWriter& writer) {
      return writer.Put(Table::kCommands, {key, "", std::string(200, 'x')});
    });
  }

  FakeClock clock;
  std::unique_ptr<SqliteStore> store;
  std::unique_ptr<core::Vault> vault;
  core::EventLog log;
};

// ---------------------------------------------------------------- kill -9

TEST(Crash, DISABLED_WritesUntilKilled) {
  const char* directory = getenv(kDirectory);
  ASSERT_NE(directory, nullptr);
  Ground ground(directory);
  const std::string run = absl::BytesToHexString(ground.vault->RandomBytes(4));
  std::vector<std::thread> threads;
  for (int t = 0; t < 4; ++t) {
    threads.emplace_back([&, t] {
      for (int i = 0;; ++i) {
        const std::string key = absl::StrCat(run, "-", t, "-", i);
        ASSERT_TRUE(ground.Put(key).ok());
        drover::v1::LogEntry entry;
        entry.set_action(key);
        ASSERT_TRUE(ground.log.Log(entry).ok());
        TellParent(key);
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
}

TEST(Crash, WhatWasAcknowledgedIsThere) {
  TempDir directory;
  std::vector<std::string> acknowledged;
  for (int round = 0; round < 5; ++round) {
    {
      ChildTest child("Crash.DISABLED_WritesUntilKilled", {{kDirectory, directory.path()}});
      for (int i = 0; i < 100 + 37 * round; ++i) {
        acknowledged.push_back(child.ReadLine());
        ASSERT_NE(acknowledged.back(), "") << "the child ended by itself";
      }
      child.Kill();
    }
    Ground ground(directory.path());
    ASSERT_TRUE(ground.store
                    ->Read([&](core::StoreReader& reader) -> absl::Status {
                      for (const std::string& key : acknowledged) {
                        DROVER_RETURN_IF_ERROR(reader.Get(Table::kCommands, key).status());
                      }
                      return absl::OkStatus();
                    })
                    .ok());
    auto verified = ground.log.Verify();
    ASSERT_TRUE(verified.ok()) << verified.status();
    EXPECT_TRUE(verified->intact()) << verified->problem();
    EXPECT_GE(verified->entries(), static_cast<int64_t>(acknowledged.size()));
  }
}

// ---------------------------------------------------------------- no space, no writing

// A file system of two megabytes at `path`, seen by this process only.
bool MountSmall(const std::string& path) {
  return unshare(CLONE_NEWNS) == 0 &&
         mount("none", "/", nullptr, MS_REC | MS_PRIVATE, nullptr) == 0 &&
         mount("tmpfs", path.c_str(), "tmpfs", 0, "size=2m,mode=0700") == 0;
}

int CountCommands(Ground& ground) {
  int count = -1;
  EXPECT_TRUE(ground.store
                  ->Read([&](core::StoreReader& reader) -> absl::Status {
                    DROVER_ASSIGN_OR_RETURN(auto documents, reader.List(Table::kCommands, {}));
                    count = static_cast<int>(documents.size());
                    return absl::OkStatus();
                  })
                  .ok());
  return count;
}

TEST(Crash, DISABLED_FillsTheDisk) {
  const std::string directory = getenv(kDirectory);
  if (!MountSmall(directory)) exit(kNotPermitted);
  Ground ground(directory);
  int written = 0;
  absl::Status status;
  while (written < 100000 && (status = ground.Put(absl::StrCat(written))).ok()) ++written;
  EXPECT_TRUE(HasReason(status, "STORE_FULL") || HasReason(status, "STORE_FAILED")) << status;
  EXPECT_GT(written, 10);
  EXPECT_EQ(CountCommands(ground), written);
  // All writers of one batch are told, and none of their writes is there.
  std::vector<std::thread> threads;
  for (int t = 0; t < 8; ++t) {
    threads.emplace_back([&, t] { EXPECT_FALSE(ground.Put(absl::StrCat("t", t)).ok()); });
  }
  for (std::thread& thread : threads) thread.join();
  EXPECT_EQ(CountCommands(ground), written);
  // With room again it goes on.
  ASSERT_EQ(mount("none", directory.c_str(), nullptr, MS_REMOUNT, "size=16m"), 0);
  EXPECT_TRUE(ground.Put("after").ok());
  EXPECT_EQ(CountCommands(ground), written + 1);
  if (::testing::Test::HasFailure()) exit(1);
}

TEST(Crash, DISABLED_ReadOnly) {
  const std::string directory = getenv(kDirectory);
  if (!MountSmall(directory)) exit(kNotPermitted);
  { Ground ground(directory); }
  ASSERT_EQ(mount("none", directory.c_str(), nullptr, MS_REMOUNT | MS_RDONLY, nullptr), 0);
  FakeClock clock;
  auto store = SqliteStore::Open(directory + "/store", clock);
  EXPECT_TRUE(HasReason(store.status(), "STORE_FAILED")) << store.status();
  if (::testing::Test::HasFailure()) exit(1);
}

class CrashChild : public ::testing::TestWithParam<const char*> {};

TEST_P(CrashChild, EndsClean) {
  TempDir directory;
  ChildTest child(GetParam(), {{kDirectory, directory.path()}});
  const int code = child.Wait();
  if (code == kNotPermitted) GTEST_SKIP() << "mounting needs root";
  EXPECT_EQ(code, 0);
}

INSTANTIATE_TEST_SUITE_P(Disk, CrashChild,
                         ::testing::Values("Crash.DISABLED_FillsTheDisk",
                                           "Crash.DISABLED_ReadOnly"));

}  // namespace
}  // namespace drover::store
