#include "controller/core/automatic_upgrades.h"

#include <functional>
#include <memory>
#include <set>
#include <string>

#include "absl/strings/escaping.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "controller/core/event_log.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "proto/support/status.h"
#include "proto/support/time.h"
#include "tests/controller/core/upgrade_bench.h"

namespace drover::core {
namespace {

using drover::v1::AutomaticUpgrade;
using drover::v1::NotifyCommitRequest;

constexpr char kKey[] = "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef";
constexpr char kRepository[] = "svn://svn/repo";

class AutomaticUpgradesTest : public UpgradeBench {
 protected:
  void SetUp() override {
    UpgradeBench::SetUp();
    events_ = std::make_unique<EventLog>(&files_.store(), &files_.vault(), &files_.clock(),
                                         files_.directory() + "/backups");
    AddVms(3);
    Begin();
    AutomaticUpgrade upgrade;
    upgrade.set_environment("environments/prod");
    upgrade.set_type("types/web");
    upgrade.set_enabled(true);
    upgrade.mutable_limits()->set_wave_size(3);
    ASSERT_TRUE(automatic_->Set(upgrade).ok());
  }
  ~AutomaticUpgradesTest() override { automatic_.reset(); }

  void Begin() {
    AutomaticUpgrades::Options options;
    options.hook_key = kKey;
    // Less than an order's time to live: a clock that jumps ends none.
    options.poll = absl::Seconds(20);
    automatic_ = std::make_unique<AutomaticUpgrades>(
        &files_.store(), inventory_.get(), rollouts_.get(), runner_.get(), events_.get(),
        &files_.vault(), &files_.clock(), std::move(options));
    automatic_->Start();
  }
  NotifyCommitRequest Commit(int64_t revision, const std::string& repository = kRepository) {
    NotifyCommitRequest request;
    request.set_repository_url(repository);
    request.set_revision(revision);
    *request.mutable_time() = ToProto(files_.clock().Now());
    request.set_signature(CommitSignature(files_.vault(), kKey, request));
    return request;
  }
  void Tell(int64_t revision) {
    world_.SetHead(revision);
    const absl::Status told = automatic_->Notify(Commit(revision));
    EXPECT_TRUE(told.ok()) << told;
  }
  bool AllAt(int64_t revision) {
    for (int i = 1; i <= 3; ++i) {
      if (world_.guest(Uid(i)).running != revision) return false;
    }
    return Idle();
  }
  void AwaitAt(int64_t revision) {
    AwaitChange([&] { return AllAt(revision); });
  }
  bool Idle() {
    const auto list = rollouts_->List({});
    for (const Rollout& rollout : list->rollouts()) {
      if (!IsDone(rollout.operation().state())) return false;
    }
    return !list->rollouts().empty();
  }
  // Not everything that is waited for is told by an operation's change.
  void AwaitChange(const std::function<bool()>& enough) {
    while (!enough()) {
      absl::MutexLock lock(&mutex_);
      const int64_t seen = changes_;
      auto changed = [&]() ABSL_NO_THREAD_SAFETY_ANALYSIS { return changes_ != seen; };
      mutex_.AwaitWithTimeout(absl::Condition(&changed), absl::Milliseconds(10));
    }
  }
  int CountRollouts() { return rollouts_->List({})->rollouts_size(); }
  std::set<int64_t> NamedInLog() {
    drover::v1::SearchLogRequest search;
    search.add_kinds(drover::v1::LOG_KIND_UPGRADE);
    search.set_page_size(1000);
    std::set<int64_t> named;
    const auto found = events_->Search(search);
    for (const auto& entry : found->entries()) {
      for (int64_t revision = 1; revision < 200; ++revision) {
        if (entry.detail().rfind(absl::StrCat("revision ", revision, ","), 0) == 0) {
          named.insert(revision);
        }
      }
    }
    return named;
  }

