// Events on their way to the controller: numbered, on disk before they are sent, kept until the
// controller says it has them.
//
// Thread promise: belongs to the event loop's thread. Survives a restart: everything not
// acknowledged, and the numbering. A crash loses at most the event being written.
//
// The outbox is bounded. When it is full the oldest of the least important events goes: starts of
// the agent first, then recoveries and failing probes, then deaths, outages given up last. What
// went is counted on disk, and the count is itself an event (EventsDropped) once there is room.
#pragma once

#include <cstdint>
#include <deque>
#include <memory>
#include <string>

#include "absl/status/statusor.h"
#include "agent/clock.h"
#include "agent/durable_file.h"
#include "drover/agent/v1/agent_state.pb.h"

namespace drover::agent {

struct OutboxLimits {
  size_t events = 5000;
  size_t bytes = 2 << 20;
};

class Outbox {
 public:
  // Opens `path` or makes it.
  static absl::StatusOr<std::unique_ptr<Outbox>> Open(const std::string& path, const Clock* clock,
                                                      OutboxLimits limits = {});

  // Numbers the event, stamps it unless it has a time, and writes it. When the disk refuses, the
  // event is kept in memory, sent all the same, and written with the next change.
  void Add(v1::AgentEvent event);
  // The controller has all events up to this number.
  void Acknowledge(int64_t sequence);
  // The controller has stored events up to this number, as it said in Welcome. Fewer numbered here
  // means that the disk is an older one than the controller spoke with: everything that waits is
  // numbered anew behind it.
  void CatchUp(int64_t last_stored);

  // The first event with a higher number, or null. Valid until the next change.
  const v1::AgentEvent* After(int64_t sequence) const;
  // 0 when none waits.
  int64_t FirstUnacknowledged() const;
  size_t size() const { return waiting_.size(); }
  // Events that had to go and were not yet reported.
  int32_t dropped() const { return dropped_.count(); }

 private:
  Outbox(const Clock* clock, OutboxLimits limits) : clock_(clock), limits_(limits) {}
  void Replay(absl::string_view record);
  void Push(v1::AgentEvent event);
  void Remove(std::deque<v1::AgentEvent>::iterator event);
  void CountDrop(const v1::AgentEvent& event);
  bool Full() const;
  void MakeRoom();
  void ReportDrops();
  void Write(const v1::OutboxEntry& entry);
  void CompactIfWorthwhile();
  void Rewrite();

  const Clock* const clock_;
  const OutboxLimits limits_;
  std::unique_ptr<RecordLog> log_;
  std::deque<v1::AgentEvent> waiting_;
  size_t bytes_ = 0;
  int64_t next_sequence_ = 1;
  v1::EventsDropped dropped_;
  // The file lacks something that is in memory.
  bool behind_ = false;
};

}  // namespace drover::agent
