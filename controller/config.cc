#include "controller/config.h"

#include <arpa/inet.h>
#include <toml++/toml.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <fstream>
#include <functional>
#include <map>
#include <set>
#include <sstream>
#include <utility>

#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"

namespace drover {
namespace {

// Number of insertions, deletions and replacements between two words.
size_t Distance(absl::string_view a, absl::string_view b) {
  std::vector<size_t> row(b.size() + 1);
  for (size_t j = 0; j <= b.size(); ++j) row[j] = j;
  for (size_t i = 1; i <= a.size(); ++i) {
    size_t corner = std::exchange(row[0], i);
    for (size_t j = 1; j <= b.size(); ++j) {
      const size_t replaced = corner + (a[i - 1] == b[j - 1] ? 0 : 1);
      corner = std::exchange(row[j], std::min({row[j] + 1, row[j - 1] + 1, replaced}));
    }
  }
  return row[b.size()];
}

bool SplitHostPort(absl::string_view text, std::string* host, int* port) {
  const size_t colon = text.rfind(':');
  if (colon == absl::string_view::npos || colon == 0) return false;
  absl::string_view name = text.substr(0, colon);
  if (name.front() == '[' && name.back() == ']') name = name.substr(1, name.size() - 2);
  *host = std::string(name);
  return !name.empty() && absl::SimpleAtoi(text.substr(colon + 1), port) && *port >= 0 &&
         *port <= 65535;
}

bool IsWildcard(absl::string_view host) { return host == "0.0.0.0" || host == "::"; }

bool IsAddress(const std::string& text) {
  unsigned char buffer[sizeof(in6_addr)];
  return inet_pton(AF_INET, text.c_str(), buffer) == 1 ||
         inet_pton(AF_INET6, text.c_str(), buffer) == 1;
}

// Nothing that could say something else within a certificate.
bool IsHostNameOrAddress(const std::string& text) {
  return IsAddress(text) ||
         (!text.empty() && text.size() <= 253 && std::all_of(text.begin(), text.end(), [](char c) {
           return absl::ascii_isalnum(c) || c == '-' || c == '.';
         }));
}

class Reader {
 public:
  explicit Reader(absl::string_view file) : file_(file) {}

  void Text(absl::string_view key, std::string* value) {
    Add(key, [this, value](const std::string& name, const toml::node& node) {
      const auto text = node.value_exact<std::string>();
      if (!text) return Problem(node, name, "must be text in quotes");
      *value = *text;
    });
  }
  void HostPort(absl::string_view key, std::string* value) {
    Add(key, [this, value](const std::string& name, const toml::node& node) {
      const auto text = node.value_exact<std::string>();
      std::string host;
      int port = 0;
      if (!text || !SplitHostPort(*text, &host, &port) || !IsHostNameOrAddress(host)) {
        return Problem(node, name, "must be \"host:port\", e.g. \"10.0.0.5:8443\"");
      }
      *value = *text;
    });
  }
  void Path(absl::string_view key, std::string* value) {
    Add(key, [this, value](const std::string& name, const toml::node& node) {
      const auto text = node.value_exact<std::string>();
      if (!text || !absl::StartsWith(*text, "/")) {
        return Problem(node, name, "must be an absolute path");
      }
      *value = *text;
    });
  }
  void Number(absl::string_view key, int* value, int least, int most) {
    Add(key, [this, value, least, most](const std::string& name, const toml::node& node) {
      const auto number = node.value_exact<int64_t>();
      if (!number || *number < least || *number > most) {
        return Problem(node, name, absl::StrCat("must be a number from ", least, " to ", most));
      }
      *value = static_cast<int>(*number);
    });
  }
  void Bool(absl::string_view key, std::optional<bool>* value) {
    Add(key, [this, value](const std::string& name, const toml::node& node) {
      const auto flag = node.value_exact<bool>();
      if (!flag) return Problem(node, name, "must be true or false");
      *value = *flag;
    });
  }
  void Names(absl::string_view key, std::vector<std::string>* values) {
    Add(key, [this, values](const std::string& name, const toml::node& node) {
      constexpr char wanted[] = "must be a list of host names and addresses";
      const toml::array* array = node.as_array();
      if (array == nullptr) return Problem(node, name, wanted);
      for (const toml::node& entry : *array) {
        const auto text = entry.value_exact<std::string>();
        if (!text || !IsHostNameOrAddress(*text)) return Problem(entry, name, wanted);
        values->push_back(*text);
      }
    });
  }
  void Level(absl::string_view key, LogLevel* level) {
    Add(key, [this, level](const std::string& name, const toml::node& node) {
      static const auto* const levels =
          new std::map<std::string, LogLevel>{{"error", LogLevel::kError},
                                              {"warning", LogLevel::kWarning},
                                              {"info", LogLevel::kInfo},
                                              {"debug", LogLevel::kDebug}};
      const auto found = levels->find(node.value_or(std::string()));
      if (found == levels->end()) {
        return Problem(node, name, "must be \"error\", \"warning\", \"info\" or \"debug\"");
      }
      *level = found->second;
    });
  }

