#include "web-gateway/config.h"

#include <sys/stat.h>
#include <toml++/toml.h>

#include <cerrno>
#include <fstream>
#include <functional>
#include <map>
#include <optional>
#include <sstream>
#include <utility>

#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "proto/support/status.h"

namespace drover::gateway {
namespace {

// nullopt: taken; else what would be right.
using Take = std::function<std::optional<std::string>(const toml::node&)>;

bool IsHostPort(const std::string& text) {
  const size_t colon = text.rfind(':');
  int port = 0;
  return colon != std::string::npos && colon > 0 &&
         absl::SimpleAtoi(text.substr(colon + 1), &port) && port >= 0 && port <= 65535;
}

Take HostPort(std::string* value) {
  return [value](const toml::node& node) -> std::optional<std::string> {
    const auto text = node.value_exact<std::string>();
    if (!text || !IsHostPort(*text)) return "must be \"host:port\", e.g. \"127.0.0.1:8080\"";
    *value = *text;
    return std::nullopt;
  };
}
Take Path(std::string* value, bool may_be_empty = false) {
  return [value, may_be_empty](const toml::node& node) -> std::optional<std::string> {
    const auto text = node.value_exact<std::string>();
    if (!text || !(absl::StartsWith(*text, "/") || (may_be_empty && text->empty()))) {
      return "must be an absolute path";
    }
    *value = *text;
    return std::nullopt;
  };
}
Take Number(int* value, int least, int most) {
  return [=](const toml::node& node) -> std::optional<std::string> {
    const auto number = node.value_exact<int64_t>();
    if (!number || *number < least || *number > most) {
      return absl::StrCat("must be a number from ", least, " to ", most);
    }
    *value = static_cast<int>(*number);
    return std::nullopt;
  };
}
Take Flag(bool* value) {
  return [value](const toml::node& node) -> std::optional<std::string> {
    const auto flag = node.value_exact<bool>();
    if (!flag) return "must be true or false";
    *value = *flag;
    return std::nullopt;
  };
}

std::optional<std::vector<std::string>> TextsOf(const toml::node& node) {
  const toml::array* array = node.as_array();
  if (array == nullptr) return std::nullopt;
  std::vector<std::string> texts;
  for (const toml::node& entry : *array) {
    const auto text = entry.value_exact<std::string>();
    if (!text) return std::nullopt;
    texts.push_back(*text);
  }
  return texts;
}
Take Addresses(AddressSet* value) {
  return [value](const toml::node& node) -> std::optional<std::string> {
    const auto texts = TextsOf(node);
    absl::StatusOr<AddressSet> set = AddressSet::Parse(texts.value_or(std::vector<std::string>()));
    if (!texts || !set.ok()) {
      return "must be a list of addresses or networks, e.g. [\"127.0.0.1\", \"10.0.0.0/8\"]";
    }
    *value = *std::move(set);
    return std::nullopt;
  };
}
Take Origins(std::vector<std::string>* value) {
  return [value](const toml::node& node) -> std::optional<std::string> {
    const auto texts = TextsOf(node);
    bool good = texts.has_value();
    for (const std::string& text : texts.value_or(std::vector<std::string>())) {
      const bool web = absl::StartsWith(text, "https://") || absl::StartsWith(text, "http://");
      good = good && web && !absl::StrContains(text.substr(8), '/');
    }
    if (!good) return "must be a list of origins, e.g. [\"https://drover.example\"]";
    *value = *texts;
    return std::nullopt;
  };
}
Take Level(LogLevel* level) {
  return [level](const toml::node& node) -> std::optional<std::string> {
    static const auto* const levels =
        new std::map<std::string, LogLevel>{{"error", LogLevel::kError},
                                            {"warning", LogLevel::kWarning},
                                            {"info", LogLevel::kInfo},
                                            {"debug", LogLevel::kDebug}};
    const auto found = levels->find(node.value_or(std::string()));
    if (found == levels->end()) return "must be \"error\", \"warning\", \"info\" or \"debug\"";
    *level = found->second;
    return std::nullopt;
  };
}

std::map<std::string, Take> KeysOf(Config& config) {
  return {
      {"http.listen", HostPort(&config.listen)},
      {"http.certificate_file", Path(&config.certificate_file)},
      {"http.key_file", Path(&config.key_file)},
      {"http.allow_plain", Flag(&config.allow_plain)},
      {"http.page_dir", Path(&config.page_dir, true)},
      {"http.trusted_proxies", Addresses(&config.trusted_proxies)},
      {"http.allowed_origins", Origins(&config.allowed_origins)},
      {"http.metrics_from", Addresses(&config.metrics_from)},
      {"http.threads", Number(&config.threads, 1, 64)},
      {"http.max_connections", Number(&config.max_connections, 10, 1000000)},
      {"http.max_connections_per_address",
       Number(&config.max_connections_per_address, 10, 1000000)},
      {"controller.address", HostPort(&config.controller)},
      {"controller.authority_file", Path(&config.authority_file)},
      {"controller.gateway_key_file", Path(&config.gateway_key_file)},
      {"limits.logins_per_minute", Number(&config.logins_per_minute, 1, 100000)},
      {"limits.call_seconds", Number(&config.call_seconds, 1, 600)},
      {"log.level", Level(&config.log_level)},
  };
}

// Collects what is wrong, with its place.
class Problems {
 public:
  explicit Problems(absl::string_view file) : file_(file) {}
  void Add(size_t line, absl::string_view problem) {
    lines_.push_back(absl::StrCat(file_, line == 0 ? "" : absl::StrCat(":", line), ": ", problem));
  }
  absl::Status status() const {
    if (lines_.empty()) return absl::OkStatus();
    return absl::InvalidArgumentError(absl::StrJoin(lines_, "\n"));
  }

