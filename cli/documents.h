// Files that people write: environments and types as TOML, read into messages by their descriptors
// and written back. All problems of a file are told at once, each with line and column.
//
// A table's key is a field's name; a list of tables is named in the singular ([[group]],
// [[type.service]]). References to other resources come without their collection ("web" for
// "types/web"). Secrets are not part of a file: guest_password_file names one.
//
// Thread promise: pure functions but for reading the file.
#pragma once

#include <google/protobuf/message.h>

#include <map>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "drover/v1/config.pb.h"
#include "drover/v1/inventory.pb.h"

namespace drover::cli {

struct Document {
  // As it was given, for messages.
  std::string path;
  // Field path ("groups[0].count") -> "line:column".
  std::map<std::string, std::string> places;
};

struct EnvironmentFile : Document {
  v1::EnvironmentDocument document;
};

struct TypesFile : Document {
  // name is "types/x".
  std::vector<v1::VmType> types;
};

struct ProfilesFile : Document {
  // name is "profiles/x".
  std::vector<v1::Profile> profiles;
};

// INVALID_ARGUMENT with one line per problem: "env.toml:3:1: cuont: ...".
absl::StatusOr<EnvironmentFile> ParseEnvironment(absl::string_view text, const std::string& path);
// As above; a type's secret comes from the private file that guest_password_file names, relative to
// the document.
absl::StatusOr<TypesFile> ParseTypes(absl::string_view text, const std::string& path);

absl::StatusOr<ProfilesFile> ParseProfiles(absl::string_view text, const std::string& path);

// The documents as ParseEnvironment and its siblings read them; without secrets and without what
// the server sets.
std::string WriteEnvironment(const v1::EnvironmentDocument& document);
std::string WriteTypes(const std::vector<v1::VmType>& types);
std::string WriteProfiles(const std::vector<v1::Profile>& profiles);

// An error of the controller about the document with its fields' places in the file: a violation of
// "document.groups[0].count" becomes "env.toml:3:1: ...". `prefix` ("document.") is the request's
// way to the message, `root` ("types[1].") the document's.
absl::Status InFile(const absl::Status& status, const Document& document, absl::string_view prefix,
                    absl::string_view root = "");

}  // namespace drover::cli
