// Mails of the agent itself, to a relay that is a real socket and says what the test wants.
#include "agent/owner_mails.h"

#include <arpa/inet.h>
#include <sys/socket.h>
#include <unistd.h>

#include <map>
#include <memory>
#include <thread>
#include <vector>

#include "absl/strings/escaping.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_replace.h"
#include "absl/strings/str_split.h"
#include "absl/synchronization/mutex.h"
#include "agent/unique_fd.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "proto/support/time.h"
#include "tests/agent/test_loop.h"
#include "tests/testing/temp_dir.h"

namespace drover::agent {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::SizeIs;

// Takes mails, one connection after the other.
class Relay {
 public:
  Relay() {
    listener_.reset(socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
    sockaddr_in address = {};
    address.sin_family = AF_INET;
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    EXPECT_EQ(bind(listener_.get(), reinterpret_cast<sockaddr*>(&address), sizeof(address)), 0);
    EXPECT_EQ(listen(listener_.get(), 8), 0);
    socklen_t size = sizeof(address);
    getsockname(listener_.get(), reinterpret_cast<sockaddr*>(&address), &size);
    address_ = absl::StrCat("127.0.0.1:", ntohs(address.sin_port));
    thread_ = std::thread([this] { Serve(); });
  }
  ~Relay() {
    shutdown(listener_.get(), SHUT_RDWR);
    thread_.join();
  }
  const std::string& address() const { return address_; }
  // To lines that begin so, other than the usual answers.
  void Answer(const std::string& line, const std::string& answer) {
    absl::MutexLock lock(&mutex_);
    answers_[line] = answer;
  }
  // Texts of the mails it took, with their envelopes.
  std::vector<std::string> mails() const {
    absl::MutexLock lock(&mutex_);
    return mails_;
  }
  int connections() const {
    absl::MutexLock lock(&mutex_);
    return connections_;
  }

 private:
  void Serve() {
    for (;;) {
      const UniqueFd client(accept(listener_.get(), nullptr, nullptr));
      if (!client.valid()) return;
      {
        absl::MutexLock lock(&mutex_);
        ++connections_;
      }
      Talk(client.get());
    }
  }
  void Talk(int client) {
    Say(client, "220-relay of a test\r\n220 ready");
    std::string pending;
    std::string mail;
    bool data = false;
    char buffer[4096];
    for (ssize_t got; (got = read(client, buffer, sizeof(buffer))) > 0;) {
      pending.append(buffer, static_cast<size_t>(got));
      for (size_t end; (end = pending.find("\r\n")) != std::string::npos;) {
        const std::string line = pending.substr(0, end);
        pending.erase(0, end + 2);
        absl::StrAppend(&mail, line, "\n");
        if (data && line != ".") continue;
        const std::string answer = AnswerTo(line);
        if (data && answer[0] == '2') {
          absl::MutexLock lock(&mutex_);
          mails_.push_back(mail);
        }
        Say(client, answer);
        data = !data && line == "DATA" && answer[0] == '3';
      }
    }
  }
  std::string AnswerTo(const std::string& line) const {
    absl::MutexLock lock(&mutex_);
    for (const auto& [begin, answer] : answers_) {
      if (absl::StartsWith(line, begin)) return answer;
    }
    if (line == "DATA") return "354 go on";
    return "250 fine";
  }
  static void Say(int client, const std::string& text) {
    const std::string line = text + "\r\n";
    (void)!send(client, line.data(), line.size(), MSG_NOSIGNAL);
  }

  UniqueFd listener_;
  std::string address_;
  mutable absl::Mutex mutex_;
  std::map<std::string, std::string> answers_ ABSL_GUARDED_BY(mutex_);
  std::vector<std::string> mails_ ABSL_GUARDED_BY(mutex_);
  int connections_ ABSL_GUARDED_BY(mutex_) = 0;
  std::thread thread_;
};

// The subject and the body, decoded.
std::string Readable(const std::string& mail) {
  std::string text;
  bool body = false;
  for (absl::string_view line : absl::StrSplit(mail, '\n')) {
    absl::string_view encoded = line;
    if (absl::StartsWith(line, "Subject: ") || absl::StartsWith(line, " =?")) {
      encoded.remove_prefix(encoded.find("=?UTF-8?B?") + 10);
      encoded.remove_suffix(2);
    } else if (!body) {
      body = line.empty();
      continue;
    }
    std::string decoded;
    if (absl::Base64Unescape(encoded, &decoded)) text += decoded;
  }
  return text;
}

class OwnerMailsTest : public ::testing::Test {
 protected:
  OwnerMailsTest() { Restart(); }
  void Restart() {
    mails_.reset();
    outbox_ = *Outbox::Open(dir_.File("outbox.log"), &loop_.clock);
    mails_ = *OwnerMails::Open(dir_.File("owner-mails.state"), &loop_.loop, outbox_.get(),
                               [this](v1::AgentEvent event) { outbox_->Add(std::move(event)); });
  }
  void Configure(int after_seconds = 600) {
    v1::MailFallback fallback;
    fallback.set_relay(relay_.address());
    fallback.set_sender("drover@lab.example");
    fallback.set_after_seconds(after_seconds);
    fallback.set_vm("vms/web-1");
    fallback.set_environment("environments/prod");
    auto& owners = *fallback.add_owners();
    owners.set_service("nginx");
    owners.add_recipients()->set_address("ops@lab.example");
    owners.add_recipients()->set_address("dev@lab.example");
    auto& chinese = *owners.add_recipients();
    chinese.set_address("li@lab.example");
    chinese.set_language("zh-CN");
    mails_->Configure(fallback);
  }
  void Happens(const std::string& what, const std::string& service = "nginx") {
    v1::AgentEvent event;
    if (what == "given up") {
      event.mutable_service_given_up()->set_service(service);
      event.mutable_service_given_up()->set_last_output("bind: address in use");
    } else if (what == "recovered") {
      event.mutable_service_recovered()->set_service(service);
    } else {
      event.mutable_service_died()->set_service(service);
    }
    outbox_->Add(std::move(event));
  }
  void UntilMails(size_t count) {
    loop_.UntilAdvancing(absl::Milliseconds(100), [&] { return relay_.mails().size() >= count; });
  }
  std::vector<v1::MailSent> Told() {
    std::vector<v1::MailSent> told;
    for (const v1::AgentEvent* event = outbox_->After(0); event != nullptr;
         event = outbox_->After(event->sequence())) {
      if (event->has_mail_sent()) told.push_back(event->mail_sent());
    }
    return told;
  }
  void UntilTold(size_t count) {
    // Most of the time the controller may be away.
    if (loop_.clock.Uptime() < absl::Hours(1) + absl::Seconds(590)) {
      loop_.Pass(absl::Seconds(595));
    }
    loop_.UntilAdvancing(absl::Milliseconds(100), [&] { return Told().size() >= count; });
  }

