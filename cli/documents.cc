#include "cli/documents.h"

#include <google/protobuf/descriptor.h>
#include <google/protobuf/timestamp.pb.h>

#include <algorithm>
#include <filesystem>
#include <set>
#include <utility>

#include "absl/cleanup/cleanup.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/strings/str_replace.h"
#include "absl/strings/strip.h"
#include "absl/time/time.h"
#include "cli/context_store.h"
#include "cli/fields.h"
#include "cli/nearest.h"
#include "drover/v1/options.pb.h"
#include "proto/support/resource_name.h"
#include "proto/support/status.h"
#include "toml++/toml.h"

namespace drover::cli {
namespace {

using google::protobuf::Descriptor;
using google::protobuf::FieldDescriptor;
using google::protobuf::Message;
using google::protobuf::Reflection;

// "groups" -> "group", "working_copies" -> "working_copy".
std::string Singular(const std::string& name) {
  absl::string_view stem = name;
  if (absl::ConsumeSuffix(&stem, "ies")) return absl::StrCat(stem, "y");
  absl::ConsumeSuffix(&stem, "s");
  return std::string(stem);
}

// The key of a field in a file; "" when it is not part of one.
std::string KeyOf(const FieldDescriptor& field) {
  if (field.options().GetExtension(v1::output_only)) return "";
  if (field.options().GetExtension(v1::secret)) return "";
  const bool tables = field.is_repeated() && field.message_type() != nullptr;
  return tables ? Singular(field.name()) : field.name();
}

// Editors find the places when each stands at the beginning of its line.
std::string Problems(const std::vector<std::string>& lines) {
  const std::string head = lines.size() == 1 ? "" : absl::StrCat(lines.size(), " problems\n");
  return absl::StrCat(head, absl::StrJoin(lines, "\n"));
}

class Reader {
 public:
  explicit Reader(Document& document) : document_(document) {}

  void Read(const toml::table& table, const std::string& path, Message& message) {
    for (const auto& [key, node] : table) {
      const FieldDescriptor* field = Find(*message.GetDescriptor(), std::string(key.str()));
      if (field == nullptr) {
        Unknown(key, *message.GetDescriptor());
        continue;
      }
      ReadField(node, absl::StrCat(path, path.empty() ? "" : ".", field->name()),
                std::string(key.str()), *field, message);
    }
    CheckRequired(table, message);
  }

  void Add(const toml::source_region& source, absl::string_view key, absl::string_view problem) {
    problems_.emplace_back(std::make_pair(source.begin.line, source.begin.column),
                           absl::StrCat(key, key.empty() ? "" : ": ", problem));
  }

  void Note(const std::string& path, const toml::node& node) {
    document_.places[path] =
        absl::StrCat(node.source().begin.line, ":", node.source().begin.column);
  }

  absl::Status Result() {
    if (problems_.empty()) return absl::OkStatus();
    std::sort(problems_.begin(), problems_.end());
    std::vector<std::string> lines;
    for (const auto& [place, text] : problems_) {
      lines.push_back(
          absl::StrCat(document_.path, ":", place.first, ":", place.second, ": ", text));
    }
    return absl::InvalidArgumentError(Problems(lines));
  }

 private:
  static const FieldDescriptor* Find(const Descriptor& type, absl::string_view key) {
    for (int i = 0; i < type.field_count(); ++i) {
      if (!KeyOf(*type.field(i)).empty() && KeyOf(*type.field(i)) == key) return type.field(i);
    }
    return nullptr;
  }

  void Unknown(const toml::key& key, const Descriptor& type) {
    const std::string name(key.str());
    const FieldDescriptor* field = type.FindFieldByName(name);
    if (field != nullptr && field->options().GetExtension(v1::secret)) {
      return Add(key.source(), name,
                 absl::StrCat("a password is not part of a file; give it with --",
                              absl::StrReplaceAll(name, {{"_", "-"}}), "-stdin or name a private ",
                              "file of its own with ", name, "_file"));
    }
    if (field != nullptr && field->options().GetExtension(v1::output_only)) {
      return Add(key.source(), name, "the controller sets this; take it out");
    }
    std::vector<std::string> known;
    for (int i = 0; i < type.field_count(); ++i) {
      if (!KeyOf(*type.field(i)).empty()) known.push_back(KeyOf(*type.field(i)));
    }
    const std::string nearest = DidYouMean(name, known);
    Add(key.source(), name,
        nearest.empty() ? absl::StrCat("unknown key; there are ", absl::StrJoin(known, ", "))
                        : absl::StrCat("unknown key", nearest));
  }

