#include "proto/support/json.h"

#include "drover/v1/inventory.pb.h"
#include "google/protobuf/util/message_differencer.h"
#include "gtest/gtest.h"

namespace drover {
namespace {

TEST(Json, IsWrittenAsEveryFaceShowsIt) {
  v1::Datastore datastore;
  datastore.set_name("d");
  datastore.set_capacity_bytes(5'000'000'000);
  EXPECT_EQ(*ToJson(datastore),
            R"({"name":"d","capacityBytes":"5000000000","freeBytes":"0","accessible":false})");
  v1::Vm vm;
  vm.mutable_create_time()->set_seconds(1767323045);
  vm.set_power(v1::POWER_STATE_ON);
  const std::string json = *ToJson(vm);
  EXPECT_NE(json.find(R"("createTime":"2026-01-02T03:04:05Z")"), std::string::npos);
  EXPECT_NE(json.find(R"("power":"POWER_STATE_ON")"), std::string::npos);
}

TEST(Json, GoesRoundTrip) {
  v1::Vm vm;
  vm.set_name("vms/a");
  vm.set_remark("中文 \"quoted\"\n");
  vm.mutable_network()->set_ip("10.0.0.1");
  vm.add_services()->set_state(v1::ServiceStatus::STATE_RUNNING);
  v1::Vm again;
  ASSERT_TRUE(FromJson(*ToJson(vm, true), &again).ok());
  EXPECT_TRUE(google::protobuf::util::MessageDifferencer::Equals(vm, again));
}

TEST(Json, BothSpellingsAreTaken) {
  v1::Vm vm;
  ASSERT_TRUE(FromJson(R"({"memory_mb": 1})", &vm).ok());
  ASSERT_TRUE(FromJson(R"({"memoryMb": 2})", &vm).ok());
  EXPECT_EQ(vm.memory_mb(), 2);
}

TEST(Json, IsReadStrictly) {
  for (const char* wrong : {R"({"nam": "x"})", R"({"cpus": "many"})", R"({"power": "NOPE"})",
                            R"({"name": )", "[]", ""}) {
    v1::Vm vm;
    EXPECT_TRUE(absl::IsInvalidArgument(FromJson(wrong, &vm))) << wrong;
  }
  v1::Vm vm;
  EXPECT_NE(std::string(FromJson(R"({"nam": "x"})", &vm).message()).find("nam"), std::string::npos);
}

TEST(ClearSecrets, AtAnyDepth) {
  v1::CreateHypervisorRequest request;
  request.mutable_hypervisor()->set_user("root");
  request.mutable_hypervisor()->set_password("canary");
  request.mutable_hypervisor()->mutable_ssh()->set_password("canary");
  ClearSecrets(&request);
  EXPECT_EQ(request.SerializeAsString().find("canary"), std::string::npos);
  EXPECT_EQ(request.hypervisor().user(), "root");
  v1::ListTypesResponse types;
  types.add_types()->add_working_copies()->set_password("canary");
  ClearSecrets(&types);
  EXPECT_EQ(types.SerializeAsString().find("canary"), std::string::npos);
}

}  // namespace
}  // namespace drover
