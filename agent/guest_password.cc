#include "agent/guest_password.h"

#include <algorithm>
#include <utility>

#include "absl/strings/ascii.h"
#include "absl/strings/str_cat.h"
#include "openssl/crypto.h"
#include "proto/support/status.h"
#include "proto/support/utf8.h"

namespace drover::agent {
namespace {

absl::Status Check(const std::string& account, const std::string& password) {
  const bool plain = std::all_of(account.begin(), account.end(), [](unsigned char c) {
    return absl::ascii_isalnum(c) || c == '_' || c == '-' || c == '.' || c == '$';
  });
  if (account.empty() || account.size() > 64 || account[0] == '-' || !plain) {
    return InvalidField("account", "must be the name of an account");
  }
  const bool printable = std::none_of(password.begin(), password.end(),
                                      [](unsigned char c) { return c < 0x20 || c == 0x7f; });
  if (password.empty() || password.size() > 1024 || !printable) {
    return InvalidField("password",
                        "must be 1 to 1024 bytes without line breaks or control characters");
  }
  return absl::OkStatus();
}

}  // namespace

absl::StatusOr<std::unique_ptr<PasswordChange>> PasswordChange::Start(EventLoop* loop,
                                                                      const std::string& account,
                                                                      const std::string& password,
                                                                      Done done) {
  DROVER_RETURN_IF_ERROR(Check(account, password));
  DROVER_ASSIGN_OR_RETURN(auto output, OutputFile::InMemory());
  std::unique_ptr<PasswordChange> change(new PasswordChange(std::move(output)));
  change->loop_ = loop;
  Program program;
  program.argv = {"/usr/sbin/chpasswd"};
  program.input = absl::StrCat(account, ":", password, "\n");
  program.output_fd = change->output_.fd();
  auto child = ChildProcess::Start(
      loop, program, [change = change.get(), account, done = std::move(done)](ExitStatus exit) {
        if (exit.code == 0) return done(absl::OkStatus());
        const std::string words = exit.code == 127 ? "there is no /usr/sbin/chpasswd"
                                                   : CleanText(change->output_.Tail(1024), 1024);
        done(MakeError(absl::StatusCode::kFailedPrecondition, "PASSWORD_REFUSED",
                       absl::StrCat("the password of ", account, " was not changed: ",
                                    words.empty() ? exit.ToString() : words)));
      });
  OPENSSL_cleanse(program.input.data(), program.input.size());
  DROVER_ASSIGN_OR_RETURN(change->child_, std::move(child));
  return change;
}

void PasswordChange::Abort(Done killed) {
  KillTree(loop_, child_->running() ? child_->pid() : 0, child_->mark(), std::move(killed));
}

}  // namespace drover::agent
