// The controller's side of many_agents: the real link, store, model and commands without the rest
// of droverd ("ours"), or a gRPC server that has as many mutual TLS streams and does nothing else
// ("bare").
//
//   many_agents_server ours|bare FOLDER COUNT
//
// Writes FOLDER/address, and in the first run of "ours" FOLDER/tokens, one for each agent; for
// "bare" the identity all clients share. Then answers lines of its standard input:
//   agents         how many streams are open
//   memory         resident KiB
//   cpu            seconds of CPU so far
//   talk           orders one no-op of each agent, each as an operation people can follow: the
//                  public API's address and a file with the operations' names
//   order N        milliseconds to order one no-op of each agent N times, results included; the
//                  first without being counted
#include <grpcpp/grpcpp.h>
#include <malloc.h>
#include <sys/resource.h>

#include <algorithm>
#include <atomic>
#include <cstdio>
#include <fstream>
#include <iostream>
#include <memory>
#include <set>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/synchronization/mutex.h"
#include "agent/identity.h"
#include "controller/agents/agent_directory.h"
#include "controller/agents/authority.h"
#include "controller/agents/enrolment.h"
#include "controller/agents/link_server.h"
#include "controller/agents/server_certificate.h"
#include "controller/core/agent_facts.h"
#include "controller/core/command_tracker.h"
#include "controller/core/event_log.h"
#include "controller/core/inventory.h"
#include "controller/secrets/openssl_vault.h"
#include "controller/store/sqlite_store.h"
#include "controller/system_clock.h"
#include "drover/agent/v1/agent_link.grpc.pb.h"
#include "proto/support/log.h"
#include "proto/support/process.h"
#include "proto/support/status.h"
#include "proto/support/time.h"
#include "tests/bench/output_desk.h"

namespace drover {
namespace {

using agent::v1::AgentMessage;
using agent::v1::Command;
using agent::v1::CommandUpdate;
using agent::v1::ControllerMessage;

void Must(const absl::Status& status) {
  if (status.ok()) return;
  fprintf(stderr, "%s\n", std::string(status.message()).c_str());
  exit(1);
}

void WriteFile(const std::string& path, const std::string& text) {
  std::ofstream(path + ".new") << text;
  if (rename((path + ".new").c_str(), path.c_str()) != 0) exit(1);
}

class Side {
 public:
  virtual ~Side() = default;
  virtual int agents() = 0;
  // Orders one no-op of each and waits for all results.
  virtual void OrderAll() = 0;
};

// ---------------------------------------------------------------- ours

class Ours : public Side {
 public:
  Ours(const std::string& folder, int count) {
    auto store = store::SqliteStore::Open(folder, clock_);
    Must(store.status());
    store_ = *std::move(store);
    auto vault = secrets::OpenSslVault::Open(folder + "/drover.key");
    Must(vault.status());
    vault_ = *std::move(vault);
    inventory_ = std::make_unique<core::Inventory>(store_.get(), vault_.get(), &clock_);
    Must(inventory_->Load());
    events_ = std::make_unique<core::EventLog>(store_.get(), vault_.get(), &clock_, folder);
    commands_ = std::make_unique<core::CommandTracker>(store_.get(), vault_.get(), &clock_);
    Must(commands_->Load());
    facts_ = std::make_unique<core::AgentFacts>(store_.get(), inventory_.get(), events_.get(),
                                                commands_.get(), &clock_);
    auto authority = agents::Authority::Open(store_.get(), vault_.get(), &clock_);
    Must(authority.status());
    authority_ = *std::move(authority);
    certificate_ = std::make_unique<agents::ServerCertificate>(
        authority_.get(), &clock_, folder + "/tls", std::vector<std::string>{"127.0.0.1"});
    Must(certificate_->Refresh());
    enrolment_ =
        std::make_unique<agents::Enrolment>(store_.get(), vault_.get(), &clock_, authority_.get(),
                                            "127.0.0.1:1", [](drover::v1::LogEntry) { return; });
    directory_ = std::make_unique<agents::AgentDirectory>(agents::DirectoryOptions(),
                                                          enrolment_.get(), &clock_);
    directory_->SetListener(facts_.get());
    facts_->SetGateway(directory_.get());
    commands_->SetGateway(directory_.get());
    MakeVms(folder, count);
    agents::LinkServerOptions options;
    options.listen = AddressIn(folder);
    options.certificate_file = certificate_->certificate_file();
    options.key_file = certificate_->key_file();
    options.authority_file = certificate_->authority_file();
    server_ = std::make_unique<agents::LinkServer>(options, directory_.get(), authority_.get());
    Must(server_->Start());
    directory_->Start();
    WriteFile(folder + "/authority.pem", authority_->certificate());
    WriteFile(folder + "/address", absl::StrCat("127.0.0.1:", server_->port()));
  }
  ~Ours() override {
    desk_.reset();
    server_->Stop(absl::Seconds(1));
  }

  // The same again after a restart.
  static std::string AddressIn(const std::string& folder) {
    std::string address;
    std::ifstream(folder + "/address") >> address;
    return address.empty() ? "127.0.0.1:0" : address;
  }

