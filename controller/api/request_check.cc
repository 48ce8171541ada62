#include "controller/api/request_check.h"

#include <google/protobuf/descriptor.h>
#include <google/protobuf/field_mask.pb.h>
#include <google/protobuf/timestamp.pb.h>

#include <algorithm>
#include <cmath>
#include <string>
#include <vector>

#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "controller/api/shapes.h"
#include "drover/v1/options.pb.h"
#include "proto/support/contract.h"
#include "proto/support/resource_name.h"
#include "proto/support/status.h"

namespace drover::api {
namespace {

using google::protobuf::Descriptor;
using google::protobuf::FieldDescriptor;
using google::protobuf::FieldMask;
using google::protobuf::Message;
using google::protobuf::Reflection;
using google::protobuf::Timestamp;

std::string Join(absl::string_view path, absl::string_view name) {
  return path.empty() ? std::string(name) : absl::StrCat(path, ".", name);
}

bool IsForeign(const Descriptor& type) { return absl::StartsWith(type.full_name(), "google."); }

bool IsPlainMessage(const FieldDescriptor& field) {
  return field.cpp_type() == FieldDescriptor::CPPTYPE_MESSAGE && !field.is_map();
}

void ClearOutputOnly(Message* message) {
  const Reflection* reflection = message->GetReflection();
  std::vector<const FieldDescriptor*> fields;
  reflection->ListFields(*message, &fields);
  for (const FieldDescriptor* field : fields) {
    if (field->options().GetExtension(v1::output_only)) {
      reflection->ClearField(message, field);
    } else if (!IsPlainMessage(*field)) {
      continue;
    } else if (field->is_repeated()) {
      for (int i = 0; i < reflection->FieldSize(*message, field); ++i) {
        ClearOutputOnly(reflection->MutableRepeatedMessage(message, field, i));
      }
    } else {
      ClearOutputOnly(reflection->MutableMessage(message, field));
    }
  }
}

bool IsSet(const Message& message, const FieldDescriptor& field) {
  const Reflection* reflection = message.GetReflection();
  if (field.is_repeated()) return reflection->FieldSize(message, &field) > 0;
  return reflection->HasField(message, &field);
}

// "must be 1 to 128", "must be at most 1000".
std::string RangeProblem(const FieldDescriptor& field, double value) {
  const auto& options = field.options();
  const bool has_minimum = options.HasExtension(v1::minimum);
  const bool has_maximum = options.HasExtension(v1::maximum);
  const double minimum = options.GetExtension(v1::minimum);
  const double maximum = options.GetExtension(v1::maximum);
  if (!has_minimum && !has_maximum) return "";
  // A bound above alone is a size: it has no negative values.
  const bool low = value < minimum;
  const bool high = has_maximum && value > maximum;
  if (!low && !high && !std::isnan(value)) return "";
  if (!has_maximum) return absl::StrCat("must be at least ", minimum);
  return absl::StrCat("must be ", minimum, " to ", maximum, ", not ", value);
}

class Checker {
 public:
  // Fields of `update` (the resource of an update request) need not be there.
  explicit Checker(const Message* update) : update_(update) {}

  void Check(const Message& message, absl::string_view path) {
    const Descriptor* type = message.GetDescriptor();
    for (int i = 0; i < type->field_count(); ++i) {
      const FieldDescriptor& field = *type->field(i);
      const std::string field_path = Join(path, field.name());
      if (!IsSet(message, field)) {
        if (field.options().GetExtension(v1::required) && &message != update_) {
          violations_.Add(field_path, "is required");
        }
        continue;
      }
      CheckField(message, field, field_path);
    }
  }

  Violations& violations() { return violations_; }

 private:
  void CheckField(const Message& message, const FieldDescriptor& field, const std::string& path) {
    if (field.is_map()) return;
    const Reflection* reflection = message.GetReflection();
    if (!field.is_repeated()) return CheckValue(message, field, -1, path);
    const int size = reflection->FieldSize(message, &field);
    if (size > kMaxListLength) {
      violations_.Add(path,
                      absl::StrCat("must have at most ", kMaxListLength, " entries, not ", size));
      return;
    }
    for (int i = 0; i < size; ++i) CheckValue(message, field, i, absl::StrCat(path, "[", i, "]"));
  }

