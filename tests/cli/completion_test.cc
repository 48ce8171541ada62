#include "cli/completion.h"

#include <algorithm>
#include <cstdio>

#include "absl/strings/str_split.h"
#include "drover/v1/inventory.pb.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/cli/drover_run.h"

namespace drover::cli {
namespace {

using ::testing::Contains;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::Not;

class CompletionTest : public testing::DroverTest {
 protected:
  CompletionTest() {
    SignIn();
    v1::ListVmsResponse vms;
    vms.add_vms()->set_name("vms/web-01");
    vms.add_vms()->set_name("vms/web-02");
    vms.add_vms()->set_name("vms/db-01");
    controller_.Answer("InventoryService/ListVms", vms);
    v1::ListTypesResponse types;
    types.add_types()->set_name("types/web");
    controller_.Answer("InventoryService/ListTypes", types);
  }

  std::vector<std::string> Candidates(std::vector<std::string> words) {
    words.insert(words.begin(), {"__complete", "--"});
    const testing::Ran ran = Run(words);
    EXPECT_EQ(ran.exit_code, 0) << ran.err;
    std::vector<std::string> texts;
    for (absl::string_view line : absl::StrSplit(ran.out, '\n', absl::SkipEmpty())) {
      texts.emplace_back(line.substr(0, line.find('\t')));
    }
    return texts;
  }
};

TEST_F(CompletionTest, CommandsFlagsValuesAndNames) {
  EXPECT_THAT(Candidates({"hy"}), ElementsAre("hypervisor"));
  EXPECT_THAT(Candidates({""}), Contains("vm"));
  EXPECT_THAT(Candidates({""}), Not(Contains("__complete")));
  EXPECT_THAT(Candidates({"vm", "sh"}), ElementsAre("show"));
  EXPECT_THAT(Candidates({"vm", "show", "we"}), ElementsAre("web-01", "web-02"));
  EXPECT_THAT(Candidates({"vm", "show", "web-01", ""}), IsEmpty());
  EXPECT_THAT(Candidates({"vm", "power", "o"}), ElementsAre("on", "off"));
  EXPECT_THAT(Candidates({"vm", "power", "on", "web-01", "d"}), ElementsAre("db-01"));
  EXPECT_THAT(Candidates({"vm", "list", "--ty"}), ElementsAre("--type"));
  EXPECT_THAT(Candidates({"vm", "list", "--type", ""}), ElementsAre("web"));
  EXPECT_THAT(Candidates({"vm", "list", "-t", ""}), ElementsAre("web"));
  EXPECT_THAT(Candidates({"vm", "list", "--type=w"}), ElementsAre("--type=web"));
  EXPECT_THAT(Candidates({"-o", "json", "vm", "li"}), ElementsAre("list"));
  EXPECT_THAT(Candidates({"vm", "list", "-o", "j"}), ElementsAre("json"));
  EXPECT_THAT(Candidates({"context", "use", ""}), ElementsAre("test"));
}

TEST_F(CompletionTest, AControllerThatRefusesGivesNothing) {
  controller_.Refuse("InventoryService/ListVms", absl::UnauthenticatedError("ended"));
  EXPECT_THAT(Candidates({"vm", "show", ""}), IsEmpty());
}

TEST_F(CompletionTest, Scripts) {
  for (const char* shell : {"bash", "zsh", "fish"}) {
    EXPECT_THAT(Run({"completion", shell}).out, HasSubstr("drover __complete --")) << shell;
  }
}

// The script itself, in the shell it is for.
TEST_F(CompletionTest, BashCompletes) {
  const std::string script = FileWith("completion.bash", Run({"completion", "bash"}).out);
  const std::string run = FileWith("try.bash",
                                   "drover() { printf 'web-01\\tfirst\\nweb-02\\n'; }\n"
                                   "source " +
                                       script +
                                       "\n"
                                       "COMP_WORDS=(drover vm show we); COMP_CWORD=3; _drover\n"
                                       "echo \"${COMPREPLY[@]}\"\n");
  FILE* bash = popen(("bash " + run).c_str(), "r");
  char line[100] = {};
  ASSERT_NE(fgets(line, sizeof line, bash), nullptr);
  pclose(bash);
  EXPECT_STREQ(line, "web-01 web-02\n");
}

}  // namespace
}  // namespace drover::cli
