// netplan's YAML, edited by lines: the block form that people and installers write. Lists may be in
// either form. What is in another form is refused, not guessed.
#include <arpa/inet.h>
#include <fnmatch.h>

#include <algorithm>
#include <optional>
#include <utility>
#include <vector>

#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/strings/str_split.h"
#include "absl/strings/strip.h"
#include "agent/network_files.h"
#include "proto/support/status.h"

namespace drover::agent {
namespace {

size_t IndentOf(absl::string_view line) {
  return std::min(line.find_first_not_of(' '), line.size());
}

bool IsBlank(absl::string_view line) {
  line = absl::StripAsciiWhitespace(line);
  return line.empty() || line[0] == '#';
}

std::string Plain(absl::string_view text) {
  text = absl::StripAsciiWhitespace(text);
  if (text.size() >= 2 && (text[0] == '"' || text[0] == '\'') && text.back() == text[0]) {
    text = text.substr(1, text.size() - 2);
  }
  return std::string(text);
}

// A key with what belongs to it: lines [at, end).
struct Node {
  size_t at = 0;
  size_t end = 0;
  // What stands behind the colon, without a comment.
  std::string value;
};

class Yaml {
 public:
  explicit Yaml(absl::string_view text) {
    absl::ConsumeSuffix(&text, "\n");
    lines_ = absl::StrSplit(text, '\n');
  }
  std::string text() const { return absl::StrCat(absl::StrJoin(lines_, "\n"), "\n"); }
  std::vector<std::string>& lines() { return lines_; }

  // The keys of the block [begin, end), by name.
  std::vector<std::pair<std::string, Node>> Keys(size_t begin, size_t end) const {
    std::vector<std::pair<std::string, Node>> keys;
    std::optional<size_t> indent;
    for (size_t i = begin; i < end; ++i) {
      if (IsBlank(lines_[i])) continue;
      if (!indent) indent = IndentOf(lines_[i]);
      if (IndentOf(lines_[i]) != *indent) continue;
      const absl::string_view line = absl::StripAsciiWhitespace(lines_[i]);
      const size_t colon = ColonOf(line);
      if (colon == absl::string_view::npos || line[0] == '-') continue;
      Node node{i, EndOf(i, end), ""};
      absl::string_view value = line.substr(colon + 1);
      value = value.substr(0, value.find(" #"));
      node.value = std::string(absl::StripAsciiWhitespace(value));
      keys.emplace_back(Plain(line.substr(0, colon)), node);
    }
    return keys;
  }
  std::optional<Node> Find(size_t begin, size_t end, absl::string_view name) const {
    for (const auto& [key, node] : Keys(begin, end)) {
      if (key == name) return node;
    }
    return std::nullopt;
  }
  // Lines of the node as one text.
  std::string TextOf(const Node& node) const {
    return absl::StrJoin(lines_.begin() + node.at, lines_.begin() + node.end, "\n");
  }
  void Put(const Node& node, absl::string_view text) {
    lines_.erase(lines_.begin() + node.at, lines_.begin() + node.end);
    if (text.empty()) return;
    const std::vector<std::string> fresh = absl::StrSplit(text, '\n');
    lines_.insert(lines_.begin() + node.at, fresh.begin(), fresh.end());
  }

 private:
  static size_t ColonOf(absl::string_view line) {
    const size_t from = line[0] == '"' || line[0] == '\'' ? line.find(line[0], 1) : 0;
    if (from == absl::string_view::npos) return from;
    for (size_t at = line.find(':', from); at != absl::string_view::npos;
         at = line.find(':', at + 1)) {
      if (at + 1 == line.size() || line[at + 1] == ' ') return at;
    }
    return absl::string_view::npos;
  }
  // Behind the last line that is deeper, is an item of its list, or closes its brackets.
  size_t EndOf(size_t at, size_t limit) const {
    const size_t indent = IndentOf(lines_[at]);
    size_t end = at + 1;
    for (size_t i = at + 1; i < limit; ++i) {
      if (IsBlank(lines_[i])) continue;
      const char first = lines_[i][IndentOf(lines_[i])];
      const bool within =
          IndentOf(lines_[i]) > indent ||
          (IndentOf(lines_[i]) == indent && (first == '-' || first == ']' || first == '}'));
      if (!within) break;
      end = i + 1;
    }
    return end;
  }

