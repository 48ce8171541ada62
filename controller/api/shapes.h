// What the shapes of the contract (options.proto) mean, in one place. Thread promise: pure
// functions.
#pragma once

#include <string>

#include "absl/strings/string_view.h"
#include "drover/v1/options.pb.h"

namespace drover::api {

// "" when `text` has the shape, else what would be right: "must be a dotted IPv4 address, e.g.
// 10.0.0.5". `text` is not empty.
std::string ShapeProblem(drover::v1::Shape shape, absl::string_view text);

}  // namespace drover::api
