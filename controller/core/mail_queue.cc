#include "controller/core/mail_queue.h"

#include <algorithm>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/escaping.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/strings/str_join.h"
#include "proto/support/log.h"
#include "proto/support/status.h"
#include "proto/support/time.h"

namespace drover::core {
namespace {

constexpr absl::Duration kFirstDelay = absl::Seconds(30);
constexpr absl::Duration kLongestDelay = absl::Hours(1);
constexpr absl::Duration kGiveUpAfter = absl::Hours(72);
// The thread looks at the clock this often while mails wait.
constexpr absl::Duration kLook = absl::Seconds(1);

absl::Duration DelayAfter(int attempts) {
  return std::min(kLongestDelay, kFirstDelay * (1 << std::min(attempts - 1, 10)));
}

}  // namespace

MailQueue::MailQueue(Store* store, Vault* vault, Mailer* mailer, EventLog* events, Clock* clock)
    : store_(store), vault_(vault), mailer_(mailer), events_(events), clock_(clock) {}

MailQueue::~MailQueue() { Stop(); }

void MailQueue::Start() {
  thread_ = std::jthread([this](std::stop_token stop) { Run(stop); });
}

void MailQueue::Stop() {
  if (!thread_.joinable()) return;
  thread_.request_stop();
  Wake();
  thread_.join();
}

void MailQueue::Wake() {
  absl::MutexLock lock(&mutex_);
  woken_ = true;
}

absl::Status MailQueue::PutIn(StoreWriter& writer, const Mail& mail) {
  MailRecord record;
  record.mutable_to()->Assign(mail.to.begin(), mail.to.end());
  record.set_subject(mail.subject);
  record.set_text(mail.text);
  record.set_thread(mail.thread);
  *record.mutable_create_time() = ToProto(clock_->Now());
  *record.mutable_next_attempt_time() = record.create_time();
  std::string id = absl::StrFormat("%020d-%s", absl::ToUnixNanos(clock_->Now()),
                                   absl::BytesToHexString(vault_->RandomBytes(4)));
  return writer.Insert(Table::kMails, {id, "", record.SerializeAsString()});
}

void MailQueue::Run(std::stop_token stop) {
  absl::Time next = absl::InfinitePast();
  while (!stop.stop_requested()) {
    {
      absl::MutexLock lock(&mutex_);
      mutex_.AwaitWithTimeout(absl::Condition(&woken_),
                              next == absl::InfiniteFuture() ? absl::InfiniteDuration() : kLook);
      if (!woken_ && clock_->Now() < next) continue;
      woken_ = false;
    }
    if (stop.stop_requested()) return;
    absl::StatusOr<absl::Time> due = SendDue();
    if (!due.ok()) LogError("mail queue: ", due.status().message());
    next = due.ok() ? *due : clock_->Now() + kFirstDelay;
  }
}

absl::StatusOr<absl::Time> MailQueue::SendDue() {
  std::vector<Document> documents;
  DROVER_RETURN_IF_ERROR(store_->Read([&](StoreReader& reader) -> absl::Status {
    DROVER_ASSIGN_OR_RETURN(documents, reader.List(Table::kMails, ListQuery()));
    return absl::OkStatus();
  }));
  absl::Time next = absl::InfiniteFuture();
  for (const Document& document : documents) {
    MailRecord record;
    if (!record.ParseFromString(document.body)) {
      LogError("the queued mail ", document.key, " is damaged and left out");
      continue;
    }
    if (FromProto(record.next_attempt_time()) > clock_->Now()) {
      next = std::min(next, FromProto(record.next_attempt_time()));
      continue;
    }
    DROVER_RETURN_IF_ERROR(Send(document.key, std::move(record), &next));
  }
  return next;
}

absl::Status MailQueue::Send(const std::string& id, MailRecord record, absl::Time* next) {
  Mail mail;
  mail.to.assign(record.to().begin(), record.to().end());
  mail.subject = record.subject();
  mail.text = record.text();
  mail.thread = record.thread();
  absl::Status sent = mailer_->Send(mail);
  absl::Time now = clock_->Now();
  bool late = now - FromProto(record.create_time()) >= kGiveUpAfter;
  if (sent.ok() || !absl::IsUnavailable(sent) || late) {
    DROVER_RETURN_IF_ERROR(
        store_->Write([&](StoreWriter& writer) { return writer.Delete(Table::kMails, id); }));
    if (sent.ok()) return absl::OkStatus();
    drover::v1::Event event;
    event.set_kind("mail.refused");
    event.set_severity(drover::v1::Event::SEVERITY_ERROR);
    event.set_subject(record.subject());
    event.set_message(absl::StrCat("mail \"", record.subject(), "\" to ",
                                   absl::StrJoin(record.to(), ", "),
                                   " was not delivered: ", sent.message()));
    return events_->Record(event);
  }
  record.set_attempts(record.attempts() + 1);
  record.set_last_error(std::string(sent.message()));
  *record.mutable_next_attempt_time() = ToProto(now + DelayAfter(record.attempts()));
  *next = std::min(*next, FromProto(record.next_attempt_time()));
  LogWarning("mail is tried again: ", sent.message());
  return store_->Write([&](StoreWriter& writer) {
    return writer.Put(Table::kMails, {id, "", record.SerializeAsString()});
  });
}

}  // namespace drover::core
