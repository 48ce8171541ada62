// droverd: the controller. Standard output has what the person who starts it must see, standard
// error the log.

#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include <csignal>
#include <cstdlib>
#include <cstring>
#include <ctime>
#include <iostream>
#include <string>
#include <vector>

#include "controller/config.h"
#include "controller/daemon.h"
#include "proto/support/log.h"
#include "proto/support/process.h"
#include "proto/support/status.h"

namespace drover {
namespace {

constexpr char kUsage[] =
    "usage: droverd [--config FILE]                run the controller\n"
    "       droverd [--config FILE] config check   check the configuration\n"
    "FILE is /etc/drover/controller.toml when not given.\n";
constexpr int kUsageError = 2;
constexpr int kFailed = 1;
// How often what is due now and then is looked after.
constexpr time_t kMaintenanceSeconds = 3600;

// Tells the service manager, when there is one (sd_notify's protocol).
void Notify(const std::string& state) {
  const char* path = getenv("NOTIFY_SOCKET");
  if (path == nullptr || (path[0] != '/' && path[0] != '@')) return;
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  const size_t length = strlen(path);
  if (length >= sizeof(address.sun_path)) return;
  memcpy(address.sun_path, path, length);
  // '@' stands for the abstract name space.
  if (path[0] == '@') address.sun_path[0] = '\0';
  const int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
  if (fd < 0) return;
  sendto(fd, state.data(), state.size(), MSG_NOSIGNAL, reinterpret_cast<sockaddr*>(&address),
         static_cast<socklen_t>(offsetof(sockaddr_un, sun_path) + length));
  close(fd);
}

// Keys and passwords are in memory: neither core files nor other processes of the same user get
// them (P23). Leak detection works by being traced.
void HideMemory() {
#if !defined(__SANITIZE_ADDRESS__)
  prctl(PR_SET_DUMPABLE, 0);
#endif
}

// Thousands of agents are thousands of connections.
void RaiseFileLimit() {
  rlimit limit{};
  if (getrlimit(RLIMIT_NOFILE, &limit) != 0) return;
  limit.rlim_cur = limit.rlim_max;
  setrlimit(RLIMIT_NOFILE, &limit);
}

sigset_t BlockSignals() {
  sigset_t signals;
  sigemptyset(&signals);
  sigaddset(&signals, SIGTERM);
  sigaddset(&signals, SIGINT);
  // Before any thread is made, so that all of them leave the signals to this one.
  pthread_sigmask(SIG_BLOCK, &signals, nullptr);
  signal(SIGPIPE, SIG_IGN);
  return signals;
}

int Run(const Config& config) {
  umask(0077);
  RaiseFileLimit();
  HideMemory();
  const sigset_t signals = BlockSignals();
  SetLogLevel(config.log_level);
  absl::StatusOr<std::unique_ptr<Daemon>> daemon = Daemon::Open(config);
  if (!daemon.ok()) {
    LogError("cannot start: ", daemon.status().message());
    return kFailed;
  }
  if (const auto& password = (*daemon)->first_password()) {
    std::cout << "Initial administrator: admin  One-time password: " << *password << "\n"
              << "Authority, as the first sign-in shows it: SHA-256 "
              << (*daemon)->authority_fingerprint() << std::endl;
  }
  if (const absl::Status started = (*daemon)->Start(); !started.ok()) {
    LogError("cannot start: ", started.message());
    return kFailed;
  }
  std::cout << "droverd: ready" << std::endl;
  Notify("READY=1");
  LogInfo("serving on ", config.listen, ", agents on ", config.agents_listen);
  const timespec wait{kMaintenanceSeconds, 0};
  int signal_number = 0;
  while ((signal_number = sigtimedwait(&signals, nullptr, &wait)) < 0) (*daemon)->Maintain();
  Notify("STOPPING=1");
  LogInfo("stopping: ", strsignal(signal_number));
  (*daemon)->Stop();
  daemon->reset();
  LogInfo("stopped");
  return 0;
}

int Main(const std::vector<std::string>& arguments) {
  std::string file = "/etc/drover/controller.toml";
  std::vector<std::string> words;
  for (size_t i = 0; i < arguments.size(); ++i) {
    if (arguments[i] == "--config" && i + 1 < arguments.size()) {
      file = arguments[++i];
    } else if (arguments[i] == "--help") {
      std::cout << kUsage;
      return 0;
    } else {
      words.push_back(arguments[i]);
    }
  }
  const bool check = words == std::vector<std::string>{"config", "check"};
  if (!words.empty() && !check) {
    std::cerr << kUsage;
    return kUsageError;
  }
  const absl::StatusOr<Config> config = ReadConfig(file);
  if (!config.ok()) {
    std::cerr << config.status().message() << "\n";
    return kUsageError;
  }
  if (check) {
    std::cout << file << ": ok\n";
    return 0;
  }
  return Run(*config);
}

}  // namespace
}  // namespace drover

int main(int argc, char** argv) {
  drover::SetUpProcess();
  return drover::Main(std::vector<std::string>(argv + 1, argv + argc));
}