  // Walks the file; what it does not find keeps its value.
  void Read(const toml::table& file) {
    for (const auto& [section, node] : file) {
      const std::string name(section.str());
      const toml::table* table = node.as_table();
      if (table == nullptr) {
        Unknown(node, name, name, SectionNames(), "");
        continue;
      }
      if (!SectionNames().contains(name)) {
        Unknown(node, absl::StrCat("[", name, "]"), name, SectionNames(), "");
        continue;
      }
      for (const auto& [key, value] : *table) ReadKey(name, std::string(key.str()), value);
    }
  }
  void Problem(const toml::node& node, absl::string_view name, absl::string_view problem) {
    ProblemAt(node.source().begin.line, absl::StrCat(name, " ", problem));
  }
  void ProblemAt(size_t line, absl::string_view problem) {
    problems_.push_back(
        absl::StrCat(file_, line == 0 ? "" : absl::StrCat(":", line), ": ", problem));
  }
  absl::Status status() const {
    if (problems_.empty()) return absl::OkStatus();
    return absl::InvalidArgumentError(absl::StrJoin(problems_, "\n"));
  }

 private:
  using Take = std::function<void(const std::string& name, const toml::node& node)>;

  // `key` is "section.key".
  void Add(absl::string_view key, Take take) { keys_.emplace(key, std::move(take)); }

  std::set<std::string> SectionNames() const {
    std::set<std::string> names;
    for (const auto& [key, take] : keys_) names.insert(key.substr(0, key.find('.')));
    return names;
  }
  std::set<std::string> KeyNames(const std::string& section) const {
    std::set<std::string> names;
    for (const auto& [key, take] : keys_) {
      if (absl::StartsWith(key, section + ".")) names.insert(key.substr(section.size() + 1));
    }
    return names;
  }
  void ReadKey(const std::string& section, const std::string& key, const toml::node& node) {
    const std::string name = absl::StrCat("[", section, "] ", key);
    const auto found = keys_.find(absl::StrCat(section, ".", key));
    if (found == keys_.end()) {
      return Unknown(node, name, key, KeyNames(section), absl::StrCat("[", section, "] "));
    }
    found->second(name, node);
  }
  void Unknown(const toml::node& node, const std::string& shown, const std::string& word,
               const std::set<std::string>& known, const std::string& prefix) {
    const auto nearest = std::min_element(known.begin(), known.end(),
                                          [&word](const std::string& a, const std::string& b) {
                                            return Distance(a, word) < Distance(b, word);
                                          });
    std::string hint;
    if (Distance(*nearest, word) <= 1 + word.size() / 3) {
      hint = absl::StrCat("; did you mean ", prefix, *nearest, "?");
    } else {
      hint = absl::StrCat("; there are ", absl::StrJoin(known, ", "));
    }
    Problem(node, shown, absl::StrCat("is not known", hint));
  }

