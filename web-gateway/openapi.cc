#include "web-gateway/openapi.h"

#include <google/protobuf/descriptor.h>

#include <map>
#include <set>
#include <vector>

#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/strings/str_replace.h"
#include "absl/strings/strip.h"
#include "drover/v1/options.pb.h"
#include "proto/support/contract.h"
#include "web-gateway/json_check.h"
#include "web-gateway/json_text.h"

namespace drover::gateway {
namespace {

using google::protobuf::Descriptor;
using google::protobuf::EnumDescriptor;
using google::protobuf::FieldDescriptor;
using google::protobuf::MethodDescriptor;

// Members of an object, in order; values are JSON.
using Members = std::vector<std::pair<std::string, std::string>>;

std::string Object(const Members& members) {
  return absl::StrCat("{",
                      absl::StrJoin(members, ",",
                                    [](std::string* out, const auto& member) {
                                      absl::StrAppend(out, JsonText(member.first), ":",
                                                      member.second);
                                    }),
                      "}");
}
std::string Array(const std::vector<std::string>& values) {
  return absl::StrCat("[", absl::StrJoin(values, ","), "]");
}
std::string Texts(const std::vector<std::string>& values) {
  std::vector<std::string> quoted;
  for (const std::string& value : values) quoted.push_back(JsonText(value));
  return Array(quoted);
}
std::string Ref(absl::string_view schema) {
  return Object({{"$ref", JsonText(absl::StrCat("#/components/schemas/", schema))}});
}
std::string Type(absl::string_view type, absl::string_view format = "") {
  Members members = {{"type", JsonText(type)}};
  if (!format.empty()) members.emplace_back("format", JsonText(format));
  return Object(members);
}

enum class Use { kAnswer, kInput, kRequest };

// "drover.v1.Operation.Step" -> "OperationStep".
template <typename D>
std::string ShortName(const D& type) {
  absl::string_view name = type.full_name();
  if (!absl::ConsumePrefix(&name, type.file()->package())) return type.name();
  return absl::StrReplaceAll(name, {{".", ""}});
}

template <typename Extension>
auto Option(const FieldDescriptor& field, const Extension& extension) {
  return field.options().GetExtension(extension);
}

// "page_size" -> "page size", "ListVms" -> "list vms".
std::string Words(absl::string_view name) {
  std::string words;
  for (const char c : name) {
    if (absl::ascii_isupper(c) && !words.empty()) words.push_back(' ');
    words.push_back(absl::ascii_tolower(c));
  }
  return words;
}

class Document {
 public:
  explicit Document(const RouteTable& routes) : routes_(routes) {}

  std::string Write(absl::string_view version) {
    std::map<std::string, Members> paths;
    std::set<std::string> operations;
    std::set<std::string> tags;
    for (const Route& route : routes_.routes()) {
      std::string id = route.rule.method->name();
      while (!operations.insert(id).second) id.push_back('_');
      tags.insert(route.rule.method->service()->name());
      paths[OpenApiPath(route.path)].emplace_back(absl::AsciiStrToLower(route.rule.http_method),
                                                  Operation(route, id));
    }
    Members path_members;
    for (const auto& [path, members] : paths) path_members.emplace_back(path, Object(members));
    Members schemas = {{"Error", ErrorSchema()}};
    for (const auto& [name, schema] : schemas_) schemas.emplace_back(name, schema);
    std::vector<std::string> tag_list;
    for (const std::string& tag : tags) tag_list.push_back(Object({{"name", JsonText(tag)}}));
    return Object({
        {"openapi", JsonText("3.1.0")},
        {"info", Object({{"title", JsonText("Drover")},
                         {"version", JsonText(version)},
                         {"description",
                          JsonText("Deploys, watches and changes the services of a private VMware "
                                   "estate. Made from the contract's descriptors.")},
                         {"license", Object({{"name", JsonText("Proprietary")}})}})},
        {"servers", Array({Object({{"url", JsonText("/")}})})},
        {"tags", Array(tag_list)},
        {"security", Array({Object({{"session", "[]"}}), Object({{"token", "[]"}})})},
        {"paths", Object(path_members)},
        {"components", Object({{"schemas", Object(schemas)},
                               {"responses", Object({{"Error", ErrorResponse()}})},
                               {"securitySchemes", SecuritySchemes()}})},
    });
  }

