// A controller's core over a fake hypervisor, that can die and start again: real store, inventory,
// estate, log and runner.
#pragma once

#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "absl/synchronization/mutex.h"
#include "controller/core/command_tracker.h"
#include "controller/core/event_log.h"
#include "controller/core/guest_passwords.h"
#include "controller/core/guest_repair.h"
#include "controller/core/hypervisor_estate.h"
#include "controller/core/inventory.h"
#include "controller/core/network_operations.h"
#include "controller/core/operation_events.h"
#include "controller/core/operation_runner.h"
#include "controller/core/vm_operations.h"
#include "gtest/gtest.h"
#include "tests/testing/fake_agents.h"
#include "tests/testing/fake_hypervisor.h"
#include "tests/testing/faulty_store.h"
#include "tests/testing/test_store.h"

namespace drover::core {

class VmTestBench {
 public:
  static constexpr char kPassword[] = "canary-4711";

  VmTestBench();
  ~VmTestBench();

  // Everything that a process holds; the store and the world stay.
  void Start();
  void Stop();

  testing::TestStore& files() { return files_; }
  testing::FaultyStore& store() { return store_; }
  testing::FakeHypervisor& host() { return *host_; }
  testing::FakeAgentGateway& agents() { return agents_; }
  testing::FakeProber& prober() { return prober_; }
  Inventory& inventory() { return *inventory_; }
  HypervisorEstate& estate() { return *estate_; }
  CommandTracker& commands() { return *commands_; }
  OperationRunner& runner() { return *runner_; }
  VmOperations& operations() { return *operations_; }
  EventLog& events() { return *events_; }
  NetworkOperations& network() { return *network_; }
  GuestPasswords& passwords() { return *passwords_; }
  GuestRepair& repair() { return *repair_; }
  // How agents answer an order from now on; none = not at all. Each order has succeeded otherwise.
  using Answer = std::function<std::optional<CommandTracker::Update>(
      absl::string_view uid, const drover::agent::v1::Command& command)>;
  void AnswerOrders(Answer answer) {
    absl::MutexLock lock(&mutex_);
    answer_ = std::move(answer);
  }
  // Windows that agents were told to expect a shutdown in, in seconds; 0 = not after all.
  std::vector<int> shutdowns() const {
    absl::MutexLock lock(&mutex_);
    return shutdowns_;
  }

  // An environment "prod" and a type "web" are there.
  static drover::v1::CreateVmRequest CreateRequest(const std::string& id, const std::string& ip);
  absl::StatusOr<drover::v1::Operation> Create(const std::string& id, const std::string& ip);
  absl::StatusOr<drover::v1::Operation> Delete(const std::string& id);

  using Enough = std::function<bool(const drover::v1::Operation&)>;
  // Waits for changes; with `tick`, time goes by meanwhile.
  drover::v1::Operation Await(const std::string& name, const Enough& enough, bool tick = false);
  drover::v1::Operation AwaitEnd(const absl::StatusOr<drover::v1::Operation>& operation,
                                 bool tick = false);
  // The end, or the death of the store.
  bool AwaitEndOrDeath(const std::string& name);

  // "" when the VM is complete: on its host, with password and agent, READY. Else what is wrong.
  std::string WhyNotComplete(const std::string& id);
  // "" when nothing of it is left anywhere. Else what is.
  std::string WhatIsLeft(const std::string& id, const std::string& ip);

 private:
  void Fill();

  testing::TestStore files_;
  testing::FaultyStore store_{&files_.store()};
  const std::shared_ptr<testing::FakeHypervisor> host_ =
      std::make_shared<testing::FakeHypervisor>();
  testing::FakeAgentGateway agents_;
  testing::FakeProber prober_{host_.get()};
  testing::FakeConnector connector_{host_};
  std::string agent_program_;

  mutable absl::Mutex mutex_;
  std::vector<int> shutdowns_ ABSL_GUARDED_BY(mutex_);
  Answer answer_ ABSL_GUARDED_BY(mutex_);
  int64_t changes_ ABSL_GUARDED_BY(mutex_) = 0;

  std::unique_ptr<EventLog> events_;
  std::unique_ptr<Inventory> inventory_;
  std::unique_ptr<HypervisorEstate> estate_;
  std::unique_ptr<CommandTracker> commands_;
  std::unique_ptr<VmOperations> operations_;
  std::unique_ptr<OperationRunner> runner_;
  std::unique_ptr<NetworkOperations> network_;
  std::unique_ptr<GuestPasswords> passwords_;
  std::unique_ptr<GuestRepair> repair_;
};

}  // namespace drover::core
