// Simulated agents, thousands in one process: each with its own connection over mutual TLS, its own
// identity and its own stream. They enrol, say hello, answer heartbeats and no-ops, send samples,
// and come back after a full-jitter delay as the agent does.
//
//   many_agents_client ours|bare FOLDER COUNT [SECONDS]
//
// With SECONDS an order takes so long, and tells 20 lines a second, half a second's at a time.
//
// Prints a line "connected SECONDS" each time all are connected that were not. Ends with its
// standard input.
#include <grpcpp/alarm.h>
#include <grpcpp/grpcpp.h>
#include <sys/resource.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <cstdio>
#include <deque>
#include <fstream>
#include <iostream>
#include <memory>
#include <random>
#include <sstream>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/synchronization/mutex.h"
#include "absl/time/clock.h"
#include "agent/identity.h"
#include "drover/agent/v1/agent_link.grpc.pb.h"
#include "proto/support/process.h"
#include "proto/support/time.h"

namespace drover {
namespace {

using agent::v1::AgentLink;
using agent::v1::AgentMessage;
using agent::v1::CommandUpdate;
using agent::v1::ControllerMessage;

constexpr double kLastCeiling = 30;

std::string Contents(const std::string& path) {
  std::ostringstream text;
  text << std::ifstream(path).rdbuf();
  return text.str();
}

struct Shared {
  std::string folder;
  std::string authority;
  bool bare = false;
  int count = 0;
  int talk_seconds = 0;
  std::atomic<int> connected = 0;
  absl::Mutex mutex;
  absl::Time gap_since = absl::Now();

  void Connected() {
    if (++connected != count) return;
    absl::MutexLock lock(&mutex);
    printf("connected %.2f\n", absl::ToDoubleSeconds(absl::Now() - gap_since));
    fflush(stdout);
  }
  void Lost() {
    if (connected-- != count) return;
    absl::MutexLock lock(&mutex);
    gap_since = absl::Now();
  }
};

class Agent {
 public:
  Agent(Shared* shared, int number, std::string token)
      : shared_(shared), number_(number), token_(std::move(token)), random_(number) {}

  // Blocks; the certificate then is this agent's own.
  void Enrol() {
    const auto key = agent::MakeKey();
    const auto request = agent::MakeCertificateRequest(*key, absl::StrCat("agent-", number_));
    if (!key.ok() || !request.ok()) exit(1);
    grpc::SslCredentialsOptions tls;
    tls.pem_root_certs = shared_->authority;
    auto stub = AgentLink::NewStub(grpc::CreateCustomChannel(
        Contents(shared_->folder + "/address"), grpc::SslCredentials(tls), Arguments()));
    agent::v1::EnrollRequest enrol;
    enrol.set_token(token_);
    enrol.set_certificate_request(*request);
    Identify(*enrol.mutable_identity());
    for (;;) {
      grpc::ClientContext context;
      agent::v1::EnrollResponse response;
      const grpc::Status status = stub->Enroll(&context, enrol, &response);
      if (status.ok()) {
        key_ = *key;
        certificate_ = response.certificate_chain();
        return;
      }
      if (status.error_code() != grpc::StatusCode::UNAVAILABLE) {
        fprintf(stderr, "agent %d: %s\n", number_, status.error_message().c_str());
        exit(1);
      }
    }
  }
  void Share(std::string key, std::string certificate) {
    key_ = std::move(key);
    certificate_ = std::move(certificate);
  }

  void Connect() {
    if (channel_ == nullptr) {
      grpc::SslCredentialsOptions tls;
      tls.pem_root_certs = shared_->authority;
      tls.pem_private_key = key_;
      tls.pem_cert_chain = certificate_;
      channel_ = grpc::CreateCustomChannel(Contents(shared_->folder + "/address"),
                                           grpc::SslCredentials(tls), Arguments());
      stub_ = AgentLink::NewStub(channel_);
    }
    new Stream(this);
  }

