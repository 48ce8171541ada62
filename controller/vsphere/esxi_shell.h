// The shell of an ESXi host, by SSH: for hosts whose licence refuses changes by SOAP.
//
// The host key is compared with the confirmed one before anything of a login is sent. A refused
// login is kept and not tried again, since hosts lock accounts. Passwords travel inside SSH only,
// never in a command.
//
// Thread promise: all methods from any thread; at most two commands run at a time. Owns the
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

struct ShellAccount {
  std::string host;
  int port = 22;
  std::string user;
  std::string password;
  // "SHA256:..." as OpenSSH prints it; "" when none was confirmed.
  std::string host_key;
};

struct ShellOutput {
  int exit_code = 0;
  std::string out;
  std::string err;
};

class EsxiShell {
 public:
  explicit EsxiShell(ShellAccount account);
  ~EsxiShell();
  EsxiShell(const EsxiShell&) = delete;
  EsxiShell& operator=(const EsxiShell&) = delete;

  // Any exit code is an answer. UNAVAILABLE, reason HYPERVISOR_UNREACHABLE; FAILED_PRECONDITION,
  // reasons CERTIFICATE_NOT_CONFIRMED (metadata "ssh_host_key") and HYPERVISOR_LOGIN_REFUSED;
  // DEADLINE_EXCEEDED; CANCELLED. `input` is what the command reads.
  absl::StatusOr<ShellOutput> Run(absl::string_view command, std::stop_token stop,
                                  absl::string_view input = "",
                                  absl::Duration timeout = absl::Seconds(60));
  const std::string& host() const { return account_.host; }
  // The confirmed one.
  const std::string& host_key() const { return account_.host_key; }

 private:
  class Connection;

  absl::StatusOr<std::unique_ptr<Connection>> Take(std::stop_token stop);
  void GiveBack(std::unique_ptr<Connection> connection);

  const ShellAccount account_;
  absl::Mutex mutex_;
  absl::CondVar freed_;
  int open_ ABSL_GUARDED_BY(mutex_) = 0;
  std::vector<std::unique_ptr<Connection>> idle_ ABSL_GUARDED_BY(mutex_);
  absl::Status refused_ ABSL_GUARDED_BY(mutex_);
};

// The text in single quotes, as one word of a command. INVALID_ARGUMENT for text with quotes, line
// ends or other control characters.
absl::StatusOr<std::string> ShellWord(absl::string_view text);

// "host", "host:port" or "" for `fallback_host` -> host and port of an account.
absl::Status ParseShellAddress(absl::string_view address, absl::string_view fallback_host,
                               ShellAccount& account);

}  // namespace drover::vsphere
