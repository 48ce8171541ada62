// Asks the cable who has an IPv4 address (ARP): tells an address that is taken before it is used,
// and a gateway that is not there.
//
// Thread promise: belongs to the event loop's thread; never waits. Survives a restart: nothing.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <string>

#include "absl/status/statusor.h"
#include "agent/event_loop.h"
#include "agent/unique_fd.h"

namespace drover::agent {

class ArpProbe {
 public:
  // Asks three times within a second. `done` is called once, from the loop: whether another machine
  // answered. `source` is the address the card has, "" for a probe that claims none. Errors: a card
  // that is not there or is no Ethernet, no right to ask.
  static absl::StatusOr<std::unique_ptr<ArpProbe>> Start(EventLoop* loop, const std::string& card,
                                                         const std::string& target,
                                                         const std::string& source,
                                                         std::function<void(bool answered)> done);
  ~ArpProbe();

 private:
  explicit ArpProbe(EventLoop* loop) : loop_(loop) {}
  void Ask();
  void Read();
  void End(bool answered);

  EventLoop* const loop_;
  UniqueFd fd_;
  int index_ = 0;
  unsigned char mac_[6] = {};
  uint32_t target_ = 0;
  uint32_t source_ = 0;
  int asked_ = 0;
  EventLoop::TimerId timer_ = 0;
  std::function<void(bool)> done_;
};

}  // namespace drover::agent
