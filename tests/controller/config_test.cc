#include "controller/config.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <string>

#include "tests/testing/temp_dir.h"

namespace drover {
namespace {

using ::testing::HasSubstr;

constexpr char kAddress[] = "[agents]\naddress = \"10.0.0.1:8444\"\n";

TEST(Config, ReadsEverything) {
  const auto config = ParseConfig(R"(
[server]
listen = "10.0.0.1:443"
names = ["drover.example", "10.0.0.1"]
workers = 4
[agents]
listen = "0.0.0.0:9444"
address = "drover.example:9444"
binary = "/opt/drover-agent"
heartbeat_seconds = 5
sample_seconds = 20
[store]
directory = "/srv/drover"
[operations]
workers = 3
[reachability]
interval_seconds = 60
[mail]
smtp = "smtps://mail.example:465"
from = "drover@example.com"
user = "drover"
password_file = "/etc/drover/mail.password"
starttls = false
agent_relay = "10.0.0.5:25"
agent_relay_after = 120
[log]
level = "debug"
)",
                                  "c.toml");
  ASSERT_TRUE(config.ok()) << config.status();
  EXPECT_EQ(config->listen, "10.0.0.1:443");
  EXPECT_EQ(config->server_workers, 4);
  EXPECT_EQ(config->agents_address, "drover.example:9444");
  EXPECT_EQ(config->agent_binary, "/opt/drover-agent");
  EXPECT_EQ(config->heartbeat_seconds, 5);
  EXPECT_EQ(config->sample_seconds, 20);
  EXPECT_EQ(config->directory, "/srv/drover");
  EXPECT_EQ(config->operation_workers, 3);
  EXPECT_EQ(config->sweep_seconds, 60);
  EXPECT_EQ(config->mail_password_file, "/etc/drover/mail.password");
  EXPECT_EQ(config->mail_starttls, false);
  EXPECT_EQ(config->agent_relay, "10.0.0.5:25");
  EXPECT_EQ(config->agent_relay_after_seconds, 120);
  EXPECT_EQ(config->log_level, LogLevel::kDebug);
  EXPECT_THAT(CertificateNames(*config),
              ::testing::ElementsAre("10.0.0.1", "127.0.0.1", "drover.example", "localhost"));
}

TEST(Config, HasDefaultsForAllButTheAddress) {
  const auto config = ParseConfig(kAddress, "c.toml");
  ASSERT_TRUE(config.ok()) << config.status();
  EXPECT_EQ(config->listen, "0.0.0.0:8443");
  EXPECT_EQ(config->directory, "/var/lib/drover");
  EXPECT_EQ(config->sweep_seconds, 3);
}

struct BadCase {
  const char* name;
  std::string text;
  // What the error says, place included.
  const char* problem;
};

class BadConfig : public ::testing::TestWithParam<BadCase> {};

TEST_P(BadConfig, IsRefusedWithItsPlaceAndTheFix) {
  const auto config = ParseConfig(GetParam().text, "c.toml");
  ASSERT_FALSE(config.ok());
  EXPECT_TRUE(absl::IsInvalidArgument(config.status()));
  EXPECT_THAT(std::string(config.status().message()), HasSubstr(GetParam().problem));
}

std::string With(const std::string& text) { return kAddress + text; }

const BadCase kBad[] = {
    {"no_address", "", "c.toml: [agents] address is required"},
    {"wildcard_address", "[agents]\naddress = \"0.0.0.0:8444\"\n", "not a wildcard"},
    {"not_toml", "[server\n", "c.toml:1: "},
    {"duplicate_key", "[log]\nlevel = \"info\"\nlevel = \"debug\"\n", "c.toml:3: "},
    {"unknown_section", With("[servr]\nlisten = \"a:1\"\n"),
     "c.toml:3: [servr] is not known; did you mean server?"},
    {"unknown_key", With("[server]\nlisen = \"a:1\"\n"),
     "c.toml:4: [server] lisen is not known; did you mean [server] listen?"},
    {"key_far_from_all", With("[store]\nxyzzy = 1\n"), "there are directory"},
    {"key_outside_sections", "listen = 1\n" + With(""), "c.toml:1: listen is not known"},
    {"wrong_type", With("[server]\nlisten = 8443\n"),
     "c.toml:4: [server] listen must be \"host:port\""},
    {"port_too_large", With("[server]\nlisten = \"a:70000\"\n"), "host:port"},
    {"no_port", With("[server]\nlisten = \"a\"\n"), "host:port"},
    {"number_as_text", With("[operations]\nworkers = \"8\"\n"),
     "c.toml:4: [operations] workers must be a number from 1 to 256"},
    {"number_too_small", With("[reachability]\ninterval_seconds = 0\n"), "from 1 to 60"},
    {"number_too_large", With("[reachability]\ninterval_seconds = 61\n"), "from 1 to 60"},
    {"no_patience", With("[guest]\ntools_seconds = 0\n"), "from 1 to 7200"},
    {"endless_patience", With("[guest]\nagent_seconds = 7201\n"), "from 1 to 7200"},
    {"fraction", With("[reachability]\ninterval_seconds = 1.5\n"), "from 1 to 60"},
    {"relative_path", With("[store]\ndirectory = \"drover\"\n"), "absolute path"},
    {"bool_as_text", With("[mail]\nstarttls = \"yes\"\n"), "must be true or false"},
    {"level", With("[log]\nlevel = \"loud\"\n"), "must be \"error\""},
    {"names_not_a_list", With("[server]\nnames = \"a\"\n"), "must be a list"},
    {"name_with_more_in_it", With("[server]\nnames = [\"a,DNS:evil\"]\n"), "must be a list"},
    {"smtp_scheme", With("[mail]\nsmtp = \"mail:25\"\nfrom = \"a@b.c\"\n"), "smtp://"},
    {"smtp_without_from", With("[mail]\nsmtp = \"smtp://m:25\"\n"), "from must be a mail address"},
    {"relay_by_name", With("[mail]\nagent_relay = \"mail:25\"\nfrom = \"a@b.c\"\n"), "IPv4"},
    {"relay_without_from", With("[mail]\nagent_relay = \"10.0.0.5:25\"\n"), "when agent_relay"},
    {"user_without_password", With("[mail]\nuser = \"x\"\n"), "go together"},
};
INSTANTIATE_TEST_SUITE_P(All, BadConfig, ::testing::ValuesIn(kBad),
                         [](const auto& info) { return std::string(info.param.name); });

TEST(Config, TellsAllProblemsAtOnce) {
  const auto config =
      ParseConfig("[server]\nlisten = 1\nworkers = 0\n[log]\nlevel = \"x\"\n", "c.toml");
  const std::string message(config.status().message());
  EXPECT_THAT(message, HasSubstr("c.toml:2: "));
  EXPECT_THAT(message, HasSubstr("c.toml:3: "));
  EXPECT_THAT(message, HasSubstr("c.toml:5: "));
}

TEST(Config, AMissingFileIsNotFound) {
  testing::TempDir directory;
  EXPECT_TRUE(absl::IsNotFound(ReadConfig(directory.File("none.toml")).status()));
}

}  // namespace
}  // namespace drover
