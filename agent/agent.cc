#include "agent/agent.h"

#include <random>
#include <utility>

#include "agent/dependency_probe.h"
#include "agent/grpc_wire.h"
#include "agent/health_watch.h"
#include "agent/version.h"
#include "proto/support/status.h"

namespace drover::agent {

absl::StatusOr<std::unique_ptr<Agent>> Agent::Make(EventLoop* loop, const Config& config) {
  const MachineFacts machine = ReadMachine(config.bios_uuid);
  DROVER_ASSIGN_OR_RETURN(AgentIdentity identity, AgentIdentity::Open(config, machine));
  std::unique_ptr<Agent> agent(new Agent(loop, std::move(identity)));
  DROVER_RETURN_IF_ERROR(agent->MakeParts(config, machine));
  return agent;
}

Agent::~Agent() {
  // The wire first: nothing may come in while the rest goes.
  wire_.reset();
}

absl::Status Agent::MakeParts(const Config& config, const MachineFacts& machine) {
  DROVER_ASSIGN_OR_RETURN(outbox_,
                          Outbox::Open(config.state_directory + "/outbox.log", &loop_->clock()));
  v1::AgentEvent started;
  started.mutable_agent_started()->set_version(kVersion);
  started.mutable_agent_started()->set_reason(identity_.first_since_boot() ? "boot" : "restart");
  outbox_->Add(std::move(started));
  // Before services are started: they shall read the files that are to be there.
  DROVER_ASSIGN_OR_RETURN(config_orders_,
                          ConfigOrders::Open(loop_, config.state_directory + "/config"));
  supervisor_ = std::make_unique<Supervisor>(
      loop_, Supervisor::Options{config.state_directory, machine.boot_id},
      Supervisor::Listener{.event =
                               [this](v1::AgentEvent event) {
                                 outbox_->Add(std::move(event));
                                 link_->EventsWait();
                               },
                           .status_changed = [this] { link_->StatusChanged(); }});
  DROVER_ASSIGN_OR_RETURN(commands_,
                          CommandRunner::Open(config.state_directory + "/inbox.log", loop_,
                                              supervisor_.get(), [this](v1::CommandUpdate update) {
                                                if (link_ != nullptr)
                                                  link_->Tell(std::move(update));
                                              }));
  NetworkChange::Parts network;
  network.loop = loop_;
  network_ = std::make_unique<LinuxNetwork>(loop_);
  network.system = network_.get();
  network.commands = commands_.get();
  network.state_directory = config.state_directory;
  network.boot_id = machine.boot_id;
  network.connect_anew = [this] {
    if (link_ != nullptr) link_->ConnectAnew();
  };
  network.urgent = [this](bool urgent) {
    if (link_ != nullptr) link_->SetUrgent(urgent);
  };
  network.tell = [this](v1::AgentEvent event) {
    outbox_->Add(std::move(event));
    if (link_ != nullptr) link_->EventsWait();
  };
  network_change_ = std::make_unique<NetworkChange>(std::move(network));
  svn_ = std::make_unique<SvnClient>(loop_, config.state_directory);
  config_orders_->Begin(ConfigOrders::ServicesOf(supervisor_.get()));
  RegisterOrders();
  DROVER_ASSIGN_OR_RETURN(owner_mails_,
                          OwnerMails::Open(config.state_directory + "/owner-mails.state", loop_,
                                           outbox_.get(), [this](v1::AgentEvent event) {
                                             outbox_->Add(std::move(event));
                                             link_->EventsWait();
                                           }));
  wire_ = std::make_unique<GrpcWire>(loop_, config.controller);
  ControllerLink::Parts parts;
  parts.loop = loop_;
  parts.wire = wire_.get();
  parts.identity = &identity_;
  parts.outbox = outbox_.get();
  parts.supervisor = supervisor_.get();
  parts.commands = commands_.get();
  parts.os_version = machine.os_version;
  parts.boot_id = machine.boot_id;
  parts.random = [engine = std::mt19937_64(std::random_device{}())]() mutable {
    return std::uniform_real_distribution<double>(0, 1)(engine);
  };
  parts.link_changed = [this](bool established) { owner_mails_->LinkIs(established); };
  parts.desired_applied = [this](const v1::DesiredState& desired) {
    owner_mails_->Configure(desired.mail_fallback());
  };
  parts.begin_anew = [this] {
    must_begin_anew_ = true;
    loop_->Stop();
  };
  parts.welcomed = [this] { network_change_->LinkEstablished(); };
  link_ = std::make_unique<ControllerLink>(std::move(parts));
  link_->SetUrgent(!network_change_->idle());
  link_->Start();
  return absl::OkStatus();
}

// All of these ask "is it already so?" or change nothing, and may be begun again.
void Agent::RegisterOrders() {
  using v1::Command;
  commands_->Register(Command::kReadWorkingCopies, AfterInterruption::kRepeat,
                      [this](const Command& command, OrderVoice voice) {
                        return svn_->Read(command.read_working_copies(), std::move(voice));
                      });
  commands_->Register(Command::kReadRevisions, AfterInterruption::kRepeat,
                      [this](const Command& command, OrderVoice voice) {
                        return svn_->ReadRevisions(command.read_revisions(), std::move(voice));
                      });
  commands_->Register(Command::kUpdateWorkingCopies, AfterInterruption::kRepeat,
                      [this](const Command& command, OrderVoice voice) {
                        return svn_->Update(command.update_working_copies(), std::move(voice));
                      });
  commands_->Register(Command::kWatchHealth, AfterInterruption::kRepeat,
                      [this](const Command& command, OrderVoice voice) {
                        return HealthWatch::Start(
                            loop_, [this] { return supervisor_->Statuses(); },
                            command.watch_health(), std::move(voice));
                      });
  commands_->Register(v1::Command::kEditFiles, AfterInterruption::kRepeat,
                      [this](const v1::Command& command, OrderVoice voice) {
                        return config_orders_->Start(command, std::move(voice));
                      });
  commands_->Register(v1::Command::kProbeDependency, AfterInterruption::kRepeat,
                      [this](const v1::Command& command, OrderVoice voice) {
                        return DependencyProbe::Start(loop_, command.probe_dependency(),
                                                      std::move(voice));
                      });
}

}  // namespace drover::agent
