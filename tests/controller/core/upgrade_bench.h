// A controller's core with VMs whose agents know svn and services (upgrade_world.h), for tests of
// code upgrades; it can be ended and run again on the same store.
#pragma once

#include <algorithm>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "controller/core/operation_record.h"
#include "controller/core/rollouts.h"
#include "gtest/gtest.h"
#include "tests/controller/core/upgrade_world.h"
#include "tests/testing/faulty_store.h"
#include "tests/testing/test_store.h"

namespace drover::core {

inline std::string Uid(int i) { return absl::StrCat("uid-", i); }

class UpgradeBench : public ::testing::Test {
 protected:
  using Operation = drover::v1::Operation;
  using Rollout = drover::v1::Rollout;
  using RolloutSpec = drover::v1::RolloutSpec;
  using StartRolloutRequest = drover::v1::StartRolloutRequest;
  using Vm = drover::v1::Vm;
  using Target = drover::v1::Operation::Target;
  static constexpr char kPassword[] = "canary-77aa12";

  void SetUp() override {
    Run();
    ASSERT_TRUE(inventory_->AddEnvironment("prod", {}).ok());
    drover::v1::VmType type;
    type.set_template_("tpl");
    type.add_services()->set_name("nginx");
    type.mutable_services(0)->set_systemd_unit("nginx");
    auto& copy = *type.add_working_copies();
    copy.set_id("app");
    copy.set_path("/srv/app");
    copy.set_url("svn://svn/repo/trunk");
    copy.set_user("deployer");
    copy.set_password(kPassword);
    copy.add_restart_services("nginx");
    ASSERT_TRUE(inventory_->AddType("web", type).ok());
  }
  ~UpgradeBench() override { End(); }

  void AddVms(int count) {
    for (int i = 1; i <= count; ++i) {
      Vm vm;
      vm.set_name(absl::StrCat("vms/web-", i));
      vm.set_uid(Uid(i));
      vm.set_environment("environments/prod");
      vm.set_type("types/web");
      vm.set_state(Vm::STATE_READY);
      vm.set_agent_state(drover::v1::AGENT_STATE_CONTACT_LOST);
      world_.Add(Uid(i));
      ASSERT_TRUE(inventory_->AddVm(vm).ok());
    }
  }
  // A controller on the same store, or on one that fails.
  void Run(Store* store = nullptr) {
    if (store == nullptr) store = &files_.store();
    inventory_ = std::make_unique<Inventory>(store, &files_.vault(), &files_.clock());
    ASSERT_TRUE(inventory_->Load().ok());
    // Who is connected is learnt again.
    for (const Vm& vm : inventory_->ListVms()) {
      ASSERT_TRUE(
          inventory_
              ->ChangeVm(vm.name(),
                         [](Vm& its) { its.set_agent_state(drover::v1::AGENT_STATE_CONTACT_LOST); })
              .ok());
    }
    tracker_ = std::make_unique<CommandTracker>(store, &files_.vault(), &files_.clock());
    ASSERT_TRUE(tracker_->Load().ok());
    tracker_->SetGateway(&world_);
    world_.SetTracker(tracker_.get());
    runner_ = std::make_unique<OperationRunner>(store, &files_.vault(), &files_.clock());
    copies_ = std::make_unique<WorkingCopies>(store, inventory_.get(), tracker_.get(), &world_,
                                              &files_.clock());
    rollouts_ = std::make_unique<Rollouts>(inventory_.get(), copies_.get(), tracker_.get(), &world_,
                                           runner_.get());
    rollouts_->Register();
    runner_->OnChange([this](absl::string_view) { Changed(); });
    for (int i = 1; i <= 20; ++i) {
      if (inventory_->GetVmByUid(Uid(i)).ok()) tracker_->OnConnected(Uid(i));
    }
    const absl::Status started = runner_->Start();
    ASSERT_TRUE(started.ok()) << started;
  }
  void End() {
    if (copies_ != nullptr) copies_->Stop();
    if (runner_ != nullptr) runner_->Stop();
    rollouts_.reset();
    copies_.reset();
    runner_.reset();
    tracker_.reset();
    inventory_.reset();
  }
  void Changed() {
    absl::MutexLock lock(&mutex_);
    ++changes_;
  }

