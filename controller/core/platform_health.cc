#include "controller/core/platform_health.h"

#include <algorithm>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "proto/support/resource_name.h"
#include "proto/support/status.h"
#include "proto/support/time.h"

namespace drover::core {
namespace {

using Host = drover::v1::Hypervisor;
using drover::v1::Operation;

constexpr absl::Duration kSlowWrite = absl::Milliseconds(500);
constexpr int64_t kGiB = int64_t{1} << 30;
constexpr absl::Duration kLateMail = absl::Minutes(30);
constexpr absl::Duration kLongOperation = absl::Hours(24);
constexpr size_t kMostNames = 5;

HealthCheck CheckOf(absl::string_view name, HealthCheck::State state, absl::string_view finding,
                    absl::string_view advice = "") {
  HealthCheck check;
  check.set_name(std::string(name));
  check.set_state(state);
  check.set_finding(std::string(finding));
  check.set_advice(std::string(advice));
  return check;
}

std::string Names(const std::vector<std::string>& names) {
  const size_t shown = std::min(names.size(), kMostNames);
  std::string text = absl::StrJoin(names.begin(), names.begin() + static_cast<long>(shown), ", ");
  if (names.size() > shown) absl::StrAppend(&text, " and ", names.size() - shown, " more");
  return text;
}

std::string Gigabytes(int64_t bytes) {
  return absl::StrCat((bytes + kGiB / 20) / kGiB, ".", (bytes % kGiB) * 10 / kGiB, " GiB");
}

}  // namespace

HealthCheck JudgeStore(const absl::StatusOr<absl::Duration>& write) {
  if (!write.ok()) {
    return CheckOf("store", HealthCheck::STATE_ERROR,
                   absl::StrCat("the store takes no writes: ", write.status().message()),
                   HasReason(write.status(), "STORE_FULL")
                       ? "make room on the disk of the store; work goes on by itself"
                       : "look at the controller's log, and at the disk of the store");
  }
  const std::string finding = absl::StrCat(
      "a durable write takes ", absl::FormatDuration(absl::Trunc(*write, absl::Milliseconds(1))));
  if (*write < absl::Milliseconds(1)) {
    return CheckOf("store", HealthCheck::STATE_OK, "a durable write takes less than 1 ms");
  }
  if (*write < kSlowWrite) return CheckOf("store", HealthCheck::STATE_OK, finding);
  return CheckOf("store", HealthCheck::STATE_WARNING, finding,
                 "everything waits for the store: give it a faster disk, or find what else "
                 "writes to this one");
}

HealthCheck JudgeDisk(const absl::StatusOr<DiskFacts>& disk) {
  if (!disk.ok()) {
    return CheckOf("disk", HealthCheck::STATE_ERROR, disk.status().message(),
                   "see whether the disk of the store is there");
  }
  const std::string finding = absl::StrCat(Gigabytes(disk->free_bytes), " of ",
                                           Gigabytes(disk->bytes), " free in ", disk->directory);
  const bool few_files = disk->files > 0 && disk->free_files < disk->files / 50;
  if (disk->free_bytes < kGiB / 5 || disk->free_bytes < disk->bytes / 50) {
    return CheckOf("disk", HealthCheck::STATE_ERROR, finding,
                   "make room now: without it nothing can be recorded, so nothing is done");
  }
  if (few_files) {
    return CheckOf("disk", HealthCheck::STATE_ERROR,
                   absl::StrCat(finding, ", but only ", disk->free_files, " files may be made"),
                   "delete files that nobody needs on that disk");
  }
  if (disk->free_bytes < 2 * kGiB || disk->free_bytes < disk->bytes / 10) {
    return CheckOf("disk", HealthCheck::STATE_WARNING, finding,
                   "make room, or back up the platform log and delete what was backed up");
  }
  return CheckOf("disk", HealthCheck::STATE_OK, finding);
}

HealthCheck JudgeClock(std::optional<bool> synchronised) {
  if (!synchronised.has_value()) {
    return CheckOf("clock", HealthCheck::STATE_WARNING,
                   "the machine does not tell whether its clock is kept by NTP",
                   "keep the clock by NTP, e.g. with chrony or systemd-timesyncd");
  }
  if (*synchronised) return CheckOf("clock", HealthCheck::STATE_OK, "the clock is kept by NTP");
  return CheckOf("clock", HealthCheck::STATE_WARNING, "the clock is not kept by NTP",
                 "keep it by NTP, e.g. with chrony or systemd-timesyncd: times of outages and of "
                 "orders are read by it");
}

HealthCheck JudgeHypervisors(const std::vector<Host>& hypervisors) {
  if (hypervisors.empty()) {
    return CheckOf("hypervisors", HealthCheck::STATE_WARNING, "there is none yet",
                   "add one with: drover host add");
  }
  std::vector<std::string> away;
  std::vector<std::string> refused;
  for (const Host& host : hypervisors) {
    const std::string text = absl::StrCat(
        IdOf(host.name()),
        host.state_reason().empty() ? "" : absl::StrCat(" (", host.state_reason(), ")"));
    if (host.state() == Host::STATE_LOGIN_REFUSED ||
        host.state() == Host::STATE_CERTIFICATE_CHANGED) {
      refused.push_back(text);
    } else if (host.state() != Host::STATE_CONNECTED) {
      away.push_back(text);
    }
  }
  const std::string all = absl::StrCat(hypervisors.size());
  if (!refused.empty()) {
    return CheckOf("hypervisors", HealthCheck::STATE_ERROR,
                   absl::StrCat(refused.size() + away.size(), " of ", all,
                                " are not connected: ", Names(refused),
                                away.empty() ? "" : absl::StrCat("; ", Names(away))),
                   "confirm the certificate or set the account anew: drover host update");
  }
  if (!away.empty()) {
    return CheckOf("hypervisors", HealthCheck::STATE_ERROR,
                   absl::StrCat(away.size(), " of ", all, " are not connected: ", Names(away)),
                   "see whether the host is up and reachable from the controller; it is tried "
                   "again by itself");
  }
  return CheckOf("hypervisors", HealthCheck::STATE_OK, absl::StrCat("all ", all, " are connected"));
}

HealthCheck JudgeAgents(const std::vector<VmRowPtr>& vms) {
  int connected = 0;
  std::vector<std::string> lost;
  std::vector<std::string> quarantined;
  for (const VmRowPtr& row : vms) {
    const drover::v1::Vm& vm = row->vm;
    const std::string id(IdOf(vm.name()));
    if (vm.agent_state() == drover::v1::AGENT_STATE_CONNECTED) ++connected;
    if (vm.agent_state() == drover::v1::AGENT_STATE_QUARANTINED) quarantined.push_back(id);
    if (vm.agent_state() == drover::v1::AGENT_STATE_CONTACT_LOST &&
        vm.power() == drover::v1::POWER_STATE_ON) {
      lost.push_back(id);
    }
  }
  std::string finding =
      absl::StrCat(connected, " of ", vms.size(), " VMs have their agent connected");
  if (!quarantined.empty()) {
    return CheckOf("agents", HealthCheck::STATE_WARNING,
                   absl::StrCat(finding, "; quarantined: ", Names(quarantined)),
                   "another machine shows their identity: find the copy, or take the VM in anew");
  }
  if (!lost.empty()) {
    return CheckOf("agents", HealthCheck::STATE_WARNING,
                   absl::StrCat(finding, "; powered on without contact: ", Names(lost)),
                   "see whether the guest reaches the controller's port for agents");
  }
  return CheckOf("agents", HealthCheck::STATE_OK, finding);
}

HealthCheck JudgeMail(const absl::StatusOr<MailFacts>& mail, absl::Time now) {
  if (!mail.ok()) {
    return CheckOf("mail", HealthCheck::STATE_ERROR, mail.status().message(),
                   "see what is wrong with the store");
  }
  if (mail->server.empty()) {
    if (!mail->owners) {
      return CheckOf("mail", HealthCheck::STATE_OK,
                     "no mail server is set, and no type has owners to be told");
    }
    return CheckOf("mail", HealthCheck::STATE_WARNING,
                   "no mail server is set: owners are told nothing",
                   "set [mail] smtp and from in config.toml");
  }
  if (mail->waiting == 0) {
    return CheckOf("mail", HealthCheck::STATE_OK, absl::StrCat("no mail waits for ", mail->server));
  }
  std::string finding = absl::StrCat(
      mail->waiting, mail->waiting == 1 ? " mail waits" : " mails wait", " for ", mail->server,
      mail->last_error.empty() ? "" : absl::StrCat(": ", mail->last_error));
  const bool late = now - mail->oldest > kLateMail;
  return CheckOf("mail",
                 late                       ? HealthCheck::STATE_ERROR
                 : mail->last_error.empty() ? HealthCheck::STATE_OK
                                            : HealthCheck::STATE_WARNING,
                 finding,
                 mail->last_error.empty() && !late
                     ? ""
                     : "see why the server does not take it: drover mail test ADDRESS");
}

HealthCheck JudgeSweep(absl::Time swept_at, absl::Duration interval, absl::Time now) {
  if (swept_at == absl::InfinitePast()) {
    return CheckOf("sweep", HealthCheck::STATE_WARNING,
                   "no sweep over the VMs' addresses has ended yet",
                   "when this stays so, see the controller's log");
  }
  const absl::Duration age = now - swept_at;
  const std::string finding =
      absl::StrCat("addresses were last asked ",
                   absl::FormatDuration(absl::Trunc(age, absl::Seconds(1))), " ago");
  // A sweep may take a second or two itself.
  if (age <= 3 * interval + absl::Seconds(5))
    return CheckOf("sweep", HealthCheck::STATE_OK, finding);
  return CheckOf("sweep", HealthCheck::STATE_ERROR, finding,
                 "the controller needs CAP_NET_RAW or a group within net.ipv4.ping_group_range");
}

HealthCheck JudgeOperations(const absl::StatusOr<OperationFacts>& operations) {
  if (!operations.ok()) {
    return CheckOf("operations", HealthCheck::STATE_ERROR, operations.status().message(),
                   "see what is wrong with the store");
  }
  const std::string finding =
      absl::StrCat(operations->running, " under way, ", operations->queued, " queued");
  if (operations->stuck.empty()) return CheckOf("operations", HealthCheck::STATE_OK, finding);
  return CheckOf("operations", HealthCheck::STATE_WARNING,
                 absl::StrCat(finding, "; being undone or under way for more than a day: ",
                              Names(operations->stuck)),
                 "see what they wait for: drover operation show ID");
}

HealthCheck JudgeLog(const absl::StatusOr<drover::v1::VerifyLogResponse>& verified) {
  if (!verified.ok()) {
    return CheckOf("log", HealthCheck::STATE_ERROR,
                   absl::StrCat("the platform log cannot be read: ", verified.status().message()),
                   "see what is wrong with the store");
  }
  if (verified->intact()) {
    return CheckOf("log", HealthCheck::STATE_OK,
                   absl::StrCat("the platform log is intact, ", verified->entries(), " entries"));
  }
  return CheckOf(
      "log", HealthCheck::STATE_ERROR,
      absl::StrCat("the platform log was tampered with at entry ", verified->first_bad_id(), ": ",
                   verified->problem()),
      "keep the store as evidence, and compare with the backups: drover log backup list");
}

// ---------------------------------------------------------------- looking

PlatformHealth::PlatformHealth(HealthSources sources)
    : sources_(std::move(sources)), start_time_(sources_.clock->Now()) {}

drover::v1::PlatformHealth PlatformHealth::Examine() {
  drover::v1::PlatformHealth health;
  const absl::Time now = sources_.clock->Now();
  *health.add_checks() = JudgeStore(TryStore());
  *health.add_checks() = JudgeDisk(sources_.disk());
  *health.add_checks() = JudgeClock(sources_.clock_synchronised());
  *health.add_checks() = JudgeHypervisors(sources_.inventory->Hypervisors());
  *health.add_checks() = JudgeAgents(*sources_.inventory->Vms());
  *health.add_checks() = JudgeMail(LookAtMail(), now);
  *health.add_checks() = JudgeSweep(sources_.sweep->swept_at(), sources_.sweep_interval, now);
  *health.add_checks() = JudgeOperations(LookAtOperations());
  *health.add_checks() = JudgeLog(sources_.events->Verify());
  health.set_version(sources_.version);
  *health.mutable_start_time() = ToProto(start_time_);
  *health.mutable_time() = ToProto(sources_.clock->Now());
  return health;
}

absl::StatusOr<absl::Duration> PlatformHealth::TryStore() {
  const absl::Time begin = sources_.clock->Now();
  DROVER_RETURN_IF_ERROR(sources_.store->Write([&](StoreWriter& writer) {
    return writer.Put(Table::kSettings, {"health_checked", "", absl::FormatTime(begin)});
  }));
  return sources_.clock->Now() - begin;
}

absl::StatusOr<MailFacts> PlatformHealth::LookAtMail() {
  MailFacts facts;
  facts.server = sources_.mail_server;
  for (const drover::v1::VmType& type : sources_.inventory->Types()) {
    facts.owners |= type.owners_size() > 0;
    for (const auto& service : type.services()) facts.owners |= service.owners_size() > 0;
  }
  std::vector<Document> waiting;
  DROVER_RETURN_IF_ERROR(sources_.store->Read([&](StoreReader& reader) -> absl::Status {
    DROVER_ASSIGN_OR_RETURN(waiting, reader.List(Table::kMails, ListQuery()));
    return absl::OkStatus();
  }));
  facts.waiting = static_cast<int>(waiting.size());
  for (const Document& document : waiting) {
    MailRecord record;
    if (!record.ParseFromString(document.body)) continue;
    facts.oldest = std::min(facts.oldest, FromProto(record.create_time()));
    if (!record.last_error().empty()) facts.last_error = record.last_error();
  }
  return facts;
}

absl::StatusOr<OperationFacts> PlatformHealth::LookAtOperations() {
  OperationFacts facts;
  drover::v1::ListOperationsRequest request;
  request.set_page_size(1000);
  request.set_top_level_only(true);
  for (const auto state : {Operation::STATE_QUEUED, Operation::STATE_RUNNING,
                           Operation::STATE_UNDOING, Operation::STATE_PAUSED}) {
    request.add_states(state);
  }
  DROVER_ASSIGN_OR_RETURN(const drover::v1::ListOperationsResponse open,
                          sources_.runner->List(request));
  const absl::Time now = sources_.clock->Now();
  for (const Operation& operation : open.operations()) {
    const bool queued = operation.state() == Operation::STATE_QUEUED;
    ++(queued ? facts.queued : facts.running);
    const bool old = now - FromProto(operation.create_time()) > kLongOperation;
    const bool paused = operation.state() == Operation::STATE_PAUSED;
    if (operation.state() == Operation::STATE_UNDOING || (old && !paused)) {
      facts.stuck.emplace_back(IdOf(operation.name()));
    }
  }
  return facts;
}

}  // namespace drover::core
