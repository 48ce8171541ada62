#include "cli/documents.h"

#include <sys/stat.h>

#include "absl/strings/str_cat.h"
#include "google/protobuf/util/message_differencer.h"
#include "gtest/gtest.h"
#include "proto/support/status.h"
#include "tests/testing/temp_dir.h"

namespace drover::cli {
namespace {

constexpr char kShop[] = R"(environment = "shop"
description = "Shop, production"
address_pool = ["10.213.1.10-10.213.1.99"]

[network]
netmask = "255.255.0.0"
gateway = "10.213.0.1"

[[group]]
type = "web"
count = 4
memory_mb = "4G"
  [[group.vm]]
  vm = "shop-front"
  ip = "10.213.1.5"

[[group]]
type = "types/mysql"
count = 1
hypervisors = ["esxi1"]
)";

TEST(Environment, IsRead) {
  const auto file = ParseEnvironment(kShop, "env.toml");
  ASSERT_TRUE(file.ok()) << file.status();
  const v1::EnvironmentDocument& document = file->document;
  EXPECT_EQ(document.environment(), "shop");
  EXPECT_EQ(document.network().netmask(), "255.255.0.0");
  ASSERT_EQ(document.groups_size(), 2);
  EXPECT_EQ(document.groups(0).type(), "types/web");
  EXPECT_EQ(document.groups(0).count(), 4);
  EXPECT_EQ(document.groups(0).memory_mb(), 4096);
  EXPECT_EQ(document.groups(0).vms(0).vm(), "shop-front");
  EXPECT_EQ(document.groups(1).type(), "types/mysql");
  EXPECT_EQ(document.groups(1).hypervisors(0), "hypervisors/esxi1");
}

TEST(Environment, IsWrittenAsItIsRead) {
  const auto file = ParseEnvironment(kShop, "env.toml");
  ASSERT_TRUE(file.ok()) << file.status();
  const std::string text = WriteEnvironment(file->document);
  const auto again = ParseEnvironment(text, "again.toml");
  ASSERT_TRUE(again.ok()) << again.status() << "\n" << text;
  EXPECT_TRUE(google::protobuf::util::MessageDifferencer::Equals(again->document, file->document))
      << text;
}

TEST(Environment, WritesTextsThatNeedQuoting) {
  v1::EnvironmentDocument document;
  document.set_environment("a");
  document.set_description("say \"hi\"\\\n\t中文");
  const auto again = ParseEnvironment(WriteEnvironment(document), "a.toml");
  ASSERT_TRUE(again.ok()) << again.status();
  EXPECT_EQ(again->document.description(), document.description());
}

struct Bad {
  const char* name;
  const char* text;
  const char* message;
};

TEST(Environment, EveryProblemIsToldWithItsPlace) {
  const Bad rows[] = {
      {"syntax", "environment = \n", "e.toml:1:15: "},
      {"twice", "environment = \"a\"\nenvironment = \"b\"\n", "e.toml:2:"},
      {"unknown key", "environment = \"a\"\ndescripton = \"x\"\n",
       "e.toml:2:1: descripton: unknown key; did you mean \"description\"?"},
      {"unknown key, nothing near", "environment = \"a\"\nzzz = 1\n",
       "e.toml:2:1: zzz: unknown key; there are environment, display_name, description, network, "
       "address_pool, "
       "hypervisors, group"},
      {"missing", "description = \"x\"\n", "e.toml:1:1: environment: missing in this table"},
      {"missing in group", "environment = \"a\"\n[[group]]\ncount = 1\n",
       "e.toml:2:1: type: missing in this table"},
      {"number as text", "environment = \"a\"\n[[group]]\ntype = \"web\"\ncount = \"4\"\n",
       "e.toml:4:9: count: this is a whole number"},
      {"text as number", "environment = 7\n", "e.toml:1:15: environment: this is a text in quotes"},
      {"fraction", "environment = \"a\"\n[[group]]\ntype = \"web\"\ncount = 1.5\n",
       "e.toml:4:9: count: this is a whole number"},
      {"out of range", "environment = \"a\"\n[[group]]\ntype = \"web\"\ncount = 0\n",
       "e.toml:4:9: count: 0 is out of range; it is 1 to 1000"},
      {"table wanted", "environment = \"a\"\nnetwork = \"10.0.0.0\"\n",
       "e.toml:2:11: network: this is a table: [network]"},
      {"list wanted", "environment = \"a\"\naddress_pool = \"10.0.0.1\"\n",
       "e.toml:2:16: address_pool: this is a list: [\"...\"]"},
      {"single table for a list", "environment = \"a\"\n[group]\ntype = \"web\"\n",
       "e.toml:2:1: group: this is tables: [[group]]"},
      {"password", "environment = \"a\"\nguest_password = \"x\"\n",
       "e.toml:2:1: guest_password: a password is not part of a file; give it with "
       "--guest-password-stdin or name a "
       "private file of its own with guest_password_file"},
      {"other collection", "environment = \"a\"\n[[group]]\ntype = \"vms/web\"\n",
       "e.toml:3:8: type: \"vms/web\" is not one of the types; give its name, or \"types/NAME\""},
      {"several", "environment = 7\nzone = 1\n[[group]]\ncount = 0\n",
       "4 problems\ne.toml:1:15: environment: this is a text in quotes\n"
       "e.toml:2:1: zone: unknown key; there are environment, display_name, description, network, "
       "address_pool, "
       "hypervisors, group\n"
       "e.toml:3:1: type: missing in this table\n"
       "e.toml:4:9: count: 0 is out of range; it is 1 to 1000"},
  };
  for (const Bad& row : rows) {
    const auto file = ParseEnvironment(row.text, "e.toml");
    ASSERT_TRUE(absl::IsInvalidArgument(file.status())) << row.name;
    const std::string message(file.status().message());
    // What the TOML library says of syntax is its own.
    EXPECT_EQ(message.substr(0, std::string(row.message).size()), row.message) << row.name;
    if (std::string(row.message).back() != ' ' && std::string(row.message).back() != ':') {
      EXPECT_EQ(message, row.message) << row.name;
    }
  }
}

TEST(Environment, TheControllersViolationsGetTheirPlace) {
  const auto file = ParseEnvironment(kShop, "env.toml");
  ASSERT_TRUE(file.ok());
  Violations violations;
  violations.Add("document.groups[0].type", "there is no type \"web\"");
  violations.Add("document.groups[1].vms[0].ip", "no address is left");
  violations.Add("document.network.dns1", "is not an address");
  const absl::Status status = InFile(violations.ToStatus(), *file, "document.");
  EXPECT_TRUE(absl::IsInvalidArgument(status));
  EXPECT_EQ(std::string(status.message()),
            "3 problems\nenv.toml:10:8: groups[0].type: there is no type \"web\"\n"
            "env.toml:17:1: groups[1].vms[0].ip: no address is left\n"
            "env.toml:5:1: network.dns1: is not an address");
}

class TypesTest : public ::testing::Test {
 protected:
  std::string PasswordFile(int mode) {
    const std::string path = folder_.File("guest.password");
    testing::WriteFile(path, "s3cret\n");
    EXPECT_EQ(chmod(path.c_str(), static_cast<mode_t>(mode)), 0);
    return path;
  }
  testing::TempDir folder_;
};

constexpr char kWeb[] = R"([[type]]
name = "web"
template = "debian12"
guest_user = "root"
guest_password_file = "guest.password"
owners = ["ops@example.com"]
  [[type.service]]
  name = "nginx"
  exe = "/usr/sbin/nginx"
  start_command = "systemctl start nginx"
  delay_seconds = "2m"
    [type.service.probe]
    tcp_port = 80
  [[type.working_copy]]
  id = "app"
  path = "/srv/app"
  [[type.config_file]]
  role = "web"
  file = "settings.py"
  path = "/srv/app/settings.py"
)";