  void ReadField(const toml::node& node, const std::string& path, const std::string& key,
                 const FieldDescriptor& field, Message& message) {
    Note(path, node);
    if (field.is_repeated()) return ReadList(node, path, key, field, message);
    if (field.message_type() != nullptr) {
      const toml::table* table = node.as_table();
      if (table == nullptr) return Add(node.source(), key, "this is a table: [" + key + "]");
      return Read(*table, path, *message.GetReflection()->MutableMessage(&message, &field));
    }
    ReadValue(node, key, field, message);
  }

  void ReadList(const toml::node& node, const std::string& path, const std::string& key,
                const FieldDescriptor& field, Message& message) {
    const toml::array* list = node.as_array();
    if (list == nullptr) {
      const std::string example =
          field.message_type() != nullptr ? "tables: [[" + key + "]]" : "a list: [\"...\"]";
      return Add(node.source(), key, "this is " + example);
    }
    int index = 0;
    for (const toml::node& element : *list) {
      const std::string place = absl::StrCat(path, "[", index++, "]");
      Note(place, element);
      if (field.message_type() == nullptr) {
        ReadValue(element, key, field, message);
      } else if (const toml::table* table = element.as_table()) {
        Read(*table, place, *message.GetReflection()->AddMessage(&message, &field));
      } else {
        Add(element.source(), key, "this is a list of tables: [[" + key + "]]");
      }
    }
  }

  void ReadValue(const toml::node& node, const std::string& key, const FieldDescriptor& field,
                 Message& message) {
    std::string text;
    if (const auto* value = node.as_string()) {
      text = value->get();
    } else if (const auto* number = node.as_integer()) {
      text = absl::StrCat(number->get());
    } else if (const auto* boolean = node.as_boolean()) {
      text = boolean->get() ? "true" : "false";
    } else {
      return Add(node.source(), key, absl::StrCat("this is ", Wanted(field)));
    }
    const bool is_text = field.cpp_type() == FieldDescriptor::CPPTYPE_STRING ||
                         field.cpp_type() == FieldDescriptor::CPPTYPE_ENUM;
    // Sizes may be "4G"; otherwise what is a number is not written as a text, nor the other way
    // round.
    const bool sized = absl::EndsWith(field.name(), "_mb") || absl::EndsWith(field.name(), "_gb") ||
                       absl::EndsWith(field.name(), "_seconds");
    if (node.is_string() != is_text && !(node.is_string() && sized)) {
      return Add(node.source(), key, absl::StrCat("this is ", Wanted(field)));
    }
    const absl::Status set = SetField(&message, field.name(), text, absl::UnixEpoch());
    if (!set.ok()) Add(node.source(), key, set.message());
  }

  static std::string Wanted(const FieldDescriptor& field) {
    switch (field.cpp_type()) {
      case FieldDescriptor::CPPTYPE_STRING:
        return "a text in quotes";
      case FieldDescriptor::CPPTYPE_BOOL:
        return "true or false";
      case FieldDescriptor::CPPTYPE_ENUM:
        return absl::StrCat("one of ", absl::StrJoin(EnumWords(*field.enum_type()), ", "));
      default:
        return "a whole number";
    }
  }

  void CheckRequired(const toml::table& table, const Message& message) {
    for (int i = 0; i < message.GetDescriptor()->field_count(); ++i) {
      const FieldDescriptor& field = *message.GetDescriptor()->field(i);
      if (!field.options().GetExtension(v1::required) || KeyOf(field).empty()) continue;
      if (!table.contains(KeyOf(field))) {
        Add(table.source(), KeyOf(field), "missing in this table");
      }
    }
  }

