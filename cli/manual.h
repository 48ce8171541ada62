// The manual page drover(1), from the same table as the help. Thread promise: pure function.
#pragma once

#include <string>

#include "cli/command.h"

namespace drover::cli {

// In the macros of man(7); mandoc finds nothing to say about it.
std::string ManualPage(const CommandTable& table);

// What the program takes from the environment: name and meaning.
const std::vector<std::pair<std::string, std::string>>& EnvironmentVariables();

}  // namespace drover::cli
