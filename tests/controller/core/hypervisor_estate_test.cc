#include "controller/core/hypervisor_estate.h"

#include <deque>
#include <functional>
#include <memory>
#include <utility>

#include "absl/strings/str_cat.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "proto/support/status.h"
#include "tests/testing/test_store.h"

namespace drover::core {
namespace {

using drover::v1::Vm;
using ::testing::Contains;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using HostState = drover::v1::Hypervisor;

// A host whose push the test dictates. What is not about following is not there.
class ScriptedHost : public Hypervisor {
 public:
  // Runs on the following thread; a status that is not OK ends Follow with it.
  using Act = std::function<absl::Status(InventorySink&)>;

  void Then(Act act) {
    absl::MutexLock lock(&mutex_);
    acts_.push_back(std::move(act));
  }
  void SetDescribe(absl::Status status) {
    absl::MutexLock lock(&mutex_);
    describe_ = std::move(status);
  }
  int describes() const {
    absl::MutexLock lock(&mutex_);
    return describes_;
  }
  // Returns when all acts are done.
  void AwaitIdle() {
    absl::MutexLock lock(&mutex_);
    auto idle = [this]() ABSL_NO_THREAD_SAFETY_ANALYSIS { return acts_.empty() && !acting_; };
    mutex_.Await(absl::Condition(&idle));
  }

  absl::StatusOr<HostFacts> Describe() override {
    absl::MutexLock lock(&mutex_);
    ++describes_;
    if (!describe_.ok()) return describe_;
    HostFacts facts;
    facts.set_kind(HostState::KIND_ESXI);
    facts.set_product("VMware ESXi 8.0.3");
    facts.add_templates()->set_name("tpl-web");
    return facts;
  }
  absl::StatusOr<std::vector<VmUsage>> ReadUsage(const std::vector<std::string>&, absl::Time,
                                                 std::stop_token) override {
    return std::vector<VmUsage>();
  }
  absl::Status Follow(InventorySink& sink, std::stop_token stop) override {
    std::stop_callback wake(stop, [this] { absl::MutexLock lock(&mutex_); });
    for (;;) {
      Act act;
      {
        absl::MutexLock lock(&mutex_);
        auto ready = [&]() ABSL_NO_THREAD_SAFETY_ANALYSIS {
          return !acts_.empty() || stop.stop_requested();
        };
        mutex_.Await(absl::Condition(&ready));
        if (stop.stop_requested()) return absl::CancelledError("stopped");
        act = std::move(acts_.front());
        acts_.pop_front();
        acting_ = true;
      }
      absl::Status status = act(sink);
      absl::MutexLock lock(&mutex_);
      acting_ = false;
      if (!status.ok()) return status;
    }
  }

  absl::StatusOr<std::vector<HypervisorVm>> ListVms() override { return Absent(); }
  absl::StatusOr<HypervisorVm> GetVm(absl::string_view) override { return Absent(); }
  absl::Status CheckCopy(const CopySpec&) override { return Absent(); }
  absl::StatusOr<CopiedVm> Copy(const CopySpec&, StepContext&) override { return Absent(); }
  absl::Status DiscardCopy(const CopySpec&, StepContext&) override { return Absent(); }
  absl::Status PowerOn(absl::string_view, StepContext&) override { return Absent(); }
  absl::Status PowerOff(absl::string_view, absl::Duration, StepContext&) override {
    return Absent();
  }
  absl::Status Restart(absl::string_view, bool, StepContext&) override { return Absent(); }
  absl::Status SetHardware(absl::string_view, const HardwareChange&, StepContext&) override {
    return Absent();
  }
  absl::Status Destroy(absl::string_view, StepContext&) override { return Absent(); }
  absl::Status WaitForTools(absl::string_view, absl::Duration, StepContext&) override {
    return Absent();
  }
  absl::Status CheckGuestLogin(absl::string_view, const GuestLogin&) override { return Absent(); }
  absl::Status WriteGuestFile(absl::string_view, const GuestLogin&, absl::string_view,
                              absl::string_view, int, StepContext&) override {
    return Absent();
  }
  absl::StatusOr<int> RunInGuest(absl::string_view, const GuestLogin&, absl::string_view,
                                 absl::string_view, absl::Duration, StepContext&) override {
    return Absent();
  }
  absl::StatusOr<std::string> ReadGuestFile(absl::string_view, const GuestLogin&, absl::string_view,
                                            StepContext&) override {
    return Absent();
  }

 private:
  static absl::Status Absent() { return absl::UnimplementedError("not in this test"); }

