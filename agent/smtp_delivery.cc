#include "agent/smtp_delivery.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <sys/socket.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <utility>

#include "absl/strings/escaping.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/strings/str_replace.h"

namespace drover::agent {
namespace {

constexpr absl::Duration kLimit = absl::Minutes(1);
// Longer replies are no mail server's.
constexpr size_t kLongestReply = 64 * 1024;
// Base64 of so many bytes fits an encoded word with its frame.
constexpr size_t kWordBytes = 42;
constexpr size_t kLineBytes = 54;

bool ParseRelay(absl::string_view relay, sockaddr_in* address) {
  const size_t colon = relay.rfind(':');
  int port = 0;
  if (colon == absl::string_view::npos || !absl::SimpleAtoi(relay.substr(colon + 1), &port) ||
      port < 1 || port > 65535) {
    return false;
  }
  *address = {};
  address->sin_family = AF_INET;
  address->sin_port = htons(static_cast<uint16_t>(port));
  return inet_pton(AF_INET, std::string(relay.substr(0, colon)).c_str(), &address->sin_addr) == 1;
}

// The longest begin of at most `limit` bytes that ends between two characters.
size_t WholeCharacters(absl::string_view text, size_t limit) {
  if (text.size() <= limit) return text.size();
  size_t end = limit;
  while (end > 0 && (static_cast<unsigned char>(text[end]) & 0xc0) == 0x80) --end;
  return end == 0 ? limit : end;
}

std::string EncodedSubject(absl::string_view subject) {
  std::vector<std::string> words;
  while (!subject.empty()) {
    const size_t length = WholeCharacters(subject, kWordBytes);
    words.push_back(
        absl::StrCat("=?UTF-8?B?", absl::Base64Escape(subject.substr(0, length)), "?="));
    subject.remove_prefix(length);
  }
  return absl::StrJoin(words, "\r\n ");
}

// Nothing that ends a header or a command.
std::string OneLine(absl::string_view text) {
  return absl::StrReplaceAll(text, {{"\r", ""}, {"\n", ""}, {"<", ""}, {">", ""}});
}

}  // namespace

absl::Status CheckRelay(absl::string_view relay) {
  sockaddr_in address;
  if (ParseRelay(relay, &address)) return absl::OkStatus();
  return absl::InvalidArgumentError(
      absl::StrCat("the relay \"", relay, "\" must be an IPv4 address and a port, 10.0.0.5:25"));
}

std::string ComposeLetter(const Letter& letter) {
  std::string message = absl::StrCat(
      "Date: ", absl::FormatTime("%a, %d %b %Y %H:%M:%S +0000", letter.time, absl::UTCTimeZone()),
      "\r\nFrom: ", OneLine(letter.sender), "\r\nTo: ", OneLine(absl::StrJoin(letter.to, ", ")),
      "\r\nMessage-ID: <", OneLine(letter.id),
      "@drover-agent>\r\nSubject: ", EncodedSubject(OneLine(letter.subject)),
      "\r\nAuto-Submitted: auto-generated\r\nMIME-Version: 1.0\r\n"
      "Content-Type: text/plain; charset=utf-8\r\nContent-Transfer-Encoding: base64\r\n\r\n");
  absl::string_view rest = letter.text;
  while (!rest.empty()) {
    const size_t length = std::min(rest.size(), kLineBytes);
    absl::StrAppend(&message, absl::Base64Escape(rest.substr(0, length)), "\r\n");
    rest.remove_prefix(length);
  }
  return message;
}

SmtpDelivery::SmtpDelivery(EventLoop* loop, Letter letter, Done done)
    : loop_(loop), letter_(std::move(letter)), done_(std::move(done)) {
  timeout_ = loop_->RunAfter(kLimit, [this] {
    timeout_ = 0;
    Finish(
        absl::UnavailableError(absl::StrCat("relay ", letter_.relay, ": no answer in a minute")));
  });
  Connect();
}

SmtpDelivery::~SmtpDelivery() {
  loop_->CancelTimer(timeout_);
  if (socket_.valid()) loop_->Unwatch(socket_.get());
}

void SmtpDelivery::Connect() {
  sockaddr_in address;
  if (!ParseRelay(letter_.relay, &address)) return Finish(CheckRelay(letter_.relay));
  socket_.reset(socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0));
  if (!socket_.valid() ||
      (connect(socket_.get(), reinterpret_cast<sockaddr*>(&address), sizeof(address)) != 0 &&
       errno != EINPROGRESS)) {
    return Finish(
        absl::UnavailableError(absl::StrCat("relay ", letter_.relay, ": ", strerror(errno))));
  }
  // The greeting, or the error.
  loop_->WatchReadable(socket_.get(), [this] { Readable(); });
}