 private:
  const std::string file_;
  std::vector<std::string> lines_;
};

void ReadSection(const std::string& section, const toml::table& table,
                 const std::map<std::string, Take>& keys, Problems& problems) {
  for (const auto& [key, node] : table) {
    const std::string name = absl::StrCat("[", section, "] ", std::string(key.str()));
    const size_t line = node.source().begin.line;
    const auto found = keys.find(absl::StrCat(section, ".", std::string(key.str())));
    if (found != keys.end()) {
      if (const auto problem = found->second(node)) {
        problems.Add(line, absl::StrCat(name, " ", *problem));
      }
      continue;
    }
    std::vector<std::string> known;
    for (const auto& [whole, take] : keys) {
      if (absl::StartsWith(whole, section + ".")) known.push_back(whole.substr(section.size() + 1));
    }
    problems.Add(line,
                 known.empty()
                     ? absl::StrCat("[", section,
                                    "] is not known; there are [http], [controller], "
                                    "[limits] and [log]")
                     : absl::StrCat(name, " is not known; there are ", absl::StrJoin(known, ", ")));
  }
}

// What no single key can tell.
void CheckWhole(const Config& config, Problems& problems) {
  if (config.certificate_file.empty() != config.key_file.empty()) {
    problems.Add(0, "[http] certificate_file and key_file go together");
  }
  const bool loopback = absl::StartsWith(config.listen, "127.") ||
                        absl::StartsWith(config.listen, "[::1]:") ||
                        absl::StartsWith(config.listen, "localhost:");
  if (config.certificate_file.empty() && !loopback && !config.allow_plain) {
    problems.Add(0,
                 "[http] listen is not a loopback address: passwords would cross the network in "
                 "the clear. Set certificate_file and key_file, or listen on 127.0.0.1 behind a "
                 "proxy with TLS (or allow_plain = true if you know better)");
  }
}

}  // namespace

absl::StatusOr<Config> ParseConfig(absl::string_view text, absl::string_view file_name) {
  Config config;
  DROVER_ASSIGN_OR_RETURN(config.metrics_from, AddressSet::Parse({"127.0.0.0/8", "::1"}));
  Problems problems(file_name);
  toml::table file;
  try {
    file = toml::parse(std::string_view(text.data(), text.size()));
  } catch (const toml::parse_error& error) {
    // The library's only way to tell.
    problems.Add(error.source().begin.line, std::string(error.description()));
    return problems.status();
  }
  const std::map<std::string, Take> keys = KeysOf(config);
  for (const auto& [section, node] : file) {
    const std::string name(section.str());
    if (const toml::table* table = node.as_table()) {
      ReadSection(name, *table, keys, problems);
    } else {
      problems.Add(node.source().begin.line,
                   absl::StrCat(name,
                                " is in no section; there are [http], [controller], "
                                "[limits] and [log]"));
    }
  }
  if (problems.status().ok()) CheckWhole(config, problems);
  DROVER_RETURN_IF_ERROR(problems.status());
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

absl::StatusOr<std::string> ReadSmallFile(const std::string& path, bool secret) {
  struct stat info {};
  if (stat(path.c_str(), &info) != 0) {
    return absl::ErrnoToStatus(errno, absl::StrCat("cannot read ", path));
  }
  if (secret && (info.st_mode & 077) != 0) {
    return absl::FailedPreconditionError(
        absl::StrCat(path, " can be read by others; chmod 600 it"));
  }
  std::ifstream file(path, std::ios::binary);
  std::stringstream text;
  if (!(text << file.rdbuf())) {
    return absl::FailedPreconditionError(absl::StrCat(path, " is empty or cannot be read"));
  }
  return std::string(absl::StripTrailingAsciiWhitespace(text.str()));
}

}  // namespace drover::gateway