  std::unique_ptr<EventLog> events_;
  std::unique_ptr<AutomaticUpgrades> automatic_;
};

// RFC 4231, test cases 1, 2 and 6.
TEST_F(AutomaticUpgradesTest, Hmac) {
  const auto hmac = [&](const std::string& key, const std::string& data) {
    return absl::BytesToHexString(HmacSha256(files_.vault(), key, data));
  };
  EXPECT_EQ(hmac(std::string(20, 0x0b), "Hi There"),
            "b0344c61d8db38535ca8afceaf0bf12b881dc200c9833da726e9376c2e32cff7");
  EXPECT_EQ(hmac("Jefe", "what do ya want for nothing?"),
            "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843");
  EXPECT_EQ(hmac(std::string(131, static_cast<char>(0xaa)),
                 "Test Using Larger Than Block-Size Key - Hash Key First"),
            "60e431591ee0b67f0d8a26aacbf5b77f8e0bc6213728c5140546040f0ee37f54");
}

TEST_F(AutomaticUpgradesTest, ACommitUpgrades) {
  Tell(6);
  AwaitAt(6);
  EXPECT_EQ(CountRollouts(), 1);
  const auto list = automatic_->List({});
  ASSERT_TRUE(list.ok());
  AwaitChange([&] { return automatic_->List({})->automatic_upgrades(0).last_revision() == 6; });
  // Told again, it is nothing new.
  EXPECT_TRUE(automatic_->Notify(Commit(6)).ok());
  Tell(7);
  AwaitAt(7);
  EXPECT_EQ(CountRollouts(), 2);
}

TEST_F(AutomaticUpgradesTest, OnlyTheHookIsBelieved) {
  NotifyCommitRequest forged = Commit(6);
  forged.set_revision(7);
  EXPECT_EQ(ReasonOf(automatic_->Notify(forged)), "BAD_SIGNATURE");
  forged = Commit(6);
  forged.set_signature("");
  EXPECT_EQ(ReasonOf(automatic_->Notify(forged)), "BAD_SIGNATURE");
  // Another repository concerns nobody here.
  EXPECT_TRUE(automatic_->Notify(Commit(6, "svn://svn/repository-2")).ok());
  EXPECT_EQ(CountRollouts(), 0);
}

// P20: a hundred commits while an upgrade is under way are one more upgrade, and all are named.
TEST_F(AutomaticUpgradesTest, ABurstBecomesOneMoreUpgrade) {
  world_.Hold("uid-1");
  Tell(6);
  world_.AwaitHeld("uid-1");
  for (int64_t revision = 7; revision <= 105; ++revision) Tell(revision);
  world_.LetGo("uid-1");
  AwaitAt(105);
  EXPECT_EQ(CountRollouts(), 2);
  AwaitChange([&] { return NamedInLog().size() == 100; });
}

// Hooks name the repository, polls the url of a working copy: the newest wins, nothing leads back,
// and all are named.
TEST_F(AutomaticUpgradesTest, ToldInSeveralWaysItIsOneUpgradeToTheNewest) {
  auto type = *inventory_->GetType("types/web");
  auto& library = *type.add_working_copies();
  library.set_id("lib");
  library.set_path("/srv/lib");
  library.set_url("svn://svn/repo/lib");
  library.set_user("deployer");
  google::protobuf::FieldMask mask;
  mask.add_paths("working_copies");
  const auto updated = inventory_->UpdateType(type, mask);
  ASSERT_TRUE(updated.ok()) << updated.status();
  world_.Hold("uid-1");
  Tell(6);
  world_.AwaitHeld("uid-1");
  world_.SetHead(9);
  for (const NotifyCommitRequest& request :
       {Commit(7, "svn://svn/repo/trunk"), Commit(8, "svn://svn/repo/lib"), Commit(9)}) {
    const absl::Status told = automatic_->Notify(request);
    EXPECT_TRUE(told.ok()) << told;
  }
  world_.LetGo("uid-1");
  AwaitChange([&] { return NamedInLog() == std::set<int64_t>{6, 7, 8, 9}; });
  AwaitAt(9);
  EXPECT_EQ(CountRollouts(), 2);
}

TEST_F(AutomaticUpgradesTest, WhatWasToldOutlivesTheController) {
  world_.Hold("uid-1");
  Tell(6);
  world_.AwaitHeld("uid-1");
  Tell(7);
  Tell(8);
  automatic_.reset();
  End();
  Run();
  Begin();
  world_.LetGo("uid-1");
  AwaitAt(8);
  EXPECT_EQ(CountRollouts(), 2);
}

TEST_F(AutomaticUpgradesTest, SwitchedOffNothingWaits) {
  world_.Hold("uid-1");
  Tell(6);
  world_.AwaitHeld("uid-1");
  Tell(7);
  AutomaticUpgrade off;
  off.set_environment("environments/prod");
  off.set_type("types/web");
  ASSERT_TRUE(automatic_->Set(off).ok());
  world_.LetGo("uid-1");
  AwaitAt(6);
  EXPECT_TRUE(automatic_->Notify(Commit(8)).ok());
  EXPECT_EQ(CountRollouts(), 1);
}

TEST_F(AutomaticUpgradesTest, WithoutAHookThePollFindsIt) {
  world_.SetHead(5);
  // Slowly: a clock that runs ahead of the threads lets orders expire that are just being answered.
  const auto until = [&](const std::function<bool()>& enough) {
    AwaitChange([&] {
      files_.clock().Advance(absl::Seconds(1));
      return enough();
    });
  };
  // The first look is where it begins.
  until([&] {
    for (const std::string& entry : world_.journal()) {
      if (absl::StrContains(entry, "revisions")) return true;
    }
    return false;
  });
  world_.SetHead(9);
  until([&] { return CountRollouts() == 1; });
  until([&] { return AllAt(9); });
}

}  // namespace
}  // namespace drover::core