void SmtpDelivery::Readable() {
  char buffer[4096];
  const ssize_t count = recv(socket_.get(), buffer, sizeof(buffer), 0);
  if (count < 0 && (errno == EAGAIN || errno == EINTR)) return;
  if (count <= 0 || in_.size() > kLongestReply) {
    const char* why = count < 0 ? strerror(errno) : "it ended the connection";
    // Whatever became of the goodbye, the mail is taken.
    if (stage_ == Stage::kQuit) return Finish(absl::OkStatus());
    return Finish(absl::UnavailableError(absl::StrCat("relay ", letter_.relay, ": ", why)));
  }
  in_.append(buffer, static_cast<size_t>(count));
  for (size_t end = in_.find('\n'); end != std::string::npos; end = in_.find('\n')) {
    const std::string line = in_.substr(0, end > 0 && in_[end - 1] == '\r' ? end - 1 : end);
    in_.erase(0, end + 1);
    int code = 0;
    if (line.size() < 3 || !absl::SimpleAtoi(line.substr(0, 3), &code)) {
      return Finish(absl::UnavailableError(
          absl::StrCat("relay ", letter_.relay, " does not speak SMTP: ", line)));
    }
    if (line.size() > 3 && line[3] == '-') continue;
    Reply(code, line);
    if (done_ == nullptr) return;
  }
}

void SmtpDelivery::Reply(int code, const std::string& line) {
  const bool good = code >= 200 && code < 400;
  if (stage_ == Stage::kRecipients) {
    // One bad address does not keep the mail from the others.
    if (good) {
      ++taken_;
    } else if (refusal_.empty() || code < 500) {
      refusal_ = line;
    }
    if (++recipient_ < letter_.to.size()) {
      return Say(absl::StrCat("RCPT TO:<", OneLine(letter_.to[recipient_]), ">"));
    }
    if (taken_ > 0) {
      stage_ = Stage::kData;
      return Say("DATA");
    }
    const std::string text = absl::StrCat("relay ", letter_.relay, " refuses: ", refusal_);
    return Finish(refusal_[0] == '5' ? absl::FailedPreconditionError(text)
                                     : absl::UnavailableError(text));
  }
  if (stage_ == Stage::kQuit) return Finish(absl::OkStatus());
  if (!good) {
    const std::string text = absl::StrCat("relay ", letter_.relay, " refuses: ", line);
    return Finish(code >= 500 ? absl::FailedPreconditionError(text) : absl::UnavailableError(text));
  }
  switch (stage_) {
    case Stage::kGreeting:
      stage_ = Stage::kHello;
      return Say("EHLO drover-agent");
    case Stage::kHello:
      stage_ = Stage::kSender;
      return Say(absl::StrCat("MAIL FROM:<", OneLine(letter_.sender), ">"));
    case Stage::kSender:
      stage_ = Stage::kRecipients;
      return Say(absl::StrCat("RCPT TO:<", OneLine(letter_.to[0]), ">"));
    case Stage::kData:
      stage_ = Stage::kText;
      // Base64 has no line of a dot alone.
      return Say(absl::StrCat(ComposeLetter(letter_), "."));
    default:
      stage_ = Stage::kQuit;
      return Say("QUIT");
  }
}

void SmtpDelivery::Say(const std::string& line) {
  absl::StrAppend(&out_, line, "\r\n");
  Write();
}

void SmtpDelivery::Write() {
  const ssize_t count = send(socket_.get(), out_.data(), out_.size(), MSG_NOSIGNAL);
  if (count < 0 && errno != EAGAIN && errno != EINTR) {
    return Finish(
        absl::UnavailableError(absl::StrCat("relay ", letter_.relay, ": ", strerror(errno))));
  }
  out_.erase(0, static_cast<size_t>(std::max<ssize_t>(0, count)));
  loop_->Unwatch(socket_.get());
  if (out_.empty()) {
    loop_->WatchReadable(socket_.get(), [this] { Readable(); });
  } else {
    loop_->WatchWritable(socket_.get(), [this] { Write(); });
  }
}

void SmtpDelivery::Finish(absl::Status status) {
  if (done_ == nullptr) return;
  loop_->CancelTimer(std::exchange(timeout_, 0));
  if (socket_.valid()) loop_->Unwatch(socket_.get());
  socket_.reset();
  loop_->Post([done = std::exchange(done_, nullptr), status = std::move(status)] { done(status); });
}

}  // namespace drover::agent
