#include "controller/core/guest_scripts.h"

#include <cstdlib>

#include "absl/strings/str_cat.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/testing/temp_dir.h"

namespace drover::core {
namespace {

using ::testing::HasSubstr;

int Shell(const std::string& command) { return std::system(command.c_str()); }

drover::v1::NetworkSettings Network() {
  drover::v1::NetworkSettings network;
  network.set_ip("10.0.0.15");
  network.set_netmask("255.255.240.0");
  network.set_gateway("10.0.0.1");
  network.set_dns1("10.0.0.2");
  network.set_dns2("10.0.0.3");
  return network;
}

TEST(GuestScripts, QuotedTextComesOutOfTheShellAsItWentIn) {
  testing::TempDir directory;
  for (const std::string text : {"plain", "it's", "$(reboot) `x` \\ \"q\"", "two\nlines", ""}) {
    const std::string file = directory.File("out");
    ASSERT_EQ(Shell(absl::StrCat("printf %s ", ShellQuoted(text), " >", file)), 0);
    EXPECT_EQ(testing::ReadFile(file), text);
  }
}

TEST(GuestScripts, ArgumentsKeepTheExitCodeAndTheOutput) {
  testing::TempDir directory;
  const std::string file = directory.File("out");
  EXPECT_EQ(Shell(absl::StrCat("/bin/sh ", ShellArguments("echo it\\'s broken >&2; exit 7", file))),
            7 << 8);
  EXPECT_EQ(testing::ReadFile(file), "it's broken\n");
}

TEST(GuestScripts, NetworkScriptIsPosixAndHoldsTheSettings) {
  testing::TempDir directory;
  const std::string script = NetworkScript("web-01", Network());
  testing::WriteFile(directory.File("script"), script);
  EXPECT_EQ(Shell(absl::StrCat("dash -n ", directory.File("script"))), 0);
  for (const char* line : {"name='web-01'\n", "ip='10.0.0.15'\n", "netmask='255.255.240.0'\n",
                           "prefix=20\n", "gateway='10.0.0.1'\n", "dns='10.0.0.2 10.0.0.3'\n"}) {
    EXPECT_THAT(script, HasSubstr(line));
  }
}

TEST(GuestScripts, PrefixLengthCountsOnes) {
  EXPECT_EQ(PrefixLength("255.255.255.0"), 24);
  EXPECT_EQ(PrefixLength("255.255.255.252"), 30);
  EXPECT_EQ(PrefixLength("0.0.0.0"), 0);
}

TEST(GuestScripts, AgentConfigIsToml) {
  EnrolmentKit kit;
  kit.set_controller_address("10.0.0.1:8444");
  const std::string config = AgentConfig(kit, "4210\"x");
  EXPECT_THAT(config, HasSubstr("controller = \"10.0.0.1:8444\"\n"));
  EXPECT_THAT(config, HasSubstr("bios_uuid = \"4210\\\"x\"\n"));
}

}  // namespace
}  // namespace drover::core
