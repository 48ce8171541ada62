#include "cli/call.h"

#include <fnmatch.h>
#include <google/protobuf/empty.pb.h>
#include <google/protobuf/field_mask.pb.h>

#include <algorithm>
#include <map>
#include <memory>

#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/strings/str_replace.h"
#include "absl/strings/strip.h"
#include "cli/context_store.h"
#include "cli/fields.h"
#include "cli/progress.h"
#include "proto/support/contract.h"
#include "proto/support/resource_name.h"
#include "proto/support/status.h"

namespace drover::cli {
namespace {

using google::protobuf::FieldDescriptor;
using google::protobuf::Message;

// How each collection is listed.
const std::map<std::string, std::string>& ListMethods() {
  static const auto* const methods = new std::map<std::string, std::string>{
      {"vms", "InventoryService/ListVms"},
      {"environments", "InventoryService/ListEnvironments"},
      {"types", "InventoryService/ListTypes"},
      {"hypervisors", "InventoryService/ListHypervisors"},
      {"operations", "ActivityService/ListOperations"},
      {"logBackups", "ActivityService/ListLogBackups"},
      {"users", "PeopleService/ListUsers"},
  };
  return *methods;
}

bool IsGlob(absl::string_view text) { return text.find_first_of("*?[") != absl::string_view::npos; }

std::string Shown(const Flag& flag, bool argument) {
  return argument ? flag.name : absl::StrCat("--", flag.name);
}

absl::Status SetFromWords(Invocation& invocation, const Flag& flag, bool argument,
                          Message* request) {
  if (flag.field.empty()) return absl::OkStatus();
  for (const std::string& word : invocation.arguments.All(flag.name)) {
    std::vector<std::string> values = {word};
    if (flag.kind == Flag::Kind::kList && !flag.collection.empty() && IsGlob(word)) {
      DROVER_ASSIGN_OR_RETURN(values, ExpandGlob(invocation.client, flag.collection, word));
    }
    for (const std::string& value : values) {
      const absl::Status set = SetField(request, flag.field, value, invocation.terminal.Now());
      if (absl::IsInvalidArgument(set)) {
        return absl::InvalidArgumentError(absl::StrCat(Shown(flag, argument), ": ", set.message()));
      }
      DROVER_RETURN_IF_ERROR(set);
    }
  }
  return absl::OkStatus();
}

// The mask of an update is what was given.
absl::Status SetMask(Invocation& invocation, const std::vector<std::string>& secrets,
                     Message* request) {
  const Command& command = invocation.command;
  if (command.update_of.empty()) return absl::OkStatus();
  const FieldDescriptor* field = request->GetDescriptor()->FindFieldByName("update_mask");
  google::protobuf::FieldMask mask;
  std::vector<std::string> possible;
  for (const Flag& flag : command.flags) {
    absl::string_view path = flag.field;
    if (!absl::ConsumePrefix(&path, command.update_of + ".")) continue;
    possible.push_back("--" + flag.name + (flag.kind == Flag::Kind::kSecret ? "-stdin" : ""));
    const bool given = flag.kind == Flag::Kind::kSecret
                           ? std::find(secrets.begin(), secrets.end(), flag.name) != secrets.end()
                           : invocation.arguments.Has(flag.name);
    if (given) mask.add_paths(std::string(path));
  }
  if (mask.paths().empty()) {
    return absl::InvalidArgumentError(
        absl::StrCat("nothing to change; give at least one of ", absl::StrJoin(possible, ", ")));
  }
  request->GetReflection()->MutableMessage(request, field)->CopyFrom(mask);
  return absl::OkStatus();
}

bool StartsOperation(const google::protobuf::MethodDescriptor& method) {
  return method.output_type() == v1::Operation::descriptor() &&
         RuleOf(method).log_kind() != v1::LOG_KIND_UNSPECIFIED;
}

void SetBool(Message* request, const char* name, bool value) {
  request->GetReflection()->SetBool(request, request->GetDescriptor()->FindFieldByName(name),
                                    value);
}

bool HasField(const Message& request, const char* name) {
  return request.GetDescriptor()->FindFieldByName(name) != nullptr;
}

std::string DoneText(const Invocation& invocation) {
  const auto& arguments = invocation.command.arguments;
  const std::string first =
      arguments.empty() ? "" : absl::StrJoin(invocation.arguments.All(arguments[0].name), ", ");
  return absl::StrReplaceAll(invocation.command.done, {{"{}", IdOf(first)}});
}

absl::Status ShowList(Invocation& invocation, Message* request, Message* response) {
  int limit = 0;
  const std::string text = invocation.arguments.Get("limit");
  if (!text.empty() && (!absl::SimpleAtoi(text, &limit) || limit < 1)) {
    return absl::InvalidArgumentError(
        absl::StrCat("--limit: \"", text, "\" is not a number of rows"));
  }
  DROVER_RETURN_IF_ERROR(
      invocation.client.List(invocation.command.method, *request, response, limit));
  std::vector<const FieldDescriptor*> set;
  response->GetReflection()->ListFields(*response, &set);
  const bool empty = std::none_of(
      set.begin(), set.end(), [](const FieldDescriptor* field) { return field->is_repeated(); });
  if (empty && invocation.shows_table()) {
    const std::string& hint = invocation.command.empty_hint;
    invocation.Tell(hint.empty() ? "Nothing found." : hint);
    return absl::OkStatus();
  }
  return PrintList(invocation.terminal, invocation.output, *response);
}

}  // namespace

absl::StatusOr<std::vector<std::string>> NamesIn(Client& client, absl::string_view collection,
                                                 absl::Duration timeout) {
  const auto method = ListMethods().find(std::string(collection));
  if (method == ListMethods().end()) {
    return absl::UnimplementedError(absl::StrCat(collection, " cannot be listed"));
  }
  const auto* descriptor = FindMethod(method->second);
  const auto request = NewMessage(*descriptor->input_type());
  const auto response = NewMessage(*descriptor->output_type());
  // Of operations the newest will do.
  const int limit = collection == "operations" ? 50 : 0;
  DROVER_RETURN_IF_ERROR(client.List(method->second, *request, response.get(), limit, timeout));
  std::vector<std::string> names;
  std::vector<const FieldDescriptor*> fields;
  response->GetReflection()->ListFields(*response, &fields);
  for (const FieldDescriptor* field : fields) {
    if (!field->is_repeated()) continue;
    for (int i = 0; i < response->GetReflection()->FieldSize(*response, field); ++i) {
      names.push_back(NameOf(response->GetReflection()->GetRepeatedMessage(*response, field, i)));
    }
  }
  return names;
}

absl::StatusOr<std::vector<std::string>> ExpandGlob(Client& client, absl::string_view collection,
                                                    absl::string_view glob) {
  absl::string_view pattern = glob;
  absl::ConsumePrefix(&pattern, absl::StrCat(collection, "/"));
  DROVER_ASSIGN_OR_RETURN(std::vector<std::string> names, NamesIn(client, collection));
  const std::string wanted(pattern);
  names.erase(std::remove_if(names.begin(), names.end(),
                             [&wanted](const std::string& name) {
                               return fnmatch(wanted.c_str(), std::string(IdOf(name)).c_str(), 0) !=
                                      0;
                             }),
              names.end());
  if (names.empty()) {
    return absl::NotFoundError(
        absl::StrCat("no name among the ", collection, " matches \"", glob, "\""));
  }
  std::sort(names.begin(), names.end());
  return names;
}

absl::StatusOr<std::string> ReadSecret(Invocation& invocation, const Flag& flag) {
  const Arguments& arguments = invocation.arguments;
  Terminal& terminal = invocation.terminal;
  if (arguments.Has(flag.name + "-stdin")) {
    auto line = terminal.ReadLine();
    if (!line.ok()) {
      return absl::InvalidArgumentError(
          absl::StrCat("--", flag.name, "-stdin: ", line.status().message()));
    }
    return line;
  }
  const std::string file = arguments.Get(flag.name + "-file");
  if (!file.empty()) {
    DROVER_ASSIGN_OR_RETURN(const std::string text, ReadPrivateFile(file));
    return text.substr(0, text.find_first_of("\r\n"));
  }
  if (!flag.required && !arguments.Has("ask-" + flag.name)) return "";
  if (!terminal.in_is_tty() || !terminal.err_is_tty()) {
    return absl::InvalidArgumentError(absl::StrCat("--", flag.name, "-stdin or --", flag.name,
                                                   "-file is missing: ", flag.help,
                                                   " cannot be asked for without a terminal"));
  }
  std::string what = flag.help;
  what[0] = absl::ascii_toupper(what[0]);
  return flag.new_secret ? terminal.AskNewSecret(what) : terminal.AskSecret(what + ":");
}

absl::Status FillRequest(Invocation& invocation, Message* request) {
  for (const Flag& argument : invocation.command.arguments) {
    DROVER_RETURN_IF_ERROR(SetFromWords(invocation, argument, true, request));
  }
  std::vector<std::string> secrets;
  for (const Flag& flag : invocation.command.flags) {
    if (flag.kind != Flag::Kind::kSecret) {
      DROVER_RETURN_IF_ERROR(SetFromWords(invocation, flag, false, request));
    }
  }
  for (const Flag& flag : invocation.command.flags) {
    if (flag.kind != Flag::Kind::kSecret) continue;
    DROVER_ASSIGN_OR_RETURN(const std::string secret, ReadSecret(invocation, flag));
    if (secret.empty()) continue;
    secrets.push_back(flag.name);
    DROVER_RETURN_IF_ERROR(SetField(request, flag.field, secret, invocation.terminal.Now()));
  }
  return SetMask(invocation, secrets, request);
}

absl::Status ConfirmQuestion(Invocation& invocation, absl::string_view question) {
  if (invocation.arguments.Has("yes")) return absl::OkStatus();
  if (!invocation.terminal.in_is_tty() || !invocation.terminal.err_is_tty()) {
    return MakeError(absl::StatusCode::kInvalidArgument, "NEEDS_YES",
                     absl::StrCat("\"", question, "\" cannot be asked without a terminal"));
  }
  DROVER_ASSIGN_OR_RETURN(const std::string answer,
                          invocation.terminal.Ask(absl::StrCat(question, " [y/N]")));
  const std::string lower = absl::AsciiStrToLower(answer);
  if (lower == "y" || lower == "yes") return absl::OkStatus();
  return absl::CancelledError("nothing was changed");
}

absl::Status Confirm(Invocation& invocation, Message* request) {
  if (invocation.command.danger == Danger::kNone || invocation.arguments.Has("yes") ||
      invocation.arguments.Has("dry-run")) {
    return absl::OkStatus();
  }
  const absl::string_view what = absl::StripSuffix(invocation.command.summary, ".");
  std::string question = absl::StrCat(
      what, ": ",
      absl::StrJoin(invocation.arguments.All(invocation.command.arguments[0].name), ", "), "?");
  if (invocation.terminal.in_is_tty() && HasField(*request, "validate_only") &&
      invocation.client.CurrentContext().ok()) {
    SetBool(request, "validate_only", true);
    v1::Operation preview;
    const absl::Status checked =
        invocation.client.Call(invocation.command.method, *request, &preview);
    SetBool(request, "validate_only", false);
    request->GetReflection()->ClearField(request,
                                         request->GetDescriptor()->FindFieldByName("request_id"));
    DROVER_RETURN_IF_ERROR(checked);
    for (const auto& target : preview.targets()) {
      invocation.terminal.Tell(absl::StrCat("  ", IdOf(target.vm()),
                                            target.detail().empty() ? "" : ": ", target.detail()));
    }
    if (preview.targets_size() > 0) {
      question = absl::StrCat(what, ": ", preview.targets_size(),
                              preview.targets_size() == 1 ? " VM?" : " VMs?");
    }
  }
  return ConfirmQuestion(invocation, question);
}

absl::Status FinishOperation(Invocation& invocation, const v1::Operation& operation) {
  Terminal& terminal = invocation.terminal;
  if (invocation.arguments.Has("detach")) {
    if (!invocation.shows_table()) return PrintMessage(terminal, invocation.output, operation);
    terminal.Print(absl::StrCat(operation.name(), "\n"));
    invocation.Tell(absl::StrCat("\"", operation.title(),
                                 "\" is under way; follow it with: drover ", "operation watch ",
                                 IdOf(operation.name())));
    return absl::OkStatus();
  }
  WaitOptions wait{.quiet = invocation.quiet()};
  const std::string timeout = invocation.arguments.Get("timeout");
  if (!timeout.empty()) {
    const auto parsed = ParseDuration(timeout);
    if (!parsed.ok()) {
      return absl::InvalidArgumentError(absl::StrCat("--timeout: ", parsed.status().message()));
    }
    wait.timeout = *parsed;
  }
  const absl::Time start = terminal.Now();
  DROVER_ASSIGN_OR_RETURN(const v1::Operation done,
                          WaitForOperation(invocation.client, terminal, operation, wait));
  const absl::Status result = ResultOf(done);
  if (!invocation.shows_table()) {
    DROVER_RETURN_IF_ERROR(PrintMessage(terminal, invocation.output, done));
  } else if (result.ok()) {
    terminal.Print(absl::StrCat(done.title(), ": ", terminal.Paint(Colour::kGreen, "succeeded"),
                                " in ", HumanDuration(terminal.Now() - start), "\n"));
  }
  return result;
}

absl::Status CallAndShow(Invocation& invocation, Message* request) {
  const auto* method = MethodOf(invocation.command);
  if (invocation.arguments.Has("dry-run")) SetBool(request, "validate_only", true);
  const auto response = NewMessage(*method->output_type());
  if (HasField(*request, "page_token")) return ShowList(invocation, request, response.get());
  DROVER_RETURN_IF_ERROR(
      invocation.client.Call(invocation.command.method, *request, response.get()));
  if (StartsOperation(*method) && !invocation.arguments.Has("dry-run")) {
    return FinishOperation(invocation, static_cast<const v1::Operation&>(*response));
  }
  const bool nothing = method->output_type() == google::protobuf::Empty::descriptor();
  if (!invocation.command.done.empty() && (nothing || invocation.shows_table())) {
    if (invocation.shows_table()) invocation.terminal.Print(DoneText(invocation) + "\n");
    return absl::OkStatus();
  }
  return PrintMessage(invocation.terminal, invocation.output, *response);
}

absl::Status RunCall(Invocation& invocation) {
  const auto* method = MethodOf(invocation.command);
  const auto request = NewMessage(*method->input_type());
  DROVER_RETURN_IF_ERROR(FillRequest(invocation, request.get()));
  DROVER_RETURN_IF_ERROR(Confirm(invocation, request.get()));
  if (!invocation.arguments.Has("watch")) return CallAndShow(invocation, request.get());
  return ShowOnChange(invocation, [&invocation, &request, method] {
    const auto fresh = NewMessage(*method->input_type());
    fresh->CopyFrom(*request);
    return CallAndShow(invocation, fresh.get());
  });
}

absl::StatusOr<std::string> ReadDocument(Invocation& invocation) {
  const std::string path = invocation.arguments.Get("file");
  return path == "-" ? invocation.terminal.ReadAll() : ReadFile(path);
}

std::string DocumentName(const Invocation& invocation) {
  const std::string path = invocation.arguments.Get("file");
  return path == "-" ? "stdin" : path;
}

}  // namespace drover::cli
