// The lab as the vSphere adapter's tests see it: its hosts, its levers, and a step that remembers.
//
// Thread promise: none; one test, one thread, but StepContext and clock as their ports say.
#pragma once

#include <map>
#include <memory>
#include <stop_token>
#include <string>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/string_view.h"
#include "absl/synchronization/mutex.h"
#include "controller/core/ports.h"
#include "controller/vsphere/connector.h"
#include "gtest/gtest.h"

namespace drover::vsphere {

// The machine's time.
class MachineClock : public core::Clock {
 public:
  absl::Time Now() const override;
  absl::Status Sleep(absl::Duration duration, std::stop_token stop) override;
};

// A step's memory as an operation would keep it.
class RecordedStep : public core::StepContext {
 public:
  void Report(int percent, absl::string_view detail) override;
  absl::Status Remember(absl::string_view key, absl::string_view value) override;
  std::string Recall(absl::string_view key) override;
  std::stop_token stop() const override { return stop_.get_token(); }

  void Cancel() { stop_.request_stop(); }
  // As after a restart: the memory stays, the wish to stop does not.
  void Revive() { stop_ = std::stop_source(); }
  std::vector<absl::Time> reports() const;

 private:
  mutable absl::Mutex mutex_;
  std::map<std::string, std::string> memory_ ABSL_GUARDED_BY(mutex_);
  std::vector<absl::Time> reports_ ABSL_GUARDED_BY(mutex_);
  std::stop_source stop_;
};

struct LabHost {
  std::string name;
  // esxi, vcenter or free.
  std::string kind;
  drover::v1::Hypervisor hypervisor;
  core::HypervisorSecrets secrets;
};

// All hosts of the lab this runs in; the test fails when there is none.
std::vector<LabHost> LabHosts();
// Runs `lab WORDS` and gives its output; exit code by `code` when wanted, else it must be 0.
std::string Lab(const std::string& words, int* code = nullptr);

#define ASSERT_OK(expression)                              \
  do {                                                     \
    absl::Status the_status = (expression);                \
    ASSERT_TRUE(the_status.ok()) << the_status.ToString(); \
  } while (false)

// A handle to the host of one kind, and proof that nothing is left of a test.
class LabTest : public ::testing::TestWithParam<std::string> {
 protected:
  void SetUp() override {
    for (auto& host : LabHosts()) {
      if (host.kind == GetParam()) host_ = std::make_unique<LabHost>(host);
    }
    if (host_ == nullptr) GTEST_SKIP() << "this lab has no " << GetParam();
    Lab(absl::StrCat("faults ", host_->name, " clear"));
    connector_ = std::make_unique<VsphereConnector>(&clock_, "lab-test");
    handle_ = connector_->Open(host_->hypervisor, host_->secrets);
  }
  void TearDown() override {
    if (host_ == nullptr) return;
    handle_.reset();
    int code = 0;
    std::string left = Lab(absl::StrCat("leftovers ", host_->name), &code);
    EXPECT_EQ(code, 0) << "left behind: " << left;
  }

  core::CopySpec Spec(const std::string& name) {
    core::CopySpec spec;
    spec.set_vm_name(name);
    spec.set_uid(absl::StrCat("uid-", name));
    spec.set_template_("tpl-web");
    return spec;
  }
  core::GuestLogin Login() {
    core::GuestLogin login;
    login.set_user("root");
    login.set_password("template");
    return login;
  }

  MachineClock clock_;
  std::unique_ptr<LabHost> host_;
  std::unique_ptr<VsphereConnector> connector_;
  std::shared_ptr<core::Hypervisor> handle_;
};

}  // namespace drover::vsphere
