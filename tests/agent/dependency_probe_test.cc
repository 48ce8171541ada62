// Probes against the real servers, each at its own port, in a network of the test's own.
#include <arpa/inet.h>
#include <fcntl.h>
#include <net/if.h>
#include <sched.h>
#include <signal.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "agent/dependency_probe.h"
#include "agent/unique_fd.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/agent/test_loop.h"
#include "tests/testing/temp_dir.h"

namespace drover::agent {
namespace {

using drover::v1::DependencyCheck;
using drover::v1::Profile;
using ::testing::HasSubstr;

// A program with all its children.
class Server {
 public:
  Server(const std::string& command, const std::string& log) {
    pid_ = fork();
    if (pid_ != 0) return;
    setsid();
    FILE* out = freopen(log.c_str(), "a", stdout);
    if (out == nullptr || dup2(STDOUT_FILENO, STDERR_FILENO) < 0) _exit(126);
    execl("/bin/sh", "sh", "-c", command.c_str(), nullptr);
    _exit(127);
  }
  ~Server() { End(); }
  Server(const Server&) = delete;
  Server& operator=(const Server&) = delete;

  void End() {
    if (pid_ <= 0) return;
    kill(-pid_, SIGKILL);
    waitpid(pid_, nullptr, 0);
    pid_ = -1;
  }

 private:
  pid_t pid_ = -1;
};

class DependencyProbeTest : public ::testing::Test {
 protected:
  void SetUp() override {
    if (unshare(CLONE_NEWNET) != 0) GTEST_SKIP() << "needs the right to make a network";
    UniqueFd any(socket(AF_INET, SOCK_DGRAM, 0));
    ifreq lo = {};
    lo.ifr_name[0] = 'l';
    lo.ifr_name[1] = 'o';
    lo.ifr_flags = IFF_UP | IFF_RUNNING;
    ASSERT_EQ(ioctl(any.get(), SIOCSIFFLAGS, &lo), 0);
  }
  void TearDown() override {
    servers_.clear();
    EndAllWith(dir_.path());
    setns(home_.get(), CLONE_NEWNET);
  }

  Server& Start(const std::string& command) {
    servers_.push_back(std::make_unique<Server>(command, dir_.File("log")));
    return *servers_.back();
  }

  v1::ProbeVerdict Probe(Profile::Protocol protocol, int port = 0,
                         const std::string& host = "127.0.0.1") {
    v1::ProbeDependency order;
    order.set_protocol(protocol);
    order.set_host(host);
    order.set_port(port);
    bool done = false;
    v1::ProbeVerdict verdict;
    OrderVoice voice;
    voice.done = [&](const absl::Status&, v1::CommandUpdate details) {
      verdict = details.probe_verdict();
      done = true;
    };
    auto work = DependencyProbe::Start(&loop_.loop, order, voice);
    EXPECT_TRUE(work.ok()) << work.status();
    if (silent_) {
      loop_.UntilAdvancing(absl::Milliseconds(50), [&] { return done; });
    } else {
      loop_.Until([&] { return done; });
    }
    return verdict;
  }
  // It takes the server as long as it takes to start.
  void UntilOk(Profile::Protocol protocol, const std::string& words) {
    v1::ProbeVerdict verdict;
    do {
      verdict = Probe(protocol);
    } while (verdict.result() != DependencyCheck::RESULT_OK);
    EXPECT_THAT(verdict.detail(), HasSubstr(words));
  }
  // Another service is no service of this kind.
  void ExpectWrong(Profile::Protocol protocol, int port) {
    // Some wait for more.
    silent_ = true;
    const v1::ProbeVerdict verdict = Probe(protocol, port);
    silent_ = false;
    EXPECT_EQ(verdict.result(), DependencyCheck::RESULT_WRONG_ANSWER) << verdict.DebugString();
  }

