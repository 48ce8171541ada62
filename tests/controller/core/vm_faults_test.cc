// Hypervisor call N fails, for every N; and the controller dies after every recorded step, for
// every step: nothing but a whole VM or nothing at all is left (P3, P8).
#include <functional>

#include "absl/strings/str_cat.h"
#include "controller/core/operation_record.h"
#include "gtest/gtest.h"
#include "proto/support/status.h"
#include "tests/controller/core/vm_test_bench.h"

namespace drover::core {
namespace {

using drover::v1::Operation;

absl::Status Broken() { return MakeError(absl::StatusCode::kInternal, "BROKEN", "the host broke"); }

class VmFaultsTest : public ::testing::Test {
 protected:
  // Runs what `submit` begins with call 1, 2, ... failing, until a run sees no failure.
  void ForEveryCall(const std::function<absl::StatusOr<Operation>()>& submit,
                    const std::function<void(const Operation& failed)>& after_failure,
                    const std::function<void()>& after_success) {
    for (const bool late : {false, true}) {
      for (int call = 1;; ++call) {
        SCOPED_TRACE(absl::StrCat("call ", call, late ? " took effect" : " did nothing"));
        ASSERT_LT(call, 100);
        bench_.host().FailCall(call, Broken(), late);
        const Operation ended = bench_.AwaitEnd(submit(), /*tick=*/true);
        const bool reached = bench_.host().calls() >= call;
        bench_.host().ResetCalls();
        if (ended.state() == Operation::STATE_SUCCEEDED) {
          after_success();
          if (!reached) break;
          continue;
        }
        EXPECT_TRUE(reached);
        ASSERT_EQ(ended.state(), Operation::STATE_FAILED);
        EXPECT_NE(ended.error().message().find("the host broke"), std::string::npos)
            << ended.error().message();
        after_failure(ended);
      }
    }
  }
  absl::StatusOr<Operation> Import() {
    drover::v1::ImportVmRequest request;
    request.set_vm_id("legacy");
    request.set_hypervisor("hypervisors/esx1");
    request.set_hypervisor_object(object_);
    request.set_environment("environments/prod");
    request.set_type("types/web");
    request.set_guest_user("root");
    request.set_guest_password(testing::FakeHypervisor::kTemplatePassword);
    auto operation = bench_.operations().import().Operation(request);
    if (!operation.ok()) return operation.status();
    return bench_.runner().Submit(*std::move(operation));
  }
  // A controller that dies with the store refusing after `writes` more writes, and starts again.
  // False when the operation ended before.
  bool DieAfter(int writes, const std::function<absl::StatusOr<Operation>()>& submit,
                std::string* name) {
    bench_.store().DieAfterWrites(writes);
    const absl::StatusOr<Operation> operation = submit();
    if (!operation.ok()) {
      // Not even recorded.
      *name = "";
    } else {
      *name = operation->name();
      bench_.AwaitEndOrDeath(*name);
    }
    const bool died = bench_.store().died();
    bench_.Stop();
    bench_.store().Revive();
    bench_.Start();
    return died;
  }

