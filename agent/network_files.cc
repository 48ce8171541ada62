#include "agent/network_files.h"

#include <arpa/inet.h>
#include <fnmatch.h>

#include <algorithm>
#include <optional>
#include <utility>

#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/strings/str_split.h"
#include "absl/strings/strip.h"
#include "agent/key_lines.h"
#include "proto/support/status.h"

namespace drover::agent {
namespace {

constexpr char kNetplan[] = "/etc/netplan/";
constexpr char kKeyfiles[] = "/etc/NetworkManager/system-connections/";
constexpr char kIfcfg[] = "/etc/sysconfig/network-scripts/";
constexpr char kInterfaces[] = "/etc/network/interfaces";
constexpr char kInterfacesFolder[] = "/etc/network/interfaces.d/";
constexpr char kNetworkd[] = "/etc/systemd/network/";
constexpr char kResolvConf[] = "/etc/resolv.conf";

bool BeginsWithIpv4(absl::string_view text) {
  in_addr address;
  const std::string alone(text.substr(0, text.find_first_of("/,; ")));
  return inet_pton(AF_INET, alone.c_str(), &address) == 1;
}

std::string WithPrefix(const CardSettings& wanted) {
  return absl::StrCat(wanted.ip, "/", PrefixOf(wanted.netmask));
}

std::string Unquoted(absl::string_view value) {
  value = absl::StripAsciiWhitespace(value);
  for (const absl::string_view quote : {"\"", "'"}) {
    if (absl::ConsumePrefix(&value, quote)) absl::ConsumeSuffix(&value, quote);
  }
  return std::string(value);
}

// Of several addresses the one that is in force, else the first IPv4.
std::string Meant(const std::vector<std::string>& values, const CardSettings& before) {
  std::string first;
  for (const std::string& value : values) {
    if (!BeginsWithIpv4(value)) continue;
    if (value.substr(0, value.find_first_of("/,; ")) == before.ip) return value;
    if (first.empty()) first = value;
  }
  return first;
}

std::vector<std::string> In(const FileTexts& files, absl::string_view directory,
                            absl::string_view ending = "") {
  std::vector<std::string> paths;
  for (const auto& [path, text] : files) {
    if (absl::StartsWith(path, directory) && absl::EndsWith(path, ending)) paths.push_back(path);
  }
  return paths;
}

bool KeyfileNames(absl::string_view text, const CardSettings& card) {
  const KeyLines lines(text);
  if (lines.First("connection", "interface-name") == card.card) return true;
  for (const absl::string_view section : {"ethernet", "802-3-ethernet"}) {
    const std::string mac = absl::AsciiStrToLower(lines.First(section, "mac-address"));
    if (!mac.empty() && mac == card.mac) return true;
  }
  return false;
}

// The one that brings the address that is there, else the first that names the card.
std::string KeyfileOf(const FileTexts& files, const CardSettings& card) {
  std::string first;
  for (const std::string& path : In(files, kKeyfiles)) {
    if (!KeyfileNames(files.at(path), card)) continue;
    if (!card.ip.empty() && absl::StrContains(files.at(path), absl::StrCat("=", card.ip, "/"))) {
      return path;
    }
    if (first.empty()) first = path;
  }
  return first;
}

std::string IfcfgOf(const FileTexts& files, const CardSettings& card) {
  const std::string own = absl::StrCat(kIfcfg, "ifcfg-", card.card);
  if (files.count(own) > 0) return own;
  for (const std::string& path : In(files, kIfcfg)) {
    const KeyLines lines(files.at(path));
    const std::string mac = absl::AsciiStrToLower(Unquoted(lines.First("", "HWADDR")));
    if (Unquoted(lines.First("", "DEVICE")) == card.card || (!mac.empty() && mac == card.mac)) {
      return path;
    }
  }
  return "";
}

bool NetworkdNames(absl::string_view text, const CardSettings& card) {
  const KeyLines lines(text);
  const std::string mac = absl::AsciiStrToLower(lines.First("Match", "MACAddress"));
  if (!mac.empty()) return absl::StrContains(mac, card.mac) && !card.mac.empty();
  const std::vector<std::string> patterns =
      absl::StrSplit(lines.First("Match", "Name"), ' ', absl::SkipEmpty());
  return std::any_of(patterns.begin(), patterns.end(), [&](const std::string& pattern) {
    return fnmatch(pattern.c_str(), card.card.c_str(), 0) == 0;
  });
}

// systemd takes the first that matches.
std::string NetworkdOf(const FileTexts& files, const CardSettings& card) {
  for (const std::string& path : In(files, kNetworkd, ".network")) {
    if (NetworkdNames(files.at(path), card)) return path;
  }
  return "";
}

std::string InterfacesOf(const FileTexts& files, const CardSettings& card) {
  for (const auto& [path, text] : files) {
    if (path != kInterfaces && !absl::StartsWith(path, kInterfacesFolder)) continue;
    if (InterfacesName(text, card.card)) return path;
  }
  return "";
}

std::string TextOf(const FileTexts& files, const std::string& path) {
  const auto found = files.find(path);
  return found == files.end() ? "" : found->second;
}

absl::StatusOr<std::string> NetplanOf(const FileTexts& files, const CardSettings& before,
                                      const CardSettings& wanted) {
  // The last one wins where they differ, but lists add up: the address in force counts most.
  std::string last;
  for (const std::string& path : In(files, kNetplan, ".yaml")) {
    const absl::StatusOr<std::string> edited = EditNetplan(files.at(path), before, wanted);
    if (absl::IsNotFound(edited.status())) continue;
    DROVER_RETURN_IF_ERROR(edited.status());
    last = path;
    if (!before.ip.empty() && absl::StrContains(files.at(path), absl::StrCat(before.ip, "/"))) {
      return path;
    }
  }
  return last;
}

absl::Status EditNetplanFiles(const FileTexts& files, const CardSettings& before,
                              const CardSettings& wanted, NetworkEdit& edit) {
  DROVER_ASSIGN_OR_RETURN(std::string path, NetplanOf(files, before, wanted));
  std::string text = TextOf(files, path);
  if (path.empty()) {
    path = absl::StrCat(kNetplan, "90-drover.yaml");
    text = absl::StrCat("network:\n  version: 2\n  ethernets:\n    ", wanted.card,
                        ":\n      dhcp4: false\n");
  }
  DROVER_ASSIGN_OR_RETURN(edit.files[path], EditNetplan(text, before, wanted));
  return absl::OkStatus();
}

void EditNetworkdFiles(const FileTexts& files, const CardSettings& before,
                       const CardSettings& wanted, NetworkEdit& edit) {
  std::string path = NetworkdOf(files, before);
  std::string text = TextOf(files, path);
  const bool own = !path.empty() && KeyLines(text).First("Match", "Name") == wanted.card;
  const bool by_mac = !path.empty() && !KeyLines(text).First("Match", "MACAddress").empty();
  if (!own && !by_mac) {
    // A file for many cards must not give all of them this address: the card gets its own, which
    // comes before any other.
    path = absl::StrCat(kNetworkd, "00-0-drover-", wanted.card, ".network");
    KeyLines lines(text);
    lines.Set("Match", "Name", wanted.card);
    text = lines.text();
  }
  edit.files[path] = EditNetworkd(text, before, wanted);
}

}  // namespace

absl::string_view NameOf(NetworkTool tool) {
  switch (tool) {
    case NetworkTool::kNetplan:
      return "netplan";
    case NetworkTool::kNetworkManager:
      return "NetworkManager";
    case NetworkTool::kIfcfg:
      return "ifcfg files";
    case NetworkTool::kIfupdown:
      return "ifupdown";
    case NetworkTool::kNetworkd:
      return "systemd-networkd";
    case NetworkTool::kNone:
      break;
  }
  return "nothing known";
}

const std::vector<FilePattern>& NetworkFilePatterns() {
  static const auto& patterns = *new std::vector<FilePattern>{{kNetplan, ".yaml"},
                                                              {kKeyfiles, ""},
                                                              {kIfcfg, ""},
                                                              {"/etc/network/", "interfaces"},
                                                              {kInterfacesFolder, ""},
                                                              {kNetworkd, ".network"},
                                                              {"/etc/", "resolv.conf"}};
  return patterns;
}

int PrefixOf(absl::string_view netmask) {
  in_addr mask;
  if (inet_pton(AF_INET, std::string(netmask).c_str(), &mask) != 1) return 0;
  const uint32_t bits = ntohl(mask.s_addr);
  // Ones, then zeros.
  if ((~bits & (~bits + 1)) != 0) return 0;
  return __builtin_popcount(bits);
}

NetworkTool ChooseTool(const FileTexts& files, const NetworkPrograms& programs,
                       const CardSettings& card) {
  if (programs.netplan && !In(files, kNetplan, ".yaml").empty()) return NetworkTool::kNetplan;
  if (programs.nmcli && !KeyfileOf(files, card).empty()) return NetworkTool::kNetworkManager;
  if ((programs.nmcli || programs.ifup) && !IfcfgOf(files, card).empty()) {
    return NetworkTool::kIfcfg;
  }
  if (programs.ifup && !InterfacesOf(files, card).empty()) return NetworkTool::kIfupdown;
  if (programs.networkctl && !NetworkdOf(files, card).empty()) return NetworkTool::kNetworkd;
  if (programs.netplan) return NetworkTool::kNetplan;
  if (programs.nmcli) return NetworkTool::kNetworkManager;
  if (programs.ifup && files.count(kInterfaces) > 0) return NetworkTool::kIfupdown;
  if (programs.networkctl) return NetworkTool::kNetworkd;
  return NetworkTool::kNone;
}

absl::StatusOr<NetworkEdit> EditNetworkFiles(NetworkTool tool, const FileTexts& files,
                                             const CardSettings& before,
                                             const CardSettings& wanted) {
  NetworkEdit edit;
  switch (tool) {
    case NetworkTool::kNetplan:
      DROVER_RETURN_IF_ERROR(EditNetplanFiles(files, before, wanted, edit));
      break;
    case NetworkTool::kNetworkManager: {
      std::string path = KeyfileOf(files, before);
      std::string text = TextOf(files, path);
      if (path.empty()) {
        path = absl::StrCat(kKeyfiles, "drover-", wanted.card, ".nmconnection");
        text = absl::StrCat("[connection]\nid=drover-", wanted.card,
                            "\ntype=ethernet\ninterface-name=", wanted.card,
                            "\nautoconnect-priority=100\n");
      }
      edit.files[path] = EditKeyfile(text, before, wanted);
      edit.connection = KeyLines(text).First("connection", "uuid");
      break;
    }
    case NetworkTool::kIfcfg: {
      std::string path = IfcfgOf(files, before);
      if (path.empty()) path = absl::StrCat(kIfcfg, "ifcfg-", wanted.card);
      edit.files[path] = EditIfcfg(TextOf(files, path), wanted);
      edit.connection = Unquoted(KeyLines(TextOf(files, path)).First("", "UUID"));
      break;
    }
    case NetworkTool::kIfupdown: {
      std::string path = InterfacesOf(files, before);
      if (path.empty()) path = kInterfaces;
      edit.files[path] = EditInterfaces(TextOf(files, path), wanted);
      break;
    }
    case NetworkTool::kNetworkd:
      EditNetworkdFiles(files, before, wanted, edit);
      break;
    case NetworkTool::kNone:
      return MakeError(absl::StatusCode::kFailedPrecondition, "NETWORK_UNKNOWN_TOOL",
                       "the guest uses none of netplan, NetworkManager, ifcfg files, ifupdown, "
                       "systemd-networkd");
  }
  // NetworkManager writes it itself.
  const auto resolv = files.find(kResolvConf);
  if (resolv != files.end() && !wanted.dns.empty() && tool != NetworkTool::kNetworkManager) {
    edit.files[kResolvConf] = EditResolvConf(resolv->second, wanted.dns);
  }
  for (auto at = edit.files.begin(); at != edit.files.end();) {
    const auto old = files.find(at->first);
    at = old != files.end() && old->second == at->second ? edit.files.erase(at) : std::next(at);
  }
  return edit;
}

std::string EditIfcfg(absl::string_view text, const CardSettings& wanted) {
  KeyLines lines(text);
  if (lines.Values("", "DEVICE").empty() && lines.Values("", "HWADDR").empty()) {
    lines.Set("", "DEVICE", wanted.card);
    if (lines.Values("", "TYPE").empty()) lines.Set("", "TYPE", "Ethernet");
  }
  lines.Set("", "ONBOOT", "yes");
  lines.Set("", "BOOTPROTO", "none");
  // Newer ones number their addresses, from 0.
  const std::string number =
      lines.Values("", "IPADDR").empty() && !lines.Values("", "IPADDR0").empty() ? "0" : "";
  lines.Set("", absl::StrCat("IPADDR", number), wanted.ip);
  const bool by_prefix = lines.Values("", absl::StrCat("NETMASK", number)).empty() &&
                         !lines.Values("", absl::StrCat("PREFIX", number)).empty();
  if (by_prefix) {
    lines.Set("", absl::StrCat("PREFIX", number), absl::StrCat(PrefixOf(wanted.netmask)));
  } else {
    lines.Remove("", absl::StrCat("PREFIX", number));
    lines.Set("", absl::StrCat("NETMASK", number), wanted.netmask);
  }
  // They would contradict.
  for (const char* derived : {"NETWORK", "BROADCAST"}) lines.Remove("", derived);
  const std::string gateway =
      !lines.Values("", "GATEWAY0").empty() ? "GATEWAY0" : std::string("GATEWAY");
  if (wanted.gateway.empty()) {
    lines.Remove("", gateway);
  } else {
    lines.Set("", gateway, wanted.gateway);
  }
  if (!wanted.dns.empty()) {
    for (size_t i = 0; i < 3; ++i) {
      const std::string key = absl::StrCat("DNS", i + 1);
      if (i < wanted.dns.size()) {
        lines.Set("", key, wanted.dns[i]);
      } else {
        lines.Remove("", key);
      }
    }
  }
  return lines.text();
}

std::string EditKeyfile(absl::string_view text, const CardSettings& before,
                        const CardSettings& wanted) {
  KeyLines lines(text);
  lines.Set("ipv4", "method", "manual");
  // address1=10.0.0.5/24,10.0.0.1 or, of older versions, addresses=10.0.0.5/24;
  std::string key = "address1";
  for (const char* candidate : {"addresses", "address1", "address2", "address3", "address4"}) {
    const std::string value = lines.First("ipv4", candidate);
    if (value.empty()) continue;
    const bool meant = value.substr(0, value.find_first_of("/,;")) == before.ip;
    if (meant || candidate == std::string("address1")) key = candidate;
    if (meant) break;
  }
  const bool apart = !lines.First("ipv4", "gateway").empty();
  std::string address = WithPrefix(wanted);
  if (!apart && !wanted.gateway.empty()) absl::StrAppend(&address, ",", wanted.gateway);
  lines.Set("ipv4", key, address);
  if (apart && wanted.gateway.empty()) lines.Remove("ipv4", "gateway");
  if (apart && !wanted.gateway.empty()) lines.Set("ipv4", "gateway", wanted.gateway);
  if (!wanted.dns.empty()) {
    lines.Set("ipv4", "dns", absl::StrCat(absl::StrJoin(wanted.dns, ";"), ";"));
  }
  return lines.text();
}

std::string EditNetworkd(absl::string_view text, const CardSettings& before,
                         const CardSettings& wanted) {
  KeyLines lines(text);
  const std::string dhcp = absl::AsciiStrToLower(lines.First("Network", "DHCP"));
  if (dhcp == "yes" || dhcp == "true" || dhcp == "both") lines.Set("Network", "DHCP", "ipv6");
  if (dhcp == "ipv4" || dhcp == "v4") lines.Remove("Network", "DHCP");
  // In [Network], or in a section of its own.
  const std::string there = Meant(lines.Values("Address", "Address"), before);
  const std::string section =
      there.empty() || !Meant(lines.Values("Network", "Address"), before).empty() ? "Network"
                                                                                  : "Address";
  const std::string meant = Meant(lines.Values(section, "Address"), before);
  lines.Replace(section, "Address",
                [&](absl::string_view value) { return !meant.empty() && value == meant; },
                {WithPrefix(wanted)});
  // The default route, likewise.
  bool routed = false;
  const std::vector<int> routes = lines.Sections("Route");
  for (auto at = routes.rbegin(); at != routes.rend(); ++at) {
    const std::vector<std::string> to = lines.Values(*at, "Destination");
    const std::vector<std::string> by = lines.Values(*at, "Gateway");
    if (by.empty() || !BeginsWithIpv4(by.front()) || (!to.empty() && to.front() != "0.0.0.0/0"))
      continue;
    if (wanted.gateway.empty()) {
      lines.RemoveSection(*at);
    } else {
      const std::string old = by.front();
      lines.Replace("Route", "Gateway", [&](absl::string_view value) { return value == old; },
                    {wanted.gateway});
      routed = true;
    }
  }
  const bool in_network = !wanted.gateway.empty() && !routed;
  lines.Replace(
      "Network", "Gateway", [](absl::string_view value) { return BeginsWithIpv4(value); },
      in_network ? std::vector<std::string>{wanted.gateway} : std::vector<std::string>());
  if (!wanted.dns.empty()) {
    lines.Replace(
        "Network", "DNS", [](absl::string_view) { return true; }, wanted.dns);
  }
  return lines.text();
}

std::string EditResolvConf(absl::string_view text, const std::vector<std::string>& dns) {
  std::vector<std::string> lines;
  std::optional<size_t> place;
  absl::ConsumeSuffix(&text, "\n");
  for (const absl::string_view line : absl::StrSplit(text, '\n')) {
    if (absl::StartsWith(absl::StripLeadingAsciiWhitespace(line), "nameserver")) {
      if (!place) place = lines.size();
      continue;
    }
    if (!text.empty()) lines.emplace_back(line);
  }
  size_t at = place.value_or(lines.size());
  for (const std::string& server : dns) {
    lines.insert(lines.begin() + at++, absl::StrCat("nameserver ", server));
  }
  return absl::StrCat(absl::StrJoin(lines, "\n"), "\n");
}

}  // namespace drover::agent
