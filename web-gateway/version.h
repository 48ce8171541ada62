// The version this was built as. Thread promise: a constant.
#pragma once

namespace drover::gateway {

inline constexpr char kVersion[] = DROVER_VERSION;

}  // namespace drover::gateway
