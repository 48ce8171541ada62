// drover: the command line.
#include <stdlib.h>
#include <unistd.h>

#include <string>
#include <vector>

#include "absl/time/clock.h"
#include "cli/drover.h"

int main(int argc, char** argv) {
  // The library's own lines are not for people; what went wrong comes back as an error.
  setenv("GRPC_VERBOSITY", "NONE", 0);
  drover::cli::Terminal::Options options;
  for (char** entry = environ; *entry != nullptr; ++entry) {
    const std::string text = *entry;
    const size_t equals = text.find('=');
    if (equals != std::string::npos) options.env[text.substr(0, equals)] = text.substr(equals + 1);
  }
  options.now = absl::Now;
  drover::cli::Terminal terminal(options);
  return drover::cli::RunDrover(std::vector<std::string>(argv + 1, argv + argc), terminal);
}
