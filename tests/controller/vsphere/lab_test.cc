// The Hypervisor port against the lab's hosts, real copies and real guests: the same words for
// ESXi, vCenter and the free ESXi.
#include <atomic>
#include <thread>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "proto/support/status.h"
#include "tests/controller/vsphere/lab.h"

namespace drover::vsphere {
namespace {

using ::testing::Contains;
using ::testing::HasSubstr;
using ::testing::Not;
using ::testing::Property;

TEST_P(LabTest, DescribesTheHost) {
  auto facts = handle_->Describe();
  ASSERT_OK(facts.status());
  EXPECT_EQ(facts->kind(), GetParam() == "vcenter" ? drover::v1::Hypervisor::KIND_VCENTER
                                                   : drover::v1::Hypervisor::KIND_ESXI);
  EXPECT_THAT(facts->product(), HasSubstr("VMware"));
  ASSERT_EQ(facts->datastores_size(), 1);
  EXPECT_GT(facts->datastores(0).free_bytes(), 0);
  EXPECT_THAT(facts->networks(), Contains("VM Network"));
  EXPECT_THAT(facts->templates(),
              Contains(Property(&core::TemplateFacts::name, std::string("tpl-web"))));
}

TEST_P(LabTest, CopiesPowersAndEntersTheGuest) {
  core::CopySpec spec = Spec("web-1");
  spec.set_cpus(2);
  spec.set_memory_mb(512);
  RecordedStep step;
  ASSERT_OK(handle_->CheckCopy(spec));
  auto copied = handle_->Copy(spec, step);
  ASSERT_OK(copied.status());
  EXPECT_EQ(copied->cpus(), 2);
  EXPECT_EQ(copied->memory_mb(), 512);
  EXPECT_FALSE(copied->bios_uuid().empty());
  EXPECT_EQ(copied->port_group(), "VM Network");
  // The same again finds it done.
  auto again = handle_->Copy(spec, step);
  ASSERT_OK(again.status());
  EXPECT_EQ(again->object(), copied->object());

  const std::string& vm = copied->object();
  ASSERT_OK(handle_->PowerOn(vm, step));
  ASSERT_OK(handle_->PowerOn(vm, step));
  ASSERT_OK(handle_->WaitForTools(vm, absl::Seconds(60), step));
  ASSERT_OK(handle_->CheckGuestLogin(vm, Login()));
  core::GuestLogin wrong = Login();
  wrong.set_password("wrong");
  EXPECT_TRUE(HasReason(handle_->CheckGuestLogin(vm, wrong), "GUEST_LOGIN_REFUSED"));

  std::string contents(300000, 'x');
  contents += "<&\"end";
  ASSERT_OK(handle_->WriteGuestFile(vm, Login(), "/opt/drover/test/data", contents, 0644, step));
  auto read = handle_->ReadGuestFile(vm, Login(), "/opt/drover/test/data", step);
  ASSERT_OK(read.status());
  EXPECT_EQ(*read, contents);
  auto code = handle_->RunInGuest(vm, Login(), "/bin/sh", "-c 'exit 7'", absl::Seconds(30), step);
  ASSERT_OK(code.status());
  EXPECT_EQ(*code, 7);
  code = handle_->RunInGuest(vm, Login(), "/bin/true", "", absl::Seconds(30), step);
  ASSERT_OK(code.status());
  EXPECT_EQ(*code, 0);
  code = handle_->RunInGuest(vm, Login(), "/bin/sleep", "100", absl::Seconds(1), step);
  EXPECT_TRUE(absl::IsDeadlineExceeded(code.status())) << code.status();

  auto state = handle_->GetVm(vm);
  ASSERT_OK(state.status());
  EXPECT_EQ(state->power(), drover::v1::POWER_STATE_ON);
  EXPECT_TRUE(state->tools_running());
  EXPECT_EQ(state->drover_uid(), spec.uid());

  ASSERT_OK(handle_->Restart(vm, false, step));
  ASSERT_OK(handle_->WaitForTools(vm, absl::Seconds(60), step));
  ASSERT_OK(handle_->PowerOff(vm, absl::Seconds(30), step));
  ASSERT_OK(handle_->PowerOff(vm, absl::Seconds(30), step));
  core::HardwareChange change;
  change.set_cpus(4);
  change.set_memory_mb(1024);
  ASSERT_OK(handle_->SetHardware(vm, change, step));
  state = handle_->GetVm(vm);
  ASSERT_OK(state.status());
  EXPECT_EQ(state->cpus(), 4);
  EXPECT_EQ(state->memory_mb(), 1024);
  ASSERT_OK(handle_->Destroy(vm, step));
  ASSERT_OK(handle_->Destroy(vm, step));
  EXPECT_TRUE(HasReason(handle_->GetVm(vm).status(), "VM_NOT_FOUND"));
}

TEST_P(LabTest, RefusesBeforeAnyWrite) {
  struct Row {
    std::string name;
    std::string reason;
    std::function<void(core::CopySpec&)> spoil;
  };
  const Row rows[] = {
      {"template", "TEMPLATE_NOT_FOUND", [](auto& spec) { spec.set_template_("none"); }},
      {"datastore", "DATASTORE_NOT_FOUND", [](auto& spec) { spec.set_datastore("none"); }},
      {"network", "NETWORK_NOT_FOUND", [](auto& spec) { spec.set_port_group("none"); }},
      {"name", "VM_NAME_TAKEN", [](auto& spec) { spec.set_vm_name("tpl-mysql"); }},
  };
  Lab(absl::StrCat("calls ", host_->name, " --reset"));
  for (const Row& row : rows) {
    core::CopySpec spec = Spec("never");
    row.spoil(spec);
    absl::Status status = handle_->CheckCopy(spec);
    EXPECT_TRUE(HasReason(status, row.reason)) << row.name << ": " << status;
  }
  std::string calls = Lab(absl::StrCat("calls ", host_->name));
  for (const char* write : {"CloneVM_Task", "CreateVM_Task", "CopyVirtualDisk_Task", "Reconfig",
                            "MakeDirectory", "RegisterVM"}) {
    EXPECT_THAT(calls, Not(HasSubstr(write)));
  }
}

class Recorder : public core::InventorySink {
 public:
  void OnReset() override {
    absl::MutexLock lock(&mutex_);
    vms_.clear();
    synced_ = false;
    ++resets_;
  }
  void OnVm(core::InventoryChange change, const core::HypervisorVm& vm) override {
    absl::MutexLock lock(&mutex_);
    if (change == core::InventoryChange::kGone) {
      vms_.erase(vm.object());
    } else {
      vms_[vm.object()] = vm;
    }
  }
  void OnSynced() override {
    absl::MutexLock lock(&mutex_);
    synced_ = true;
  }
  void OnEnd(const absl::Status& status) {
    absl::MutexLock lock(&mutex_);
    ended_ = status;
  }
  // Returns true when it holds for the VMs, false when following ended before; the runner's time
  // limit ends what never does either.
  bool Await(const std::function<bool(const std::map<std::string, core::HypervisorVm>&)>& holds) {
    absl::MutexLock lock(&mutex_);
    auto now = [&]() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_) {
      return !ended_.ok() || (synced_ && holds(vms_));
    };
    mutex_.Await(absl::Condition(&now));
    EXPECT_TRUE(ended_.ok()) << ended_;
    return ended_.ok();
  }
  bool AwaitReset(int count) {
    absl::MutexLock lock(&mutex_);
    auto now = [&]() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_) {
      return !ended_.ok() || (resets_ >= count && synced_);
    };
    mutex_.Await(absl::Condition(&now));
    EXPECT_TRUE(ended_.ok()) << ended_;
    return ended_.ok();
  }

