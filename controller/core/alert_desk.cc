#include "controller/core/alert_desk.h"

#include <algorithm>

#include "absl/strings/escaping.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "controller/core/alert_policy.h"
#include "controller/core/user_records.h"
#include "proto/support/log.h"
#include "proto/support/resource_name.h"
#include "proto/support/status.h"
#include "proto/support/time.h"

namespace drover::core {
namespace {

using drover::v1::Event;

constexpr char kNotices[] = "notice/";
constexpr char kFlapping[] = "flapping/";
constexpr char kRecipients[] = "recipient/";
constexpr char kHosts[] = "host/";
constexpr int kAtOnce = 2000;
constexpr int kMostHeldSubjects = 50;
// The thread looks at the clock this often while something waits.
constexpr absl::Duration kLook = absl::Seconds(1);
constexpr absl::Duration kRetry = absl::Seconds(30);

// Documents of alerts whose keys begin with `prefix`.
absl::StatusOr<std::vector<Document>> ListBelow(StoreReader& reader, absl::string_view prefix) {
  ListQuery query;
  query.after_key = std::string(prefix);
  query.limit = kAtOnce;
  DROVER_ASSIGN_OR_RETURN(std::vector<Document> documents, reader.List(Table::kAlerts, query));
  std::erase_if(documents, [&](const Document& one) { return !absl::StartsWith(one.key, prefix); });
  return documents;
}

template <typename Message>
absl::StatusOr<std::optional<Message>> Read(StoreReader& reader, absl::string_view key) {
  const absl::StatusOr<Document> document = reader.Get(Table::kAlerts, key);
  if (absl::IsNotFound(document.status())) return std::nullopt;
  DROVER_RETURN_IF_ERROR(document.status());
  Message message;
  if (!message.ParseFromString(document->body)) {
    return absl::DataLossError(absl::StrCat("the stored alert ", key, " is damaged"));
  }
  return message;
}

template <typename Message>
absl::Status Write(StoreWriter& writer, absl::string_view key, const Message& message) {
  return writer.Put(Table::kAlerts, {std::string(key), "", message.SerializeAsString()});
}

bool Concerns(const Event& event) {
  return absl::StartsWith(event.kind(), "service.") || absl::StartsWith(event.kind(), "vm.") ||
         absl::StartsWith(event.kind(), "hypervisor.") || event.kind() == "agent.mail_sent";
}

// Notices that make one mail have the same.
std::string GroupOf(const Notice& notice) {
  return notice.vm().empty() ? "hosts" : notice.environment();
}

}  // namespace

AlertDesk::AlertDesk(Store* store, Vault* vault, Inventory* inventory, MailQueue* mails,
                     Clock* clock, AlertLimits limits)
    : store_(store),
      vault_(vault),
      inventory_(inventory),
      mails_(mails),
      clock_(clock),
      limits_(limits) {}

AlertDesk::~AlertDesk() { Stop(); }

void AlertDesk::Attend(EventLog* events) {
  events->OnRecord([this](StoreWriter& writer, const Event& event) { return Take(writer, event); });
  events->OnEvent([this](const Event& event) {
    if (Concerns(event)) Wake();
  });
}

absl::Status AlertDesk::DropLeftovers() {
  std::vector<Document> alerts;
  DROVER_RETURN_IF_ERROR(store_->Read([&](StoreReader& reader) -> absl::Status {
    DROVER_ASSIGN_OR_RETURN(alerts, reader.List(Table::kAlerts, ListQuery()));
    return absl::OkStatus();
  }));
  for (const Document& alert : alerts) {
    const bool of_vm =
        !absl::StartsWith(alert.key, kNotices) && !absl::StartsWith(alert.key, kFlapping) &&
        !absl::StartsWith(alert.key, kRecipients) && !absl::StartsWith(alert.key, kHosts);
    if (!of_vm) continue;
    const std::string uid = alert.key.substr(0, alert.key.find('/'));
    if (inventory_->GetVmByUid(uid).ok()) continue;
    DROVER_RETURN_IF_ERROR(store_->Write(
        [&](StoreWriter& writer) { return writer.Delete(Table::kAlerts, alert.key); }));
  }
  return absl::OkStatus();
}

void AlertDesk::Start() {
  thread_ = std::jthread([this](std::stop_token stop) { Run(stop); });
}

void AlertDesk::Stop() {
  if (!thread_.joinable()) return;
  thread_.request_stop();
  Wake();
  thread_.join();
}

void AlertDesk::Wake() {
  absl::MutexLock lock(&mutex_);
  woken_ = true;
}

void AlertDesk::Run(std::stop_token stop) {
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
    const absl::StatusOr<absl::Time> flushed = Flush();
    if (!flushed.ok()) LogError("owners cannot be told: ", flushed.status().message());
    next = flushed.ok() ? *flushed : clock_->Now() + kRetry;
  }
}

