#include "cli/fields.h"

#include <google/protobuf/timestamp.pb.h>

#include <limits>
#include <map>
#include <optional>

#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/strings/str_join.h"
#include "absl/strings/str_replace.h"
#include "absl/strings/str_split.h"
#include "absl/strings/strip.h"
#include "cli/nearest.h"
#include "drover/v1/options.pb.h"
#include "proto/support/resource_name.h"
#include "proto/support/status.h"
#include "proto/support/time.h"

namespace drover::cli {
namespace {

using google::protobuf::Descriptor;
using google::protobuf::EnumDescriptor;
using google::protobuf::EnumValueDescriptor;
using google::protobuf::FieldDescriptor;
using google::protobuf::Message;
using google::protobuf::Reflection;
using google::protobuf::Timestamp;

// The message that holds the last field of the path, made on the way.
Message* Holder(Message* message, const std::vector<const FieldDescriptor*>& path) {
  for (size_t i = 0; i + 1 < path.size(); ++i) {
    message = message->GetReflection()->MutableMessage(message, path[i]);
  }
  return message;
}

// Sizes are told with a unit by people: memory in *_mb fields, disks in *_gb fields.
std::optional<double> UnitsPer(absl::string_view field_name, absl::string_view suffix) {
  const bool mb = absl::EndsWith(field_name, "_mb");
  if (!mb && !absl::EndsWith(field_name, "_gb")) return std::nullopt;
  const double unit = mb ? 1 : 1024;
  const std::string lower = absl::AsciiStrToLower(suffix);
  if (lower == "m" || lower == "mb") return 1 / unit;
  if (lower == "g" || lower == "gb") return 1024 / unit;
  if (lower == "t" || lower == "tb") return 1024 * 1024 / unit;
  return std::nullopt;
}

absl::StatusOr<double> ParseNumber(const FieldDescriptor& field, absl::string_view text) {
  double number = 0;
  if (absl::SimpleAtod(text, &number)) return number;
  const size_t digits = text.find_first_not_of("0123456789.");
  if (digits != absl::string_view::npos && digits > 0 &&
      absl::SimpleAtod(text.substr(0, digits), &number)) {
    if (const auto factor = UnitsPer(field.name(), text.substr(digits))) return number * *factor;
    if (absl::EndsWith(field.name(), "_seconds")) {
      DROVER_ASSIGN_OR_RETURN(const absl::Duration duration, ParseDuration(text));
      return absl::ToDoubleSeconds(duration);
    }
  }
  const bool sized = absl::EndsWith(field.name(), "_mb") || absl::EndsWith(field.name(), "_gb");
  return absl::InvalidArgumentError(
      absl::StrCat("\"", text, "\" is not a number", sized ? ", e.g. 4096M or 4G" : ""));
}

absl::Status CheckBounds(const FieldDescriptor& field, double number) {
  const auto& options = field.options();
  const bool low = options.HasExtension(v1::minimum) && number < options.GetExtension(v1::minimum);
  const bool high = options.HasExtension(v1::maximum) && number > options.GetExtension(v1::maximum);
  if (!low && !high) return absl::OkStatus();
  const std::string wanted =
      !options.HasExtension(v1::maximum)
          ? absl::StrCat("at least ", options.GetExtension(v1::minimum))
          : absl::StrCat(options.GetExtension(v1::minimum), " to ",
                         absl::StrFormat("%.0f", options.GetExtension(v1::maximum)));
  return absl::InvalidArgumentError(
      absl::StrCat(absl::StrFormat("%g", number), " is out of range; it is ", wanted));
}

absl::Status SetInteger(Message* message, const FieldDescriptor& field, absl::string_view text) {
  DROVER_ASSIGN_OR_RETURN(const double number, ParseNumber(field, text));
  if (number != static_cast<double>(static_cast<int64_t>(number))) {
    return absl::InvalidArgumentError(absl::StrCat("\"", text, "\" is not a whole number"));
  }
  DROVER_RETURN_IF_ERROR(CheckBounds(field, number));
  const Reflection* reflection = message->GetReflection();
  if (field.cpp_type() == FieldDescriptor::CPPTYPE_INT64) {
    int64_t exact = 0;
    if (!absl::SimpleAtoi(text, &exact)) exact = static_cast<int64_t>(number);
    reflection->SetInt64(message, &field, exact);
  } else if (number < std::numeric_limits<int32_t>::min() ||
             number > std::numeric_limits<int32_t>::max()) {
    return absl::InvalidArgumentError(absl::StrCat("\"", text, "\" is too large"));
  } else {
    reflection->SetInt32(message, &field, static_cast<int32_t>(number));
  }
  return absl::OkStatus();
}

absl::Status SetEnum(Message* message, const FieldDescriptor& field, absl::string_view text) {
  const EnumValueDescriptor* value = FindEnumWord(*field.enum_type(), text);
  if (value == nullptr) {
    const auto words = EnumWords(*field.enum_type());
    return absl::InvalidArgumentError(absl::StrCat(
        "\"", text, "\" is not one of ", absl::StrJoin(words, ", "), DidYouMean(text, words)));
  }
  if (field.is_repeated()) {
    message->GetReflection()->AddEnum(message, &field, value);
  } else {
    message->GetReflection()->SetEnum(message, &field, value);
  }
  return absl::OkStatus();
}

absl::Status SetString(Message* message, const FieldDescriptor& field, absl::string_view text) {
  std::string value(text);
  const std::string collection = CollectionOf(field);
  if (!collection.empty() && !value.empty()) {
    DROVER_ASSIGN_OR_RETURN(value, InCollection(collection, text));
  }
  if (field.is_repeated()) {
    message->GetReflection()->AddString(message, &field, value);
  } else {
    message->GetReflection()->SetString(message, &field, value);
  }
  return absl::OkStatus();
}

absl::Status SetBool(Message* message, const FieldDescriptor& field, absl::string_view text) {
  bool value = false;
  if (!absl::SimpleAtob(text, &value)) {
    return absl::InvalidArgumentError(absl::StrCat("\"", text, "\" is neither true nor false"));
  }
  message->GetReflection()->SetBool(message, &field, value);
  return absl::OkStatus();
}

// Without its unit: "4096 MB" and "20 GB" follow from the field's name.
std::string NumberText(const FieldDescriptor& field, double number) {
  // Zero below a field's minimum means: not set.
  if (number == 0 && field.options().GetExtension(v1::minimum) > 0) return "";
  if (absl::EndsWith(field.name(), "_bytes") || field.name() == "bytes") return HumanBytes(number);
  const char* unit = absl::EndsWith(field.name(), "_mb")          ? " MB"
                     : absl::EndsWith(field.name(), "_gb")        ? " GB"
                     : absl::EndsWith(field.name(), "_seconds")   ? " s"
                     : absl::StrContains(field.name(), "percent") ? "%"
                                                                  : "";
  const bool whole = number == static_cast<double>(static_cast<int64_t>(number));
  return absl::StrCat(absl::StrFormat(whole ? "%.0f" : "%.1f", number), unit);
}

std::string StringText(const FieldDescriptor& field, const std::string& value) {
  return CollectionOf(field).empty() ? value : std::string(IdOf(value));
}

std::string ListText(const Message& message, const FieldDescriptor& field) {
  const Reflection* reflection = message.GetReflection();
  std::vector<std::string> parts;
  for (int i = 0; i < reflection->FieldSize(message, &field); ++i) {
    switch (field.cpp_type()) {
      case FieldDescriptor::CPPTYPE_STRING:
        parts.push_back(StringText(field, reflection->GetRepeatedString(message, &field, i)));
        break;
      case FieldDescriptor::CPPTYPE_ENUM:
        parts.push_back(EnumWord(*reflection->GetRepeatedEnum(message, &field, i)));
        break;
      default:
        return absl::StrCat(reflection->FieldSize(message, &field));
    }
  }
  return absl::StrJoin(parts, ", ");
}

}  // namespace

std::vector<const FieldDescriptor*> FindPath(const Descriptor& type, absl::string_view path) {
  std::vector<const FieldDescriptor*> found;
  const Descriptor* at = &type;
  for (absl::string_view name : absl::StrSplit(path, '.')) {
    const FieldDescriptor* field = at == nullptr ? nullptr : at->FindFieldByName(std::string(name));
    if (field == nullptr) return {};
    found.push_back(field);
    at = field->is_repeated() ? nullptr : field->message_type();
  }
  return found;
}

const FieldDescriptor* FindField(const Descriptor& type, absl::string_view path) {
  const auto found = FindPath(type, path);
  return found.empty() ? nullptr : found.back();
}

absl::Status SetField(Message* message, absl::string_view path, absl::string_view text,
                      absl::Time now) {
  const auto fields = FindPath(*message->GetDescriptor(), path);
  if (fields.empty()) return absl::InternalError(absl::StrCat("there is no field ", path));
  const FieldDescriptor& field = *fields.back();
  Message* holder = Holder(message, fields);
  switch (field.cpp_type()) {
    case FieldDescriptor::CPPTYPE_INT32:
    case FieldDescriptor::CPPTYPE_INT64:
      return SetInteger(holder, field, text);
    case FieldDescriptor::CPPTYPE_ENUM:
      return SetEnum(holder, field, text);
    case FieldDescriptor::CPPTYPE_STRING:
      return SetString(holder, field, text);
    case FieldDescriptor::CPPTYPE_BOOL:
      return SetBool(holder, field, text);
    case FieldDescriptor::CPPTYPE_MESSAGE:
      if (field.message_type() == Timestamp::descriptor()) {
        DROVER_ASSIGN_OR_RETURN(const absl::Time time, ParseTime(text, now));
        holder->GetReflection()->MutableMessage(holder, &field)->CopyFrom(ToProto(time));
        return absl::OkStatus();
      }
      [[fallthrough]];
    default:
      return absl::InternalError(absl::StrCat("field ", path, " cannot be given as text"));
  }
}

std::string ValueText(const Message& message, const FieldDescriptor& field) {
  const Reflection* reflection = message.GetReflection();
  if (field.is_repeated()) return ListText(message, field);
  switch (field.cpp_type()) {
    case FieldDescriptor::CPPTYPE_INT32: {
      const int32_t value = reflection->GetInt32(message, &field);
      return NumberText(field, value);
    }
    case FieldDescriptor::CPPTYPE_INT64: {
      const int64_t value = reflection->GetInt64(message, &field);
      if (absl::StrContains(field.name(), "bytes"))
        return NumberText(field, static_cast<double>(value));
      return absl::StrCat(value);
    }
    case FieldDescriptor::CPPTYPE_DOUBLE:
      return NumberText(field, reflection->GetDouble(message, &field));
    case FieldDescriptor::CPPTYPE_ENUM:
      return EnumWord(*reflection->GetEnum(message, &field));
    case FieldDescriptor::CPPTYPE_BOOL:
      return reflection->GetBool(message, &field) ? "yes" : "no";
    case FieldDescriptor::CPPTYPE_STRING:
      return StringText(field, reflection->GetString(message, &field));
    case FieldDescriptor::CPPTYPE_MESSAGE:
      if (field.message_type() == Timestamp::descriptor() &&
          reflection->HasField(message, &field)) {
        Timestamp time;
        time.CopyFrom(reflection->GetMessage(message, &field));
        return LocalTime(FromProto(time));
      }
      return "";
    default:
      return "";
  }
}

std::string FieldText(const Message& message, absl::string_view path) {
  const auto fields = FindPath(*message.GetDescriptor(), path);
  if (fields.empty()) return "";
  const Message* holder = &message;
  for (size_t i = 0; i + 1 < fields.size(); ++i) {
    holder = &holder->GetReflection()->GetMessage(*holder, fields[i]);
  }
  return ValueText(*holder, *fields.back());
}

std::string EnumWord(const EnumValueDescriptor& value) {
  if (value.number() == 0) return "";
  // "AgentState" -> "AGENT_STATE_".
  std::string prefix;
  for (const char c : value.type()->name()) {
    if (absl::ascii_isupper(c) && !prefix.empty()) prefix += '_';
    prefix += absl::ascii_toupper(c);
  }
  absl::string_view rest = value.name();
  absl::ConsumePrefix(&rest, prefix + "_");
  return absl::AsciiStrToLower(absl::StrReplaceAll(rest, {{"_", "-"}}));
}

std::vector<std::string> EnumWords(const EnumDescriptor& type) {
  std::vector<std::string> words;
  for (int i = 0; i < type.value_count(); ++i) {
    if (type.value(i)->number() != 0) words.push_back(EnumWord(*type.value(i)));
  }
  return words;
}

const EnumValueDescriptor* FindEnumWord(const EnumDescriptor& type, absl::string_view word) {
  const std::string wanted = absl::AsciiStrToLower(absl::StrReplaceAll(word, {{"_", "-"}}));
  for (int i = 0; i < type.value_count(); ++i) {
    if (type.value(i)->number() != 0 && EnumWord(*type.value(i)) == wanted) return type.value(i);
  }
  return nullptr;
}

std::string CollectionOf(const FieldDescriptor& field) {
  const std::string& said = field.options().GetExtension(v1::resource);
  // A shape says that it is an id or a text.
  if (!said.empty() || field.options().HasExtension(v1::shape) ||
      field.cpp_type() != FieldDescriptor::CPPTYPE_STRING) {
    return said;
  }
  static const auto* const by_name =
      new std::map<std::string, std::string>{{"vm", "vms"},
                                             {"vms", "vms"},
                                             {"environment", "environments"},
                                             {"type", "types"},
                                             {"vm_type", "types"},
                                             {"vm_types", "types"},
                                             {"operation", "operations"}};
  const auto found = by_name->find(field.name());
  return found == by_name->end() ? "" : found->second;
}

absl::StatusOr<std::string> InCollection(absl::string_view collection, absl::string_view name) {
  const std::string prefix = absl::StrCat(collection, "/");
  if (absl::StartsWith(name, prefix)) return std::string(name);
  if (absl::StrContains(name, '/')) {
    return absl::InvalidArgumentError(absl::StrCat("\"", name, "\" is not one of the ", collection,
                                                   "; give its name, or \"", prefix, "NAME\""));
  }
  return absl::StrCat(prefix, name);
}

absl::StatusOr<absl::Duration> ParseDuration(absl::string_view text) {
  double number = 0;
  if (absl::SimpleAtod(text, &number) && number >= 0) return absl::Seconds(number);
  absl::string_view days = text;
  if (absl::ConsumeSuffix(&days, "d") && absl::SimpleAtod(days, &number) && number >= 0) {
    return absl::Hours(24 * number);
  }
  absl::Duration duration;
  if (absl::ParseDuration(text, &duration) && duration >= absl::ZeroDuration()) return duration;
  return absl::InvalidArgumentError(
      absl::StrCat("\"", text, "\" is not a span of time, e.g. 90s, 10m, 2h, 1d"));
}

absl::StatusOr<absl::Time> ParseTime(absl::string_view text, absl::Time now) {
  absl::Time time;
  std::string error;
  if (absl::ParseTime(absl::RFC3339_full, text, &time, &error)) return time;
  for (const char* format : {"%Y-%m-%d %H:%M:%S", "%Y-%m-%d %H:%M", "%Y-%m-%d"}) {
    if (absl::ParseTime(format, text, absl::LocalTimeZone(), &time, &error)) return time;
  }
  if (text == "now") return now;
  const auto before = ParseDuration(text);
  if (before.ok()) return now - *before;
  return absl::InvalidArgumentError(
      absl::StrCat("\"", text, "\" is not a time: write 2h (two hours ago), 2026-11-23, ",
                   "\"2026-11-23 10:00\" or 2026-11-23T10:00:00+08:00"));
}

std::string HumanBytes(double bytes) {
  const char* const units[] = {"B", "KiB", "MiB", "GiB", "TiB", "PiB"};
  size_t unit = 0;
  while (bytes >= 1024 && unit + 1 < std::size(units)) {
    bytes /= 1024;
    ++unit;
  }
  return absl::StrFormat(unit == 0 || bytes >= 100 ? "%.0f %s" : "%.1f %s", bytes, units[unit]);
}

std::string LocalTime(absl::Time time) {
  return absl::FormatTime("%Y-%m-%d %H:%M:%S", time, absl::LocalTimeZone());
}

std::string HumanDuration(absl::Duration duration) {
  const int64_t seconds = absl::ToInt64Seconds(duration);
  if (seconds >= 3600) return absl::StrFormat("%dh%02dm", seconds / 3600, seconds / 60 % 60);
  if (seconds >= 60) return absl::StrFormat("%dm%02ds", seconds / 60, seconds % 60);
  return absl::StrFormat("%.1fs", absl::ToDoubleSeconds(duration));
}

const FieldDescriptor* RowsField(const Descriptor& answer) {
  for (int i = 0; i < answer.field_count(); ++i) {
    if (answer.field(i)->is_repeated() && answer.field(i)->message_type() != nullptr) {
      return answer.field(i);
    }
  }
  return nullptr;
}

}  // namespace drover::cli
