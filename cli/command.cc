#include "cli/command.h"

#include <algorithm>
#include <cstdlib>
#include <utility>

#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/strings/str_split.h"
#include "absl/strings/strip.h"
#include "cli/fields.h"
#include "cli/nearest.h"
#include "cli/parse_flags.h"
#include "proto/support/contract.h"
#include "proto/support/log.h"
#include "proto/support/status.h"

namespace drover::cli {
namespace {

using google::protobuf::Descriptor;
using google::protobuf::FieldDescriptor;
using google::protobuf::MethodDescriptor;

// Other words for the same thing.
const std::map<std::string, std::string>& Aliases() {
  static const auto* const aliases = new std::map<std::string, std::string>{
      {"ls", "list"},
      {"rm", "delete"},
      {"remove", "delete"},
      {"op", "operation"},
      {"operations", "operation"},
      {"environment", "env"},
      {"environments", "env"},
      {"vms", "vm"},
      {"types", "type"},
      {"hypervisors", "hypervisor"},
      {"users", "user"},
      {"services", "service"},
      {"events", "event"},
      {"logs", "log"},
      {"contexts", "context"},
  };
  return *aliases;
}

void Fail(const Command& command, absl::string_view what) {
  LogError("command \"", command.path, "\": ", what);
  abort();
}

// What the request's field says about the flag.
void CompleteFromField(const Command& command, const Descriptor& request, Flag& flag) {
  if (flag.field.empty()) return;
  const FieldDescriptor* field = FindField(request, flag.field);
  if (field == nullptr) return Fail(command, absl::StrCat("no field ", flag.field));
  if (field->options().GetExtension(v1::secret)) {
    flag.kind = Flag::Kind::kSecret;
  } else if (field->is_repeated()) {
    flag.kind = Flag::Kind::kList;
  } else if (field->cpp_type() == FieldDescriptor::CPPTYPE_BOOL) {
    flag.kind = Flag::Kind::kSwitch;
  }
  if (field->cpp_type() == FieldDescriptor::CPPTYPE_ENUM && flag.words.empty()) {
    flag.words = EnumWords(*field->enum_type());
  }
  if (flag.name == "env") flag.alias = "environment";
  if (flag.collection.empty()) flag.collection = CollectionOf(*field);
}

std::string DefaultValueName(const Flag& flag) {
  if (flag.kind == Flag::Kind::kSwitch) return "";
  if (!flag.value.empty()) return flag.value;
  if (!flag.words.empty() && flag.words.size() <= 6) return absl::StrJoin(flag.words, "|");
  return absl::AsciiStrToUpper(flag.name);
}

bool HasField(const Descriptor& type, absl::string_view name) {
  return type.FindFieldByName(std::string(name)) != nullptr;
}

}  // namespace

bool Arguments::Has(absl::string_view name) const { return !All(name).empty(); }

std::string Arguments::Get(absl::string_view name) const {
  const auto& values = All(name);
  return values.empty() ? "" : values.back();
}

const std::vector<std::string>& Arguments::All(absl::string_view name) const {
  static const auto* const none = new std::vector<std::string>;
  const auto it = values_.find(std::string(name));
  return it == values_.end() ? *none : it->second;
}

void Arguments::Add(absl::string_view name, absl::string_view value) {
  values_[std::string(name)].emplace_back(value);
}

void Arguments::Set(absl::string_view name, std::vector<std::string> values) {
  values_[std::string(name)] = std::move(values);
}

const MethodDescriptor* MethodOf(const Command& command) {
  return command.method.empty() ? nullptr : FindMethod(command.method);
}

const std::vector<Flag>& CommonFlags() {
  static const auto* const flags = new std::vector<Flag>{
      {.name = "output",
       .help = "table, wide, json, yaml, name, csv (DROVER_OUTPUT)",
       .letter = 'o',
       .value = "FORMAT",
       .words = {"table", "wide", "json", "yaml", "name", "csv", "toml"}},
      {.name = "columns",
       .help = "columns of a table or csv, e.g. name,ip,network.gateway",
       .kind = Flag::Kind::kList,
       .value = "A,B"},
      {.name = "no-headers",
       .help = "tables without their first line",
       .kind = Flag::Kind::kSwitch},
      {.name = "quiet",
       .help = "names only, no messages",
       .letter = 'q',
       .kind = Flag::Kind::kSwitch},
      {.name = "context", .help = "signed-in controller to use (DROVER_CONTEXT)", .value = "NAME"},
      {.name = "server", .help = "controller's HOST:PORT (DROVER_SERVER)", .value = "HOST:PORT"},
      {.name = "color",
       .help = "auto, always or never",
       .value = "WHEN",
       .words = {"auto", "always", "never"}},
      {.name = "help", .help = "this text", .letter = 'h', .kind = Flag::Kind::kSwitch},
  };
  return *flags;
}

std::vector<Flag> ImpliedFlags(const Command& command) {
  std::vector<Flag> flags;
  const MethodDescriptor* method = MethodOf(command);
  if (command.danger == Danger::kConfirm) {
    flags.push_back(
        {.name = "yes", .help = "do not ask", .letter = 'y', .kind = Flag::Kind::kSwitch});
  }
  if (method != nullptr && HasField(*method->input_type(), "validate_only")) {
    flags.push_back({.name = "dry-run",
                     .help = "check it and show what would happen; change nothing",
                     .kind = Flag::Kind::kSwitch});
  }
  if (method != nullptr && HasField(*method->input_type(), "page_token")) {
    flags.push_back({.name = "limit", .help = "at most N rows; all of them without", .value = "N"});
  }
  // What is read by one call can be read again.
  if (method != nullptr && command.run == nullptr &&
      RuleOf(*method).log_kind() == v1::LOG_KIND_UNSPECIFIED && !method->server_streaming()) {
    flags.push_back({.name = "watch",
                     .help = "show it again whenever something has changed, until Ctrl-C",
                     .letter = 'w',
                     .kind = Flag::Kind::kSwitch});
  }
  const bool waits =
      command.waits || (method != nullptr && method->output_type()->name() == "Operation" &&
                        !absl::StartsWith(method->name(), "Get"));
  if (waits) {
    flags.push_back({.name = "detach",
                     .help = "do not wait; print the operation's name",
                     .kind = Flag::Kind::kSwitch});
    flags.push_back({.name = "timeout",
                     .help = "stop waiting after this time; the operation goes on (exit code 7)",
                     .value = "TIME"});
  }
  return flags;
}

std::vector<Flag> TypedFlags(const Command& command) {
  std::vector<Flag> typed;
  for (const Flag& flag : command.flags) {
    if (flag.kind != Flag::Kind::kSecret) {
      typed.push_back(flag);
      continue;
    }
    typed.push_back({.name = flag.name + "-stdin",
                     .help = absl::StrCat(flag.help, ": a line of standard input"),
                     .kind = Flag::Kind::kSwitch});
    typed.push_back(
        {.name = flag.name + "-file",
         .help = absl::StrCat(flag.help, ": first line of a file that only you can read"),
         .value = "FILE"});
    if (!flag.required) {
      typed.push_back({.name = "ask-" + flag.name,
                       .help = absl::StrCat(flag.help, ": asked for"),
                       .kind = Flag::Kind::kSwitch});
    }
  }
  for (Flag& flag : typed) flag.value = DefaultValueName(flag);
  for (const Flag& flag : ImpliedFlags(command)) typed.push_back(flag);
  return typed;
}

CommandTable::CommandTable(std::vector<Command> commands) : commands_(std::move(commands)) {
  for (Command& command : commands_) {
    const MethodDescriptor* method = MethodOf(command);
    if (method == nullptr) {
      if (!command.method.empty()) Fail(command, "no such method");
      continue;
    }
    for (Flag& flag : command.arguments) CompleteFromField(command, *method->input_type(), flag);
    for (Flag& flag : command.flags) CompleteFromField(command, *method->input_type(), flag);
  }
}

const Command* CommandTable::Find(absl::string_view path) const {
  for (const Command& command : commands_) {
    if (command.path == path) return &command;
  }
  return nullptr;
}

std::vector<std::string> CommandTable::WordsAfter(absl::string_view path) const {
  const std::string prefix = path.empty() ? "" : absl::StrCat(path, " ");
  std::vector<std::string> words;
  for (const Command& command : commands_) {
    if (command.hidden || !absl::StartsWith(command.path, prefix)) continue;
    const std::vector<std::string> rest =
        absl::StrSplit(absl::string_view(command.path).substr(prefix.size()), ' ');
    if (std::find(words.begin(), words.end(), rest[0]) == words.end()) words.push_back(rest[0]);
  }
  return words;
}

absl::Status CommandTable::TakePath(std::vector<std::string>& words, ParsedLine& line) const {
  for (size_t i = 0; i < words.size();) {
    if (words[i] == "--") break;
    if (absl::StartsWith(words[i], "-")) {
      i += TakesNextWord(words[i], CommonFlags()) ? 2 : 1;
      continue;
    }
    if (Find(line.path) != nullptr) break;
    const auto alias = Aliases().find(words[i]);
    std::string next = line.path.empty() ? words[i] : absl::StrCat(line.path, " ", words[i]);
    if (Find(next) == nullptr && WordsAfter(next).empty() && alias != Aliases().end()) {
      next = line.path.empty() ? alias->second : absl::StrCat(line.path, " ", alias->second);
    }
    if (Find(next) == nullptr && WordsAfter(next).empty()) {
      const auto known = WordsAfter(line.path);
      const std::string drover = line.path.empty() ? "drover" : absl::StrCat("drover ", line.path);
      return absl::InvalidArgumentError(absl::StrCat("\"", drover, "\" has no command \"", words[i],
                                                     "\"", DidYouMean(words[i], known)));
    }
    line.path = next;
    words.erase(words.begin() + static_cast<std::ptrdiff_t>(i));
  }
  // "drover events --follow" reads better than it parses.
  if (line.path == "event" && Find("event") == nullptr) line.path = "event list";
  line.command = Find(line.path);
  return absl::OkStatus();
}

absl::StatusOr<ParsedLine> CommandTable::Parse(const std::vector<std::string>& all_words) const {
  std::vector<std::string> words = all_words;
  ParsedLine line;
  DROVER_RETURN_IF_ERROR(TakePath(words, line));
  std::vector<Flag> flags = CommonFlags();
  std::vector<Flag> arguments;
  if (line.command != nullptr) {
    arguments = line.command->arguments;
    for (const Flag& flag : TypedFlags(*line.command)) flags.push_back(flag);
  }
  DROVER_RETURN_IF_ERROR(ParseFlags(words, arguments, flags, line.arguments));
  line.help = line.arguments.Has("help") || line.command == nullptr;
  if (line.help) return line;
  for (const Flag& argument : arguments) {
    if (argument.required && !line.arguments.Has(argument.name)) {
      return absl::InvalidArgumentError(
          absl::StrCat(argument.name, " is missing: ", argument.help));
    }
  }
  for (const Flag& flag : line.command->flags) {
    if (flag.required && flag.kind != Flag::Kind::kSecret && !line.arguments.Has(flag.name)) {
      return absl::InvalidArgumentError(absl::StrCat("--", flag.name, " is missing: ", flag.help));
    }
  }
  return line;
}

}  // namespace drover::cli
