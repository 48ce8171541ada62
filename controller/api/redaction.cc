#include "controller/api/redaction.h"

#include <google/protobuf/any.pb.h>
#include <google/protobuf/util/json_util.h>

#include <memory>
#include <set>
#include <vector>

#include "absl/base/attributes.h"
#include "absl/container/flat_hash_map.h"
#include "absl/strings/str_cat.h"
#include "absl/synchronization/mutex.h"
#include "drover/v1/options.pb.h"
#include "proto/support/contract.h"

namespace drover::api {
namespace {

using google::protobuf::Any;
using google::protobuf::Descriptor;
using google::protobuf::DescriptorPool;
using google::protobuf::FieldDescriptor;
using google::protobuf::Message;
using google::protobuf::Reflection;

constexpr size_t kMaxLogText = 4096;

bool FindSecret(const Descriptor& type, std::set<const Descriptor*>& seen) {
  if (&type == Any::descriptor()) return true;
  if (!seen.insert(&type).second) return false;
  for (int i = 0; i < type.field_count(); ++i) {
    const FieldDescriptor& field = *type.field(i);
    if (field.options().GetExtension(v1::secret)) return true;
    if (field.message_type() != nullptr && FindSecret(*field.message_type(), seen)) return true;
  }
  return false;
}

void RedactAny(Any* any) {
  const size_t slash = any->type_url().rfind('/');
  const Descriptor* type = slash == std::string::npos
                               ? nullptr
                               : DescriptorPool::generated_pool()->FindMessageTypeByName(
                                     any->type_url().substr(slash + 1));
  if (type == nullptr) return any->Clear();
  if (!MayHoldSecrets(*type)) return;
  const std::unique_ptr<Message> content = NewMessage(*type);
  if (!content->ParseFromString(any->value())) return any->Clear();
  Redact(content.get());
  content->SerializeToString(any->mutable_value());
}

}  // namespace

// Types are few, messages many: each is looked at once.
bool MayHoldSecrets(const Descriptor& type) {
  ABSL_CONST_INIT static absl::Mutex mutex(absl::kConstInit);
  static auto* const known = new absl::flat_hash_map<const Descriptor*, bool>();
  {
    absl::ReaderMutexLock lock(&mutex);
    if (const auto it = known->find(&type); it != known->end()) return it->second;
  }
  std::set<const Descriptor*> seen;
  const bool may = FindSecret(type, seen);
  absl::MutexLock lock(&mutex);
  known->emplace(&type, may);
  return may;
}

void Redact(Message* message) {
  if (message->GetDescriptor() == Any::descriptor()) return RedactAny(static_cast<Any*>(message));
  const Reflection* reflection = message->GetReflection();
  std::vector<const FieldDescriptor*> fields;
  reflection->ListFields(*message, &fields);
  for (const FieldDescriptor* field : fields) {
    if (field->options().GetExtension(v1::secret)) {
      reflection->ClearField(message, field);
    } else if (field->message_type() == nullptr || field->is_map() ||
               !MayHoldSecrets(*field->message_type())) {
      continue;
    } else if (!field->is_repeated()) {
      Redact(reflection->MutableMessage(message, field));
    } else {
      for (int i = 0; i < reflection->FieldSize(*message, field); ++i) {
        Redact(reflection->MutableRepeatedMessage(message, field, i));
      }
    }
  }
}

std::string LogText(const Message& request) {
  std::unique_ptr<Message> copy(request.New());
  copy->CopyFrom(request);
  Redact(copy.get());
  std::string json;
  if (!google::protobuf::util::MessageToJsonString(*copy, &json).ok()) {
    return absl::StrCat("(", request.GetDescriptor()->name(), " that cannot be shown)");
  }
  if (json.size() <= kMaxLogText) return json;
  size_t end = kMaxLogText;
  // Not within a character.
  while (end > 0 && (static_cast<unsigned char>(json[end]) & 0xc0) == 0x80) --end;
  return absl::StrCat(json.substr(0, end), "...");
}

}  // namespace drover::api