  Document& document_;
  std::vector<std::pair<std::pair<toml::source_index, toml::source_index>, std::string>> problems_;
};

absl::StatusOr<toml::table> Parse(absl::string_view text, const std::string& path) {
  try {
    return toml::parse(std::string_view(text.data(), text.size()), path);
  } catch (const toml::parse_error& error) {
    return absl::InvalidArgumentError(absl::StrCat(path, ":", error.source().begin.line, ":",
                                                   error.source().begin.column, ": ",
                                                   std::string(error.description())));
  }
}

// Takes the key out of a table; the first line of the file it names, "" without the key.
std::string TakePasswordFile(toml::table& table, const std::string& key,
                             const std::string& document_path, Reader& reader) {
  const toml::node* node = table.get(key);
  if (node == nullptr) return "";
  const toml::source_region source = node->source();
  const absl::Cleanup take_out = [&table, &key] { table.erase(key); };
  const auto* value = node->as_string();
  if (value == nullptr) {
    reader.Add(source, key, "this is a text in quotes");
    return "";
  }
  const std::filesystem::path file =
      std::filesystem::path(document_path).parent_path() / value->get();
  const auto text = ReadPrivateFile(file.string());
  if (!text.ok()) {
    reader.Add(source, key, text.status().message());
    return "";
  }
  return text->substr(0, text->find_first_of("\r\n"));
}

// Those of the working copies of a type, in their order.
std::vector<std::string> TakeSvnPasswords(toml::table& type, const std::string& document_path,
                                          Reader& reader) {
  std::vector<std::string> passwords;
  toml::array* copies = type["working_copy"].as_array();
  for (size_t i = 0; copies != nullptr && i < copies->size(); ++i) {
    toml::table* copy = copies->get(i)->as_table();
    passwords.push_back(
        copy == nullptr ? "" : TakePasswordFile(*copy, "password_file", document_path, reader));
  }
  return passwords;
}

// A file of [[`key`]] tables, each with a name of its own; `read` reads one from its
// table, which is at this place.
template <typename Resource, typename Read>
void ReadNamed(toml::table& table, const std::string& key, const std::string& path,
               std::vector<Resource>& resources, Reader& reader, Read read) {
  for (const auto& [given, node] : table) {
    if (given.str() == key) continue;
    const std::string name(given.str());
    reader.Add(given.source(), name,
               absl::StrCat("unknown key", DidYouMean(name, {key}), "; a file of ", path, " is [[",
                            key, "]] tables"));
  }
  toml::array* list = table[key].as_array();
  if (list == nullptr || list->empty()) {
    return reader.Add({{1, 1}, {1, 1}, nullptr}, key,
                      absl::StrCat("there is no [[", key, "]] table in this file"));
  }
  std::set<std::string> names;
  for (size_t i = 0; i < list->size(); ++i) {
    toml::table* one = list->get(i)->as_table();
    if (one == nullptr) {
      reader.Add(list->get(i)->source(), key,
                 absl::StrCat("this is a list of tables: [[", key, "]]"));
      continue;
    }
    Resource& resource = resources.emplace_back();
    read(*one, absl::StrCat(path, "[", i, "]"), resource);
    if (!one->contains("name")) {
      reader.Add(one->source(), "name", "missing in this table");
    } else if (!names.insert(resource.name()).second) {
      reader.Add(one->get("name")->source(), "name",
                 absl::StrCat("\"", IdOf(resource.name()), "\" is there twice"));
    }
  }
}

std::string Quoted(const std::string& text) {
  return absl::StrCat(
      "\"",
      absl::StrReplaceAll(
          text, {{"\\", "\\\\"}, {"\"", "\\\""}, {"\n", "\\n"}, {"\r", "\\r"}, {"\t", "\\t"}}),
      "\"");
}

std::string WrittenString(const FieldDescriptor& field, const std::string& value) {
  const bool reference = !field.options().GetExtension(v1::resource).empty();
  return Quoted(reference ? std::string(IdOf(value)) : value);
}

std::string WrittenValue(const Message& message, const FieldDescriptor& field) {
  const Reflection* reflection = message.GetReflection();
  if (field.is_repeated()) {
    std::vector<std::string> values;
    for (int i = 0; i < reflection->FieldSize(message, &field); ++i) {
      values.push_back(WrittenString(field, reflection->GetRepeatedString(message, &field, i)));
    }
    return absl::StrCat("[", absl::StrJoin(values, ", "), "]");
  }
  switch (field.cpp_type()) {
    case FieldDescriptor::CPPTYPE_STRING:
      return WrittenString(field, reflection->GetString(message, &field));
    case FieldDescriptor::CPPTYPE_INT32:
      return absl::StrCat(reflection->GetInt32(message, &field));
    case FieldDescriptor::CPPTYPE_BOOL:
      return reflection->GetBool(message, &field) ? "true" : "false";
    case FieldDescriptor::CPPTYPE_ENUM:
      return Quoted(EnumWord(*reflection->GetEnum(message, &field)));
    default:
      return "\"\"";
  }
}

// Values first, then tables: what TOML wants.
void Write(const Message& message, const std::string& table, std::string& text) {
  const Reflection* reflection = message.GetReflection();
  std::vector<const FieldDescriptor*> fields;
  reflection->ListFields(message, &fields);
  fields.erase(std::remove_if(fields.begin(), fields.end(),
                              [](const FieldDescriptor* field) { return KeyOf(*field).empty(); }),
               fields.end());
  for (const FieldDescriptor* field : fields) {
    if (field->message_type() != nullptr) continue;
    absl::StrAppend(&text, KeyOf(*field), " = ", WrittenValue(message, *field), "\n");
  }
  for (const FieldDescriptor* field : fields) {
    if (field->message_type() == nullptr) continue;
    const std::string name = absl::StrCat(table, table.empty() ? "" : ".", KeyOf(*field));
    if (!field->is_repeated()) {
      absl::StrAppend(&text, "\n[", name, "]\n");
      Write(reflection->GetMessage(message, field), name, text);
      continue;
    }
    for (int i = 0; i < reflection->FieldSize(message, field); ++i) {
      absl::StrAppend(&text, "\n[[", name, "]]\n");
      Write(reflection->GetRepeatedMessage(message, field, i), name, text);
    }
  }
}

}  // namespace

absl::StatusOr<EnvironmentFile> ParseEnvironment(absl::string_view text, const std::string& path) {
  DROVER_ASSIGN_OR_RETURN(const toml::table table, Parse(text, path));
  EnvironmentFile file;
  file.path = path;
  Reader reader(file);
  reader.Read(table, "", file.document);
  DROVER_RETURN_IF_ERROR(reader.Result());
  return file;
}

absl::StatusOr<TypesFile> ParseTypes(absl::string_view text, const std::string& path) {
  DROVER_ASSIGN_OR_RETURN(toml::table table, Parse(text, path));
  TypesFile file;
  file.path = path;
  Reader reader(file);
  ReadNamed(table, "type", "types", file.types, reader,
            [&](toml::table& one, const std::string& place, v1::VmType& type) {
              const std::string guest = TakePasswordFile(one, "guest_password_file", path, reader);
              const std::vector<std::string> svn = TakeSvnPasswords(one, path, reader);
              reader.Read(one, place, type);
              if (!guest.empty()) type.set_guest_password(guest);
              for (int copy = 0; copy < type.working_copies_size(); ++copy) {
                if (static_cast<size_t>(copy) == svn.size()) break;
                type.mutable_working_copies(copy)->set_password(svn[static_cast<size_t>(copy)]);
              }
            });
  DROVER_RETURN_IF_ERROR(reader.Result());
  return file;
}

absl::StatusOr<ProfilesFile> ParseProfiles(absl::string_view text, const std::string& path) {
  DROVER_ASSIGN_OR_RETURN(toml::table table, Parse(text, path));
  ProfilesFile file;
  file.path = path;
  Reader reader(file);
  ReadNamed(table, "profile", "profiles", file.profiles, reader,
            [&](toml::table& one, const std::string& place, v1::Profile& profile) {
              reader.Read(one, place, profile);
            });
  DROVER_RETURN_IF_ERROR(reader.Result());
  return file;
}

std::string WriteEnvironment(const v1::EnvironmentDocument& document) {
  std::string text;
  Write(document, "", text);
  return text;
}

std::string WriteTypes(const std::vector<v1::VmType>& types) {
  std::string text;
  for (const v1::VmType& type : types) {
    absl::StrAppend(&text, text.empty() ? "" : "\n", "[[type]]\n");
    Write(type, "type", text);
  }
  return text;
}

std::string WriteProfiles(const std::vector<v1::Profile>& profiles) {
  std::string text;
  for (const v1::Profile& profile : profiles) {
    absl::StrAppend(&text, text.empty() ? "" : "\n", "[[profile]]\n");
    Write(profile, "profile", text);
  }
  return text;
}

absl::Status InFile(const absl::Status& status, const Document& document, absl::string_view prefix,
                    absl::string_view root) {
  const auto violations = ViolationsOf(status).field_violations();
  if (violations.empty()) return status;
  std::vector<std::string> lines;
  for (const auto& violation : violations) {
    absl::string_view path = violation.field();
    absl::ConsumePrefix(&path, prefix);
    // The field itself, or the table it is missing in.
    std::string at = absl::StrCat(root, path);
    while (!at.empty() && document.places.count(at) == 0) {
      const size_t cut = at.find_last_of(".[");
      at = cut == std::string::npos ? "" : at.substr(0, cut);
    }
    const std::string place = at.empty() ? "" : ":" + document.places.at(at);
    lines.push_back(absl::StrCat(document.path, place, ": ", path, ": ", violation.description()));
  }
  return absl::Status(status.code(), Problems(lines));
}

}  // namespace drover::cli
