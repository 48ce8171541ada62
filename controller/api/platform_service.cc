#include "controller/api/platform_service.h"

#include "controller/core/alert_text.h"
#include "controller/core/user_records.h"
#include "proto/support/status.h"

namespace drover::api {

void PlatformService::Register(Dispatcher& dispatcher) {
  dispatcher.OnUnary<v1::GetPlatformHealthRequest, v1::PlatformHealth>(
      "ActivityService.GetPlatformHealth",
      [this](const Call&, const auto&) -> absl::StatusOr<v1::PlatformHealth> {
        return health_->Examine();
      });
  dispatcher.OnUnary<v1::SendTestMailRequest, v1::SendTestMailResponse>(
      "ActivityService.SendTestMail",
      [this](const Call&, const auto& request) { return SendTestMail(request); });
}

absl::StatusOr<v1::SendTestMailResponse> PlatformService::SendTestMail(
    const v1::SendTestMailRequest& request) {
  if (mailer_ == nullptr) {
    return MakeError(absl::StatusCode::kFailedPrecondition, "MAIL_NOT_CONFIGURED",
                     "no mail server is set; set [mail] smtp and from in config.toml");
  }
  if (!request.language().empty() && request.language() != "en" && request.language() != "zh-CN") {
    return InvalidField("language", "must be en or zh-CN");
  }
  std::string language = request.language();
  if (language.empty()) {
    DROVER_ASSIGN_OR_RETURN(language, core::LanguageOfAddress(*store_, request.to()));
  }
  core::Mail mail = core::TestMail(core::LanguageOf(language));
  mail.to = {request.to()};
  const absl::Status sent = mailer_->Send(mail);
  if (absl::IsUnavailable(sent)) {
    return MakeError(absl::StatusCode::kUnavailable, "MAIL_SERVER_UNREACHABLE", sent.message());
  }
  if (!sent.ok()) {
    return MakeError(absl::StatusCode::kFailedPrecondition, "MAIL_REFUSED", sent.message());
  }
  v1::SendTestMailResponse response;
  response.set_server(mail_server_);
  return response;
}

}  // namespace drover::api
