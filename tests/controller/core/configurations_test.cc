// Configurations over three VMs whose agents keep files and transactions as the real ones do: every
// order fails once, and the controller dies after every write.
#include "controller/core/configurations.h"

#include <atomic>
#include <functional>
#include <map>
#include <memory>
#include <set>
#include <string>
#include <thread>
#include <vector>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "controller/core/profile_rules.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "proto/support/status.h"
#include "tests/testing/faulty_store.h"
#include "tests/testing/test_store.h"

namespace drover::core {
namespace {

using drover::agent::v1::Command;
using drover::agent::v1::CommandUpdate;
using drover::agent::v1::EditFiles;
using drover::v1::ApplyConfigurationRequest;
using drover::v1::Configuration;
using drover::v1::DependencyCheck;
using drover::v1::Operation;
using drover::v1::Profile;
using drover::v1::Vm;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

constexpr int kVms = 3;

// One file per VM, changed by transactions. An id that was carried out is answered as it was.
class ConfigAgents : public AgentGateway {
 public:
  struct Guest {
    std::string file = "old";
    // What PREPARE made; what COMMIT would bring back.
    std::string staged;
    std::string backup;
    std::set<std::string> put_back;
    bool away = false;
  };

  void SetTracker(CommandTracker* tracker) {
    absl::MutexLock lock(&mutex_);
    tracker_ = tracker;
  }
  // The order of this number from now on fails; 0 = none.
  void FailOrder(int number) {
    absl::MutexLock lock(&mutex_);
    orders_.clear();
    fail_ = number;
  }
  Guest& guest(int i) { return guests_[absl::StrCat("uid-", i)]; }
  void SetResult(DependencyCheck::Result result) { result_ = result; }
  std::vector<std::string> orders() {
    absl::MutexLock lock(&mutex_);
    return orders_;
  }

  bool IsConnected(absl::string_view uid) override {
    absl::MutexLock lock(&mutex_);
    return !guests_[std::string(uid)].away;
  }
  absl::Status Send(absl::string_view uid, const Command& command) override {
    CommandTracker* tracker;
    CommandUpdate update;
    {
      absl::MutexLock lock(&mutex_);
      tracker = tracker_;
      auto known = answers_.find(command.id());
      if (known == answers_.end()) {
        known = answers_.emplace(command.id(), Carry(std::string(uid), command)).first;
      }
      update = known->second;
    }
    update.set_command_id(command.id());
    return tracker->OnUpdate(uid, update);
  }
  absl::Status CancelCommand(absl::string_view, absl::string_view) override {
    return absl::OkStatus();
  }
  absl::StatusOr<EnrolmentKit> NewEnrolmentKit(absl::string_view, absl::string_view,
                                               absl::Duration) override {
    return absl::UnimplementedError("not here");
  }
  absl::Status Revoke(absl::string_view) override { return absl::OkStatus(); }
  absl::Status LiftQuarantine(absl::string_view) override { return absl::OkStatus(); }
  void DesiredStateChanged(absl::string_view) override {}

 private:
  CommandUpdate Carry(const std::string& uid, const Command& command)
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_) {
    CommandUpdate update;
    update.set_state(CommandUpdate::STATE_SUCCEEDED);
    if (command.has_probe_dependency()) {
      orders_.push_back(absl::StrCat("probe ", uid));
      update.mutable_probe_verdict()->set_result(fail_ == static_cast<int>(orders_.size())
                                                     ? DependencyCheck::RESULT_SERVICE_MISSING
                                                     : result_);
      return update;
    }
    const absl::Status done = Edit(uid, command.edit_files(), update);
    if (!done.ok()) {
      update.set_state(CommandUpdate::STATE_FAILED);
      *update.mutable_error() = ToRpcStatus(done);
    }
    return update;
  }

