#include "tests/bench/output_desk.h"

#include <cstdio>
#include <cstdlib>
#include <optional>
#include <utility>

#include "absl/strings/str_cat.h"
#include "controller/core/vm_world.h"
#include "proto/support/resource_name.h"
#include "proto/support/status.h"

namespace drover {
namespace {

constexpr char kOne[] = "bench.output";
constexpr char kAll[] = "bench.output_all";

core::Caller Somebody() {
  core::Caller caller;
  caller.user = "bench";
  caller.role = v1::ROLE_ADMINISTRATOR;
  return caller;
}

api::Gate OpenGate() {
  api::Gate gate;
  gate.authenticate = [](absl::string_view, absl::string_view) { return Somebody(); };
  gate.recall = [](const core::Caller&, absl::string_view, absl::string_view,
                   const google::protobuf::Message&) { return std::nullopt; };
  gate.remember = [](const core::Caller&, absl::string_view, absl::string_view,
                     const google::protobuf::Message&,
                     const google::protobuf::Message&) { return absl::OkStatus(); };
  return gate;
}

}  // namespace

OutputDesk::OutputDesk(const Parts& parts)
    : parts_(parts),
      orders_(parts.commands, parts.agents),
      runner_(parts.store, parts.vault, parts.clock),
      service_(&runner_) {
  runner_.Register(kAll,
                   [](const core::OperationRecord&) { return std::vector<core::OperationStep>(); });
  runner_.Register(kOne, [this](const core::OperationRecord& record) {
    const std::string name = core::RequestOf<v1::GetVmRequest>(record).name();
    core::OperationStep step;
    step.title = "talk";
    step.run = [this, name](core::OperationContext& context) -> absl::Status {
      DROVER_ASSIGN_OR_RETURN(const v1::Vm vm, parts_.inventory->GetVm(name));
      agent::v1::Command command;
      command.mutable_nop();
      DROVER_ASSIGN_OR_RETURN(
          const agent::v1::CommandUpdate update,
          orders_.CarryOut(context, "talk", vm, std::move(command), absl::Minutes(10)));
      return core::StatusOf(update);
    };
    return std::vector<core::OperationStep>{std::move(step)};
  });
  log_ = std::make_unique<api::CallLog>([](v1::LogEntry) { return absl::OkStatus(); },
                                        [this](absl::string_view name) -> std::optional<v1::Vm> {
                                          auto vm = parts_.inventory->GetVm(name);
                                          if (!vm.ok()) return std::nullopt;
                                          return *std::move(vm);
                                        },
                                        parts_.clock);
  dispatcher_ = std::make_unique<api::Dispatcher>(OpenGate(), log_.get());
  service_.Register(*dispatcher_);
  api::ServerOptions options;
  options.listen = "127.0.0.1:0";
  options.certificate_file = parts_.certificate_file;
  options.key_file = parts_.key_file;
  server_ = std::make_unique<api::Server>(options, dispatcher_.get(), parts_.clock);
  absl::Status started = runner_.Start();
  if (started.ok()) started = server_->Start();
  if (started.ok()) return;
  fprintf(stderr, "%s\n", std::string(started.message()).c_str());
  exit(1);
}

OutputDesk::~OutputDesk() {
  server_->Stop(absl::Seconds(1));
  runner_.Stop();
}

std::vector<std::string> OutputDesk::Order(const std::vector<std::string>& vms) {
  core::OperationRequest parent;
  parent.kind = kAll;
  parent.title = "talk";
  parent.request = std::make_unique<v1::ListVmsRequest>();
  parent.caller = Somebody();
  std::vector<core::OperationRequest> children;
  for (const std::string& name : vms) {
    v1::Vm vm;
    vm.set_name(name);
    v1::GetVmRequest request;
    request.set_name(name);
    children.push_back(core::RequestFor(kOne, "talk", vm, std::move(request)));
    children.back().caller = Somebody();
    children.back().lane.clear();
  }
  const auto batch = runner_.SubmitBatch(std::move(parent), std::move(children), 0);
  if (!batch.ok()) {
    fprintf(stderr, "%s\n", std::string(batch.status().message()).c_str());
    exit(1);
  }
  std::vector<std::string> names;
  for (const auto& target : batch->targets()) names.push_back(target.operation());
  return names;
}

}  // namespace drover
