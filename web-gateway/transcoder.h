// HTTP to calls and back: path, query and JSON body into the request message, answers and errors
// into JSON. Everything follows from the descriptors.
//
// Order of rules, as http.proto has it: fields of the path, then the body's field, the rest from
// the query. What is unknown, given twice or of the wrong kind is refused by name. A field with the
// `secret` option is never taken from the query: addresses are logged on their way.
//
// Thread promise: pure functions.
#pragma once

#include <google/protobuf/message.h>

#include <memory>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "web-gateway/route_table.h"

namespace drover::gateway {

// Sets the field at "vm.network.ip" (either spelling) from text as it stands in an address:
// numbers, "true", enum names, RFC 3339 times, "a,b" as a field mask. Adds where the field is
// repeated. INVALID_ARGUMENT naming the field.
absl::Status SetFieldFromText(absl::string_view path, absl::string_view text,
                              google::protobuf::Message* message);

// The request of a match. A PATCH without a mask gets the one its body's keys say. INVALID_ARGUMENT
// with a violation per problem.
absl::StatusOr<std::unique_ptr<google::protobuf::Message>> MakeRequest(
    const RouteTable::Match& match, absl::string_view query, absl::string_view body);

// INTERNAL when it cannot be written, as ToJson.
absl::StatusOr<std::string> AnswerJson(const Route& route,
                                       const google::protobuf::Message& response);

// {"code": 3, "message": "...", "details": [...]}. With a request id, RequestInfo is among the
// details. Details of unknown types are written as base64.
std::string ErrorJson(const absl::Status& status, absl::string_view request_id);

}  // namespace drover::gateway
