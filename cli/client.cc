#include "cli/client.h"

#include <google/protobuf/descriptor.h>

#include <cstdint>
#include <random>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "cli/fields.h"
#include "proto/support/contract.h"
#include "proto/support/status.h"

namespace drover::cli {
namespace {

using google::protobuf::FieldDescriptor;
using google::protobuf::Message;
using google::protobuf::MethodDescriptor;

constexpr int kPageSize = 500;

const FieldDescriptor* Field(const Message& message, const char* name) {
  return message.GetDescriptor()->FindFieldByName(name);
}

std::string Text(const Message& message, const char* name) {
  const FieldDescriptor* field = Field(message, name);
  return field == nullptr ? "" : message.GetReflection()->GetString(message, field);
}

void SetText(Message& message, const char* name, const std::string& value) {
  message.GetReflection()->SetString(&message, Field(message, name), value);
}

// A change without an id could be done twice by sending it twice.
bool SafeToSendAgain(const MethodDescriptor& method, const Message& request) {
  return RuleOf(method).log_kind() == v1::LOG_KIND_UNSPECIFIED ||
         !Text(request, "request_id").empty();
}

}  // namespace

std::string NewRequestId() {
  std::random_device random;
  const auto word = [&random] { return static_cast<uint32_t>(random()); };
  const uint32_t a = word(), b = word(), c = word(), d = word();
  return absl::StrFormat("%08x-%04x-4%03x-%04x-%04x%08x", a, b >> 16, b & 0xFFF,
                         0x8000 | (c >> 16 & 0x3FFF), c & 0xFFFF, d);
}

absl::StatusOr<std::string> Client::CurrentContextName() {
  DROVER_ASSIGN_OR_RETURN(const ContextStore store, ContextStore::Load(terminal_));
  std::string name = arguments_.Get("context");
  if (name.empty()) name = terminal_.Env("DROVER_CONTEXT");
  std::string server = arguments_.Get("server");
  if (server.empty() && arguments_.Get("context").empty()) server = terminal_.Env("DROVER_SERVER");
  if (!name.empty() && server.empty()) {
    ContextStore checked = store;
    DROVER_RETURN_IF_ERROR(checked.Use(name));
    return name;
  }
  if (name.empty()) name = store.current();
  if (server.empty()) return name;
  // The wanted server, preferably under the wanted name.
  const auto preferred = store.contexts().find(name);
  if (preferred != store.contexts().end() && preferred->second.server == server) return name;
  for (const auto& [known, context] : store.contexts()) {
    if (context.server == server) return known;
  }
  return MakeError(absl::StatusCode::kUnauthenticated, "NOT_SIGNED_IN",
                   absl::StrCat("not signed in at ", server));
}

absl::StatusOr<Context> Client::CurrentContext() {
  if (connected_) return context_;
  Context context;
  const std::string authority_file = terminal_.Env("DROVER_AUTHORITY");
  const std::string token = terminal_.Env("DROVER_TOKEN");
  if (!authority_file.empty() && !terminal_.Env("DROVER_SERVER").empty()) {
    DROVER_ASSIGN_OR_RETURN(context.authority, ReadFile(authority_file));
    context.server = terminal_.Env("DROVER_SERVER");
  } else {
    DROVER_ASSIGN_OR_RETURN(const std::string name, CurrentContextName());
    DROVER_ASSIGN_OR_RETURN(const ContextStore store, ContextStore::Load(terminal_));
    const auto found = store.contexts().find(name);
    if (found == store.contexts().end()) {
      return MakeError(absl::StatusCode::kUnauthenticated, "NOT_SIGNED_IN",
                       "not signed in at any controller");
    }
    context = found->second;
  }
  if (!token.empty()) context.token = token;
  return context;
}

void Client::UseContext(const Context& context) {
  context_ = context;
  channel_ = OpenChannel(context.server, context.authority);
  connected_ = true;
}

absl::Status Client::Connect() {
  if (connected_) return absl::OkStatus();
  DROVER_ASSIGN_OR_RETURN(const Context context, CurrentContext());
  UseContext(context);
  return absl::OkStatus();
}

absl::Status Client::Call(absl::string_view method_name, Message& request, Message* response,
                          absl::Duration timeout) {
  const MethodDescriptor* method = FindMethod(method_name);
  if (method == nullptr) return absl::InternalError(absl::StrCat("no method ", method_name));
  if (Field(request, "request_id") != nullptr && Text(request, "request_id").empty()) {
    SetText(request, "request_id", NewRequestId());
  }
  DROVER_RETURN_IF_ERROR(Connect());
  const CallOptions options{.token = context_.token, .timeout = timeout};
  absl::Status status = UnaryCall(channel_, MethodPath(*method), request, response, options);
  if (absl::IsUnavailable(status) && ReasonOf(status).empty() &&
      SafeToSendAgain(*method, request)) {
    status = UnaryCall(channel_, MethodPath(*method), request, response, options);
  }
  if (absl::IsUnavailable(status) && ReasonOf(status).empty()) {
    return MakeError(absl::StatusCode::kUnavailable, "CONTROLLER_UNREACHABLE",
                     absl::StrCat("the controller at ", context_.server,
                                  " does not answer: ", status.message()));
  }
  if (absl::IsUnimplemented(status)) {
    return MakeError(absl::StatusCode::kUnimplemented, "NOT_BUILT",
                     absl::StrCat("this controller cannot do that: ", method->name(),
                                  " is not built into its version"));
  }
  return status;
}

absl::Status Client::List(absl::string_view method, Message& request, Message* response, int limit,
                          absl::Duration timeout) {
  const FieldDescriptor* rows = RowsField(*response->GetDescriptor());
  const auto* reflection = request.GetReflection();
  while (true) {
    const int have = response->GetReflection()->FieldSize(*response, rows);
    const int page = limit == 0 ? kPageSize : std::min(kPageSize, limit - have);
    reflection->SetInt32(&request, Field(request, "page_size"), page);
    const std::unique_ptr<Message> answer(response->New());
    DROVER_RETURN_IF_ERROR(Call(method, request, answer.get(), timeout));
    response->MergeFrom(*answer);
    const std::string next = Text(*answer, "next_page_token");
    const bool enough =
        limit != 0 && response->GetReflection()->FieldSize(*response, rows) >= limit;
    if (next.empty() || enough) return absl::OkStatus();
    SetText(*response, "next_page_token", "");
    SetText(request, "page_token", next);
  }
}

absl::StatusOr<std::unique_ptr<ServerStream>> Client::Stream(absl::string_view method_name,
                                                             const Message& request,
                                                             absl::Duration timeout) {
  const MethodDescriptor* method = FindMethod(method_name);
  if (method == nullptr) return absl::InternalError(absl::StrCat("no method ", method_name));
  DROVER_RETURN_IF_ERROR(Connect());
  return std::make_unique<ServerStream>(channel_, MethodPath(*method), request,
                                        CallOptions{.token = context_.token, .timeout = timeout});
}

}  // namespace drover::cli