  absl::Status Edit(const std::string& uid, const EditFiles& order, CommandUpdate& update)
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_) {
    Guest& guest = guests_[uid];
    orders_.push_back(absl::StrCat(EditFiles::Action_Name(order.action()), " ", uid));
    const bool fails = fail_ == static_cast<int>(orders_.size());
    const absl::Status broken =
        MakeError(absl::StatusCode::kInternal, "BROKEN", "/etc/app/conf.py: the disk broke");
    const std::string& id = order.transaction();
    switch (order.action()) {
      case EditFiles::ACTION_PLAN:
      case EditFiles::ACTION_PREPARE: {
        if (guest.put_back.contains(id)) return absl::AbortedError("put back already");
        if (fails) return broken;
        auto& file = *update.mutable_edited_files()->add_files();
        file.set_path(order.files(0).path());
        file.set_old_sha256(guest.file);
        file.set_new_sha256(order.files(0).edits(0).value());
        file.set_diff(absl::StrCat("-", guest.file, "\n+", order.files(0).edits(0).value(), "\n"));
        if (guest.file == "missing") file.set_problem("there is no HOST");
        const std::string& expected = order.files(0).expected_sha256();
        if (!expected.empty() && expected != guest.file) return absl::AbortedError("changed");
        if (order.action() == EditFiles::ACTION_PREPARE) guest.staged = file.new_sha256();
        return absl::OkStatus();
      }
      case EditFiles::ACTION_COMMIT:
        if (guest.staged.empty() || guest.put_back.contains(id)) {
          return absl::FailedPreconditionError("not prepared");
        }
        if (fails) {
          guest.staged.clear();
          guest.put_back.insert(id);
          return MakeError(absl::StatusCode::kAborted, "TRANSACTION_PUT_BACK",
                           "restart of web failed; everything was put back");
        }
        guest.backup = guest.file;
        guest.file = guest.staged;
        guest.staged.clear();
        return absl::OkStatus();
      case EditFiles::ACTION_PUT_BACK:
        if (fails) return broken;
        if (!guest.backup.empty()) guest.file = guest.backup;
        guest.backup.clear();
        guest.staged.clear();
        guest.put_back.insert(id);
        return absl::OkStatus();
      default:
        if (fails) return broken;
        guest.backup.clear();
        return absl::OkStatus();
    }
  }

  absl::Mutex mutex_;
  CommandTracker* tracker_ ABSL_GUARDED_BY(mutex_) = nullptr;
  std::map<std::string, Guest> guests_;
  std::map<std::string, CommandUpdate> answers_ ABSL_GUARDED_BY(mutex_);
  std::vector<std::string> orders_ ABSL_GUARDED_BY(mutex_);
  int fail_ ABSL_GUARDED_BY(mutex_) = 0;
  DependencyCheck::Result result_ = DependencyCheck::RESULT_OK;
};

Profile TestProfile() {
  Profile profile;
  profile.set_name("profiles/dns");
  Profile::Dependency& dependency = *profile.add_dependencies();
  dependency.set_id("db");
  dependency.set_protocol(Profile::PROTOCOL_MYSQL);
  Profile::ProfileRole& role = *profile.add_roles();
  role.set_role("web");
  role.add_restart_services("web");
  Profile::Edit& edit = *role.add_edits();
  edit.set_file("conf.py");
  edit.set_format(Profile::Edit::FORMAT_PYTHON);
  edit.set_key("HOST");
  edit.set_value("${db.ip}:${db.port}");
  return profile;
}

class ConfigurationsTest : public ::testing::Test {
 protected:
  // What a process of the controller has in memory.
  struct Life {
    Life(testing::FaultyStore* store, testing::TestStore* files, ConfigAgents* agents)
        : inventory(store, &files->vault(), &files->clock()),
          tracker(store, &files->vault(), &files->clock()),
          profiles(store, {TestProfile()}),
          runner(store, &files->vault(), &files->clock()),
          configurations(&inventory, &profiles, &tracker, agents, &runner, store, &files->clock()) {
    }
    Inventory inventory;
    CommandTracker tracker;
    Profiles profiles;
    OperationRunner runner;
    Configurations configurations;
  };
  using FaultyStore = testing::FaultyStore;

  ConfigurationsTest() {
    store_.OnRefusal([this] { Changed(); });
    Start();
    drover::v1::VmType type;
    type.set_template_("tpl");
    type.add_services()->set_name("web");
    type.mutable_services(0)->set_systemd_unit("web");
    auto& file = *type.add_config_files();
    file.set_role("web");
    file.set_file("conf.py");
    file.set_path("/etc/app/conf.py");
    EXPECT_TRUE(life_->inventory.AddType("web", type).ok());
    EXPECT_TRUE(life_->inventory.AddEnvironment("shop", {}).ok());
    EXPECT_TRUE(life_->inventory.AddEnvironment("other", {}).ok());
    for (int i = 1; i <= kVms + 1; ++i) {
      Vm vm;
      vm.set_name(absl::StrCat("vms/web-", i));
      vm.set_uid(absl::StrCat("uid-", i));
      vm.set_environment("environments/shop");
      vm.set_type("types/web");
      vm.mutable_network()->set_ip(absl::StrCat("10.0.0.", i));
      EXPECT_TRUE(life_->inventory.AddVm(vm).ok());
    }
    Connect();
  }
  ~ConfigurationsTest() override { life_->runner.Stop(); }

