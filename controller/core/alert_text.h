// The words of mails to owners, in English and Chinese. Thread promise: pure functions.
#pragma once

#include <string>
#include <vector>

#include "absl/strings/string_view.h"
#include "controller/core/alert_records.pb.h"
#include "controller/core/ports.h"

namespace drover::core {

// A language tag as users have it; everything but Chinese is read in English.
enum class Language { kEnglish, kChinese };
Language LanguageOf(absl::string_view tag);

// One mail about one notice, or about several that belong together: those of one environment, or of
// hosts. Without recipients; `notices` is not empty.
Mail MailAbout(const std::vector<Notice>& notices, Language language);
// What was not mailed because the recipient had `limit` mails in that hour.
Mail MailAboutHeld(const AlertRecipient& recipient, int limit, Language language);
Mail TestMail(Language language);

}  // namespace drover::core
