#include "agent/owner_mails.h"

#include <algorithm>
#include <map>
#include <utility>
#include <vector>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "agent/durable_file.h"
#include "proto/support/log.h"
#include "proto/support/resource_name.h"
#include "proto/support/time.h"

namespace drover::agent {
namespace {

constexpr absl::Duration kLookEvery = absl::Seconds(10);
// A service that comes back by itself again within this time makes no other mail.
constexpr absl::Duration kFoldTime = absl::Minutes(30);
constexpr absl::Duration kLongestPause = absl::Minutes(10);

// The service an event is an outcome of; "" for other events.
std::string OutcomeOf(const v1::AgentEvent& event) {
  switch (event.event_case()) {
    case v1::AgentEvent::kServiceRecovered:
      return event.service_recovered().service();
    case v1::AgentEvent::kServiceGivenUp:
      return event.service_given_up().service();
    case v1::AgentEvent::kServiceUnhealthy:
      return event.service_unhealthy().service();
    default:
      return "";
  }
}

std::string TimeText(const google::protobuf::Timestamp& time) {
  return absl::FormatTime("%Y-%m-%dT%H:%M:%SZ", FromProto(time), absl::UTCTimeZone());
}

// What happened, as subject and text.
void Describe(const v1::AgentEvent& event, const v1::MailFallback& fallback,
              const std::string& service, bool chinese, Letter& letter) {
  const std::string vm(IdOf(fallback.vm()));
  const char* what = chinese ? "已恢复" : "recovered";
  std::string output;
  if (event.has_service_given_up()) {
    what = chinese ? "放弃重启" : "given up";
    output = event.service_given_up().last_output();
  } else if (event.has_service_unhealthy()) {
    what = chinese ? "无响应" : "unhealthy";
    output = event.service_unhealthy().detail();
  }
  letter.subject = chinese ? absl::StrCat("[Drover] ", what, "：", vm, " 上的 ", service)
                           : absl::StrCat("[Drover] ", what, ": ", service, " on ", vm);
  auto line = [&](const char* english, const char* other, absl::string_view value) {
    if (value.empty()) return;
    absl::StrAppend(&letter.text, chinese ? other : english, ": ", value, "\n");
  };
  letter.text = chinese ? "控制端无法联系，此邮件由虚拟机内的代理程序直接发送。\n\n"
                        : "The controller is out of reach, so the agent in the VM tells you "
                          "itself.\n\n";
  line("VM", "虚拟机", vm);
  line("Environment", "环境", IdOf(fallback.environment()));
  line("Service", "服务", service);
  line("What", "情况", what);
  line("When", "时间", TimeText(event.time()));
  if (!output.empty()) {
    absl::StrAppend(&letter.text, "\n", chinese ? "最后的输出" : "Last output", ":\n", output,
                    "\n");
  }
}

}  // namespace

OwnerMails::OwnerMails(std::string path, EventLoop* loop, const Outbox* outbox,
                       std::function<void(v1::AgentEvent)> emit)
    : path_(std::move(path)),
      loop_(loop),
      outbox_(outbox),
      emit_(std::move(emit)),
      lost_since_(loop->clock().Uptime()) {}

OwnerMails::~OwnerMails() {
  *alive_ = false;
  loop_->CancelTimer(timer_);
}

absl::StatusOr<std::unique_ptr<OwnerMails>> OwnerMails::Open(
    std::string path, EventLoop* loop, const Outbox* outbox,
    std::function<void(v1::AgentEvent)> emit) {
  std::unique_ptr<OwnerMails> mails(new OwnerMails(std::move(path), loop, outbox, std::move(emit)));
  const absl::Status read = ReadMessage(mails->path_, mails->state_);
  if (absl::IsDataLoss(read)) {
    LogError(read.message());
  } else if (!read.ok() && !absl::IsNotFound(read)) {
    return read;
  }
  mails->LookLater();
  return mails;
}

void OwnerMails::Save() {
  if (absl::Status saved = WriteMessage(path_, state_); !saved.ok()) LogError(saved.message());
}

void OwnerMails::Configure(const v1::MailFallback& fallback) {
  if (state_.fallback().SerializeAsString() == fallback.SerializeAsString()) return;
  *state_.mutable_fallback() = fallback;
  Save();
  LookLater();
}

void OwnerMails::LinkIs(bool established) {
  if (linked_ == established) return;
  linked_ = established;
  // What is on its way arrives; the rest is the controller's to tell.
  if (established) return letters_.clear();
  lost_since_ = loop_->clock().Uptime();
  // What the controller has got meanwhile begins anew.
  const int64_t first = outbox_->FirstUnacknowledged();
  auto& told = *state_.mutable_told();
  for (auto at = told.begin(); at != told.end();) {
    at = first == 0 || at->second.sequence() < first ? told.erase(at) : std::next(at);
  }
  Save();
  LookLater();
}

void OwnerMails::LookLater() {
  if (timer_ != 0 || linked_ || state_.fallback().relay().empty()) return;
  timer_ = loop_->RunAfter(kLookEvery, [this] {
    timer_ = 0;
    Look();
    LookLater();
  });
}

void OwnerMails::Look() {
  const absl::Duration now = loop_->clock().Uptime();
  const absl::Duration patience = absl::Seconds(state_.fallback().after_seconds());
  if (linked_ || now - lost_since_ < patience || now < not_before_ || delivery_ != nullptr) return;
  if (letters_.empty() && !Prepare()) return;
  Deliver();
}

bool OwnerMails::Prepare() {
  const v1::MailFallback& fallback = state_.fallback();
  // By service, the newest outcome, unless it is told.
  std::map<std::string, const v1::AgentEvent*> outcomes;
  for (const v1::AgentEvent* event = outbox_->After(0); event != nullptr;
       event = outbox_->After(event->sequence())) {
    const std::string service = OutcomeOf(*event);
    if (!service.empty()) outcomes[service] = event;
  }
  for (const auto& [service, event] : outcomes) {
    const auto known = state_.told().find(service);
    v1::OwnerMailState::Told told;
    if (known != state_.told().end()) told = known->second;
    if (event->sequence() <= told.sequence()) continue;
    const bool outage = !event->has_service_recovered();
    const bool folded =
        !outage && !told.outage() && told.has_time() &&
        absl::AbsDuration(loop_->clock().Now() - FromProto(told.time())) < kFoldTime;
    told.set_sequence(event->sequence());
    if (folded || (outage && told.outage())) {
      (*state_.mutable_told())[service] = told;
      Save();
      continue;
    }
    told.set_outage(outage);
    *told.mutable_time() = ToProto(loop_->clock().Now());
    const auto owners =
        std::find_if(fallback.owners().begin(), fallback.owners().end(),
                     [&service = service](const auto& one) { return one.service() == service; });
    std::map<bool, std::vector<std::string>> by_language;
    if (owners != fallback.owners().end()) {
      for (const auto& recipient : owners->recipients()) {
        by_language[absl::StartsWithIgnoreCase(recipient.language(), "zh")].push_back(
            recipient.address());
      }
    }
    for (auto& [chinese, addresses] : by_language) {
      Letter letter;
      letter.relay = fallback.relay();
      letter.sender = fallback.sender();
      letter.to = std::move(addresses);
      letter.time = loop_->clock().Now();
      letter.id = absl::StrCat(IdOf(fallback.vm()), ".", event->sequence(), chinese ? ".zh" : ".en",
                               ".", absl::ToUnixNanos(letter.time));
      Describe(*event, fallback, service, chinese, letter);
      letters_.push_back(std::move(letter));
    }
    service_ = service;
    told_ = told;
    if (!letters_.empty()) return true;
    (*state_.mutable_told())[service] = told;
    Save();
  }
  return false;
}

void OwnerMails::Deliver() {
  delivery_ = std::make_unique<SmtpDelivery>(loop_, letters_.front(),
                                             [this, alive = alive_](const absl::Status& status) {
                                               if (*alive) Delivered(status);
                                             });
}

void OwnerMails::Delivered(const absl::Status& status) {
  delivery_.reset();
  if (letters_.empty()) return;
  if (absl::IsUnavailable(status)) {
    const absl::Duration pause =
        std::min(kLookEvery * (1 << std::min(failures_++, 6)), kLongestPause);
    not_before_ = loop_->clock().Uptime() + pause;
    return LogWarning("owners cannot be told: ", status.message());
  }
  failures_ = 0;
  const Letter letter = std::move(letters_.front());
  letters_.pop_front();
  if (letters_.empty()) {
    (*state_.mutable_told())[service_] = told_;
    Save();
  }
  v1::AgentEvent event;
  *event.mutable_time() = ToProto(loop_->clock().Now());
  event.mutable_mail_sent()->set_service(service_);
  for (const std::string& address : letter.to) event.mutable_mail_sent()->add_to(address);
  event.mutable_mail_sent()->set_subject(letter.subject);
  if (!status.ok()) event.mutable_mail_sent()->set_problem(std::string(status.message()));
  if (status.ok()) {
    LogInfo("owners of ", service_, " were told: ", letter.subject);
  } else {
    LogWarning("owners of ", service_, " cannot be told: ", status.message());
  }
  emit_(std::move(event));
  if (!letters_.empty() && !linked_) Deliver();
}

}  // namespace drover::agent