TEST_F(TypesTest, AreRead) {
  PasswordFile(0600);
  const auto file = ParseTypes(kWeb, folder_.File("types.toml"));
  ASSERT_TRUE(file.ok()) << file.status();
  ASSERT_EQ(file->types.size(), 1u);
  const v1::VmType& type = file->types[0];
  EXPECT_EQ(type.name(), "types/web");
  EXPECT_EQ(type.guest_password(), "s3cret");
  EXPECT_EQ(type.services(0).delay_seconds(), 120);
  EXPECT_EQ(type.services(0).probe().tcp_port(), 80);
  EXPECT_EQ(type.working_copies(0).id(), "app");
  EXPECT_EQ(type.config_files(0).file(), "settings.py");
}

TEST_F(TypesTest, AreWrittenWithoutPasswordAndReadAgain) {
  PasswordFile(0600);
  const auto file = ParseTypes(kWeb, folder_.File("types.toml"));
  ASSERT_TRUE(file.ok()) << file.status();
  const std::string text = WriteTypes(file->types);
  EXPECT_EQ(text.find("s3cret"), std::string::npos);
  const auto again = ParseTypes(text, "again.toml");
  ASSERT_TRUE(again.ok()) << again.status() << text;
  v1::VmType expected = file->types[0];
  expected.clear_guest_password();
  EXPECT_TRUE(google::protobuf::util::MessageDifferencer::Equals(again->types[0], expected))
      << text;
}

