// Holds the public contract to its own rules, over the descriptors. What is let off is listed here,
// each with its reason.
#include <google/protobuf/descriptor.h>
#include <google/protobuf/empty.pb.h>

#include <map>
#include <set>
#include <string>
#include <vector>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/strings/str_split.h"
#include "absl/strings/strip.h"
#include "google/api/annotations.pb.h"
#include "gtest/gtest.h"
#include "proto/support/contract.h"

namespace drover {
namespace {

using google::protobuf::Descriptor;
using google::protobuf::EnumDescriptor;
using google::protobuf::FieldDescriptor;
using google::protobuf::FileDescriptor;
using google::protobuf::MethodDescriptor;

// Changes that are sent without a request_id.
const std::map<std::string, std::string>& WithoutRequestId() {
  static const auto* const methods = new std::map<std::string, std::string>{
      {"Login",
       "a second session harms nobody, and nobody may find the first one's token by its id"},
      {"Logout", "ending a session twice is ending it once"},
      {"ChangePassword", "the second try fails by the old password"},
      {"NotifyCommit", "made safe to repeat by url and revision"},
      {"TestHypervisor", "stores nothing"},
      {"CheckConfiguration", "stores nothing"},
      {"DownloadLogBackup", "reads; logged because the log leaves the machine"},
  };
  return *methods;
}

// Calls that are no GET for the size of their request, but change nothing and so are not logged.
const std::map<std::string, std::string>& ReadsByPost() {
  static const auto* const methods = new std::map<std::string, std::string>{
      {"PlanEnvironment", "the document is the request"},
      {"PlanRollout", "the specification is the request"},
      {"PlanConfiguration", "the configuration is the request"},
      {"VerifyLog", "walks the whole log: not for a cache or a prefetch"},
  };
  return *methods;
}

// Collections of resource names.
const std::set<std::string>& Collections() {
  static const auto* const collections = new std::set<std::string>{
      "hypervisors", "types",    "environments",   "vms",      "operations",
      "logBackups",  "profiles", "configurations", "rollouts", "users"};
  return *collections;
}

std::vector<const MethodDescriptor*> Methods() {
  std::vector<const MethodDescriptor*> methods;
  for (const auto* service : PublicServices()) {
    for (int i = 0; i < service->method_count(); ++i) methods.push_back(service->method(i));
  }
  return methods;
}

void AddTypes(const Descriptor* type, std::vector<const Descriptor*>& types) {
  if (type->options().map_entry()) return;
  types.push_back(type);
  for (int i = 0; i < type->nested_type_count(); ++i) AddTypes(type->nested_type(i), types);
}

std::set<const FileDescriptor*> Files() {
  std::set<const FileDescriptor*> files;
  for (const auto* service : PublicServices()) files.insert(service->file());
  return files;
}

std::vector<const Descriptor*> Types() {
  std::vector<const Descriptor*> types;
  for (const FileDescriptor* file : Files()) {
    for (int i = 0; i < file->message_type_count(); ++i) AddTypes(file->message_type(i), types);
  }
  return types;
}

std::vector<const EnumDescriptor*> Enums() {
  std::vector<const EnumDescriptor*> enums;
  for (const FileDescriptor* file : Files()) {
    for (int i = 0; i < file->enum_type_count(); ++i) enums.push_back(file->enum_type(i));
  }
  for (const Descriptor* type : Types()) {
    for (int i = 0; i < type->enum_type_count(); ++i) enums.push_back(type->enum_type(i));
  }
  return enums;
}

struct Route {
  std::string verb;
  std::string path;
  std::string body;
};

Route RouteOf(const MethodDescriptor& method) {
  const auto& rule = method.options().GetExtension(google::api::http);
  if (!rule.get().empty()) return {"GET", rule.get(), rule.body()};
  if (!rule.post().empty()) return {"POST", rule.post(), rule.body()};
  if (!rule.patch().empty()) return {"PATCH", rule.patch(), rule.body()};
  if (!rule.delete_().empty()) return {"DELETE", rule.delete_(), rule.body()};
  return {};
}

const FieldDescriptor* FieldAt(const Descriptor& type, absl::string_view path) {
  const Descriptor* at = &type;
  const FieldDescriptor* field = nullptr;
  for (absl::string_view name : absl::StrSplit(path, '.')) {
    field = at == nullptr ? nullptr : at->FindFieldByName(std::string(name));
    if (field == nullptr) return nullptr;
    at = field->message_type();
  }
  return field;
}

bool Has(const Descriptor& type, const char* field) {
  return type.FindFieldByName(field) != nullptr;
}

TEST(ProtoStyle, EveryMethodSaysWhoMayCallItAndHasARoute) {
  for (const MethodDescriptor* method : Methods()) {
    EXPECT_NE(RuleOf(*method).access(), v1::ACCESS_UNSPECIFIED) << method->full_name();
    EXPECT_FALSE(RouteOf(*method).verb.empty()) << method->full_name();
    EXPECT_FALSE(method->client_streaming()) << method->full_name() << ": browsers cannot";
  }
}

TEST(ProtoStyle, ChangesAreLoggedAndReadsAreNot) {
  std::set<std::string> used;
  for (const MethodDescriptor* method : Methods()) {
    const bool logged = RuleOf(*method).log_kind() != v1::LOG_KIND_UNSPECIFIED;
    const std::string verb = RouteOf(*method).verb;
    const bool exempt = ReadsByPost().count(method->name()) > 0;
    if (exempt) used.insert(method->name());
    if (verb == "GET") {
      EXPECT_TRUE(!logged || WithoutRequestId().count(method->name()) > 0)
          << method->full_name() << ": a GET that is a change";
    } else {
      EXPECT_NE(logged, exempt) << method->full_name()
                                << ": needs a log_kind, or a reason in ReadsByPost";
    }
    EXPECT_EQ(logged, !RuleOf(*method).summary().empty())
        << method->full_name() << ": log_kind and summary go together";
  }
  for (const auto& [name, reason] : ReadsByPost())
    EXPECT_EQ(used.count(name), 1u) << name << " is let off for nothing";
}

TEST(ProtoStyle, ChangesCanBeSentAgain) {
  std::set<std::string> used;
  for (const MethodDescriptor* method : Methods()) {
    const Descriptor& request = *method->input_type();
    const bool change = RuleOf(*method).log_kind() != v1::LOG_KIND_UNSPECIFIED;
    const bool exempt = WithoutRequestId().count(method->name()) > 0;
    if (exempt) used.insert(method->name());
    EXPECT_EQ(Has(request, "request_id"), change && !exempt) << method->full_name();
    const FieldDescriptor* id = request.FindFieldByName("request_id");
    if (id != nullptr) {
      EXPECT_EQ(id->options().GetExtension(v1::shape), v1::SHAPE_REQUEST_ID) << method->full_name();
    }
  }
  for (const auto& [name, reason] : WithoutRequestId())
    EXPECT_EQ(used.count(name), 1u) << name << " is let off for nothing";
}

TEST(ProtoStyle, ResourceFieldsOfRulesAreThere) {
  for (const MethodDescriptor* method : Methods()) {
    const std::string& path = RuleOf(*method).resource_field();
    if (path.empty()) continue;
    const FieldDescriptor* field = FieldAt(*method->input_type(), path);
    ASSERT_NE(field, nullptr) << method->full_name() << ": " << path;
    EXPECT_EQ(field->cpp_type(), FieldDescriptor::CPPTYPE_STRING)
        << method->full_name() << ": " << path;
  }
}

TEST(ProtoStyle, ListsHavePages) {
  for (const MethodDescriptor* method : Methods()) {
    const Descriptor& request = *method->input_type();
    const Descriptor& answer = *method->output_type();
    const bool list =
        absl::StartsWith(method->name(), "List") || absl::StartsWith(method->name(), "Search");
    EXPECT_EQ(list, Has(request, "page_size")) << method->full_name();
    EXPECT_EQ(list, Has(request, "page_token")) << method->full_name();
    EXPECT_EQ(list, Has(answer, "next_page_token")) << method->full_name();
    if (!list) continue;
    EXPECT_TRUE(request.FindFieldByName("page_size")->options().HasExtension(v1::maximum))
        << method->full_name();
    int row_fields = 0;
    for (int i = 0; i < answer.field_count(); ++i) {
      row_fields +=
          answer.field(i)->is_repeated() && answer.field(i)->message_type() != nullptr ? 1 : 0;
    }
    EXPECT_EQ(row_fields, 1) << method->full_name() << ": one list of rows";
  }
}

TEST(ProtoStyle, UpdatesHaveAMaskAndAName) {
  for (const MethodDescriptor* method : Methods()) {
    if (!absl::StartsWith(method->name(), "Update")) continue;
    EXPECT_TRUE(Has(*method->input_type(), "update_mask")) << method->full_name();
    EXPECT_EQ(RouteOf(*method).verb, "PATCH") << method->full_name();
    EXPECT_EQ(RouteOf(*method).body, method->input_type()->field(0)->name()) << method->full_name();
  }
}

TEST(ProtoStyle, BodiesAndPathVariablesAreFields) {
  for (const MethodDescriptor* method : Methods()) {
    const Route route = RouteOf(*method);
    if (route.verb == "GET" || route.verb == "DELETE") {
      EXPECT_EQ(route.body, "") << method->full_name();
    }
    if (!route.body.empty() && route.body != "*") {
      const FieldDescriptor* body = FieldAt(*method->input_type(), route.body);
      ASSERT_NE(body, nullptr) << method->full_name() << ": body " << route.body;
      EXPECT_NE(body->message_type(), nullptr) << method->full_name() << ": body " << route.body;
    }
    for (absl::string_view part : absl::StrSplit(route.path, '{')) {
      if (!absl::StrContains(part, '}')) continue;
      const absl::string_view variable = part.substr(0, part.find_first_of("=}"));
      const FieldDescriptor* field = FieldAt(*method->input_type(), variable);
      ASSERT_NE(field, nullptr) << method->full_name() << ": {" << variable << "}";
      EXPECT_EQ(field->cpp_type(), FieldDescriptor::CPPTYPE_STRING) << method->full_name();
      EXPECT_FALSE(field->is_repeated()) << method->full_name();
    }
  }
}

// Addresses are logged by everything they pass.
TEST(ProtoStyle, SecretsGoIntoTheBody) {
  for (const MethodDescriptor* method : Methods()) {
    const Route route = RouteOf(*method);
    for (int i = 0; i < method->input_type()->field_count(); ++i) {
      const FieldDescriptor* field = method->input_type()->field(i);
      if (!field->options().GetExtension(v1::secret)) continue;
      EXPECT_EQ(route.body, "*") << method->full_name() << ": " << field->name()
                                 << " would stand in the address";
    }
  }
}

// The segments a route matches: variables are replaced by what they match, the verb is a segment of
// its own.
std::vector<std::string> Segments(const std::string& path) {
  std::string plain;
  bool in_variable = false;
  for (absl::string_view rest = path; !rest.empty(); rest.remove_prefix(1)) {
    if (rest.front() == '{') {
      in_variable = true;
      const size_t end = rest.find('}');
      const size_t equals = rest.find('=');
      const bool pattern = equals != absl::string_view::npos && equals < end;
      if (!pattern) {
        plain += "*";
        rest.remove_prefix(end);
        in_variable = false;
      } else {
        rest.remove_prefix(equals);
      }
    } else if (rest.front() == '}') {
      in_variable = false;
    } else {
      plain += rest.front();
    }
  }
  EXPECT_FALSE(in_variable) << path;
  const size_t verb = plain.find(':');
  std::vector<std::string> segments = absl::StrSplit(plain.substr(0, verb), '/');
  segments.push_back(verb == std::string::npos ? ":" : plain.substr(verb));
  return segments;
}

bool MayMatchTheSame(const std::vector<std::string>& a, const std::vector<std::string>& b) {
  if (a.size() != b.size()) return false;
  for (size_t i = 0; i < a.size(); ++i) {
    if (a[i] != b[i] && a[i] != "*" && b[i] != "*") return false;
  }
  return true;
}

TEST(ProtoStyle, NoTwoRoutesMatchTheSameRequest) {
  const auto methods = Methods();
  for (size_t i = 0; i < methods.size(); ++i) {
    for (size_t j = i + 1; j < methods.size(); ++j) {
      const Route a = RouteOf(*methods[i]);
      const Route b = RouteOf(*methods[j]);
      if (a.verb != b.verb) continue;
      EXPECT_FALSE(MayMatchTheSame(Segments(a.path), Segments(b.path)))
          << methods[i]->full_name() << " " << a.path << "\n"
          << methods[j]->full_name() << " " << b.path;
    }
  }
}

TEST(ProtoStyle, EnumsBeginWithUnspecifiedAndCarryTheirName) {
  for (const EnumDescriptor* type : Enums()) {
    std::string prefix;
    for (const char c : type->name()) {
      if (c >= 'A' && c <= 'Z' && !prefix.empty()) prefix += '_';
      prefix += static_cast<char>(toupper(c));
    }
    const auto* zero = type->FindValueByNumber(0);
    ASSERT_NE(zero, nullptr) << type->full_name();
    EXPECT_EQ(zero->name(), prefix + "_UNSPECIFIED") << type->full_name();
    for (int i = 0; i < type->value_count(); ++i) {
      EXPECT_TRUE(absl::StartsWith(type->value(i)->name(), prefix + "_"))
          << type->value(i)->full_name();
    }
  }
}

TEST(ProtoStyle, OptionsFitTheirFields) {
  for (const Descriptor* type : Types()) {
    for (int i = 0; i < type->field_count(); ++i) {
      const FieldDescriptor& field = *type->field(i);
      const auto& options = field.options();
      const bool text = field.cpp_type() == FieldDescriptor::CPPTYPE_STRING &&
                        field.type() == FieldDescriptor::TYPE_STRING;
      const bool number = field.cpp_type() == FieldDescriptor::CPPTYPE_INT32 ||
                          field.cpp_type() == FieldDescriptor::CPPTYPE_INT64 ||
                          field.cpp_type() == FieldDescriptor::CPPTYPE_DOUBLE;
      if (options.GetExtension(v1::secret)) {
        EXPECT_TRUE(text) << field.full_name();
      }
      if (options.HasExtension(v1::shape)) {
        EXPECT_TRUE(text) << field.full_name();
      }
      if (options.HasExtension(v1::minimum)) {
        EXPECT_TRUE(number) << field.full_name();
      }
      if (options.HasExtension(v1::maximum)) {
        EXPECT_TRUE(number) << field.full_name();
      }
      if (options.HasExtension(v1::minimum) && options.HasExtension(v1::maximum)) {
        EXPECT_LE(options.GetExtension(v1::minimum), options.GetExtension(v1::maximum))
            << field.full_name();
      }
      if (options.HasExtension(v1::resource)) {
        EXPECT_TRUE(text) << field.full_name();
        EXPECT_EQ(Collections().count(options.GetExtension(v1::resource)), 1u) << field.full_name();
      }
      EXPECT_FALSE(options.GetExtension(v1::required) && options.GetExtension(v1::output_only))
          << field.full_name();
    }
  }
}

// A password without the option would be in logs and answers.
TEST(ProtoStyle, WhatSoundsSecretIsMarked) {
  for (const Descriptor* type : Types()) {
    for (int i = 0; i < type->field_count(); ++i) {
      const FieldDescriptor& field = *type->field(i);
      const bool sounds = absl::StrContains(field.name(), "password") || field.name() == "token" ||
                          field.name() == "signature" ||
                          absl::StrContains(field.name(), "private_key");
      const bool flag = field.cpp_type() == FieldDescriptor::CPPTYPE_BOOL;
      if (sounds && !flag) {
        EXPECT_TRUE(field.options().GetExtension(v1::secret)) << field.full_name();
      }
    }
  }
}

// Resources by name: what a caller may not set is said so.
TEST(ProtoStyle, StatesOfResourcesAreOutputOnly) {
  for (const Descriptor* type : Types()) {
    const FieldDescriptor* name = type->FindFieldByName("name");
    const bool resource = name != nullptr && name->options().HasExtension(v1::resource) &&
                          !absl::EndsWith(type->name(), "Request");
    if (!resource) continue;
    for (int i = 0; i < type->field_count(); ++i) {
      const FieldDescriptor& field = *type->field(i);
      const bool state = field.enum_type() != nullptr &&
                         (absl::StrContains(field.name(), "state") || field.name() == "health");
      if (state || field.name() == "create_time") {
        EXPECT_TRUE(field.options().GetExtension(v1::output_only)) << field.full_name();
      }
    }
  }
}

TEST(ProtoStyle, NamesAreWrittenAsElsewhere) {
  for (const Descriptor* type : Types()) {
    for (int i = 0; i < type->field_count(); ++i) {
      for (const char c : type->field(i)->name()) {
        EXPECT_TRUE((c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '_')
            << type->field(i)->full_name();
      }
    }
  }
  for (const MethodDescriptor* method : Methods()) {
    const std::string& request = method->input_type()->name();
    EXPECT_EQ(request, method->name() + "Request") << method->full_name();
  }
}

// Numbers stay as they are given; a hole is a field that went, and must be reserved.
TEST(ProtoStyle, FieldNumbersHaveNoUnreservedHoles) {
  for (const Descriptor* type : Types()) {
    int highest = 0;
    for (int i = 0; i < type->field_count(); ++i)
      highest = std::max(highest, type->field(i)->number());
    for (int number = 1; number <= highest; ++number) {
      EXPECT_TRUE(type->FindFieldByNumber(number) != nullptr || type->IsReservedNumber(number))
          << type->full_name() << " " << number;
    }
  }
}

}  // namespace
}  // namespace drover
