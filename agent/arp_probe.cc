#include "agent/arp_probe.h"

#include <arpa/inet.h>
#include <linux/if_packet.h>
#include <net/ethernet.h>
#include <net/if.h>
#include <netinet/if_ether.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

#include <utility>

#include "absl/status/status.h"
#include "agent/durable_file.h"

namespace drover::agent {
namespace {

constexpr int kTimes = 3;
constexpr absl::Duration kPause = absl::Milliseconds(333);

}  // namespace

absl::StatusOr<std::unique_ptr<ArpProbe>> ArpProbe::Start(EventLoop* loop, const std::string& card,
                                                          const std::string& target,
                                                          const std::string& source,
                                                          std::function<void(bool)> done) {
  std::unique_ptr<ArpProbe> probe(new ArpProbe(loop));
  in_addr address;
  if (inet_pton(AF_INET, target.c_str(), &address) != 1) {
    return absl::InvalidArgumentError("the address asked for is no IPv4 address");
  }
  probe->target_ = address.s_addr;
  if (!source.empty() && inet_pton(AF_INET, source.c_str(), &address) == 1) {
    probe->source_ = address.s_addr;
  }
  probe->fd_ =
      UniqueFd(socket(AF_PACKET, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, htons(ETH_P_ARP)));
  if (probe->fd_.get() < 0) return FileError(card, "asking the network");
  ifreq request = {};
  strncpy(request.ifr_name, card.c_str(), IFNAMSIZ - 1);
  if (ioctl(probe->fd_.get(), SIOCGIFINDEX, &request) != 0) return FileError(card, "finding it");
  probe->index_ = request.ifr_ifindex;
  if (ioctl(probe->fd_.get(), SIOCGIFHWADDR, &request) != 0 ||
      request.ifr_hwaddr.sa_family != ARPHRD_ETHER) {
    return absl::FailedPreconditionError("the card is no Ethernet");
  }
  memcpy(probe->mac_, request.ifr_hwaddr.sa_data, sizeof(probe->mac_));
  sockaddr_ll own = {};
  own.sll_family = AF_PACKET;
  own.sll_protocol = htons(ETH_P_ARP);
  own.sll_ifindex = probe->index_;
  if (bind(probe->fd_.get(), reinterpret_cast<sockaddr*>(&own), sizeof(own)) != 0) {
    return FileError(card, "asking the network");
  }
  probe->done_ = std::move(done);
  loop->WatchReadable(probe->fd_.get(), [raw = probe.get()] { raw->Read(); });
  probe->timer_ = loop->RunAfter(absl::ZeroDuration(), [raw = probe.get()] { raw->Ask(); });
  return probe;
}

ArpProbe::~ArpProbe() {
  loop_->CancelTimer(timer_);
  if (fd_.get() >= 0) loop_->Unwatch(fd_.get());
}

void ArpProbe::Ask() {
  timer_ = 0;
  if (asked_++ == kTimes) return End(false);
  ether_arp request = {};
  request.arp_hrd = htons(ARPHRD_ETHER);
  request.arp_pro = htons(ETHERTYPE_IP);
  request.arp_hln = 6;
  request.arp_pln = 4;
  request.arp_op = htons(ARPOP_REQUEST);
  memcpy(request.arp_sha, mac_, 6);
  memcpy(request.arp_spa, &source_, 4);
  memcpy(request.arp_tpa, &target_, 4);
  sockaddr_ll everybody = {};
  everybody.sll_family = AF_PACKET;
  everybody.sll_protocol = htons(ETH_P_ARP);
  everybody.sll_ifindex = index_;
  everybody.sll_halen = 6;
  memset(everybody.sll_addr, 0xff, 6);
  // A cable that is out for a moment is asked again.
  (void)!sendto(fd_.get(), &request, sizeof(request), 0, reinterpret_cast<sockaddr*>(&everybody),
                sizeof(everybody));
  timer_ = loop_->RunAfter(kPause, [this] { Ask(); });
}

void ArpProbe::Read() {
  ether_arp heard;
  for (;;) {
    const ssize_t size = recv(fd_.get(), &heard, sizeof(heard), 0);
    if (size < 0) return;
    if (size < static_cast<ssize_t>(sizeof(heard))) continue;
    // An answer, or somebody who announces it as his own.
    const bool from_target = memcmp(heard.arp_spa, &target_, 4) == 0;
    const bool own = memcmp(heard.arp_sha, mac_, 6) == 0;
    if (from_target && !own) return End(true);
  }
}

void ArpProbe::End(bool answered) {
  loop_->CancelTimer(std::exchange(timer_, 0));
  loop_->Unwatch(fd_.get());
  fd_ = UniqueFd();
  // May destroy this.
  const std::function<void(bool)> done = std::move(done_);
  done(answered);
}

}  // namespace drover::agent