  std::vector<std::string> lines_;
};

bool IsAddressChar(char c) { return absl::ascii_isdigit(c) || c == '.'; }

// "10.0.0.5/24" tokens in a text, with their places.
struct Token {
  size_t at = 0;
  size_t size = 0;
  std::string ip;
};
std::vector<Token> AddressesIn(absl::string_view text) {
  std::vector<Token> tokens;
  for (size_t i = 0; i < text.size();) {
    if (!absl::ascii_isdigit(text[i]) ||
        (i > 0 && (absl::ascii_isalnum(text[i - 1]) || text[i - 1] == ':' || text[i - 1] == '.'))) {
      ++i;
      continue;
    }
    size_t end = i;
    while (end < text.size() && IsAddressChar(text[end])) ++end;
    const std::string ip(text.substr(i, end - i));
    in_addr parsed;
    if (inet_pton(AF_INET, ip.c_str(), &parsed) == 1 && end < text.size() && text[end] == '/') {
      ++end;
      while (end < text.size() && absl::ascii_isdigit(text[end])) ++end;
      tokens.push_back({i, end - i, ip});
    }
    i = std::max(end, i + 1);
  }
  return tokens;
}

std::string WithAddress(std::string text, absl::string_view indent, const CardSettings& before,
                        const CardSettings& wanted) {
  const std::string fresh = absl::StrCat(wanted.ip, "/", PrefixOf(wanted.netmask));
  const std::vector<Token> tokens = AddressesIn(text);
  if (!tokens.empty()) {
    auto meant = std::find_if(tokens.begin(), tokens.end(),
                              [&](const Token& token) { return token.ip == before.ip; });
    if (meant == tokens.end()) meant = tokens.begin();
    return text.replace(meant->at, meant->size, fresh);
  }
  // IPv6 alone, or an empty list.
  const size_t bracket = text.find('[');
  if (bracket == std::string::npos) {
    const size_t line_end = std::min(text.find('\n'), text.size());
    return text.insert(line_end, absl::StrCat("\n", indent, "- ", fresh));
  }
  const size_t next = text.find_first_not_of(" \n", bracket + 1);
  const bool empty = next != std::string::npos && text[next] == ']';
  return text.insert(bracket + 1, empty ? fresh : absl::StrCat(fresh, ", "));
}

bool IsDefault(absl::string_view item) {
  const size_t at = item.find("to:");
  if (at == absl::string_view::npos) return false;
  absl::string_view to = absl::StripLeadingAsciiWhitespace(item.substr(at + 3));
  to = to.substr(0, to.find_first_of(",}\n"));
  const std::string plain = Plain(to);
  return plain == "default" || plain == "0.0.0.0/0";
}

// Items of a list: pieces of the text that begin at "- " or are in "{}".
struct Item {
  size_t at = 0;
  size_t end = 0;
};
std::vector<Item> ItemsOf(absl::string_view text) {
  std::vector<Item> items;
  const size_t line_end = std::min(text.find('\n'), text.size());
  if (text.substr(0, line_end).find('[') != absl::string_view::npos) {
    for (size_t at = text.find('{'); at != absl::string_view::npos; at = text.find('{', at + 1)) {
      const size_t end = text.find('}', at);
      if (end == absl::string_view::npos) break;
      items.push_back({at, end + 1});
      at = end;
    }
    return items;
  }
  std::optional<size_t> dash;
  for (size_t at = line_end; at < text.size();) {
    const size_t begin = at + 1;
    at = std::min(text.find('\n', begin), text.size());
    const absl::string_view line = text.substr(begin, at - begin);
    const size_t indent = IndentOf(line);
    if (indent < line.size() && line[indent] == '-' && (!dash || indent == *dash)) {
      dash = indent;
      items.push_back({begin, at});
    } else if (!items.empty()) {
      items.back().end = at;
    }
  }
  return items;
}

// The routes with the default one through the gateway; "" when none is left.
std::string WithDefaultRoute(std::string text, absl::string_view indent,
                             const CardSettings& wanted) {
  const std::vector<Item> items = ItemsOf(text);
  for (const Item& item : items) {
    if (!IsDefault(absl::string_view(text).substr(item.at, item.end - item.at))) continue;
    if (!wanted.gateway.empty()) {
      const size_t via = text.find("via:", item.at);
      if (via == std::string::npos || via > item.end) continue;
      const size_t begin = text.find_first_not_of(' ', via + 4);
      const size_t end = std::min(text.find_first_of(",}\n ", begin), text.size());
      return text.replace(begin, end - begin, wanted.gateway);
    }
    if (items.size() == 1) return "";
    if (text[item.at] != '{') return text.erase(item.at - 1, item.end - item.at + 1);
    // With the comma on one side of it.
    const size_t comma = text.find(',', item.end);
    const bool last = item.at == items.back().at;
    const size_t from = last ? text.rfind(',', item.at) : item.at;
    const size_t to = last ? item.end : text.find_first_not_of(' ', comma + 1);
    return text.erase(from, to - from);
  }
  if (wanted.gateway.empty()) return text;
  const size_t bracket = text.find('[');
  if (bracket != std::string::npos && bracket < text.find('\n')) {
    return text.insert(bracket + 1, absl::StrCat("{to: 0.0.0.0/0, via: ", wanted.gateway, "}",
                                                 items.empty() ? "" : ", "));
  }
  return absl::StrCat(text, "\n", indent, "- to: 0.0.0.0/0\n", indent, "  via: ", wanted.gateway);
}

absl::Status NotUnderstood(absl::string_view what) {
  return MakeError(absl::StatusCode::kFailedPrecondition, "NETWORK_UNKNOWN_TOOL",
                   absl::StrCat("netplan's file has ", what,
                                " in a form that is not edited; write it as a block"));
}

bool Means(const Yaml& yaml, const std::string& key, const Node& node, const CardSettings& card) {
  const auto match = yaml.Find(node.at + 1, node.end, "match");
  if (!match) return key == card.card;
  const std::string text = yaml.TextOf(*match);
  const auto name = yaml.Find(match->at + 1, match->end, "name");
  if (name) return fnmatch(Plain(name->value).c_str(), card.card.c_str(), 0) == 0;
  return !card.mac.empty() && absl::StrContains(absl::AsciiStrToLower(text), card.mac);
}

// The card's own entry, changed key by key; each change moves the lines behind it.
class Entry {
 public:
  Entry(Yaml* yaml, size_t at) : yaml_(*yaml), at_(at) {
    const auto keys = yaml_.Keys(at_ + 1, End());
    indent_ = std::string(keys.empty() ? IndentOf(yaml_.lines()[at_]) + 2
                                       : IndentOf(yaml_.lines()[keys.front().second.at]),
                          ' ');
  }
  std::optional<Node> Find(absl::string_view key) { return yaml_.Find(at_ + 1, End(), key); }
  void Put(absl::string_view key, absl::string_view text) {
    if (const auto node = Find(key)) return yaml_.Put(*node, text);
    if (!text.empty()) yaml_.Put({End(), End(), ""}, text);
  }
  const std::string& indent() const { return indent_; }
  std::string ItemIndent(const Node& node) {
    if (node.end > node.at + 1) return std::string(IndentOf(yaml_.lines()[node.at + 1]), ' ');
    return indent_ + "  ";
  }
  std::string TextOf(const Node& node) { return yaml_.TextOf(node); }

