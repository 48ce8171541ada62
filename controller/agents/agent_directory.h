// All agents that are connected: the AgentGateway port. Admits streams, keeps the newest one of
// each VM, carries what agents tell to the core and what the core orders to the agents, and drops
// those that fell silent.
//
// Everything about one VM runs in order on that VM's lane; the core's answers (which may block on
// the store) never run on a transport's thread. Acknowledgements are sent after the core said OK,
// that is, after it is durable.
//
// Thread promise: all methods from any thread; the ports' methods block on the store at most. Owns
// the sessions' registration, its pool and one ticking thread. Survives a restart: nothing here;
// identities are in Enrolment.
#pragma once

#include <atomic>
#include <memory>
#include <string>
#include <thread>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/container/flat_hash_map.h"
#include "absl/container/flat_hash_set.h"
#include "absl/status/status.h"
#include "absl/strings/string_view.h"
#include "absl/synchronization/mutex.h"
#include "absl/time/time.h"
#include "controller/agents/agent_session.h"
#include "controller/agents/enrolment.h"
#include "controller/core/ports.h"
#include "controller/core/worker_pool.h"

namespace drover::agents {

struct DirectoryOptions {
  // Sent to agents in whole seconds.
  absl::Duration heartbeat = absl::Seconds(10);
  int sample_seconds = 10;
  // Threads that carry what agents tell to the core.
  int workers = 32;
};

class AgentDirectory final : public core::AgentGateway, public SessionOwner {
 public:
  // `listener` may be set later, before the first agent is let in, because the core's part needs
  // this gateway.
  AgentDirectory(DirectoryOptions options, Enrolment* enrolment, core::Clock* clock);
  ~AgentDirectory() override;

  void SetListener(core::AgentListener* listener) { listener_ = listener; }
  // Begins to send heartbeats and to drop who is silent.
  void Start();
  // Ends all streams; agents come back when there is a controller again. The listener is not told.
  void CloseAll();
  // CloseAll, then waits for the last reactor and for what was handed on. The transport must be
  // ending its streams.
  void Stop();

  // ---- for the transport
  std::shared_ptr<AgentSession> Open(LinkWire* wire, AgentSession::Peer peer);
  // The stream's reactor is gone.
  void Forget(const std::shared_ptr<AgentSession>& session);
  absl::StatusOr<drover::agent::v1::EnrollResponse> Enroll(
      const drover::agent::v1::EnrollRequest& request, absl::string_view client_address);

  // ---- AgentGateway
  absl::StatusOr<core::EnrolmentKit> NewEnrolmentKit(absl::string_view vm_uid,
                                                     absl::string_view bios_uuid,
                                                     absl::Duration valid) override;
  absl::Status Revoke(absl::string_view vm_uid) override;
  absl::Status LiftQuarantine(absl::string_view vm_uid) override;
  bool IsConnected(absl::string_view vm_uid) override;
  absl::Status Send(absl::string_view vm_uid, const drover::agent::v1::Command& command) override;
  absl::Status CancelCommand(absl::string_view vm_uid, absl::string_view command_id) override;
  void DesiredStateChanged(absl::string_view vm_uid) override;

  // ---- SessionOwner
  void OnMessages(const std::shared_ptr<AgentSession>& session,
                  std::vector<drover::agent::v1::AgentMessage> messages) override;
  void OnClosed(const std::shared_ptr<AgentSession>& session, const absl::Status& why) override;
  absl::Time Now() override { return clock_->Now(); }

  // What the ticking thread does.
  void Tick();

 private:
  absl::Status Welcome(const std::shared_ptr<AgentSession>& session,
                       const drover::agent::v1::Hello& hello);
  absl::Status Carry(const std::shared_ptr<AgentSession>& session,
                     const std::vector<drover::agent::v1::AgentMessage>& messages, size_t& next);
  absl::Status CarryEvents(const std::shared_ptr<AgentSession>& session,
                           const std::vector<drover::agent::v1::AgentMessage>& messages,
                           size_t& next);
  absl::Status CarryOther(const std::shared_ptr<AgentSession>& session,
                          const drover::agent::v1::AgentMessage& message);
  void EndUnlessInForce(const std::shared_ptr<AgentSession>& session);
  void SendDesiredState(const std::shared_ptr<AgentSession>& session);
  std::shared_ptr<AgentSession> Find(absl::string_view vm_uid);
  // Makes it the VM's session; the one before.
  std::shared_ptr<AgentSession> Register(const std::shared_ptr<AgentSession>& session);
  // False when it is not the VM's session (any more).
  bool Unregister(const std::shared_ptr<AgentSession>& session);
  bool IsRegistered(const std::shared_ptr<AgentSession>& session);
  std::vector<std::shared_ptr<AgentSession>> Sessions();

  const DirectoryOptions options_;
  Enrolment* const enrolment_;
  core::Clock* const clock_;
  core::AgentListener* listener_ = nullptr;

  std::atomic<bool> stopping_ = false;

  absl::Mutex mutex_;
  // Streams that were let in, by VM uid.
  absl::flat_hash_map<std::string, std::shared_ptr<AgentSession>> connected_
      ABSL_GUARDED_BY(mutex_);
  // All streams, also those that did not say hello yet or are ending.
  absl::flat_hash_set<std::shared_ptr<AgentSession>> sessions_ ABSL_GUARDED_BY(mutex_);
  absl::flat_hash_map<std::string, std::weak_ptr<Lane>> lanes_ ABSL_GUARDED_BY(mutex_);
  std::unique_ptr<core::WorkerPool> pool_;
  std::jthread ticker_;
};

}  // namespace drover::agents
