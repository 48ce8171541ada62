// About the platform itself: is it well, and does mail reach people.
//
// Thread promise: Register once before the server starts; handlers from any thread.
#pragma once

#include <string>

#include "controller/api/dispatcher.h"
#include "controller/core/alert_desk.h"
#include "controller/core/platform_health.h"
#include "controller/core/ports.h"

namespace drover::api {

class PlatformService {
 public:
  // Without a mail server `mailer` and `alerts` are null and `mail_server` is "".
  PlatformService(core::PlatformHealth* health, core::Mailer* mailer, core::AlertDesk* alerts,
                  std::string mail_server)
      : health_(health), mailer_(mailer), alerts_(alerts), mail_server_(std::move(mail_server)) {}

  void Register(Dispatcher& dispatcher);

 private:
  absl::StatusOr<v1::SendTestMailResponse> SendTestMail(const v1::SendTestMailRequest& request);

  core::PlatformHealth* const health_;
  core::Mailer* const mailer_;
  core::AlertDesk* const alerts_;
  const std::string mail_server_;
};

}  // namespace drover::api