  mutable absl::Mutex mutex_;
  std::deque<Act> acts_ ABSL_GUARDED_BY(mutex_);
  bool acting_ ABSL_GUARDED_BY(mutex_) = false;
  absl::Status describe_ ABSL_GUARDED_BY(mutex_);
  int describes_ ABSL_GUARDED_BY(mutex_) = 0;
};

class ScriptedConnector : public HypervisorConnector {
 public:
  std::shared_ptr<Hypervisor> Open(const drover::v1::Hypervisor&,
                                   const HypervisorSecrets& secrets) override {
    opened_with.push_back(secrets.password());
    return host;
  }
  absl::StatusOr<HostFacts> Test(const drover::v1::Hypervisor&,
                                 const HypervisorSecrets& secrets) override {
    if (secrets.password() != "right") {
      return MakeError(absl::StatusCode::kFailedPrecondition, "HYPERVISOR_LOGIN_REFUSED", "no");
    }
    return host->Describe();
  }
  std::shared_ptr<ScriptedHost> host = std::make_shared<ScriptedHost>();
  std::vector<std::string> opened_with;
};

HypervisorVm Seen(const std::string& object, drover::v1::PowerState power) {
  HypervisorVm vm;
  vm.set_object(object);
  vm.set_name("vm " + object);
  vm.set_power(power);
  vm.set_instance_uuid("instance-" + object);
  vm.set_ip("10.0.9.9");
  vm.set_cpus(4);
  return vm;
}

ScriptedHost::Act State(std::vector<HypervisorVm> vms) {
  return [vms](InventorySink& sink) {
    sink.OnReset();
    for (const HypervisorVm& vm : vms) sink.OnVm(InventoryChange::kPresent, vm);
    sink.OnSynced();
    return absl::OkStatus();
  };
}

class EstateTest : public ::testing::Test {
 protected:
  EstateTest()
      : inventory_(&files_.store(), &files_.vault(), &files_.clock()),
        events_(&files_.store(), &files_.vault(), &files_.clock(), files_.directory()),
        estate_(&connector_, &inventory_, &events_, &files_.clock()) {
    events_.OnEvent([this](const drover::v1::Event& event) {
      absl::MutexLock lock(&mutex_);
      told_.push_back(
          absl::StrCat(event.kind(), " ", event.vm().empty() ? event.subject() : event.vm()));
    });
    inventory_.OnChange([this](absl::string_view name, bool) {
      if (name != kHost) return;
      HostState::State state = inventory_.GetHypervisor(kHost)->state();
      absl::MutexLock lock(&mutex_);
      state_ = state;
    });
  }
  ~EstateTest() override { estate_.Stop(); }

  void SetUp() override {
    ASSERT_TRUE(inventory_.Load().ok());
    ASSERT_TRUE(inventory_.AddEnvironment("prod", {}).ok());
    drover::v1::VmType type;
    type.set_template_("tpl-web");
    ASSERT_TRUE(inventory_.AddType("web", type).ok());
    drover::v1::Hypervisor hypervisor;
    hypervisor.set_url("https://esxi-1/sdk");
    hypervisor.set_user("root");
    hypervisor.set_password("right");
    ASSERT_TRUE(inventory_.AddHypervisor("esxi-1", hypervisor).ok());
    Vm vm;
    vm.set_name("vms/web-1");
    vm.set_uid("uid-1");
    vm.set_environment("environments/prod");
    vm.set_type("types/web");
    vm.set_hypervisor(kHost);
    vm.set_hypervisor_object("1");
    vm.set_instance_uuid("instance-1");
    vm.set_state(Vm::STATE_READY);
    ASSERT_TRUE(inventory_.AddVm(vm).ok());
  }

  std::vector<std::string> Told() {
    absl::MutexLock lock(&mutex_);
    return std::exchange(told_, {});
  }
  void AwaitState(HostState::State state) {
    absl::MutexLock lock(&mutex_);
    auto there = [&]() ABSL_NO_THREAD_SAFETY_ANALYSIS { return state_ == state; };
    mutex_.Await(absl::Condition(&there));
  }

