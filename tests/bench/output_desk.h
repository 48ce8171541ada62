// What people look at while orders are carried out: an operation for each agent, whose log has the
// order's output, served by the controller's public API.
//
// Thread promise: one owner.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "controller/api/operation_service.h"
#include "controller/api/server.h"
#include "controller/core/agent_orders.h"
#include "controller/core/inventory.h"
#include "controller/core/operation_runner.h"

namespace drover {

class OutputDesk {
 public:
  struct Parts {
    core::Store* store = nullptr;
    core::Vault* vault = nullptr;
    core::Clock* clock = nullptr;
    core::Inventory* inventory = nullptr;
    core::CommandTracker* commands = nullptr;
    core::AgentGateway* agents = nullptr;
    // PEM files of the server.
    std::string certificate_file;
    std::string key_file;
  };
  // Ends the program when it cannot listen.
  explicit OutputDesk(const Parts& parts);
  ~OutputDesk();

  // Orders one no-op of each VM as one batch. The operations' names, one for each VM.
  std::vector<std::string> Order(const std::vector<std::string>& vms);
  // Of the public API; any token is an administrator's.
  int port() const { return server_->port(); }

 private:
  Parts parts_;
  core::AgentOrders orders_;
  core::OperationRunner runner_;
  api::OperationService service_;
  std::unique_ptr<api::CallLog> log_;
  std::unique_ptr<api::Dispatcher> dispatcher_;
  std::unique_ptr<api::Server> server_;
};

}  // namespace drover