  // `index` -1: the field is not repeated.
  void CheckValue(const Message& message, const FieldDescriptor& field, int index,
                  const std::string& path) {
    const Reflection* reflection = message.GetReflection();
    switch (field.cpp_type()) {
      case FieldDescriptor::CPPTYPE_MESSAGE:
        return CheckMessage(index < 0 ? reflection->GetMessage(message, &field)
                                      : reflection->GetRepeatedMessage(message, &field, index),
                            path);
      case FieldDescriptor::CPPTYPE_STRING:
        return CheckText(index < 0 ? reflection->GetString(message, &field)
                                   : reflection->GetRepeatedString(message, &field, index),
                         field, index >= 0, path);
      case FieldDescriptor::CPPTYPE_ENUM: {
        const int value = index < 0 ? reflection->GetEnumValue(message, &field)
                                    : reflection->GetRepeatedEnumValue(message, &field, index);
        if (field.enum_type()->FindValueByNumber(value) == nullptr) {
          violations_.Add(path,
                          absl::StrCat(value, " is not a value of ", field.enum_type()->name()));
        }
        return;
      }
      default:
        if (index < 0) CheckNumber(message, field, path);
    }
  }

  void CheckNumber(const Message& message, const FieldDescriptor& field, const std::string& path) {
    const Reflection* reflection = message.GetReflection();
    double value = 0;
    switch (field.cpp_type()) {
      case FieldDescriptor::CPPTYPE_INT32:
        value = reflection->GetInt32(message, &field);
        break;
      case FieldDescriptor::CPPTYPE_INT64:
        value = static_cast<double>(reflection->GetInt64(message, &field));
        break;
      case FieldDescriptor::CPPTYPE_DOUBLE:
        value = reflection->GetDouble(message, &field);
        break;
      default:
        return;
    }
    if (const std::string problem = RangeProblem(field, value); !problem.empty()) {
      violations_.Add(path, problem);
    }
  }

  void CheckMessage(const Message& message, const std::string& path) {
    if (message.GetDescriptor() == Timestamp::descriptor()) {
      const auto& time = static_cast<const Timestamp&>(message);
      // 0001-01-01 to 9999-12-31, what RFC 3339 can write.
      if (time.seconds() < -62135596800 || time.seconds() > 253402300799 || time.nanos() < 0 ||
          time.nanos() > 999999999) {
        violations_.Add(path, "must be a time between the years 1 and 9999");
      }
    } else if (!IsForeign(*message.GetDescriptor())) {
      Check(message, path);
    }
  }

  void CheckText(const std::string& text, const FieldDescriptor& field, bool repeated,
                 const std::string& path) {
    if (field.type() == FieldDescriptor::TYPE_BYTES) return;
    const auto& options = field.options();
    const std::string& collection = options.GetExtension(v1::resource);
    const v1::Shape shape = options.GetExtension(v1::shape);
    if (text.empty()) {
      // An empty text in a list says nothing at all.
      if (repeated && (!collection.empty() || shape != v1::SHAPE_UNSPECIFIED)) {
        violations_.Add(path, "must not be empty");
      }
      return;
    }
    std::string problem = ShapeProblem(shape, text);
    if (problem.empty() && !collection.empty()) problem = NameProblem(text, collection);
    if (!problem.empty()) violations_.Add(path, problem);
  }

  static std::string NameProblem(absl::string_view text, const std::string& collection) {
    const auto id = ResourceId(text, collection, "");
    const bool ok = id.ok() && id->size() <= 128 && std::all_of(id->begin(), id->end(), [](char c) {
                      return absl::ascii_isalnum(c) || c == '-' || c == '_' || c == '.';
                    });
    return ok ? "" : absl::StrCat("must be a name of the form \"", collection, "/ID\"");
  }

