#include "controller/reach/icmp_prober.h"

#include <linux/capability.h>
#include <net/if.h>
#include <sched.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <fstream>
#include <functional>
#include <thread>

#include "absl/strings/str_cat.h"
#include "gtest/gtest.h"
#include "proto/support/status.h"

namespace drover::reach {
namespace {

using core::ProbeTarget;

// Loopback of a network namespace of its own: all of 127.0.0.0/8 answers, nothing else is there.
bool EnterEmptyNetwork() {
  if (unshare(CLONE_NEWNET) != 0) return false;
  int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
  ifreq request{};
  std::strcpy(request.ifr_name, "lo");
  request.ifr_flags = IFF_UP;
  bool up = ioctl(fd, SIOCSIFFLAGS, &request) == 0;
  close(fd);
  return up;
}

// Of this thread.
void DropCapabilities(std::initializer_list<int> capabilities) {
  __user_cap_header_struct header{_LINUX_CAPABILITY_VERSION_3, 0};
  __user_cap_data_struct data[2];
  ASSERT_EQ(syscall(SYS_capget, &header, data), 0);
  for (int capability : capabilities) data[0].effective &= ~(1U << capability);
  ASSERT_EQ(syscall(SYS_capset, &header, data), 0);
}

void WriteSetting(const std::string& path, const std::string& value) {
  std::ofstream file(path);
  file << value;
  file.flush();
  ASSERT_TRUE(file.good()) << path;
}

// Namespaces and capabilities belong to a thread: each test has one of its own.
void InEmptyNetwork(const std::function<void()>& body) {
  bool entered = false;
  std::thread thread([&] {
    entered = EnterEmptyNetwork();
    if (entered) body();
  });
  thread.join();
  if (!entered) GTEST_SKIP() << "needs the right to make a network namespace (root)";
}

std::vector<ProbeTarget> Loopbacks(int count) {
  std::vector<ProbeTarget> targets;
  for (int i = 0; i < count; ++i) {
    targets.push_back(
        {absl::StrCat(i), absl::StrCat("127.", i / 65536 + 1, ".", i / 256 % 256, ".", i % 256)});
  }
  // A network's last address answers on loopback as well, but is a broadcast.
  targets[0].address = "127.0.0.1";
  return targets;
}

TEST(IcmpProber, TenThousandAnswer) {
  InEmptyNetwork([] {
    auto prober = IcmpProber::Open();
    ASSERT_TRUE(prober.ok()) << prober.status();
    auto answered = (*prober)->Sweep(Loopbacks(10000), absl::Seconds(10));
    ASSERT_TRUE(answered.ok()) << answered.status();
    EXPECT_EQ(std::count(answered->begin(), answered->end(), true), 10000);
  });
}

TEST(IcmpProber, TellsApartWhoAnswersAndWhoDoesNot) {
  InEmptyNetwork([] {
    auto prober = IcmpProber::Open();
    ASSERT_TRUE(prober.ok()) << prober.status();
    // No route, no address, and two that are there; the same address may be asked for twice.
    auto answered = (*prober)->Sweep({{"a", "127.0.0.1"},
                                      {"b", "10.0.0.1"},
                                      {"c", "not an address"},
                                      {"d", ""},
                                      {"e", "127.0.0.1"},
                                      {"f", "0.0.0.0"},
                                      {"g", "127.8.0.1"}},
                                     absl::Milliseconds(200));
    ASSERT_TRUE(answered.ok()) << answered.status();
    EXPECT_EQ(*answered, (std::vector<bool>{true, false, false, false, true, false, true}));
    answered = (*prober)->Sweep({}, absl::Seconds(1));
    ASSERT_TRUE(answered.ok());
    EXPECT_TRUE(answered->empty());
  });
}

TEST(IcmpProber, SilenceEndsWithThePatience) {
  InEmptyNetwork([] {
    auto prober = IcmpProber::Open();
    ASSERT_TRUE(prober.ok()) << prober.status();
    WriteSetting("/proc/sys/net/ipv4/icmp_echo_ignore_all", "1");
    auto answered = (*prober)->Sweep(Loopbacks(300), absl::Milliseconds(100));
    ASSERT_TRUE(answered.ok()) << answered.status();
    EXPECT_EQ(std::count(answered->begin(), answered->end(), true), 0);
    WriteSetting("/proc/sys/net/ipv4/icmp_echo_ignore_all", "0");
    answered = (*prober)->Sweep(Loopbacks(300), absl::Seconds(10));
    ASSERT_TRUE(answered.ok()) << answered.status();
    EXPECT_EQ(std::count(answered->begin(), answered->end(), true), 300);
  });
}

TEST(IcmpProber, ASmallReceiveBufferLosesNothing) {
  InEmptyNetwork([] {
    // Without it the buffer is what the system grants everybody.
    DropCapabilities({CAP_NET_ADMIN});
    auto prober = IcmpProber::Open();
    ASSERT_TRUE(prober.ok()) << prober.status();
    auto answered = (*prober)->Sweep(Loopbacks(5000), absl::Seconds(10));
    ASSERT_TRUE(answered.ok()) << answered.status();
    EXPECT_EQ(std::count(answered->begin(), answered->end(), true), 5000);
  });
}

TEST(IcmpProber, WithoutTheRightItSaysSoAndHowToGetIt) {
  InEmptyNetwork([] {
    WriteSetting("/proc/sys/net/ipv4/ping_group_range", "1 0");
    DropCapabilities({CAP_NET_RAW});
    absl::Status refused = IcmpProber::Open().status();
    EXPECT_EQ(refused.code(), absl::StatusCode::kPermissionDenied);
    EXPECT_EQ(ReasonOf(refused), "PROBING_NOT_PERMITTED");
    EXPECT_NE(refused.message().find("CAP_NET_RAW"), absl::string_view::npos);
  });
}

TEST(IcmpProber, TheGroupThatMayPingNeedsNoCapability) {
  InEmptyNetwork([] {
    WriteSetting("/proc/sys/net/ipv4/ping_group_range", absl::StrCat(getegid(), " ", getegid()));
    DropCapabilities({CAP_NET_RAW, CAP_NET_ADMIN});
    auto prober = IcmpProber::Open();
    ASSERT_TRUE(prober.ok()) << prober.status();
    auto answered = (*prober)->Sweep(Loopbacks(1000), absl::Seconds(10));
    ASSERT_TRUE(answered.ok()) << answered.status();
    EXPECT_EQ(std::count(answered->begin(), answered->end(), true), 1000);
  });
}

TEST(IcmpProber, SweepsAtTheSameTimeDoNotMixUp) {
  InEmptyNetwork([] {
    auto prober = IcmpProber::Open();
    ASSERT_TRUE(prober.ok()) << prober.status();
    std::vector<std::thread> threads;
    for (int t = 0; t < 3; ++t) {
      // The threads are in the namespace of the one that makes them.
      threads.emplace_back([&] {
        std::vector<ProbeTarget> targets = Loopbacks(2000);
        for (size_t i = 0; i < targets.size(); i += 2) targets[i].address = "10.0.0.1";
        auto answered = (*prober)->Sweep(targets, absl::Seconds(5));
        ASSERT_TRUE(answered.ok()) << answered.status();
        for (size_t i = 0; i < targets.size(); ++i) ASSERT_EQ((*answered)[i], i % 2 == 1) << i;
      });
    }
    for (std::thread& thread : threads) thread.join();
  });
}

}  // namespace
}  // namespace drover::reach