  void Start() {
    life_ = std::make_unique<Life>(&store_, &files_, &agents_);
    ASSERT_TRUE(life_->inventory.Load().ok());
    ASSERT_TRUE(life_->tracker.Load().ok());
    ASSERT_TRUE(life_->profiles.Load().ok());
    life_->tracker.SetGateway(&agents_);
    agents_.SetTracker(&life_->tracker);
    Connect();
    life_->configurations.Register();
    life_->runner.OnChange([this](absl::string_view) { Changed(); });
    ASSERT_TRUE(life_->runner.Start().ok());
    for (int i = 1; i <= kVms + 1; ++i) life_->tracker.OnConnected(absl::StrCat("uid-", i));
  }
  void Connect() {
    for (int i = 1; i <= kVms + 1; ++i) {
      (void)life_->inventory.ChangeVm(absl::StrCat("vms/web-", i), [](Vm& vm) {
        vm.set_agent_state(drover::v1::AGENT_STATE_CONNECTED);
      });
    }
  }
  void Changed() {
    absl::MutexLock lock(&mutex_);
    ++changes_;
  }

  // The database on web-4 for the three others.
  static Configuration Choices() {
    Configuration configuration;
    configuration.set_profile("profiles/dns");
    configuration.set_environment("environments/shop");
    (*configuration.mutable_dependency_vms())["db"] = "vms/web-4";
    auto& role = *configuration.add_role_vms();
    role.set_role("web");
    for (int i = 1; i <= kVms; ++i) role.add_vms(absl::StrCat("vms/web-", i));
    return configuration;
  }
  absl::StatusOr<Operation> Apply() {
    ApplyConfigurationRequest request;
    *request.mutable_configuration() = Choices();
    return life_->configurations.Apply(request, {});
  }

  // Undoing that is tried again waits for the clock.
  Operation AwaitEnd(const std::string& name, bool or_death = false) {
    int64_t seen = -1;
    for (;;) {
      {
        absl::MutexLock lock(&mutex_);
        auto changed = [&]() ABSL_NO_THREAD_SAFETY_ANALYSIS { return changes_ != seen; };
        mutex_.AwaitWithTimeout(absl::Condition(&changed), absl::Milliseconds(20));
        seen = changes_;
      }
      const auto operation = life_->runner.Get(name);
      if (!operation.ok() || operation->has_end_time()) return operation.value_or(Operation());
      if (or_death && store_.died()) return *operation;
      files_.clock().Advance(absl::Seconds(1));
    }
  }
  int History() {
    auto list = life_->configurations.List({});
    return list.ok() ? list->configurations_size() : -1;
  }
  void ExpectAll(const std::string& file) {
    for (int i = 1; i <= kVms; ++i) {
      EXPECT_EQ(agents_.guest(i).file, file) << i;
      EXPECT_EQ(agents_.guest(i).staged, "") << i;
    }
  }
  void Reset() {
    for (int i = 1; i <= kVms; ++i) agents_.guest(i) = {};
  }

  testing::TestStore files_;
  FaultyStore store_{&files_.store()};
  ConfigAgents agents_;
  absl::Mutex mutex_;
  int64_t changes_ ABSL_GUARDED_BY(mutex_) = 0;
  std::unique_ptr<Life> life_;
};

constexpr char kNew[] = "10.0.0.4:3306";