  const Message* const update_;
  Violations violations_;
};

// The parts of an update request, null when it is none.
struct Update {
  const FieldDescriptor* mask_field = nullptr;
  const FieldDescriptor* resource_field = nullptr;
};

Update FindUpdate(const Descriptor& type) {
  Update update;
  update.mask_field = type.FindFieldByName("update_mask");
  if (update.mask_field == nullptr ||
      update.mask_field->message_type() != FieldMask::descriptor()) {
    return {};
  }
  for (int i = 0; i < type.field_count(); ++i) {
    const FieldDescriptor* field = type.field(i);
    if (IsPlainMessage(*field) && !field->is_repeated() && !IsForeign(*field->message_type())) {
      update.resource_field = field;
      return update;
    }
  }
  return {};
}

// What a path of the mask may not be, "" when it is fine. Empties `field` unless it was found.
std::string MaskProblem(const Descriptor& type, absl::string_view path,
                        const FieldDescriptor** leaf) {
  const Descriptor* at = &type;
  *leaf = nullptr;
  for (absl::string_view name : absl::StrSplit(path, '.')) {
    const FieldDescriptor* field = at == nullptr ? nullptr : at->FindFieldByName(std::string(name));
    if (field == nullptr) return absl::StrCat("\"", path, "\" is not a field of ", type.name());
    if (field->options().GetExtension(v1::output_only)) {
      return absl::StrCat("\"", path, "\" is set by the server alone");
    }
    if (field->options().GetExtension(v1::immutable)) {
      return absl::StrCat("\"", path, "\" is given at creation and cannot be changed");
    }
    *leaf = field;
    at = IsPlainMessage(*field) && !field->is_repeated() ? field->message_type() : nullptr;
  }
  if (path == "name") return "\"name\" says which one is changed and cannot be changed itself";
  return "";
}

// An empty mask means what is set.
void FillMask(const Message& resource, FieldMask* mask) {
  std::vector<const FieldDescriptor*> fields;
  resource.GetReflection()->ListFields(resource, &fields);
  for (const FieldDescriptor* field : fields) {
    if (field->name() != "name") mask->add_paths(field->name());
  }
}

void CheckUpdate(const Update& update, Message* request, Violations& violations) {
  const Reflection* reflection = request->GetReflection();
  const Message& resource = reflection->GetMessage(*request, update.resource_field);
  auto* mask = static_cast<FieldMask*>(reflection->MutableMessage(request, update.mask_field));
  const bool by_fields = mask->paths().empty();
  if (by_fields) FillMask(resource, mask);
  const std::string resource_path = update.resource_field->name();
  const FieldDescriptor* name = resource.GetDescriptor()->FindFieldByName("name");
  if (name != nullptr && reflection->HasField(*request, update.resource_field) &&
      !IsSet(resource, *name)) {
    violations.Add(Join(resource_path, "name"), "is required");
  }
  if (mask->paths().empty()) violations.Add("update_mask", "names nothing that shall change");
  for (const std::string& path : mask->paths()) {
    const FieldDescriptor* leaf = nullptr;
    if (std::string problem = MaskProblem(*resource.GetDescriptor(), path, &leaf);
        !problem.empty()) {
      violations.Add(by_fields ? Join(resource_path, path) : "update_mask", problem);
    } else if (leaf->options().GetExtension(v1::required) && !absl::StrContains(path, '.') &&
               !IsSet(resource, *leaf)) {
      violations.Add(Join(resource_path, path), "is required");
    }
  }
}

}  // namespace

absl::Status CheckRequest(Message* request) {
  ClearOutputOnly(request);
  const Update update = FindUpdate(*request->GetDescriptor());
  const Message* resource = nullptr;
  if (update.resource_field != nullptr &&
      request->GetReflection()->HasField(*request, update.resource_field)) {
    resource = &request->GetReflection()->GetMessage(*request, update.resource_field);
  }
  Checker checker(resource);
  checker.Check(*request, "");
  if (resource != nullptr) CheckUpdate(update, request, checker.violations());
  return checker.violations().ToStatus();
}

}  // namespace drover::api
