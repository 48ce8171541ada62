#include "controller/core/alert_text.h"

#include <algorithm>
#include <map>
#include <utility>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "proto/support/resource_name.h"
#include "proto/support/time.h"

namespace drover::core {
namespace {

constexpr size_t kMostLines = 100;
constexpr size_t kMostVms = 50;

// The same in both languages.
struct Words {
  const char* english;
  const char* chinese;
  const char* In(Language language) const {
    return language == Language::kChinese ? chinese : english;
  }
};

Words NameOf(Notice::Kind kind) {
  switch (kind) {
    case Notice::RECOVERED:
      return {"recovered", "已恢复"};
    case Notice::GIVEN_UP:
      return {"given up", "放弃重启"};
    case Notice::UNHEALTHY:
      return {"unhealthy", "无响应"};
    case Notice::FLAPPING:
      return {"flapping", "反复中断"};
    case Notice::VM_UNREACHABLE:
      return {"unreachable", "不可达"};
    case Notice::VM_BACK:
      return {"reachable again", "恢复可达"};
    case Notice::HOST_DOWN:
      return {"host down", "主机失联"};
    case Notice::HOST_BACK:
      return {"host back", "主机恢复"};
    default:
      return {"news", "通知"};
  }
}

std::string TimeText(const google::protobuf::Timestamp& time) {
  return absl::FormatTime("%Y-%m-%dT%H:%M:%SZ", FromProto(time), absl::UTCTimeZone());
}

// "web-1 (10.0.0.1)".
std::string Where(const Notice& notice) {
  const std::string name(IdOf(notice.vm()));
  return notice.ip().empty() ? name : absl::StrCat(name, " (", notice.ip(), ")");
}

std::string Subject(const Notice& notice, Language language) {
  if (!notice.hypervisor().empty() && notice.vm().empty()) {
    return std::string(IdOf(notice.hypervisor()));
  }
  if (notice.service().empty()) return Where(notice);
  return language == Language::kChinese ? absl::StrCat(Where(notice), " 上的 ", notice.service())
                                        : absl::StrCat(notice.service(), " on ", Where(notice));
}

// One sentence that says what happened.
std::string Sentence(const Notice& notice, Language language) {
  const std::string what = Subject(notice, language);
  const std::string at = TimeText(notice.time());
  const bool zh = language == Language::kChinese;
  const auto& died = notice.died_at();
  switch (notice.kind()) {
    case Notice::RECOVERED:
      if (died.empty())
        return zh ? absl::StrCat(what, " 已恢复正常。") : absl::StrCat(what, " is well again.");
      return zh ? absl::StrCat(what, " 于 ", died, " 中断，现已恢复运行。")
                : absl::StrCat(what, " died at ", died, " and runs again.");
    case Notice::GIVEN_UP:
      return zh ? absl::StrCat(what, " 已停止且无法启动，尝试 ", notice.attempts(),
                               " 次后放弃，需要人工处理。")
                : absl::StrCat(what, " died and does not start; given up after ", notice.attempts(),
                               " attempts. It needs somebody.");
    case Notice::UNHEALTHY:
      return zh ? absl::StrCat(what, " 的进程仍在，但没有响应。")
                : absl::StrCat(what, " is there but does not answer.");
    case Notice::FLAPPING:
      return zh ? absl::StrCat(what, " 反复中断又恢复。在平静 30 分钟之前不再发送邮件。")
                : absl::StrCat(what,
                               " goes down and comes back again and again. No other mail comes "
                               "until it was quiet for 30 minutes.");
    case Notice::VM_UNREACHABLE:
      return zh ? absl::StrCat("虚拟机 ", what, " 从 ", at, " 起没有应答。")
                : absl::StrCat("VM ", what, " does not answer since ", at, ".");
    case Notice::VM_BACK:
      return zh ? absl::StrCat("虚拟机 ", what, " 自 ", at, " 起恢复应答。")
                : absl::StrCat("VM ", what, " answers again since ", at, ".");
    case Notice::HOST_DOWN:
      return zh ? absl::StrCat("虚拟化主机 ", what, " 于 ", at,
                               " 失去联系；其上的虚拟机不再单独通知。")
                : absl::StrCat("Hypervisor ", what, " is lost since ", at,
                               "; nothing is told of each of its VMs.");
    case Notice::HOST_BACK:
      return zh ? absl::StrCat("虚拟化主机 ", what, " 于 ", at, " 恢复联系。")
                : absl::StrCat("Hypervisor ", what, " is back since ", at, ".");
    default:
      return what;
  }
}

void AppendVms(std::string& text, const Notice& notice, Language language) {
  if (notice.vms().empty()) return;
  const bool back = notice.kind() == Notice::HOST_BACK;
  const Words title = back ? Words{"Its VMs that still do not answer", "仍然没有应答的虚拟机"}
                           : Words{"Its VMs", "其上的虚拟机"};
  std::vector<std::string> names;
  for (const std::string& vm : notice.vms()) {
    if (names.size() == kMostVms) break;
    names.emplace_back(IdOf(vm));
  }
  absl::StrAppend(&text, title.In(language), " (", notice.vms_size(),
                  "): ", absl::StrJoin(names, ", "),
                  static_cast<size_t>(notice.vms_size()) > kMostVms ? ", ..." : "", "\n");
}

std::string Details(const Notice& notice, Language language) {
  std::string text;
  auto line = [&](const Words& name, absl::string_view value) {
    if (!value.empty()) absl::StrAppend(&text, name.In(language), ": ", value, "\n");
  };
  line({"VM", "虚拟机"}, IdOf(notice.vm()));
  line({"Address", "地址"}, notice.ip());
  line({"Environment", "环境"}, IdOf(notice.environment()));
  line({"Type", "类型"}, IdOf(notice.type()));
  if (notice.vm().empty()) line({"Hypervisor", "虚拟化主机"}, IdOf(notice.hypervisor()));
  line({"Service", "服务"}, notice.service());
  line({"Died", "中断时间"}, notice.died_at());
  line({"Recovered", "恢复时间"}, notice.recovered_at());
  line({"Attempts", "尝试次数"}, notice.attempts());
  AppendVms(text, notice, language);
  if (notice.folded() > 0) {
    if (language == Language::kChinese) {
      absl::StrAppend(&text, "自上一封邮件以来，另有 ", notice.folded(), " 次中断没有单独通知。\n");
    } else {
      absl::StrAppend(&text, "Since the last mail there were ", notice.folded(),
                      notice.folded() == 1 ? " more outage" : " more outages",
                      " that no mail told of.\n");
    }
  }
  if (!notice.detail().empty()) {
    const Words title =
        notice.service().empty() ? Words{"Reason", "原因"} : Words{"Last output", "最后的输出"};
    absl::StrAppend(&text, "\n", title.In(language), ":\n", notice.detail(), "\n");
  }
  return text;
}

std::string Footer(Language language) {
  return language == Language::kChinese
             ? "\n您收到此邮件，是因为您是该服务或虚拟机类型的负责人。\n"
             : "\nYou get this mail as an owner of the service or of its VM type.\n";
}

Mail Single(const Notice& notice, Language language) {
  Mail mail;
  mail.subject =
      absl::StrCat("[Drover] ", NameOf(notice.kind()).In(language),
                   language == Language::kChinese ? "：" : ": ", Subject(notice, language));
  mail.text =
      absl::StrCat(Sentence(notice, language), "\n\n", Details(notice, language), Footer(language));
  const std::string about =
      std::string(IdOf(notice.vm().empty() ? notice.hypervisor() : notice.vm()));
  mail.thread = notice.service().empty() ? about : absl::StrCat(about, ".", notice.service());
  return mail;
}

// "3 given up, 2 unreachable", the worst first.
std::string Counts(const std::vector<Notice>& notices, Language language) {
  static constexpr Notice::Kind kOrder[] = {
      Notice::HOST_DOWN, Notice::GIVEN_UP,  Notice::VM_UNREACHABLE, Notice::UNHEALTHY,
      Notice::FLAPPING,  Notice::RECOVERED, Notice::VM_BACK,        Notice::HOST_BACK};
  std::map<Notice::Kind, int> counts;
  for (const Notice& notice : notices) ++counts[notice.kind()];
  std::vector<std::string> parts;
  for (const Notice::Kind kind : kOrder) {
    if (counts[kind] == 0) continue;
    parts.push_back(absl::StrCat(counts[kind], " ", NameOf(kind).In(language)));
  }
  return absl::StrJoin(parts, language == Language::kChinese ? "，" : ", ");
}

}  // namespace

Language LanguageOf(absl::string_view tag) {
  return absl::StartsWithIgnoreCase(tag, "zh") ? Language::kChinese : Language::kEnglish;
}

Mail MailAbout(const std::vector<Notice>& notices, Language language) {
  if (notices.size() == 1) return Single(notices.front(), language);
  const bool zh = language == Language::kChinese;
  const std::string group = notices.front().environment().empty()
                                ? (zh ? "主机" : "hosts")
                                : std::string(IdOf(notices.front().environment()));
  Mail mail;
  mail.subject = absl::StrCat("[Drover] ", group, zh ? "：" : ": ", Counts(notices, language));
  mail.thread = absl::StrCat("group.", group);
  size_t lines = 0;
  for (const Notice& notice : notices) {
    if (lines++ == kMostLines) break;
    absl::StrAppend(&mail.text, "- ", Sentence(notice, language), "\n");
  }
  if (notices.size() > kMostLines) {
    const size_t more = notices.size() - kMostLines;
    mail.text +=
        zh ? absl::StrCat("- 另有 ", more, " 条。\n") : absl::StrCat("- and ", more, " more.\n");
  }
  for (const Notice& notice : notices) AppendVms(mail.text, notice, language);
  mail.text += Footer(language);
  return mail;
}

Mail MailAboutHeld(const AlertRecipient& recipient, int limit, Language language) {
  const bool zh = language == Language::kChinese;
  Mail mail;
  mail.subject = zh ? absl::StrCat("[Drover] 有 ", recipient.held(), " 封邮件被合并")
                    : absl::StrCat("[Drover] ", recipient.held(), " mails were held back");
  mail.text =
      zh ? absl::StrCat("自 ", TimeText(recipient.hour_start()), " 起的一小时内，您已收到 ", limit,
                        " 封邮件；其余的只在这里列出：\n\n")
         : absl::StrCat("You had ", limit, " mails in the hour since ",
                        TimeText(recipient.hour_start()), "; the others are listed here only:\n\n");
  for (const std::string& subject : recipient.held_subjects()) {
    absl::StrAppend(&mail.text, "- ", subject, "\n");
  }
  const int more = recipient.held() - recipient.held_subjects_size();
  if (more > 0)
    mail.text +=
        zh ? absl::StrCat("- 另有 ", more, " 封。\n") : absl::StrCat("- and ", more, " more.\n");
  mail.text += Footer(language);
  mail.thread = "held-back";
  return mail;
}

Mail TestMail(Language language) {
  Mail mail;
  mail.thread = "test";
  if (language == Language::kChinese) {
    mail.subject = "[Drover] 测试邮件";
    mail.text = "这是 Drover 的测试邮件。收到它说明通知邮件可以送达此地址。\n";
  } else {
    mail.subject = "[Drover] test mail";
    mail.text =
        "This is a test mail of Drover. That you read it shows that notices reach this address.\n";
  }
  return mail;
}

}  // namespace drover::core
