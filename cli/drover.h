// The program as a function: tests call it with words and a terminal of their own.
#pragma once

#include <string>
#include <vector>

#include "cli/command.h"
#include "cli/terminal.h"

namespace drover::cli {

// All commands, in the order of help.
const CommandTable& Commands();

// Runs one command line (without the program's name) and returns the exit code.
int RunDrover(const std::vector<std::string>& words, Terminal& terminal);

}  // namespace drover::cli
