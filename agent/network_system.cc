#include "agent/network_system.h"

#include <arpa/inet.h>
#include <dirent.h>
#include <ifaddrs.h>
#include <net/if.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>

#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "absl/strings/strip.h"
#include "agent/durable_file.h"
#include "agent/machine.h"
#include "proto/support/log.h"
#include "proto/support/status.h"
#include "proto/support/utf8.h"

namespace drover::agent {
namespace {

// Tools wait for a link, an address check, another manager.
constexpr absl::Duration kLongest = absl::Seconds(90);
// $0 of the scripts, by which a later agent finds them.
constexpr char kMark[] = "drover-network-change";

constexpr char kPath[] =
    "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin; export PATH\n";

// What the tool left of the address that is not to be any more.
constexpr char kRemoveStale[] = R"sh(
[ -z "$3" ] || ip -4 -o addr show dev "$1" | while read -r _ _ _ address _; do
  [ "${address%%/*}" != "$3" ] || ip addr del "$address" dev "$1"
done
)sh";

constexpr char kDirectly[] = R"sh(set -e
ip link set "$1" up
ip -4 addr flush dev "$1" scope global
ip addr add "$2/$3" broadcast + dev "$1"
[ -z "$4" ] || ip route replace default via "$4" dev "$1"
)sh";

std::string Text(const sockaddr* address) {
  char text[INET_ADDRSTRLEN];
  const auto* in = reinterpret_cast<const sockaddr_in*>(address);
  return inet_ntop(AF_INET, &in->sin_addr, text, sizeof(text)) == nullptr ? "" : text;
}

std::string ReadLine(const std::string& path) {
  auto text = ReadWholeFile(path);
  return text.ok() ? std::string(absl::StripAsciiWhitespace(*text)) : "";
}

bool CanRun(absl::string_view program) {
  for (const absl::string_view folder :
       {"/usr/sbin/", "/usr/bin/", "/sbin/", "/bin/", "/usr/local/sbin/"}) {
    if (access(absl::StrCat(folder, program).c_str(), X_OK) == 0) return true;
  }
  return false;
}

bool Exists(const char* path) { return access(path, F_OK) == 0; }

// The gateway of the default route through this card.
std::string GatewayOf(absl::string_view proc_net_route, absl::string_view card) {
  std::string only;
  for (const absl::string_view line : absl::StrSplit(proc_net_route, '\n')) {
    if (absl::StartsWith(line, absl::StrCat(card, "\t"))) absl::StrAppend(&only, line, "\n");
  }
  return FindDefaultRoute(only).gateway;
}

void ReadDirectory(const FilePattern& pattern, FileTexts& files) {
  DIR* directory = opendir(pattern.directory);
  if (directory == nullptr) return;
  const bool whole = absl::EndsWith(pattern.directory, "/") &&
                     (pattern.ending[0] == '.' || pattern.ending[0] == '\0');
  while (const dirent* entry = readdir(directory)) {
    const std::string name = entry->d_name;
    const bool wanted =
        whole ? absl::EndsWith(name, pattern.ending) && name[0] != '.' : name == pattern.ending;
    if (!wanted || absl::EndsWith(name, "~") || absl::EndsWith(name, ".drover-tmp")) continue;
    const std::string path = absl::StrCat(pattern.directory, name);
    struct stat info;
    if (lstat(path.c_str(), &info) != 0 || !S_ISREG(info.st_mode)) continue;
    if (auto text = ReadWholeFile(path); text.ok()) files[path] = *std::move(text);
  }
  closedir(directory);
}

}  // namespace

