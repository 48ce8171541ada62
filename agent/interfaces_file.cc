// ifupdown's /etc/network/interfaces: stanzas of options.
#include <vector>

#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/strings/str_split.h"
#include "absl/strings/strip.h"
#include "agent/network_files.h"

namespace drover::agent {
namespace {

// A line with those it goes on in by a backslash.
std::vector<std::string> LogicalLines(absl::string_view text) {
  std::vector<std::string> lines;
  bool goes_on = false;
  absl::ConsumeSuffix(&text, "\n");
  for (const absl::string_view line : absl::StrSplit(text, '\n')) {
    if (goes_on) {
      absl::StrAppend(&lines.back(), "\n", line);
    } else {
      lines.emplace_back(line);
    }
    goes_on = absl::EndsWith(line, "\\");
  }
  if (text.empty()) lines.clear();
  return lines;
}

std::vector<std::string> Words(absl::string_view line) {
  std::vector<std::string> words =
      absl::StrSplit(line, absl::ByAnyChar(" \t\n\\"), absl::SkipEmpty());
  if (!words.empty() && words[0][0] == '#') words.clear();
  return words;
}

bool BeginsStanza(const std::vector<std::string>& words) {
  if (words.empty()) return false;
  for (const absl::string_view word :
       {"iface", "mapping", "auto", "source", "source-directory", "rename", "template",
        "no-auto-down", "no-scripts", "no-source"}) {
    if (words[0] == word) return true;
  }
  return absl::StartsWith(words[0], "allow-");
}

bool IsStanzaOf(const std::vector<std::string>& words, absl::string_view card) {
  return words.size() >= 3 && words[0] == "iface" && words[1] == card && words[2] == "inet";
}

// Options that follow from the address, or are given anew.
bool IsReplaced(const std::string& option, bool with_dns) {
  for (const absl::string_view name :
       {"address", "netmask", "gateway", "network", "broadcast", "hostname", "client", "leasetime",
        "leasehours", "vendor", "hwaddress-dhcp"}) {
    if (option == name) return true;
  }
  return with_dns && (option == "dns-nameservers" || option == "dns-nameserver");
}

std::vector<std::string> OptionsOf(const CardSettings& wanted, bool by_prefix,
                                   absl::string_view indent) {
  std::vector<std::string> options;
  if (by_prefix) {
    options.push_back(absl::StrCat(indent, "address ", wanted.ip, "/", PrefixOf(wanted.netmask)));
  } else {
    options.push_back(absl::StrCat(indent, "address ", wanted.ip));
    options.push_back(absl::StrCat(indent, "netmask ", wanted.netmask));
  }
  if (!wanted.gateway.empty()) options.push_back(absl::StrCat(indent, "gateway ", wanted.gateway));
  if (!wanted.dns.empty()) {
    options.push_back(absl::StrCat(indent, "dns-nameservers ", absl::StrJoin(wanted.dns, " ")));
  }
  return options;
}

}  // namespace

bool InterfacesName(absl::string_view text, absl::string_view card) {
  for (const std::string& line : LogicalLines(text)) {
    if (IsStanzaOf(Words(line), card)) return true;
  }
  return false;
}

std::string EditInterfaces(absl::string_view text, const CardSettings& wanted) {
  const std::vector<std::string> lines = LogicalLines(text);
  std::vector<std::string> edited;
  bool found = false;
  for (size_t i = 0; i < lines.size(); ++i) {
    const std::vector<std::string> head = Words(lines[i]);
    // The first stanza of the card; others add to it.
    if (found || !IsStanzaOf(head, wanted.card)) {
      edited.push_back(lines[i]);
      continue;
    }
    found = true;
    edited.push_back(head.size() >= 4 && head[3] == "static"
                         ? lines[i]
                         : absl::StrCat("iface ", wanted.card, " inet static"));
    std::vector<std::string> kept;
    bool by_prefix = false;
    bool has_netmask = false;
    std::string indent = "    ";
    size_t end = i + 1;
    for (; end < lines.size() && !BeginsStanza(Words(lines[end])); ++end) {
      const std::vector<std::string> words = Words(lines[end]);
      if (words.empty() || !IsReplaced(words[0], !wanted.dns.empty())) {
        kept.push_back(lines[end]);
        continue;
      }
      if (words[0] == "address") {
        indent = lines[end].substr(0, lines[end].find_first_not_of(" \t"));
        by_prefix = words.size() > 1 && absl::StrContains(words[1], "/");
      }
      has_netmask |= words[0] == "netmask";
    }
    for (std::string& option : OptionsOf(wanted, by_prefix && !has_netmask, indent)) {
      edited.push_back(std::move(option));
    }
    edited.insert(edited.end(), kept.begin(), kept.end());
    i = end - 1;
  }
  if (!found) {
    if (!edited.empty() && !edited.back().empty()) edited.emplace_back();
    edited.push_back(absl::StrCat("auto ", wanted.card));
    edited.push_back(absl::StrCat("iface ", wanted.card, " inet static"));
    for (std::string& option : OptionsOf(wanted, false, "    ")) {
      edited.push_back(std::move(option));
    }
  }
  return absl::StrCat(absl::StrJoin(edited, "\n"), "\n");
}

}  // namespace drover::agent