 private:
  static std::string SecuritySchemes() {
    return Object({{"token", Object({{"type", JsonText("http")}, {"scheme", JsonText("bearer")}})},
                   {"session", Object({{"type", JsonText("apiKey")},
                                       {"in", JsonText("cookie")},
                                       {"name", JsonText("drover_session")}})}});
  }
  static std::string ErrorSchema() {
    return Object(
        {{"type", JsonText("object")},
         {"required", Texts({"code", "message", "details"})},
         {"properties",
          Object({{"code", Type("integer", "int32")},
                  {"message", Type("string")},
                  {"details", Object({{"type", JsonText("array")}, {"items", AnySchema()}})}})}});
  }
  static std::string AnySchema() {
    return Object({{"type", JsonText("object")},
                   {"required", Texts({"@type"})},
                   {"properties", Object({{"@type", Type("string")}})},
                   {"additionalProperties", "true"}});
  }
  static std::string ErrorResponse() {
    return Object(
        {{"description", JsonText("Why not: google.rpc.Status.")},
         {"content", Object({{"application/json", Object({{"schema", Ref("Error")}})}})}});
  }

  // Messages with a JSON form of their own.
  static std::string OwnForm(const Descriptor& type) {
    if (type.name() == "Timestamp") return Type("string", "date-time");
    if (type.name() == "Any") return AnySchema();
    if (type.name() == "Struct") return Type("object");
    if (type.name() == "ListValue") return Object({{"type", JsonText("array")}, {"items", "{}"}});
    if (type.name() == "Value") return "{}";
    if (absl::EndsWith(type.name(), "Value")) return Object({});
    return Type("string");
  }

  std::string EnumSchema(const EnumDescriptor& type) {
    const std::string name = ShortName(type);
    if (!schemas_.contains(name)) {
      std::vector<std::string> values;
      for (int i = 0; i < type.value_count(); ++i) values.push_back(type.value(i)->name());
      schemas_[name] = Object({{"type", JsonText("string")}, {"enum", Texts(values)}});
    }
    return Ref(name);
  }

  std::string ValueSchema(const FieldDescriptor& field, Use use) {
    switch (field.type()) {
      case FieldDescriptor::TYPE_BYTES:
        return Object({{"type", JsonText("string")}, {"contentEncoding", JsonText("base64")}});
      case FieldDescriptor::TYPE_ENUM:
        return EnumSchema(*field.enum_type());
      case FieldDescriptor::TYPE_MESSAGE:
        return MessageSchema(*field.message_type(), use);
      default:
        break;
    }
    switch (field.cpp_type()) {
      case FieldDescriptor::CPPTYPE_BOOL:
        return Type("boolean");
      case FieldDescriptor::CPPTYPE_STRING:
        return Type("string");
      case FieldDescriptor::CPPTYPE_INT64:
        return Type("string", "int64");
      case FieldDescriptor::CPPTYPE_UINT64:
        return Type("string", "uint64");
      case FieldDescriptor::CPPTYPE_DOUBLE:
      case FieldDescriptor::CPPTYPE_FLOAT:
        return Type("number", "double");
      default:
        return Type("integer", "int32");
    }
  }

  std::string FieldSchema(const FieldDescriptor& field, Use use) {
    if (field.is_map()) {
      return Object(
          {{"type", JsonText("object")},
           {"additionalProperties", ValueSchema(*field.message_type()->map_value(), use)}});
    }
    const std::string value = ValueSchema(field, use);
    if (field.is_repeated()) {
      return Object({{"type", JsonText("array")}, {"items", value}});
    }
    const std::string rule = Bounds(field);
    if (rule.empty()) return value;
    // Siblings of $ref are allowed since 3.1.
    return absl::StrCat(value.substr(0, value.size() - 1), ",\"description\":", JsonText(rule),
                        "}");
  }

