// Fields of messages by their path, as people type and read them: "network.ip", "4G", "power=off",
// "1h". One place decides how a value of each kind is written, from the field's descriptor and our
// options alone.
//
// Thread promise: pure functions.
#pragma once

#include <google/protobuf/descriptor.h>
#include <google/protobuf/message.h>

#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/time/time.h"

namespace drover::cli {

// The fields along a dotted path; empty when the path does not exist in the type.
std::vector<const google::protobuf::FieldDescriptor*> FindPath(
    const google::protobuf::Descriptor& type, absl::string_view path);

// The field at the end of the path, or nullptr.
const google::protobuf::FieldDescriptor* FindField(const google::protobuf::Descriptor& type,
                                                   absl::string_view path);

// Sets the field at `path`, or appends when it is repeated. Resource names may come without their
// collection. INVALID_ARGUMENT that says what would be right.
absl::Status SetField(google::protobuf::Message* message, absl::string_view path,
                      absl::string_view text, absl::Time now);

// The value at `path` for people: "" when unset. Lists are joined by ", ".
std::string FieldText(const google::protobuf::Message& message, absl::string_view path);
// As FieldText, for one field that is not a message of ours.
std::string ValueText(const google::protobuf::Message& message,
                      const google::protobuf::FieldDescriptor& field);

// "POWER_STATE_HARD_OFF" -> "hard-off"; the zero value is "".
std::string EnumWord(const google::protobuf::EnumValueDescriptor& value);
// All words but the zero value's.
std::vector<std::string> EnumWords(const google::protobuf::EnumDescriptor& type);
// nullptr when there is none of that word.
const google::protobuf::EnumValueDescriptor* FindEnumWord(
    const google::protobuf::EnumDescriptor& type, absl::string_view word);

// "web-01", "vms/web-01" -> "vms/web-01". INVALID_ARGUMENT for a name of another collection.
absl::StatusOr<std::string> InCollection(absl::string_view collection, absl::string_view name);

// The collection whose names the field holds, "" when it holds something else. Records of what
// happened name VMs and the like without the contract's option, which would refuse names of what is
// gone.
std::string CollectionOf(const google::protobuf::FieldDescriptor& field);

// "90s", "1h", "2d" before now; "2026-11-23", "2026-11-23 10:00[:00]" in the local time zone; RFC
// 3339.
absl::StatusOr<absl::Time> ParseTime(absl::string_view text, absl::Time now);
// "90", "90s", "5m", "2h", "1d".
absl::StatusOr<absl::Duration> ParseDuration(absl::string_view text);

// 1536 -> "1.5 KiB".
std::string HumanBytes(double bytes);
std::string LocalTime(absl::Time time);
// "850ms", "12.3s", "2m05s", "3h10m".
std::string HumanDuration(absl::Duration duration);

// The field that holds the rows of a list's answer, or nullptr.
const google::protobuf::FieldDescriptor* RowsField(const google::protobuf::Descriptor& answer);

}  // namespace drover::cli
