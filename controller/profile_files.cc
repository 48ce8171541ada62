#include "controller/profile_files.h"

#include <google/protobuf/descriptor.h>
#include <toml++/toml.h>

#include <algorithm>
#include <filesystem>
#include <fstream>
#include <set>
#include <sstream>
#include <utility>

#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/strings/str_replace.h"
#include "absl/strings/strip.h"
#include "controller/core/profile_rules.h"
#include "drover/v1/options.pb.h"
#include "proto/support/resource_name.h"
#include "proto/support/status.h"

namespace drover {
namespace {

using google::protobuf::FieldDescriptor;
using google::protobuf::Message;

constexpr char kInstalled[] = "/usr/share/drover/profiles";

std::string KeyOf(const FieldDescriptor& field) {
  if (!field.is_repeated() || field.message_type() == nullptr) return field.name();
  absl::string_view stem = field.name();
  if (absl::ConsumeSuffix(&stem, "ies")) return absl::StrCat(stem, "y");
  absl::ConsumeSuffix(&stem, "s");
  return std::string(stem);
}

// "mysql" -> PROTOCOL_MYSQL; null when there is none.
const google::protobuf::EnumValueDescriptor* EnumValue(const FieldDescriptor& field,
                                                       const std::string& word) {
  const auto& type = *field.enum_type();
  const std::string prefix = absl::StrReplaceAll(type.value(0)->name(), {{"UNSPECIFIED", ""}});
  return type.FindValueByName(
      absl::StrCat(prefix, absl::AsciiStrToUpper(absl::StrReplaceAll(word, {{"-", "_"}}))));
}

class Reader {
 public:
  explicit Reader(absl::string_view file) : file_(file) {}

  void Read(const toml::table& table, Message& message) {
    const auto& type = *message.GetDescriptor();
    for (const auto& [key, node] : table) {
      const FieldDescriptor* field = nullptr;
      for (int i = 0; i < type.field_count(); ++i) {
        if (KeyOf(*type.field(i)) == std::string(key.str())) field = type.field(i);
      }
      if (field == nullptr || field->options().GetExtension(v1::output_only)) {
        Problem(node, absl::StrCat("unknown key \"", std::string(key.str()), "\""));
      } else if (field->is_repeated()) {
        ReadList(node, *field, message);
      } else {
        ReadValue(node, *field, message);
      }
    }
  }

  void Problem(const toml::node& node, absl::string_view what) {
    problems_.push_back(absl::StrCat(file_, ":", node.source().begin.line, ": ", what));
  }
  absl::Status Result() const {
    if (problems_.empty()) return absl::OkStatus();
    return absl::InvalidArgumentError(absl::StrJoin(problems_, "\n"));
  }

 private:
  void ReadList(const toml::node& node, const FieldDescriptor& field, Message& message) {
    const toml::array* list = node.as_array();
    if (list == nullptr) return Problem(node, absl::StrCat(KeyOf(field), " must be a list"));
    for (const toml::node& element : *list) {
      if (field.message_type() == nullptr) {
        ReadValue(element, field, message);
      } else if (const toml::table* table = element.as_table(); table != nullptr) {
        Read(*table, *message.GetReflection()->AddMessage(&message, &field));
      } else {
        Problem(element, absl::StrCat(KeyOf(field), " must be tables"));
      }
    }
  }

  void ReadValue(const toml::node& node, const FieldDescriptor& field, Message& message) {
    const auto& reflection = *message.GetReflection();
    const auto text = node.value_exact<std::string>();
    if (field.cpp_type() == FieldDescriptor::CPPTYPE_STRING && text) {
      const std::string& collection = field.options().GetExtension(v1::resource);
      const std::string value =
          collection.empty() || text->empty() ? *text : ResourceName(collection, *text);
      if (field.is_repeated()) return reflection.AddString(&message, &field, value);
      return reflection.SetString(&message, &field, value);
    }
    if (field.cpp_type() == FieldDescriptor::CPPTYPE_ENUM && text) {
      const auto* value = EnumValue(field, *text);
      if (value != nullptr) return reflection.SetEnum(&message, &field, value);
    }
    if (const auto number = node.value_exact<int64_t>();
        number && field.cpp_type() == FieldDescriptor::CPPTYPE_INT32 && *number >= 0 &&
        *number < 1000000) {
      return reflection.SetInt32(&message, &field, static_cast<int32_t>(*number));
    }
    if (const auto flag = node.value_exact<bool>();
        flag && field.cpp_type() == FieldDescriptor::CPPTYPE_BOOL) {
      return reflection.SetBool(&message, &field, *flag);
    }
    Problem(node, absl::StrCat(KeyOf(field), " cannot have this value"));
  }

  const std::string file_;
  std::vector<std::string> problems_;
};

}  // namespace

absl::StatusOr<std::vector<v1::Profile>> ParseProfiles(absl::string_view text,
                                                       absl::string_view file_name) {
  toml::table table;
  try {
    table = toml::parse(std::string_view(text.data(), text.size()));
  } catch (const toml::parse_error& error) {
    return absl::InvalidArgumentError(absl::StrCat(file_name, ":", error.source().begin.line, ": ",
                                                   std::string(error.description())));
  }
  Reader reader(file_name);
  std::vector<v1::Profile> profiles;
  for (const auto& [key, node] : table) {
    const toml::array* list = node.as_array();
    if (key.str() != "profile" || list == nullptr) {
      reader.Problem(node, "there are [[profile]] tables only");
      continue;
    }
    for (const toml::node& element : *list) {
      if (const toml::table* one = element.as_table(); one != nullptr) {
        v1::Profile& profile = profiles.emplace_back();
        reader.Read(*one, profile);
        if (!IsValidId(IdOf(profile.name()))) reader.Problem(element, "name is not an id");
      } else {
        reader.Problem(element, "there are [[profile]] tables only");
      }
    }
  }
  DROVER_RETURN_IF_ERROR(reader.Result());
  return profiles;
}

absl::StatusOr<std::vector<v1::Profile>> ReadProfiles(const std::string& directory) {
  std::error_code error;
  std::vector<std::filesystem::path> paths;
  for (auto entry = std::filesystem::directory_iterator(directory, error);
       !error && entry != std::filesystem::directory_iterator(); entry.increment(error)) {
    if (entry->path().extension() == ".toml") paths.push_back(entry->path());
  }
  if (error) {
    return absl::NotFoundError(
        absl::StrCat("the folder of profiles ", directory, ": ", error.message()));
  }
  std::sort(paths.begin(), paths.end());
  std::vector<v1::Profile> all;
  std::set<std::string> names;
  for (const std::filesystem::path& path : paths) {
    std::ifstream file(path);
    std::stringstream text;
    text << file.rdbuf();
    DROVER_ASSIGN_OR_RETURN(std::vector<v1::Profile> profiles,
                            ParseProfiles(text.str(), path.string()));
    for (v1::Profile& profile : profiles) {
      Violations violations;
      core::CheckProfile(profile, "profile", violations);
      if (!names.insert(profile.name()).second) violations.Add("profile.name", "is there twice");
      DROVER_RETURN_IF_ERROR(Annotate(violations.ToStatus(), path.string()));
      all.push_back(std::move(profile));
    }
  }
  return all;
}

std::string ProfilesFolder(const std::string& configured) {
  if (!configured.empty()) return configured;
  return std::filesystem::is_directory(kInstalled) ? kInstalled : DROVER_PROFILES;
}

}  // namespace drover