  // The controller checks bounds where a value is not 0, which no schema can say.
  static std::string Bounds(const FieldDescriptor& field) {
    const double least = Option(field, v1::minimum);
    const double most = Option(field, v1::maximum);
    if (most != 0 && least <= 0) return absl::StrCat("At most ", most, ".");
    if (most != 0) return absl::StrCat("0 (not set), or ", least, " to ", most, ".");
    if (least != 0) return absl::StrCat("0 (not set), or at least ", least, ".");
    const std::string collection = Option(field, v1::resource);
    if (!collection.empty()) return absl::StrCat("\"", collection, "/{id}\"");
    if (Option(field, v1::secret)) return "Secret: never answered.";
    return "";
  }

  static bool IsAlwaysWritten(const FieldDescriptor& field) {
    if (field.is_repeated()) return true;
    return field.message_type() == nullptr && field.containing_oneof() == nullptr;
  }

  std::string MessageSchema(const Descriptor& type, Use use) {
    if (HasOwnJsonForm(type)) return OwnForm(type);
    if (type.full_name() == "google.rpc.Status") return Ref("Error");
    const std::string name = absl::StrCat(ShortName(type), use == Use::kInput ? "Input" : "");
    if (schemas_.contains(name)) return Ref(name);
    // Recursive messages find themselves.
    schemas_[name] = "{}";
    Members properties;
    std::vector<std::string> required;
    for (int i = 0; i < type.field_count(); ++i) {
      const FieldDescriptor& field = *type.field(i);
      if (use != Use::kAnswer && Option(field, v1::output_only)) continue;
      const Use inner = use == Use::kAnswer ? Use::kAnswer : Use::kInput;
      properties.emplace_back(field.json_name(), FieldSchema(field, inner));
      const bool needed = use == Use::kAnswer ? IsAlwaysWritten(field)
                                              : use == Use::kRequest && Option(field, v1::required);
      if (needed) required.push_back(field.json_name());
    }
    Members members = {{"type", JsonText("object")}};
    if (!required.empty()) members.emplace_back("required", Texts(required));
    members.emplace_back("properties", Object(properties));
    if (use != Use::kAnswer) members.emplace_back("additionalProperties", "false");
    schemas_[name] = Object(members);
    return Ref(name);
  }

  // The request without what the path names.
  std::string WholeBody(const Route& route) {
    const Descriptor& type = *route.rule.method->input_type();
    if (route.path.variables.empty()) return MessageSchema(type, Use::kRequest);
    const std::string name = absl::StrCat(ShortName(type), "Body");
    Members properties;
    std::vector<std::string> required;
    for (int i = 0; i < type.field_count(); ++i) {
      const FieldDescriptor& field = *type.field(i);
      if (IsInPath(route, field.name())) continue;
      properties.emplace_back(field.json_name(), FieldSchema(field, Use::kInput));
      if (Option(field, v1::required)) required.push_back(field.json_name());
    }
    Members members = {{"type", JsonText("object")}};
    if (!required.empty()) members.emplace_back("required", Texts(required));
    members.emplace_back("properties", Object(properties));
    schemas_[name] = Object(members);
    return Ref(name);
  }

  static bool IsInPath(const Route& route, absl::string_view field_path) {
    for (const PathTemplate::Variable& variable : route.path.variables) {
      if (variable.field_path == field_path) return true;
    }
    return false;
  }

  void AddQuery(const Route& route, const Descriptor& type, const std::string& shown,
                const std::string& path, std::vector<std::string>& parameters) {
    for (int i = 0; i < type.field_count(); ++i) {
      const FieldDescriptor& field = *type.field(i);
      const std::string field_path = path.empty() ? field.name() : path + "." + field.name();
      const std::string name = shown.empty() ? field.json_name() : shown + "." + field.json_name();
      if (&field == route.body_field || IsInPath(route, field_path) || field.is_map() ||
          Option(field, v1::secret) || Option(field, v1::output_only)) {
        continue;
      }
      const Descriptor* inner = field.message_type();
      if (inner != nullptr && !HasOwnJsonForm(*inner)) {
        if (!field.is_repeated()) AddQuery(route, *inner, name, field_path, parameters);
        continue;
      }
      parameters.push_back(
          Object({{"name", JsonText(name)},
                  {"in", JsonText("query")},
                  {"required", Option(field, v1::required) && path.empty() ? "true" : "false"},
                  {"schema", FieldSchema(field, Use::kInput)}}));
    }
  }

