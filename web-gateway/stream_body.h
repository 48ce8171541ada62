// A server stream of the controller as the body of one answer: server-sent events, lines of JSON,
// or the bytes of a file. The controller is asked for the next message when the one before is on
// its way, so that a slow reader slows the controller and fills no memory.
//
// The answer begins with the first message; an error before it becomes the HTTP status.
//
// Thread promise: OpenStream from any thread; `respond` is called on one of gRPC's.
#pragma once

#include <google/protobuf/message.h>

#include <functional>
#include <string>

#include "absl/status/status.h"
#include "web-gateway/http.h"
#include "web-gateway/upstream.h"

namespace drover::gateway {

enum class StreamForm {
  // "data: {...}\n\n"; ends with "event: end", or "event: failed" and the error.
  kEvents,
  // {"result": {...}}\n; an error is the last line, {"error": {...}}.
  kLines,
  // drover.v1.FileChunk, raw.
  kFile,
};

StreamForm FormOf(const google::protobuf::MethodDescriptor& method, const HttpRequest& request);

// Pieces of events and lines.
std::string EventText(absl::string_view event, absl::string_view id, absl::string_view json);
// Headers and ping of an answer that goes on.
void PrepareStream(StreamForm form, HttpResponse* response);

// `fail` makes the answer of an error before the first message.
void OpenStream(Upstream& upstream, const google::protobuf::MethodDescriptor& method,
                const google::protobuf::Message& request, const CallerFacts& facts, StreamForm form,
                Respond respond, std::function<HttpResponse(const absl::Status&)> fail);

}  // namespace drover::gateway
