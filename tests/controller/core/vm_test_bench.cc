#include "tests/controller/core/vm_test_bench.h"

#include <utility>
#include <vector>

#include "controller/core/operation_record.h"
#include "proto/support/resource_name.h"

namespace drover::core {

using drover::v1::CreateVmRequest;
using drover::v1::Operation;
using drover::v1::Vm;

VmTestBench::VmTestBench() : agent_program_(files_.directory() + "/agent") {
  testing::WriteFile(agent_program_, "the agent's program");
  host_->OnAgentSetup([this](const std::string& token) { agents_.Enrol(token); });
  store_.OnRefusal([this] {
    absl::MutexLock lock(&mutex_);
    ++changes_;
  });
  Start();
  Fill();
}

VmTestBench::~VmTestBench() { Stop(); }

void VmTestBench::Start() {
  Clock* clock = &files_.clock();
  events_ =
      std::make_unique<EventLog>(&store_, &files_.vault(), clock, files_.directory() + "/backups");
  inventory_ = std::make_unique<Inventory>(&store_, &files_.vault(), clock);
  EXPECT_TRUE(inventory_->Load().ok());
  estate_ = std::make_unique<HypervisorEstate>(&connector_, inventory_.get(), events_.get(), clock);
  EXPECT_TRUE(estate_->Start().ok());
  commands_ = std::make_unique<CommandTracker>(&store_, &files_.vault(), clock);
  commands_->SetGateway(&agents_);
  agents_.OnOrder([this](absl::string_view uid, const drover::agent::v1::Command& command) {
    Answer answer;
    {
      absl::MutexLock lock(&mutex_);
      if (command.has_prepare_shutdown()) {
        shutdowns_.push_back(command.prepare_shutdown().seconds());
      }
      answer = answer_;
    }
    CommandTracker::Update done;
    done.set_state(CommandTracker::Update::STATE_SUCCEEDED);
    if (answer) {
      const std::optional<CommandTracker::Update> answered = answer(uid, command);
      if (!answered) return;
      done = *answered;
    }
    done.set_command_id(command.id());
    (void)commands_->OnUpdate(uid, done);
  });
  const VmWorld world{inventory_.get(), estate_.get(), &agents_,       &prober_,
                      &files_.vault(),  clock,         commands_.get()};
  GuestSetupOptions options;
  options.agent_program = agent_program_;
  operations_ = std::make_unique<VmOperations>(world, options);
  runner_ = std::make_unique<OperationRunner>(&store_, &files_.vault(), clock,
                                              RunnerLimits{.workers = 4});
  operations_->Register(*runner_);
  GuestSetup* guest = &operations_->guest();
  network_ = std::make_unique<NetworkOperations>(world, guest, runner_.get(), events_.get());
  network_->Register();
  passwords_ = std::make_unique<GuestPasswords>(world, guest, runner_.get(), events_.get());
  passwords_->Register();
  repair_ = std::make_unique<GuestRepair>(world, guest, runner_.get(), events_.get());
  repair_->Register();
  LogEnds(*runner_, events_.get());
  runner_->OnChange([this](absl::string_view) {
    absl::MutexLock lock(&mutex_);
    ++changes_;
  });
  EXPECT_TRUE(runner_->Start().ok());
}

void VmTestBench::Stop() {
  if (runner_ == nullptr) return;
  runner_->Stop();
  estate_->Stop();
  runner_.reset();
  repair_.reset();
  passwords_.reset();
  network_.reset();
  operations_.reset();
  commands_.reset();
  estate_.reset();
  inventory_.reset();
  events_.reset();
}

void VmTestBench::Fill() {
  drover::v1::Hypervisor hypervisor;
  hypervisor.set_url("https://10.0.0.2/sdk");
  hypervisor.set_user("root");
  hypervisor.set_password("host-secret");
  hypervisor.set_certificate_fingerprint(
      "AA:AA:AA:AA:AA:AA:AA:AA:AA:AA:AA:AA:AA:AA:AA:AA:AA:AA:AA:AA:AA:AA:AA:AA:AA:AA:AA:AA:AA:AA:"
      "AA:"
      "AA");
  const auto added = estate_->Add("esx1", hypervisor);
  EXPECT_TRUE(added.ok()) << added.status();
  drover::v1::VmType type;
  type.set_template_(testing::FakeHypervisor::kTemplate);
  type.set_guest_user("root");
  type.set_guest_password(testing::FakeHypervisor::kTemplatePassword);
  const auto type_added = inventory_->AddType("web", type);
  EXPECT_TRUE(type_added.ok()) << type_added.status();
  const auto environment = inventory_->AddEnvironment("prod", {});
  EXPECT_TRUE(environment.ok()) << environment.status();
}

CreateVmRequest VmTestBench::CreateRequest(const std::string& id, const std::string& ip) {
  CreateVmRequest request;
  request.set_vm_id(id);
  request.set_guest_password(kPassword);
  Vm& vm = *request.mutable_vm();
  vm.set_environment("environments/prod");
  vm.set_type("types/web");
  vm.mutable_network()->set_ip(ip);
  vm.mutable_network()->set_netmask("255.255.255.0");
  vm.mutable_network()->set_gateway("10.0.0.1");
  return request;
}

absl::StatusOr<Operation> VmTestBench::Create(const std::string& id, const std::string& ip) {
  auto complete = operations_->create().Complete({CreateRequest(id, ip)});
  if (!complete.ok()) return complete.status();
  return runner_->Submit(operations_->create().Operation(std::move(complete->front())));
}

absl::StatusOr<Operation> VmTestBench::Delete(const std::string& id) {
  auto operation = operations_->remove().Operation("vms/" + id);
  if (!operation.ok()) return operation.status();
  return runner_->Submit(*std::move(operation));
}

Operation VmTestBench::Await(const std::string& name, const Enough& enough, bool tick) {
  for (;;) {
    int64_t seen = 0;
    {
      absl::MutexLock lock(&mutex_);
      seen = changes_;
    }
    absl::StatusOr<Operation> operation = runner_->Get(name);
    EXPECT_TRUE(operation.ok()) << operation.status();
    if (!operation.ok() || enough(*operation)) return operation.value_or(Operation());
    if (tick) {
      // Somebody always sleeps: the estate looks at its facts now and then.
      files_.clock().AdvanceToNextSleeper();
      continue;
    }
    absl::MutexLock lock(&mutex_);
    const auto changed = [&]() ABSL_NO_THREAD_SAFETY_ANALYSIS { return changes_ != seen; };
    mutex_.Await(absl::Condition(&changed));
  }
}

Operation VmTestBench::AwaitEnd(const absl::StatusOr<Operation>& operation, bool tick) {
  EXPECT_TRUE(operation.ok()) << operation.status();
  if (!operation.ok()) return {};
  return Await(
      operation->name(), [](const Operation& its) { return IsDone(its.state()); }, tick);
}

bool VmTestBench::AwaitEndOrDeath(const std::string& name) {
  Await(name, [this](const Operation& its) { return store_.died() || IsDone(its.state()); });
  return store_.died();
}

std::string VmTestBench::WhyNotComplete(const std::string& id) {
  const auto vm = inventory_->GetVm("vms/" + id);
  if (!vm.ok()) return "not in the inventory";
  if (vm->state() != Vm::STATE_READY) return "not ready";
  const HypervisorVm on_host = host_->Vm(id);
  if (on_host.object() != vm->hypervisor_object()) return "another object on the host";
  if (on_host.power() != drover::v1::POWER_STATE_ON) return "not on";
  if (on_host.ip() != vm->network().ip()) return "network not set";
  if (host_->GuestPassword(id) != kPassword) return "password not set";
  if (!agents_.IsConnected(vm->uid())) return "agent not connected";
  const auto login = inventory_->GuestLoginOf(vm->name());
  if (!login.ok() || login->password() != kPassword) return "password not kept";
  if (!runner_->QueueOf(vm->name()).empty()) return "still held";
  for (const auto& [path, contents] : host_->GuestFiles(id)) {
    if (path.rfind("/run/", 0) == 0) return "left in the guest: " + path;
  }
  return "";
}

std::string VmTestBench::WhatIsLeft(const std::string& id, const std::string& ip) {
  if (inventory_->GetVm("vms/" + id).ok()) return "VM in the inventory";
  if (!inventory_->HolderOf(ip).empty()) return "address claimed";
  for (const std::string& name : host_->VmNames()) {
    if (name == id) return "VM on the host";
  }
  if (host_->Disks().contains("[ds1] " + id + "/" + id + ".vmdk")) return "disk";
  if (!runner_->QueueOf("vms/" + id).empty()) return "held";
  if (!agents_.Known().empty()) return "agent known";
  return "";
}

}  // namespace drover::core
