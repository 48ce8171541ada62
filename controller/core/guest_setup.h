// First contact with a guest, through VMware Tools: password, network, host name, agent (VM-3).
//
// Every part asks "is it already so?" or can be done again, and needs nothing but the VM's name:
// a controller that starts again goes on with it. A secret reaches the guest as a file of mode 0600
// below /run that the command which reads it removes; it is never an argument.
//
// Thread promise: all methods from any thread; they block. Owns the agent's program text.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/status/status.h"
#include "absl/strings/string_view.h"
#include "absl/synchronization/mutex.h"
#include "absl/time/time.h"
#include "controller/core/vm_world.h"

namespace drover::core {

struct GuestSetupOptions {
  // The agent's program on the controller's machine.
  std::string agent_program;
  // How long a guest may take to boot until its Tools run, and an agent until it is connected.
  absl::Duration tools_patience = absl::Minutes(10);
  absl::Duration agent_patience = absl::Minutes(3);
  absl::Duration script_patience = absl::Minutes(2);
  absl::Duration token_valid = absl::Hours(1);
};

// A guest as VMware Tools show it.
struct GuestView {
  bool agent_installed = false;
  bool agent_runs = false;
  // IPv4 addresses that are up.
  std::vector<std::string> addresses;
  // Cards, routes and the end of the agent's log, for people.
  std::string text;
};

class GuestSetup {
 public:
  GuestSetup(const VmWorld* world, GuestSetupOptions options)
      : world_(world), options_(std::move(options)) {}

  // DEADLINE_EXCEEDED, reason TOOLS_NOT_RUNNING.
  absl::Status AwaitTools(absl::string_view vm_name, StepContext& context) const;
  // Sets the guest account's password and keeps it, sealed. Safe at every point: until the new one
  // is kept, both are tried.
  absl::Status SetPassword(absl::string_view vm_name, absl::string_view password,
                           StepContext& context) const;
  // Of another account than the one used to get in; nothing is kept.
  absl::Status SetPasswordOf(absl::string_view vm_name, absl::string_view account,
                             absl::string_view password, StepContext& context) const;
  // As the inventory has it.
  absl::Status SetNetwork(absl::string_view vm_name, StepContext& context) const;
  absl::Status SetNetworkTo(absl::string_view vm_name, const drover::v1::NetworkSettings& network,
                            StepContext& context) const;
  // Looks inside, changes nothing. FAILED_PRECONDITION, reason TOOLS_NOT_RUNNING, when Tools are
  // not there within a moment.
  absl::StatusOr<GuestView> Look(absl::string_view vm_name, StepContext& context) const;
  // Starts the agent that is installed there anew.
  absl::Status RestartAgent(absl::string_view vm_name, StepContext& context) const;
  // FAILED_PRECONDITION, reason AGENT_PROGRAM_MISSING, when the controller has no agent to install.
  absl::Status InstallAgent(absl::string_view vm_name, StepContext& context);
  // Until the agent is connected and the VM answers pings. DEADLINE_EXCEEDED, reasons
  // AGENT_NOT_CONNECTED and VM_NOT_REACHABLE.
  absl::Status AwaitAgent(absl::string_view vm_name, StepContext& context) const;

 private:
  // A guest to work in.
  struct Guest {
    PlacedVm placed;
    GuestLogin login;
    const std::string& object() const { return placed.vm.hypervisor_object(); }
  };
  absl::StatusOr<Guest> Open(absl::string_view vm_name) const;
  // Runs a command line; when it does not end with 0, the error holds what it wrote.
  absl::Status RunCommand(const Guest& guest, absl::string_view what, absl::string_view command,
                          StepContext& context) const;
  absl::Status RunScript(const Guest& guest, absl::string_view what, absl::string_view script,
                         StepContext& context) const;
  absl::Status FeedPassword(const Guest& guest, absl::string_view account,
                            absl::string_view password, StepContext& context) const;
  void RemoveFile(const Guest& guest, absl::string_view path) const;
  absl::StatusOr<std::shared_ptr<const std::string>> AgentProgram();
  absl::Status AwaitPing(const drover::v1::Vm& vm, absl::Time deadline, StepContext& context) const;

  const VmWorld* const world_;
  const GuestSetupOptions options_;
  absl::Mutex mutex_;
  // Read once, shared by all that are being installed.
  std::shared_ptr<const std::string> program_ ABSL_GUARDED_BY(mutex_);
};

}  // namespace drover::core
