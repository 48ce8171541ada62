#include "controller/api/request_check.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <limits>
#include <memory>
#include <string>
#include <vector>

#include "controller/api/shapes.h"
#include "drover/v1/activity.pb.h"
#include "drover/v1/inventory.pb.h"
#include "drover/v1/people.pb.h"
#include "proto/support/contract.h"
#include "proto/support/json.h"
#include "proto/support/status.h"

namespace drover::api {
namespace {

using google::protobuf::DescriptorPool;
using google::protobuf::Message;
using ::testing::ElementsAreArray;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::Not;

std::unique_ptr<Message> Parse(const std::string& type, const std::string& json) {
  const auto* descriptor =
      DescriptorPool::generated_pool()->FindMessageTypeByName("drover.v1." + type);
  EXPECT_NE(descriptor, nullptr) << type;
  std::unique_ptr<Message> message = NewMessage(*descriptor);
  const absl::Status status = FromJson(json, message.get());
  EXPECT_TRUE(status.ok()) << status << "\n" << json;
  return message;
}

std::vector<std::string> FieldsOf(const absl::Status& status) {
  std::vector<std::string> fields;
  const google::rpc::BadRequest bad = ViolationsOf(status);
  for (const auto& violation : bad.field_violations()) {
    fields.push_back(violation.field());
  }
  return fields;
}

struct CheckCase {
  const char* name;
  const char* type;
  const char* request;
  // Paths of the violations; empty = the request is fine.
  std::vector<std::string> violations;
};

class RequestCheck : public ::testing::TestWithParam<CheckCase> {};

TEST_P(RequestCheck, NamesEveryWrongField) {
  const std::unique_ptr<Message> request = Parse(GetParam().type, GetParam().request);
  const absl::Status status = CheckRequest(request.get());
  EXPECT_THAT(FieldsOf(status), ElementsAreArray(GetParam().violations)) << status;
  EXPECT_EQ(status.ok(), GetParam().violations.empty());
  if (!status.ok()) {
    EXPECT_TRUE(absl::IsInvalidArgument(status));
  }
}

constexpr char kGoodVm[] = R"("vm": {"environment": "environments/prod", "type": "types/web"})";

const CheckCase kChecks[] = {
    {"empty_request", "GetVmRequest", "{}", {"name"}},
    {"name_of_collection", "GetVmRequest", R"({"name": "vms/web-01"})", {}},
    {"name_of_other_collection", "GetVmRequest", R"({"name": "types/web"})", {"name"}},
    {"name_without_id", "GetVmRequest", R"({"name": "vms/"})", {"name"}},
    {"name_with_more_parts", "GetVmRequest", R"({"name": "vms/a/b"})", {"name"}},
    {"name_with_odd_characters", "GetVmRequest", R"({"name": "vms/a b"})", {"name"}},
    {"all_at_once",
     "CreateVmRequest",
     R"({"vm": {"network": {"ip": "1.2.3", "netmask": "255.0.255.0"}, "cpus": 129}})",
     {"vm_id", "vm.environment", "vm.type", "vm.network.ip", "vm.network.netmask", "vm.cpus"}},
    {"missing_message", "CreateVmRequest", R"({"vmId": "web-01"})", {"vm"}},
    {"negative_hardware",
     "SetVmHardwareRequest",
     R"({"name": "vms/a", "memoryMb": -5})",
     {"memory_mb"}},
    {"zero_means_unset", "SetVmHardwareRequest", R"({"name": "vms/a", "memoryMb": 0})", {}},
    {"page_too_large", "ListVmsRequest", R"({"pageSize": 1001})", {"page_size"}},
    {"page_negative", "ListVmsRequest", R"({"pageSize": -1})", {"page_size"}},
    {"page_full", "ListVmsRequest", R"({"pageSize": 1000})", {}},
    {"list_without_entries", "PowerVmsRequest", R"({"action": "POWER_ACTION_ON"})", {"names"}},
    {"list_entry",
     "PowerVmsRequest",
     R"({"names": ["vms/a", "b", ""], "action": "POWER_ACTION_ON"})",
     {"names[1]", "names[2]"}},
    {"enum_missing", "PowerVmsRequest", R"({"names": ["vms/a"]})", {"action"}},
    {"enum_unknown", "PowerVmsRequest", R"({"names": ["vms/a"], "action": 99})", {"action"}},
    {"enum_unknown_in_list",
     "ListVmsRequest",
     R"({"power": ["POWER_STATE_ON", 77]})",
     {"power[1]"}},
    {"deep_path",
     "PlanEnvironmentRequest",
     R"({"document": {"environment": "prod", "groups": [{"type": "types/a", "count": 1},
         {"count": 1001, "vms": [{"ip": "10.0.0.256"}]}]}})",
     {"document.groups[1].type", "document.groups[1].count", "document.groups[1].vms[0].ip"}},
    {"time_out_of_range", "DeleteLogRequest", R"({"confirm": "x"})", {"before_time"}},
    {"request_id_odd",
     "DeleteVmsRequest",
     R"({"names": ["vms/a"], "requestId": "a b"})",
     {"request_id"}},
    {"mail_in_list",
     "CreateTypeRequest",
     R"({"typeId": "web", "type": {"template": "t", "owners": ["a@b.c", "nobody"]}})",
     {"type.owners[1]"}},
    // ---- updates
    {"update_by_mask",
     "UpdateVmRequest",
     R"({"vm": {"name": "vms/a"}, "updateMask": "remark"})",
     {}},
    {"update_without_name", "UpdateVmRequest", R"({"vm": {"remark": "x"}})", {"vm.name"}},
    {"update_of_nothing", "UpdateVmRequest", R"({"vm": {"name": "vms/a"}})", {"update_mask"}},
    {"update_without_mask", "UpdateVmRequest", R"({"vm": {"name": "vms/a", "remark": "x"}})", {}},
    {"update_required_to_empty",
     "UpdateVmRequest",
     R"({"vm": {"name": "vms/a"}, "updateMask": "environment"})",
     {"vm.environment"}},
    {"update_immutable",
     "UpdateVmRequest",
     R"({"vm": {"name": "vms/a", "hypervisor": "hypervisors/h"}, "updateMask": "hypervisor"})",
     {"update_mask"}},
    {"update_immutable_without_mask",
     "UpdateVmRequest",
     R"({"vm": {"name": "vms/a", "hypervisor": "hypervisors/h"}})",
     {"vm.hypervisor"}},
    {"update_output_only",
     "UpdateVmRequest",
     R"({"vm": {"name": "vms/a"}, "updateMask": "uid"})",
     {"update_mask"}},
    {"update_unknown_field",
     "UpdateVmRequest",
     R"({"vm": {"name": "vms/a"}, "updateMask": "colour"})",
     {"update_mask"}},
    {"update_name",
     "UpdateVmRequest",
     R"({"vm": {"name": "vms/a"}, "updateMask": "name"})",
     {"update_mask"}},
    {"update_nested",
     "UpdateVmRequest",
     R"({"vm": {"name": "vms/a", "network": {"ip": "10.0.0.1"}}, "updateMask": "network.ip"})",
     {}},
    {"update_through_scalar",
     "UpdateVmRequest",
     R"({"vm": {"name": "vms/a"}, "updateMask": "remark.x"})",
     {"update_mask"}},
    {"update_value_still_checked",
     "UpdateVmRequest",
     R"({"vm": {"name": "vms/a", "cpus": 1000}, "updateMask": "cpus"})",
     {"vm.cpus"}},
    {"update_without_resource", "UpdateVmRequest", R"({"updateMask": "remark"})", {"vm"}},
};