  VmTestBench bench_;
  std::string object_;
};

TEST_F(VmFaultsTest, CreateWithEveryCallFailing) {
  ForEveryCall([&] { return bench_.Create("web-01", "10.0.0.15"); },
               [&](const Operation&) { EXPECT_EQ(bench_.WhatIsLeft("web-01", "10.0.0.15"), ""); },
               [&] {
                 EXPECT_EQ(bench_.WhyNotComplete("web-01"), "");
                 EXPECT_EQ(bench_.AwaitEnd(bench_.Delete("web-01")).state(),
                           Operation::STATE_SUCCEEDED);
               });
}

TEST_F(VmFaultsTest, DeleteWithEveryCallFailing) {
  ASSERT_EQ(bench_.AwaitEnd(bench_.Create("web-01", "10.0.0.15")).state(),
            Operation::STATE_SUCCEEDED);
  ForEveryCall([&] { return bench_.Delete("web-01"); },
               [&](const Operation&) {
                 // It is there to be tried again, whatever was done.
                 EXPECT_TRUE(bench_.inventory().GetVm("vms/web-01").ok());
                 EXPECT_EQ(bench_.AwaitEnd(bench_.Delete("web-01")).state(),
                           Operation::STATE_SUCCEEDED);
                 EXPECT_EQ(bench_.WhatIsLeft("web-01", "10.0.0.15"), "");
                 bench_.AwaitEnd(bench_.Create("web-01", "10.0.0.15"));
               },
               [&] {
                 EXPECT_EQ(bench_.WhatIsLeft("web-01", "10.0.0.15"), "");
                 bench_.AwaitEnd(bench_.Create("web-01", "10.0.0.15"));
               });
}

TEST_F(VmFaultsTest, ImportWithEveryCallFailing) {
  object_ = bench_.host().AddVm("old-box", true, "10.0.0.30");
  ForEveryCall([&] { return Import(); },
               [&](const Operation&) {
                 EXPECT_FALSE(bench_.inventory().GetVm("vms/legacy").ok());
                 EXPECT_TRUE(bench_.agents().Known().empty());
                 EXPECT_EQ(bench_.host().Vm("old-box").object(), object_);
               },
               [&] {
                 EXPECT_TRUE(bench_.inventory().GetVm("vms/legacy").ok());
                 EXPECT_TRUE(bench_.operations().import().Forget("vms/legacy").ok());
               });
}

TEST_F(VmFaultsTest, HardwareWithEveryCallFailing) {
  bench_.AwaitEnd(bench_.Create("web-01", "10.0.0.15"));
  int memory = 1024;
  const auto submit = [&]() -> absl::StatusOr<Operation> {
    drover::v1::SetVmHardwareRequest request;
    request.set_name("vms/web-01");
    request.set_memory_mb(memory);
    return bench_.runner().Submit(*bench_.operations().hardware().Operation(request));
  };
  ForEveryCall(
      submit,
      [&](const Operation&) {
        EXPECT_EQ(bench_.AwaitEnd(submit()).state(), Operation::STATE_SUCCEEDED);
        EXPECT_EQ(bench_.inventory().GetVm("vms/web-01")->memory_mb(), memory);
        memory += 1024;
      },
      [&] {
        EXPECT_EQ(bench_.inventory().GetVm("vms/web-01")->memory_mb(), memory);
        memory += 1024;
      });
}

TEST_F(VmFaultsTest, CrashAtEveryWriteOfCreate) {
  for (int writes = 0;; ++writes) {
    SCOPED_TRACE(absl::StrCat(writes, " writes"));
    ASSERT_LT(writes, 100);
    std::string name;
    const bool died = DieAfter(
        writes, [&] { return bench_.Create("web-01", "10.0.0.15"); }, &name);
    if (name.empty()) {
      EXPECT_EQ(bench_.WhatIsLeft("web-01", "10.0.0.15"), "");
      continue;
    }
    const Operation ended = bench_.AwaitEnd(bench_.runner().Get(name), /*tick=*/true);
    EXPECT_EQ(ended.state(), Operation::STATE_SUCCEEDED) << ended.DebugString();
    EXPECT_EQ(bench_.WhyNotComplete("web-01"), "");
    EXPECT_EQ(bench_.host().VmNames().size(), 1u);
    EXPECT_EQ(bench_.AwaitEnd(bench_.Delete("web-01")).state(), Operation::STATE_SUCCEEDED);
    EXPECT_EQ(bench_.WhatIsLeft("web-01", "10.0.0.15"), "");
    if (!died) break;
  }
}

TEST_F(VmFaultsTest, CrashAtEveryWriteOfDelete) {
  for (int writes = 0;; ++writes) {
    SCOPED_TRACE(absl::StrCat(writes, " writes"));
    ASSERT_LT(writes, 100);
    bench_.AwaitEnd(bench_.Create("web-01", "10.0.0.15"));
    std::string name;
    const bool died = DieAfter(
        writes, [&] { return bench_.Delete("web-01"); }, &name);
    const Operation ended = bench_.AwaitEnd(
        name.empty() ? bench_.Delete("web-01") : bench_.runner().Get(name), /*tick=*/true);
    EXPECT_EQ(ended.state(), Operation::STATE_SUCCEEDED) << ended.DebugString();
    EXPECT_EQ(bench_.WhatIsLeft("web-01", "10.0.0.15"), "");
    if (!died) break;
  }
}

// The controller dies while it undoes.
TEST_F(VmFaultsTest, CrashAtEveryWriteOfAFailingCreate) {
  for (int writes = 1;; ++writes) {
    SCOPED_TRACE(absl::StrCat(writes, " writes"));
    ASSERT_LT(writes, 100);
    bench_.agents().KeepAway(true);
    bench_.host().FailMethod("RunInGuest", Broken());
    std::string name;
    const bool died = DieAfter(
        writes, [&] { return bench_.Create("web-01", "10.0.0.15"); }, &name);
    if (name.empty()) continue;
    const Operation ended = bench_.AwaitEnd(bench_.runner().Get(name), /*tick=*/true);
    EXPECT_EQ(ended.state(), Operation::STATE_FAILED) << ended.DebugString();
    EXPECT_EQ(bench_.WhatIsLeft("web-01", "10.0.0.15"), "");
    if (!died) break;
  }
}

}  // namespace
}  // namespace drover::core
