// Sets an account's password by chpasswd, which reads it from its standard input: never in
// arguments, environment, files or logs.
//
// Thread promise: belongs to the event loop's thread; never waits. Survives a restart: nothing.
#pragma once

#include <functional>
#include <memory>
#include <string>

#include "absl/status/status.h"
#include "agent/child_process.h"
#include "agent/event_loop.h"
#include "agent/order_work.h"

namespace drover::agent {

class PasswordChange : public OrderWork {
 public:
  using Done = std::function<void(absl::Status)>;

  // Begins at once. INVALID_ARGUMENT naming the field when account or password hold what would be
  // read as more than one line or field, or are empty. `done`, called from the loop, gets
  // FAILED_PRECONDITION, reason PASSWORD_REFUSED with the system's words.
  static absl::StatusOr<std::unique_ptr<PasswordChange>> Start(EventLoop* loop,
                                                               const std::string& account,
                                                               const std::string& password,
                                                               Done done);
  void Abort(Done killed) override;

 private:
  explicit PasswordChange(OutputFile output) : output_(std::move(output)) {}

  EventLoop* loop_ = nullptr;
  OutputFile output_;
  std::unique_ptr<ChildProcess> child_;
};

}  // namespace drover::agent
