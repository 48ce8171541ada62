#include "controller/core/alert_desk.h"

#include <map>
#include <memory>
#include <set>

#include "absl/strings/str_cat.h"
#include "controller/core/vm_events.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "proto/support/time.h"
#include "tests/testing/test_store.h"

namespace drover::core {
namespace {

using drover::v1::Event;
using drover::v1::Vm;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::SizeIs;

// A mail server that answers each recipient as it was told to.
class FakeMailer : public Mailer {
 public:
  absl::Status Send(const Mail& mail) override {
    ++attempts;
    const auto answer = answers.find(mail.to.front());
    if (answer != answers.end()) return answer->second;
    if (!all.ok()) return all;
    mails.push_back(mail);
    return absl::OkStatus();
  }
  // Subjects, by recipient.
  std::vector<std::string> To(const std::string& address) const {
    std::vector<std::string> subjects;
    for (const Mail& mail : mails) {
      if (mail.to == std::vector<std::string>{address}) subjects.push_back(mail.subject);
    }
    return subjects;
  }
  Mail LastTo(const std::string& address) const {
    Mail last;
    for (const Mail& mail : mails) {
      if (mail.to == std::vector<std::string>{address}) last = mail;
    }
    return last;
  }
  std::vector<Mail> mails;
  std::map<std::string, absl::Status> answers;
  absl::Status all;
  int attempts = 0;
};

class AlertDeskTest : public ::testing::Test {
 protected:
  AlertDeskTest() { Restart(); }

  void Restart() {
    desk_.reset();
    mails_.reset();
    events_.reset();
    inventory_.reset();
    files_.Reopen();
    inventory_ = std::make_unique<Inventory>(&files_.store(), &files_.vault(), &files_.clock());
    events_ = std::make_unique<EventLog>(&files_.store(), &files_.vault(), &files_.clock(),
                                         files_.directory());
    mails_ = std::make_unique<MailQueue>(&files_.store(), &files_.vault(), &mailer_, events_.get(),
                                         &files_.clock());
    desk_ = std::make_unique<AlertDesk>(&files_.store(), &files_.vault(), inventory_.get(),
                                        mails_.get(), &files_.clock(),
                                        AlertLimits{.mails_per_hour = 3});
    desk_->Attend(events_.get());
    ASSERT_TRUE(inventory_->Load().ok());
    events_->OnEvent([this](const Event& event) { last_ = event; });
  }
  void SetUp() override {
    ASSERT_TRUE(inventory_->AddEnvironment("prod", {}).ok());
    drover::v1::VmType type;
    type.set_template_("tpl-web");
    auto* service = type.add_services();
    service->set_name("nginx");
    service->set_systemd_unit("nginx");
    service->add_owners("nginx@example.net");
    type.add_owners("web@example.net");
    ASSERT_TRUE(inventory_->AddType("web", type).ok());
    UserRecord user;
    user.mutable_user()->set_name("users/li");
    user.mutable_user()->set_mail("web@example.net");
    user.mutable_user()->set_language("zh-CN");
    ASSERT_TRUE(files_.store()
                    .Write([&](StoreWriter& writer) {
                      return writer.Put(Table::kUsers, {"li", "", user.SerializeAsString()});
                    })
                    .ok());
    for (const char* id : {"h1", "h2"}) {
      drover::v1::Hypervisor host;
      host.set_kind(drover::v1::Hypervisor::KIND_ESXI);
      host.set_url(absl::StrCat("https://", id));
      host.set_user("root");
      host.set_password("x");
      const auto added = inventory_->AddHypervisor(id, host);
      ASSERT_TRUE(added.ok()) << added.status();
    }
    for (int i = 1; i <= 30; ++i) {
      Vm vm;
      vm.set_name(absl::StrCat("vms/web-", i));
      vm.set_uid(absl::StrCat("uid-", i));
      vm.set_environment("environments/prod");
      vm.set_type("types/web");
      vm.set_hypervisor(i <= 20 ? "hypervisors/h1" : "hypervisors/h2");
      vm.mutable_network()->set_ip(absl::StrCat("10.0.0.", i));
      const auto added = inventory_->AddVm(vm);
      ASSERT_TRUE(added.ok()) << added;
    }
  }
  void Happens(const std::string& kind, int vm, const std::string& service = "") {
    Event event = VmEvent(kind, Event::SEVERITY_ERROR,
                          *inventory_->GetVm(absl::StrCat("vms/web-", vm)), "it happened");
    event.set_subject(service);
    (*event.mutable_attributes())["attempts"] = "3";
    (*event.mutable_attributes())["last_output"] = "bind: address in use";
    ASSERT_TRUE(events_->Record(event).ok());
  }
  void HostIs(const std::string& host, bool lost) {
    Event event;
    event.set_kind(lost ? "hypervisor.lost" : "hypervisor.connected");
    event.set_subject("hypervisors/" + host);
    event.set_message("no route to host");
    ASSERT_TRUE(events_->Record(event).ok());
  }
  // What is told when so much time is over.
  void After(absl::Duration time) {
    files_.clock().Advance(time);
    const auto next = desk_->Flush();
    ASSERT_TRUE(next.ok()) << next.status();
    const auto sent = mails_->SendDue();
    ASSERT_TRUE(sent.ok()) << sent.status();
  }

