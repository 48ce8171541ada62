// ProbeDependency: asks a service on the network by its own protocol.
//
//   no route, or nobody answers      unreachable
//   the machine refuses the port     service missing
//   connected, but not as it should  wrong answer
//
// NFS without a port is sought by the port mapper, and at its usual port where there is none.
//
// Thread promise: belongs to the event loop's thread; never waits. Nothing survives a restart.
#pragma once

#include <memory>
#include <string>

#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "agent/dependency_dialogue.h"
#include "agent/event_loop.h"
#include "agent/order_work.h"
#include "agent/unique_fd.h"

namespace drover::agent {

class DependencyProbe : public OrderWork {
 public:
  static constexpr absl::Duration kConnectPatience = absl::Seconds(5);
  // Servers that look up the name of whoever calls answer late where name service is broken:
  // MariaDB after 10 s, RabbitMQ after 8 s.
  static constexpr absl::Duration kAnswerPatience = absl::Seconds(12);

  // INVALID_ARGUMENT naming the field.
  static absl::StatusOr<std::unique_ptr<OrderWork>> Start(EventLoop* loop,
                                                          const v1::ProbeDependency& order,
                                                          OrderVoice voice);
  ~DependencyProbe() override;
  void Abort(std::function<void(absl::Status)> ended) override;

 private:
  using Result = drover::v1::DependencyCheck::Result;

  DependencyProbe(EventLoop* loop, const v1::ProbeDependency& order, OrderVoice voice)
      : loop_(loop), order_(order), voice_(std::move(voice)) {}
  void Begin();
  void Connect(const Dialogue& dialogue, int port);
  void Connected();
  void NotConnected(int error);
  void Say();
  void Readable();
  void Judge(bool ended);
  void Next(const Answer& answer);
  void Finish(Result result, absl::string_view detail);
  void Close();

  EventLoop* const loop_;
  const v1::ProbeDependency order_;
  const OrderVoice voice_;
  Dialogue dialogue_;
  int port_ = 0;
  UniqueFd socket_;
  EventLoop::TimerId timeout_ = 0;
  std::string received_;
};

}  // namespace drover::agent
