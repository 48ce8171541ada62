// Version of this build of the agent.
#pragma once

namespace drover::agent {

inline constexpr char kVersion[] = DROVER_VERSION;

}  // namespace drover::agent