  testing::TestStore files_;
  FakeMailer mailer_;
  std::unique_ptr<Inventory> inventory_;
  std::unique_ptr<EventLog> events_;
  std::unique_ptr<MailQueue> mails_;
  std::unique_ptr<AlertDesk> desk_;
  Event last_;
};

TEST_F(AlertDeskTest, EachOwnerGetsOneMailInTheirLanguage) {
  Happens("service.died", 1, "nginx");
  Happens("service.given_up", 1, "nginx");
  Happens("service.given_up", 1, "nginx");
  After(absl::Seconds(14));
  EXPECT_THAT(mailer_.mails, IsEmpty());
  // What is to be told is in the store.
  Restart();
  After(absl::Seconds(1));
  EXPECT_THAT(mailer_.To("nginx@example.net"),
              ElementsAre("[Drover] given up: nginx on web-1 (10.0.0.1)"));
  EXPECT_THAT(mailer_.To("web@example.net"),
              ElementsAre("[Drover] 放弃重启：web-1 (10.0.0.1) 上的 nginx"));
  const Mail first = mailer_.LastTo("nginx@example.net");
  EXPECT_THAT(first.text, HasSubstr("bind: address in use"));
  EXPECT_THAT(first.text, HasSubstr("Attempts: 3"));
  After(absl::Hours(2));
  EXPECT_THAT(mailer_.mails, SizeIs(2));
  Happens("service.recovered", 1, "nginx");
  After(absl::Seconds(15));
  ASSERT_THAT(mailer_.mails, SizeIs(4));
  EXPECT_THAT(mailer_.LastTo("nginx@example.net").subject, HasSubstr("recovered"));
  EXPECT_EQ(mailer_.LastTo("nginx@example.net").thread, first.thread);
}

TEST_F(AlertDeskTest, ManyOfOneEnvironmentMakeOneMail) {
  for (int i = 1; i <= 30; ++i) Happens("service.given_up", i, "nginx");
  After(absl::Seconds(15));
  EXPECT_THAT(mailer_.To("nginx@example.net"), ElementsAre("[Drover] prod: 30 given up"));
  EXPECT_THAT(mailer_.To("web@example.net"), ElementsAre("[Drover] prod：30 放弃重启"));
}

TEST_F(AlertDeskTest, ALostHostIsOneMailAndItsVmsAreSilent) {
  Happens("vm.unreachable", 1);
  for (int i = 2; i <= 25; ++i) Happens("vm.unreachable", i);
  ASSERT_TRUE(inventory_
                  ->ChangeHypervisor("hypervisors/h1",
                                     [](drover::v1::Hypervisor& its) {
                                       its.set_state(drover::v1::Hypervisor::STATE_UNREACHABLE);
                                     })
                  .ok());
  HostIs("h1", true);
  After(absl::Seconds(20));
  ASSERT_THAT(mailer_.To("web@example.net"), ElementsAre("[Drover] 主机失联：h1"));
  EXPECT_THAT(mailer_.LastTo("web@example.net").text, HasSubstr("(20): web-1, "));
  // Those of the other host are told when nothing is known of theirs.
  After(absl::Seconds(45));
  EXPECT_THAT(mailer_.To("web@example.net"),
              ElementsAre("[Drover] 主机失联：h1", "[Drover] prod：5 不可达"));
  ASSERT_TRUE(inventory_
                  ->ChangeHypervisor("hypervisors/h1",
                                     [](drover::v1::Hypervisor& its) {
                                       its.set_state(drover::v1::Hypervisor::STATE_CONNECTED);
                                     })
                  .ok());
  HostIs("h1", false);
  for (int i = 1; i <= 20; ++i) Happens("vm.reachable", i);
  After(absl::Seconds(15));
  EXPECT_THAT(
      mailer_.To("web@example.net"),
      ElementsAre("[Drover] 主机失联：h1", "[Drover] prod：5 不可达", "[Drover] 主机恢复：h1"));
}

TEST_F(AlertDeskTest, AVmThatWasAwayForAMomentIsNotTold) {
  Happens("vm.unreachable", 1);
  files_.clock().Advance(absl::Seconds(20));
  Happens("vm.reachable", 1);
  After(absl::Seconds(15));
  After(absl::Minutes(5));
  EXPECT_THAT(mailer_.mails, IsEmpty());
}

TEST_F(AlertDeskTest, WhatIsTooMuchForAnHourIsTheListAtItsEnd) {
  for (int i = 1; i <= 6; ++i) {
    Happens("service.given_up", i, "nginx");
    After(absl::Minutes(1));
  }
  EXPECT_THAT(mailer_.To("nginx@example.net"), SizeIs(3));
  After(absl::Hours(1));
  ASSERT_THAT(mailer_.To("nginx@example.net"), SizeIs(4));
  const std::string text = mailer_.LastTo("nginx@example.net").text;
  EXPECT_EQ(mailer_.To("nginx@example.net")[3], "[Drover] 3 mails were held back");
  for (int i = 4; i <= 6; ++i) {
    EXPECT_THAT(text, HasSubstr(absl::StrCat("given up: nginx on web-", i)));
  }
  Happens("service.given_up", 7, "nginx");
  After(absl::Seconds(15));
  EXPECT_THAT(mailer_.To("nginx@example.net"), SizeIs(5));
}

TEST_F(AlertDeskTest, WhatTheAgentToldItselfIsNotToldAgain) {
  Happens("service.given_up", 1, "nginx");
  Happens("service.given_up", 2, "nginx");
  Event sent =
      VmEvent("agent.mail_sent", Event::SEVERITY_INFO, *inventory_->GetVm("vms/web-1"), "told");
  sent.set_subject("nginx");
  ASSERT_TRUE(events_->Record(sent).ok());
  sent = VmEvent("agent.mail_sent", Event::SEVERITY_WARNING, *inventory_->GetVm("vms/web-2"),
                 "could not tell");
  sent.set_subject("nginx");
  (*sent.mutable_attributes())["problem"] = "no relay";
  ASSERT_TRUE(events_->Record(sent).ok());
  After(absl::Seconds(15));
  EXPECT_THAT(mailer_.To("nginx@example.net"),
              ElementsAre("[Drover] given up: nginx on web-2 (10.0.0.2)"));
  // Its end is told by the platform.
  Happens("service.recovered", 1, "nginx");
  After(absl::Seconds(15));
  EXPECT_THAT(mailer_.To("nginx@example.net"), SizeIs(2));
}

TEST_F(AlertDeskTest, ARefusedRecipientKeepsNothingFromTheOthers) {
  mailer_.answers["nginx@example.net"] = absl::FailedPreconditionError("550 unknown");
  Happens("service.given_up", 1, "nginx");
  After(absl::Seconds(15));
  EXPECT_THAT(mailer_.To("web@example.net"), SizeIs(1));
  EXPECT_EQ(last_.kind(), "mail.refused");
  EXPECT_THAT(last_.message(), HasSubstr("nginx@example.net"));
  // One whose mail may come later is asked again alone.
  mailer_.answers["nginx@example.net"] = absl::UnavailableError("450 try later");
  Happens("service.recovered", 1, "nginx");
  After(absl::Seconds(15));
  EXPECT_THAT(mailer_.To("web@example.net"), SizeIs(2));
  mailer_.answers.clear();
  After(absl::Seconds(30));
  EXPECT_THAT(mailer_.To("nginx@example.net"), SizeIs(1));
  EXPECT_THAT(mailer_.To("web@example.net"), SizeIs(2));
}

TEST_F(AlertDeskTest, MailWaitsForItsServerAndIsGivenUpAloud) {
  mailer_.all = absl::UnavailableError("no connection");
  Happens("service.given_up", 1, "nginx");
  After(absl::Seconds(15));
  EXPECT_EQ(mailer_.attempts, 2);
  After(absl::Seconds(29));
  EXPECT_EQ(mailer_.attempts, 2);
  After(absl::Seconds(1));
  EXPECT_EQ(mailer_.attempts, 4);
  mailer_.all = absl::FailedPreconditionError("550 unknown");
  files_.clock().Advance(absl::Hours(1));
  const auto next = mails_->SendDue();
  ASSERT_TRUE(next.ok());
  EXPECT_EQ(*next, absl::InfiniteFuture());
  EXPECT_EQ(last_.kind(), "mail.refused");
  EXPECT_THAT(last_.message(), HasSubstr("550 unknown"));
}

TEST_F(AlertDeskTest, FlappingIsToldOnceAndSettles) {
  for (int i = 0; i < 20; ++i) {
    Happens("service.recovered", 1, "nginx");
    After(absl::Seconds(30));
  }
  EXPECT_THAT(mailer_.To("nginx@example.net"),
              ElementsAre("[Drover] recovered: nginx on web-1 (10.0.0.1)",
                          "[Drover] flapping: nginx on web-1 (10.0.0.1)"));
  After(absl::Minutes(30));
  After(absl::Seconds(15));
  EXPECT_THAT(mailer_.To("nginx@example.net"), SizeIs(3));
  After(absl::Hours(3));
  EXPECT_THAT(mailer_.To("nginx@example.net"), SizeIs(3));
}

TEST_F(AlertDeskTest, NothingIsLeftOfAVmThatIsGone) {
  Happens("service.given_up", 1, "nginx");
  After(absl::Minutes(1));
  const auto count = [this] {
    size_t found = 0;
    EXPECT_TRUE(files_.store()
                    .Read([&](StoreReader& reader) {
                      found = reader.List(Table::kAlerts, {})->size();
                      return absl::OkStatus();
                    })
                    .ok());
    return found;
  };
  ASSERT_TRUE(desk_->DropLeftovers().ok());
  // The matter and two recipients.
  EXPECT_EQ(count(), 3u);
  ASSERT_TRUE(inventory_->RemoveVm("vms/web-1").ok());
  ASSERT_TRUE(desk_->DropLeftovers().ok());
  After(absl::Hours(1));
  EXPECT_EQ(count(), 0u);
}

}  // namespace
}  // namespace drover::core
