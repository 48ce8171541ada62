// Signing in at a real mail server over TLS.
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cstdio>
#include <cstdlib>
#include <string>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/strip.h"
#include "controller/mail/smtp_mailer.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/testing/fake_clock.h"
#include "tests/testing/temp_dir.h"

namespace drover::mail {
namespace {

using ::testing::HasSubstr;
using ::testing::Not;

constexpr char kUser[] = "drover@example.net";
constexpr char kPassword[] = "canary-of-the-mail-server";

// Its certificate is for `name`, and signed by itself.
class TlsMailServer {
 public:
  TlsMailServer(const std::string& mode, const std::string& name) {
    const std::string make = absl::StrCat(
        "openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 2 -subj "
        "/CN=mail "
        "-addext subjectAltName=",
        name, " -keyout ", key(), " -out ", certificate(), " 2>/dev/null");
    EXPECT_EQ(system(make.c_str()), 0);
    int input[2];
    int output[2];
    EXPECT_EQ(pipe(input), 0);
    EXPECT_EQ(pipe(output), 0);
    child_ = fork();
    if (child_ == 0) {
      dup2(input[0], 0);
      dup2(output[1], 1);
      for (int fd : {input[0], input[1], output[0], output[1]}) close(fd);
      execl("/usr/bin/python3", "python3", SMTP_SERVER, certificate().c_str(), key().c_str(),
            mode.c_str(), kUser, kPassword, nullptr);
      _exit(127);
    }
    close(input[0]);
    close(output[1]);
    input_ = input[1];
    output_ = fdopen(output[0], "r");
    std::string line = ReadLine();
    absl::string_view port = line;
    EXPECT_TRUE(absl::ConsumePrefix(&port, "port ")) << line;
    address_ = absl::StrCat("127.0.0.1:", port);
  }
  ~TlsMailServer() { Stop(); }

  std::string address() const { return address_; }
  std::string certificate() const { return directory_.File("certificate.pem"); }
  // Ends it; everything it told.
  std::string Stop() {
    if (child_ <= 0) return said_;
    close(input_);
    for (std::string line; !(line = ReadLine()).empty();) absl::StrAppend(&said_, line, "\n");
    fclose(output_);
    waitpid(child_, nullptr, 0);
    child_ = 0;
    return said_;
  }

 private:
  std::string key() const { return directory_.File("key.pem"); }
  std::string ReadLine() {
    char line[512] = "";
    if (fgets(line, sizeof line, output_) == nullptr) return "";
    return std::string(absl::StripSuffix(line, "\n"));
  }

  testing::TempDir directory_;
  pid_t child_ = 0;
  int input_ = -1;
  FILE* output_ = nullptr;
  std::string address_;
  std::string said_;
};

struct Case {
  const char* name;
  const char* mode;
  Security security;
  // Of the server's certificate.
  const char* subject;
  bool trusted;
  const char* password;
  bool delivered;
  // The password reached the server.
  bool shown;
};

class SmtpTls : public ::testing::TestWithParam<Case> {};

TEST_P(SmtpTls, SignsInOnlyWhereTheServerIsTheRightOne) {
  const Case& row = GetParam();
  TlsMailServer server(row.mode, row.subject);
  SmtpOptions options;
  options.server = server.address();
  options.security = row.security;
  options.from = kUser;
  options.user = kUser;
  options.password = row.password;
  if (row.trusted) options.authority_file = server.certificate();
  testing::FakeClock clock;
  core::Mail mail;
  mail.to = {"ops@example.net"};
  mail.subject = "[Drover] recovered";
  mail.text = "It is back.\n";
  const absl::Status sent = SmtpMailer(options, &clock).Send(mail);
  const std::string said = server.Stop();
  EXPECT_EQ(sent.ok(), row.delivered) << sent << "\n" << said;
  EXPECT_THAT(std::string(sent.message()), Not(HasSubstr(row.password)));
  EXPECT_EQ(absl::StrContains(said, "sign-in"), row.shown) << said;
  EXPECT_EQ(absl::StrContains(said, "mail from drover@example.net to ops@example.net"),
            row.delivered)
      << said;
  // A wrong certificate or password is put right some day; the mail is kept until then.
  EXPECT_EQ(absl::IsUnavailable(sent), !row.delivered) << sent;
}

constexpr char kHere[] = "IP:127.0.0.1";
const Case kCases[] = {
    {"starttls", "starttls", Security::kStartTls, kHere, true, kPassword, true, true},
    {"opportunistic", "starttls", Security::kOpportunistic, kHere, true, kPassword, true, true},
    {"tls", "tls", Security::kTls, kHere, true, kPassword, true, true},
    {"wrong_password", "starttls", Security::kStartTls, kHere, true, "another", false, true},
    {"unknown_authority", "starttls", Security::kStartTls, kHere, false, kPassword, false, false},
    {"other_name", "starttls", Security::kStartTls, "DNS:elsewhere", true, kPassword, false, false},
    {"tls_unknown_authority", "tls", Security::kTls, kHere, false, kPassword, false, false},
};
INSTANTIATE_TEST_SUITE_P(All, SmtpTls, ::testing::ValuesIn(kCases),
                         [](const auto& info) { return std::string(info.param.name); });

}  // namespace
}  // namespace drover::mail
