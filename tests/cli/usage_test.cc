// vm top and vm samples.
#include "drover/v1/guest.pb.h"
#include "drover/v1/inventory.pb.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/cli/drover_run.h"
#include "tests/cli/test_certificates.h"

namespace drover::cli {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;

class UsageTest : public testing::DroverTest {
 protected:
  UsageTest() { SignIn(); }
};

TEST_F(UsageTest, TopAsksForTheBusiestThatRun) {
  v1::ListVmsResponse response;
  v1::Vm& vm = *response.add_vms();
  vm.set_name("vms/web-01");
  vm.set_environment("environments/shop");
  vm.set_type("types/web");
  vm.set_cpu_percent(93.5);
  vm.set_memory_mb(1024);
  vm.set_memory_used_mb(512);
  vm.set_disk_used_mb(3000);
  controller_.Answer("InventoryService/ListVms", response);
  const testing::Ran ran = Run({"vm", "top", "--env", "shop"});
  EXPECT_EQ(ran.exit_code, 0) << ran.err;
  EXPECT_THAT(ran.out, HasSubstr("web-01"));
  EXPECT_THAT(ran.out, HasSubstr(" 93.5% [######### ]"));
  EXPECT_THAT(ran.out, HasSubstr("512/1024   MB  50.0%"));
  const auto request = controller_.LastRequest<v1::ListVmsRequest>("InventoryService/ListVms");
  EXPECT_EQ(request.order_by(), "cpu desc");
  EXPECT_THAT(request.environments(), ElementsAre("environments/shop"));
  EXPECT_THAT(request.power(), ElementsAre(v1::POWER_STATE_ON));
  Run({"vm", "top", "--memory", "-o", "json"});
  EXPECT_EQ(controller_.LastRequest<v1::ListVmsRequest>("InventoryService/ListVms").order_by(),
            "memory desc");
}

TEST_F(UsageTest, SamplesAreRows) {
  v1::QuerySamplesResponse response;
  v1::SamplePoint& point = *response.add_points();
  point.mutable_time()->set_seconds(1767225600);
  point.set_cpu_percent(12.34);
  point.set_cpu_percent_max(50);
  point.set_memory_used_mb(700.4);
  response.set_step_seconds(20);
  controller_.Answer("GuestService/QuerySamples", response);
  const testing::Ran ran =
      Run({"vm", "samples", "web-01", "--points", "10", "--since", "1h", "-o", "csv"});
  EXPECT_EQ(ran.exit_code, 0) << ran.err;
  EXPECT_THAT(ran.out, HasSubstr("12.3%"));
  EXPECT_THAT(ran.out, HasSubstr("700"));
  const auto request =
      controller_.LastRequest<v1::QuerySamplesRequest>("GuestService/QuerySamples");
  EXPECT_EQ(request.name(), "vms/web-01");
  EXPECT_EQ(request.max_points(), 10);
  EXPECT_TRUE(request.has_start_time());
}

}  // namespace
}  // namespace drover::cli
