// Which call an HTTP request is: the google.api.http rules of the contract, compiled.
//
// Templates as in google/api/http.proto: "/v1/{name=vms/*}:watch". '*' is one segment that is not
// empty, '**' any number and the last; a text after the last ':' of the last segment is the verb. A
// path matches by what it says unescaped: a single-segment variable is unescaped whole, a longer
// one keeps "%2F".
//
// Thread promise: a value that never changes after Build.
#pragma once

#include <google/protobuf/descriptor.h>

#include <string>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"

namespace drover::gateway {

struct PathTemplate {
  struct Segment {
    enum class Kind { kLiteral, kOne, kRest };
    Kind kind = Kind::kLiteral;
    std::string literal;
  };
  // Segments [first, last) are the value of a field.
  struct Variable {
    std::string field_path;
    size_t first = 0;
    size_t last = 0;
    // More than one segment, or "**": slashes within a segment stay escaped.
    bool several = false;
  };
  std::vector<Segment> segments;
  std::vector<Variable> variables;
  std::string verb;
};

// INVALID_ARGUMENT that says what is wrong with the text.
absl::StatusOr<PathTemplate> ParseTemplate(absl::string_view text);

// Whether some path matches both.
bool MayMatchTheSame(const PathTemplate& a, const PathTemplate& b);

// One rule of one method, as it is declared.
struct RouteRule {
  const google::protobuf::MethodDescriptor* method = nullptr;
  std::string http_method;
  std::string path;
  // "" none, "*" the whole request, else a field of it.
  std::string body;
  std::string response_body;
};

// All rules of these services, additional bindings too.
std::vector<RouteRule> RulesOf(
    const std::vector<const google::protobuf::ServiceDescriptor*>& services);

struct Route {
  RouteRule rule;
  PathTemplate path;
  // Null: no body, or the whole request.
  const google::protobuf::FieldDescriptor* body_field = nullptr;
  // Of the PATCH request whose mask follows from the keys of the body; null otherwise.
  const google::protobuf::FieldDescriptor* mask_field = nullptr;
};

class RouteTable {
 public:
  struct Match {
    const Route* route = nullptr;
    // Field path and value, in the order of the template.
    std::vector<std::pair<std::string, std::string>> values;
  };

  // INVALID_ARGUMENT, all problems at once: a rule that names no field or a field that cannot hold
  // a path's text, and two rules that may match the same request.
  static absl::StatusOr<RouteTable> Build(std::vector<RouteRule> rules);

  // NOT_FOUND; UNIMPLEMENTED when the path exists with another method (MethodsOf tells which);
  // INVALID_ARGUMENT for an escape that is none, or bytes that are not UTF-8.
  absl::StatusOr<Match> Find(absl::string_view http_method, absl::string_view path) const;
  // "GET, PATCH": what Find would take for this path.
  std::string MethodsOf(absl::string_view path) const;

  const std::vector<Route>& routes() const { return routes_; }

 private:
  std::vector<Route> routes_;
};

}  // namespace drover::gateway
