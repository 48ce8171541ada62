#include "controller/mail/mail_message.h"

#include <algorithm>
#include <vector>

#include "absl/strings/ascii.h"
#include "absl/strings/escaping.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/strings/str_replace.h"

namespace drover::mail {
namespace {

// An encoded word is framed by 12 characters, base64 makes 4 of 3, and the first one has the
// header's name before it: so a line stays below 76.
constexpr size_t kBytesPerWord = 39;
constexpr size_t kBase64Line = 76;

bool IsPlain(absl::string_view text) {
  return std::all_of(text.begin(), text.end(), [](char c) { return c >= ' ' && c < 0x7f; });
}

std::string WithoutControls(absl::string_view text) {
  std::string clean;
  for (char c : text) {
    if (!absl::ascii_iscntrl(static_cast<unsigned char>(c))) clean.push_back(c);
  }
  return clean;
}

bool ContinuesCharacter(char c) { return (static_cast<unsigned char>(c) & 0xc0) == 0x80; }

std::string ThreadId(absl::string_view thread) {
  std::string id;
  for (char c : thread) id.push_back(absl::ascii_isalnum(c) || c == '-' || c == '.' ? c : '-');
  return absl::StrCat("<thread.", id, "@drover>");
}

}  // namespace

std::string EncodeHeader(absl::string_view text) {
  std::string clean = WithoutControls(text);
  if (IsPlain(clean) && clean.size() < kBase64Line - 10) return clean;
  std::vector<std::string> words;
  for (size_t begin = 0; begin < clean.size();) {
    size_t end = std::min(clean.size(), begin + kBytesPerWord);
    // Words are cut between characters.
    while (end < clean.size() && end > begin + 1 && ContinuesCharacter(clean[end])) --end;
    words.push_back(
        absl::StrCat("=?UTF-8?B?", absl::Base64Escape(clean.substr(begin, end - begin)), "?="));
    begin = end;
  }
  return absl::StrJoin(words, "\r\n ");
}

std::string ComposeMessage(const core::Mail& mail, absl::string_view from, absl::string_view id,
                           absl::Time now) {
  std::vector<std::string> to;
  for (const std::string& address : mail.to) to.push_back(WithoutControls(address));
  std::string message = absl::StrCat(
      "From: Drover <", WithoutControls(from), ">\r\n", "To: ", absl::StrJoin(to, ",\r\n "),
      "\r\nSubject: ", EncodeHeader(mail.subject),
      "\r\nDate: ", absl::FormatTime("%a, %d %b %Y %H:%M:%S +0000", now, absl::UTCTimeZone()),
      "\r\nMessage-ID: <", WithoutControls(id), "@drover>\r\n");
  if (!mail.thread.empty()) {
    const std::string thread = ThreadId(mail.thread);
    absl::StrAppend(&message, "In-Reply-To: ", thread, "\r\nReferences: ", thread, "\r\n");
  }
  // Nobody's holiday notice shall answer it.
  absl::StrAppend(&message,
                  "Auto-Submitted: auto-generated\r\nX-Auto-Response-Suppress: All\r\n"
                  "MIME-Version: 1.0\r\nContent-Type: text/plain; charset=utf-8\r\n"
                  "Content-Transfer-Encoding: base64\r\n\r\n");
  const std::string body = absl::Base64Escape(absl::StrReplaceAll(mail.text, {{"\n", "\r\n"}}));
  for (size_t begin = 0; begin < body.size(); begin += kBase64Line) {
    absl::StrAppend(&message, body.substr(begin, kBase64Line), "\r\n");
  }
  return message;
}

}  // namespace drover::mail