  int agents() override {
    int connected = 0;
    for (const std::string& uid : uids_) connected += directory_->IsConnected(uid) ? 1 : 0;
    return connected;
  }

  void OrderAll() override {
    std::vector<core::CommandTracker::Given> orders;
    std::vector<std::string> ids;
    absl::Mutex mutex;
    size_t ended = 0;
    for (const std::string& uid : uids_) {
      Command command;
      command.set_id(commands_->NewId());
      *command.mutable_expire_time() = ToProto(clock_.Now() + absl::Minutes(1));
      command.mutable_nop();
      ids.push_back(command.id());
      orders.push_back({uid, std::move(command), "", [&](const CommandUpdate& update) {
                          if (!core::IsFinal(update.state())) return;
                          absl::MutexLock lock(&mutex);
                          ++ended;
                        }});
    }
    const size_t all = orders.size();
    Must(commands_->OrderAll(std::move(orders)));
    auto done = [&]() ABSL_NO_THREAD_SAFETY_ANALYSIS { return ended == all; };
    {
      absl::MutexLock lock(&mutex);
      mutex.Await(absl::Condition(&done));
    }
    ids_ = std::move(ids);
  }
  // Serves the operations too. The API's address and a file with their names.
  std::string Talk(const std::string& folder) {
    if (desk_ == nullptr) {
      desk_ = std::make_unique<OutputDesk>(OutputDesk::Parts{
          store_.get(), vault_.get(), &clock_, inventory_.get(), commands_.get(), directory_.get(),
          certificate_->certificate_file(), certificate_->key_file()});
    }
    std::vector<std::string> vms;
    for (size_t i = 0; i < uids_.size(); ++i) vms.push_back(absl::StrCat("vms/vm-", i));
    WriteFile(folder + "/operations", absl::StrCat(absl::StrJoin(desk_->Order(vms), "\n"), "\n"));
    return absl::StrCat("127.0.0.1:", desk_->port(), " ", folder, "/operations");
  }
  // What a batch does when it has read the results; not a part of the answer's time.
  void Forget() {
    for (const std::string& id : ids_) Must(commands_->Forget(id));
  }

 private:
  void MakeVms(const std::string& folder, int count) {
    const bool first = !std::ifstream(folder + "/tokens").good();
    if (first) {
      Must(inventory_->AddEnvironment("bench", {}).status());
      drover::v1::VmType type;
      type.set_template_("none");
      Must(inventory_->AddType("bench", type).status());
    }
    std::string tokens;
    for (int i = 0; i < count; ++i) {
      uids_.push_back(absl::StrCat("uid-", i));
      if (!first) continue;
      drover::v1::Vm vm;
      vm.set_name(absl::StrCat("vms/vm-", i));
      vm.set_uid(uids_.back());
      vm.set_environment("environments/bench");
      vm.set_type("types/bench");
      vm.set_state(drover::v1::Vm::STATE_READY);
      Must(inventory_->AddVm(vm));
      auto kit = directory_->NewEnrolmentKit(uids_.back(), "", absl::Hours(1));
      Must(kit.status());
      absl::StrAppend(&tokens, kit->token(), "\n");
    }
    if (first) WriteFile(folder + "/tokens", tokens);
  }

  SystemClock clock_;
  std::unique_ptr<core::Store> store_;
  std::unique_ptr<core::Vault> vault_;
  std::unique_ptr<core::Inventory> inventory_;
  std::unique_ptr<core::EventLog> events_;
  std::unique_ptr<core::CommandTracker> commands_;
  std::unique_ptr<core::AgentFacts> facts_;
  std::unique_ptr<agents::Authority> authority_;
  std::unique_ptr<agents::ServerCertificate> certificate_;
  std::unique_ptr<agents::Enrolment> enrolment_;
  std::unique_ptr<agents::AgentDirectory> directory_;
  std::unique_ptr<agents::LinkServer> server_;
  std::unique_ptr<OutputDesk> desk_;
  std::vector<std::string> uids_;
  std::vector<std::string> ids_;
};

// ---------------------------------------------------------------- bare

class Bare : public Side, public agent::v1::AgentLink::CallbackService {
 public:
  explicit Bare(const std::string& folder) {
    SystemClock clock;
    auto store = store::SqliteStore::Open(folder, clock);
    Must(store.status());
    auto vault = secrets::OpenSslVault::Open(folder + "/drover.key");
    Must(vault.status());
    auto authority = agents::Authority::Open(store->get(), vault->get(), &clock);
    Must(authority.status());
    const auto identity = (*authority)->IssueServer({"127.0.0.1"});
    Must(identity.status());
    const auto key = agent::MakeKey();
    Must(key.status());
    const auto request = agent::MakeCertificateRequest(*key, "bare");
    Must(request.status());
    const auto client = (*authority)->IssueAgent(*request, "bare");
    Must(client.status());
    WriteFile(folder + "/bare-key.pem", *key);
    WriteFile(folder + "/bare-certificate.pem", client->chain);
    WriteFile(folder + "/authority.pem", (*authority)->certificate());
    grpc::SslServerCredentialsOptions tls(
        GRPC_SSL_REQUEST_AND_REQUIRE_CLIENT_CERTIFICATE_AND_VERIFY);
    tls.pem_root_certs = (*authority)->certificate();
    tls.pem_key_cert_pairs.push_back({identity->key, identity->chain});
    grpc::ServerBuilder builder;
    int port = 0;
    builder.AddListeningPort(Ours::AddressIn(folder), grpc::SslServerCredentials(tls), &port);
    builder.RegisterService(this);
    server_ = builder.BuildAndStart();
    if (server_ == nullptr) exit(1);
    WriteFile(folder + "/address", absl::StrCat("127.0.0.1:", port));
  }
  ~Bare() override { server_->Shutdown(std::chrono::system_clock::now()); }