  // Of the thread, so that the children are there too.
  UniqueFd home_{open("/proc/thread-self/ns/net", O_RDONLY | O_CLOEXEC)};
  testing::TempDir dir_;
  TestLoop loop_;
  // The other side says nothing: the clock has to go on.
  bool silent_ = false;
  std::vector<std::unique_ptr<Server>> servers_;
};

TEST_F(DependencyProbeTest, NobodyThereAndNoWay) {
  for (const auto protocol :
       {Profile::PROTOCOL_MONGO, Profile::PROTOCOL_MYSQL, Profile::PROTOCOL_NFS,
        Profile::PROTOCOL_RABBITMQ, Profile::PROTOCOL_REDIS, Profile::PROTOCOL_HTTP}) {
    EXPECT_EQ(Probe(protocol).result(), DependencyCheck::RESULT_SERVICE_MISSING) << protocol;
    EXPECT_EQ(Probe(protocol, 0, "10.1.2.3").result(), DependencyCheck::RESULT_UNREACHABLE)
        << protocol;
  }
}

TEST_F(DependencyProbeTest, AServiceThatSaysNothing) {
  UniqueFd listener(socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
  sockaddr_in address = {};
  address.sin_family = AF_INET;
  address.sin_port = htons(6379);
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  ASSERT_EQ(bind(listener.get(), reinterpret_cast<sockaddr*>(&address), sizeof(address)), 0);
  ASSERT_EQ(listen(listener.get(), 5), 0);
  silent_ = true;
  const v1::ProbeVerdict verdict = Probe(Profile::PROTOCOL_REDIS);
  EXPECT_EQ(verdict.result(), DependencyCheck::RESULT_WRONG_ANSWER);
  EXPECT_THAT(verdict.detail(), HasSubstr("no answer"));
  EXPECT_EQ(Probe(Profile::PROTOCOL_TCP, 6379).result(), DependencyCheck::RESULT_OK);
}

// Something else listens there, that waits to be spoken to or speaks first.
TEST_F(DependencyProbeTest, WhoIsSilentOrTalksNonsenseIsWrongForEachProtocol) {
  Start(
      "exec python3 -c 'import socket, threading\n"
      "def serve(port, words):\n"
      "  listener = socket.create_server((\"127.0.0.1\", port))\n"
      "  kept = []\n"
      "  while True:\n"
      "    kept.append(listener.accept()[0])\n"
      "    kept[-1].sendall(words)\n"
      "threading.Thread(target=serve, args=(7001, b\"\")).start()\n"
      "serve(7002, b\"SSH-2.0-OpenSSH_9.2p1 Debian-2\\r\\n\")'");
  for (const int port : {7001, 7002}) {
    while (Probe(Profile::PROTOCOL_TCP, port).result() != DependencyCheck::RESULT_OK) {
    }
    for (const auto protocol :
         {Profile::PROTOCOL_MONGO, Profile::PROTOCOL_MYSQL, Profile::PROTOCOL_NFS,
          Profile::PROTOCOL_RABBITMQ, Profile::PROTOCOL_REDIS, Profile::PROTOCOL_HTTP}) {
      SCOPED_TRACE(absl::StrCat(Profile::Protocol_Name(protocol), " at ", port));
      ExpectWrong(protocol, port);
    }
  }
}

TEST_F(DependencyProbeTest, Redis) {
  Server& server = Start(
      absl::StrCat("exec redis-server --port 6379 --bind 127.0.0.1 --save '' --dir ", dir_.path()));
  UntilOk(Profile::PROTOCOL_REDIS, "Redis");
  for (const auto other : {Profile::PROTOCOL_HTTP, Profile::PROTOCOL_RABBITMQ}) {
    ExpectWrong(other, 6379);
  }
  server.End();
  EXPECT_EQ(Probe(Profile::PROTOCOL_REDIS).result(), DependencyCheck::RESULT_SERVICE_MISSING);
  Start(absl::StrCat("exec redis-server --port 6379 --requirepass s3cret --save '' --dir ",
                     dir_.path()));
  UntilOk(Profile::PROTOCOL_REDIS, "asks for a password");
}

TEST_F(DependencyProbeTest, MariaDb) {
  const std::string data = dir_.File("mysql");
  Start(absl::StrCat(
      "mariadb-install-db --no-defaults --force --user=root --skip-test-db --datadir=", data,
      " && exec mariadbd --no-defaults --user=root --bind-address=127.0.0.1 "
      "--port=3306 --datadir=",
      data, " --socket=", data, "/sock --pid-file=", data, "/pid"));
  UntilOk(Profile::PROTOCOL_MYSQL, "MariaDB");
  ExpectWrong(Profile::PROTOCOL_REDIS, 3306);
  ExpectWrong(Profile::PROTOCOL_RABBITMQ, 3306);
}

TEST_F(DependencyProbeTest, RabbitMq) {
  const std::string home = dir_.File("rabbit");
  ASSERT_EQ(mkdir(home.c_str(), 0700), 0);
  testing::WriteFile(home + "/plugins", "[].\n");
  const std::string environment =
      absl::StrCat("HOME=", home, " RABBITMQ_NODENAME=drover@localhost RABBITMQ_MNESIA_BASE=", home,
                   " RABBITMQ_LOG_BASE=", home, " RABBITMQ_ENABLED_PLUGINS_FILE=", home,
                   "/plugins RABBITMQ_PID_FILE=", home, "/pid");
  // Its own port mapper first: one that the broker starts would outlive it.
  Start("epmd & exec sleep infinity");
  Start(absl::StrCat("exec env ", environment, " /usr/lib/rabbitmq/bin/rabbitmq-server"));
  UntilOk(Profile::PROTOCOL_RABBITMQ, "RabbitMQ 3");
  ExpectWrong(Profile::PROTOCOL_REDIS, 5672);
}

TEST_F(DependencyProbeTest, Nfs) {
  const std::string config = dir_.File("ganesha.conf");
  testing::WriteFile(
      config,
      absl::StrCat(
          "NFS_CORE_PARAM { Protocols = 3, 4; Enable_NLM = false; Enable_RQUOTA = false; }\n"
          "NFSv4 { Graceless = true; RecoveryBackend = fs; RecoveryRoot = ",
          dir_.path(), "; }\nNFS_KRB5 { Active_krb5 = false; }\n"));
  // Both leave sockets and locks in /run.
  Start(
      absl::StrCat("exec unshare -m sh -c 'mount -t tmpfs tmpfs /run; rpcbind -f & "
                   "until [ -S /run/rpcbind.sock ]; do sleep 0.05; done; "
                   "exec ganesha.nfsd -F -f ",
                   config, " -p /run/pid -L ", dir_.File("ganesha.log"), "'"));
  UntilOk(Profile::PROTOCOL_NFS, "NFS version 3");
  // Without the port mapper, at the port itself.
  const v1::ProbeVerdict direct = Probe(Profile::PROTOCOL_NFS, 2049);
  EXPECT_EQ(direct.result(), DependencyCheck::RESULT_OK) << direct.detail();
  const v1::ProbeVerdict mapper = Probe(Profile::PROTOCOL_NFS, 111);
  EXPECT_EQ(mapper.result(), DependencyCheck::RESULT_WRONG_ANSWER);
  EXPECT_THAT(mapper.detail(), HasSubstr("no NFS"));
}

// No MongoDB is in Debian 12: the stand-in of the lab speaks its wire protocol.
TEST_F(DependencyProbeTest, MongoStandIn) {
  Start("exec python3 " DROVER_MONGO_STAND_IN);
  UntilOk(Profile::PROTOCOL_MONGO, "wire version");
  ExpectWrong(Profile::PROTOCOL_REDIS, 27017);
}

}  // namespace
}  // namespace drover::agent