// ---------------------------------------------------------------- what is to be told

absl::Status AlertDesk::Take(StoreWriter& writer, const Event& event) {
  if (!Concerns(event)) return absl::OkStatus();
  std::string matter;
  std::string hypervisor;
  if (absl::StartsWith(event.kind(), "hypervisor.")) {
    matter = absl::StrCat(kHosts, IdOf(event.subject()));
  } else {
    const auto vm = inventory_->GetVm(event.vm());
    if (!vm.ok()) return absl::OkStatus();
    hypervisor = vm->hypervisor();
    const bool of_service = !absl::StartsWith(event.kind(), "vm.");
    matter = absl::StrCat(vm->uid(), "/", of_service ? event.subject() : "");
  }
  if (event.kind() == "agent.mail_sent") {
    const auto problem = event.attributes().find("problem");
    const bool sent = problem == event.attributes().end() || problem->second.empty();
    return sent ? ToldByAgent(writer, matter) : absl::OkStatus();
  }
  DROVER_ASSIGN_OR_RETURN(const std::optional<AlertState> known, Read<AlertState>(writer, matter));
  std::optional<Judgement> judgement = Judge(event, matter, known, clock_->Now());
  if (!judgement) return absl::OkStatus();
  if (!hypervisor.empty()) judgement->state.mutable_last()->set_hypervisor(hypervisor);
  if (judgement->notice && !hypervisor.empty()) judgement->notice->set_hypervisor(hypervisor);
  return Keep(writer, matter, judgement->state, judgement->notice);
}

absl::Status AlertDesk::Keep(StoreWriter& writer, absl::string_view matter, const AlertState& state,
                             const std::optional<Notice>& notice) {
  DROVER_RETURN_IF_ERROR(Write(writer, matter, state));
  const std::string flapping = absl::StrCat(kFlapping, matter);
  if (state.flapping()) {
    DROVER_RETURN_IF_ERROR(writer.Put(Table::kAlerts, {flapping, "", ""}));
  } else {
    DROVER_RETURN_IF_ERROR(writer.Delete(Table::kAlerts, flapping));
  }
  if (!notice) return absl::OkStatus();
  // From when they are known: what an agent kept while it was away is gathered as well.
  Notice kept = *notice;
  *kept.mutable_known_at() = ToProto(clock_->Now());
  const std::string key = absl::StrFormat("%s%020d-%s", kNotices, absl::ToUnixNanos(clock_->Now()),
                                          absl::BytesToHexString(vault_->RandomBytes(4)));
  return Write(writer, key, kept);
}

absl::Status AlertDesk::ToldByAgent(StoreWriter& writer, absl::string_view matter) {
  DROVER_ASSIGN_OR_RETURN(const std::vector<Document> documents, ListBelow(writer, kNotices));
  for (const Document& document : documents) {
    Notice notice;
    if (!notice.ParseFromString(document.body) || notice.matter() != matter) continue;
    DROVER_RETURN_IF_ERROR(writer.Delete(Table::kAlerts, document.key));
  }
  return absl::OkStatus();
}

// ---------------------------------------------------------------- telling it

absl::StatusOr<AlertDesk::Pending> AlertDesk::ReadPending() {
  Pending pending;
  DROVER_RETURN_IF_ERROR(store_->Read([&](StoreReader& reader) -> absl::Status {
    pending = Pending();
    DROVER_ASSIGN_OR_RETURN(const std::vector<Document> notices, ListBelow(reader, kNotices));
    for (const Document& document : notices) {
      Notice notice;
      if (!notice.ParseFromString(document.body)) {
        return absl::DataLossError(absl::StrCat("the stored ", document.key, " is damaged"));
      }
      pending.notices.emplace_back(document.key, std::move(notice));
    }
    DROVER_ASSIGN_OR_RETURN(const std::vector<Document> flapping, ListBelow(reader, kFlapping));
    for (const Document& document : flapping) {
      pending.flapping.push_back(document.key.substr(sizeof(kFlapping) - 1));
    }
    DROVER_ASSIGN_OR_RETURN(const std::vector<Document> known, ListBelow(reader, kRecipients));
    for (const Document& document : known) {
      AlertRecipient recipient;
      if (!recipient.ParseFromString(document.body)) continue;
      pending.recipients[document.key.substr(sizeof(kRecipients) - 1)] = std::move(recipient);
    }
    if (pending.notices.empty()) return absl::OkStatus();
    DROVER_ASSIGN_OR_RETURN(const std::vector<UserRecord> users, ReadAllUsers(reader));
    for (const UserRecord& user : users) {
      if (!user.user().mail().empty()) {
        pending.languages[user.user().mail()] = user.user().language();
      }
    }
    return absl::OkStatus();
  }));
  return pending;
}

