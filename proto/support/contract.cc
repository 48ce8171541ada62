#include "proto/support/contract.h"

#include "absl/strings/str_cat.h"
#include "absl/strings/strip.h"
#include "drover/v1/activity.pb.h"
#include "drover/v1/config.pb.h"
#include "drover/v1/guest.pb.h"
#include "drover/v1/inventory.pb.h"
#include "drover/v1/people.pb.h"
#include "drover/v1/upgrade.pb.h"

namespace drover {

using google::protobuf::Descriptor;
using google::protobuf::Message;
using google::protobuf::MethodDescriptor;
using google::protobuf::ServiceDescriptor;

const std::vector<const ServiceDescriptor*>& PublicServices() {
  static const auto* const services = [] {
    auto* found = new std::vector<const ServiceDescriptor*>;
    for (const Descriptor* type :
         {v1::Vm::descriptor(), v1::ServiceOutput::descriptor(), v1::Rollout::descriptor(),
          v1::Profile::descriptor(), v1::Operation::descriptor(), v1::User::descriptor()}) {
      for (int i = 0; i < type->file()->service_count(); ++i) {
        found->push_back(type->file()->service(i));
      }
    }
    return found;
  }();
  return *services;
}

const MethodDescriptor* FindMethod(absl::string_view name) {
  absl::ConsumePrefix(&name, "/");
  absl::ConsumePrefix(&name, "drover.v1.");
  for (const ServiceDescriptor* service : PublicServices()) {
    absl::string_view rest = name;
    if (absl::ConsumePrefix(&rest, service->name()) && absl::ConsumePrefix(&rest, "/")) {
      return service->FindMethodByName(std::string(rest));
    }
  }
  return nullptr;
}

std::string MethodPath(const MethodDescriptor& method) {
  return absl::StrCat("/", method.service()->full_name(), "/", method.name());
}

const v1::MethodRule& RuleOf(const MethodDescriptor& method) {
  return method.options().GetExtension(v1::rule);
}

std::unique_ptr<Message> NewMessage(const Descriptor& type) {
  return std::unique_ptr<Message>(
      google::protobuf::MessageFactory::generated_factory()->GetPrototype(&type)->New());
}

}  // namespace drover
