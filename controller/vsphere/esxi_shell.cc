#include "controller/vsphere/esxi_shell.h"

#include <libssh/libssh.h>

#include <utility>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "proto/support/status.h"

namespace drover::vsphere {
namespace {

constexpr int kConnections = 2;
constexpr long kConnectSeconds = 10;
// How long one look at a channel may take; a wish to stop is seen after it.
constexpr int kReadMilliseconds = 100;

std::string HostKeyOf(ssh_session session) {
  ssh_key key = nullptr;
  if (ssh_get_server_publickey(session, &key) != SSH_OK) return "";
  unsigned char* hash = nullptr;
  size_t length = 0;
  std::string text;
  if (ssh_get_publickey_hash(key, SSH_PUBLICKEY_HASH_SHA256, &hash, &length) == SSH_OK) {
    char* printed = ssh_get_fingerprint_hash(SSH_PUBLICKEY_HASH_SHA256, hash, length);
    if (printed != nullptr) text = printed;
    ssh_string_free_char(printed);
    ssh_clean_pubkey_hash(&hash);
  }
  ssh_key_free(key);
  return text;
}

// Answers each question of the server with the password.
int AnswerInteractively(ssh_session session, const std::string& password) {
  int result = ssh_userauth_kbdint(session, nullptr, nullptr);
  for (int round = 0; result == SSH_AUTH_INFO && round < 4; ++round) {
    int prompts = ssh_userauth_kbdint_getnprompts(session);
    for (int i = 0; i < prompts; ++i) {
      ssh_userauth_kbdint_setanswer(session, i, password.c_str());
    }
    result = ssh_userauth_kbdint(session, nullptr, nullptr);
  }
  return result;
}

}  // namespace

class EsxiShell::Connection {
 public:
  explicit Connection(const ShellAccount& account) : account_(account), session_(ssh_new()) {}
  ~Connection() {
    if (ssh_is_connected(session_)) ssh_disconnect(session_);
    ssh_free(session_);
  }

  bool alive() const { return ssh_is_connected(session_) == 1; }

  absl::Status Open() {
    long timeout = kConnectSeconds;
    unsigned int port = static_cast<unsigned int>(account_.port);
    int off = 0;
    // Nothing of the controller's own user: no configuration, no known hosts, no keys, no agent.
    ssh_options_set(session_, SSH_OPTIONS_PROCESS_CONFIG, &off);
    ssh_options_set(session_, SSH_OPTIONS_HOST, account_.host.c_str());
    ssh_options_set(session_, SSH_OPTIONS_PORT, &port);
    ssh_options_set(session_, SSH_OPTIONS_USER, account_.user.c_str());
    ssh_options_set(session_, SSH_OPTIONS_TIMEOUT, &timeout);
    if (ssh_connect(session_) != SSH_OK) return Unreachable();
    std::string key = HostKeyOf(session_);
    if (key.empty() || key != account_.host_key) return KeyNotConfirmed(key);
    return LogIn();
  }

  absl::StatusOr<ShellOutput> Run(absl::string_view command, absl::string_view input,
                                  absl::Duration timeout, std::stop_token stop) {
    ssh_channel channel = ssh_channel_new(session_);
    if (channel == nullptr) return Unreachable();
    absl::StatusOr<ShellOutput> output;
    if (ssh_channel_open_session(channel) != SSH_OK ||
        ssh_channel_request_exec(channel, std::string(command).c_str()) != SSH_OK) {
      output = Unreachable();
    } else {
      output = Exchange(channel, input, timeout, stop);
    }
    ssh_channel_close(channel);
    ssh_channel_free(channel);
    return output;
  }

 private:
  absl::Status Unreachable() {
    return MakeError(absl::StatusCode::kUnavailable, "HYPERVISOR_UNREACHABLE",
                     absl::StrCat("SSH to ", account_.host, ": ", ssh_get_error(session_)));
  }

  absl::Status KeyNotConfirmed(const std::string& key) {
    return MakeError(
        absl::StatusCode::kFailedPrecondition, "CERTIFICATE_NOT_CONFIRMED",
        account_.host_key.empty()
            ? absl::StrCat("the SSH host key of ", account_.host, " is not confirmed; compare ",
                           key, " with the one the host shows, and confirm it")
            : absl::StrCat(account_.host, " shows another SSH host key than the confirmed one: ",
                           key, " instead of ", account_.host_key),
        {{"ssh_host_key", key}});
  }

  // One attempt by one method: hosts count failures of both.
  absl::Status LogIn() {
    int result = ssh_userauth_none(session_, nullptr);
    if (result == SSH_AUTH_SUCCESS) return absl::OkStatus();
    int methods = ssh_userauth_list(session_, nullptr);
    result = (methods & SSH_AUTH_METHOD_PASSWORD) != 0
                 ? ssh_userauth_password(session_, nullptr, account_.password.c_str())
                 : AnswerInteractively(session_, account_.password);
    if (result == SSH_AUTH_SUCCESS) return absl::OkStatus();
    if (result == SSH_AUTH_ERROR) return Unreachable();
    return MakeError(
        absl::StatusCode::kFailedPrecondition, "HYPERVISOR_LOGIN_REFUSED",
        absl::StrCat("SSH to ", account_.host, " refuses the login of \"", account_.user,
                     "\"; it is not tried again until the credentials change"));
  }

