// Inside the VMs: services, network, password, the second door.
#include "absl/strings/str_cat.h"
#include "cli/call.h"
#include "cli/commands.h"
#include "drover/v1/guest.pb.h"
#include "proto/support/status.h"

namespace drover::cli {
namespace {

// The text itself, so that it can be piped.
absl::Status ShowOutput(Invocation& invocation) {
  v1::GetServiceOutputRequest request;
  DROVER_RETURN_IF_ERROR(FillRequest(invocation, &request));
  v1::ServiceOutput output;
  DROVER_RETURN_IF_ERROR(invocation.client.Call(invocation.command.method, request, &output));
  if (!invocation.shows_table()) {
    return PrintMessage(invocation.terminal, invocation.output, output);
  }
  if (output.truncated()) invocation.Tell("(the beginning is cut off)");
  const bool ends = output.text().empty() || output.text().back() == '\n';
  invocation.terminal.Print(absl::StrCat(output.text(), ends ? "" : "\n"));
  return absl::OkStatus();
}

// start, stop and restart are one call.
template <v1::ServiceAction action>
absl::Status Control(Invocation& invocation) {
  v1::ControlServicesRequest request;
  DROVER_RETURN_IF_ERROR(FillRequest(invocation, &request));
  request.set_action(action);
  return CallAndShow(invocation, &request);
}

Command ControlCommand(const char* verb, const char* summary, absl::Status (*run)(Invocation&)) {
  return {.path = absl::StrCat("service ", verb),
          .summary = summary,
          .method = "GuestService/ControlServices",
          .arguments = {{.name = "VM",
                         .field = "vms",
                         .help = "VMs, or globs of their names",
                         .required = true}},
          .flags = {{.name = "service",
                     .field = "services",
                     .help = "this service; all of each VM without",
                     .letter = 's',
                     .value = "NAME"},
                    {.name = "time-to-live",
                     .field = "time_to_live_seconds",
                     .help = "how long VMs that are offline may take to get it",
                     .value = "TIME"}},
          .examples = {absl::StrCat("drover service ", verb, " web-01 --service nginx"),
                       absl::StrCat("drover service ", verb, " 'shop-celery-*'")},
          .run = run};
}

}  // namespace

std::vector<Command> GuestCommands() {
  const Flag vm = {.name = "VM", .field = "name", .help = "VM", .required = true};
  return {
      {.path = "service list",
       .summary = "List the services of VMs as their agents last reported them.",
       .method = "GuestService/ListServices",
       .arguments = {{.name = "VM",
                      .field = "vms",
                      .help = "VMs, or globs of their names; all without"}},
       .flags = {{.name = "env",
                  .field = "environments",
                  .help = "of this environment",
                  .letter = 'e',
                  .value = "ENV"},
                 {.name = "state", .field = "states", .help = "in this state"}},
       .examples = {"drover service list --env shop", "drover service list --state given-up"}},
      ControlCommand("start", "Start services.", Control<v1::SERVICE_ACTION_START>),
      ControlCommand("stop", "Stop services; they stay stopped until they are started.",
                     Control<v1::SERVICE_ACTION_STOP>),
      ControlCommand("restart", "Restart services.", Control<v1::SERVICE_ACTION_RESTART>),
      {.path = "service output",
       .summary = "Show the last output of a service's start command.",
       .method = "GuestService/GetServiceOutput",
       .arguments = {{.name = "VM", .field = "vm", .help = "VM", .required = true},
                     {.name = "SERVICE", .field = "service", .help = "service", .required = true}},
       .run = ShowOutput},
      {.path = "vm set-network",
       .summary =
           "Change a VM's address; the old settings come back when it cannot be reached any more.",
       .method = "GuestService/SetVmNetwork",
       .arguments = {vm},
       .flags =
           {{.name = "ip", .field = "network.ip", .help = "address", .required = true},
            {.name = "netmask",
             .field = "network.netmask",
             .help = "e.g. 255.255.255.0",
             .required = true},
            {.name = "gateway",
             .field = "network.gateway",
             .help = "address of the gateway",
             .value = "IP"},
            {.name = "dns1", .field = "network.dns1", .help = "first name server", .value = "IP"},
            {.name = "dns2", .field = "network.dns2", .help = "second name server", .value = "IP"},
            {.name = "deadline",
             .field = "deadline_seconds",
             .help = "time within which it must be back; 60s without",
             .value = "TIME"}}},
      {.path = "vm set-password",
       .summary = "Set a guest account's password.",
       .method = "GuestService/SetVmPassword",
       .arguments = {vm},
       .flags = {{.name = "account",
                  .field = "account",
                  .help = "account in the guest; root without",
                  .value = "NAME"},
                 {.name = "password",
                  .field = "password",
                  .help = "new password",
                  .required = true,
                  .new_secret = true}}},
      {.path = "vm repair",
       .summary = "Repair a VM whose agent is silent, through VMware Tools.",
       .method = "GuestService/RepairVm",
       .arguments = {vm},
       .flags = {{.name = "reinstall-agent",
                  .field = "reinstall_agent",
                  .help = "push the agent again"},
                 {.name = "reapply-network",
                  .field = "reapply_network",
                  .help = "set the network again"}}},
  };
}

}  // namespace drover::cli
