// About the platform itself: is it well, and does mail reach people.
//
// Thread promise: Register once before the server starts; handlers from any thread.
#pragma once

#include <string>

#include "controller/api/dispatcher.h"
#include "controller/core/platform_health.h"
#include "controller/core/ports.h"

namespace drover::api {

class PlatformService {
 public:
  // Without a mail server `mailer` is null and `mail_server` is "". The store has the users.
  PlatformService(core::PlatformHealth* health, core::Store* store, core::Mailer* mailer,
                  std::string mail_server)
      : health_(health), store_(store), mailer_(mailer), mail_server_(std::move(mail_server)) {}

  void Register(Dispatcher& dispatcher);

 private:
  absl::StatusOr<v1::SendTestMailResponse> SendTestMail(const v1::SendTestMailRequest& request);

  core::PlatformHealth* const health_;
  core::Store* const store_;
  core::Mailer* const mailer_;
  const std::string mail_server_;
};

}  // namespace drover::api
