// drover-gateway: JSON, live events and the page for browsers and scripts. Standard output has what
// the person who starts it must see, standard error the log.

#include <malloc.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include <csignal>
#include <cstddef>
#include <cstdlib>
#include <cstring>
#include <iostream>
#include <memory>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "proto/support/channel.h"
#include "proto/support/contract.h"
#include "proto/support/log.h"
#include "proto/support/process.h"
#include "proto/support/status.h"
#include "web-gateway/config.h"
#include "web-gateway/gateway.h"
#include "web-gateway/http_server.h"
#include "web-gateway/openapi.h"
#include "web-gateway/route_table.h"
#include "web-gateway/upstream.h"
#include "web-gateway/version.h"
#include "web-gateway/watch_hub.h"

namespace drover::gateway {
namespace {

constexpr char kUsage[] =
    "usage: drover-gateway [--config FILE]                run the gateway\n"
    "       drover-gateway [--config FILE] config check   check the configuration\n"
    "       drover-gateway --print-openapi                the OpenAPI document of all calls\n"
    "       drover-gateway --version\n"
    "FILE is /etc/drover/gateway.toml when not given.\n";
constexpr int kUsageError = 2;
constexpr int kFailed = 1;
constexpr absl::Duration kGrace = absl::Seconds(10);
constexpr timespec kTrimEvery{10, 0};
// Threads of gRPC come and go; memory that each keeps for itself would be most of the gateway's.
constexpr int kHeaps = 2;

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

// Thousands of browsers are thousands of connections.
void RaiseFileLimit() {
  rlimit limit{};
  if (getrlimit(RLIMIT_NOFILE, &limit) != 0) return;
  limit.rlim_cur = limit.rlim_max;
  setrlimit(RLIMIT_NOFILE, &limit);
}

sigset_t BlockSignals() {
  sigset_t signals;
  sigemptyset(&signals);
  for (const int signal_number : {SIGTERM, SIGINT, SIGHUP}) sigaddset(&signals, signal_number);
  // Before any thread is made, so that all of them leave the signals to this one.
  pthread_sigmask(SIG_BLOCK, &signals, nullptr);
  signal(SIGPIPE, SIG_IGN);
  return signals;
}

HttpServerOptions ServerOptionsOf(const Config& config) {
  HttpServerOptions options;
  options.listen = config.listen;
  options.certificate_file = config.certificate_file;
  options.key_file = config.key_file;
  options.threads = config.threads;
  options.max_connections = config.max_connections;
  options.max_connections_per_address = config.max_connections_per_address;
  options.shared_address = [proxies = config.trusted_proxies](const std::string& address) {
    return proxies.Contains(address);
  };
  return options;
}

void Reload(HttpServer& server, Gateway& gateway) {
  for (const absl::Status& status : {server.Reload(), gateway.Reload()}) {
    if (!status.ok()) LogError("reload: ", status.message());
  }
  LogInfo("certificate and page are read again");
}

absl::Status Serve(const Config& config, const sigset_t& signals) {
  DROVER_ASSIGN_OR_RETURN(RouteTable routes, RouteTable::Build(RulesOf(PublicServices())));
  DROVER_ASSIGN_OR_RETURN(const std::string authority, ReadSmallFile(config.authority_file, false));
  DROVER_ASSIGN_OR_RETURN(const std::string key, ReadSmallFile(config.gateway_key_file, true));
  Upstream upstream(OpenChannel(config.controller, authority + "\n"), key);
  WatchHub hub(&upstream);
  hub.Start();
  Gateway gateway(config, std::move(routes), &upstream, &hub);
  DROVER_RETURN_IF_ERROR(gateway.Reload());
  HttpServer server(ServerOptionsOf(config), &gateway);
  DROVER_RETURN_IF_ERROR(server.Start());
  const std::string listen = config.listen.substr(0, config.listen.rfind(':'));
  const std::string url = absl::StrCat(config.certificate_file.empty() ? "http://" : "https://",
                                       listen, ":", server.port(), "/");
  std::cout << "drover-gateway: ready " << url << std::endl;
  Notify("READY=1");
  LogInfo("serving on ", url, ", controller at ", config.controller);
  int signal_number = 0;
  while (true) {
    signal_number = sigtimedwait(&signals, nullptr, &kTrimEvery);
    if (signal_number == SIGHUP) {
      Reload(server, gateway);
    } else if (signal_number > 0) {
      break;
    } else {
      // A thousand browsers that come at once leave holes where their first requests were.
      malloc_trim(0);
    }
  }
  Notify("STOPPING=1");
  LogInfo("stopping: ", strsignal(signal_number));
  server.Stop(kGrace);
  hub.Stop();
  // Before the server goes: answers still come in until here.
  upstream.Shutdown();
  return absl::OkStatus();
}

int Run(const Config& config) {
  umask(0077);
  RaiseFileLimit();
  mallopt(M_ARENA_MAX, kHeaps);
  const sigset_t signals = BlockSignals();
  SetLogLevel(config.log_level);
  if (const absl::Status status = Serve(config, signals); !status.ok()) {
    LogError("cannot start: ", status.message());
    return kFailed;
  }
  LogInfo("stopped");
  return 0;
}

int PrintOpenApi() {
  const absl::StatusOr<RouteTable> routes = RouteTable::Build(RulesOf(PublicServices()));
  if (!routes.ok()) {
    std::cerr << routes.status().message() << "\n";
    return kFailed;
  }
  std::cout << OpenApiDocument(*routes, kVersion) << "\n";
  return 0;
}

int Main(const std::vector<std::string>& arguments) {
  std::string file = "/etc/drover/gateway.toml";
  std::vector<std::string> words;
  for (size_t i = 0; i < arguments.size(); ++i) {
    if (arguments[i] == "--config" && i + 1 < arguments.size()) {
      file = arguments[++i];
    } else if (arguments[i] == "--help") {
      std::cout << kUsage;
      return 0;
    } else if (arguments[i] == "--version") {
      std::cout << "drover-gateway " << kVersion << "\n";
      return 0;
    } else if (arguments[i] == "--print-openapi") {
      return PrintOpenApi();
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
}  // namespace drover::gateway

int main(int argc, char** argv) {
  drover::SetUpProcess();
  return drover::gateway::Main(std::vector<std::string>(argv + 1, argv + argc));
}
