#include "controller/core/guest_setup.h"

#include <fstream>
#include <iterator>
#include <utility>
#include <vector>

#include "absl/strings/ascii.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "absl/strings/strip.h"
#include "controller/core/guest_scripts.h"
#include "proto/support/resource_name.h"
#include "proto/support/status.h"

namespace drover::core {
namespace {

using drover::v1::Vm;

constexpr char kShell[] = "/bin/sh";
constexpr char kProgram[] = "/usr/local/sbin/drover-agent";
constexpr char kNewProgram[] = "/usr/local/sbin/drover-agent.new";
constexpr char kAuthority[] = "/etc/drover/authority.pem";
constexpr char kToken[] = "/etc/drover/enrolment-token";
constexpr char kConfig[] = "/etc/drover/agent.toml";
constexpr absl::Duration kPoll = absl::Milliseconds(250);
constexpr absl::Duration kPingPatience = absl::Seconds(1);
constexpr size_t kOutputShown = 400;
// Tools that run are there at once.
constexpr absl::Duration kToolsNow = absl::Seconds(10);

// For what must be cleared away even when the step was stopped.
class Unstoppable : public StepContext {
 public:
  void Report(int, absl::string_view) override {}
  absl::Status Remember(absl::string_view, absl::string_view) override { return absl::OkStatus(); }
  std::string Recall(absl::string_view) override { return ""; }
  std::stop_token stop() const override { return {}; }
};

std::string FileFor(const Vm& vm, absl::string_view what) {
  return absl::StrCat("/run/drover-", vm.uid(), ".", what);
}

absl::string_view Tail(absl::string_view text) {
  text = absl::StripAsciiWhitespace(text);
  return text.size() > kOutputShown ? text.substr(text.size() - kOutputShown) : text;
}

}  // namespace

absl::StatusOr<GuestSetup::Guest> GuestSetup::Open(absl::string_view vm_name) const {
  Guest guest;
  DROVER_ASSIGN_OR_RETURN(guest.placed, FindPlacedVm(*world_, vm_name));
  DROVER_ASSIGN_OR_RETURN(guest.login, world_->inventory->GuestLoginOf(vm_name));
  return guest;
}

absl::Status GuestSetup::RunCommand(const Guest& guest, absl::string_view what,
                                    absl::string_view command, StepContext& context) const {
  Hypervisor& host = *guest.placed.host;
  const std::string output = FileFor(guest.placed.vm, "log");
  DROVER_ASSIGN_OR_RETURN(const int code, host.RunInGuest(guest.object(), guest.login, kShell,
                                                          ShellArguments(command, output),
                                                          options_.script_patience, context));
  if (code == 0) return absl::OkStatus();
  const absl::StatusOr<std::string> text =
      host.ReadGuestFile(guest.object(), guest.login, output, context);
  RemoveFile(guest, output);
  return MakeError(absl::StatusCode::kFailedPrecondition, "GUEST_COMMAND_FAILED",
                   absl::StrCat(what, " ended with exit code ", code, " in the guest: ",
                                text.ok() ? Tail(*text) : "its output cannot be read"));
}

absl::Status GuestSetup::RunScript(const Guest& guest, absl::string_view what,
                                   absl::string_view script, StepContext& context) const {
  const std::string path = FileFor(guest.placed.vm, "sh");
  DROVER_RETURN_IF_ERROR(
      guest.placed.host->WriteGuestFile(guest.object(), guest.login, path, script, 0600, context));
  return RunCommand(
      guest, what,
      absl::StrCat(kShell, " ", path, "; code=$?; rm -f ", path, "; [ $code != 0 ] || rm -f ",
                   FileFor(guest.placed.vm, "log"), "; exit $code"),
      context);
}

void GuestSetup::RemoveFile(const Guest& guest, absl::string_view path) const {
  Unstoppable context;
  (void)guest.placed.host->RunInGuest(
      guest.object(), guest.login, kShell,
      absl::StrCat("-c ", ShellQuoted(absl::StrCat("rm -f ", path))), absl::Seconds(10), context);
}

absl::Status GuestSetup::AwaitTools(absl::string_view vm_name, StepContext& context) const {
  DROVER_ASSIGN_OR_RETURN(const PlacedVm placed, FindPlacedVm(*world_, vm_name));
  return placed.host->WaitForTools(placed.vm.hypervisor_object(), options_.tools_patience, context);
}

absl::Status GuestSetup::SetPassword(absl::string_view vm_name, absl::string_view password,
                                     StepContext& context) const {
  DROVER_ASSIGN_OR_RETURN(const Guest guest, Open(vm_name));
  GuestLogin fresh = guest.login;
  fresh.set_password(std::string(password));
  if (!context.Recall("began").empty()) {
    const absl::Status already = guest.placed.host->CheckGuestLogin(guest.object(), fresh);
    if (already.ok()) return world_->inventory->SetGuestPassword(vm_name, password);
    if (!HasReason(already, "GUEST_LOGIN_REFUSED")) return already;
  }
  DROVER_RETURN_IF_ERROR(context.Remember("began", "yes"));
  const absl::Status set = FeedPassword(guest, guest.login.user(), password, context);
  // Once it is changed, the old password may not even ask how the command ended.
  const bool changed = set.ok() || (HasReason(set, "GUEST_LOGIN_REFUSED") &&
                                    guest.placed.host->CheckGuestLogin(guest.object(), fresh).ok());
  if (!changed) {
    RemoveFile(guest, FileFor(guest.placed.vm, "password"));
    return set;
  }
  return world_->inventory->SetGuestPassword(vm_name, password);
}

// To chpasswd, by a file that only root may read.
absl::Status GuestSetup::FeedPassword(const Guest& guest, absl::string_view account,
                                      absl::string_view password, StepContext& context) const {
  const std::string path = FileFor(guest.placed.vm, "password");
  DROVER_RETURN_IF_ERROR(
      guest.placed.host->WriteGuestFile(guest.object(), guest.login, path,
                                        absl::StrCat(account, ":", password, "\n"), 0600, context));
  return RunCommand(guest, "setting the password",
                    absl::StrCat("chpasswd <", path, "; code=$?; rm -f ", path, " ",
                                 FileFor(guest.placed.vm, "log"), "; exit $code"),
                    context);
}

absl::Status GuestSetup::SetPasswordOf(absl::string_view vm_name, absl::string_view account,
                                       absl::string_view password, StepContext& context) const {
  DROVER_ASSIGN_OR_RETURN(const Guest guest, Open(vm_name));
  const absl::Status set = FeedPassword(guest, account, password, context);
  if (!set.ok()) RemoveFile(guest, FileFor(guest.placed.vm, "password"));
  return set;
}

absl::Status GuestSetup::SetNetwork(absl::string_view vm_name, StepContext& context) const {
  DROVER_ASSIGN_OR_RETURN(const Vm vm, world_->inventory->GetVm(vm_name));
  return SetNetworkTo(vm_name, vm.network(), context);
}

absl::Status GuestSetup::SetNetworkTo(absl::string_view vm_name,
                                      const drover::v1::NetworkSettings& network,
                                      StepContext& context) const {
  DROVER_ASSIGN_OR_RETURN(const Guest guest, Open(vm_name));
  return RunScript(guest, "setting the network",
                   NetworkScript(IdOf(guest.placed.vm.name()), network), context);
}

absl::StatusOr<GuestView> GuestSetup::Look(absl::string_view vm_name, StepContext& context) const {
  DROVER_ASSIGN_OR_RETURN(const Guest guest, Open(vm_name));
  const absl::Status tools = guest.placed.host->WaitForTools(guest.object(), kToolsNow, context);
  if (HasReason(tools, "TOOLS_NOT_RUNNING")) {
    return MakeError(absl::StatusCode::kFailedPrecondition, "TOOLS_NOT_RUNNING",
                     absl::StrCat("VMware Tools do not run in ", IdOf(vm_name),
                                  ": it can be reached neither by its agent nor by them; is it "
                                  "powered on, and are open-vm-tools installed?"));
  }
  DROVER_RETURN_IF_ERROR(tools);
  const std::string script = FileFor(guest.placed.vm, "sh");
  const std::string output = FileFor(guest.placed.vm, "view");
  DROVER_RETURN_IF_ERROR(guest.placed.host->WriteGuestFile(guest.object(), guest.login, script,
                                                           LookScript(), 0600, context));
  const absl::StatusOr<int> code = guest.placed.host->RunInGuest(
      guest.object(), guest.login, kShell,
      ShellArguments(absl::StrCat(kShell, " ", script, "; rm -f ", script), output),
      options_.script_patience, context);
  DROVER_RETURN_IF_ERROR(code.status());
  absl::StatusOr<std::string> text =
      guest.placed.host->ReadGuestFile(guest.object(), guest.login, output, context);
  RemoveFile(guest, output);
  DROVER_RETURN_IF_ERROR(text.status());
  GuestView view;
  for (absl::string_view line : absl::StrSplit(*text, '\n')) {
    if (line == "program=yes") view.agent_installed = true;
    if (line == "running=yes") view.agent_runs = true;
    if (absl::ConsumePrefix(&line, "address=") && !line.empty()) view.addresses.emplace_back(line);
  }
  view.text = *std::move(text);
  return view;
}

absl::Status GuestSetup::RestartAgent(absl::string_view vm_name, StepContext& context) const {
  DROVER_ASSIGN_OR_RETURN(const Guest guest, Open(vm_name));
  // Setting up replaces an agent that is older than its configuration.
  return RunCommand(guest, "starting the agent",
                    absl::StrCat("touch ", kConfig, " && ", kProgram, " setup --config ", kConfig,
                                 " && rm -f ", FileFor(guest.placed.vm, "log")),
                    context);
}

absl::StatusOr<std::shared_ptr<const std::string>> GuestSetup::AgentProgram() {
  absl::MutexLock lock(&mutex_);
  if (program_ != nullptr) return program_;
  std::ifstream file(options_.agent_program, std::ios::binary);
  std::string text{std::istreambuf_iterator<char>(file), std::istreambuf_iterator<char>()};
  if (!file || text.empty()) {
    return MakeError(
        absl::StatusCode::kFailedPrecondition, "AGENT_PROGRAM_MISSING",
        absl::StrCat("the controller cannot read the agent's program ", options_.agent_program));
  }
  program_ = std::make_shared<const std::string>(std::move(text));
  return program_;
}

absl::Status GuestSetup::InstallAgent(absl::string_view vm_name, StepContext& context) {
  DROVER_ASSIGN_OR_RETURN(const std::shared_ptr<const std::string> program, AgentProgram());
  DROVER_ASSIGN_OR_RETURN(const Guest guest, Open(vm_name));
  const Vm& vm = guest.placed.vm;
  DROVER_ASSIGN_OR_RETURN(
      const EnrolmentKit kit,
      world_->agents->NewEnrolmentKit(vm.uid(), vm.bios_uuid(), options_.token_valid));
  DROVER_RETURN_IF_ERROR(world_->inventory->ChangeVm(
      vm_name, [](Vm& its) { its.set_agent_state(drover::v1::AGENT_STATE_ENROLLING); }));
  Hypervisor& host = *guest.placed.host;
  DROVER_RETURN_IF_ERROR(RunCommand(
      guest, "making the agent's folders",
      absl::StrCat("umask 022; mkdir -p /etc/drover /usr/local/sbin && rm -f ", kNewProgram),
      context));
  struct File {
    const char* path;
    absl::string_view contents;
    int mode;
  };
  const std::string config = AgentConfig(kit, vm.bios_uuid());
  const std::vector<File> files = {{kNewProgram, *program, 0755},
                                   {kAuthority, kit.authority(), 0644},
                                   {kConfig, config, 0644},
                                   {kToken, kit.token(), 0600}};
  int sent = 0;
  for (const File& file : files) {
    context.Report(sent++ * 20, absl::StrCat("sending ", file.path));
    DROVER_RETURN_IF_ERROR(host.WriteGuestFile(guest.object(), guest.login, file.path,
                                               file.contents, file.mode, context));
  }
  context.Report(80, "starting the agent");
  return RunCommand(guest, "starting the agent",
                    absl::StrCat("mv -f ", kNewProgram, " ", kProgram, " && ", kProgram,
                                 " setup --config ", kConfig, " && rm -f ", FileFor(vm, "log")),
                    context);
}

absl::Status GuestSetup::AwaitAgent(absl::string_view vm_name, StepContext& context) const {
  DROVER_ASSIGN_OR_RETURN(const Vm vm, world_->inventory->GetVm(vm_name));
  const absl::Time deadline = world_->clock->Now() + options_.agent_patience;
  while (!world_->agents->IsConnected(vm.uid())) {
    if (world_->clock->Now() >= deadline) {
      return MakeError(
          absl::StatusCode::kDeadlineExceeded, "AGENT_NOT_CONNECTED",
          absl::StrCat("the agent was started, but did not connect within ",
                       absl::FormatDuration(options_.agent_patience),
                       "; check that the guest reaches the controller's agent address"));
    }
    context.Report(0, "waiting for the agent");
    DROVER_RETURN_IF_ERROR(world_->clock->Sleep(kPoll, context.stop()));
  }
  if (vm.network().ip().empty()) return absl::OkStatus();
  context.Report(80, "waiting for an answer to ping");
  return AwaitPing(vm, deadline, context);
}

absl::Status GuestSetup::AwaitPing(const Vm& vm, absl::Time deadline, StepContext& context) const {
  for (;;) {
    DROVER_ASSIGN_OR_RETURN(const std::vector<bool> answered,
                            world_->prober->Sweep({{vm.name(), vm.network().ip()}}, kPingPatience));
    if (!answered.empty() && answered.front()) return absl::OkStatus();
    if (world_->clock->Now() >= deadline) {
      return MakeError(absl::StatusCode::kDeadlineExceeded, "VM_NOT_REACHABLE",
                       absl::StrCat("the agent is connected, but ", vm.network().ip(),
                                    " does not answer pings"));
    }
    DROVER_RETURN_IF_ERROR(world_->clock->Sleep(kPoll, context.stop()));
  }
}

}  // namespace drover::core
