#include "cli/output.h"

#include "cli/terminal.h"
#include "drover/v1/inventory.pb.h"
#include "drover/v1/people.pb.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/cli/drover_run.h"

namespace drover::cli {
namespace {

using ::testing::HasSubstr;
using ::testing::Not;

v1::ListVmsResponse TwoVms() {
  v1::ListVmsResponse list;
  v1::Vm* web = list.add_vms();
  web->set_name("vms/web-01");
  web->set_environment("environments/shop");
  web->set_type("types/web");
  web->mutable_network()->set_ip("10.0.0.1");
  web->set_reachability(v1::REACHABILITY_UP);
  web->set_power(v1::POWER_STATE_ON);
  web->set_agent_state(v1::AGENT_STATE_CONNECTED);
  web->set_remark("前端, \"first\"");
  auto* service = web->add_services();
  service->set_name("nginx");
  service->set_state(v1::ServiceStatus::STATE_RUNNING);
  v1::Vm* db = list.add_vms();
  db->set_name("vms/db-01");
  db->set_environment("environments/shop");
  db->set_type("types/mysql");
  db->set_reachability(v1::REACHABILITY_DOWN);
  db->set_power(v1::POWER_STATE_OFF);
  db->set_remark("plain");
  list.set_total_size(2);
  return list;
}

class OutputTest : public testing::DroverTest {
 protected:
  OutputTest() { SignIn(); }
};

TEST_F(OutputTest, Formats) {
  controller_.Answer("InventoryService/ListVms", TwoVms());
  struct Row {
    const char* name;
    std::vector<std::string> flags;
    const char* out;
  };
  const Row rows[] = {
      {"table",
       {},
       "NAME    ENVIRONMENT  TYPE   IP        NETWORK  POWER  AGENT      SERVICES  REMARK\n"
       "web-01  shop         web    10.0.0.1  up       on     connected  1/1       前端, "
       "\"first\"\n"
       "db-01   shop         mysql  -         down     off    -          -         plain\n"},
      {"columns",
       {"--columns", "remark,name,network.ip"},
       "REMARK         NAME    NETWORK.IP\n"
       "前端, \"first\"  web-01  10.0.0.1\n"
       "plain          db-01   -\n"},
      {"no headers", {"--columns", "name,power", "--no-headers"}, "web-01  on\ndb-01   off\n"},
      {"names", {"-o", "name"}, "vms/web-01\nvms/db-01\n"},
      {"quiet", {"-q"}, "web-01\ndb-01\n"},
      {"csv",
       {"-o", "csv", "--columns", "name,ip,remark"},
       "name,ip,remark\nweb-01,10.0.0.1,\"前端, \"\"first\"\"\"\ndb-01,,plain\n"},
  };
  for (const Row& row : rows) {
    std::vector<std::string> words = {"vm", "list"};
    words.insert(words.end(), row.flags.begin(), row.flags.end());
    const testing::Ran ran = Run(words);
    EXPECT_EQ(ran.exit_code, 0) << row.name << ran.err;
    EXPECT_EQ(ran.out, row.out) << row.name;
    EXPECT_EQ(ran.err, "") << row.name;
  }
}

TEST_F(OutputTest, JsonIsTheGatewaysJson) {
  controller_.Answer("InventoryService/ListVms", TwoVms());
  const testing::Ran ran = Run({"vm", "list", "-o", "json"});
  EXPECT_THAT(ran.out, HasSubstr("\"name\": \"vms/web-01\""));
  EXPECT_THAT(ran.out, HasSubstr("\"agentState\": \"AGENT_STATE_CONNECTED\""));
  EXPECT_THAT(ran.out, HasSubstr("\"totalSize\": 2"));
  EXPECT_EQ(ran.out.back(), '\n');
}

TEST_F(OutputTest, Yaml) {
  controller_.Answer("InventoryService/ListVms", TwoVms());
  const testing::Ran ran = Run({"vm", "list", "-o", "yaml"});
  EXPECT_THAT(ran.out, HasSubstr("vms:\n- name: vms/web-01\n  environment: environments/shop\n"));
  EXPECT_THAT(ran.out, HasSubstr("  network:\n    ip: \"10.0.0.1\"\n"));
  EXPECT_THAT(ran.out, HasSubstr("  power: POWER_STATE_ON\n"));
  EXPECT_THAT(ran.out, HasSubstr("  services:\n  - name: nginx\n    state: STATE_RUNNING\n"));
}

TEST_F(OutputTest, AColumnThatIsNotThereIsNamed) {
  controller_.Answer("InventoryService/ListVms", TwoVms());
  const testing::Ran ran = Run({"vm", "list", "--columns", "nam"});
  EXPECT_EQ(ran.exit_code, 2);
  EXPECT_THAT(ran.err, HasSubstr("--columns: there is no column \"nam\"; did you mean \"name\"?"));
  EXPECT_EQ(ran.out, "");
}

TEST_F(OutputTest, FormatFromTheEnvironmentLosesToTheFlag) {
  controller_.Answer("InventoryService/ListVms", TwoVms());
  env_["DROVER_OUTPUT"] = "name";
  EXPECT_EQ(Run({"vm", "list"}).out, "vms/web-01\nvms/db-01\n");
  EXPECT_EQ(Run({"vm", "list", "-o", "csv", "--columns", "name"}).out, "name\nweb-01\ndb-01\n");
  env_["DROVER_OUTPUT"] = "xml";
  EXPECT_EQ(Run({"vm", "list"}).exit_code, 2);
}

TEST_F(OutputTest, AnEmptyListTeaches) {
  controller_.Answer("InventoryService/ListVms", v1::ListVmsResponse());
  const testing::Ran ran = Run({"vm", "list"});
  EXPECT_EQ(ran.exit_code, 0);
  EXPECT_EQ(ran.out, "");
  EXPECT_THAT(ran.err, HasSubstr("drover apply -f env.toml"));
  EXPECT_EQ(Run({"vm", "list", "-q"}).err, "");
}

TEST_F(OutputTest, DetailsOfAResource) {
  controller_.Answer("InventoryService/GetVm", TwoVms().vms(0));
  const testing::Ran ran = Run({"vm", "show", "web-01"});
  EXPECT_THAT(ran.out, HasSubstr("Name:          web-01\n"));
  EXPECT_THAT(ran.out, HasSubstr("Network:\n  IP:  10.0.0.1\n"));
  EXPECT_THAT(ran.out, HasSubstr("Power:         on\n"));
  EXPECT_THAT(ran.out, HasSubstr("Services:\n  NAME   STATE    PID"));
  EXPECT_THAT(ran.out, HasSubstr("  nginx  running  0 "));
}

TEST(Describe, NamesFieldsAsPeopleDo) {
  v1::Vm vm;
  vm.set_cpus(2);
  vm.set_memory_mb(512);
  vm.set_bios_uuid("u");
  EXPECT_EQ(Describe(vm, false), "CPUs:       2\nMemory:     512 MB\nBIOS UUID:  u\n");
}

TEST_F(OutputTest, ASecretIsNeverShown) {
  v1::Hypervisor host;
  host.set_name("hypervisors/esxi1");
  host.set_password("canary-password");
  host.mutable_ssh()->set_password("canary-ssh");
  controller_.Answer("InventoryService/GetHypervisor", host);
  for (const char* format : {"table", "wide", "json", "yaml", "name", "csv"}) {
    const testing::Ran ran = Run({"hypervisor", "show", "esxi1", "-o", format});
    EXPECT_EQ(ran.exit_code, 0) << format << ran.err;
    EXPECT_THAT(ran.out + ran.err, Not(HasSubstr("canary"))) << format;
  }
}

TEST_F(OutputTest, ColoursAndSymbolsOnlyWhereTheyAreWanted) {
  controller_.Answer("InventoryService/ListVms", TwoVms());
  EXPECT_THAT(Run({"vm", "list"}).out, Not(HasSubstr("\033[")));
  EXPECT_THAT(Run({"vm", "list", "--color", "always"}).out, HasSubstr("\033[31mdown\033[0m"));
  env_["CLICOLOR_FORCE"] = "1";
  EXPECT_THAT(Run({"vm", "list"}).out, HasSubstr("\033[32mup\033[0m"));
  env_["NO_COLOR"] = "1";
  EXPECT_THAT(Run({"vm", "list"}).out, Not(HasSubstr("\033[")));
}

TEST(StateCell, WordSymbolColour) {
  const auto& down = *v1::Reachability_descriptor()->FindValueByNumber(v1::REACHABILITY_DOWN);
  EXPECT_EQ(StateCell(down, true).text, "✗ down");
  EXPECT_EQ(StateCell(down, false).text, "down");
  EXPECT_EQ(StateCell(down, false).colour, Colour::kRed);
}

struct WidthRow {
  const char* text;
  int width;
};

TEST(DisplayWidth, CountsCells) {
  const WidthRow rows[] = {{"", 0},      {"abc", 3}, {"中文", 4}, {"e\u0301", 1},
                           {"Größe", 5}, {"。", 2},  {"\xff", 1}, {"●", 1}};
  for (const WidthRow& row : rows) EXPECT_EQ(DisplayWidth(row.text), row.width) << row.text;
  EXPECT_EQ(Fit("中文字", 4), "中…");
  EXPECT_EQ(Fit("abcdef", 4), "abc…");
  EXPECT_EQ(Fit("abcd", 4), "abcd");
  EXPECT_EQ(Pad("中", 4), "中  ");
  EXPECT_EQ(Pad("7", 3, true), "  7");
}

TEST(Yaml, QuotesWhatYamlWouldReadAsSomethingElse) {
  v1::User user;
  for (const char* text :
       {"yes", "null", "1.5", "a: b", "- x", "", " x", "\"hi\"", "#x", "two\nlines"}) {
    user.set_display_name(text);
    const std::string yaml = ToYaml(user);
    if (*text != '\0') {
      EXPECT_THAT(yaml, HasSubstr("displayName: \"")) << text;
    }
  }
  user.set_display_name("王伟");
  EXPECT_EQ(ToYaml(user), "displayName: 王伟\n");
}

}  // namespace
}  // namespace drover::cli
