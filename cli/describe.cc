// A message by the line: for people, and as YAML.
#include <google/protobuf/descriptor.h>
#include <google/protobuf/timestamp.pb.h>

#include <algorithm>
#include <vector>

#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/strings/str_replace.h"
#include "absl/strings/str_split.h"
#include "cli/fields.h"
#include "cli/output.h"
#include "drover/v1/options.pb.h"
#include "google/rpc/status.pb.h"
#include "proto/support/json.h"
#include "proto/support/status.h"

namespace drover::cli {
namespace {

using google::protobuf::Descriptor;
using google::protobuf::FieldDescriptor;
using google::protobuf::Message;
using google::protobuf::Reflection;
using google::protobuf::Timestamp;

// "dns1" -> "DNS1", "memory_mb" -> "Memory", "agent_last_seen" -> "Agent last seen".
std::string Label(const FieldDescriptor& field) {
  static const char* const kAcronyms[] = {"ip",  "dns1", "dns2", "cpu",  "cpus", "os",  "bios",
                                          "uid", "url",  "ssh",  "uuid", "vm",   "vms", "id"};
  std::vector<std::string> words = absl::StrSplit(field.name(), '_');
  if (words.size() > 1 && (words.back() == "mb" || words.back() == "gb")) words.pop_back();
  for (size_t i = 0; i < words.size(); ++i) {
    const bool acronym =
        std::find(std::begin(kAcronyms), std::end(kAcronyms), words[i]) != std::end(kAcronyms);
    if (acronym) absl::AsciiStrToUpper(&words[i]);
    if (words[i] == "CPUS" || words[i] == "VMS") words[i].back() = 's';
    if (i == 0 && !acronym) words[i][0] = absl::ascii_toupper(words[i][0]);
  }
  return absl::StrJoin(words, " ");
}

bool IsOurs(const FieldDescriptor& field) {
  return field.message_type() != nullptr &&
         absl::StartsWith(field.message_type()->full_name(), "drover.") && !field.is_map();
}

// Rows of a repeated message below its label.
std::string DescribeRows(const Message& message, const FieldDescriptor& field, int indent) {
  const Reflection* reflection = message.GetReflection();
  const std::vector<Column> all = ColumnsOf(*field.message_type());
  std::vector<Column> columns;
  std::copy_if(all.begin(), all.end(), std::back_inserter(columns),
               [](const Column& column) { return !column.wide; });
  std::vector<std::vector<std::string>> rows(1);
  for (const Column& column : columns) rows[0].push_back(column.header);
  for (int i = 0; i < reflection->FieldSize(message, &field); ++i) {
    const Message& one = reflection->GetRepeatedMessage(message, &field, i);
    std::vector<std::string>& row = rows.emplace_back();
    for (const Column& column : columns) {
      const std::string text =
          column.cell != nullptr ? column.cell(one).text : FieldText(one, column.path);
      row.push_back(text.empty() ? "-" : absl::StrReplaceAll(text, {{"\n", " "}}));
    }
  }
  std::string text;
  for (const auto& row : rows) {
    text.append(static_cast<size_t>(indent), ' ');
    for (size_t i = 0; i < row.size(); ++i) {
      int width = 0;
      for (const auto& other : rows) width = std::max(width, DisplayWidth(other[i]));
      absl::StrAppend(&text, i + 1 == row.size() ? row[i] : Pad(row[i], width + 2));
    }
    text += "\n";
  }
  return text;
}

std::string PlainText(const Message& message, const FieldDescriptor& field, bool symbols) {
  const Reflection* reflection = message.GetReflection();
  if (field.is_map() || (field.message_type() != nullptr && !IsOurs(field) &&
                         field.message_type() != Timestamp::descriptor())) {
    if (field.is_repeated()) return "";
    const Message& value = reflection->GetMessage(message, &field);
    if (field.message_type() == google::rpc::Status::descriptor()) {
      return FieldText(value, "message");
    }
    return ToJson(value).value_or("");
  }
  if (field.cpp_type() == FieldDescriptor::CPPTYPE_ENUM && !field.is_repeated()) {
    return StateCell(*reflection->GetEnum(message, &field), symbols).text;
  }
  return ValueText(message, field);
}

std::vector<const FieldDescriptor*> SetFields(const Message& message) {
  std::vector<const FieldDescriptor*> fields;
  message.GetReflection()->ListFields(message, &fields);
  fields.erase(std::remove_if(fields.begin(), fields.end(),
                              [](const FieldDescriptor* field) {
                                return field->options().GetExtension(v1::secret);
                              }),
               fields.end());
  std::sort(fields.begin(), fields.end(), [](const FieldDescriptor* a, const FieldDescriptor* b) {
    return a->index() < b->index();
  });
  return fields;
}

// A string that YAML would read as something else is quoted as JSON does it.
std::string YamlScalar(const std::string& text) {
  static const char* const kWords[] = {"true", "false", "yes", "no", "on", "off", "null", "~"};
  bool plain =
      !text.empty() && !absl::ascii_isspace(text.front()) && !absl::ascii_isspace(text.back()) &&
      std::string("-?:,[]{}#&*!|>'\"%@`=.+0123456789").find(text.front()) == std::string::npos;
  for (const char c : text) plain = plain && c != '\n' && static_cast<unsigned char>(c) >= 0x20;
  plain = plain && !absl::StrContains(text, ": ") && !absl::StrContains(text, " #") &&
          text.back() != ':';
  for (const char* word : kWords) plain = plain && !absl::EqualsIgnoreCase(text, word);
  if (plain) return text;
  return absl::StrCat(
      "\"",
      absl::StrReplaceAll(
          text, {{"\\", "\\\\"}, {"\"", "\\\""}, {"\n", "\\n"}, {"\r", "\\r"}, {"\t", "\\t"}}),
      "\"");
}

std::string YamlValue(const Message& message, const FieldDescriptor& field, int index) {
  const Reflection* reflection = message.GetReflection();
  const bool list = field.is_repeated();
  switch (field.cpp_type()) {
    case FieldDescriptor::CPPTYPE_STRING:
      return YamlScalar(list ? reflection->GetRepeatedString(message, &field, index)
                             : reflection->GetString(message, &field));
    case FieldDescriptor::CPPTYPE_ENUM:
      return (list ? reflection->GetRepeatedEnum(message, &field, index)
                   : reflection->GetEnum(message, &field))
          ->name();
    case FieldDescriptor::CPPTYPE_INT32:
      return absl::StrCat(list ? reflection->GetRepeatedInt32(message, &field, index)
                               : reflection->GetInt32(message, &field));
    case FieldDescriptor::CPPTYPE_INT64:
      return absl::StrCat("\"",
                          list ? reflection->GetRepeatedInt64(message, &field, index)
                               : reflection->GetInt64(message, &field),
                          "\"");
    case FieldDescriptor::CPPTYPE_DOUBLE:
      return absl::StrCat(list ? reflection->GetRepeatedDouble(message, &field, index)
                               : reflection->GetDouble(message, &field));
    case FieldDescriptor::CPPTYPE_BOOL:
      return reflection->GetBool(message, &field) ? "true" : "false";
    default: {
      // JSON is YAML: well-known types come as JSON writes them.
      const Message& value = list ? reflection->GetRepeatedMessage(message, &field, index)
                                  : reflection->GetMessage(message, &field);
      return ToJson(value).value_or("null");
    }
  }
}

void AppendYaml(const Message& message, const std::string& margin, std::string& text) {
  std::vector<const FieldDescriptor*> fields = SetFields(message);
  for (const FieldDescriptor* field : fields) {
    absl::StrAppend(&text, margin, field->json_name(), ":");
    if (!field->is_repeated() && IsOurs(*field)) {
      text += "\n";
      AppendYaml(message.GetReflection()->GetMessage(message, field), margin + "  ", text);
      continue;
    }
    if (!field->is_repeated()) {
      absl::StrAppend(&text, " ", YamlValue(message, *field, 0), "\n");
      continue;
    }
    text += "\n";
    for (int i = 0; i < message.GetReflection()->FieldSize(message, field); ++i) {
      if (!IsOurs(*field)) {
        absl::StrAppend(&text, margin, "- ", YamlValue(message, *field, i), "\n");
        continue;
      }
      std::string one;
      AppendYaml(message.GetReflection()->GetRepeatedMessage(message, field, i), margin + "  ",
                 one);
      if (one.empty()) one = absl::StrCat(margin, "  {}\n");
      one[margin.size()] = '-';
      text += one;
    }
  }
}

}  // namespace

std::string Describe(const Message& message, bool symbols, int indent) {
  const std::string margin(static_cast<size_t>(indent), ' ');
  const auto fields = SetFields(message);
  int width = 0;
  for (const FieldDescriptor* field : fields) {
    width = std::max(width, DisplayWidth(Label(*field)) + 3);
  }
  std::string text;
  for (const FieldDescriptor* field : fields) {
    const std::string label = Label(*field) + ":";
    if (IsOurs(*field)) {
      absl::StrAppend(&text, margin, label, "\n");
      text += field->is_repeated() ? DescribeRows(message, *field, indent + 2)
                                   : Describe(message.GetReflection()->GetMessage(message, field),
                                              symbols, indent + 2);
      continue;
    }
    const std::string value = PlainText(message, *field, symbols);
    absl::StrAppend(
        &text, margin, Pad(label, width),
        absl::StrReplaceAll(value,
                            {{"\n", "\n" + margin + std::string(static_cast<size_t>(width), ' ')}}),
        "\n");
  }
  return text;
}

std::string ToYaml(const Message& message) {
  std::string text;
  AppendYaml(message, "", text);
  return text.empty() ? "{}\n" : text;
}

}  // namespace drover::cli