 private:
  // One stream, from hello to its end.
  class Stream : public grpc::ClientBidiReactor<AgentMessage, ControllerMessage> {
   public:
    explicit Stream(Agent* owner) : owner_(owner) {
      owner_->stub_->async()->Link(&context_, this);
      auto& hello = *out_.emplace_back().mutable_hello();
      owner_->Identify(*hello.mutable_identity());
      hello.set_version("bench");
      hello.set_capability_level(1);
      StartRead(&in_);
      AddHold();
      writing_ = true;
      StartWrite(&out_.front());
      StartCall();
    }
    void OnReadInitialMetadataDone(bool) override {}
    void OnWriteDone(bool ok) override {
      absl::MutexLock lock(&mutex_);
      out_.pop_front();
      if (!ok) out_.clear();
      // A bare server says nothing: a hello that went out is a connection.
      if (ok && owner_->shared_->bare && !connected_) {
        connected_ = true;
        owner_->shared_->Connected();
        owner_->delay_ = 1;
      }
      writing_ = !out_.empty();
      if (writing_) StartWrite(&out_.front());
    }
    void OnReadDone(bool ok) override {
      if (!ok) {
        StopTicking();
        RemoveHold();
        return;
      }
      switch (in_.message_case()) {
        case ControllerMessage::kWelcome:
          connected_ = true;
          owner_->shared_->Connected();
          owner_->delay_ = 1;
          beat_ = in_.welcome().heartbeat_seconds();
          Tick();
          break;
        case ControllerMessage::kHeartbeat:
          heard_ = in_.heartbeat().number();
          break;
        case ControllerMessage::kCommand: {
          if (owner_->shared_->talk_seconds > 0) {
            command_ = in_.command().id();
            written_ = 0;
            lines_ = 0;
            Talk();
            break;
          }
          AgentMessage message;
          message.mutable_command_update()->set_command_id(in_.command().id());
          message.mutable_command_update()->set_state(CommandUpdate::STATE_SUCCEEDED);
          *message.mutable_command_update()->mutable_time() = ToProto(absl::Now());
          Send(std::move(message));
          break;
        }
        default:
          break;
      }
      in_.Clear();
      StartRead(&in_);
    }
    void OnDone(const grpc::Status&) override {
      if (connected_) owner_->shared_->Lost();
      Agent* owner = owner_;
      delete this;
      owner->ComeBack();
    }

   private:
    void Send(AgentMessage message) {
      absl::MutexLock lock(&mutex_);
      out_.push_back(std::move(message));
      if (std::exchange(writing_, true)) return;
      StartWrite(&out_.front());
    }
    // Heartbeats and samples; the first after a random part of the time, as agents are not in step.
    void Tick() {
      const double part = std::uniform_real_distribution<double>(0, 1)(owner_->random_);
      const double wait = first_tick_ ? beat_ * part : beat_;
      first_tick_ = false;
      AddHold();
      alarm_.Set(std::chrono::system_clock::now() +
                     std::chrono::milliseconds(static_cast<int64_t>(wait * 1000)),
                 [this](bool ok) {
                   if (ok && !stopped_) {
                     Beat();
                     Tick();
                   }
                   RemoveHold();
                 });
    }
    void Beat() {
      AgentMessage beat;
      beat.mutable_heartbeat()->set_number(++beats_);
      beat.mutable_heartbeat()->set_echo(heard_);
      Send(std::move(beat));
      AgentMessage samples;
      auto& sample = *samples.mutable_samples()->add_samples();
      *sample.mutable_time() = ToProto(absl::Now());
      sample.set_cpu_percent(12.5);
      sample.set_memory_used_mb(512);
      sample.set_memory_total_mb(1024);
      sample.set_disk_used_mb(4096);
      sample.set_disk_total_mb(20480);
      Send(std::move(samples));
    }
    // What a program wrote in the last half second, again and again.
    void Talk() {
      AddHold();
      talk_alarm_.Set(std::chrono::system_clock::now() + std::chrono::milliseconds(500),
                      [this](bool ok) {
                        if (ok && !stopped_) Tell();
                        RemoveHold();
                      });
    }
    void Tell() {
      const absl::Time now = absl::Now();
      std::string output;
      for (int i = 0; i < 10; ++i) {
        const absl::Time written = now - absl::Milliseconds(50 * (9 - i));
        absl::StrAppend(&output, ++lines_, " ", absl::ToUnixMicros(written),
                        " what a program says\n");
      }
      const bool last = lines_ >= 20 * owner_->shared_->talk_seconds;
      AgentMessage message;
      CommandUpdate& update = *message.mutable_command_update();
      update.set_command_id(command_);
      update.set_state(last ? CommandUpdate::STATE_SUCCEEDED : CommandUpdate::STATE_RUNNING);
      update.set_output(output);
      update.set_output_offset(written_);
      *update.mutable_time() = ToProto(now);
      written_ += static_cast<int64_t>(output.size());
      Send(std::move(message));
      if (!last) Talk();
    }
    void StopTicking() {
      stopped_ = true;
      alarm_.Cancel();
      talk_alarm_.Cancel();
    }

