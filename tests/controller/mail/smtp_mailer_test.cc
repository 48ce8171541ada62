#include "controller/mail/smtp_mailer.h"

#include <arpa/inet.h>
#include <sys/socket.h>
#include <unistd.h>

#include <map>
#include <thread>
#include <vector>

#include "absl/strings/escaping.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_replace.h"
#include "absl/strings/str_split.h"
#include "controller/mail/mail_message.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/testing/fake_clock.h"

namespace drover::mail {
namespace {

using ::testing::HasSubstr;

// Speaks SMTP on a port of its own, to one client, and keeps what it was told.
class SmtpServer {
 public:
  // Answers to each verb ("RCPT") other than the usual ones.
  explicit SmtpServer(std::map<std::string, std::string> answers = {})
      : answers_(std::move(answers)) {
    listener_ = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    EXPECT_EQ(bind(listener_, reinterpret_cast<sockaddr*>(&address), sizeof address), 0);
    EXPECT_EQ(listen(listener_, 4), 0);
    socklen_t size = sizeof address;
    getsockname(listener_, reinterpret_cast<sockaddr*>(&address), &size);
    port_ = ntohs(address.sin_port);
    thread_ = std::thread([this] { Serve(); });
  }
  ~SmtpServer() { Stop(); }

  void Stop() {
    if (!thread_.joinable()) return;
    shutdown(listener_, SHUT_RDWR);
    thread_.join();
    close(listener_);
  }
  std::string address() const { return absl::StrCat("127.0.0.1:", port_); }
  // After Stop.
  const std::string& said() const { return said_; }

 private:
  void Serve() {
    int client = accept(listener_, nullptr, nullptr);
    if (client < 0) return;
    Reply(client, "220 test ready");
    std::string pending;
    char buffer[4096];
    bool data = false;
    for (ssize_t got; (got = read(client, buffer, sizeof buffer)) > 0;) {
      said_.append(buffer, got);
      pending.append(buffer, got);
      for (size_t end; (end = pending.find("\r\n")) != std::string::npos;) {
        std::string line = pending.substr(0, end);
        pending.erase(0, end + 2);
        if (data && line != ".") continue;
        Reply(client, data ? AnswerTo("END", "250 queued") : AnswerToLine(line));
        data = !data && absl::StartsWith(line, "DATA");
      }
    }
    close(client);
  }
  std::string AnswerToLine(const std::string& line) {
    std::string verb = line.substr(0, 4);
    if (verb == "EHLO") return AnswerTo(verb, "250 test");
    if (verb == "DATA") return AnswerTo(verb, "354 go on");
    if (verb == "QUIT") return AnswerTo(verb, "221 bye");
    return AnswerTo(verb, "250 fine");
  }
  std::string AnswerTo(const std::string& verb, const std::string& usual) {
    auto found = answers_.find(verb);
    return found == answers_.end() ? usual : found->second;
  }
  static void Reply(int client, const std::string& text) {
    std::string line = text + "\r\n";
    if (write(client, line.data(), line.size()) < 0) return;
  }

