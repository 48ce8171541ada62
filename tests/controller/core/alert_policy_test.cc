#include "controller/core/alert_policy.h"

#include <utility>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/strings/str_split.h"
#include "controller/core/alert_text.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "proto/support/time.h"

namespace drover::core {
namespace {

using drover::v1::Event;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::Not;

const absl::Time kStart = absl::FromUnixSeconds(1767225600);

Event EventOf(absl::string_view name) {
  Event event;
  event.set_vm("vms/web-1");
  event.set_ip("10.0.0.1");
  event.set_environment("environments/prod");
  event.set_severity(Event::SEVERITY_ERROR);
  if (name == "given") event.set_kind("service.given_up");
  if (name == "recovered") event.set_kind("service.recovered");
  if (name == "unhealthy") event.set_kind("service.unhealthy");
  if (name == "down") event.set_kind("vm.unreachable");
  if (name == "off") {
    event.set_kind("vm.unreachable");
    event.set_severity(Event::SEVERITY_INFO);
  }
  if (name == "up") event.set_kind("vm.reachable");
  if (name == "lost") event.set_kind("hypervisor.lost");
  if (name == "back") event.set_kind("hypervisor.connected");
  if (name == "died") event.set_kind("service.died");
  return event;
}

// What owners are told of events, some with minutes before them.
std::string Told(absl::string_view story) {
  std::optional<AlertState> known;
  absl::Time now = kStart;
  std::vector<std::string> told;
  auto take = [&](const std::optional<Judgement>& judgement) {
    if (!judgement) return;
    known = judgement->state;
    if (!judgement->notice) return;
    std::string text = Notice::Kind_Name(judgement->notice->kind());
    if (judgement->notice->folded() > 0) {
      absl::StrAppend(&text, "+", judgement->notice->folded());
    }
    told.push_back(std::move(text));
  };
  for (absl::string_view word : absl::StrSplit(story, ' ')) {
    int minutes = 0;
    if (absl::SimpleAtoi(word, &minutes)) {
      now += absl::Minutes(minutes);
      if (known) take(Settle(*known, now));
      continue;
    }
    take(Judge(EventOf(word), "uid-1/nginx", known, now));
  }
  return absl::StrJoin(told, " ");
}

TEST(Judge, TellsEachOutageOnceAndFoldsRepeats) {
  const std::pair<const char*, const char*> rows[] = {
      {"died", ""},
      {"recovered", "RECOVERED"},
      {"given", "GIVEN_UP"},
      {"given 1 given 1 given", "GIVEN_UP"},
      {"given 50 given", "GIVEN_UP"},
      {"given 1 recovered", "GIVEN_UP RECOVERED"},
      {"given 1 given 1 recovered", "GIVEN_UP RECOVERED+1"},
      {"given 1 recovered 1 recovered", "GIVEN_UP RECOVERED"},
      {"given 1 recovered 1 given", "GIVEN_UP RECOVERED GIVEN_UP"},
      {"recovered 1 recovered 1 recovered", "RECOVERED"},
      {"recovered 10 recovered 30 recovered", "RECOVERED RECOVERED+1"},
      {"recovered 1 given", "RECOVERED GIVEN_UP"},
      {"unhealthy 1 unhealthy", "UNHEALTHY"},
      {"unhealthy 1 recovered", "UNHEALTHY RECOVERED"},
      {"unhealthy 1 given 1 recovered", "UNHEALTHY GIVEN_UP RECOVERED"},
      {"given 1 unhealthy", "GIVEN_UP"},
      {"up", ""},
      {"off up", ""},
      {"down", "VM_UNREACHABLE"},
      {"down 1 up", "VM_UNREACHABLE VM_BACK"},
      {"down 1 down", "VM_UNREACHABLE"},
      {"down 1 up 1 down 1 up", "VM_UNREACHABLE VM_BACK VM_UNREACHABLE VM_BACK"},
      {"back", ""},
      {"lost 1 lost 1 back", "HOST_DOWN HOST_BACK"},
  };
  for (const auto& [story, told] : rows) EXPECT_EQ(Told(story), told) << story;
}

TEST(Judge, WhatComesAndGoesIsToldOnceUntilItIsQuiet) {
  const std::string many = "recovered 2 recovered 2 recovered 2 recovered 2 recovered 2 recovered";
  EXPECT_EQ(Told(many), "RECOVERED FLAPPING+5");
  EXPECT_EQ(Told(many + " 5 recovered 5 given 5 recovered"), "RECOVERED FLAPPING+5");
  // It has settled, well or not.
  EXPECT_EQ(Told(many + " 5 recovered 31"), "RECOVERED FLAPPING+5 RECOVERED+1");
  EXPECT_EQ(Told(many + " 5 given 31"), "RECOVERED FLAPPING+5 GIVEN_UP+1");
  EXPECT_EQ(Told(many + " 5 given 31 recovered"), "RECOVERED FLAPPING+5 GIVEN_UP+1 RECOVERED");
  std::string vm = "down 1 up";
  for (int i = 0; i < 10; ++i) vm += " 1 down 1 up";
  EXPECT_THAT(Told(vm), ::testing::EndsWith("VM_BACK FLAPPING+5"));
  EXPECT_THAT(Told(vm + " 1 down 31"), ::testing::EndsWith("FLAPPING+5 VM_UNREACHABLE+6"));
  EXPECT_THAT(Told(vm + " 40"), ::testing::EndsWith("FLAPPING+5 VM_BACK+5"));
}

Notice NoticeOf(Notice::Kind kind, const std::string& vm, const std::string& host = "",
                const std::string& service = "") {
  Notice notice;
  notice.set_kind(kind);
  if (!vm.empty()) notice.set_vm("vms/" + vm);
  if (!host.empty()) notice.set_hypervisor("hypervisors/" + host);
  notice.set_service(service);
  notice.set_environment("environments/prod");
  notice.set_matter(absl::StrCat(vm.empty() ? "host/" + host : vm, "/", service));
  *notice.mutable_time() = ToProto(kStart);
  return notice;
}

std::vector<std::string> Left(const Reduced& reduced) {
  std::vector<std::string> left;
  for (const Notice& notice : reduced.notices) {
    left.push_back(absl::StrCat(notice.matter(), " ", Notice::Kind_Name(notice.kind())));
  }
  return left;
}

TEST(Reduce, TheOutcomeIsToldAndNothingThatIsOver) {
  const Reduced reduced = Reduce(
      {NoticeOf(Notice::UNHEALTHY, "a", "", "nginx"), NoticeOf(Notice::RECOVERED, "a", "", "nginx"),
       NoticeOf(Notice::VM_UNREACHABLE, "b"), NoticeOf(Notice::VM_BACK, "b"),
       NoticeOf(Notice::VM_BACK, "c"), NoticeOf(Notice::VM_UNREACHABLE, "d"),
       NoticeOf(Notice::HOST_DOWN, "", "h1"), NoticeOf(Notice::HOST_BACK, "", "h1")},
      {});
  EXPECT_THAT(Left(reduced), ElementsAre("a/nginx RECOVERED", "c/ VM_BACK", "d/ VM_UNREACHABLE"));
}

TEST(Reduce, ALostHostSilencesItsVms) {
  const Reduced reduced = Reduce(
      {NoticeOf(Notice::VM_UNREACHABLE, "a", "h1"), NoticeOf(Notice::HOST_DOWN, "", "h1"),
       NoticeOf(Notice::VM_UNREACHABLE, "b", "h1"), NoticeOf(Notice::VM_UNREACHABLE, "c", "h2")},
      {"hypervisors/h1"});
  EXPECT_THAT(Left(reduced), ElementsAre("host/h1/ HOST_DOWN", "c/ VM_UNREACHABLE"));
  EXPECT_THAT(reduced.silenced, ElementsAre("a/", "b/"));
}

TEST(MailAbout, EachKindInBothLanguages) {
  for (int kind = Notice::RECOVERED; kind <= Notice::HOST_BACK; ++kind) {
    SCOPED_TRACE(kind);
    const bool host = kind >= Notice::HOST_DOWN;
    Notice notice = NoticeOf(static_cast<Notice::Kind>(kind), host ? "" : "web-1", "esxi-1",
                             kind < Notice::VM_UNREACHABLE ? "nginx" : "");
    notice.set_ip(host ? "" : "10.0.0.1");
    notice.set_detail("bind: address in use");
    notice.set_folded(2);
    const Mail english = MailAbout({notice}, Language::kEnglish);
    const Mail chinese = MailAbout({notice}, Language::kChinese);
    EXPECT_THAT(english.subject, HasSubstr(host ? "esxi-1" : "web-1 (10.0.0.1)"));
    EXPECT_THAT(chinese.subject, HasSubstr(host ? "esxi-1" : "web-1 (10.0.0.1)"));
    EXPECT_THAT(english.text, HasSubstr("2 more outages"));
    EXPECT_THAT(chinese.text, HasSubstr("另有 2 次中断"));
    EXPECT_THAT(chinese.text, HasSubstr("bind: address in use"));
    EXPECT_NE(english.subject, chinese.subject);
    EXPECT_EQ(english.thread, chinese.thread);
    // Nothing of one language in the other.
    for (const char c : english.subject + english.text) EXPECT_GE(c, 0);
    EXPECT_THAT(chinese.text, Not(HasSubstr(" is ")));
  }
}

TEST(MailAbout, ManyMakeOne) {
  std::vector<Notice> notices;
  for (int i = 0; i < 130; ++i) {
    notices.push_back(NoticeOf(i % 2 == 0 ? Notice::GIVEN_UP : Notice::RECOVERED,
                               absl::StrCat("web-", i), "", "nginx"));
  }
  const Mail english = MailAbout(notices, Language::kEnglish);
  EXPECT_EQ(english.subject, "[Drover] prod: 65 given up, 65 recovered");
  EXPECT_THAT(english.text, HasSubstr("- nginx on web-99"));
  EXPECT_THAT(english.text, HasSubstr("- and 30 more."));
  EXPECT_EQ(MailAbout(notices, Language::kChinese).subject,
            "[Drover] prod：65 放弃重启，65 已恢复");
  EXPECT_EQ(LanguageOf("zh-CN"), Language::kChinese);
  EXPECT_EQ(LanguageOf(""), Language::kEnglish);
}

TEST(OwnersOf, EachOnce) {
  drover::v1::VmType type;
  type.add_owners("a@x");
  type.add_owners("b@x");
  auto* service = type.add_services();
  service->set_name("nginx");
  service->add_owners("c@x");
  service->add_owners("a@x");
  EXPECT_THAT(OwnersOf(type, "nginx"), ElementsAre("c@x", "a@x", "b@x"));
  EXPECT_THAT(OwnersOf(type, ""), ElementsAre("a@x", "b@x"));
}

}  // namespace
}  // namespace drover::core