std::string ApplyScript(NetworkTool tool) {
  switch (tool) {
    case NetworkTool::kNetplan:
      return absl::StrCat(kPath, "netplan apply || exit $?\n", kRemoveStale);
    case NetworkTool::kNetworkManager:
      return absl::StrCat(kPath, R"sh(
nmcli connection reload || exit $?
if [ -n "$2" ]; then nmcli connection up uuid "$2"; else nmcli device connect "$1"; fi || exit $?
)sh",
                          kRemoveStale);
    case NetworkTool::kIfcfg:
      return absl::StrCat(kPath, R"sh(
if command -v nmcli >/dev/null && nmcli -g RUNNING general 2>/dev/null | grep -q '^running'; then
  nmcli connection reload || exit $?
  if [ -n "$2" ]; then nmcli connection up uuid "$2"; else nmcli device connect "$1"; fi || exit $?
else
  ifdown "$1"
  ip -4 addr flush dev "$1" scope global
  ifup "$1" || exit $?
fi
)sh",
                          kRemoveStale);
    case NetworkTool::kIfupdown:
      // The file that ifdown reads is the new one; what the old one has set is flushed.
      return absl::StrCat(kPath, R"sh(
ifdown --force "$1"
ip -4 addr flush dev "$1" scope global
ifup "$1" || exit $?
)sh",
                          kRemoveStale);
    case NetworkTool::kNetworkd:
      return absl::StrCat(kPath, R"sh(
{ networkctl reload && networkctl reconfigure "$1"; } 2>/dev/null ||
  systemctl restart systemd-networkd || exit $?
)sh",
                          kRemoveStale);
    case NetworkTool::kNone:
      break;
  }
  return "exit 1\n";
}

LinuxNetwork::~LinuxNetwork() {
  *alive_ = false;
  if (run_ != nullptr) loop_->CancelTimer(run_->timeout);
}

CardState LinuxNetwork::Read(const std::string& card) {
  CardState state;
  state.card = card;
  const std::string routes = ReadWholeFile("/proc/net/route").value_or("");
  if (state.card.empty()) state.card = FindDefaultRoute(routes).card;
  ifaddrs* all = nullptr;
  if (getifaddrs(&all) == 0) {
    for (const ifaddrs* at = all; at != nullptr; at = at->ifa_next) {
      if (at->ifa_addr == nullptr || at->ifa_addr->sa_family != AF_INET) continue;
      if ((at->ifa_flags & IFF_LOOPBACK) != 0 || (at->ifa_flags & IFF_UP) == 0) continue;
      if (state.card.empty()) state.card = at->ifa_name;
      // A label of the card, "eth0:1", is the card too.
      const std::string name(
          absl::string_view(at->ifa_name).substr(0, absl::string_view(at->ifa_name).find(':')));
      if (name != state.card) continue;
      state.addresses.emplace_back(Text(at->ifa_addr),
                                   at->ifa_netmask == nullptr ? "" : Text(at->ifa_netmask));
    }
    freeifaddrs(all);
  }
  state.mac =
      absl::AsciiStrToLower(ReadLine(absl::StrCat("/sys/class/net/", state.card, "/address")));
  state.gateway = GatewayOf(routes, state.card);
  const std::string resolv = ReadWholeFile("/etc/resolv.conf").value_or("");
  for (absl::string_view line : absl::StrSplit(resolv, '\n')) {
    if (!absl::ConsumePrefix(&line, "nameserver")) continue;
    state.dns.emplace_back(absl::StripAsciiWhitespace(line));
  }
  return state;
}

FileTexts LinuxNetwork::Files() {
  FileTexts files;
  for (const FilePattern& pattern : NetworkFilePatterns()) ReadDirectory(pattern, files);
  return files;
}

NetworkPrograms LinuxNetwork::Programs() {
  NetworkPrograms programs;
  programs.netplan = CanRun("netplan");
  programs.nmcli = CanRun("nmcli") && Exists("/run/NetworkManager");
  programs.ifup = CanRun("ifup");
  programs.networkctl = CanRun("networkctl") && Exists("/run/systemd/netif");
  return programs;
}

void LinuxNetwork::Apply(NetworkTool tool, const std::string& card, const std::string& connection,
                         const std::string& stale, std::function<void(absl::Status)> done) {
  RunScript(ApplyScript(tool), {card, connection, stale}, std::move(done));
}

void LinuxNetwork::ApplyDirectly(const CardSettings& settings,
                                 std::function<void(absl::Status)> done) {
  RunScript(
      absl::StrCat(kPath, kDirectly),
      {settings.card, settings.ip, absl::StrCat(PrefixOf(settings.netmask)), settings.gateway},
      std::move(done));
}

