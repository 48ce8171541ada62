// The Clock port over the machine's clock.
//
// Thread promise: all methods from any thread.
#pragma once

#include "controller/core/ports.h"

namespace drover {

class SystemClock final : public core::Clock {
 public:
  absl::Time Now() const override;
  // A step of the machine's clock neither lengthens nor shortens it.
  absl::Status Sleep(absl::Duration duration, std::stop_token stop) override;
};

}  // namespace drover
