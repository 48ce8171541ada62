// One login to one server: every SOAP call goes through it, and it is the only place that logs in.
//
// A call logs in when nobody has, and once more when the server says that the session is gone. A
// refused login is kept: no further call reaches the server, since hosts lock accounts after a few
// failures; new credentials mean a new Session. The first login of a Session ends the sessions that
// an earlier life of the same controller left behind, so that crashes do not pile them up.
//
// Thread promise: all methods from any thread; logins are made by one thread while the others wait.
// Owns the connections. Nothing survives a restart; the destructor logs out.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <stop_token>
#include <string>

#include "absl/base/thread_annotations.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/synchronization/mutex.h"
#include "absl/time/time.h"
#include "controller/vsphere/http_transport.h"
#include "controller/vsphere/soap.h"

namespace drover::vsphere {

struct Account {
  // "https://host/sdk".
  std::string url;
  std::string user;
  std::string password;
  // Of the confirmed certificate, "" when none is.
  std::string fingerprint;
  // User-Agent. The same for every life of one handle of one controller, and of nothing else; ""
  // for a login that leaves others alone.
  std::string agent;
};

// What RetrieveServiceContent tells. Managers by their element name, e.g. "viewManager".
struct ServiceContent {
  std::map<std::string, MoRef, std::less<>> managers;
  std::string full_name;
  std::string version;
  bool is_vcenter = false;
  // An empty reference when the server has no such manager.
  MoRef Manager(absl::string_view name) const;
};

struct CallOptions {
  absl::Duration timeout = absl::Seconds(60);
  std::stop_token stop;
  // Must not be sent twice.
  bool changes = false;
  // Blocks on the server: uses the connection kept for that.
  bool waits = false;
};

class Session {
 public:
  explicit Session(Account account);
  ~Session();
  Session(const Session&) = delete;
  Session& operator=(const Session&) = delete;

  // FaultStatus for a fault. HYPERVISOR_UNREACHABLE, CERTIFICATE_NOT_CONFIRMED,
  // HYPERVISOR_LOGIN_REFUSED, CANCELLED as the port says.
  absl::StatusOr<SoapReply> Call(const MoRef& self, absl::string_view method,
                                 absl::string_view parameters, const CallOptions& options);
  // Logs in when needed.
  absl::StatusOr<ServiceContent> Content(std::stop_token stop);
  // Counts logins: what belonged to an earlier one is gone.
  int64_t generation() const;
  // The server said that login `generation` is gone.
  void Lost(int64_t generation);

  // File transfers: same pin, no cookie.
  HttpTransport& transport() { return calls_; }
  const Account& account() const { return account_; }
  const std::string& host() const { return host_; }

 private:
  struct Login {
    std::string cookie;
    int64_t generation = 0;
  };

  absl::StatusOr<Login> LogIn(std::stop_token stop);
  // Talks to the server; no lock held. Fills content when it is the first time.
  absl::StatusOr<std::string> Connect(std::stop_token stop, ServiceContent& content);
  void EndLeftOvers(const ServiceContent& content, const std::string& own_key,
                    const std::string& cookie, std::stop_token stop);
  absl::StatusOr<SoapReply> Send(const std::string& envelope, const std::string& cookie,
                                 const CallOptions& options, std::string* new_cookie);

  const Account account_;
  const std::string host_;
  HttpTransport calls_;
  HttpTransport waits_;

  mutable absl::Mutex mutex_;
  absl::CondVar changed_;
  bool logging_in_ ABSL_GUARDED_BY(mutex_) = false;
  bool cleaned_ ABSL_GUARDED_BY(mutex_) = false;
  std::optional<Login> login_ ABSL_GUARDED_BY(mutex_);
  int64_t logins_ ABSL_GUARDED_BY(mutex_) = 0;
  absl::Status refused_ ABSL_GUARDED_BY(mutex_);
  std::optional<ServiceContent> content_ ABSL_GUARDED_BY(mutex_);
};

}  // namespace drover::vsphere
