#include "web-gateway/transcoder.h"

#include <google/protobuf/field_mask.pb.h>

#include <algorithm>
#include <limits>
#include <set>
#include <utility>
#include <vector>

#include "absl/strings/escaping.h"
#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "drover/v1/options.pb.h"
#include "google/rpc/error_details.pb.h"
#include "google/rpc/status.pb.h"
#include "proto/support/contract.h"
#include "proto/support/json.h"
#include "proto/support/status.h"
#include "proto/support/utf8.h"
#include "web-gateway/http.h"
#include "web-gateway/json_check.h"
#include "web-gateway/json_text.h"

namespace drover::gateway {
namespace {

using google::protobuf::EnumValueDescriptor;
using google::protobuf::FieldDescriptor;
using google::protobuf::FieldMask;
using google::protobuf::Message;
using google::protobuf::Reflection;

// Sets or adds one value.
#define DROVER_PUT(Type, value)                                          \
  (field.is_repeated() ? reflection.Add##Type(&message, &field, (value)) \
                       : reflection.Set##Type(&message, &field, (value)))

absl::Status Refuse(absl::string_view path, absl::string_view text, absl::string_view wanted) {
  // Told back as it is, so it must be what an answer can hold.
  if (!IsUtf8(text)) return InvalidField(path, "is not UTF-8");
  return InvalidField(path, absl::StrCat("\"", text, "\" is not ", wanted));
}

absl::Status PutEnum(Message& message, const FieldDescriptor& field, absl::string_view path,
                     absl::string_view text) {
  const Reflection& reflection = *message.GetReflection();
  const EnumValueDescriptor* value = field.enum_type()->FindValueByName(std::string(text));
  int number = 0;
  if (value == nullptr && absl::SimpleAtoi(text, &number)) {
    value = field.enum_type()->FindValueByNumber(number);
  }
  if (value == nullptr) {
    std::string names;
    for (int i = 1; i < field.enum_type()->value_count(); ++i) {
      absl::StrAppend(&names, i == 1 ? "" : ", ", field.enum_type()->value(i)->name());
    }
    return Refuse(path, text, absl::StrCat("one of ", names));
  }
  DROVER_PUT(Enum, value);
  return absl::OkStatus();
}

// Messages that JSON writes as one text.
absl::Status PutMessage(Message& message, const FieldDescriptor& field, absl::string_view path,
                        absl::string_view text) {
  if (!HasOwnJsonForm(*field.message_type())) {
    return InvalidField(path, "has fields of its own; name one of them");
  }
  const Reflection& reflection = *message.GetReflection();
  Message* value = field.is_repeated() ? reflection.AddMessage(&message, &field)
                                       : reflection.MutableMessage(&message, &field);
  if (FromJson(JsonText(text), value).ok()) return absl::OkStatus();
  return Refuse(path, text,
                field.message_type()->name() == "Timestamp"
                    ? "a time like 2026-01-31T08:00:00Z"
                    : absl::StrCat("a ", field.message_type()->name()));
}

template <typename Number>
bool ParseNumber(absl::string_view text, Number* number) {
  // What SimpleAtoi takes beyond digits has no place in an address.
  return !text.empty() && !absl::ascii_isspace(text.front()) && !absl::ascii_isspace(text.back()) &&
         text.front() != '+' && absl::SimpleAtoi(text, number);
}

absl::Status PutNumber(Message& message, const FieldDescriptor& field, absl::string_view path,
                       absl::string_view text) {
  const Reflection& reflection = *message.GetReflection();
  constexpr char kInteger[] = "an integer in range";
  switch (field.cpp_type()) {
    case FieldDescriptor::CPPTYPE_INT32: {
      int32_t value = 0;
      if (!ParseNumber(text, &value)) return Refuse(path, text, kInteger);
      DROVER_PUT(Int32, value);
      break;
    }
    case FieldDescriptor::CPPTYPE_INT64: {
      int64_t value = 0;
      if (!ParseNumber(text, &value)) return Refuse(path, text, kInteger);
      DROVER_PUT(Int64, value);
      break;
    }
    case FieldDescriptor::CPPTYPE_UINT32: {
      uint32_t value = 0;
      if (!ParseNumber(text, &value)) return Refuse(path, text, kInteger);
      DROVER_PUT(UInt32, value);
      break;
    }
    case FieldDescriptor::CPPTYPE_UINT64: {
      uint64_t value = 0;
      if (!ParseNumber(text, &value)) return Refuse(path, text, kInteger);
      DROVER_PUT(UInt64, value);
      break;
    }
    case FieldDescriptor::CPPTYPE_FLOAT: {
      float value = 0;
      if (!absl::SimpleAtof(text, &value)) return Refuse(path, text, "a number");
      DROVER_PUT(Float, value);
      break;
    }
    default: {
      double value = 0;
      if (!absl::SimpleAtod(text, &value)) return Refuse(path, text, "a number");
      DROVER_PUT(Double, value);
    }
  }
  return absl::OkStatus();
}

absl::Status PutText(Message& message, const FieldDescriptor& field, absl::string_view path,
                     absl::string_view text) {
  const Reflection& reflection = *message.GetReflection();
  switch (field.cpp_type()) {
    case FieldDescriptor::CPPTYPE_STRING: {
      std::string value(text);
      if (field.type() == FieldDescriptor::TYPE_BYTES) {
        if (!absl::Base64Unescape(text, &value) && !absl::WebSafeBase64Unescape(text, &value)) {
          return Refuse(path, text, "base64");
        }
      } else if (!IsUtf8(text)) {
        return InvalidField(path, "is not UTF-8");
      }
      DROVER_PUT(String, std::move(value));
      return absl::OkStatus();
    }
    case FieldDescriptor::CPPTYPE_BOOL:
      if (text != "true" && text != "false") return Refuse(path, text, "true or false");
      DROVER_PUT(Bool, text == "true");
      return absl::OkStatus();
    case FieldDescriptor::CPPTYPE_ENUM:
      return PutEnum(message, field, path, text);
    case FieldDescriptor::CPPTYPE_MESSAGE:
      return PutMessage(message, field, path, text);
    default:
      return PutNumber(message, field, path, text);
  }
}
#undef DROVER_PUT

// The field's true name, segment by segment: "pageSize" -> "page_size". Empty when there is none.
std::vector<const FieldDescriptor*> FieldsOfPath(const google::protobuf::Descriptor& type,
                                                 absl::string_view path) {
  std::vector<const FieldDescriptor*> fields;
  const google::protobuf::Descriptor* at = &type;
  for (const absl::string_view key : absl::StrSplit(path, '.')) {
    const FieldDescriptor* field = at == nullptr ? nullptr : FieldOfKey(*at, key);
    if (field == nullptr || field->is_map()) return {};
    fields.push_back(field);
    at = field->is_repeated() ? nullptr : field->message_type();
  }
  return fields;
}

std::string TrueName(const std::vector<const FieldDescriptor*>& fields) {
  std::string name;
  for (const FieldDescriptor* field : fields) {
    absl::StrAppend(&name, name.empty() ? "" : ".", field->name());
  }
  return name;
}

absl::Status SetAlong(const std::vector<const FieldDescriptor*>& fields, absl::string_view path,
                      absl::string_view text, Message* message) {
  for (size_t i = 0; i + 1 < fields.size(); ++i) {
    message = message->GetReflection()->MutableMessage(message, fields[i]);
  }
  const FieldDescriptor& field = *fields.back();
  if (const auto* oneof = field.real_containing_oneof();
      oneof != nullptr && message->GetReflection()->HasOneof(*message, oneof)) {
    return InvalidField(path, absl::StrCat("excludes another field of \"", oneof->name(), "\""));
  }
  return PutText(*message, field, path, text);
}

// Protobuf's reader tells the field in its own words: "(network.dns1): invalid value ...", or
// "(vms[1].cpus): ...". Anything else stays as it is.
absl::Status ExplainJson(const absl::Status& status, absl::string_view prefix) {
  absl::string_view text = status.message();
  if (absl::StartsWith(text, "INVALID_ARGUMENT:")) text.remove_prefix(17);
  const size_t colon = text.find("):");
  if (text.empty() || text.front() != '(' || colon == absl::string_view::npos) {
    size_t end = text.find(": ");
    if (end == absl::string_view::npos || text.substr(0, end).find(' ') != text.npos) {
      return absl::InvalidArgumentError(text);
    }
    return InvalidField(absl::StrCat(prefix, text.substr(0, end)), text.substr(end + 2));
  }
  absl::string_view field = text.substr(1, colon - 1);
  absl::string_view problem = text.substr(colon + 2);
  while (!problem.empty() && problem.front() == ' ') problem.remove_prefix(1);
  return InvalidField(absl::StrCat(prefix, field), problem);
}

class RequestMaker {
 public:
  RequestMaker(const RouteTable::Match& match)
      : match_(match),
        route_(*match.route),
        request_(NewMessage(*match.route->rule.method->input_type())) {}

  absl::StatusOr<std::unique_ptr<Message>> Make(absl::string_view query, absl::string_view body) {
    DROVER_RETURN_IF_ERROR(TakeBody(body));
    DROVER_RETURN_IF_ERROR(TakeQuery(query));
    DROVER_RETURN_IF_ERROR(TakePath());
    FillMask();
    return std::move(request_);
  }

 private:
  absl::Status TakeBody(absl::string_view body) {
    if (route_.rule.body.empty()) {
      if (body.empty()) return absl::OkStatus();
      return absl::InvalidArgumentError("this call takes no body");
    }
    if (body.empty()) body = "{}";
    const FieldDescriptor* field = route_.body_field;
    const bool object =
        field == nullptr || (field->message_type() != nullptr && !field->is_repeated() &&
                             !HasOwnJsonForm(*field->message_type()));
    const google::protobuf::Descriptor* type =
        field == nullptr ? request_->GetDescriptor() : field->message_type();
    absl::StatusOr<std::vector<std::string>> keys = CheckJson(body, object ? type : nullptr);
    if (!keys.ok()) return keys.status();
    keys_ = *std::move(keys);
    if (!object) {
      const std::string wrapped = absl::StrCat("{\"", field->name(), "\":", body, "}");
      return ExplainJson(FromJson(wrapped, request_.get()), "");
    }
    Message* target = field == nullptr
                          ? request_.get()
                          : request_->GetReflection()->MutableMessage(request_.get(), field);
    const absl::Status status = FromJson(body, target);
    return status.ok() ? status : ExplainJson(status, "");
  }

  absl::Status TakeQuery(absl::string_view query) {
    std::vector<std::pair<std::string, std::string>> parameters;
    if (!ParseQuery(query, &parameters)) {
      return absl::InvalidArgumentError("the query is wrongly escaped");
    }
    for (const auto& [name, text] : parameters) {
      if (!IsUtf8(name)) return absl::InvalidArgumentError("the query is not UTF-8");
    }
    Violations violations;
    std::set<std::string> seen;
    for (const auto& [name, text] : parameters) {
      const auto found = ViolationsOf(TakeParameter(name, text, seen));
      for (const auto& violation : found.field_violations()) {
        violations.Add(violation.field(), violation.description());
      }
    }
    return violations.ToStatus();
  }

  absl::Status TakeParameter(const std::string& name, absl::string_view text,
                             std::set<std::string>& seen) {
    const auto fields = FieldsOfPath(*request_->GetDescriptor(), name);
    if (route_.rule.body == "*" || fields.empty()) {
      return InvalidField(name, "is no parameter of this call");
    }
    const std::string path = TrueName(fields);
    if (fields[0] == route_.body_field) return InvalidField(name, "belongs into the body");
    for (const auto& [bound, value] : match_.values) {
      if (bound == path) return InvalidField(name, "stands in the path");
    }
    if (fields.back()->options().GetExtension(v1::secret)) {
      return InvalidField(name, "is a secret, which does not go into an address");
    }
    if (!fields.back()->is_repeated() && !seen.insert(path).second) {
      return InvalidField(name, "is there twice");
    }
    return SetAlong(fields, name, text, request_.get());
  }

  absl::Status TakePath() {
    for (const auto& [path, value] : match_.values) {
      const auto fields = FieldsOfPath(*request_->GetDescriptor(), path);
      DROVER_RETURN_IF_ERROR(SetAlong(fields, path, value, request_.get()));
    }
    return absl::OkStatus();
  }

  // What the server sets itself is ignored when it comes in; the path names what it names.
  bool BelongsInMask(absl::string_view path) const {
    const auto fields = FieldsOfPath(*route_.body_field->message_type(), path);
    for (const FieldDescriptor* field : fields) {
      if (field->options().GetExtension(v1::output_only)) return false;
    }
    const std::string whole = absl::StrCat(route_.body_field->name(), ".", path);
    return std::none_of(match_.values.begin(), match_.values.end(),
                        [&whole](const auto& bound) { return bound.first == whole; });
  }

  void FillMask() {
    if (route_.mask_field == nullptr) return;
    const Reflection& reflection = *request_->GetReflection();
    if (reflection.HasField(*request_, route_.mask_field)) return;
    auto* mask =
        static_cast<FieldMask*>(reflection.MutableMessage(request_.get(), route_.mask_field));
    for (std::string& path : keys_) {
      if (BelongsInMask(path)) mask->add_paths(std::move(path));
    }
  }

  const RouteTable::Match& match_;
  const Route& route_;
  std::unique_ptr<Message> request_;
  std::vector<std::string> keys_;
};

}  // namespace

absl::Status SetFieldFromText(absl::string_view path, absl::string_view text, Message* message) {
  const auto fields = FieldsOfPath(*message->GetDescriptor(), path);
  if (fields.empty()) return InvalidField(path, "is no field here");
  return SetAlong(fields, path, text, message);
}

absl::StatusOr<std::unique_ptr<Message>> MakeRequest(const RouteTable::Match& match,
                                                     absl::string_view query,
                                                     absl::string_view body) {
  return RequestMaker(match).Make(query, body);
}

absl::StatusOr<std::string> AnswerJson(const Route& route, const Message& response) {
  DROVER_ASSIGN_OR_RETURN(std::string json, ToJson(response));
  if (route.rule.response_body.empty()) return json;
  const FieldDescriptor* field =
      response.GetDescriptor()->FindFieldByName(route.rule.response_body);
  if (field->message_type() == nullptr || field->is_repeated()) {
    return absl::InternalError("response_body is no message");
  }
  return ToJson(response.GetReflection()->GetMessage(response, field));
}

std::string ErrorJson(const absl::Status& status, absl::string_view request_id) {
  google::rpc::Status error = ToRpcStatus(status);
  if (!request_id.empty()) {
    google::rpc::RequestInfo info;
    info.set_request_id(std::string(request_id));
    error.add_details()->PackFrom(info);
  }
  if (const auto json = ToJson(error); json.ok()) return *json;
  std::string details;
  for (const auto& detail : error.details()) {
    google::rpc::Status one;
    *one.add_details() = detail;
    absl::StrAppend(&details, details.empty() ? "" : ",");
    absl::StatusOr<std::string> json = ToJson(one);
    if (json.ok()) {
      // {"code":0,"message":"","details":[HERE]}
      const size_t begin = json->find('[');
      absl::StrAppend(&details, json->substr(begin + 1, json->rfind(']') - begin - 1));
    } else {
      absl::StrAppend(&details, "{\"@type\":", JsonText(detail.type_url()), ",\"value\":\"",
                      absl::Base64Escape(detail.value()), "\"}");
    }
  }
  return absl::StrCat("{\"code\":", error.code(), ",\"message\":", JsonText(error.message()),
                      ",\"details\":[", details, "]}");
}

}  // namespace drover::gateway
