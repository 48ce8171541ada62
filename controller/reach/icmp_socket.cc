#include "controller/reach/icmp_socket.h"

#include <linux/icmp.h>
#include <poll.h>
#include <sys/random.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstring>
#include <utility>

#include "absl/strings/str_cat.h"
#include "proto/support/status.h"

namespace drover::reach {
namespace {

constexpr int kReceiveBuffer = 16 << 20;
// What the kernel counts for a short packet: its buffer, and the bookkeeping beside it.
constexpr int kBytesPerAnswer = 1024;
constexpr int kLargestIpHeader = 60;

uint16_t Checksum(const void* data, size_t size) {
  uint32_t sum = 0;
  for (size_t i = 0; i + 1 < size; i += 2) {
    uint16_t word;
    std::memcpy(&word, static_cast<const char*>(data) + i, sizeof word);
    sum += word;
  }
  sum = (sum >> 16) + (sum & 0xffff);
  sum += sum >> 16;
  return static_cast<uint16_t>(~sum);
}

// Only answers reach a raw socket, not our own questions on loopback, nor the rest of ICMP.
bool AcceptAnswersOnly(int fd) {
  icmp_filter filter{};
  filter.data = ~(1U << ICMP_ECHOREPLY);
  return setsockopt(fd, SOL_RAW, ICMP_FILTER, &filter, sizeof filter) == 0;
}

// Bytes it got.
int GrowReceiveBuffer(int fd) {
  int wanted = kReceiveBuffer;
  // Beyond the system's limit only with CAP_NET_ADMIN.
  if (setsockopt(fd, SOL_SOCKET, SO_RCVBUFFORCE, &wanted, sizeof wanted) != 0) {
    setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &wanted, sizeof wanted);
  }
  int granted = 0;
  socklen_t size = sizeof granted;
  return getsockopt(fd, SOL_SOCKET, SO_RCVBUF, &granted, &size) == 0 ? granted : 64 << 10;
}

}  // namespace

absl::StatusOr<IcmpSocket> IcmpSocket::Open() {
  bool raw = true;
  int fd = socket(AF_INET, SOCK_RAW | SOCK_NONBLOCK | SOCK_CLOEXEC, IPPROTO_ICMP);
  if (fd < 0 && (errno == EPERM || errno == EACCES)) {
    raw = false;
    fd = socket(AF_INET, SOCK_DGRAM | SOCK_NONBLOCK | SOCK_CLOEXEC, IPPROTO_ICMP);
    if (fd < 0 && (errno == EPERM || errno == EACCES)) {
      return MakeError(absl::StatusCode::kPermissionDenied, "PROBING_NOT_PERMITTED",
                       "ICMP echoes cannot be sent: give the program CAP_NET_RAW "
                       "(AmbientCapabilities=CAP_NET_RAW in its unit), or admit its group by "
                       "net.ipv4.ping_group_range");
    }
  }
  if (fd < 0) {
    return absl::UnavailableError(absl::StrCat("no ICMP socket: ", std::strerror(errno)));
  }
  IcmpSocket opened(fd, raw);
  if (raw && !AcceptAnswersOnly(fd)) {
    return absl::UnavailableError(absl::StrCat("ICMP filter: ", std::strerror(errno)));
  }
  if (getrandom(&opened.cookie_, sizeof opened.cookie_, 0) != sizeof opened.cookie_) {
    return absl::UnavailableError("the kernel gives no random bytes");
  }
  opened.id_ = static_cast<uint16_t>(opened.cookie_ >> 32);
  opened.capacity_ = std::max(kBatch, GrowReceiveBuffer(fd) / kBytesPerAnswer);
  return opened;
}

IcmpSocket::IcmpSocket(int fd, bool raw) : fd_(fd), raw_(raw) {}

IcmpSocket::IcmpSocket(IcmpSocket&& other) noexcept
    : fd_(std::exchange(other.fd_, -1)),
      raw_(other.raw_),
      capacity_(other.capacity_),
      id_(other.id_),
      cookie_(other.cookie_) {}

