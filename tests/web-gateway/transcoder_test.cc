#include "web-gateway/transcoder.h"

#include <gmock/gmock.h>
#include <google/protobuf/util/message_differencer.h>
#include <gtest/gtest.h>

#include <string>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "drover/v1/activity.pb.h"
#include "drover/v1/inventory.pb.h"
#include "proto/support/contract.h"
#include "proto/support/json.h"
#include "proto/support/status.h"
#include "web-gateway/json_check.h"
#include "web-gateway/json_text.h"

namespace drover::gateway {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

const RouteTable& Routes() {
  static const auto* const table =
      new RouteTable(RouteTable::Build(RulesOf(PublicServices())).value());
  return *table;
}

absl::StatusOr<std::unique_ptr<google::protobuf::Message>> Make(const std::string& method,
                                                                const std::string& path,
                                                                const std::string& query,
                                                                const std::string& body) {
  const auto match = Routes().Find(method, path);
  if (!match.ok()) return match.status();
  return MakeRequest(*match, query, body);
}

struct GoodRow {
  const char* method;
  const char* path;
  const char* query;
  const char* body;
  // The request, as JSON without what is not set.
  const char* want;
};

TEST(MakeRequest, TakesPathQueryAndBody) {
  const GoodRow rows[] = {
      {"GET", "/v1/vms/a", "", "", R"({"name":"vms/a"})"},
      {"GET", "/v1/vms", "page_size=7&pageToken=x%20y+z", "",
       R"({"pageSize":7,"pageToken":"x y z"})"},
      {"GET", "/v1/vms", "types=types/web&types=types%2Fmongo&power=POWER_STATE_ON&power=2", "",
       R"({"types":["types/web","types/mongo"],"power":["POWER_STATE_ON","POWER_STATE_OFF"]})"},
      {"GET", "/v1/log", "startTime=2026-01-31T08:00:00Z&kinds=LOG_KIND_LOGIN", "",
       R"({"startTime":"2026-01-31T08:00:00Z","kinds":["LOG_KIND_LOGIN"]})"},
      {"GET", "/v1/watch", "afterSequence=9007199254740993&eventsOnly=true", "",
       R"({"afterSequence":"9007199254740993","eventsOnly":true})"},
      {"DELETE", "/v1/environments/prod", "validateOnly=true&confirm=prod", "",
       R"({"name":"environments/prod","confirm":"prod","validateOnly":true})"},
      {"POST", "/v1/vms:power", "", R"({"names":["vms/a"],"action":"POWER_ACTION_ON"})",
       R"({"names":["vms/a"],"action":"POWER_ACTION_ON"})"},
      {"POST", "/v1/vms:power", "", R"({"names":["vms/a"],"action":1})",
       R"({"names":["vms/a"],"action":"POWER_ACTION_ON"})"},
      {"POST", "/v1/vms/a:setHardware", "", R"({"memory_mb":512,"name":"vms/other"})",
       R"({"name":"vms/a","memoryMb":512})"},
      {"POST", "/v1/operations/7:cancel", "", "", R"({"name":"operations/7"})"},
      {"POST", "/v1/environments", "environmentId=prod", R"({"displayName":"中文 \ud83d\ude00"})",
       R"({"environmentId":"prod","environment":{"displayName":"中文 😀"}})"},
      // A PATCH changes the keys that are there, null clears.
      {"PATCH", "/v1/vms/a", "", R"({"remark":"x"})",
       R"({"vm":{"name":"vms/a","remark":"x"},"updateMask":"remark"})"},
      {"PATCH", "/v1/vms/a", "", R"({"remark":null,"environment":""})",
       R"({"vm":{"name":"vms/a"},"updateMask":"remark,environment"})"},
      {"PATCH", "/v1/hypervisors/h", "", R"({"ssh":{"user":"u","password":null}})",
       R"({"hypervisor":{"name":"hypervisors/h","ssh":{"user":"u"}},)"
       R"("updateMask":"ssh.user,ssh.password"})"},
      {"PATCH", "/v1/hypervisors/h", "", R"({"ssh":{}})",
       R"({"hypervisor":{"name":"hypervisors/h","ssh":{}},"updateMask":"ssh"})"},
      {"PATCH", "/v1/types/t", "", R"({"services":[{"name":"x"}]})",
       R"({"type":{"name":"types/t","services":[{"name":"x"}]},"updateMask":"services"})"},
      // What only the server sets, and the name of the path, change nothing.
      {"PATCH", "/v1/vms/a", "", R"({"name":"vms/b","state":"STATE_READY","remark":"x"})",
       R"({"vm":{"name":"vms/a","state":"STATE_READY","remark":"x"},"updateMask":"remark"})"},
      {"PATCH", "/v1/vms/a", "updateMask=remark,environment", R"({"remark":"x"})",
       R"({"vm":{"name":"vms/a","remark":"x"},"updateMask":"remark,environment"})"},
  };
  for (const GoodRow& row : rows) {
    const auto made = Make(row.method, row.path, row.query, row.body);
    ASSERT_TRUE(made.ok()) << row.path << " " << row.body << ": " << made.status();
    const auto want = NewMessage(*(*made)->GetDescriptor());
    ASSERT_TRUE(FromJson(row.want, want.get()).ok()) << row.want;
    EXPECT_TRUE(google::protobuf::util::MessageDifferencer::Equals(**made, *want))
        << row.path << "?" << row.query << " " << row.body << "\n"
        << (*made)->DebugString();
  }
}

struct BadRow {
  const char* method;
  const char* path;
  const char* query;
  const char* body;
  // Fields that are complained about, joined by ' '; "" when it is the whole.
  const char* fields;
  const char* message;
};

TEST(MakeRequest, RefusesByName) {
  const BadRow rows[] = {
      {"GET", "/v1/vms", "pagesize=1", "", "pagesize", "no parameter"},
      {"GET", "/v1/vms", "pageSize=x&order=name", "", "pageSize order", "integer"},
      {"GET", "/v1/vms", "pageSize=1&page_size=2", "", "page_size", "twice"},
      {"GET", "/v1/vms", "pageSize=99999999999", "", "pageSize", "integer"},
      {"GET", "/v1/vms", "pageSize=%201", "", "pageSize", "integer"},
      {"GET", "/v1/vms", "pageSize=", "", "pageSize", "integer"},
      {"GET", "/v1/vms", "power=ON", "", "power", "one of POWER_STATE_ON"},
      {"GET", "/v1/vms", "search=%ff", "", "search", "UTF-8"},
      {"GET", "/v1/vms", "search=%f", "", "", "wrongly escaped"},
      {"GET", "/v1/vms", "%ff=1", "", "", "not UTF-8"},
      {"GET", "/v1/vms", "pageSize=10\xda", "", "pageSize", "UTF-8"},
      {"GET", "/v1/vms", "power=%da", "", "power", "UTF-8"},
      {"GET", "/v1/log", "startTime=%da", "", "startTime", "UTF-8"},
      {"GET", "/v1/vms", "", "{}", "", "no body"},
      {"GET", "/v1/vms/a", "name=vms/b", "", "name", "stands in the path"},
      {"GET", "/v1/log", "startTime=yesterday", "", "startTime", "time like"},
      {"GET", "/v1/watch", "eventsOnly=yes", "", "eventsOnly", "true or false"},
      {"POST", "/v1/vms:power", "validateOnly=true", "{}", "validateOnly", "no parameter"},
      {"POST", "/v1/environments", "environment.displayName=x", "{}", "environment.displayName",
       "belongs into the body"},
      {"POST", "/v1/environments", "environment=x", "{}", "environment", "belongs into the body"},
      {"POST", "/v1/vms:power", "", R"({"nams":["vms/a"]})", "nams", "no field here"},
      {"POST", "/v1/environments:plan", "", R"({"document":{"grups":[],"network":{"ipp":1}}})",
       "document.grups document.network.ipp", "no field here"},
      {"POST", "/v1/environments:plan", "", R"({"document":{"groups":[{"type":"t"},{"typ":"t"}]}})",
       "document.groups[1].typ", "no field here"},
      {"POST", "/v1/vms:power", "", R"({"names":"vms/a","names":[]})", "names", "twice"},
      {"POST", "/v1/vms/a:setHardware", "", R"({"memoryMb":1,"memory_mb":2})", "memory_mb",
       "twice"},
      {"POST", "/v1/vms/a:setHardware", "", R"({"cpus":"many"})", "cpus", "many"},
      {"POST", "/v1/vms/a:setHardware", "", R"({"cpus":1.5})", "cpus", "1.5"},
      {"POST", "/v1/vms:power", "", R"({"action":"POWER_ACTION_DANCE"})", "action", "DANCE"},
      {"POST", "/v1/vms:power", "", "[]", "", "an object"},
      {"POST", "/v1/vms:power", "", "{", "", "line 1 column 2"},
      {"POST", "/v1/vms:power", "", "{}{}", "", "more after"},
      {"POST", "/v1/vms:power", "", "{'names':[]}", "", "key in quotes"},
      {"POST", "/v1/vms:power", "", "{names:[]}", "", "key in quotes"},
      {"POST", "/v1/vms:power", "", R"({"names":[],})", "", "key in quotes"},
      {"POST", "/v1/vms:power", "", "{\"names\":[\"\xff\"]}", "", "UTF-8"},
  };
  for (const BadRow& row : rows) {
    const auto made = Make(row.method, row.path, row.query, row.body);
    ASSERT_TRUE(absl::IsInvalidArgument(made.status())) << row.path << "?" << row.query << row.body;
    std::vector<std::string> fields;
    const auto violations = ViolationsOf(made.status());
    for (const auto& violation : violations.field_violations()) {
      fields.push_back(violation.field());
    }
    EXPECT_EQ(absl::StrJoin(fields, " "), row.fields) << made.status();
    EXPECT_THAT(std::string(made.status().message()), HasSubstr(row.message)) << row.body;
  }
}

TEST(MakeRequest, TakesNoSecretFromTheAddress) {
  v1::CreateVmRequest request;
  RouteRule rule;
  rule.method = FindMethod("InventoryService/CreateVm");
  rule.http_method = "POST";
  rule.path = "/x";
  rule.body = "vm";
  const RouteTable table = RouteTable::Build({rule}).value();
  const auto match = table.Find("POST", "/x").value();
  const auto made = MakeRequest(match, "guestPassword=secret", "{}");
  EXPECT_EQ(ViolationsOf(made.status()).field_violations(0).field(), "guestPassword");
  EXPECT_THAT(std::string(made.status().message()), ::testing::Not(HasSubstr("\"secret\"")));
}

struct JsonRow {
  const char* json;
  bool good;
};

TEST(CheckJson, IsAsStrictAsTheStandard) {
  const JsonRow rows[] = {
      {"null", true},
      {" [1, -0, 1.5e+3, 0.0] \n", true},
      {R"({"a":{"b":[{}]},"":1})", true},
      {R"("\u0041\n\\\/\ud83d\ude00")", true},
      {"", false},
      {"nul", false},
      {"01", false},
      {"-", false},
      {"1.", false},
      {".5", false},
      {"+1", false},
      {"1e", false},
      {"NaN", false},
      {"\"a", false},
      {"\"\n\"", false},
      {R"("\x41")", false},
      {R"("\u12")", false},
      {R"("\ud83d")", false},
      {R"("\ude00\ud83d")", false},
      {"[1,]", false},
      {"[1 2]", false},
      {"{\"a\" 1}", false},
      {"{\"a\":1,\"a\":2}", false},
      {"{1:2}", false},
      {"// x\n1", false},
      {"1 1", false},
  };
  for (const JsonRow& row : rows) {
    EXPECT_EQ(CheckJson(row.json, nullptr).ok(), row.good) << row.json;
  }
  EXPECT_FALSE(CheckJson(std::string("1\0", 2), nullptr).ok());
}

TEST(CheckJson, BearsHostileBodies) {
  EXPECT_FALSE(CheckJson(std::string(1000000, '['), nullptr).ok());
  EXPECT_FALSE(CheckJson(std::string(1000000, '{'), nullptr).ok());
  std::string many = "{";
  for (int i = 0; i < 1000; ++i) absl::StrAppend(&many, i == 0 ? "" : ",", "\"x", i, "\":0");
  many += "}";
  const absl::Status status = CheckJson(many, v1::Vm::descriptor()).status();
  EXPECT_EQ(ViolationsOf(status).field_violations_size(), 20);
}

TEST(CheckJson, ListsTheKeysAsAMaskNamesThem) {
  EXPECT_THAT(CheckJson(R"({"remark":1,"network":{"dns1":"x","ip":null},"services":[{"name":1}]})",
                        v1::Vm::descriptor())
                  .value(),
              ElementsAre("remark", "network.dns1", "network.ip", "services"));
  EXPECT_THAT(CheckJson("{}", v1::Vm::descriptor()).value(), IsEmpty());
}

TEST(ErrorJson, IsTheErrorWithItsDetails) {
  const absl::Status status = MakeError(absl::StatusCode::kNotFound, "VM_NOT_FOUND",
                                        "there is no VM \"中\"", {{"vm", "中"}});
  EXPECT_EQ(ErrorJson(status, ""),
            R"({"code":5,"message":"there is no VM \"中\"","details":[)"
            R"({"@type":"type.googleapis.com/google.rpc.ErrorInfo","reason":"VM_NOT_FOUND",)"
            R"("domain":"drover","metadata":{"vm":"中"}}]})");
  EXPECT_THAT(ErrorJson(absl::InternalError("x"), "id-1"), HasSubstr(R"("requestId":"id-1")"));
}

TEST(ErrorJson, WritesDetailsNobodyKnowsAsBase64) {
  google::rpc::Status rpc;
  rpc.set_code(9);
  rpc.set_message("no");
  auto* detail = rpc.add_details();
  detail->set_type_url("type.googleapis.com/no.Such");
  detail->set_value("abc");
  const absl::Status status = FromRpcStatus(rpc);
  const std::string json = ErrorJson(status, "id-1");
  EXPECT_THAT(json, HasSubstr(R"({"@type":"type.googleapis.com/no.Such","value":"YWJj"})"));
  EXPECT_THAT(json, HasSubstr("RequestInfo"));
  EXPECT_TRUE(CheckJson(json, nullptr).ok()) << json;
}

struct StatusRow {
  int code;
  int http;
};

TEST(HttpStatus, IsTheTableOfGrpcGateway) {
  const StatusRow rows[] = {{0, 200},  {1, 499},  {2, 500},  {3, 400},  {4, 504},  {5, 404},
                            {6, 409},  {7, 403},  {8, 429},  {9, 400},  {10, 409}, {11, 400},
                            {12, 501}, {13, 500}, {14, 503}, {15, 500}, {16, 401}};
  for (const StatusRow& row : rows) {
    EXPECT_EQ(HttpStatusOf(static_cast<absl::StatusCode>(row.code)), row.http) << row.code;
  }
}

TEST(JsonText, IsAlwaysJson) {
  const std::string texts[] = {"", "a\"\\\n\x01\x7f", "中😀", "\xff\xfe", std::string("a\0b", 3)};
  for (const std::string& text : texts) {
    EXPECT_TRUE(CheckJson(JsonText(text), nullptr).ok()) << JsonText(text);
  }
}

}  // namespace
}  // namespace drover::gateway
