// How guests keep their network settings, and what must be written for others: the files of
// netplan, NetworkManager, RHEL's ifcfg, ifupdown and systemd-networkd.
//
// Only what concerns the card's IPv4 address, netmask, default gateway and name servers is
// replaced; comments, other options, other cards and IPv6 stay as they are. Without name servers
// wanted, those that are there stay. Thread promise: pure functions and values.
#pragma once

#include <map>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"

namespace drover::agent {

struct CardSettings {
  // "eth0", and its hardware address in lower case.
  std::string card;
  std::string mac;
  // Dotted IPv4; an empty gateway is none.
  std::string ip;
  std::string netmask;
  std::string gateway;
  std::vector<std::string> dns;
};

enum class NetworkTool {
  kNone = 0,
  kNetplan = 1,
  kNetworkManager = 2,
  kIfcfg = 3,
  kIfupdown = 4,
  kNetworkd = 5,
};
// For people.
absl::string_view NameOf(NetworkTool tool);

// Programs that are there; nmcli only counts while NetworkManager runs, networkctl while networkd
// does.
struct NetworkPrograms {
  bool netplan = false;
  bool nmcli = false;
  bool ifup = false;
  bool networkctl = false;
};

// Path -> text.
using FileTexts = std::map<std::string, std::string>;

// Which files the editors must be given: directories with an ending ("" = any), and single files.
// A symbolic link is somebody else's to write and is left out.
struct FilePattern {
  const char* directory;
  const char* ending;
};
const std::vector<FilePattern>& NetworkFilePatterns();

// The tool whose files name the card; where none does, the first that is there. kNone: nothing
// known.
NetworkTool ChooseTool(const FileTexts& files, const NetworkPrograms& programs,
                       const CardSettings& card);

struct NetworkEdit {
  // Those that differ, whole.
  FileTexts files;
  // NetworkManager's id of the connection; "" where it does not matter.
  std::string connection;
};
// Files for `wanted`; `before` tells which of several addresses is meant. FAILED_PRECONDITION,
// reason NETWORK_UNKNOWN_TOOL, for files in a form that is not understood.
absl::StatusOr<NetworkEdit> EditNetworkFiles(NetworkTool tool, const FileTexts& files,
                                             const CardSettings& before,
                                             const CardSettings& wanted);

// ---- one by one

std::string EditInterfaces(absl::string_view text, const CardSettings& wanted);
// Whether it has a stanza of the card.
bool InterfacesName(absl::string_view text, absl::string_view card);
std::string EditIfcfg(absl::string_view text, const CardSettings& wanted);
std::string EditKeyfile(absl::string_view text, const CardSettings& before,
                        const CardSettings& wanted);
std::string EditNetworkd(absl::string_view text, const CardSettings& before,
                         const CardSettings& wanted);
absl::StatusOr<std::string> EditNetplan(absl::string_view text, const CardSettings& before,
                                        const CardSettings& wanted);
// nameserver lines alone.
std::string EditResolvConf(absl::string_view text, const std::vector<std::string>& dns);

// 0 for what is no netmask.
int PrefixOf(absl::string_view netmask);

}  // namespace drover::agent