TEST_F(ConfigurationsTest, CheckAsksFromTheServicesVmAndFromItsUsers) {
  auto checked = life_->configurations.Check(Choices());
  ASSERT_TRUE(checked.ok()) << checked.status();
  EXPECT_TRUE(checked->all_ok());
  std::vector<std::string> from;
  for (const auto& check : checked->checks()) from.push_back(check.from_vm());
  EXPECT_THAT(from, ElementsAre("vms/web-4", "vms/web-1", "vms/web-2", "vms/web-3"));
  // Before the roles are chosen.
  Configuration early = Choices();
  early.clear_role_vms();
  EXPECT_EQ(life_->configurations.Check(early)->checks_size(), 1);
  agents_.guest(2).away = true;
  checked = life_->configurations.Check(Choices());
  EXPECT_FALSE(checked->all_ok());
  EXPECT_EQ(checked->checks(2).result(), DependencyCheck::RESULT_UNREACHABLE);
  EXPECT_THAT(checked->checks(2).detail(), HasSubstr("not connected"));
}

TEST_F(ConfigurationsTest, PlanApplyHistoryRestore) {
  auto plan = life_->configurations.Plan(Choices());
  ASSERT_TRUE(plan.ok()) << plan.status();
  EXPECT_EQ(plan->diffs_size(), kVms);
  EXPECT_EQ(plan->diffs(0).diff(), absl::StrCat("-old\n+", kNew, "\n"));
  EXPECT_THAT(plan->restarts(), ElementsAre("web on web-1", "web on web-2", "web on web-3"));
  ExpectAll("old");
  ApplyConfigurationRequest request;
  *request.mutable_configuration() = Choices();
  request.set_expected_plan_digest(plan->digest());
  request.set_validate_only(true);
  EXPECT_EQ(life_->configurations.Apply(request, {})->targets_size(), kVms);
  request.set_validate_only(false);
  Caller caller;
  caller.user = "ann";
  auto submitted = life_->configurations.Apply(request, caller);
  ASSERT_TRUE(submitted.ok()) << submitted.status();
  const Operation ended = AwaitEnd(submitted->name());
  ASSERT_EQ(ended.state(), Operation::STATE_SUCCEEDED) << ended.error().message();
  ExpectAll(kNew);
  auto history = life_->configurations.List({});
  ASSERT_EQ(history->configurations_size(), 1);
  auto kept = life_->configurations.Get(history->configurations(0).name());
  EXPECT_EQ(kept->user(), "ann");
  EXPECT_EQ(kept->diffs_size(), kVms);
  EXPECT_EQ(kept->diffs(0).diff(), plan->diffs(0).diff());

  // The same plan is another one by now.
  EXPECT_EQ(ReasonOf(life_->configurations.Apply(request, {}).status()), "PLAN_CHANGED");

  // Restored with its VMs as they are now.
  ASSERT_TRUE(life_->inventory
                  .ChangeVm("vms/web-4", [](Vm& vm) { vm.mutable_network()->set_ip("10.0.9.9"); })
                  .ok());
  drover::v1::RestoreConfigurationRequest restore;
  restore.set_name(kept->name());
  auto restored = life_->configurations.Restore(restore, caller);
  ASSERT_TRUE(restored.ok()) << restored.status();
  EXPECT_EQ(AwaitEnd(restored->name()).state(), Operation::STATE_SUCCEEDED);
  ExpectAll("10.0.9.9:3306");
  history = life_->configurations.List({});
  ASSERT_EQ(history->configurations_size(), 2);
  EXPECT_EQ(history->configurations(1).name(), kept->name());
  restore.set_name("configurations/none");
  EXPECT_EQ(ReasonOf(life_->configurations.Restore(restore, {}).status()),
            "CONFIGURATION_NOT_FOUND");
}

TEST_F(ConfigurationsTest, AProblemOfAFileIsToldBeforeAnythingBegins) {
  agents_.guest(2).file = "missing";
  const absl::Status refused = Apply().status();
  EXPECT_EQ(ReasonOf(refused), "PLAN_HAS_PROBLEM");
  EXPECT_THAT(std::string(refused.message()), HasSubstr("web-2: there is no HOST"));
  EXPECT_EQ(History(), 0);
}

