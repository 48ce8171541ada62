#include "controller/reach/icmp_prober.h"

#include <arpa/inet.h>

#include <algorithm>
#include <chrono>
#include <cstdint>
#include <utility>

#include "absl/types/span.h"
#include "controller/reach/icmp_socket.h"
#include "proto/support/status.h"

namespace drover::reach {
namespace {

using SteadyClock = std::chrono::steady_clock;

// Echoes sent between two reads: enough to make the system calls cheap, few enough for a switch.
constexpr size_t kBurst = 64;
constexpr absl::Duration kPause = absl::Milliseconds(2);

// One sweep: what was asked, what is under way, who has answered.
class Sweeper {
 public:
  Sweeper(IcmpSocket socket, const std::vector<core::ProbeTarget>& targets)
      : socket_(std::move(socket)), answered_(targets.size()) {
    echoes_.reserve(targets.size());
    addresses_.reserve(targets.size());
    for (uint32_t i = 0; i < targets.size(); ++i) {
      in_addr address{};
      bool valid = inet_pton(AF_INET, targets[i].address.c_str(), &address) == 1;
      addresses_.push_back(valid ? address.s_addr : 0);
      if (valid && address.s_addr != 0) echoes_.push_back({i, address.s_addr});
    }
  }

  std::vector<bool> Run(absl::Duration patience) {
    // The second round has what the first left of the time.
    SteadyClock::time_point begin = SteadyClock::now();
    Round(begin + absl::ToChronoNanoseconds(patience / 2));
    echoes_.erase(std::remove_if(echoes_.begin(), echoes_.end(),
                                 [this](const Echo& echo) { return answered_[echo.index]; }),
                  echoes_.end());
    if (!echoes_.empty()) Round(begin + absl::ToChronoNanoseconds(patience));
    return std::move(answered_);
  }

 private:
  void Round(SteadyClock::time_point deadline) {
    unanswered_ = static_cast<int>(echoes_.size());
    int under_way = 0;
    size_t next = 0;
    while (next < echoes_.size() && SteadyClock::now() < deadline) {
      int room = socket_.capacity() - under_way;
      if (room <= 0) {
        // Those that have not answered by now may never: a pause at a time they make room.
        under_way -= std::max<int>(kBurst, Collect(kPause, deadline));
        continue;
      }
      size_t burst = std::min({kBurst, echoes_.size() - next, static_cast<size_t>(room)});
      IcmpSocket::Sent outcome;
      int sent = socket_.Send(absl::MakeConstSpan(echoes_).subspan(next, burst), &outcome);
      next += sent;
      under_way += sent;
      if (outcome == IcmpSocket::Sent::kUnsendable) {
        ++next;
        --unanswered_;
      }
      bool blocked = outcome == IcmpSocket::Sent::kBlocked;
      under_way -= Collect(blocked ? kPause : absl::ZeroDuration(), deadline);
      under_way = std::max(under_way, 0);
    }
    while (unanswered_ > 0 && SteadyClock::now() < deadline) {
      Collect(absl::InfiniteDuration(), deadline);
    }
  }

  // Waits at most so long for an answer, reads all there are; how many were new.
  int Collect(absl::Duration patience, SteadyClock::time_point deadline) {
    if (patience > absl::ZeroDuration()) {
      absl::Duration left = absl::FromChrono(deadline - SteadyClock::now());
      socket_.WaitReadable(std::min(patience, left));
    }
    int fresh = 0;
    socket_.Receive([&](uint32_t index, in_addr_t sender) {
      if (index >= answered_.size() || addresses_[index] != sender || answered_[index]) return;
      answered_[index] = true;
      ++fresh;
    });
    unanswered_ -= fresh;
    return fresh;
  }

  IcmpSocket socket_;
  std::vector<in_addr_t> addresses_;
  std::vector<Echo> echoes_;
  std::vector<bool> answered_;
  // Echoes of this round that can still be answered.
  int unanswered_ = 0;
};

}  // namespace

absl::StatusOr<std::unique_ptr<IcmpProber>> IcmpProber::Open() {
  DROVER_RETURN_IF_ERROR(IcmpSocket::Open().status());
  return std::make_unique<IcmpProber>();
}

absl::StatusOr<std::vector<bool>> IcmpProber::Sweep(const std::vector<core::ProbeTarget>& targets,
                                                    absl::Duration patience) {
  DROVER_ASSIGN_OR_RETURN(IcmpSocket socket, IcmpSocket::Open());
  return Sweeper(std::move(socket), targets).Run(patience);
}

}  // namespace drover::reach
