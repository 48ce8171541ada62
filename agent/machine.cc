#include "agent/machine.h"

#include <arpa/inet.h>
#include <ifaddrs.h>
#include <net/if.h>
#include <sys/utsname.h>

#include <map>
#include <vector>

#include "absl/strings/ascii.h"
#include "absl/strings/escaping.h"
#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "absl/strings/strip.h"
#include "agent/durable_file.h"
#include "agent/process_watch.h"
#include "openssl/sha.h"

namespace drover::agent {
namespace {

// "" when it cannot be read.
std::string ReadLine(const std::string& path) {
  auto text = ReadWholeFile(path);
  return text.ok() ? std::string(absl::StripAsciiWhitespace(*text)) : "";
}

// The card with the lowest index that has a hardware address and is none that software makes on top
// of others.
std::string FirstMac() {
  std::map<unsigned, std::string> cards;
  struct if_nameindex* all = if_nameindex();
  for (auto* card = all; card != nullptr && card->if_index != 0; ++card) {
    const std::string directory = absl::StrCat("/sys/class/net/", card->if_name);
    const std::string mac = ReadLine(directory + "/address");
    const std::string type = ReadLine(directory + "/type");
    const bool made_up = absl::StartsWith(card->if_name, "docker") ||
                         absl::StartsWith(card->if_name, "br-") ||
                         absl::StartsWith(card->if_name, "virbr");
    // Type 1 is Ethernet; the loopback is 772.
    if (type == "1" && !made_up && mac.size() == 17 && mac != "00:00:00:00:00:00") {
      cards[card->if_index] = mac;
    }
  }
  if (all != nullptr) if_freenameindex(all);
  return cards.empty() ? "" : cards.begin()->second;
}

std::string Sha256(absl::string_view text) {
  unsigned char digest[SHA256_DIGEST_LENGTH];
  SHA256(reinterpret_cast<const unsigned char*>(text.data()), text.size(), digest);
  return absl::BytesToHexString(
      absl::string_view(reinterpret_cast<const char*>(digest), sizeof(digest)));
}

std::string BootId() {
  const auto init = ReadProcess(1);
  return absl::StrCat(ReadLine("/proc/sys/kernel/random/boot_id"), "/",
                      init ? init->start_ticks : 0);
}

std::string Text(const sockaddr* address) {
  char text[INET_ADDRSTRLEN];
  const auto* in = reinterpret_cast<const sockaddr_in*>(address);
  return inet_ntop(AF_INET, &in->sin_addr, text, sizeof(text)) == nullptr ? "" : text;
}

}  // namespace

std::string PrettyName(absl::string_view os_release) {
  for (absl::string_view line : absl::StrSplit(os_release, '\n')) {
    if (!absl::ConsumePrefix(&line, "PRETTY_NAME=")) continue;
    line = absl::StripAsciiWhitespace(line);
    absl::ConsumePrefix(&line, "\"");
    absl::ConsumeSuffix(&line, "\"");
    return std::string(line);
  }
  return "Linux";
}

MachineFacts ReadMachine(const std::string& configured_bios_uuid) {
  MachineFacts facts;
  facts.bios_uuid = absl::AsciiStrToLower(ReadLine("/sys/class/dmi/id/product_uuid"));
  if (facts.bios_uuid.empty()) facts.bios_uuid = absl::AsciiStrToLower(configured_bios_uuid);
  utsname names = {};
  uname(&names);
  facts.hostname = names.nodename;
  facts.os_version = PrettyName(ReadWholeFile("/etc/os-release").value_or(""));
  facts.boot_id = BootId();
  facts.fingerprint = Sha256(absl::StrCat(FirstMac(), "\n", ReadLine("/etc/machine-id")));
  return facts;
}

DefaultRoute FindDefaultRoute(absl::string_view proc_net_route) {
  DefaultRoute best;
  int64_t best_metric = -1;
  for (absl::string_view line : absl::StrSplit(proc_net_route, '\n')) {
    // Iface Destination Gateway Flags RefCnt Use Metric Mask ...; addresses as the kernel holds
    // them, in hexadecimal.
    const std::vector<std::string> fields = absl::StrSplit(line, '\t');
    if (fields.size() < 8 || fields[1] != "00000000" || fields[7] != "00000000") continue;
    int64_t metric;
    uint32_t gateway;
    if (!absl::SimpleAtoi(fields[6], &metric) || !absl::SimpleHexAtoi(fields[2], &gateway)) {
      continue;
    }
    if (best_metric >= 0 && metric >= best_metric) continue;
    best_metric = metric;
    char text[INET_ADDRSTRLEN];
    const in_addr address{gateway};
    inet_ntop(AF_INET, &address, text, sizeof(text));
    best = {fields[0], gateway == 0 ? "" : text};
  }
  return best;
}

void ReadNetwork(v1::StateReport& report) {
  const DefaultRoute route = FindDefaultRoute(ReadWholeFile("/proc/net/route").value_or(""));
  report.set_gateway(route.gateway);
  ifaddrs* all = nullptr;
  if (getifaddrs(&all) == 0) {
    for (const ifaddrs* at = all; at != nullptr; at = at->ifa_next) {
      if (at->ifa_addr == nullptr || at->ifa_addr->sa_family != AF_INET) continue;
      if ((at->ifa_flags & IFF_LOOPBACK) != 0 || (at->ifa_flags & IFF_UP) == 0) continue;
      if (!route.card.empty() && route.card != at->ifa_name) continue;
      report.set_ip(Text(at->ifa_addr));
      if (at->ifa_netmask != nullptr) report.set_netmask(Text(at->ifa_netmask));
      break;
    }
    freeifaddrs(all);
  }
  report.clear_dns();
  const std::string resolv = ReadWholeFile("/etc/resolv.conf").value_or("");
  for (absl::string_view line : absl::StrSplit(resolv, '\n')) {
    if (!absl::ConsumePrefix(&line, "nameserver")) continue;
    report.add_dns(std::string(absl::StripAsciiWhitespace(line)));
  }
}

}  // namespace drover::agent