  std::vector<std::string> Parameters(const Route& route) {
    std::vector<std::string> parameters;
    const std::string path = OpenApiPath(route.path);
    for (size_t at = path.find('{'); at != std::string::npos; at = path.find('{', at + 1)) {
      const std::string name = path.substr(at + 1, path.find('}', at) - at - 1);
      parameters.push_back(Object({{"name", JsonText(name)},
                                   {"in", JsonText("path")},
                                   {"required", "true"},
                                   {"schema", Type("string")}}));
    }
    if (route.rule.body != "*") {
      AddQuery(route, *route.rule.method->input_type(), "", "", parameters);
    }
    return parameters;
  }

  std::string Content(const MethodDescriptor& method) {
    const std::string schema = MessageSchema(*method.output_type(), Use::kAnswer);
    const std::string media = Object({{"schema", schema}});
    if (!method.server_streaming()) return Object({{"application/json", media}});
    if (method.output_type()->full_name() == "drover.v1.FileChunk") {
      return Object({{"application/octet-stream", Object({})}});
    }
    const std::string line =
        Object({{"schema",
                 Object({{"type", JsonText("object")},
                         {"properties", Object({{"result", schema}, {"error", Ref("Error")}})}})}});
    return Object({{"text/event-stream", media}, {"application/x-ndjson", line}});
  }

  std::string Operation(const Route& route, const std::string& id) {
    const MethodDescriptor& method = *route.rule.method;
    const v1::MethodRule& rule = RuleOf(method);
    Members members = {
        {"operationId", JsonText(id)},
        {"tags", Texts({method.service()->name()})},
        {"summary", JsonText(rule.summary().empty() ? Words(method.name()) : rule.summary())},
        {"x-drover-access", JsonText(absl::StripPrefix(v1::Access_Name(rule.access()), "ACCESS_"))},
        {"x-drover-log", rule.log_kind() == v1::LOG_KIND_UNSPECIFIED ? "false" : "true"},
    };
    if (rule.access() == v1::ACCESS_ANYONE) members.emplace_back("security", "[]");
    const std::vector<std::string> parameters = Parameters(route);
    if (!parameters.empty()) members.emplace_back("parameters", Array(parameters));
    if (!route.rule.body.empty()) {
      const std::string schema = route.body_field == nullptr
                                     ? WholeBody(route)
                                     : FieldSchema(*route.body_field, Use::kInput);
      members.emplace_back(
          "requestBody",
          Object({{"required", "true"},
                  {"content", Object({{"application/json", Object({{"schema", schema}})}})}}));
    }
    const std::string error = Object({{"$ref", JsonText("#/components/responses/Error")}});
    members.emplace_back(
        "responses",
        Object({{"200", Object({{"description", JsonText("Done.")}, {"content", Content(method)}})},
                {"4XX", error},
                {"5XX", error}}));
    return Object(members);
  }

  const RouteTable& routes_;
  std::map<std::string, std::string> schemas_;
};

}  // namespace

std::string OpenApiPath(const PathTemplate& path) {
  std::string text;
  std::string before;
  for (size_t i = 0; i < path.segments.size(); ++i) {
    const PathTemplate::Segment& segment = path.segments[i];
    if (segment.kind == PathTemplate::Segment::Kind::kLiteral) {
      absl::StrAppend(&text, "/", segment.literal);
      before = segment.literal;
      continue;
    }
    // A plain variable goes by its field, one segment of a resource name by its collection.
    std::string name(absl::StripSuffix(before, "s"));
    for (const PathTemplate::Variable& variable : path.variables) {
      if (variable.first == i && !variable.several) name = variable.field_path;
    }
    absl::StrAppend(&text, "/{", name.empty() ? "value" : name, "}");
  }
  if (!path.verb.empty()) absl::StrAppend(&text, ":", path.verb);
  return text;
}

std::string OpenApiDocument(const RouteTable& routes, absl::string_view version) {
  return Document(routes).Write(version);
}

}  // namespace drover::gateway
