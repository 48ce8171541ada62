#include "cli/bundle_contents.h"

#include <google/protobuf/message.h>
#include <stdio.h>
#include <sys/utsname.h>
#include <unistd.h>

#include <filesystem>

#include "absl/cleanup/cleanup.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "cli/bundle.h"
#include "cli/context_store.h"
#include "cli/doctor.h"
#include "cli/fields.h"
#include "proto/support/contract.h"
#include "proto/support/json.h"
#include "proto/support/status.h"

namespace drover::cli {
namespace {

using google::protobuf::Message;

// What the controller is asked for; the newest `limit` rows, 0 = all. Nothing that holds the
// contents of files in guests: they are full of passwords.
struct Asked {
  const char* file;
  const char* method;
  int limit;
};
constexpr Asked kAsked[] = {
    {"controller/hypervisors.json", "InventoryService/ListHypervisors", 0},
    {"controller/types.json", "InventoryService/ListTypes", 0},
    {"controller/environments.json", "InventoryService/ListEnvironments", 0},
    {"controller/vms.json", "InventoryService/ListVms", 0},
    {"controller/operations.json", "ActivityService/ListOperations", 200},
    {"controller/events.json", "ActivityService/ListEvents", 2000},
    {"controller/log.json", "ActivityService/SearchLog", 1000},
    {"controller/rollouts.json", "UpgradeService/ListRollouts", 50},
};

class Bundle {
 public:
  Bundle(Invocation& invocation, std::vector<std::string> secrets)
      : invocation_(invocation),
        secrets_(std::move(secrets)),
        archive_(invocation.terminal.Now()) {}

  void Add(const std::string& name, absl::string_view text) {
    archive_.Add(absl::StrCat("drover-bundle/", name), Redact(text, secrets_));
  }
  void AddMessage(const std::string& name, Message* message) {
    ClearSecrets(message);
    const auto json = ToJson(*message, true);
    if (json.ok()) return Add(name, *json);
    Missing(name, json.status());
  }
  void Missing(absl::string_view name, const absl::Status& why) {
    absl::StrAppend(&missing_, name, ": ", why.message(), "\n");
  }
  void AddList(const Asked& asked) {
    const auto* method = FindMethod(asked.method);
    const auto request = NewMessage(*method->input_type());
    const auto response = NewMessage(*method->output_type());
    const absl::Status status =
        invocation_.client.List(asked.method, *request, response.get(), asked.limit);
    if (!status.ok()) return Missing(asked.file, status);
    AddMessage(asked.file, response.get());
  }
  // A file of this machine, when it is there and may be read.
  void AddFile(const std::string& name, const std::string& path) {
    const auto text = ReadFile(path);
    if (text.ok()) return Add(name, *text);
    Missing(path, text.status());
  }
  absl::StatusOr<std::string> Finish() {
    if (!missing_.empty()) Add("missing.txt", missing_);
    return archive_.Finish();
  }

 private:
  Invocation& invocation_;
  const std::vector<std::string> secrets_;
  TarGz archive_;
  std::string missing_;
};

std::string AboutThisMachine(const Terminal& terminal) {
  utsname names;
  std::string text = absl::StrCat("drover ", DROVER_VERSION, "\n");
  if (uname(&names) == 0) {
    absl::StrAppend(&text, names.sysname, " ", names.release, " ", names.machine, "\n");
  }
  absl::StrAppend(&text, "time ", LocalTime(terminal.Now()), "\n");
  for (const auto& [name, value] : terminal.options().env) {
    if (absl::StartsWith(name, "DROVER_") || name == "TERM" || name == "LANG") {
      absl::StrAppend(&text, name, "=", value, "\n");
    }
  }
  return text;
}

std::string ContextsText(const ContextStore& store) {
  std::string text;
  for (const auto& [name, context] : store.contexts()) {
    absl::StrAppend(&text, name == store.current() ? "* " : "  ", name, "  ", context.server, "  ",
                    context.user, context.token.empty() ? "  signed out" : "", "\n");
  }
  return text;
}

// The end of a unit's journal, on a machine that has one.
std::string Journal(const std::string& unit) {
  if (!std::filesystem::exists("/run/systemd/system")) return "";
  const std::string command = absl::StrCat(
      "journalctl --quiet --no-pager --lines=3000 --unit=", unit, " 2>/dev/null </dev/null");
  FILE* pipe = popen(command.c_str(), "re");
  if (pipe == nullptr) return "";
  std::string text;
  char buffer[16384];
  for (size_t got = 0; (got = fread(buffer, 1, sizeof(buffer), pipe)) > 0;) {
    text.append(buffer, got);
  }
  pclose(pipe);
  return text;
}

void AddThisMachine(Invocation& invocation, Bundle& bundle) {
  bundle.Add("here.txt", AboutThisMachine(invocation.terminal));
  const auto store = ContextStore::Load(invocation.terminal);
  if (store.ok()) bundle.Add("contexts.txt", ContextsText(*store));
  std::string folder = invocation.arguments.Get("config-dir");
  if (folder.empty()) folder = "/etc/drover";
  for (const char* name : {"controller.toml", "gateway.toml"}) {
    bundle.AddFile(absl::StrCat("config/", name), absl::StrCat(folder, "/", name));
  }
  for (const char* unit : {"droverd", "drover-gateway"}) {
    const std::string text = Journal(unit);
    if (!text.empty()) bundle.Add(absl::StrCat("journal/", unit, ".txt"), text);
  }
}

}  // namespace

absl::StatusOr<std::string> MakeBundle(Invocation& invocation) {
  // Every token this machine knows: one may stand where nobody expects it.
  std::vector<std::string> secrets = {invocation.terminal.Env("DROVER_TOKEN")};
  const auto store = ContextStore::Load(invocation.terminal);
  if (store.ok()) {
    for (const auto& [name, context] : store->contexts()) secrets.push_back(context.token);
  }
  Bundle bundle(invocation, std::move(secrets));
  AddThisMachine(invocation, bundle);
  Findings findings = CheckAll(invocation);
  bundle.AddMessage("doctor.json", &findings.health);
  // Without a controller the rest would only wait for time-outs.
  if (findings.first_failure.ok()) {
    for (const Asked& asked : kAsked) bundle.AddList(asked);
  } else {
    bundle.Missing("controller", findings.first_failure);
  }
  return bundle.Finish();
}

}  // namespace drover::cli