TEST_F(ConfigurationsTest, WhateverOrderFailsEveryVmIsAsBefore) {
  int number = 0;
  bool reached = true;
  while (reached) {
    ++number;
    SCOPED_TRACE(number);
    Reset();
    const int before = History();
    auto submitted = Apply();
    ASSERT_TRUE(submitted.ok()) << submitted.status();
    // The plan of the next one is not counted.
    AwaitEnd(submitted->name());
    ExpectAll(kNew);
    Reset();
    drover::v1::RestoreConfigurationRequest unused;
    // Counted from the first order of the operation: PLAN comes before.
    agents_.FailOrder(kVms + number);
    submitted = Apply();
    ASSERT_TRUE(submitted.ok()) << submitted.status();
    const Operation ended = AwaitEnd(submitted->name());
    const std::vector<std::string> orders = agents_.orders();
    const size_t failing = static_cast<size_t>(kVms + number);
    reached = orders.size() >= failing;
    const bool keeps = reached && absl::StartsWith(orders[failing - 1], "ACTION_KEEP");
    agents_.FailOrder(0);
    if (!reached || keeps) {
      EXPECT_EQ(ended.state(), Operation::STATE_SUCCEEDED);
      ExpectAll(kNew);
      EXPECT_EQ(History(), before + 2);
      continue;
    }
    EXPECT_EQ(ended.state(), Operation::STATE_FAILED);
    EXPECT_THAT(ended.error().message(), HasSubstr("web-"));
    ExpectAll("old");
    EXPECT_EQ(History(), before + 1);
  }
  // Four probes, three each of prepare, commit and keep.
  EXPECT_EQ(number, 4 + 3 * kVms + 1);
}

TEST_F(ConfigurationsTest, AnOrderToPutBackThatFailsIsGivenAgain) {
  // The commit of the third fails, and so does the first order to put back.
  agents_.FailOrder(kVms + 4 + 2 * kVms);
  auto submitted = Apply();
  ASSERT_TRUE(submitted.ok()) << submitted.status();
  const Operation ended = AwaitEnd(submitted->name());
  EXPECT_EQ(ended.state(), Operation::STATE_FAILED);
  EXPECT_THAT(ended.error().message(), HasSubstr("web-3: restart of web failed"));
  ExpectAll("old");
}

TEST_F(ConfigurationsTest, AControllerThatDiesAfterAnyWriteEndsTheSame) {
  bool died = true;
  for (int writes = 0; died; ++writes) {
    SCOPED_TRACE(writes);
    Reset();
    const int before = History();
    store_.DieAfterWrites(writes);
    absl::StatusOr<Operation> submitted;
    {
      // An answer that could not be stored is waited for in vain until the clock has gone on.
      std::atomic<bool> answered = false;
      std::thread call([&] {
        submitted = Apply();
        answered = true;
      });
      while (!answered) files_.clock().Advance(absl::Seconds(1));
      call.join();
    }
    const std::string name = submitted.ok() ? submitted->name() : "";
    if (submitted.ok()) AwaitEnd(name, /*or_death=*/true);
    died = store_.died();
    life_->runner.Stop();
    store_.Revive();
    Start();
    if (name.empty()) {
      ExpectAll("old");
      EXPECT_EQ(History(), before);
      continue;
    }
    const Operation ended = AwaitEnd(name);
    EXPECT_EQ(ended.state(), Operation::STATE_SUCCEEDED) << ended.error().message();
    ExpectAll(kNew);
    for (int i = 1; i <= kVms; ++i) EXPECT_EQ(agents_.guest(i).backup, "");
    EXPECT_EQ(History(), before + 1);
  }
}

TEST_F(ConfigurationsTest, ACancelPutsBack) {
  agents_.guest(2).away = false;
  auto submitted = Apply();
  ASSERT_TRUE(submitted.ok());
  // Too late or not: everything is one or the other.
  (void)life_->runner.Cancel(submitted->name());
  const Operation ended = AwaitEnd(submitted->name());
  ExpectAll(ended.state() == Operation::STATE_SUCCEEDED ? kNew : "old");
}

TEST_F(ConfigurationsTest, ChoicesThatCannotBeAreRefusedWithTheirFields) {
  struct Row {
    const char* name;
    std::function<void(Configuration&)> change;
    const char* words;
  };
  ASSERT_TRUE(life_->inventory
                  .ChangeVm("vms/web-3", [](Vm& vm) { vm.set_environment("environments/other"); })
                  .ok());
  for (const Row& row : std::vector<Row>{
           {"no VM", [](auto& c) { c.clear_dependency_vms(); }, "dependency_vms[\"db\"]"},
           {"unknown dependency", [](auto& c) { (*c.mutable_dependency_vms())["x"] = "vms/web-1"; },
            "not a dependency of dns"},
           {"unknown role", [](auto& c) { c.mutable_role_vms(0)->set_role("x"); },
            "role_vms[0].role"},
           {"another environment", [](auto&) {}, "role_vms[0].vms[2]: web-3 is not in shop"},
           {"no roles", [](auto& c) { c.clear_role_vms(); }, "at least one VM"}}) {
    SCOPED_TRACE(row.name);
    Configuration choices = Choices();
    row.change(choices);
    const absl::Status refused = life_->configurations.Plan(choices).status();
    EXPECT_EQ(refused.code(), absl::StatusCode::kInvalidArgument);
    EXPECT_THAT(std::string(refused.message()), HasSubstr(row.words));
  }
}

