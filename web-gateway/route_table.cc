#include "web-gateway/route_table.h"

#include <google/protobuf/field_mask.pb.h>

#include <algorithm>
#include <set>

#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/strings/str_split.h"
#include "absl/strings/strip.h"
#include "google/api/annotations.pb.h"
#include "proto/support/status.h"
#include "proto/support/utf8.h"
#include "web-gateway/http.h"

namespace drover::gateway {
namespace {

using google::protobuf::Descriptor;
using google::protobuf::FieldDescriptor;
using google::protobuf::MethodDescriptor;
using google::protobuf::ServiceDescriptor;
using Kind = PathTemplate::Segment::Kind;

absl::Status Wrong(absl::string_view text, absl::string_view problem) {
  return absl::InvalidArgumentError(absl::StrCat("path template \"", text, "\": ", problem));
}

bool IsFieldPath(absl::string_view text) {
  for (const absl::string_view part : absl::StrSplit(text, '.')) {
    if (part.empty() || absl::ascii_isdigit(part.front())) return false;
    if (!std::all_of(part.begin(), part.end(),
                     [](char c) { return absl::ascii_isalnum(c) || c == '_'; })) {
      return false;
    }
  }
  return true;
}

// Reads one template from left to right.
class TemplateReader {
 public:
  explicit TemplateReader(absl::string_view text) : text_(text), rest_(text) {}

  absl::StatusOr<PathTemplate> Read() {
    if (!absl::ConsumePrefix(&rest_, "/")) return Wrong(text_, "must begin with '/'");
    const size_t colon = rest_.rfind(':');
    if (colon != absl::string_view::npos && rest_.find_first_of("/}", colon) == rest_.npos) {
      result_.verb = std::string(rest_.substr(colon + 1));
      if (result_.verb.empty()) return Wrong(text_, "the verb is empty");
      rest_ = rest_.substr(0, colon);
    }
    do {
      if (absl::StartsWith(rest_, "{")) {
        DROVER_RETURN_IF_ERROR(ReadVariable());
      } else {
        DROVER_RETURN_IF_ERROR(AddSegment(rest_.substr(0, rest_.find('/'))));
        rest_.remove_prefix(std::min(rest_.find('/'), rest_.size()));
      }
    } while (absl::ConsumePrefix(&rest_, "/"));
    if (!rest_.empty()) return Wrong(text_, absl::StrCat("'/' is missing before \"", rest_, "\""));
    return result_;
  }

 private:
  absl::Status AddSegment(absl::string_view segment) {
    if (!result_.segments.empty() && result_.segments.back().kind == Kind::kRest) {
      return Wrong(text_, "'**' must be the last");
    }
    if (segment.empty()) return Wrong(text_, "a segment is empty");
    PathTemplate::Segment added;
    if (segment == "*") {
      added.kind = Kind::kOne;
    } else if (segment == "**") {
      added.kind = Kind::kRest;
    } else if (segment.find_first_of("*{}:") != absl::string_view::npos) {
      return Wrong(text_, absl::StrCat("\"", segment, "\" is no segment"));
    } else {
      added.literal = std::string(segment);
    }
    result_.segments.push_back(std::move(added));
    return absl::OkStatus();
  }

  absl::Status ReadVariable() {
    const size_t end = rest_.find('}');
    if (end == absl::string_view::npos) return Wrong(text_, "'}' is missing");
    const std::pair<absl::string_view, absl::string_view> parts =
        absl::StrSplit(rest_.substr(1, end - 1), absl::MaxSplits('=', 1));
    const bool plain = !absl::StrContains(rest_.substr(0, end), '=');
    rest_.remove_prefix(end + 1);
    if (!IsFieldPath(parts.first)) {
      return Wrong(text_, absl::StrCat("\"", parts.first, "\" is no field"));
    }
    PathTemplate::Variable variable;
    variable.field_path = std::string(parts.first);
    variable.first = result_.segments.size();
    for (const absl::string_view segment : absl::StrSplit(plain ? "*" : parts.second, '/')) {
      DROVER_RETURN_IF_ERROR(AddSegment(segment));
    }
    variable.last = result_.segments.size();
    variable.several =
        variable.last - variable.first > 1 || result_.segments[variable.first].kind == Kind::kRest;
    for (const PathTemplate::Variable& other : result_.variables) {
      if (other.field_path == variable.field_path) {
        return Wrong(text_, absl::StrCat("\"", variable.field_path, "\" is there twice"));
      }
    }
    result_.variables.push_back(std::move(variable));
    return absl::OkStatus();
  }