  static StartRolloutRequest To(int64_t revision, int canaries, int wave, int failures = 0) {
    StartRolloutRequest request;
    RolloutSpec& spec = *request.mutable_spec();
    spec.set_environment("environments/prod");
    spec.set_type("types/web");
    spec.set_revision(revision);
    spec.set_canaries(canaries);
    spec.set_wave_size(wave);
    spec.set_max_failures(failures);
    return request;
  }
  std::string Start(const StartRolloutRequest& request) {
    const auto rollout = rollouts_->Start(request, caller_);
    EXPECT_TRUE(rollout.ok()) << rollout.status();
    return rollout.ok() ? rollout->name() : "";
  }
  Rollout Await(const std::string& name, const std::function<bool(const Rollout&)>& enough) {
    int64_t seen = -1;
    for (;;) {
      {
        absl::MutexLock lock(&mutex_);
        auto changed = [&]() ABSL_NO_THREAD_SAFETY_ANALYSIS { return changes_ != seen; };
        mutex_.Await(absl::Condition(&changed));
        seen = changes_;
      }
      const auto rollout = rollouts_->Get(name);
      if (!rollout.ok() || enough(*rollout)) return rollout.value_or(Rollout());
    }
  }
  std::vector<UpgradeWorld::Guest> Guests(int count) {
    std::vector<UpgradeWorld::Guest> guests;
    for (int i = 1; i <= count; ++i) guests.push_back(world_.guest(Uid(i)));
    return guests;
  }
  // Starts it with a controller that dies after so many writes, and runs another; whoever did not
  // hear that it began asks again. Its name; and whether the first one lived long enough to die.
  std::string DieWhile(StartRolloutRequest request, int writes, bool* died) {
    request.set_request_id(absl::StrCat("upgrade-", request.spec().revision()));
    End();
    testing::FaultyStore store(&files_.store());
    store.OnRefusal([this] { Changed(); });
    Run(&store);
    store.DieAfterWrites(writes);
    const auto started = rollouts_->Start(request, caller_);
    const std::string name = started.ok() ? started->name() : "";
    if (started.ok()) {
      Await(name, [&](const Rollout& rollout) {
        return store.died() || IsDone(rollout.operation().state());
      });
    }
    *died = store.died();
    End();
    Run();
    return name.empty() ? Start(request) : name;
  }
  Rollout AwaitEnd(const std::string& name) {
    return Await(name, [](const Rollout& rollout) { return IsDone(rollout.operation().state()); });
  }
  static int CountOf(const Rollout& rollout, Target::State state) {
    const auto& targets = rollout.operation().targets();
    return static_cast<int>(std::count_if(targets.begin(), targets.end(),
                                          [&](const Target& its) { return its.state() == state; }));
  }
  // Place in the journal of the first or last entry that has both.
  int Place(const std::string& uid, const std::string& what, bool last = false) {
    const auto journal = world_.journal();
    int place = -1;
    for (size_t i = 0; i < journal.size(); ++i) {
      if (journal[i] != uid + " " + what) continue;
      place = static_cast<int>(i);
      if (!last) break;
    }
    return place;
  }

  testing::TestStore files_;
  UpgradeWorld world_;
  Caller caller_{.user = "ann", .role = drover::v1::ROLE_ADMINISTRATOR};
  std::unique_ptr<Inventory> inventory_;
  std::unique_ptr<CommandTracker> tracker_;
  std::unique_ptr<OperationRunner> runner_;
  std::unique_ptr<WorkingCopies> copies_;
  std::unique_ptr<Rollouts> rollouts_;
  absl::Mutex mutex_;
  int64_t changes_ = 0;
};

}  // namespace drover::core
