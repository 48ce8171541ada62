// The agent's inbox: orders of the controller, each carried out once.
//
// An order is on disk before it begins, its result before it is told, and the result stays until
// the controller says it has it. An order that comes again is answered from there. What becomes of
// one that was at work when the agent ended is said where its kind is registered. Orders themselves
// are never written down: they may hold secrets.
//
// Thread promise: belongs to the event loop's thread; never waits. Survives a restart: ids and
// results (inbox.log).
#pragma once

#include <functional>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "agent/durable_file.h"
#include "agent/event_loop.h"
#include "agent/order_work.h"
#include "agent/supervisor.h"
#include "drover/agent/v1/agent_link.pb.h"
#include "drover/agent/v1/agent_state.pb.h"

namespace drover::agent {

class CommandRunner {
 public:
  // Takes updates for the controller; may lose them when there is no link, as Resend brings what
  // matters. Must not call back.
  using Tell = std::function<void(v1::CommandUpdate)>;

  static absl::StatusOr<std::unique_ptr<CommandRunner>> Open(const std::string& path,
                                                             EventLoop* loop,
                                                             Supervisor* supervisor, Tell tell);
  ~CommandRunner();

  // Before the first order comes: how orders of this kind are carried out. Each kind once.
  void Register(v1::Command::OrderCase kind, AfterInterruption after, OrderFactory factory);
  // The end of an order that survived an interruption. Nothing happens when it has ended already.
  void Settle(const std::string& id, const absl::Status& status, v1::CommandUpdate details);
  // Orders of this kind that survived an interruption and are not settled.
  std::vector<std::string> Survivors(v1::Command::OrderCase kind) const;
  // Such an order is at work again, and can be cancelled.
  void Resume(const std::string& id, std::unique_ptr<OrderWork> order);

  void Accept(const v1::Command& command);
  // Ends what the command has begun, then tells CANCELLED. An id never seen is remembered as
  // cancelled.
  void Cancel(const std::string& id);
  void Acknowledge(const std::string& id);
  // Tells all results that wait for their acknowledgement and what is at work, for a new link.
  void Resend();
  // Added to this machine's clock to get the controller's.
  void SetClockOffset(absl::Duration offset) { clock_offset_ = offset; }

  // Ids kept.
  size_t size() const { return entries_.size(); }

 private:
  struct Kind {
    AfterInterruption after = AfterInterruption::kFail;
    OrderFactory factory;
  };
  struct Work {
    std::unique_ptr<OrderWork> order;
    EventLoop::TimerId timeout = 0;
    // Bytes of output told.
    int64_t output = 0;
    // Set once it is being ended.
    bool ending = false;
  };

  CommandRunner(EventLoop* loop, Supervisor* supervisor, Tell tell);
  void Replay(absl::string_view record);
  void SettleInterrupted();
  void Begin(const v1::Command& command);
  void RegisterOwn();
  AfterInterruption After(const v1::Command& command) const;
  OrderVoice VoiceOf(const std::string& id);
  void AnswerOutput(const v1::Command& command);
  void End(const std::string& id, v1::CommandUpdate::State state, const std::string& reason);
  void Finish(const std::string& id, const absl::Status& status, v1::CommandUpdate details = {});
  void FinishAs(const std::string& id, v1::CommandUpdate::State state, const absl::Status& status,
                v1::CommandUpdate details = {});
  bool Keep(v1::InboxEntry entry);
  void ForgetOld();
  void TellState(const std::string& id, v1::CommandUpdate::State state);
  void TellOutput(const std::string& id, absl::string_view piece);
  absl::Time Now() const;

  EventLoop* const loop_;
  Supervisor* const supervisor_;
  const Tell tell_;
  std::unique_ptr<RecordLog> log_;
  std::map<std::string, v1::InboxEntry> entries_;
  std::map<std::string, Work> working_;
  std::map<v1::Command::OrderCase, Kind> kinds_;
  absl::Duration clock_offset_;
  std::shared_ptr<bool> alive_ = std::make_shared<bool>(true);
};

}  // namespace drover::agent