  const absl::string_view text_;
  absl::string_view rest_;
  PathTemplate result_;
};

void AddRule(const MethodDescriptor& method, const google::api::HttpRule& rule,
             std::vector<RouteRule>& rules) {
  RouteRule added;
  added.method = &method;
  added.body = rule.body();
  added.response_body = rule.response_body();
  switch (rule.pattern_case()) {
    case google::api::HttpRule::kGet:
      added.http_method = "GET";
      added.path = rule.get();
      break;
    case google::api::HttpRule::kPut:
      added.http_method = "PUT";
      added.path = rule.put();
      break;
    case google::api::HttpRule::kPost:
      added.http_method = "POST";
      added.path = rule.post();
      break;
    case google::api::HttpRule::kDelete:
      added.http_method = "DELETE";
      added.path = rule.delete_();
      break;
    case google::api::HttpRule::kPatch:
      added.http_method = "PATCH";
      added.path = rule.patch();
      break;
    case google::api::HttpRule::kCustom:
      added.http_method = rule.custom().kind();
      added.path = rule.custom().path();
      break;
    default:
      return;
  }
  rules.push_back(std::move(added));
}

// A singular field that text can be the value of.
absl::Status CheckVariable(const Descriptor& request, absl::string_view path) {
  const Descriptor* at = &request;
  const std::vector<std::string> names = absl::StrSplit(path, '.');
  for (size_t i = 0; i < names.size(); ++i) {
    const FieldDescriptor* field = at == nullptr ? nullptr : at->FindFieldByName(names[i]);
    if (field == nullptr) {
      return absl::InvalidArgumentError(
          absl::StrCat(request.name(), " has no field \"", path, "\""));
    }
    const bool last = i + 1 == names.size();
    if (field->is_repeated() || last == (field->message_type() != nullptr)) {
      return absl::InvalidArgumentError(
          absl::StrCat("\"", path, "\" of ", request.name(), " cannot hold a part of a path"));
    }
    at = field->message_type();
  }
  return absl::OkStatus();
}

const FieldDescriptor* OnlyMask(const Descriptor& request) {
  const FieldDescriptor* found = nullptr;
  for (int i = 0; i < request.field_count(); ++i) {
    const FieldDescriptor* field = request.field(i);
    if (field->message_type() != google::protobuf::FieldMask::descriptor()) continue;
    if (found != nullptr) return nullptr;
    found = field;
  }
  return found != nullptr && !found->is_repeated() ? found : nullptr;
}

absl::StatusOr<Route> Compile(RouteRule rule) {
  Route route;
  DROVER_ASSIGN_OR_RETURN(route.path, ParseTemplate(rule.path));
  const Descriptor& request = *rule.method->input_type();
  for (const PathTemplate::Variable& variable : route.path.variables) {
    DROVER_RETURN_IF_ERROR(CheckVariable(request, variable.field_path));
  }
  if (!rule.body.empty() && rule.body != "*") {
    route.body_field = request.FindFieldByName(rule.body);
    if (route.body_field == nullptr) {
      return absl::InvalidArgumentError(
          absl::StrCat("body: ", request.name(), " has no field \"", rule.body, "\""));
    }
  }
  if (!rule.response_body.empty() &&
      rule.method->output_type()->FindFieldByName(rule.response_body) == nullptr) {
    return absl::InvalidArgumentError(
        absl::StrCat("response_body: ", rule.method->output_type()->name(), " has no such field"));
  }
  if (rule.http_method == "PATCH" && route.body_field != nullptr &&
      route.body_field->message_type() != nullptr && !route.body_field->is_repeated()) {
    route.mask_field = OnlyMask(request);
  }
  route.rule = std::move(rule);
  return route;
}

// A path cut at its slashes, its verb apart.
struct CutPath {
  std::vector<absl::string_view> segments;
  absl::string_view verb;
};

bool Cut(absl::string_view path, CutPath* cut) {
  if (!absl::ConsumePrefix(&path, "/") || path.empty()) return false;
  const size_t colon = path.rfind(':');
  if (colon != absl::string_view::npos && path.find('/', colon) == absl::string_view::npos) {
    cut->verb = path.substr(colon + 1);
    if (cut->verb.empty()) return false;
    path = path.substr(0, colon);
  }
  cut->segments = absl::StrSplit(path, '/');
  return std::none_of(cut->segments.begin(), cut->segments.end(),
                      [](absl::string_view segment) { return segment.empty(); });
}

// Unescaped literals are compared as they are sent: nobody has a reason to escape a plain word.
bool Matches(const PathTemplate& path, const CutPath& cut) {
  if (path.verb != cut.verb) return false;
  const bool rest = !path.segments.empty() && path.segments.back().kind == Kind::kRest;
  const size_t fixed = path.segments.size() - (rest ? 1 : 0);
  if (rest ? cut.segments.size() < fixed : cut.segments.size() != fixed) return false;
  for (size_t i = 0; i < fixed; ++i) {
    const PathTemplate::Segment& segment = path.segments[i];
    if (segment.kind == Kind::kLiteral && segment.literal != cut.segments[i]) return false;
  }
  return true;
}

absl::StatusOr<std::string> ValueOf(const PathTemplate& path,
                                    const PathTemplate::Variable& variable, const CutPath& cut) {
  const bool rest = path.segments[variable.last - 1].kind == Kind::kRest;
  const size_t last = rest ? cut.segments.size() : variable.last;
  std::string value;
  for (size_t i = variable.first; i < last; ++i) {
    std::string segment;
    if (!Unescape(cut.segments[i], variable.several, false, &segment) || !IsUtf8(segment)) {
      return InvalidField(variable.field_path, "is wrongly escaped in the path");
    }
    absl::StrAppend(&value, i == variable.first ? "" : "/", segment);
  }
  return value;
}

}  // namespace

absl::StatusOr<PathTemplate> ParseTemplate(absl::string_view text) {
  return TemplateReader(text).Read();
}

bool MayMatchTheSame(const PathTemplate& a, const PathTemplate& b) {
  if (a.verb != b.verb) return false;
  for (size_t i = 0;; ++i) {
    const bool a_ends = i == a.segments.size();
    const bool b_ends = i == b.segments.size();
    // "**" may be nothing at all.
    if (!a_ends && a.segments[i].kind == Kind::kRest) return true;
    if (!b_ends && b.segments[i].kind == Kind::kRest) return true;
    if (a_ends || b_ends) return a_ends && b_ends;
    if (a.segments[i].kind == Kind::kLiteral && b.segments[i].kind == Kind::kLiteral &&
        a.segments[i].literal != b.segments[i].literal) {
      return false;
    }
  }
}

std::vector<RouteRule> RulesOf(const std::vector<const ServiceDescriptor*>& services) {
  std::vector<RouteRule> rules;
  for (const ServiceDescriptor* service : services) {
    for (int i = 0; i < service->method_count(); ++i) {
      const MethodDescriptor& method = *service->method(i);
      if (!method.options().HasExtension(google::api::http)) continue;
      const google::api::HttpRule& rule = method.options().GetExtension(google::api::http);
      AddRule(method, rule, rules);
      for (const google::api::HttpRule& more : rule.additional_bindings()) {
        AddRule(method, more, rules);
      }
    }
  }
  return rules;
}

absl::StatusOr<RouteTable> RouteTable::Build(std::vector<RouteRule> rules) {
  RouteTable table;
  std::vector<std::string> problems;
  for (RouteRule& rule : rules) {
    const std::string name = rule.method->full_name();
    absl::StatusOr<Route> route = Compile(std::move(rule));
    if (!route.ok()) {
      problems.push_back(absl::StrCat(name, ": ", route.status().message()));
      continue;
    }
    for (const Route& other : table.routes_) {
      if (other.rule.http_method == route->rule.http_method &&
          MayMatchTheSame(other.path, route->path)) {
        problems.push_back(absl::StrCat(name, " and ", other.rule.method->full_name(),
                                        " may both be meant by ", route->rule.http_method, " ",
                                        route->rule.path));
      }
    }
    table.routes_.push_back(*std::move(route));
  }
  if (!problems.empty()) return absl::InvalidArgumentError(absl::StrJoin(problems, "\n"));
  return table;
}

absl::StatusOr<RouteTable::Match> RouteTable::Find(absl::string_view http_method,
                                                   absl::string_view path) const {
  CutPath cut;
  if (!Cut(path, &cut)) return absl::NotFoundError("there is nothing at this path");
  bool other_method = false;
  for (const Route& route : routes_) {
    if (!Matches(route.path, cut)) continue;
    if (route.rule.http_method != http_method) {
      other_method = true;
      continue;
    }
    Match match;
    match.route = &route;
    for (const PathTemplate::Variable& variable : route.path.variables) {
      DROVER_ASSIGN_OR_RETURN(std::string value, ValueOf(route.path, variable, cut));
      match.values.emplace_back(variable.field_path, std::move(value));
    }
    return match;
  }
  if (other_method) return absl::UnimplementedError("this path does not take that method");
  return absl::NotFoundError("there is nothing at this path");
}

std::string RouteTable::MethodsOf(absl::string_view path) const {
  CutPath cut;
  if (!Cut(path, &cut)) return "";
  std::set<std::string> methods;
  for (const Route& route : routes_) {
    if (Matches(route.path, cut)) methods.insert(route.rule.http_method);
  }
  return absl::StrJoin(methods, ", ");
}

}  // namespace drover::gateway
