// The real program's setup, in mount and process namespaces of its own, so that it is the machine's
// only agent and /etc is a copy.
#include <sys/wait.h>
#include <unistd.h>

#include <cstdio>
#include <string>

#include "absl/strings/str_cat.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/testing/temp_dir.h"

namespace drover::agent {
namespace {

using ::testing::EndsWith;

// A machine without systemd: /etc is empty, /run has nothing, the script is process 1.
constexpr char kMachine[] = R"sh(
set -eu
mount -t tmpfs none /etc
mount -t tmpfs none /run
mkdir /etc/drover
cd $DIR
cp $AGENT $DIR/drover-agent
printf 'controller = "127.0.0.1:9"\nstate_directory = "%s/state"\n' $DIR >/etc/drover/agent.toml
agent=$DIR/drover-agent
config=/etc/drover/agent.toml
setup() { $agent setup --config $config 2>>$DIR/setup.log; }
keeper() { cat $DIR/state/agent.lock; }
worker() { cat /proc/$(keeper)/task/$(keeper)/children; }
# until_true COMMAND...: as long as it takes.
until_true() { while ! "$@"; do :; done; }
)sh";

class SetupTest : public ::testing::Test {
 protected:
  void SetUp() override {
    if (geteuid() != 0) GTEST_SKIP() << "needs root";
  }

  // Ends with "done" when every line of the script did what it should. The namespace ends with it,
  // and all processes in it.
  std::string Run(const std::string& script) {
    testing::WriteFile(dir_.File("machine"), absl::StrCat(kMachine, script, "\necho done\n"));
    const std::string command =
        absl::StrCat("DIR=", dir_.path(), " AGENT=", DROVER_AGENT_PROGRAM,
                     " unshare --mount --pid --fork --mount-proc --kill-child /bin/sh -x ",
                     dir_.File("machine"), " 2>&1");
    FILE* pipe = popen(command.c_str(), "r");
    std::string output;
    char buffer[4096];
    while (const size_t count = fread(buffer, 1, sizeof(buffer), pipe)) {
      output.append(buffer, count);
    }
    pclose(pipe);
    return output;
  }

  testing::TempDir dir_;
};

TEST_F(SetupTest, StartsDetachedAndAtEveryBootOnce) {
  EXPECT_THAT(Run(R"sh(
    setup
    test -x /etc/rc.local
    test "$(grep -c drover-agent /etc/rc.local)" = 1
    first=$(keeper)
    kill -0 $first
    setup
    test "$(keeper)" = $first
    test "$(grep -c drover-agent /etc/rc.local)" = 1
    # What init does at the next boot.
    kill $first
    until_true sh -c "! kill -0 $first 2>/dev/null"
    /etc/rc.local 2>/dev/null
    kill -0 $(keeper)
    test $(keeper) != $first)sh"),
              EndsWith("+ echo done\ndone\n"));
}

TEST_F(SetupTest, ASecondAgentIsRefused) {
  EXPECT_THAT(Run(R"sh(
    setup
    code=0
    $agent run --config $config 2>$DIR/second.log || code=$?
    test $code != 0
    grep -q "runs already on .*process $(keeper)" $DIR/second.log)sh"),
              EndsWith("+ echo done\ndone\n"));
}

TEST_F(SetupTest, TheKeeperStartsACrashedAgentAgain) {
  EXPECT_THAT(Run(R"sh(
    setup
    first=$(worker)
    kill -9 $first
    until_true sh -c 'test -n "$(cat /proc/'$(keeper)/task/$(keeper)'/children)" && test "$(cat /proc/'$(keeper)/task/$(keeper)'/children)" != "'"$first"'"'
    # An agent whose keeper is gone ends, too: nobody is left that holds the lock.
    kill -9 $(keeper)
    until_true flock --nonblock $DIR/state/agent.lock true)sh"),
              EndsWith("+ echo done\ndone\n"));
}

TEST_F(SetupTest, ANewProgramReplacesTheAgentThatRuns) {
  EXPECT_THAT(Run(R"sh(
    setup
    first=$(keeper)
    cp $AGENT $DIR/new
    mv $DIR/new $agent
    setup
    test "$(keeper)" != $first
    ! kill -0 $first 2>/dev/null
    kill -0 $(keeper))sh"),
              EndsWith("+ echo done\ndone\n"));
}

TEST_F(SetupTest, ABadConfigurationIsToldAndStartsNothing) {
  EXPECT_THAT(Run(R"sh(
    echo 'controler = "x"' >$config
    ! setup
    grep -q 'agent.toml: .*controler' $DIR/setup.log
    test ! -e /etc/rc.local
    test ! -e $DIR/state)sh"),
              EndsWith("+ echo done\ndone\n"));
}

}  // namespace
}  // namespace drover::agent
