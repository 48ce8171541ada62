#include "agent/config.h"

#define TOML_EXCEPTIONS 0
#define TOML_HEADER_ONLY 1
#define TOML_ENABLE_FORMATTERS 0
#include <toml++/toml.h>

#include <map>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "agent/durable_file.h"
#include "proto/support/status.h"

namespace drover::agent {
namespace {

// "host:port" or "[v6]:port".
bool IsAddress(absl::string_view address) {
  const size_t colon = address.rfind(':');
  int port = 0;
  return colon != absl::string_view::npos && colon > 0 &&
         absl::SimpleAtoi(address.substr(colon + 1), &port) && port > 0 && port < 65536;
}

}  // namespace

absl::StatusOr<Config> ParseConfig(absl::string_view text, absl::string_view origin) {
  const toml::parse_result parsed =
      toml::parse(std::string_view(text.data(), text.size()), std::string(origin));
  if (!parsed) {
    const toml::parse_error& error = parsed.error();
    return absl::InvalidArgumentError(absl::StrCat(std::string(origin), ", line ",
                                                   error.source().begin.line, ": ",
                                                   std::string(error.description())));
  }
  Config config;
  const std::map<std::string, std::string*> fields = {{"controller", &config.controller},
                                                      {"authority", &config.authority},
                                                      {"token_file", &config.token_file},
                                                      {"state_directory", &config.state_directory},
                                                      {"bios_uuid", &config.bios_uuid}};
  Violations violations;
  for (const auto& [key, node] : parsed.table()) {
    const std::string name(key.str());
    const auto field = fields.find(name);
    if (field == fields.end()) {
      violations.Add(name,
                     "is no setting of the agent; it knows controller, authority, "
                     "token_file, state_directory, bios_uuid");
    } else if (const auto value = node.value<std::string>(); !value) {
      violations.Add(name, "must be a string in quotes");
    } else {
      *field->second = *value;
    }
  }
  if (violations.empty() && !IsAddress(config.controller)) {
    violations.Add("controller", "must be the controller's address and port, as 10.0.0.1:8444");
  }
  for (const char* path : {"authority", "token_file", "state_directory"}) {
    const std::string& value = *fields.at(path);
    if (value.empty() || value[0] != '/') violations.Add(path, "must be an absolute path");
  }
  DROVER_RETURN_IF_ERROR(Annotate(violations.ToStatus(), origin));
  return config;
}

absl::StatusOr<Config> ReadConfig(const std::string& path) {
  DROVER_ASSIGN_OR_RETURN(const std::string text, ReadWholeFile(path));
  return ParseConfig(text, path);
}

}  // namespace drover::agent
