// One ICMP socket that sends and receives echoes in batches. Thread promise: of one thread.
#pragma once

#include <netinet/in.h>

#include <cstdint>
#include <vector>

#include "absl/functional/function_ref.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "absl/types/span.h"

namespace drover::reach {

// An echo by its place in the sweep.
struct Echo {
  uint32_t index = 0;
  // Network byte order.
  in_addr_t address = 0;
};

class IcmpSocket {
 public:
  // Raw where permitted, else of the kind that ping_group_range admits. PERMISSION_DENIED, reason
  // PROBING_NOT_PERMITTED; UNAVAILABLE for what else the kernel says.
  static absl::StatusOr<IcmpSocket> Open();
  IcmpSocket(IcmpSocket&& other) noexcept;
  IcmpSocket& operator=(IcmpSocket&&) = delete;
  ~IcmpSocket();

  // Answers that the receive buffer holds before the kernel drops some.
  int capacity() const { return capacity_; }

  enum class Sent { kOne, kBlocked, kUnsendable };
  // Sends from the front until one cannot be sent; how many were. `next` says what became of the
  // first that was not: to be tried again later, or never to be sent (no route to it).
  int Send(absl::Span<const Echo> echoes, Sent* next);
  // Hands each answer that waits to `answered`, with its index and sender. Does not wait.
  void Receive(absl::FunctionRef<void(uint32_t index, in_addr_t sender)> answered);
  // Until something can be read or `patience` is over.
  void WaitReadable(absl::Duration patience);

 private:
  static constexpr int kBatch = 64;
  // What an echo carries beside the header: a number nobody can guess, so that answers to others,
  // to earlier sweeps and made-up ones are told apart, and the place in the sweep.
  struct Packet {
    uint8_t type;
    uint8_t code;
    uint16_t checksum;
    uint16_t id;
    uint16_t sequence;
    uint64_t cookie;
    uint32_t index;
    uint32_t padding;
  };
  static_assert(sizeof(Packet) == 24);

  IcmpSocket(int fd, bool raw);
  void Fill(const Echo& echo, Packet& packet) const;

  int fd_ = -1;
  bool raw_ = false;
  int capacity_ = 0;
  uint16_t id_ = 0;
  uint64_t cookie_ = 0;
};

}  // namespace drover::reach