  const std::map<std::string, std::string> answers_;
  int listener_ = -1;
  int port_ = 0;
  std::string said_;
  std::thread thread_;
};

core::Mail SomeMail() {
  core::Mail mail;
  mail.to = {"ops@example.net", "dev@example.net"};
  mail.subject = "[Drover] given up: nginx on web-01";
  mail.text = "It is gone.\nLast output:\n服务 failed\n";
  mail.thread = "web-01.nginx";
  return mail;
}

SmtpOptions OptionsOf(const std::string& server) {
  SmtpOptions options;
  options.server = server;
  options.security = Security::kNone;
  options.from = "drover@example.net";
  return options;
}

TEST(SmtpMailer, DeliversToAllRecipients) {
  testing::FakeClock clock;
  SmtpServer server;
  SmtpMailer mailer(OptionsOf(server.address()), &clock);
  absl::Status sent = mailer.Send(SomeMail());
  EXPECT_TRUE(sent.ok()) << sent;
  server.Stop();
  EXPECT_THAT(server.said(), HasSubstr("MAIL FROM:<drover@example.net>"));
  EXPECT_THAT(server.said(), HasSubstr("RCPT TO:<ops@example.net>"));
  EXPECT_THAT(server.said(), HasSubstr("RCPT TO:<dev@example.net>"));
  EXPECT_THAT(server.said(), HasSubstr("Subject: [Drover] given up: nginx on web-01\r\n"));
}

TEST(SmtpMailer, TellsWhatMayWorkLaterFromWhatWillNot) {
  struct Row {
    std::map<std::string, std::string> answers;
    absl::StatusCode code;
  };
  const Row rows[] = {
      {{{"MAIL", "451 try later"}}, absl::StatusCode::kUnavailable},
      {{{"MAIL", "550 not you"}}, absl::StatusCode::kFailedPrecondition},
      {{{"RCPT", "550 unknown"}}, absl::StatusCode::kFailedPrecondition},
      {{{"END", "452 no room"}}, absl::StatusCode::kUnavailable},
      {{{"END", "554 spam"}}, absl::StatusCode::kFailedPrecondition},
  };
  for (const Row& row : rows) {
    testing::FakeClock clock;
    SmtpServer server(row.answers);
    SmtpMailer mailer(OptionsOf(server.address()), &clock);
    absl::Status refused = mailer.Send(SomeMail());
    EXPECT_EQ(refused.code(), row.code) << row.answers.begin()->second << ": " << refused;
  }
  testing::FakeClock clock;
  std::string nobody;
  {
    SmtpServer server;
    nobody = server.address();
  }
  SmtpMailer mailer(OptionsOf(nobody), &clock);
  EXPECT_EQ(mailer.Send(SomeMail()).code(), absl::StatusCode::kUnavailable);
  EXPECT_EQ(mailer.Send(core::Mail()).code(), absl::StatusCode::kFailedPrecondition);
}

TEST(SmtpMailer, PasswordsStayAwayFromServersWithoutTls) {
  testing::FakeClock clock;
  SmtpServer server(
      std::map<std::string, std::string>{{"EHLO", "250-test\r\n250 AUTH PLAIN LOGIN"}});
  SmtpOptions options = OptionsOf(server.address());
  options.security = Security::kOpportunistic;
  options.user = "drover";
  options.password = "smtp-password-9";
  SmtpMailer mailer(options, &clock);
  EXPECT_EQ(mailer.Send(SomeMail()).code(), absl::StatusCode::kUnavailable);
  server.Stop();
  EXPECT_THAT(server.said(), ::testing::Not(HasSubstr("AUTH")));
}

TEST(ComposeMessage, IsShortLinesOfAscii) {
  core::Mail mail = SomeMail();
  mail.subject =
      absl::StrCat("[严重] ", std::string(90, 'x'), " 虚拟机离线\r\nBcc: evil@example.net");
  std::string message =
      ComposeMessage(mail, "drover@example.net", "1.2", absl::FromUnixSeconds(1767225600));
  for (absl::string_view line : absl::StrSplit(message, "\r\n")) {
    EXPECT_LE(line.size(), 78) << line;
    for (char c : line) EXPECT_TRUE(c >= ' ' && c < 0x7f) << line;
  }
  // A subject makes no header of its own.
  EXPECT_THAT(message, ::testing::Not(HasSubstr("\r\nBcc:")));
  EXPECT_THAT(message, HasSubstr("\r\nDate: Thu, 01 Jan 2026 00:00:00 +0000\r\n"));
  EXPECT_THAT(message, HasSubstr("\r\nReferences: <thread.web-01.nginx@drover>\r\n"));
  EXPECT_THAT(message, HasSubstr("\r\nAuto-Submitted: auto-generated\r\n"));
  std::string body = message.substr(message.find("\r\n\r\n") + 4);
  std::string text;
  ASSERT_TRUE(absl::Base64Unescape(absl::StrReplaceAll(body, {{"\r\n", ""}}), &text));
  EXPECT_EQ(text, absl::StrReplaceAll(mail.text, {{"\n", "\r\n"}}));
}

TEST(EncodeHeader, CutsBetweenCharacters) {
  std::string text;
  for (int i = 0; i < 60; ++i) text += "机";
  std::string decoded;
  for (absl::string_view word : absl::StrSplit(EncodeHeader(text), "\r\n ")) {
    ASSERT_TRUE(absl::StartsWith(word, "=?UTF-8?B?") && absl::EndsWith(word, "?="));
    EXPECT_LE(word.size(), 75);
    std::string part;
    ASSERT_TRUE(absl::Base64Unescape(word.substr(10, word.size() - 12), &part));
    EXPECT_EQ(part.size() % 3, 0);
    decoded += part;
  }
  EXPECT_EQ(decoded, text);
}

}  // namespace
}  // namespace drover::mail