    Agent* const owner_;
    grpc::ClientContext context_;
    ControllerMessage in_;
    absl::Mutex mutex_;
    std::deque<AgentMessage> out_;
    bool writing_ = false;
    bool connected_ = false;
    bool first_tick_ = true;
    std::atomic<bool> stopped_ = false;
    int beat_ = 10;
    int64_t beats_ = 0;
    std::atomic<int64_t> heard_ = 0;
    grpc::Alarm alarm_;
    std::string command_;
    int lines_ = 0;
    int64_t written_ = 0;
    grpc::Alarm talk_alarm_;
  };

  static grpc::ChannelArguments Arguments() {
    grpc::ChannelArguments arguments;
    arguments.SetSslTargetNameOverride("drover-controller");
    // Each agent has a connection of its own, and its own delays.
    arguments.SetInt(GRPC_ARG_USE_LOCAL_SUBCHANNEL_POOL, 1);
    arguments.SetInt(GRPC_ARG_INITIAL_RECONNECT_BACKOFF_MS, 100);
    arguments.SetInt(GRPC_ARG_MIN_RECONNECT_BACKOFF_MS, 20000);
    arguments.SetInt(GRPC_ARG_MAX_RECONNECT_BACKOFF_MS, 100);
    arguments.SetInt(GRPC_ARG_ENABLE_RETRIES, 0);
    return arguments;
  }
  void Identify(agent::v1::Identity& identity) const {
    identity.set_instance_id(absl::StrCat("instance-", number_));
    identity.set_machine_fingerprint(absl::StrCat("machine-", number_));
    identity.set_hostname(absl::StrCat("vm-", number_));
  }
  void ComeBack() {
    const double wait = std::uniform_real_distribution<double>(0, delay_)(random_);
    delay_ = std::min(delay_ * 2, kLastCeiling);
    alarm_ = std::make_unique<grpc::Alarm>();
    alarm_->Set(std::chrono::system_clock::now() +
                    std::chrono::milliseconds(static_cast<int64_t>(wait * 1000)),
                [this](bool ok) {
                  if (ok) Connect();
                });
  }

  Shared* const shared_;
  const int number_;
  const std::string token_;
  std::string key_;
  std::string certificate_;
  std::shared_ptr<grpc::Channel> channel_;
  std::unique_ptr<AgentLink::Stub> stub_;
  std::unique_ptr<grpc::Alarm> alarm_;
  std::minstd_rand random_;
  double delay_ = 1;
};

}  // namespace
}  // namespace drover

int main(int argc, char** argv) {
  drover::SetUpProcess();
  if (argc != 4 && argc != 5) {
    fprintf(stderr, "usage: many_agents_client ours|bare FOLDER COUNT [SECONDS]\n");
    return 2;
  }
  rlimit files{65536, 65536};
  setrlimit(RLIMIT_NOFILE, &files);
  static drover::Shared shared;
  shared.bare = std::string(argv[1]) == "bare";
  shared.folder = argv[2];
  shared.count = atoi(argv[3]);
  if (argc == 5) shared.talk_seconds = atoi(argv[4]);
  shared.authority = drover::Contents(shared.folder + "/authority.pem");
  std::ifstream tokens(shared.folder + "/tokens");
  std::vector<std::unique_ptr<drover::Agent>> agents;
  for (int i = 0; i < shared.count; ++i) {
    std::string token;
    if (!shared.bare) std::getline(tokens, token);
    agents.push_back(std::make_unique<drover::Agent>(&shared, i, token));
  }
  if (shared.bare) {
    const std::string key = drover::Contents(shared.folder + "/bare-key.pem");
    const std::string certificate = drover::Contents(shared.folder + "/bare-certificate.pem");
    for (auto& agent : agents) agent->Share(key, certificate);
  } else {
    std::vector<std::thread> enrolling;
    std::atomic<size_t> next = 0;
    for (int i = 0; i < 4; ++i) {
      enrolling.emplace_back([&] {
        for (size_t mine = next++; mine < agents.size(); mine = next++) agents[mine]->Enrol();
      });
    }
    for (std::thread& thread : enrolling) thread.join();
    printf("enrolled\n");
    fflush(stdout);
  }
  shared.gap_since = absl::Now();
  for (auto& agent : agents) agent->Connect();
  char byte;
  while (read(STDIN_FILENO, &byte, 1) > 0) {
  }
  _exit(0);
}
