#include "controller/api/dispatcher.h"

#include <cstdlib>

#include "absl/cleanup/cleanup.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_replace.h"
#include "controller/api/redaction.h"
#include "controller/api/request_check.h"
#include "drover/v1/activity.pb.h"
#include "drover/v1/options.pb.h"
#include "proto/support/contract.h"
#include "proto/support/log.h"
#include "proto/support/status.h"

namespace drover::api {
namespace {

using google::protobuf::Descriptor;
using google::protobuf::FieldDescriptor;
using google::protobuf::Message;
using google::protobuf::MethodDescriptor;

[[noreturn]] void Misregistered(absl::string_view method, absl::string_view problem) {
  LogError("handler of ", method, ": ", problem);
  std::abort();
}

const MethodDescriptor* CheckedMethod(absl::string_view name, const Descriptor* request,
                                      const Descriptor* response, bool streams) {
  const MethodDescriptor* method = FindMethod(absl::StrReplaceAll(name, {{".", "/"}}));
  if (method == nullptr) Misregistered(name, "the contract has no such method");
  if (method->input_type() != request || method->output_type() != response ||
      method->server_streaming() != streams) {
    Misregistered(name, "request, response or streaming is not as the contract says");
  }
  return method;
}

std::string RequestIdOf(const Message& request) {
  const FieldDescriptor* field = request.GetDescriptor()->FindFieldByName("request_id");
  if (field == nullptr || field->is_repeated() ||
      field->cpp_type() != FieldDescriptor::CPPTYPE_STRING) {
    return "";
  }
  return request.GetReflection()->GetString(request, field);
}

bool MaySee(drover::v1::Role role, drover::v1::Access access) {
  switch (access) {
    case v1::ACCESS_ANYONE:
    case v1::ACCESS_SIGNED_IN:
      return true;
    case v1::ACCESS_ADMINISTRATOR:
      return role == v1::ROLE_ADMINISTRATOR || role == v1::ROLE_SYSTEM_ADMINISTRATOR;
    case v1::ACCESS_SYSTEM_ADMINISTRATOR:
      return role == v1::ROLE_SYSTEM_ADMINISTRATOR;
    default:
      // A method that does not say who may call it is nobody's.
      return false;
  }
}

absl::Status Authorise(const core::Caller& caller, const drover::v1::MethodRule& rule) {
  if (!MaySee(caller.role, rule.access())) {
    return MakeError(absl::StatusCode::kPermissionDenied, "ROLE_NOT_SUFFICIENT",
                     rule.access() == v1::ACCESS_SYSTEM_ADMINISTRATOR
                         ? "only system administrators may do this"
                         : "your role does not allow this");
  }
  if (caller.must_change_password && rule.access() > v1::ACCESS_SIGNED_IN) {
    return MakeError(absl::StatusCode::kPermissionDenied, "PASSWORD_CHANGE_REQUIRED",
                     "your password was set by somebody else: change it first");
  }
  return absl::OkStatus();
}

// The answer to signing in is the one whose point is a secret.
void RedactAnswer(const MethodDescriptor& method, Message* answer) {
  if (RuleOf(method).access() != v1::ACCESS_ANYONE && MayHoldSecrets(*method.output_type())) {
    Redact(answer);
  }
}

}  // namespace

// One call on its way through.
struct Dispatcher::Passage {
  const MethodDescriptor& method;
  std::unique_ptr<Message> request;
  Call call;
  CallLog::Record record;
};

Dispatcher::Dispatcher(Gate gate, CallLog* log) : gate_(std::move(gate)), log_(log) {}

void Dispatcher::AddUnary(absl::string_view method, const Descriptor* request,
                          const Descriptor* response, UnaryHandler handler) {
  const MethodDescriptor* found = CheckedMethod(method, request, response, false);
  if (!unary_.emplace(found, std::move(handler)).second) Misregistered(method, "there are two");
}

void Dispatcher::AddStream(absl::string_view method, const Descriptor* request,
                           const Descriptor* response, StreamHandler handler) {
  const MethodDescriptor* found = CheckedMethod(method, request, response, true);
  if (!streams_.emplace(found, std::move(handler)).second) Misregistered(method, "there are two");
}

absl::Status Dispatcher::Admit(const MethodDescriptor& method, const Origin& origin,
                               core::Caller* caller) {
  const drover::v1::MethodRule& rule = RuleOf(method);
  caller->client_address = origin.client_address;
  if (rule.access() == v1::ACCESS_ANYONE) return absl::OkStatus();
  if (origin.token.empty()) {
    return MakeError(absl::StatusCode::kUnauthenticated, "NOT_SIGNED_IN", "sign in first");
  }
  DROVER_ASSIGN_OR_RETURN(*caller, gate_.authenticate(origin.token, origin.client_address));
  return Authorise(*caller, rule);
}

// Up to the handler's door: known, allowed, built.
absl::Status Dispatcher::Enter(Passage& passage, const Origin& origin) {
  CallLog::Record& record = passage.record;
  record.method = &passage.method;
  record.request = passage.request.get();
  record.refused = true;
  DROVER_RETURN_IF_ERROR(Admit(passage.method, origin, &record.caller));
  record.refused = false;
  passage.call.caller = record.caller;
  passage.call.request_id = RequestIdOf(*passage.request);
  if (!unary_.contains(&passage.method) && !streams_.contains(&passage.method)) {
    return absl::UnimplementedError(absl::StrCat(passage.method.service()->name(), ".",
                                                 passage.method.name(),
                                                 " is not built in this version"));
  }
  return absl::OkStatus();
}

absl::StatusOr<std::unique_ptr<Message>> Dispatcher::AnswerOnce(Passage& passage,
                                                                const UnaryHandler& handler) {
  // The ledger compares requests as they were sent, the handler gets them as they are checked.
  std::unique_ptr<Message> sent(passage.request->New());
  const bool once = !passage.call.request_id.empty();
  if (once) {
    sent->CopyFrom(*passage.request);
    DROVER_ASSIGN_OR_RETURN(std::optional<google::protobuf::Any> before,
                            gate_.recall(passage.call.caller, passage.method.full_name(),
                                         passage.call.request_id, *sent));
    if (before) {
      std::unique_ptr<Message> answer = NewMessage(*passage.method.output_type());
      if (before->UnpackTo(answer.get())) return answer;
      return absl::InternalError("the answer given before cannot be read");
    }
  }
  DROVER_RETURN_IF_ERROR(CheckRequest(passage.request.get()));
  passage.record.vms_before = log_->VmsOf(passage.method, *passage.request);
  DROVER_ASSIGN_OR_RETURN(std::unique_ptr<Message> answer, handler(passage.call, *passage.request));
  RedactAnswer(passage.method, answer.get());
  if (answer->GetDescriptor() == drover::v1::Operation::descriptor()) {
    passage.record.operation = static_cast<const drover::v1::Operation&>(*answer).name();
  }
  if (once) {
    const absl::Status kept = gate_.remember(passage.call.caller, passage.method.full_name(),
                                             passage.call.request_id, *sent, *answer);
    // It was carried out; that is what the caller has to know.
    if (!kept.ok()) LogError("the answer to a request_id was not kept: ", kept.message());
  }
  return answer;
}

absl::StatusOr<std::unique_ptr<Message>> Dispatcher::Answer(Passage& passage) {
  const auto handler = unary_.find(&passage.method);
  if (handler == unary_.end()) return absl::InternalError("the method streams");
  if (passage.call.request_id.empty()) return AnswerOnce(passage, handler->second);
  const std::string key = absl::StrCat(passage.call.caller.user, " ", passage.call.request_id);
  {
    absl::MutexLock lock(&mutex_);
    if (!in_progress_.insert(key).second) {
      return MakeError(absl::StatusCode::kAborted, "REQUEST_IN_PROGRESS",
                       "a request with this request_id is being carried out; ask again");
    }
  }
  absl::Cleanup done = [this, &key] {
    absl::MutexLock lock(&mutex_);
    in_progress_.erase(key);
  };
  return AnswerOnce(passage, handler->second);
}

absl::StatusOr<std::unique_ptr<Message>> Dispatcher::Dispatch(const MethodDescriptor& method,
                                                              const Origin& origin,
                                                              std::unique_ptr<Message> request) {
  Passage passage{method, std::move(request), {}, {}};
  absl::StatusOr<std::unique_ptr<Message>> answer = [&]() -> decltype(answer) {
    DROVER_RETURN_IF_ERROR(Enter(passage, origin));
    return Answer(passage);
  }();
  passage.record.result = answer.status();
  log_->Write(passage.record);
  return answer;
}

absl::StatusOr<std::unique_ptr<Subscription>> Dispatcher::Open(const MethodDescriptor& method,
                                                               const Origin& origin,
                                                               std::unique_ptr<Message> request,
                                                               std::shared_ptr<StreamSink> sink) {
  Passage passage{method, std::move(request), {}, {}};
  absl::StatusOr<std::unique_ptr<Subscription>> subscription = [&]() -> decltype(subscription) {
    DROVER_RETURN_IF_ERROR(Enter(passage, origin));
    const auto handler = streams_.find(&method);
    if (handler == streams_.end()) return absl::InternalError("the method does not stream");
    DROVER_RETURN_IF_ERROR(CheckRequest(passage.request.get()));
    passage.record.vms_before = log_->VmsOf(method, *passage.request);
    return handler->second(passage.call, *passage.request, std::move(sink));
  }();
  passage.record.result = subscription.status();
  log_->Write(passage.record);
  return subscription;
}

}  // namespace drover::api
