// Code upgrades: working copies, rollouts, automatic upgrade.
#include "cli/call.h"
#include "cli/commands.h"
#include "drover/v1/upgrade.pb.h"
#include "proto/support/status.h"

namespace drover::cli {
namespace {

// A rollout is followed as the operation it is.
absl::Status StartAndWait(Invocation& invocation, v1::StartRolloutRequest& request) {
  v1::Rollout rollout;
  DROVER_RETURN_IF_ERROR(invocation.client.Call("UpgradeService/StartRollout", request, &rollout));
  return FinishOperation(invocation, rollout.operation());
}

absl::Status StartRollout(Invocation& invocation) {
  v1::StartRolloutRequest request;
  DROVER_RETURN_IF_ERROR(FillRequest(invocation, &request));
  return StartAndWait(invocation, request);
}

absl::Status RollBack(Invocation& invocation) {
  v1::StartRolloutRequest request;
  DROVER_RETURN_IF_ERROR(FillRequest(invocation, &request));
  if (request.spec().to_case() == v1::RolloutSpec::TO_NOT_SET) {
    request.mutable_spec()->set_previous(true);
  }
  return StartAndWait(invocation, request);
}

absl::Status WatchRollout(Invocation& invocation) {
  v1::GetRolloutRequest request;
  DROVER_RETURN_IF_ERROR(FillRequest(invocation, &request));
  v1::Rollout rollout;
  DROVER_RETURN_IF_ERROR(invocation.client.Call("UpgradeService/GetRollout", request, &rollout));
  return FinishOperation(invocation, rollout.operation());
}

template <bool enabled>
absl::Status SetAutomatic(Invocation& invocation) {
  v1::SetAutomaticUpgradeRequest request;
  DROVER_RETURN_IF_ERROR(FillRequest(invocation, &request));
  request.mutable_automatic_upgrade()->set_enabled(enabled);
  return CallAndShow(invocation, &request);
}

// How carefully; `base` is where the limits are in the request.
std::vector<Flag> LimitFlags(const std::string& base) {
  return {
      {.name = "canaries",
       .field = base + ".canaries",
       .help = "VMs that go first; none of them may fail",
       .value = "N"},
      {.name = "wave",
       .field = base + ".wave_size",
       .help = "VMs that go at a time; 10 without",
       .value = "N"},
      {.name = "max-failures",
       .field = base + ".max_failures",
       .help = "no further wave when more VMs than this failed",
       .value = "N"},
      {.name = "max-failure-percent",
       .field = base + ".max_failure_percent",
       .help = "the same as a share of all VMs",
       .value = "PERCENT"},
      {.name = "max-unreachable",
       .field = base + ".max_unreachable",
       .help = "no further wave when more VMs than this are out of reach",
       .value = "N"},
      {.name = "health",
       .field = base + ".health_seconds",
       .help = "how long services must stay up; 10s without",
       .value = "TIME"},
      {.name = "local-edits",
       .field = base + ".local_edits",
       .help = "what becomes of files edited in place; refuse without"},
      {.name = "keep-failed",
       .field = base + ".keep_failed",
       .help = "leave VMs that failed as they are, instead of taking them back"},
      {.name = "deadline",
       .field = base + ".deadline_seconds",
       .help = "how long one VM's update may take; 10m without",
       .value = "TIME"},
  };
}

std::vector<Flag> SpecFlags(bool with_head) {
  std::vector<Flag> flags = {
      {.name = "env",
       .field = "spec.environment",
       .help = "all VMs of this environment, instead of a list",
       .letter = 'e',
       .value = "ENV"},
      {.name = "type",
       .field = "spec.type",
       .help = "of this type",
       .letter = 't',
       .value = "TYPE"},
      {.name = "copy",
       .field = "spec.working_copies",
       .help = "this working copy of the type; all without",
       .value = "ID"},
      {.name = "revision",
       .field = "spec.revision",
       .help = "to this revision",
       .letter = 'r',
       .value = "N"},
  };
  if (with_head) {
    flags.push_back({.name = "head", .field = "spec.head", .help = "to the newest revision"});
  }
  for (Flag& flag : LimitFlags("spec")) flags.push_back(std::move(flag));
  return flags;
}

}  // namespace

std::vector<Command> UpgradeCommands() {
  const Flag vms = {.name = "VM", .field = "spec.vms", .help = "VMs, or globs of their names"};
  const Flag rollout = {.name = "ROLLOUT",
                        .field = "name",
                        .help = "rollout, as start and list tell it",
                        .required = true};
  std::vector<Flag> plan_flags = SpecFlags(true);
  plan_flags.push_back(
      {.name = "previous", .field = "spec.previous", .help = "to the revision each VM had before"});
  std::vector<Flag> automatic = LimitFlags("automatic_upgrade.limits");
  const std::vector<Flag> which = {
      {.name = "ENV",
       .field = "automatic_upgrade.environment",
       .help = "environment",
       .required = true},
      {.name = "TYPE", .field = "automatic_upgrade.type", .help = "type", .required = true}};
  return {
      {.path = "upgrade list",
       .summary = "List working copies with their revisions and local edits, as last read.",
       .method = "UpgradeService/ListWorkingCopies",
       .arguments = {{.name = "VM",
                      .field = "vms",
                      .help = "VMs, or globs of their names; all without"}},
       .flags = {{.name = "env",
                  .field = "environments",
                  .help = "of this environment",
                  .letter = 'e',
                  .value = "ENV"},
                 {.name = "type",
                  .field = "types",
                  .help = "of this type",
                  .letter = 't',
                  .value = "TYPE"}},
       .examples = {"drover upgrade list --env shop --type web"}},
      {.path = "upgrade plan",
       .summary = "Show what an upgrade would do: waves, revisions, local edits, the log between.",
       .method = "UpgradeService/PlanRollout",
       .arguments = {vms},
       .flags = std::move(plan_flags),
       .examples = {"drover upgrade plan --env shop --type web --head --canaries 1 --wave 20"}},
      {.path = "upgrade start",
       .summary = "Upgrade VMs in waves; a VM whose services do not stay up goes back by itself.",
       .method = "UpgradeService/StartRollout",
       .arguments = {vms},
       .flags = SpecFlags(true),
       .examples = {"drover upgrade start --env shop --type web --head --canaries 1 --wave 20",
                    "drover upgrade start web-01 web-02 --revision 4711"},
       .notes = "Failed VMs are tried again, from the step that failed, by: drover operation "
                "continue ROLLOUT",
       .run = StartRollout,
       .waits = true},
      {.path = "upgrade rollback",
       .summary = "Take VMs back to the revision each had before, or to a named one, in waves.",
       .method = "UpgradeService/StartRollout",
       .arguments = {vms},
       .flags = SpecFlags(false),
       .examples = {"drover upgrade rollback --env shop --type web --wave 50"},
       .run = RollBack,
       .waits = true},
      {.path = "upgrade rollouts",
       .summary = "List upgrades, newest first.",
       .method = "UpgradeService/ListRollouts"},
      {.path = "upgrade show",
       .summary = "Show an upgrade: its limits, wave, and how each VM fares.",
       .method = "UpgradeService/GetRollout",
       .arguments = {rollout}},
      {.path = "upgrade watch",
       .summary = "Follow an upgrade to its end; the exit code tells how it went.",
       .method = "UpgradeService/GetRollout",
       .arguments = {rollout},
       .run = WatchRollout,
       .waits = true},
      {.path = "upgrade pause",
       .summary = "Begin no more VMs until it is resumed; those under way go on.",
       .method = "UpgradeService/PauseRollout",
       .arguments = {rollout},
       .done = "Paused {}."},
      {.path = "upgrade resume",
       .summary = "Go on with a paused upgrade.",
       .method = "UpgradeService/ResumeRollout",
       .arguments = {rollout},
       .done = "Resumed {}."},
      {.path = "upgrade cancel",
       .summary = "End an upgrade; VMs under way go back.",
       .method = "UpgradeService/CancelRollout",
       .arguments = {rollout},
       .flags = {{.name = "return-touched",
                  .field = "return_touched",
                  .help = "take those back, too, that have been upgraded"}},
       .done = "Cancelled {}."},
      {.path = "upgrade auto",
       .summary = "List the automatic upgrades.",
       .method = "UpgradeService/ListAutomaticUpgrades"},
      {.path = "upgrade auto-on",
       .summary = "Upgrade a type in an environment whenever something is committed.",
       .method = "UpgradeService/SetAutomaticUpgrade",
       .arguments = which,
       .flags = std::move(automatic),
       .examples = {"drover upgrade auto-on shop web --canaries 1 --wave 20"},
       .run = SetAutomatic<true>},
      {.path = "upgrade auto-off",
       .summary = "Upgrade it on order alone.",
       .method = "UpgradeService/SetAutomaticUpgrade",
       .arguments = which,
       .run = SetAutomatic<false>},
  };
}

}  // namespace drover::cli