  const std::string file_;
  std::map<std::string, Take> keys_;
  std::vector<std::string> problems_;
};

void Describe(Reader& reader, Config& config) {
  reader.HostPort("server.listen", &config.listen);
  reader.Names("server.names", &config.names);
  reader.Number("server.workers", &config.server_workers, 1, 256);
  reader.HostPort("agents.listen", &config.agents_listen);
  reader.HostPort("agents.address", &config.agents_address);
  reader.Path("agents.binary", &config.agent_binary);
  reader.Number("agents.heartbeat_seconds", &config.heartbeat_seconds, 1, 60);
  reader.Number("agents.sample_seconds", &config.sample_seconds, 1, 3600);
  reader.Path("store.directory", &config.directory);
  reader.Number("operations.workers", &config.operation_workers, 1, 256);
  reader.Number("guest.tools_seconds", &config.guest_tools_seconds, 1, 7200);
  reader.Number("guest.agent_seconds", &config.guest_agent_seconds, 1, 7200);
  reader.Number("reachability.interval_seconds", &config.sweep_seconds, 1, 60);
  reader.Text("mail.smtp", &config.smtp);
  reader.Text("mail.from", &config.mail_from);
  reader.Text("mail.user", &config.mail_user);
  reader.Path("mail.password_file", &config.mail_password_file);
  reader.Bool("mail.starttls", &config.mail_starttls);
  reader.Path("configuration.profiles", &config.profiles);
  reader.Text("mail.agent_relay", &config.agent_relay);
  reader.Number("mail.agent_relay_after", &config.agent_relay_after_seconds, 60, 604800);
  reader.Level("log.level", &config.log_level);
}

// What no single key can tell.
void CheckWhole(Reader& reader, const Config& config) {
  std::string host;
  int port = 0;
  if (config.agents_address.empty()) {
    reader.ProblemAt(0,
                     "[agents] address is required: host:port under which VMs reach this "
                     "controller");
  } else if (SplitHostPort(config.agents_address, &host, &port) &&
             (IsWildcard(host) || port == 0)) {
    reader.ProblemAt(0, "[agents] address must be one that VMs can dial, not a wildcard");
  }
  if (!config.smtp.empty() && !absl::StartsWith(config.smtp, "smtp://") &&
      !absl::StartsWith(config.smtp, "smtps://")) {
    reader.ProblemAt(0, "[mail] smtp must begin with smtp:// or smtps://");
  }
  if (!config.smtp.empty() && !absl::StrContains(config.mail_from, '@')) {
    reader.ProblemAt(0, "[mail] from must be a mail address when smtp is set");
  }
  sockaddr_in relay{};
  if (!config.agent_relay.empty() &&
      (!SplitHostPort(config.agent_relay, &host, &port) || port == 0 ||
       inet_pton(AF_INET, host.c_str(), &relay.sin_addr) != 1)) {
    reader.ProblemAt(0, "[mail] agent_relay must be an IPv4 address and a port, \"10.0.0.5:25\"");
  }
  if (!config.agent_relay.empty() && !absl::StrContains(config.mail_from, '@')) {
    reader.ProblemAt(0, "[mail] from must be a mail address when agent_relay is set");
  }
  if (config.mail_user.empty() != config.mail_password_file.empty()) {
    reader.ProblemAt(0, "[mail] user and password_file go together");
  }
}

}  // namespace

absl::StatusOr<Config> ParseConfig(absl::string_view text, absl::string_view file_name) {
  Config config;
  Reader reader(file_name);
  Describe(reader, config);
  toml::table file;
  try {
    file = toml::parse(std::string_view(text.data(), text.size()));
  } catch (const toml::parse_error& error) {
    // The library's only way to tell.
    reader.ProblemAt(error.source().begin.line, std::string(error.description()));
    return reader.status();
  }
  reader.Read(file);
  if (reader.status().ok()) CheckWhole(reader, config);
  if (absl::Status status = reader.status(); !status.ok()) return status;
  return config;
}

absl::StatusOr<Config> ReadConfig(const std::string& path) {
  errno = 0;
  std::ifstream file(path, std::ios::binary);
  std::stringstream text;
  if (!file || !(text << file.rdbuf())) {
    return absl::ErrnoToStatus(errno == 0 ? EIO : errno, absl::StrCat("cannot read ", path));
  }
  return ParseConfig(text.str(), path);
}

std::vector<std::string> CertificateNames(const Config& config) {
  std::set<std::string> names(config.names.begin(), config.names.end());
  names.insert({"localhost", "127.0.0.1"});
  for (const std::string& listen : {config.listen, config.agents_listen, config.agents_address}) {
    std::string host;
    int port = 0;
    if (SplitHostPort(listen, &host, &port) && !IsWildcard(host)) names.insert(host);
  }
  return {names.begin(), names.end()};
}

}  // namespace drover
