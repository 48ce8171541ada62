// One ICMP sweep over 4,000 and 10,000 addresses, all answering and with a tenth that does not: the
// controller's prober, fping as the reference, and a bare loop of sendmmsg and recvmmsg that keeps
// no account of who answered. All in a network namespace of its own, where every address of
// 127.0.0.0/8 answers and those behind a device that leads nowhere do not. Median of five rounds,
// in turns.
//
// Ends with 1 when somebody counted other answers than there are, or ours is slower than fping.
#include <arpa/inet.h>
#include <fcntl.h>
#include <linux/icmp.h>
#include <netinet/in.h>
#include <poll.h>
#include <sched.h>
#include <spawn.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <fstream>
#include <functional>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "controller/reach/icmp_prober.h"

namespace {

using SteadyClock = std::chrono::steady_clock;
using drover::core::ProbeTarget;

constexpr int kRounds = 5;
constexpr int kBatch = 64;
constexpr int kPatienceMs = 500;

[[noreturn]] void Fail(const std::string& what) {
  std::fprintf(stderr, "icmp_sweep: %s\n", what.c_str());
  std::exit(1);
}

double MillisecondsSince(SteadyClock::time_point begin) {
  return std::chrono::duration<double, std::milli>(SteadyClock::now() - begin).count();
}

// Exit code; standard output goes nowhere, standard error into the file.
int Run(std::vector<std::string> words, const std::string& input, const std::string& errors) {
  std::vector<char*> arguments;
  for (std::string& word : words) arguments.push_back(word.data());
  arguments.push_back(nullptr);
  posix_spawn_file_actions_t files;
  posix_spawn_file_actions_init(&files);
  posix_spawn_file_actions_addopen(&files, 0, input.c_str(), O_RDONLY, 0);
  posix_spawn_file_actions_addopen(&files, 1, "/dev/null", O_WRONLY, 0);
  posix_spawn_file_actions_addopen(&files, 2, errors.c_str(), O_WRONLY | O_CREAT | O_TRUNC, 0600);
  pid_t child = 0;
  if (posix_spawnp(&child, arguments[0], &files, nullptr, arguments.data(), environ) != 0) {
    Fail(absl::StrCat("cannot start ", words[0]));
  }
  posix_spawn_file_actions_destroy(&files);
  int status = 0;
  waitpid(child, &status, 0);
  return WIFEXITED(status) ? WEXITSTATUS(status) : 128;
}

bool Ip(std::vector<std::string> words) {
  words.insert(words.begin(), "ip");
  return Run(words, "/dev/null", "/dev/null") == 0;
}

void EnterNetwork() {
  if (unshare(CLONE_NEWNET) != 0) Fail("needs root, to make a network namespace");
  // A device that swallows what it is given and resolves no neighbours; kernels differ in which
  // ones they have.
  bool ready = Ip({"link", "set", "lo", "up"}) &&
               (Ip({"link", "add", "silent", "type", "dummy"}) ||
                Ip({"link", "add", "silent", "type", "ifb"})) &&
               Ip({"address", "add", "10.99.0.1/16", "dev", "silent"}) &&
               Ip({"link", "set", "silent", "up"});
  if (!ready) Fail("ip does not set up the namespace");
}

std::vector<ProbeTarget> Targets(int count, bool some_silent) {
  std::vector<ProbeTarget> targets;
  for (int i = 0; i < count; ++i) {
    bool silent = some_silent && i % 10 == 9;
    std::string address = silent ? absl::StrCat("10.99.", 1 + i / 250, ".", 1 + i % 250)
                                 : absl::StrCat("127.1.", i / 250, ".", 1 + i % 250);
    targets.push_back({absl::StrCat(i), address});
  }
  return targets;
}

struct Result {
  double milliseconds = 0;
  int answered = 0;
};

Result Ours(drover::reach::IcmpProber& prober, const std::vector<ProbeTarget>& targets) {
  SteadyClock::time_point begin = SteadyClock::now();
  auto answered = prober.Sweep(targets, absl::Milliseconds(kPatienceMs));
  double took = MillisecondsSince(begin);
  if (!answered.ok()) Fail(std::string(answered.status().message()));
  return {took, static_cast<int>(std::count(answered->begin(), answered->end(), true))};
}

Result Fping(const std::string& list, const std::string& errors) {
  SteadyClock::time_point begin = SteadyClock::now();
  // 1: some did not answer.
  int code = Run({"fping", "-i0", "-c1", absl::StrCat("-t", kPatienceMs), "-q"}, list, errors);
  double took = MillisecondsSince(begin);
  if (code > 1) Fail(absl::StrCat("fping ended with ", code));
  Result result{took, 0};
  std::ifstream lines(errors);
  for (std::string line; std::getline(lines, line);) {
    result.answered += line.find("1/1/0%") != std::string::npos;
  }
  return result;
}

// Sends all, reads all, counts; nothing else.
Result Bare(const std::vector<ProbeTarget>& targets) {
  SteadyClock::time_point begin = SteadyClock::now();
  int fd = socket(AF_INET, SOCK_RAW | SOCK_CLOEXEC, IPPROTO_ICMP);
  icmp_filter filter{~(1U << ICMP_ECHOREPLY)};
  int room = 16 << 20;
  setsockopt(fd, SOL_RAW, ICMP_FILTER, &filter, sizeof filter);
  setsockopt(fd, SOL_SOCKET, SO_RCVBUFFORCE, &room, sizeof room);
  std::vector<sockaddr_in> addresses(targets.size());
  for (size_t i = 0; i < targets.size(); ++i) {
    addresses[i].sin_family = AF_INET;
    inet_pton(AF_INET, targets[i].address.c_str(), &addresses[i].sin_addr);
  }
  // The checksum of an echo of zeros with id 1.
  std::array<uint16_t, 12> echo = {8, 0, 1};
  echo[1] = static_cast<uint16_t>(~(echo[0] + echo[2]));
  iovec piece{echo.data(), sizeof echo};
  std::array<mmsghdr, kBatch> out{}, in{};
  std::array<std::array<char, 64>, kBatch> buffers;
  std::array<iovec, kBatch> pieces;
  for (int i = 0; i < kBatch; ++i) {
    pieces[i] = {buffers[i].data(), buffers[i].size()};
    in[i].msg_hdr.msg_iov = &pieces[i];
    in[i].msg_hdr.msg_iovlen = 1;
  }
  Result result;
  auto read_all = [&] {
    int got;
    do {
      got = recvmmsg(fd, in.data(), kBatch, MSG_DONTWAIT, nullptr);
      if (got > 0) result.answered += got;
    } while (got == kBatch);
  };
  for (size_t next = 0; next < targets.size();) {
    int count = static_cast<int>(std::min<size_t>(kBatch, targets.size() - next));
    for (int i = 0; i < count; ++i) {
      out[i].msg_hdr.msg_name = &addresses[next + i];
      out[i].msg_hdr.msg_namelen = sizeof(sockaddr_in);
      out[i].msg_hdr.msg_iov = &piece;
      out[i].msg_hdr.msg_iovlen = 1;
    }
    next += std::max(1, sendmmsg(fd, out.data(), count, 0));
    read_all();
  }
  while (result.answered < static_cast<int>(targets.size())) {
    int left = kPatienceMs - static_cast<int>(MillisecondsSince(begin));
    pollfd readable{fd, POLLIN, 0};
    if (left <= 0 || poll(&readable, 1, left) <= 0) break;
    read_all();
  }
  close(fd);
  result.milliseconds = MillisecondsSince(begin);
  return result;
}

double MedianOf(std::vector<double> values) {
  std::sort(values.begin(), values.end());
  return values[values.size() / 2];
}

// False when ours is slower than fping.
bool Measure(drover::reach::IcmpProber& prober, int count, bool some_silent,
             const std::string& folder) {
  const std::vector<ProbeTarget> targets = Targets(count, some_silent);
  const int alive = some_silent ? count - count / 10 : count;
  const std::string list = folder + "/addresses";
  {
    std::ofstream file(list);
    for (const ProbeTarget& target : targets) file << target.address << "\n";
  }
  std::vector<double> ours, fping, bare;
  for (int round = 0; round < kRounds; ++round) {
    for (auto [name, result, times] : {std::tuple("ours", Ours(prober, targets), &ours),
                                       std::tuple("fping", Fping(list, folder + "/fping"), &fping),
                                       std::tuple("the bare loop", Bare(targets), &bare)}) {
      times->push_back(result.milliseconds);
      if (result.answered != alive) {
        Fail(absl::StrCat(name, " counted ", result.answered, " answers of ", alive));
      }
    }
  }
  double own = MedianOf(ours), reference = MedianOf(fping), loop = MedianOf(bare);
  std::printf("%9d  %6s  %8.1f ms  %8.1f ms  %8.1f ms  %10.2f  %13.2f\n", count,
              some_silent ? "10%" : "none", own, reference, loop, own / reference, own / loop);
  return own <= reference;
}

}  // namespace

int main() {
  EnterNetwork();
  auto prober = drover::reach::IcmpProber::Open();
  if (!prober.ok()) Fail(std::string(prober.status().message()));
  char folder[] = "/tmp/icmp_sweep.XXXXXX";
  if (mkdtemp(folder) == nullptr) Fail("no temporary folder");
  std::printf(
      "addresses  silent         ours        fping    bare loop  ours/fping  ours/bare loop\n");
  bool fast = true;
  for (int count : {4000, 10000}) {
    for (bool some_silent : {false, true}) fast &= Measure(**prober, count, some_silent, folder);
  }
  for (const char* file : {"/addresses", "/fping"}) unlink((std::string(folder) + file).c_str());
  rmdir(folder);
  if (!fast) Fail("slower than fping");
  return 0;
}