 private:
  size_t End() {
    const size_t indent = IndentOf(yaml_.lines()[at_]);
    size_t end = at_ + 1;
    for (size_t i = at_ + 1; i < yaml_.lines().size(); ++i) {
      if (IsBlank(yaml_.lines()[i])) continue;
      if (IndentOf(yaml_.lines()[i]) <= indent) break;
      end = i + 1;
    }
    return end;
  }
  Yaml& yaml_;
  const size_t at_;
  std::string indent_;
};

void EditDns(Yaml& yaml, Entry& entry, const std::vector<std::string>& dns) {
  const std::string list = absl::StrCat("[", absl::StrJoin(dns, ", "), "]");
  const auto node = entry.Find("nameservers");
  if (!node) {
    return entry.Put("nameservers", absl::StrCat(entry.indent(), "nameservers:\n", entry.indent(),
                                                 "  addresses: ", list));
  }
  if (const auto inner = yaml.Find(node->at + 1, node->end, "addresses")) {
    const std::string indent(IndentOf(yaml.lines()[inner->at]), ' ');
    return yaml.Put(*inner, absl::StrCat(indent, "addresses: ", list));
  }
  std::string text = entry.TextOf(*node);
  const size_t addresses = text.find("addresses:");
  const size_t open = addresses == std::string::npos ? addresses : text.find('[', addresses);
  const size_t close = open == std::string::npos ? open : text.find(']', open);
  if (close != std::string::npos) {
    return entry.Put("nameservers", text.replace(open, close + 1 - open, list));
  }
  const size_t brace = text.find('{');
  if (brace != std::string::npos) {
    return entry.Put("nameservers",
                     text.insert(brace + 1, absl::StrCat("addresses: ", list, ", ")));
  }
  const std::string indent = entry.ItemIndent(*node);
  entry.Put("nameservers", absl::StrCat(text, "\n", indent, "addresses: ", list));
}

}  // namespace

absl::StatusOr<std::string> EditNetplan(absl::string_view text, const CardSettings& before,
                                        const CardSettings& wanted) {
  Yaml yaml(text);
  const auto network = yaml.Find(0, yaml.lines().size(), "network");
  if (!network) return absl::NotFoundError("no network");
  if (!network->value.empty()) return NotUnderstood("\"network\"");
  const auto ethernets = yaml.Find(network->at + 1, network->end, "ethernets");
  if (!ethernets) return absl::NotFoundError("no ethernets");
  if (!ethernets->value.empty()) return NotUnderstood("\"ethernets\"");
  std::optional<Node> found;
  for (const auto& [key, node] : yaml.Keys(ethernets->at + 1, ethernets->end)) {
    if (!Means(yaml, key, node, before)) continue;
    if (!node.value.empty()) return NotUnderstood(absl::StrCat("\"", key, "\""));
    found = node;
  }
  if (!found) return absl::NotFoundError("the card has no entry");
  Entry entry(&yaml, found->at);
  const std::string& indent = entry.indent();
  if (entry.Find("dhcp4")) entry.Put("dhcp4", absl::StrCat(indent, "dhcp4: false"));
  if (const auto node = entry.Find("addresses")) {
    entry.Put("addresses",
              WithAddress(entry.TextOf(*node), entry.ItemIndent(*node), before, wanted));
  } else {
    entry.Put("addresses",
              absl::StrCat(indent, "addresses: [", wanted.ip, "/", PrefixOf(wanted.netmask), "]"));
  }
  const bool old_form = entry.Find("gateway4").has_value();
  if (old_form) {
    entry.Put("gateway4",
              wanted.gateway.empty() ? "" : absl::StrCat(indent, "gateway4: ", wanted.gateway));
  } else if (const auto node = entry.Find("routes")) {
    entry.Put("routes", WithDefaultRoute(entry.TextOf(*node), entry.ItemIndent(*node), wanted));
  } else if (!wanted.gateway.empty()) {
    entry.Put("routes",
              absl::StrCat(indent, "routes: [{to: 0.0.0.0/0, via: ", wanted.gateway, "}]"));
  }
  if (!wanted.dns.empty()) EditDns(yaml, entry, wanted.dns);
  return yaml.text();
}

}  // namespace drover::agent
