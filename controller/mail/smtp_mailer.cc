#include "controller/mail/smtp_mailer.h"

#include <curl/curl.h>

#include <algorithm>
#include <cstring>
#include <memory>
#include <utility>

#include "absl/strings/str_cat.h"
#include "controller/mail/mail_message.h"

namespace drover::mail {
namespace {

constexpr long kConnectSeconds = 15;
constexpr long kAllSeconds = 60;

struct Reader {
  std::string text;
  size_t read = 0;
};

size_t ReadText(char* buffer, size_t size, size_t count, void* opaque) {
  auto& reader = *static_cast<Reader*>(opaque);
  size_t length = std::min(size * count, reader.text.size() - reader.read);
  std::memcpy(buffer, reader.text.data() + reader.read, length);
  reader.read += length;
  return length;
}

long SslLevel(const SmtpOptions& options) {
  switch (options.security) {
    case Security::kNone:
    case Security::kOpportunistic:
      // A password is not shown to who listens.
      if (!options.user.empty()) return CURLUSESSL_ALL;
      return options.security == Security::kNone ? CURLUSESSL_NONE : CURLUSESSL_TRY;
    default:
      return CURLUSESSL_ALL;
  }
}

absl::Status StatusOf(CURLcode code, long response, absl::string_view server,
                      absl::string_view detail) {
  std::string text = absl::StrCat("mail server ", server, ": ",
                                  detail.empty() ? curl_easy_strerror(code) : detail);
  if (response >= 400) absl::StrAppend(&text, " (", response, ")");
  bool refused = response >= 500 && code != CURLE_LOGIN_DENIED && code != CURLE_USE_SSL_FAILED &&
                 code != CURLE_PEER_FAILED_VERIFICATION;
  return refused ? absl::FailedPreconditionError(text) : absl::UnavailableError(text);
}

}  // namespace

SmtpMailer::SmtpMailer(SmtpOptions options, core::Clock* clock)
    : options_(std::move(options)), clock_(clock) {
  // Counted by libcurl; the first one counts.
  curl_global_init(CURL_GLOBAL_DEFAULT);
}

absl::Status SmtpMailer::Send(const core::Mail& mail) {
  if (mail.to.empty()) return absl::FailedPreconditionError("the mail has no recipient");
  std::unique_ptr<CURL, decltype(&curl_easy_cleanup)> curl(curl_easy_init(), curl_easy_cleanup);
  if (curl == nullptr) return absl::UnavailableError("libcurl gives no handle");
  curl_slist* list = nullptr;
  for (const std::string& address : mail.to) {
    list = curl_slist_append(list, absl::StrCat("<", address, ">").c_str());
  }
  std::unique_ptr<curl_slist, decltype(&curl_slist_free_all)> recipients(list, curl_slist_free_all);
  const std::string id = absl::StrCat(absl::ToUnixNanos(clock_->Now()), ".", count_.fetch_add(1));
  Reader reader{ComposeMessage(mail, options_.from, id, clock_->Now())};
  const std::string url = absl::StrCat(options_.security == Security::kTls ? "smtps://" : "smtp://",
                                       options_.server, "/drover");
  const std::string sender = absl::StrCat("<", options_.from, ">");
  char detail[CURL_ERROR_SIZE] = "";
  CURL* handle = curl.get();
  curl_easy_setopt(handle, CURLOPT_URL, url.c_str());
  curl_easy_setopt(handle, CURLOPT_PROTOCOLS_STR, "smtp,smtps");
  curl_easy_setopt(handle, CURLOPT_USE_SSL, SslLevel(options_));
  curl_easy_setopt(handle, CURLOPT_NOSIGNAL, 1L);
  curl_easy_setopt(handle, CURLOPT_CONNECTTIMEOUT, kConnectSeconds);
  curl_easy_setopt(handle, CURLOPT_TIMEOUT, kAllSeconds);
  curl_easy_setopt(handle, CURLOPT_ERRORBUFFER, detail);
  curl_easy_setopt(handle, CURLOPT_MAIL_FROM, sender.c_str());
  curl_easy_setopt(handle, CURLOPT_MAIL_RCPT, recipients.get());
  // One bad address does not keep the mail from the others.
  curl_easy_setopt(handle, CURLOPT_MAIL_RCPT_ALLLOWFAILS, 1L);
  curl_easy_setopt(handle, CURLOPT_READFUNCTION, ReadText);
  curl_easy_setopt(handle, CURLOPT_READDATA, &reader);
  curl_easy_setopt(handle, CURLOPT_UPLOAD, 1L);
  if (!options_.authority_file.empty()) {
    curl_easy_setopt(handle, CURLOPT_CAINFO, options_.authority_file.c_str());
  }
  if (!options_.user.empty()) {
    curl_easy_setopt(handle, CURLOPT_USERNAME, options_.user.c_str());
    curl_easy_setopt(handle, CURLOPT_PASSWORD, options_.password.c_str());
  }
  CURLcode code = curl_easy_perform(handle);
  if (code == CURLE_OK) return absl::OkStatus();
  long response = 0;
  curl_easy_getinfo(handle, CURLINFO_RESPONSE_CODE, &response);
  return StatusOf(code, response, options_.server, detail);
}

}  // namespace drover::mail