  grpc::ServerBidiReactor<AgentMessage, ControllerMessage>* Link(
      grpc::CallbackServerContext*) override {
    return new Stream(this);
  }
  int agents() override {
    absl::MutexLock lock(&mutex_);
    return static_cast<int>(streams_.size());
  }
  void OrderAll() override {
    std::vector<Stream*> streams;
    {
      absl::MutexLock lock(&mutex_);
      streams.assign(streams_.begin(), streams_.end());
      waiting_ = streams.size();
    }
    for (Stream* stream : streams) stream->Order();
    absl::MutexLock lock(&mutex_);
    auto done = [this]() ABSL_NO_THREAD_SAFETY_ANALYSIS { return waiting_ == 0; };
    mutex_.Await(absl::Condition(&done));
  }

 private:
  class Stream : public grpc::ServerBidiReactor<AgentMessage, ControllerMessage> {
   public:
    explicit Stream(Bare* owner) : owner_(owner) {
      absl::MutexLock lock(&owner_->mutex_);
      owner_->streams_.insert(this);
      StartRead(&in_);
    }
    void Order() {
      out_.mutable_command()->set_id("c-00000000000000000000000000000000");
      out_.mutable_command()->mutable_nop();
      StartWrite(&out_);
    }
    void OnReadDone(bool ok) override {
      if (!ok) return Finish(grpc::Status::OK);
      if (in_.has_command_update()) {
        absl::MutexLock lock(&owner_->mutex_);
        --owner_->waiting_;
      }
      StartRead(&in_);
    }
    void OnDone() override {
      {
        absl::MutexLock lock(&owner_->mutex_);
        owner_->streams_.erase(this);
      }
      delete this;
    }

   private:
    Bare* const owner_;
    AgentMessage in_;
    ControllerMessage out_;
  };

  absl::Mutex mutex_;
  std::set<Stream*> streams_;
  size_t waiting_ = 0;
  std::unique_ptr<grpc::Server> server_;
};

// ---------------------------------------------------------------- answers

int64_t ResidentKb() {
  // What was freed is no need of ours.
  malloc_trim(0);
  std::ifstream status("/proc/self/status");
  std::string word;
  while (status >> word) {
    if (word != "VmRSS:") continue;
    int64_t kb = 0;
    status >> kb;
    return kb;
  }
  return 0;
}

double CpuSeconds() {
  rusage usage{};
  getrusage(RUSAGE_SELF, &usage);
  return static_cast<double>(usage.ru_utime.tv_sec + usage.ru_stime.tv_sec) +
         static_cast<double>(usage.ru_utime.tv_usec + usage.ru_stime.tv_usec) / 1e6;
}

void Answer(Side& side, Ours* ours, const std::string& folder) {
  std::string word;
  while (std::cin >> word) {
    if (word == "agents") {
      std::cout << side.agents() << std::endl;
    } else if (word == "memory") {
      std::cout << ResidentKb() << std::endl;
    } else if (word == "cpu") {
      std::cout << CpuSeconds() << std::endl;
    } else if (word == "talk" && ours != nullptr) {
      std::cout << ours->Talk(folder) << std::endl;
    } else if (word == "order") {
      int times = 1;
      std::cin >> times;
      std::vector<std::string> took;
      for (int i = 0; i <= times; ++i) {
        const absl::Time begin = absl::Now();
        side.OrderAll();
        const absl::Duration spent = absl::Now() - begin;
        if (ours != nullptr) ours->Forget();
        if (i > 0) took.push_back(absl::StrCat(absl::ToDoubleMilliseconds(spent)));
      }
      std::cout << absl::StrJoin(took, " ") << std::endl;
    }
  }
}

}  // namespace
}  // namespace drover

int main(int argc, char** argv) {
  drover::SetUpProcess();
  if (argc != 4) {
    fprintf(stderr, "usage: many_agents_server ours|bare FOLDER COUNT\n");
    return 2;
  }
  rlimit files{65536, 65536};
  setrlimit(RLIMIT_NOFILE, &files);
  if (std::string(argv[1]) == "ours") {
    drover::Ours ours(argv[2], atoi(argv[3]));
    drover::Answer(ours, &ours, argv[2]);
  } else {
    drover::Bare bare(argv[2]);
    drover::Answer(bare, nullptr, argv[2]);
  }
  return 0;
}