  testing::TempDir dir_;
  TestLoop loop_;
  Relay relay_;
  std::unique_ptr<Outbox> outbox_;
  std::unique_ptr<OwnerMails> mails_;
};

TEST_F(OwnerMailsTest, TellsOnceAndOnlyWhenTheControllerIsAwayForLong) {
  Configure();
  mails_->LinkIs(true);
  Happens("given up");
  loop_.Pass(absl::Hours(1));
  EXPECT_EQ(relay_.connections(), 0);
  mails_->LinkIs(false);
  loop_.Pass(absl::Seconds(595));
  EXPECT_EQ(relay_.connections(), 0);
  UntilTold(2);
  ASSERT_THAT(relay_.mails(), SizeIs(2));
  const std::string english = relay_.mails()[0];
  EXPECT_THAT(english, HasSubstr("MAIL FROM:<drover@lab.example>"));
  EXPECT_THAT(english, HasSubstr("RCPT TO:<ops@lab.example>"));
  EXPECT_THAT(english, HasSubstr("RCPT TO:<dev@lab.example>"));
  EXPECT_THAT(Readable(english), HasSubstr("[Drover] given up: nginx on web-1"));
  EXPECT_THAT(Readable(english), HasSubstr("bind: address in use"));
  EXPECT_THAT(Readable(relay_.mails()[1]), HasSubstr("放弃重启"));
  EXPECT_THAT(Told()[0].to(), ElementsAre("ops@lab.example", "dev@lab.example"));
  EXPECT_EQ(Told()[0].service(), "nginx");
  EXPECT_EQ(Told()[0].problem(), "");
  // Nothing twice, also not after the agent came anew.
  Happens("given up");
  Restart();
  loop_.Pass(absl::Hours(2));
  EXPECT_THAT(relay_.mails(), SizeIs(2));
  // Its end is told.
  Happens("recovered");
  UntilMails(4);
  EXPECT_THAT(Readable(relay_.mails()[2]), HasSubstr("recovered: nginx"));
}

TEST_F(OwnerMailsTest, IsOffUnlessAskedFor) {
  Happens("given up");
  loop_.Pass(absl::Hours(5));
  EXPECT_EQ(relay_.connections(), 0);
  EXPECT_THAT(Told(), IsEmpty());
}

TEST_F(OwnerMailsTest, WhatTheControllerHasIsItsToTell) {
  Configure();
  mails_->LinkIs(true);
  Happens("given up");
  outbox_->Acknowledge(outbox_->FirstUnacknowledged());
  mails_->LinkIs(false);
  loop_.Pass(absl::Hours(1));
  EXPECT_EQ(relay_.connections(), 0);
  // And what died without an outcome, or has no owner, is told by nobody.
  Happens("died");
  Happens("given up", "cron");
  loop_.Pass(absl::Hours(1));
  EXPECT_EQ(relay_.connections(), 0);
}

TEST_F(OwnerMailsTest, TheNewestOutcomeIsTold) {
  Configure();
  Happens("given up");
  Happens("recovered");
  UntilTold(2);
  EXPECT_THAT(Readable(relay_.mails()[0]), HasSubstr("recovered"));
  Happens("recovered");
  loop_.Pass(absl::Minutes(5));
  EXPECT_THAT(relay_.mails(), SizeIs(2));
}

TEST_F(OwnerMailsTest, ARelayThatIsBusyIsAskedAgain) {
  Configure();
  relay_.Answer("MAIL", "451 later");
  Happens("given up");
  loop_.Pass(absl::Seconds(595));
  loop_.UntilAdvancing(absl::Milliseconds(100), [&] { return relay_.connections() >= 3; });
  EXPECT_THAT(Told(), IsEmpty());
  relay_.Answer("MAIL", "250 fine");
  UntilTold(2);
  EXPECT_THAT(relay_.mails(), SizeIs(2));
}

TEST_F(OwnerMailsTest, OneRefusedRecipientKeepsItFromNobodyElse) {
  Configure();
  relay_.Answer("RCPT TO:<ops@", "550 unknown");
  Happens("given up");
  UntilTold(2);
  EXPECT_THAT(relay_.mails(), SizeIs(2));
  EXPECT_EQ(Told()[0].problem(), "");
}

TEST_F(OwnerMailsTest, ARelayThatRefusesIsToldToTheController) {
  Configure();
  relay_.Answer("RCPT", "550 no relaying");
  Happens("given up");
  UntilTold(2);
  EXPECT_THAT(Told()[0].problem(), HasSubstr("550 no relaying"));
  EXPECT_THAT(relay_.mails(), IsEmpty());
}

TEST_F(OwnerMailsTest, ASilentRelayHoldsNothingUp) {
  const UniqueFd silent(socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
  sockaddr_in address = {};
  address.sin_family = AF_INET;
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  ASSERT_EQ(bind(silent.get(), reinterpret_cast<sockaddr*>(&address), sizeof(address)), 0);
  ASSERT_EQ(listen(silent.get(), 8), 0);
  socklen_t size = sizeof(address);
  getsockname(silent.get(), reinterpret_cast<sockaddr*>(&address), &size);
  absl::Status status;
  bool done = false;
  Letter letter;
  letter.relay = absl::StrCat("127.0.0.1:", ntohs(address.sin_port));
  letter.to = {"ops@lab.example"};
  SmtpDelivery delivery(&loop_.loop, letter, [&](absl::Status ended) {
    status = ended;
    done = true;
  });
  loop_.Pass(absl::Seconds(59));
  EXPECT_FALSE(done);
  loop_.Pass(absl::Seconds(2));
  loop_.Until([&] { return done; });
  EXPECT_TRUE(absl::IsUnavailable(status)) << status;
}

TEST(SmtpDelivery, RelaysAreAddressesWithPorts) {
  EXPECT_TRUE(CheckRelay("10.0.0.5:25").ok());
  for (const char* bad : {"", "10.0.0.5", "mail:25", "10.0.0.5:0", "10.0.0.5:70000", "::1:25"}) {
    EXPECT_FALSE(CheckRelay(bad).ok()) << bad;
  }
}

TEST(ComposeLetter, IsShortLinesOfAscii) {
  Letter letter;
  letter.sender = "a@x\r\nBcc: evil@x";
  letter.to = {"b@x"};
  for (int i = 0; i < 40; ++i) letter.subject += "服务";
  for (int i = 0; i < 300; ++i) letter.text += "文本.\n";
  letter.id = "1";
  const std::string message = ComposeLetter(letter);
  for (absl::string_view line : absl::StrSplit(message, "\r\n")) {
    EXPECT_LE(line.size(), 78u) << line;
    for (const char c : line) EXPECT_TRUE(c >= 0x20 && c < 0x7f) << line;
    EXPECT_NE(line, ".");
    EXPECT_FALSE(absl::StartsWith(line, "Bcc:"));
  }
  EXPECT_EQ(Readable(absl::StrReplaceAll(message, {{"\r", ""}})),
            absl::StrCat(letter.subject, letter.text));
}

}  // namespace
}  // namespace drover::agent
