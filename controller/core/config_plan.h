// A profile with its choices, worked out: whom to ask from where, and what to write on each VM.
//
// Thread promise: pure functions over the inventory of the moment.
#pragma once

#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "controller/core/config_records.pb.h"
#include "controller/core/inventory.h"
#include "drover/agent/v1/agent_link.pb.h"
#include "drover/v1/config.pb.h"

namespace drover::core {

// One question: the dependency on its VM, asked from another.
struct ConfigProbe {
  std::string dependency;
  drover::v1::Vm vm;
  drover::v1::Vm from;
  drover::agent::v1::ProbeDependency order;
};

// What one VM gets. Files that play several roles are edited once, by all of them.
struct ConfigTarget {
  drover::v1::Vm vm;
  std::vector<drover::agent::v1::FileEdits> files;
  std::vector<std::string> restart_services;
  int health_seconds = 0;
  // So long restarting its services may take, twice: with the new files and with the old ones.
  int restart_seconds = 0;
};

struct ConfigWork {
  // A dependency is asked from its own VM and from those whose edits refer to it; from all of them
  // when no edit does.
  std::vector<ConfigProbe> probes;
  // By name.
  std::vector<ConfigTarget> targets;
};

// INVALID_ARGUMENT with all problems of the choices, fields below "configuration": a dependency
// without a VM or with one of another type or without an address, roles the profile does not have,
// VMs of another environment, types without the role's files or services. Without VMs for any role
// it is only good for a check: an error when `needs_roles`.
absl::StatusOr<ConfigWork> WorkOut(const drover::v1::Configuration& configuration,
                                   const drover::v1::Profile& profile, const Inventory& inventory,
                                   bool needs_roles);

// Identifies files, their contents before and after, restarts, choices and profile.
std::string DigestOf(const drover::v1::Configuration& configuration,
                     const drover::v1::Profile& profile,
                     const std::vector<std::string>& files_and_restarts);

// "from shop-web-01", "FILE" ...: the names of people for a check that failed.
std::string DescribeCheck(const drover::v1::DependencyCheck& check);

}  // namespace drover::core
