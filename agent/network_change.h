// Changes the machine's network with a way back: what is new stays only when the controller was
// reached over it within the deadline; otherwise everything comes back by itself.
//
//   asked -> [address free?] -> BEGUN: all files, old and new, in one record on disk
//         -> files written, tool run -> APPLIED: the kernel has the settings, the link is made anew
//         -> welcomed on a stream that began after that, and the gateway answers -> KEPT
//   at any point before: deadline, refusal, cancel -> PUTTING_BACK -> PUT_BACK
//
// Thread promise: belongs to the event loop's thread; never waits. Survives the end of the agent
// and a restart of the machine at any point: the record (network.state). One that ended before
// APPLIED goes back at once; later it has what is left of the deadline, by the wall clock after a
// restart of the machine.
#pragma once

#include <functional>
#include <memory>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "agent/command_runner.h"
#include "agent/event_loop.h"
#include "agent/network_system.h"
#include "agent/order_work.h"
#include "drover/agent/v1/agent_link.pb.h"
#include "drover/agent/v1/agent_state.pb.h"

namespace drover::agent {

class NetworkChange {
 public:
  struct Parts {
    EventLoop* loop = nullptr;
    NetworkSystem* system = nullptr;
    CommandRunner* commands = nullptr;
    std::string state_directory;
    std::string boot_id;
    // Before all paths of files; "" but in tests.
    std::string root;
    // The link is to be made anew, at once.
    std::function<void()> connect_anew;
    // While true, somebody waits for the link.
    std::function<void(bool)> urgent;
    std::function<void(v1::AgentEvent)> tell;
  };

  // Takes up a change that is open, and registers for SetNetwork.
  explicit NetworkChange(Parts parts);
  ~NetworkChange();

  // The controller has welcomed the agent on a new stream.
  void LinkEstablished();
  // None is under way.
  bool idle() const { return !open_ && !asking_; }

 private:
  using Record = v1::NetworkChangeRecord;

  absl::StatusOr<std::unique_ptr<OrderWork>> Start(const v1::Command& command, OrderVoice voice);
  absl::Status Begin(const v1::Command& command, const CardState& now);
  absl::StatusOr<Record> MakeRecord(const v1::Command& command, const CardState& now);
  void Go();
  void Applied(const absl::Status& status);
  void Check();
  void CheckGateway();
  void Keep();
  void PutBack(const std::string& why);
  void ApplyBefore();
  void AwaitBefore(int looks, bool direct);
  void BeforeAgain(const std::string& problem);
  void Over();
  void TakeUp();
  void TellEnd();
  void Abort(std::function<void(absl::Status)> ended);
  void ArmDeadline();
  absl::Status Write(Record::Phase phase);
  absl::Status WriteFiles(bool fresh);
  bool InForce(const v1::SetNetwork& settings) const;
  void After(absl::Duration delay, void (NetworkChange::*what)());

  friend class NetworkChangeWork;

  const Parts parts_;
  const std::string path_;
  Record record_;
  // A record is on disk, or about to be.
  bool open_ = false;
  // Asks whether the address is free; nothing has begun.
  bool asking_ = false;
  // The kernel has the new settings, and the link is being made over them.
  bool settled_ = false;
  bool welcomed_ = false;
  // Why it is not confirmed yet.
  std::string problem_;
  int attempts_ = 0;
  // Told before everything was back.
  bool told_ = false;
  // What comes late from an earlier stage does not count.
  int stage_ = 0;
  std::function<void(absl::Status)> aborted_;
  EventLoop::TimerId deadline_ = 0;
  EventLoop::TimerId timer_ = 0;
  std::shared_ptr<bool> alive_ = std::make_shared<bool>(true);
};

}  // namespace drover::agent