 private:
  absl::Mutex mutex_;
  std::map<std::string, core::HypervisorVm> vms_ ABSL_GUARDED_BY(mutex_);
  bool synced_ ABSL_GUARDED_BY(mutex_) = false;
  int resets_ ABSL_GUARDED_BY(mutex_) = 0;
  absl::Status ended_ ABSL_GUARDED_BY(mutex_);
};

// A follower on a thread of its own, ended when it goes.
class Following {
 public:
  explicit Following(core::Hypervisor& hypervisor)
      : thread_([this, &hypervisor] { seen.OnEnd(hypervisor.Follow(seen, stop_.get_token())); }) {}
  ~Following() {
    stop_.request_stop();
    thread_.join();
  }
  Recorder seen;

 private:
  std::stop_source stop_;
  std::thread thread_;
};

TEST_P(LabTest, FollowsWhatHappens) {
  RecordedStep step;
  Following following(*handle_);
  Recorder& seen = following.seen;
  auto listed = handle_->ListVms();
  ASSERT_OK(listed.status());
  ASSERT_TRUE(seen.Await([&](const auto& vms) { return vms.size() == listed->size(); }));

  auto copied = handle_->Copy(Spec("web-2"), step);
  ASSERT_OK(copied.status());
  const std::string object = copied->object();
  ASSERT_TRUE(seen.Await([&](const auto& vms) {
    auto it = vms.find(object);
    return it != vms.end() && it->second.drover_uid() == "uid-web-2" &&
           it->second.port_group() == "VM Network";
  }));
  ASSERT_OK(handle_->PowerOn(object, step));
  ASSERT_TRUE(seen.Await([&](const auto& vms) {
    const auto& vm = vms.at(object);
    return vm.power() == drover::v1::POWER_STATE_ON && vm.tools_running();
  }));
  auto code = handle_->RunInGuest(object, Login(), "/bin/sh",
                                  "-c 'ip addr add 10.213.77.1/16 dev eth0 && ip link set eth0 up'",
                                  absl::Seconds(30), step);
  ASSERT_OK(code.status());
  EXPECT_EQ(*code, 0);
  ASSERT_TRUE(seen.Await([&](const auto& vms) { return vms.at(object).ip() == "10.213.77.1"; }));
  // Somebody ends all sessions: it goes on with a new one.
  Lab(absl::StrCat("expire ", host_->name));
  ASSERT_TRUE(seen.AwaitReset(2));
  ASSERT_OK(handle_->DiscardCopy(Spec("web-2"), step));
  ASSERT_TRUE(seen.Await([&](const auto& vms) { return vms.count(object) == 0; }));
}

INSTANTIATE_TEST_SUITE_P(Hosts, LabTest, ::testing::Values("esxi", "vcenter", "free"),
                         [](const auto& info) { return info.param; });

}  // namespace
}  // namespace drover::vsphere
