// The public contract as descriptors: which services and methods there are, and new messages for
// them. Programs that call or serve by descriptor start here. Thread promise: pure functions over
// constant data.
#pragma once

#include <google/protobuf/descriptor.h>
#include <google/protobuf/message.h>

#include <memory>
#include <string>
#include <vector>

#include "absl/strings/string_view.h"
#include "drover/v1/options.pb.h"

namespace drover {

// All services of drover.v1. Naming them here also makes the linker keep every file of the
// contract.
const std::vector<const google::protobuf::ServiceDescriptor*>& PublicServices();

// "InventoryService/GetVm", with or without "/drover.v1." before it; nullptr when there is none.
const google::protobuf::MethodDescriptor* FindMethod(absl::string_view name);

// "/drover.v1.InventoryService/GetVm".
std::string MethodPath(const google::protobuf::MethodDescriptor& method);

const v1::MethodRule& RuleOf(const google::protobuf::MethodDescriptor& method);

// An empty message of a generated type.
std::unique_ptr<google::protobuf::Message> NewMessage(const google::protobuf::Descriptor& type);

}  // namespace drover