void LinuxNetwork::RunScript(const std::string& script, const std::vector<std::string>& arguments,
                             std::function<void(absl::Status)> done) {
  const std::shared_ptr<Run> earlier = std::move(run_);
  if (earlier == nullptr || !earlier->child->running()) {
    return StartScript(script, arguments, std::move(done));
  }
  loop_->CancelTimer(earlier->timeout);
  earlier->done = nullptr;
  KillTree(loop_, earlier->child->pid(), earlier->child->mark(),
           [this, earlier, script, arguments, done = std::move(done),
            alive = alive_](const absl::Status& killed) {
             if (!*alive) return;
             if (!killed.ok()) LogWarning("ending a change of the network: ", killed.message());
             StartScript(script, arguments, done);
           });
}

void LinuxNetwork::StartScript(const std::string& script, const std::vector<std::string>& arguments,
                               std::function<void(absl::Status)> done) {
  auto run = std::make_shared<Run>();
  run->done = std::move(done);
  auto output = OutputFile::InMemory();
  Program program;
  program.argv = {"/bin/sh", "-c", script, kMark};
  program.argv.insert(program.argv.end(), arguments.begin(), arguments.end());
  absl::StatusOr<std::unique_ptr<ChildProcess>> child = absl::UnknownError("not started");
  if (!output.ok()) {
    child = output.status();
  } else {
    run->output = std::make_unique<OutputFile>(*std::move(output));
    program.output_fd = run->output->fd();
    child = ChildProcess::Start(
        loop_, program, [this, weak = std::weak_ptr<Run>(run)](ExitStatus exit) {
          const std::shared_ptr<Run> run = weak.lock();
          if (run == nullptr) return;
          if (exit.code == 0) return EndRun(run, absl::OkStatus());
          const std::string words = CleanText(run->output->Tail(512), 512);
          EndRun(run, absl::FailedPreconditionError(words.empty() ? exit.ToString() : words));
        });
  }
  if (!child.ok()) {
    loop_->Post([done = run->done, status = child.status()] { done(status); });
    return;
  }
  run->child = *std::move(child);
  run->timeout = loop_->RunAfter(kLongest, [this, weak = std::weak_ptr<Run>(run)] {
    const std::shared_ptr<Run> run = weak.lock();
    if (run == nullptr) return;
    run->timeout = 0;
    KillTree(loop_, run->child->pid(), run->child->mark(),
             [this, run, alive = alive_](const absl::Status&) {
               if (*alive) EndRun(run, absl::DeadlineExceededError("the network's tools hang"));
             });
  });
  run_ = std::move(run);
}

void LinuxNetwork::EndRun(const std::shared_ptr<Run>& run, const absl::Status& status) {
  loop_->CancelTimer(run->timeout);
  const auto done = std::exchange(run->done, nullptr);
  // Not from within the process, which may go with it.
  if (done) loop_->Post([done, status, run] { done(status); });
}

void LinuxNetwork::Ask(const std::string& card, const std::string& target,
                       const std::string& source, std::function<void(bool answered)> done) {
  auto probe = ArpProbe::Start(loop_, card, target, source, done);
  if (probe.ok()) {
    probe_ = *std::move(probe);
    return;
  }
  // Where it cannot be asked nothing is known against an address; a gateway has to prove itself by
  // the controller's being reached. An asker tells the two apart by its source.
  LogDebug("asking for ", target, ": ", probe.status().message());
  loop_->Post([done = std::move(done), known = !source.empty()] { done(known); });
}

void LinuxNetwork::StopStrays(std::function<void()> done) {
  pid_t stray = 0;
  if (DIR* proc = opendir("/proc")) {
    while (const dirent* entry = readdir(proc)) {
      int pid;
      if (!absl::SimpleAtoi(entry->d_name, &pid) || pid == getpid()) continue;
      const std::string line = ReadWholeFile(absl::StrCat("/proc/", pid, "/cmdline")).value_or("");
      if (absl::StrContains(line, std::string(1, '\0') + kMark + '\0')) stray = pid;
    }
    closedir(proc);
  }
  if (stray == 0) return loop_->Post(std::move(done));
  KillTree(loop_, stray, "", [done = std::move(done)](const absl::Status&) { done(); });
}

}  // namespace drover::agent
