// The commands of each subject, as rows.
#pragma once

#include <vector>

#include "cli/command.h"

namespace drover::cli {

std::vector<Command> PeopleCommands();
std::vector<Command> InventoryCommands();
// Environments from documents: plan, apply, export; types from documents.
std::vector<Command> DocumentCommands();
std::vector<Command> GuestCommands();
// vm top, vm samples.
std::vector<Command> UsageCommands();
std::vector<Command> UpgradeCommands();
// Configurations; profiles from documents.
std::vector<Command> ConfigCommands();
std::vector<Command> ActivityCommands();
// doctor, debug bundle, mail test.
std::vector<Command> PlatformCommands();
// help, completion, version.
std::vector<Command> OwnCommands();

}  // namespace drover::cli
