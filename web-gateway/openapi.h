// The contract as an OpenAPI 3.1 document, made from the descriptors. Thread promise: a pure
// function.
//
// A message is up to two schemas: "Vm" as it is answered, where what is always written is required,
// and "VmInput" as it is sent, without what only the server sets. Operations are named as their
// method; "x-drover-access" says who may call, "x-drover-log" that it is a change.
#pragma once

#include <string>

#include "absl/strings/string_view.h"
#include "web-gateway/route_table.h"

namespace drover::gateway {

std::string OpenApiDocument(const RouteTable& routes, absl::string_view version);

// "/v1/{name=vms/*}:watch" as OpenAPI writes it: "/v1/vms/{vm}:watch".
std::string OpenApiPath(const PathTemplate& path);

}  // namespace drover::gateway