  absl::StatusOr<ShellOutput> Exchange(ssh_channel channel, absl::string_view input,
                                       absl::Duration timeout, std::stop_token stop) {
    while (!input.empty()) {
      int written = ssh_channel_write(channel, input.data(), static_cast<uint32_t>(input.size()));
      if (written <= 0) return Unreachable();
      input.remove_prefix(static_cast<size_t>(written));
    }
    ssh_channel_send_eof(channel);
    ShellOutput output;
    absl::Duration waited = absl::ZeroDuration();
    while (!ssh_channel_is_eof(channel) || ssh_channel_poll(channel, 0) > 0 ||
           ssh_channel_poll(channel, 1) > 0) {
      if (stop.stop_requested()) return absl::CancelledError("cancelled");
      int taken =
          Drain(channel, 1, 0, output.err) + Drain(channel, 0, kReadMilliseconds, output.out);
      if (taken > 0) continue;
      if (!alive()) return Unreachable();
      waited += absl::Milliseconds(kReadMilliseconds);
      if (waited >= timeout) {
        return absl::DeadlineExceededError(absl::StrCat(
            account_.host, ": a command did not end within ", absl::FormatDuration(timeout)));
      }
    }
    output.exit_code = ssh_channel_get_exit_status(channel);
    return output;
  }

  static int Drain(ssh_channel channel, int is_stderr, int milliseconds, std::string& into) {
    char buffer[16384];
    int taken = ssh_channel_read_timeout(channel, buffer, sizeof buffer, is_stderr, milliseconds);
    if (taken <= 0) return 0;
    into.append(buffer, static_cast<size_t>(taken));
    return taken;
  }

  const ShellAccount& account_;
  ssh_session session_;
};

EsxiShell::EsxiShell(ShellAccount account) : account_(std::move(account)) {}
EsxiShell::~EsxiShell() = default;

absl::StatusOr<ShellOutput> EsxiShell::Run(absl::string_view command, std::stop_token stop,
                                           absl::string_view input, absl::Duration timeout) {
  DROVER_ASSIGN_OR_RETURN(std::unique_ptr<Connection> connection, Take(stop));
  auto output = connection->Run(command, input, timeout, stop);
  // A channel that was cut off leaves a connection nobody should build on.
  if (!output.ok()) connection.reset();
  GiveBack(std::move(connection));
  return output;
}

absl::StatusOr<std::unique_ptr<EsxiShell::Connection>> EsxiShell::Take(std::stop_token stop) {
  std::stop_callback wake(stop, [this] {
    absl::MutexLock lock(&mutex_);
    freed_.SignalAll();
  });
  {
    absl::MutexLock lock(&mutex_);
    while (true) {
      if (!refused_.ok()) return refused_;
      if (stop.stop_requested()) return absl::CancelledError("cancelled");
      while (!idle_.empty()) {
        auto connection = std::move(idle_.back());
        idle_.pop_back();
        if (connection->alive()) return connection;
        --open_;
      }
      if (open_ < kConnections) break;
      freed_.Wait(&mutex_);
    }
    ++open_;
  }
  auto connection = std::make_unique<Connection>(account_);
  absl::Status opened = connection->Open();
  if (opened.ok()) return connection;
  absl::MutexLock lock(&mutex_);
  --open_;
  freed_.Signal();
  if (HasReason(opened, "HYPERVISOR_LOGIN_REFUSED")) refused_ = opened;
  return opened;
}

void EsxiShell::GiveBack(std::unique_ptr<Connection> connection) {
  absl::MutexLock lock(&mutex_);
  if (connection != nullptr) {
    idle_.push_back(std::move(connection));
  } else {
    --open_;
  }
  freed_.Signal();
}

absl::StatusOr<std::string> ShellWord(absl::string_view text) {
  for (char c : text) {
    if (c == '\'' || static_cast<unsigned char>(c) < 0x20 || c == 0x7f) {
      return absl::InvalidArgumentError(
          absl::StrCat("\"", text,
                       "\" has a quote or a control character, which is not passed to "
                       "the host's shell"));
    }
  }
  return absl::StrCat("'", text, "'");
}

absl::Status ParseShellAddress(absl::string_view address, absl::string_view fallback_host,
                               ShellAccount& account) {
  account.port = 22;
  if (address.empty()) {
    account.host = std::string(fallback_host);
    return absl::OkStatus();
  }
  std::pair<absl::string_view, absl::string_view> parts =
      absl::StrSplit(address, absl::MaxSplits(':', 1));
  account.host = std::string(parts.first);
  bool has_port = parts.first.size() < address.size();
  if (account.host.empty() || (has_port && (!absl::SimpleAtoi(parts.second, &account.port) ||
                                            account.port < 1 || account.port > 65535))) {
    return InvalidField("ssh.address", "is neither a host nor host:port");
  }
  return absl::OkStatus();
}

}  // namespace drover::vsphere