std::set<std::string> AlertDesk::LostHosts() const {
  std::set<std::string> lost;
  for (const drover::v1::Hypervisor& host : inventory_->Hypervisors()) {
    if (host.state() == drover::v1::Hypervisor::STATE_UNREACHABLE) lost.insert(host.name());
  }
  return lost;
}

absl::StatusOr<absl::Time> AlertDesk::Flush() {
  DROVER_ASSIGN_OR_RETURN(Pending pending, ReadPending());
  const absl::Time now = clock_->Now();
  absl::Time next = absl::InfiniteFuture();
  if (!pending.flapping.empty()) {
    DROVER_RETURN_IF_ERROR(SettleFlapping(pending.flapping));
    next = now + absl::Minutes(1);
  }
  std::set<std::string> groups;
  for (const auto& [key, notice] : pending.notices) {
    if (DueTime(notice, limits_.gather) <= now) groups.insert(GroupOf(notice));
  }
  std::vector<Keyed> due;
  for (const Keyed& one : pending.notices) {
    const absl::Time time = DueTime(one.second, limits_.gather);
    // What can be told already goes with what must be.
    const bool joins =
        one.second.kind() != Notice::VM_UNREACHABLE && groups.contains(GroupOf(one.second));
    if (time <= now || joins) {
      due.push_back(one);
    } else {
      next = std::min(next, time);
    }
  }
  // A VM that is back already takes its notice with it, whenever that is due.
  for (const Keyed& one : pending.notices) {
    const bool waits = std::none_of(due.begin(), due.end(),
                                    [&](const Keyed& other) { return other.first == one.first; });
    const bool followed = std::any_of(due.begin(), due.end(), [&](const Keyed& other) {
      return other.second.matter() == one.second.matter();
    });
    if (waits && followed) due.push_back(one);
  }
  std::sort(due.begin(), due.end(),
            [](const Keyed& a, const Keyed& b) { return a.first < b.first; });
  if (!due.empty()) DROVER_RETURN_IF_ERROR(Tell(due, pending));
  DROVER_RETURN_IF_ERROR(TellHeld(pending, &next));
  return next;
}

absl::Status AlertDesk::SettleFlapping(const std::vector<std::string>& matters) {
  return store_->Write([&](StoreWriter& writer) -> absl::Status {
    for (const std::string& matter : matters) {
      DROVER_ASSIGN_OR_RETURN(const std::optional<AlertState> known,
                              Read<AlertState>(writer, matter));
      const auto judgement = known ? Settle(*known, clock_->Now()) : std::nullopt;
      if (judgement) {
        DROVER_RETURN_IF_ERROR(Keep(writer, matter, judgement->state, judgement->notice));
      }
      if (!known) {
        DROVER_RETURN_IF_ERROR(writer.Delete(Table::kAlerts, absl::StrCat(kFlapping, matter)));
      }
    }
    return absl::OkStatus();
  });
}

std::vector<std::string> AlertDesk::RecipientsOf(const Notice& notice) const {
  std::set<std::string> types;
  if (notice.vm().empty()) {
    const auto rows = inventory_->Vms();
    for (const VmRowPtr& row : *rows) {
      if (row->vm.hypervisor() == notice.hypervisor()) types.insert(row->vm.type());
    }
  } else {
    types.insert(notice.type());
  }
  std::vector<std::string> all;
  for (const std::string& name : types) {
    const auto type = inventory_->GetType(name);
    if (!type.ok()) continue;
    for (const std::string& owner : OwnersOf(*type, notice.service())) {
      if (std::find(all.begin(), all.end(), owner) == all.end()) all.push_back(owner);
    }
  }
  return all;
}

