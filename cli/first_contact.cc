#include "cli/first_contact.h"

#include <fcntl.h>
#include <netdb.h>
#include <openssl/bio.h>
#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/ssl.h>
#include <openssl/x509.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <memory>

#include "absl/strings/ascii.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/strings/str_replace.h"
#include "absl/strings/strip.h"
#include "proto/support/status.h"

namespace drover::cli {
namespace {

struct Closer {
  void operator()(SSL_CTX* context) const { SSL_CTX_free(context); }
  void operator()(SSL* ssl) const { SSL_free(ssl); }
  void operator()(BIO* bio) const { BIO_free_all(bio); }
  void operator()(X509* certificate) const { X509_free(certificate); }
  void operator()(addrinfo* info) const { freeaddrinfo(info); }
};
template <typename T>
using Owned = std::unique_ptr<T, Closer>;

class Socket {
 public:
  explicit Socket(int fd) : fd_(fd) {}
  ~Socket() {
    if (fd_ >= 0) close(fd_);
  }
  Socket(const Socket&) = delete;
  Socket& operator=(const Socket&) = delete;
  Socket(Socket&& other) noexcept : fd_(other.fd_) { other.fd_ = -1; }
  int fd() const { return fd_; }

 private:
  int fd_;
};

absl::Status Unreachable(absl::string_view address, absl::string_view why) {
  return MakeError(absl::StatusCode::kUnavailable, "CONTROLLER_UNREACHABLE",
                   absl::StrCat("no controller answers at ", address, ": ", why));
}

absl::Status WaitFor(int fd, short events, absl::Duration timeout, const std::string& address) {
  pollfd waiting = {.fd = fd, .events = events, .revents = 0};
  const int ready = poll(&waiting, 1, static_cast<int>(absl::ToInt64Milliseconds(timeout)));
  if (ready > 0) return absl::OkStatus();
  return Unreachable(address, ready == 0 ? "no answer in time" : strerror(errno));
}

// Splits "host:port" and "[v6]:port".
absl::Status SplitAddress(const std::string& address, std::string& host, std::string& port) {
  const size_t colon = address.rfind(':');
  if (colon == std::string::npos || colon == 0 || colon + 1 == address.size()) {
    return absl::InvalidArgumentError(
        absl::StrCat("\"", address, "\" is not HOST:PORT, e.g. 10.0.0.1:8443"));
  }
  host = address.substr(0, colon);
  port = address.substr(colon + 1);
  if (host.front() == '[' && host.back() == ']') host = host.substr(1, host.size() - 2);
  return absl::OkStatus();
}

absl::StatusOr<Socket> Dial(const std::string& address, absl::Duration timeout) {
  std::string host;
  std::string port;
  DROVER_RETURN_IF_ERROR(SplitAddress(address, host, port));
  addrinfo hints = {};
  hints.ai_socktype = SOCK_STREAM;
  addrinfo* found = nullptr;
  const int problem = getaddrinfo(host.c_str(), port.c_str(), &hints, &found);
  if (problem != 0) return Unreachable(address, gai_strerror(problem));
  const Owned<addrinfo> addresses(found);
  absl::Status last = Unreachable(address, "no address");
  for (const addrinfo* at = found; at != nullptr; at = at->ai_next) {
    Socket socket(::socket(at->ai_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0));
    if (connect(socket.fd(), at->ai_addr, at->ai_addrlen) != 0 && errno != EINPROGRESS) {
      last = Unreachable(address, strerror(errno));
      continue;
    }
    last = WaitFor(socket.fd(), POLLOUT, timeout, address);
    if (!last.ok()) continue;
    int error = 0;
    socklen_t size = sizeof error;
    getsockopt(socket.fd(), SOL_SOCKET, SO_ERROR, &error, &size);
    if (error == 0) return socket;
    last = Unreachable(address, strerror(error));
  }
  return last;
}

absl::Status ShakeHands(SSL* ssl, int fd, absl::Duration timeout, const std::string& address) {
  while (true) {
    const int done = SSL_connect(ssl);
    if (done == 1) return absl::OkStatus();
    const int error = SSL_get_error(ssl, done);
    if (error != SSL_ERROR_WANT_READ && error != SSL_ERROR_WANT_WRITE) {
      return Unreachable(address, "it does not speak TLS as a controller does");
    }
    DROVER_RETURN_IF_ERROR(
        WaitFor(fd, error == SSL_ERROR_WANT_READ ? POLLIN : POLLOUT, timeout, address));
  }
}

std::string Fingerprint(const X509* certificate) {
  unsigned char digest[EVP_MAX_MD_SIZE];
  unsigned int size = 0;
  if (X509_digest(certificate, EVP_sha256(), digest, &size) != 1) return "";
  std::string text;
  for (unsigned int i = 0; i < size; ++i) {
    absl::StrAppend(&text, i == 0 ? "" : ":", absl::StrFormat("%02X", digest[i]));
  }
  return text;
}

std::string ToPem(X509* certificate) {
  const Owned<BIO> memory(BIO_new(BIO_s_mem()));
  PEM_write_bio_X509(memory.get(), certificate);
  char* data = nullptr;
  const long size = BIO_get_mem_data(memory.get(), &data);
  return std::string(data, static_cast<size_t>(size));
}

PresentedAuthority Describe(X509* certificate) {
  PresentedAuthority authority;
  authority.pem = ToPem(certificate);
  authority.fingerprint = Fingerprint(certificate);
  char subject[256] = {};
  X509_NAME_oneline(X509_get_subject_name(certificate), subject, sizeof subject - 1);
  authority.subject = subject;
  tm not_after = {};
  if (ASN1_TIME_to_tm(X509_get0_notAfter(certificate), &not_after) == 1) {
    authority.not_after = absl::FromTM(not_after, absl::UTCTimeZone());
  }
  return authority;
}

// The last certificate of the chain, after a look whether each was signed by the one after it.
absl::StatusOr<PresentedAuthority> AuthorityOf(SSL* ssl, const std::string& address) {
  STACK_OF(X509)* chain = SSL_get_peer_cert_chain(ssl);
  const int count = chain == nullptr ? 0 : sk_X509_num(chain);
  if (count == 0) return Unreachable(address, "it shows no certificate");
  for (int i = 0; i + 1 < count; ++i) {
    X509* signer = sk_X509_value(chain, i + 1);
    if (X509_verify(sk_X509_value(chain, i), X509_get0_pubkey(signer)) != 1) {
      return MakeError(absl::StatusCode::kFailedPrecondition, "CERTIFICATE_REFUSED",
                       absl::StrCat("the certificate of ", address,
                                    " was not signed by the authority that comes with it"));
    }
  }
  return Describe(sk_X509_value(chain, count - 1));
}

}  // namespace

absl::StatusOr<PresentedAuthority> FetchAuthority(const std::string& address,
                                                  absl::Duration timeout) {
  DROVER_ASSIGN_OR_RETURN(const Socket socket, Dial(address, timeout));
  const Owned<SSL_CTX> context(SSL_CTX_new(TLS_client_method()));
  // Nothing is trusted yet: what is shown here is what a person confirms.
  SSL_CTX_set_verify(context.get(), SSL_VERIFY_NONE, nullptr);
  SSL_CTX_set_min_proto_version(context.get(), TLS1_2_VERSION);
  const Owned<SSL> ssl(SSL_new(context.get()));
  const unsigned char http2[] = {2, 'h', '2'};
  SSL_set_alpn_protos(ssl.get(), http2, sizeof http2);
  SSL_set_fd(ssl.get(), socket.fd());
  DROVER_RETURN_IF_ERROR(ShakeHands(ssl.get(), socket.fd(), timeout, address));
  return AuthorityOf(ssl.get(), address);
}

std::string FingerprintOf(const std::string& pem) {
  const Owned<BIO> memory(BIO_new_mem_buf(pem.data(), static_cast<int>(pem.size())));
  const Owned<X509> certificate(PEM_read_bio_X509(memory.get(), nullptr, nullptr, nullptr));
  return certificate == nullptr ? "" : Fingerprint(certificate.get());
}

bool SameFingerprint(absl::string_view a, absl::string_view b) {
  const auto plain = [](absl::string_view text) {
    std::string upper = absl::AsciiStrToUpper(text);
    absl::string_view rest = upper;
    absl::ConsumePrefix(&rest, "SHA256:");
    return absl::StrReplaceAll(rest, {{":", ""}});
  };
  const std::string left = plain(a);
  return left.size() == 64 && left == plain(b);
}

}  // namespace drover::cli