INSTANTIATE_TEST_SUITE_P(All, RequestCheck, ::testing::ValuesIn(kChecks),
                         [](const auto& info) { return std::string(info.param.name); });

TEST(RequestCheckMore, ClearsWhatTheServerSets) {
  auto request = Parse("CreateVmRequest", std::string("{\"vmId\": \"a\", ") + kGoodVm + "}");
  auto& create = static_cast<v1::CreateVmRequest&>(*request);
  create.mutable_vm()->set_uid("mine");
  create.mutable_vm()->set_state(v1::Vm::STATE_READY);
  create.mutable_vm()->add_services()->set_name("x");
  ASSERT_TRUE(CheckRequest(request.get()).ok());
  EXPECT_EQ(create.vm().uid(), "");
  EXPECT_EQ(create.vm().state(), v1::Vm::STATE_UNSPECIFIED);
  EXPECT_THAT(create.vm().services(), IsEmpty());
  EXPECT_EQ(create.vm().environment(), "environments/prod");
}

TEST(RequestCheckMore, FillsAnEmptyMaskWithWhatIsSet) {
  auto request =
      Parse("UpdateTypeRequest",
            R"({"type": {"name": "types/web", "template": "t2", "cpus": 4, "vmCount": 7}})");
  ASSERT_TRUE(CheckRequest(request.get()).ok());
  const auto& update = static_cast<v1::UpdateTypeRequest&>(*request);
  EXPECT_THAT(update.update_mask().paths(), ::testing::UnorderedElementsAre("template", "cpus"));
}

TEST(RequestCheckMore, RefusesEndlessLists) {
  v1::PowerVmsRequest request;
  request.set_action(v1::POWER_ACTION_ON);
  for (int i = 0; i <= kMaxListLength; ++i) request.add_names("vms/a");
  EXPECT_THAT(FieldsOf(CheckRequest(&request)), ::testing::ElementsAre("names"));
  request.mutable_names()->RemoveLast();
  EXPECT_TRUE(CheckRequest(&request).ok());
}