TEST_F(TypesTest, APasswordFileThatOthersCanReadIsRefused) {
  PasswordFile(0644);
  const auto file = ParseTypes(kWeb, folder_.File("types.toml"));
  ASSERT_FALSE(file.ok());
  const std::string path = folder_.File("guest.password");
  EXPECT_EQ(
      file.status().message(),
      absl::StrCat(folder_.File("types.toml"), ":5:23: guest_password_file: ", path,
                   " holds a secret and has mode 0644: others can read it; run chmod 600 ", path));
}

TEST_F(TypesTest, ProblemsAreTold) {
  const Bad rows[] = {
      {"empty", "", "t.toml:1:1: type: there is no [[type]] table in this file"},
      {"other table", "[[types]]\nname = \"a\"\n",
       "2 problems\nt.toml:1:1: type: there is no [[type]] table in this file\n"
       "t.toml:1:3: types: unknown key; did you mean \"type\"?; a file of types is [[type]] "
       "tables"},
      {"no name", "[[type]]\ntemplate = \"x\"\n", "t.toml:1:1: name: missing in this table"},
      {"no template", "[[type]]\nname = \"x\"\n", "t.toml:1:1: template: missing in this table"},
      {"twice",
       "[[type]]\nname = \"a\"\ntemplate = \"x\"\n[[type]]\nname = \"a\"\ntemplate = \"x\"\n",
       "t.toml:5:8: name: \"a\" is there twice"},
      {"set by the controller", "[[type]]\nname = \"a\"\ntemplate = \"x\"\nvm_count = 3\n",
       "t.toml:4:1: vm_count: the controller sets this; take it out"},
      {"service", "[[type]]\nname = \"a\"\ntemplate = \"x\"\n[[type.service]]\nstart = \"x\"\n",
       "2 problems\nt.toml:4:1: name: missing in this table\n"
       "t.toml:5:1: start: unknown key; did you mean \"start_command\"?"},
      {"password", "[[type]]\nname = \"a\"\ntemplate = \"x\"\nguest_password = \"p\"\n",
       "t.toml:4:1: guest_password: a password is not part of a file; give it with "
       "--guest-password-stdin or name a "
       "private file of its own with guest_password_file"},
  };
  for (const Bad& row : rows) {
    const auto file = ParseTypes(row.text, "t.toml");
    ASSERT_FALSE(file.ok()) << row.name;
    EXPECT_EQ(std::string(file.status().message()), row.message) << row.name;
  }
}

}  // namespace
}  // namespace drover::cli