// A host's VMs are what they are when it is told of.
void AlertDesk::Describe(Notice& notice) const {
  if (!notice.vm().empty()) return;
  const bool down = notice.kind() == Notice::HOST_DOWN;
  const auto rows = inventory_->Vms();
  for (const VmRowPtr& row : *rows) {
    const bool silent = row->vm.reachability() == drover::v1::REACHABILITY_DOWN &&
                        row->vm.power() != drover::v1::POWER_STATE_OFF;
    if (row->vm.hypervisor() == notice.hypervisor() && (down || silent)) {
      notice.add_vms(row->vm.name());
    }
  }
}

absl::Status AlertDesk::Tell(const std::vector<Keyed>& due, Pending& pending) {
  std::vector<Notice> notices;
  for (const auto& [key, notice] : due) notices.push_back(notice);
  Reduced reduced = Reduce(notices, LostHosts());
  // By recipient and group.
  std::map<std::pair<std::string, std::string>, std::vector<Notice>> mails;
  for (Notice& notice : reduced.notices) {
    Describe(notice);
    for (const std::string& address : RecipientsOf(notice)) {
      mails[{address, GroupOf(notice)}].push_back(notice);
    }
  }
  const auto before = pending.recipients;
  DROVER_RETURN_IF_ERROR(store_->Write([&](StoreWriter& writer) -> absl::Status {
    pending.recipients = before;
    for (const auto& [key, notice] : due) {
      DROVER_RETURN_IF_ERROR(writer.Delete(Table::kAlerts, key));
    }
    for (const std::string& matter : reduced.silenced) {
      DROVER_ASSIGN_OR_RETURN(std::optional<AlertState> state, Read<AlertState>(writer, matter));
      if (!state) continue;
      state->set_silenced(true);
      DROVER_RETURN_IF_ERROR(Write(writer, matter, *state));
    }
    for (const auto& [to, group] : mails) {
      AlertRecipient& recipient = pending.recipients[to.first];
      const auto language = pending.languages.find(to.first);
      recipient.set_language(language == pending.languages.end() ? "" : language->second);
      DROVER_RETURN_IF_ERROR(
          Put(writer, to.first, recipient, MailAbout(group, LanguageOf(recipient.language()))));
    }
    return absl::OkStatus();
  }));
  mails_->Wake();
  return absl::OkStatus();
}

absl::Status AlertDesk::Put(StoreWriter& writer, const std::string& address,
                            AlertRecipient& recipient, const Mail& mail) {
  const absl::Time now = clock_->Now();
  const bool over = now - FromProto(recipient.hour_start()) >= absl::Hours(1);
  // Held ones are told first.
  if (over && recipient.held() == 0) {
    *recipient.mutable_hour_start() = ToProto(now);
    recipient.set_sent(0);
  }
  absl::Status put;
  if (recipient.sent() < limits_.mails_per_hour) {
    recipient.set_sent(recipient.sent() + 1);
    Mail own = mail;
    own.to = {address};
    put = mails_->PutIn(writer, own);
  } else {
    recipient.set_held(recipient.held() + 1);
    if (recipient.held_subjects_size() < kMostHeldSubjects) {
      recipient.add_held_subjects(mail.subject);
    }
  }
  DROVER_RETURN_IF_ERROR(put);
  return Write(writer, absl::StrCat(kRecipients, address), recipient);
}

absl::Status AlertDesk::TellHeld(Pending& pending, absl::Time* next) {
  const absl::Time now = clock_->Now();
  bool told = false;
  for (auto& [address, recipient] : pending.recipients) {
    const absl::Time end = FromProto(recipient.hour_start()) + absl::Hours(1);
    if (recipient.held() == 0 && now < end) continue;
    if (recipient.held() > 0 && now < end) {
      *next = std::min(*next, end);
      continue;
    }
    DROVER_RETURN_IF_ERROR(store_->Write(
        [&, &address = address, &recipient = recipient](StoreWriter& writer) -> absl::Status {
          const std::string key = absl::StrCat(kRecipients, address);
          if (recipient.held() == 0) return writer.Delete(Table::kAlerts, key);
          Mail mail =
              MailAboutHeld(recipient, limits_.mails_per_hour, LanguageOf(recipient.language()));
          mail.to = {address};
          DROVER_RETURN_IF_ERROR(mails_->PutIn(writer, mail));
          AlertRecipient fresh;
          fresh.set_language(recipient.language());
          *fresh.mutable_hour_start() = ToProto(now);
          fresh.set_sent(1);
          return Write(writer, key, fresh);
        }));
    told |= recipient.held() > 0;
  }
  if (told) mails_->Wake();
  return absl::OkStatus();
}

}  // namespace drover::core