TEST(RequestCheckMore, RefusesTimesThatNobodyCanWrite) {
  v1::SearchLogRequest request;
  request.mutable_start_time()->set_seconds(std::numeric_limits<int64_t>::max());
  request.mutable_end_time()->set_nanos(-1);
  EXPECT_THAT(FieldsOf(CheckRequest(&request)), ::testing::ElementsAre("start_time", "end_time"));
}

TEST(RequestCheckMore, NeverQuotesASecret) {
  v1::CreateUserRequest request;
  request.set_user_id("CANARY-1");
  request.mutable_user()->set_password("CANARY-2");
  request.mutable_user()->set_mail("CANARY-3");
  const absl::Status status = CheckRequest(&request);
  EXPECT_FALSE(status.ok());
  EXPECT_THAT(std::string(status.message()), Not(HasSubstr("CANARY-2")));
}

struct ShapeCase {
  v1::Shape shape;
  std::string text;
  bool good;
};

class Shapes : public ::testing::TestWithParam<ShapeCase> {};

TEST_P(Shapes, TakesTheGoodAndExplainsTheBad) {
  const std::string problem = ShapeProblem(GetParam().shape, GetParam().text);
  EXPECT_EQ(problem.empty(), GetParam().good)
      << v1::Shape_Name(GetParam().shape) << " \"" << GetParam().text << "\": " << problem;
}

const ShapeCase kShapes[] = {
    {v1::SHAPE_ID, "web-01", true},
    {v1::SHAPE_ID, "Web", false},
    {v1::SHAPE_ID, "-a", false},
    {v1::SHAPE_ID, "a.b", false},
    {v1::SHAPE_ID, std::string(63, 'a'), true},
    {v1::SHAPE_ID, std::string(64, 'a'), false},
    {v1::SHAPE_IPV4, "10.0.0.5", true},
    {v1::SHAPE_IPV4, "10.0.0", false},
    {v1::SHAPE_IPV4, "10.0.0.05", false},
    {v1::SHAPE_IPV4, "10.0.0.256", false},
    {v1::SHAPE_IPV4, " 10.0.0.5", false},
    {v1::SHAPE_IPV4, "::1", false},
    {v1::SHAPE_NETMASK, "255.255.255.0", true},
    {v1::SHAPE_NETMASK, "255.255.255.255", true},
    {v1::SHAPE_NETMASK, "0.0.0.0", false},
    {v1::SHAPE_NETMASK, "255.0.255.0", false},
    {v1::SHAPE_MAIL, "ops+a@example.com", true},
    {v1::SHAPE_MAIL, "ops", false},
    {v1::SHAPE_MAIL, "a@b@c", false},
    {v1::SHAPE_MAIL, "a@b.c\r\nBcc: x@y.z", false},
    {v1::SHAPE_MAIL, "a,b@c.d", false},
    {v1::SHAPE_URL, "https://esxi1/sdk", true},
    {v1::SHAPE_URL, "https://10.0.0.1:8443/sdk", true},
    {v1::SHAPE_URL, "https://[::1]:8443/sdk", true},
    {v1::SHAPE_URL, "https://[::1", false},
    {v1::SHAPE_URL, "ftp://a/", false},
    {v1::SHAPE_URL, "https:///sdk", false},
    {v1::SHAPE_URL, "https://user:secret@host/", false},
    {v1::SHAPE_URL, "https://host:99999/", false},
    {v1::SHAPE_URL, "https://host:/", false},
    {v1::SHAPE_URL, "https://ho st/", false},
    {v1::SHAPE_TEXT, "生产环境", true},
    {v1::SHAPE_TEXT, "a\nb", false},
    {v1::SHAPE_TEXT, std::string(1024, 'x'), true},
    {v1::SHAPE_TEXT, std::string(1025, 'x'), false},
    {v1::SHAPE_FINGERPRINT, "AB", false},
    {v1::SHAPE_REQUEST_ID, "0b8f9e2c-1", true},
    {v1::SHAPE_REQUEST_ID, std::string(65, 'a'), false},
};

INSTANTIATE_TEST_SUITE_P(All, Shapes, ::testing::ValuesIn(kShapes));

TEST(ShapesMore, Fingerprint) {
  std::string good = "0A";
  for (int i = 1; i < 32; ++i) good += ":FF";
  EXPECT_EQ(ShapeProblem(v1::SHAPE_FINGERPRINT, good), "");
  good[0] = 'a';
  good[1] = 'a';
  EXPECT_NE(ShapeProblem(v1::SHAPE_FINGERPRINT, good), "");
}

}  // namespace
}  // namespace drover::api