IcmpSocket::~IcmpSocket() {
  if (fd_ >= 0) close(fd_);
}

void IcmpSocket::Fill(const Echo& echo, Packet& packet) const {
  packet = Packet{};
  packet.type = ICMP_ECHO;
  packet.id = id_;
  packet.sequence = htons(static_cast<uint16_t>(echo.index));
  packet.cookie = cookie_;
  packet.index = echo.index;
  packet.checksum = Checksum(&packet, sizeof packet);
}

int IcmpSocket::Send(absl::Span<const Echo> echoes, Sent* next) {
  std::array<Packet, kBatch> packets;
  std::array<sockaddr_in, kBatch> addresses;
  std::array<iovec, kBatch> pieces;
  std::array<mmsghdr, kBatch> messages;
  int count = static_cast<int>(std::min<size_t>(echoes.size(), kBatch));
  for (int i = 0; i < count; ++i) {
    Fill(echoes[i], packets[i]);
    addresses[i] = sockaddr_in{};
    addresses[i].sin_family = AF_INET;
    addresses[i].sin_addr.s_addr = echoes[i].address;
    pieces[i] = iovec{&packets[i], sizeof packets[i]};
    messages[i] = mmsghdr{};
    messages[i].msg_hdr.msg_name = &addresses[i];
    messages[i].msg_hdr.msg_namelen = sizeof addresses[i];
    messages[i].msg_hdr.msg_iov = &pieces[i];
    messages[i].msg_hdr.msg_iovlen = 1;
  }
  *next = Sent::kOne;
  int sent = sendmmsg(fd_, messages.data(), count, MSG_DONTWAIT);
  if (sent > 0) return sent;
  // ENOBUFS: a queue, or the table of neighbours, is full of those that do not answer.
  bool blocked = errno == EAGAIN || errno == ENOBUFS || errno == ENOMEM || errno == EINTR;
  *next = blocked ? Sent::kBlocked : Sent::kUnsendable;
  return 0;
}

void IcmpSocket::Receive(absl::FunctionRef<void(uint32_t, in_addr_t)> answered) {
  std::array<std::array<char, kLargestIpHeader + sizeof(Packet)>, kBatch> buffers;
  std::array<sockaddr_in, kBatch> senders;
  std::array<iovec, kBatch> pieces;
  std::array<mmsghdr, kBatch> messages;
  for (;;) {
    for (int i = 0; i < kBatch; ++i) {
      pieces[i] = iovec{buffers[i].data(), buffers[i].size()};
      messages[i] = mmsghdr{};
      messages[i].msg_hdr.msg_name = &senders[i];
      messages[i].msg_hdr.msg_namelen = sizeof senders[i];
      messages[i].msg_hdr.msg_iov = &pieces[i];
      messages[i].msg_hdr.msg_iovlen = 1;
    }
    int received = recvmmsg(fd_, messages.data(), kBatch, MSG_DONTWAIT, nullptr);
    for (int i = 0; i < received; ++i) {
      // A raw socket hands over the IP header too.
      size_t header = raw_ ? static_cast<size_t>(buffers[i][0] & 0xf) * 4 : 0;
      if (messages[i].msg_len < header + sizeof(Packet)) continue;
      Packet packet;
      std::memcpy(&packet, buffers[i].data() + header, sizeof packet);
      // A socket that is not raw has its id from the kernel, which sorts by it.
      bool ours =
          packet.type == ICMP_ECHOREPLY && packet.cookie == cookie_ && (!raw_ || packet.id == id_);
      if (ours) answered(packet.index, senders[i].sin_addr.s_addr);
    }
    if (received < kBatch) return;
  }
}

void IcmpSocket::WaitReadable(absl::Duration patience) {
  pollfd readable{fd_, POLLIN, 0};
  timespec timeout = absl::ToTimespec(std::max(patience, absl::ZeroDuration()));
  // Woken by a signal it returns early, and the caller looks at the time again.
  ppoll(&readable, 1, &timeout, nullptr);
}

}  // namespace drover::reach
