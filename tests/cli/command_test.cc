#include "cli/command.h"

#include <stdlib.h>

#include "absl/strings/str_replace.h"
#include "cli/drover.h"
#include "cli/errors.h"
#include "cli/help.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "proto/support/contract.h"
#include "tests/cli/drover_run.h"

namespace drover::cli {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;

struct Understood {
  const char* name;
  std::vector<std::string> words;
  const char* path;
  const char* flag;
  std::vector<std::string> values;
};

TEST(CommandTable, UnderstandsLines) {
  const Understood rows[] = {
      {"plain", {"vm", "list"}, "vm list", "limit", {}},
      {"common flag first", {"-o", "json", "vm", "list"}, "vm list", "output", {"json"}},
      {"common flag between", {"vm", "-o", "json", "list"}, "vm list", "output", {"json"}},
      {"joined value", {"vm", "list", "--output=csv"}, "vm list", "output", {"csv"}},
      {"joined letter", {"vm", "list", "-ocsv"}, "vm list", "output", {"csv"}},
      {"plural noun and ls", {"vms", "ls"}, "vm list", "limit", {}},
      {"op", {"op", "show", "1"}, "operation show", "OPERATION", {"1"}},
      {"environment spelled out", {"environment", "delete", "shop"}, "env delete", "ENV", {"shop"}},
      {"list by commas",
       {"vm", "list", "--type", "web,mysql"},
       "vm list",
       "type",
       {"web", "mysql"}},
      {"list by repetition",
       {"vm", "list", "-t", "web", "-t", "mysql"},
       "vm list",
       "type",
       {"web", "mysql"}},
      {"other spelling of a flag",
       {"vm", "list", "--environment", "shop"},
       "vm list",
       "env",
       {"shop"}},
      {"several arguments", {"vm", "power", "on", "a", "b"}, "vm power", "VM", {"a", "b"}},
      {"name like a command", {"vm", "show", "list"}, "vm show", "VM", {"list"}},
      {"name like a noun",
       {"service", "stop", "log", "--service", "watch"},
       "service stop",
       "VM",
       {"log"}},
      {"after --", {"vm", "show", "--", "-odd"}, "vm show", "VM", {"-odd"}},
      {"events alone lists", {"events", "--follow"}, "event list", "follow", {"true"}},
      {"switch off", {"env", "delete", "a", "--dry-run=false"}, "env delete", "dry-run", {}},
      {"top level", {"apply", "-f", "x.toml", "-y"}, "apply", "file", {"x.toml"}},
      {"below env", {"env", "apply", "-f", "x.toml"}, "env apply", "file", {"x.toml"}},
  };
  for (const Understood& row : rows) {
    const auto line = Commands().Parse(row.words);
    ASSERT_TRUE(line.ok()) << row.name << ": " << line.status();
    ASSERT_NE(line->command, nullptr) << row.name;
    EXPECT_EQ(line->command->path, row.path) << row.name;
    EXPECT_EQ(line->arguments.All(row.flag), row.values) << row.name;
  }
}

struct Refused {
  std::vector<std::string> words;
  const char* message;
};

TEST(CommandTable, RefusesLines) {
  const Refused rows[] = {
      {{"wm", "list"}, "\"drover\" has no command \"wm\"; did you mean \"vm\"?"},
      {{"vm", "lst"}, "\"drover vm\" has no command \"lst\"; did you mean \"list\"?"},
      {{"vm", "xyzzy"}, "\"drover vm\" has no command \"xyzzy\""},
      {{"vm", "list", "--outptu", "json"}, "there is no flag --outptu; did you mean \"--output\"?"},
      {{"vm", "list", "-o", "jsn"},
       "--output: \"jsn\" is not one of table, wide, json, yaml, name, csv, toml; did you mean "
       "\"json\"?"},
      {{"vm", "list", "extra"}, "one word too many: \"extra\""},
      {{"vm", "show"}, "VM is missing: VM"},
      {{"vm", "create", "a", "--type", "web", "--env", "e", "--ip", "1.2.3.4"},
       "--netmask is missing: e.g. 255.255.255.0"},
      {{"vm", "power", "up", "a"},
       "ACTION: \"up\" is not one of on, off, restart, hard-off, reset"},
      {{"plan"}, "--file is missing: environment file; - is standard input"},
      {{"completion", "tcsh"}, "SHELL: \"tcsh\" is not one of bash, zsh, fish"},
  };
  for (const Refused& row : rows) {
    const auto line = Commands().Parse(row.words);
    ASSERT_FALSE(line.ok()) << row.words[0] << " " << row.words.back();
    EXPECT_EQ(std::string(line.status().message()), row.message);
  }
}

TEST(CommandTable, EveryCommandHasASummaryAndAWayToRun) {
  for (const Command& command : Commands().commands()) {
    EXPECT_FALSE(command.summary.empty()) << command.path;
    EXPECT_TRUE(command.run != nullptr || MethodOf(command) != nullptr) << command.path;
    for (const Flag& flag : TypedFlags(command)) {
      EXPECT_FALSE(flag.help.empty()) << command.path << " --" << flag.name;
    }
  }
}

TEST(CommandTable, NoFlagIsThereTwice) {
  for (const Command& command : Commands().commands()) {
    std::set<std::string> names;
    std::set<char> letters;
    std::vector<Flag> flags = TypedFlags(command);
    flags.insert(flags.end(), CommonFlags().begin(), CommonFlags().end());
    for (const Flag& flag : flags) {
      EXPECT_TRUE(names.insert(flag.name).second) << command.path << " --" << flag.name;
      if (flag.letter != 0) {
        EXPECT_TRUE(letters.insert(flag.letter).second) << command.path << " -" << flag.letter;
      }
    }
  }
}

// Every method of the subjects that are built is reachable from a command.
TEST(CommandTable, ReachesEveryMethodOfItsSubjects) {
  std::set<std::string> reached = {
      // By commands that make several calls.
      "PeopleService/Login", "PeopleService/Logout", "PeopleService/GetSelf",
      "PeopleService/ChangePassword", "InventoryService/PlanEnvironment",
      "InventoryService/ApplyEnvironment", "InventoryService/CreateType",
      "InventoryService/UpdateType", "ActivityService/WatchOperation",
      // Curves are drawn by the web page.
      "GuestService/QuerySamples",
      // A hook's call; and a rollout is watched as its operation.
      "UpgradeService/NotifyCommit", "UpgradeService/WatchRollout"};
  for (const Command& command : Commands().commands()) reached.insert(command.method);
  for (const auto* service : PublicServices()) {
    for (int i = 0; i < service->method_count(); ++i) {
      const std::string name = service->name() + "/" + service->method(i)->name();
      EXPECT_EQ(reached.count(name), 1u) << name;
    }
  }
}

class HelpTest : public testing::DroverTest {};

TEST_F(HelpTest, OfProgramNounCommandAndExitCodes) {
  EXPECT_THAT(Run({}).out, HasSubstr("Usage: drover NOUN VERB"));
  EXPECT_EQ(Run({}).exit_code, 0);
  const testing::Ran noun = Run({"vm"});
  EXPECT_EQ(noun.exit_code, 2);
  EXPECT_EQ(noun.out, "");
  EXPECT_THAT(noun.err, HasSubstr("vm create"));
  EXPECT_EQ(Run({"vm", "--help"}).exit_code, 0);
  const testing::Ran command = Run({"vm", "create", "--help"});
  EXPECT_THAT(command.out, HasSubstr("Usage: drover vm create VM --type TYPE --env ENV --ip IP"));
  EXPECT_THAT(command.out, HasSubstr("For system administrators."));
  EXPECT_EQ(Run({"help", "vm", "create"}).out, command.out);
  EXPECT_THAT(Run({"help", "exit-codes"}).out, HasSubstr("  8    partly failed"));
  EXPECT_EQ(Run({"help", "vm", "crate"}).exit_code, 2);
}

TEST_F(HelpTest, EveryCommandIsInTheHelpAndTheManual) {
  const std::string manual = Run({"help", "--man"}).out;
  for (const Command& command : Commands().commands()) {
    if (command.hidden) continue;
    const std::string noun = command.path.substr(0, command.path.find(' '));
    EXPECT_THAT(Run({}).out, HasSubstr("\n  " + noun + " ")) << command.path;
    const std::string title = absl::StrReplaceAll("\n.SS drover " + command.path, {{"-", "\\-"}});
    EXPECT_THAT(manual, HasSubstr(title));
  }
  for (const auto& [code, meaning] : ExitCodes()) {
    EXPECT_THAT(manual, HasSubstr(absl::StrCat("\n\\fB", code, "\\fR\n")));
  }
  EXPECT_THAT(Run({"help", "environment"}).out, HasSubstr("DROVER_TOKEN"));
}

TEST_F(HelpTest, MandocFindsNothingInTheManual) {
  const std::string file = FileWith("drover.1", Run({"help", "--man"}).out);
  // Its date is the package's, so that a build says the same each time.
  const std::string command = absl::StrCat("mandoc -T lint -W warning ", file,
                                           " | grep -v 'missing date' >", file, ".said");
  ASSERT_EQ(system("command -v mandoc >/dev/null"), 0) << "mandoc is in tests/packages";
  EXPECT_NE(system(command.c_str()), 0) << testing::ReadFile(file + ".said");
}

TEST_F(HelpTest, MistakesSayWhereToLook) {
  const testing::Ran ran = Run({"vm", "lst"});
  EXPECT_EQ(ran.exit_code, 2);
  EXPECT_EQ(ran.err,
            "drover: \"drover vm\" has no command \"lst\"; did you mean \"list\"?\n"
            "See: drover vm --help\n");
}

}  // namespace
}  // namespace drover::cli
