// The agent as a whole: makes the parts, ties them together, runs until it is told to end.
//
// Thread promise: made, run and destroyed on one thread; Stop from any. Ownership: all parts; the
// configuration is a copy. Survives a restart: what is in the state directory, told by each part;
// the README lists it.
#pragma once

#include <memory>

#include "absl/status/statusor.h"
#include "agent/command_runner.h"
#include "agent/config.h"
#include "agent/config_orders.h"
#include "agent/controller_link.h"
#include "agent/event_loop.h"
#include "agent/identity.h"
#include "agent/link_wire.h"
#include "agent/network_change.h"
#include "agent/network_system.h"
#include "agent/outbox.h"
#include "agent/owner_mails.h"
#include "agent/supervisor.h"
#include "agent/svn_client.h"

namespace drover::agent {

class Agent {
 public:
  // Takes up what the state directory holds; services are supervised from here on, with or without
  // a controller. Errors: a state directory that cannot be used. The loop outlives the agent.
  static absl::StatusOr<std::unique_ptr<Agent>> Make(EventLoop* loop, const Config& config);
  ~Agent();

  // Everything must begin anew: the machine was enrolled as another VM. The loop was stopped; make
  // another agent.
  bool must_begin_anew() const { return must_begin_anew_; }

  const ControllerLink& link() const { return *link_; }
  const Supervisor& supervisor() const { return *supervisor_; }
  const Outbox& outbox() const { return *outbox_; }

 private:
  Agent(EventLoop* loop, AgentIdentity identity) : loop_(loop), identity_(std::move(identity)) {}
  absl::Status MakeParts(const Config& config, const MachineFacts& machine);
  void RegisterOrders();

  EventLoop* const loop_;
  AgentIdentity identity_;
  bool must_begin_anew_ = false;
  std::unique_ptr<Outbox> outbox_;
  std::unique_ptr<OwnerMails> owner_mails_;
  std::unique_ptr<Supervisor> supervisor_;
  // The works of the command runner use it.
  std::unique_ptr<SvnClient> svn_;
  std::unique_ptr<CommandRunner> commands_;
  std::unique_ptr<NetworkSystem> network_;
  std::unique_ptr<NetworkChange> network_change_;
  std::unique_ptr<ConfigOrders> config_orders_;
  std::unique_ptr<LinkWire> wire_;
  std::unique_ptr<ControllerLink> link_;
};

}  // namespace drover::agent