  static constexpr char kHost[] = "hypervisors/esxi-1";
  testing::TestStore files_;
  ScriptedConnector connector_;
  Inventory inventory_;
  EventLog events_;
  absl::Mutex mutex_;
  std::vector<std::string> told_ ABSL_GUARDED_BY(mutex_);
  HostState::State state_ ABSL_GUARDED_BY(mutex_) = HostState::STATE_UNSPECIFIED;
  HypervisorEstate estate_;
};

TEST_F(EstateTest, TheModelFollowsTheHost) {
  connector_.host->Then(
      State({Seen("1", drover::v1::POWER_STATE_OFF), Seen("2", drover::v1::POWER_STATE_ON)}));
  ASSERT_TRUE(estate_.Start().ok());
  connector_.host->AwaitIdle();
  auto vm = inventory_.GetVm("vms/web-1");
  EXPECT_EQ(vm->power(), drover::v1::POWER_STATE_OFF);
  EXPECT_EQ(vm->cpus(), 4);
  EXPECT_EQ(vm->reported_ip(), "10.0.9.9");
  auto hypervisor = inventory_.GetHypervisor(kHost);
  EXPECT_EQ(hypervisor->state(), HostState::STATE_CONNECTED);
  EXPECT_THAT(hypervisor->templates(), ElementsAre("tpl-web"));
  EXPECT_EQ(hypervisor->product(), "VMware ESXi 8.0.3");
  EXPECT_TRUE(estate_.Connection(kHost).ok());
  auto unmanaged = estate_.ListUnmanaged({});
  ASSERT_EQ(unmanaged->vms_size(), 1);
  EXPECT_EQ(unmanaged->vms(0).hypervisor_object(), "2");
  connector_.host->Then([](InventorySink& sink) {
    sink.OnVm(InventoryChange::kPresent, Seen("1", drover::v1::POWER_STATE_ON));
    return absl::OkStatus();
  });
  connector_.host->AwaitIdle();
  EXPECT_EQ(inventory_.GetVm("vms/web-1")->power(), drover::v1::POWER_STATE_ON);
  // What was not known before is no event.
  EXPECT_THAT(Told(), ElementsAre("hypervisor.connected hypervisors/esxi-1", "vm.power vms/web-1"));
}

TEST_F(EstateTest, WhatATypeIsCopiedFromIsATemplate) {
  HypervisorVm golden = Seen("2", drover::v1::POWER_STATE_OFF);
  golden.set_name("tpl-web");
  connector_.host->Then(State({golden, Seen("3", drover::v1::POWER_STATE_OFF)}));
  ASSERT_TRUE(estate_.Start().ok());
  connector_.host->AwaitIdle();
  const auto unmanaged = estate_.ListUnmanaged({});
  ASSERT_EQ(unmanaged->vms_size(), 2);
  EXPECT_TRUE(unmanaged->vms(0).is_template());
  EXPECT_FALSE(unmanaged->vms(1).is_template());
}

TEST_F(EstateTest, AVmThatGoesIsMissingUntilItIsBack) {
  connector_.host->Then(State({Seen("1", drover::v1::POWER_STATE_ON)}));
  connector_.host->Then([](InventorySink& sink) {
    sink.OnVm(InventoryChange::kGone, Seen("1", drover::v1::POWER_STATE_ON));
    return absl::OkStatus();
  });
  ASSERT_TRUE(estate_.Start().ok());
  connector_.host->AwaitIdle();
  EXPECT_EQ(inventory_.GetVm("vms/web-1")->state(), Vm::STATE_MISSING);
  // Registered anew: another object id, the same VM.
  connector_.host->Then([](InventorySink& sink) {
    HypervisorVm again = Seen("7", drover::v1::POWER_STATE_OFF);
    again.set_instance_uuid("instance-1");
    sink.OnVm(InventoryChange::kPresent, again);
    return absl::OkStatus();
  });
  connector_.host->AwaitIdle();
  auto vm = inventory_.GetVm("vms/web-1");
  EXPECT_EQ(vm->state(), Vm::STATE_READY);
  EXPECT_EQ(vm->hypervisor_object(), "7");
  EXPECT_EQ(inventory_.VmOfObject(kHost, "1"), "");
  EXPECT_THAT(Told(), ElementsAre("hypervisor.connected hypervisors/esxi-1", "vm.missing vms/web-1",
                                  "vm.found vms/web-1"));
}

TEST_F(EstateTest, ACopyBehindOurBackIsNotTheOriginal) {
  HypervisorVm copy = Seen("2", drover::v1::POWER_STATE_OFF);
  copy.set_drover_uid("uid-1");
  connector_.host->Then(State({Seen("1", drover::v1::POWER_STATE_ON), copy}));
  ASSERT_TRUE(estate_.Start().ok());
  connector_.host->AwaitIdle();
  EXPECT_EQ(inventory_.GetVm("vms/web-1")->hypervisor_object(), "1");
  EXPECT_EQ(inventory_.GetVm("vms/web-1")->power(), drover::v1::POWER_STATE_ON);
}

TEST_F(EstateTest, ALostHostIsToldOnceAndTriedAgain) {
  connector_.host->Then(State({Seen("1", drover::v1::POWER_STATE_ON)}));
  connector_.host->Then([](InventorySink&) { return absl::UnavailableError("cable cut"); });
  ASSERT_TRUE(estate_.Start().ok());
  AwaitState(HostState::STATE_UNREACHABLE);
  absl::Status away = estate_.Connection(kHost).status();
  EXPECT_EQ(away.code(), absl::StatusCode::kUnavailable);
  EXPECT_EQ(ReasonOf(away), "HYPERVISOR_UNREACHABLE");
  EXPECT_THAT(std::string(away.message()), HasSubstr("cable cut"));
  EXPECT_EQ(inventory_.GetVm("vms/web-1")->state(), Vm::STATE_READY);
  // It fails a few times more, and that is nothing new. Two threads sleep: the one that follows
  // and the one that keeps the facts.
  connector_.host->SetDescribe(absl::UnavailableError("still cut"));
  int before = connector_.host->describes();
  for (int attempt = 0; attempt < 3; ++attempt) {
    files_.clock().WaitForSleepers(2);
    files_.clock().AdvanceToNextSleeper();
  }
  files_.clock().WaitForSleepers(2);
  EXPECT_EQ(connector_.host->describes(), before + 3);
  connector_.host->SetDescribe(absl::OkStatus());
  // It is back, with the VM powered off meanwhile.
  connector_.host->Then(State({Seen("1", drover::v1::POWER_STATE_OFF)}));
  files_.clock().AdvanceToNextSleeper();
  AwaitState(HostState::STATE_CONNECTED);
  connector_.host->AwaitIdle();
  EXPECT_TRUE(estate_.Connection(kHost).ok());
  EXPECT_THAT(Told(), ElementsAre("hypervisor.connected hypervisors/esxi-1",
                                  "hypervisor.lost hypervisors/esxi-1", "vm.power vms/web-1",
                                  "hypervisor.connected hypervisors/esxi-1"));
}

TEST_F(EstateTest, ARefusedLoginIsNotTriedAgainUntilItIsAnother) {
  absl::Status refused = MakeError(absl::StatusCode::kFailedPrecondition,
                                   "HYPERVISOR_LOGIN_REFUSED", "wrong password");
  connector_.host->SetDescribe(refused);
  ASSERT_TRUE(estate_.Start().ok());
  AwaitState(HostState::STATE_LOGIN_REFUSED);
  EXPECT_EQ(ReasonOf(estate_.Connection(kHost).status()), "HYPERVISOR_LOGIN_REFUSED");
  files_.clock().Advance(absl::Hours(1));
  files_.clock().WaitForSleepers(1);
  EXPECT_EQ(connector_.host->describes(), 1);
  connector_.host->SetDescribe(absl::OkStatus());
  connector_.host->Then(State({}));
  estate_.Refresh(kHost);
  AwaitState(HostState::STATE_CONNECTED);
}

TEST_F(EstateTest, AnotherCertificateIsAStateOfItsOwn) {
  connector_.host->SetDescribe(MakeError(absl::StatusCode::kFailedPrecondition,
                                         "CERTIFICATE_NOT_CONFIRMED", "another certificate"));
  ASSERT_TRUE(estate_.Start().ok());
  AwaitState(HostState::STATE_CERTIFICATE_CHANGED);
  EXPECT_EQ(ReasonOf(estate_.Connection(kHost).status()), "CERTIFICATE_NOT_CONFIRMED");
}

TEST_F(EstateTest, HypervisorsAreTestedBeforeTheyAreStored) {
  ASSERT_TRUE(estate_.Start().ok());
  drover::v1::Hypervisor hypervisor;
  hypervisor.set_url("https://esxi-2/sdk");
  hypervisor.set_user("root");
  hypervisor.set_password("wrong");
  EXPECT_EQ(ReasonOf(estate_.Add("esxi-2", hypervisor).status()), "HYPERVISOR_LOGIN_REFUSED");
  EXPECT_EQ(inventory_.Hypervisors().size(), 1);
  hypervisor.set_password("right");
  auto added = estate_.Add("esxi-2", hypervisor);
  ASSERT_TRUE(added.ok()) << added.status();
  EXPECT_EQ(added->kind(), HostState::KIND_ESXI);
  EXPECT_EQ(added->password(), "");
  // A remark needs no test, a password does; the stored one serves where none is given.
  hypervisor = drover::v1::Hypervisor();
  hypervisor.set_name("hypervisors/esxi-2");
  hypervisor.set_remark("rack 2");
  EXPECT_TRUE(estate_.Update(hypervisor, {}).ok());
  EXPECT_TRUE(estate_.Test(hypervisor).ok());
  hypervisor.set_password("wrong");
  EXPECT_EQ(ReasonOf(estate_.Update(hypervisor, {}).status()), "HYPERVISOR_LOGIN_REFUSED");
  EXPECT_EQ(inventory_.SecretsOfHypervisor("hypervisors/esxi-2")->password(), "right");
  EXPECT_TRUE(estate_.Remove("hypervisors/esxi-2").ok());
  EXPECT_EQ(ReasonOf(estate_.Connection("hypervisors/esxi-2").status()), "HYPERVISOR_NOT_FOUND");
  EXPECT_EQ(ReasonOf(estate_.Remove(kHost)), "HYPERVISOR_IN_USE");
}

}  // namespace
}  // namespace drover::core