TEST_F(ConfigurationsTest, ProfilesOfUsers) {
  Profiles& profiles = life_->profiles;
  Profile mine = TestProfile();
  EXPECT_EQ(ReasonOf(profiles.Add("dns", mine).status()), "PROFILE_EXISTS");
  auto added = profiles.Add("mine", mine);
  ASSERT_TRUE(added.ok()) << added.status();
  EXPECT_FALSE(added->built_in());
  Profile change;
  change.set_name("profiles/mine");
  change.set_display_name("Mine");
  EXPECT_EQ(profiles.Update(change, {})->roles_size(), 1);
  change.set_name("profiles/dns");
  EXPECT_EQ(ReasonOf(profiles.Update(change, {}).status()), "BUILT_IN");
  EXPECT_EQ(ReasonOf(profiles.Remove("profiles/dns")), "BUILT_IN");
  life_->runner.Stop();
  Start();
  EXPECT_EQ(life_->profiles.Get("profiles/mine")->display_name(), "Mine");
  EXPECT_EQ(life_->profiles.List({})->profiles_size(), 2);
  EXPECT_TRUE(life_->profiles.Remove("profiles/mine").ok());
  EXPECT_EQ(ReasonOf(life_->profiles.Get("profiles/mine").status()), "PROFILE_NOT_FOUND");
}

TEST(ProfileRules, ProblemsAreNamed) {
  struct Row {
    const char* name;
    std::function<void(Profile&)> change;
    const char* words;
  };
  const auto edit = [](Profile& profile) -> Profile::Edit& {
    return *profile.mutable_roles(0)->mutable_edits(0);
  };
  for (const Row& row : std::vector<Row>{
           {"no format", [&](auto& p) { edit(p).clear_format(); }, "edits[0].format"},
           {"bad key", [&](auto& p) { edit(p).set_key("a..b"); }, "edits[0].key"},
           {"regex does not compile",
            [&](auto& p) {
              edit(p).set_format(Profile::Edit::FORMAT_REGEX);
              edit(p).set_key("(");
            },
            "no regular expression"},
           {"regex with two groups",
            [&](auto& p) {
              edit(p).set_format(Profile::Edit::FORMAT_REGEX);
              edit(p).set_key("(a)(b)");
            },
            "one group"},
           {"unknown reference", [&](auto& p) { edit(p).set_value("${mq.ip}"); },
            "\"mq\" is not a dependency"},
           {"misspelt reference", [&](auto& p) { edit(p).set_value("${db.host}"); }, "\"${\""},
           {"line break", [&](auto& p) { edit(p).set_value("a\nb"); }, "one line"},
           {"no file", [&](auto& p) { edit(p).clear_file(); }, "edits[0].file"},
           {"two roles of a name", [](auto& p) { *p.add_roles() = p.roles(0); }, "there twice"},
           {"no roles", [](auto& p) { p.clear_roles(); }, "at least one role"},
           {"port of TCP",
            [](auto& p) { p.mutable_dependencies(0)->set_protocol(Profile::PROTOCOL_TCP); },
            "dependencies[0].port"},
           {"bad service", [](auto& p) { p.mutable_roles(0)->set_restart_services(0, "a b"); },
            "no name of a service"}}) {
    SCOPED_TRACE(row.name);
    Profile profile = TestProfile();
    row.change(profile);
    Violations violations;
    CheckProfile(profile, "profile", violations);
    EXPECT_THAT(std::string(violations.ToStatus().message()), HasSubstr(row.words));
  }
  Violations none;
  CheckProfile(TestProfile(), "profile", none);
  EXPECT_TRUE(none.empty());
  EXPECT_EQ(FillReferences("a${db.ip}:${db.port}b", {{"db.ip", "1"}, {"db.port", "2"}}), "a1:2b");
}

}  // namespace
}  // namespace drover::core
