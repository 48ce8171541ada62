// HTTPS to one host: a few kept connections, the certificate pinned, every request with a time
// limit and cancellable.
//
// The SHA-256 of the server's certificate is compared while the TLS handshake runs, so that nothing
// of a request leaves before the right server is known. There is no other mode.
//
// Thread promise: all methods from any thread; a request waits for a free connection. Owns the
// connections. Nothing survives a restart.
#pragma once

#include <memory>
#include <stop_token>
#include <string>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/synchronization/mutex.h"
#include "absl/time/time.h"

namespace drover::vsphere {

struct HttpRequest {
  enum class Method { kGet, kPost, kPut };
  Method method = Method::kGet;
  std::string url;
  // Whole lines, "Name: value".
  std::vector<std::string> headers;
  absl::string_view body;
  absl::Duration timeout = absl::Seconds(60);
  std::stop_token stop;
  // libcurl sends a request again by itself when a kept connection turns out to be dead. What must
  // not be done twice travels on a new connection, where it cannot happen.
  bool repeatable = true;
};

struct HttpResponse {
  long status = 0;
  std::string body;
  // "name=value" of the last Set-Cookie, quotes kept; "" without one.
  std::string cookie;
};

class HttpTransport {
 public:
  // `fingerprint`: 32 upper-case hex pairs joined by ':', or "" when none was confirmed: then each
  // request ends in CERTIFICATE_NOT_CONFIRMED. 20 pairs are a SHA-1 thumbprint, as a vCenter may
  // vouch for its hosts. At most `connections` at a time.
  HttpTransport(std::string fingerprint, int connections);
  ~HttpTransport();
  HttpTransport(const HttpTransport&) = delete;
  HttpTransport& operator=(const HttpTransport&) = delete;

  // Any HTTP status is an answer. UNAVAILABLE, reason HYPERVISOR_UNREACHABLE, when there was none;
  // FAILED_PRECONDITION, reason CERTIFICATE_NOT_CONFIRMED, metadata "fingerprint"; CANCELLED.
  absl::StatusOr<HttpResponse> Send(const HttpRequest& request);

 private:
  class Connection;

  absl::StatusOr<std::unique_ptr<Connection>> Take(std::stop_token stop);
  void GiveBack(std::unique_ptr<Connection> connection);

  const std::string fingerprint_;
  absl::Mutex mutex_;
  absl::CondVar freed_;
  std::vector<std::unique_ptr<Connection>> idle_ ABSL_GUARDED_BY(mutex_);
  int unused_ ABSL_GUARDED_BY(mutex_);
};

// "host" or "host:port" of an URL, as people know the server; the URL itself when it is none.
std::string HostOfUrl(absl::string_view url);
// The same without the port.
std::string HostNameOfUrl(absl::string_view url);

}  // namespace drover::vsphere
