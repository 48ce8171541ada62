#include "controller/core/automatic_upgrades.h"

#include <algorithm>
#include <iterator>
#include <map>
#include <set>
#include <utility>

#include "absl/strings/escaping.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/strings/str_join.h"
#include "absl/strings/strip.h"
#include "controller/core/operation_record.h"
#include "controller/core/paging.h"
#include "proto/support/log.h"
#include "proto/support/resource_name.h"
#include "proto/support/status.h"
#include "proto/support/time.h"

namespace drover::core {
namespace {

using drover::v1::AutomaticUpgrade;
using drover::v1::LogEntry;
using drover::v1::NotifyCommitRequest;
using drover::v1::Rollout;
using drover::v1::RolloutSpec;
using drover::v1::StartRolloutRequest;
using drover::v1::Vm;
using drover::v1::VmType;

constexpr size_t kBlock = 64;
constexpr char kUser[] = "automatic upgrade";

std::string KeyOf(absl::string_view environment, absl::string_view type) {
  return absl::StrCat(IdOf(environment), "/", IdOf(type));
}

std::string CommitKey(absl::string_view key, absl::string_view repository, int64_t revision) {
  return absl::StrFormat("%s/%s/%019d", key, Fingerprint(repository), revision);
}

// Whether a working copy's url lies in what a commit was told of.
bool Within(absl::string_view url, absl::string_view repository) {
  while (absl::ConsumeSuffix(&repository, "/")) {
  }
  while (absl::ConsumeSuffix(&url, "/")) {
  }
  return url == repository || absl::StartsWith(url, absl::StrCat(repository, "/"));
}

// Whether their revisions are numbers of one repository: a hook names its root, a poll the url of a
// working copy.
bool Comparable(absl::string_view one, absl::string_view other) {
  return Within(one, other) || Within(other, one);
}

Caller OwnCaller() {
  Caller caller;
  caller.user = kUser;
  caller.role = drover::v1::ROLE_SYSTEM_ADMINISTRATOR;
  return caller;
}

// What a person must look at before it can go on, as against what time heals.
bool ForGood(const absl::Status& error) {
  switch (error.code()) {
    case absl::StatusCode::kInvalidArgument:
    case absl::StatusCode::kNotFound:
    case absl::StatusCode::kFailedPrecondition:
      return true;
    default:
      return false;
  }
}

bool SameText(absl::string_view a, absl::string_view b) {
  if (a.size() != b.size()) return false;
  unsigned char difference = 0;
  for (size_t i = 0; i < a.size(); ++i) {
    difference = static_cast<unsigned char>(difference | (a[i] ^ b[i]));
  }
  return difference == 0;
}

}  // namespace

std::string HmacSha256(Vault& vault, absl::string_view key, absl::string_view data) {
  std::string block(key);
  if (block.size() > kBlock) block = vault.Sha256(block);
  block.resize(kBlock, '\0');
  std::string inner = block;
  std::string outer = block;
  for (size_t i = 0; i < kBlock; ++i) {
    inner[i] = static_cast<char>(inner[i] ^ 0x36);
    outer[i] = static_cast<char>(outer[i] ^ 0x5c);
  }
  return vault.Sha256(absl::StrCat(outer, vault.Sha256(absl::StrCat(inner, data))));
}

std::string CommitSignature(Vault& vault, absl::string_view key,
                            const NotifyCommitRequest& request) {
  return absl::BytesToHexString(
      HmacSha256(vault, key,
                 absl::StrCat(request.repository_url(), "\n", request.revision(), "\n",
                              request.time().seconds())));
}

AutomaticUpgrades::AutomaticUpgrades(Store* store, Inventory* inventory, Rollouts* rollouts,
                                     OperationRunner* runner, EventLog* events, Vault* vault,
                                     Clock* clock, Options options)
    : store_(store),
      inventory_(inventory),
      rollouts_(rollouts),
      runner_(runner),
      events_(events),
      vault_(vault),
      clock_(clock),
      options_(std::move(options)) {
  runner_->OnChange([alarm = alarm_](absl::string_view name) {
    {
      absl::MutexLock lock(&alarm->mutex);
      if (alarm->awaited.find(name) == alarm->awaited.end()) return;
    }
    alarm->Ring();
  });
}

AutomaticUpgrades::~AutomaticUpgrades() { Stop(); }

void AutomaticUpgrades::Start() {
  worker_ = std::thread([this] { Work(); });
  poller_ = std::thread([this] { Poll(); });
}

void AutomaticUpgrades::Stop() {
  stop_.request_stop();
  alarm_->Ring();
  if (worker_.joinable()) worker_.join();
  if (poller_.joinable()) poller_.join();
}

// ---------------------------------------------------------------- settings

absl::StatusOr<std::vector<AutomaticUpgrades::Item>> AutomaticUpgrades::Items() {
  std::vector<Item> items;
  DROVER_RETURN_IF_ERROR(store_->Read([&](StoreReader& reader) -> absl::Status {
    items.clear();
    DROVER_ASSIGN_OR_RETURN(const std::vector<Document> documents,
                            reader.List(Table::kAutomaticUpgrades, {}));
    for (const Document& document : documents) {
      Item item{document.key, {}};
      if (!item.record.ParseFromString(document.body)) {
        return absl::DataLossError(absl::StrCat("automatic upgrade ", document.key, " is damaged"));
      }
      items.push_back(std::move(item));
    }
    return absl::OkStatus();
  }));
  return items;
}

absl::StatusOr<drover::v1::ListAutomaticUpgradesResponse> AutomaticUpgrades::List(
    const drover::v1::ListAutomaticUpgradesRequest& request) {
  DROVER_ASSIGN_OR_RETURN(const int limit, PageSize(request.page_size(), kUsualPage));
  std::string after;
  if (!request.page_token().empty()) {
    DROVER_ASSIGN_OR_RETURN(std::vector<std::string> place,
                            ParsePageToken(request.page_token(), "automaticUpgrades", 1));
    after = place[0];
  }
  DROVER_ASSIGN_OR_RETURN(const std::vector<Item> items, Items());
  drover::v1::ListAutomaticUpgradesResponse response;
  std::string last;
  for (const Item& item : items) {
    if (item.key <= after) continue;
    if (response.automatic_upgrades_size() == limit) {
      response.set_next_page_token(MakePageToken("automaticUpgrades", {last}));
      break;
    }
    *response.add_automatic_upgrades() = item.record.upgrade();
    last = item.key;
  }
  return response;
}

absl::Status AutomaticUpgrades::ChangeRecord(
    StoreWriter& writer, absl::string_view key,
    absl::FunctionRef<void(AutomaticUpgradeRecord&)> change) {
  AutomaticUpgradeRecord record;
  const auto document = writer.Get(Table::kAutomaticUpgrades, key);
  if (document.ok()) {
    if (!record.ParseFromString(document->body)) {
      return absl::DataLossError(absl::StrCat("automatic upgrade ", key, " is damaged"));
    }
  } else if (!absl::IsNotFound(document.status())) {
    return document.status();
  }
  change(record);
  return writer.Put(Table::kAutomaticUpgrades, {std::string(key), "", record.SerializeAsString()});
}

absl::StatusOr<AutomaticUpgrade> AutomaticUpgrades::Set(const AutomaticUpgrade& upgrade) {
  DROVER_RETURN_IF_ERROR(inventory_->GetEnvironment(upgrade.environment()).status());
  DROVER_ASSIGN_OR_RETURN(const VmType type, inventory_->GetType(upgrade.type()));
  if (upgrade.enabled() && type.working_copies().empty()) {
    return MakeError(absl::StatusCode::kFailedPrecondition, "NO_WORKING_COPIES",
                     absl::StrCat("type ", IdOf(upgrade.type()), " has no working copies"));
  }
  const std::string key = KeyOf(upgrade.environment(), upgrade.type());
  AutomaticUpgrade stored;
  DROVER_RETURN_IF_ERROR(store_->Write([&](StoreWriter& writer) -> absl::Status {
    if (!upgrade.enabled()) {
      ListQuery query;
      query.owner = key;
      DROVER_ASSIGN_OR_RETURN(const std::vector<Document> waiting,
                              writer.List(Table::kCommits, query));
      for (const Document& document : waiting) {
        DROVER_RETURN_IF_ERROR(writer.Delete(Table::kCommits, document.key));
      }
    }
    return ChangeRecord(writer, key, [&](AutomaticUpgradeRecord& record) {
      // Where it begins again is found anew.
      if (!upgrade.enabled()) record.clear_taken_up();
      AutomaticUpgrade& its = *record.mutable_upgrade();
      its.set_environment(upgrade.environment());
      its.set_type(upgrade.type());
      its.set_enabled(upgrade.enabled());
      RolloutSpec& limits = *its.mutable_limits();
      limits = upgrade.limits();
      limits.clear_vms();
      limits.clear_environment();
      limits.clear_type();
      limits.clear_working_copies();
      limits.clear_to();
      stored = its;
    });
  }));
  alarm_->Ring();
  return stored;
}

// ---------------------------------------------------------------- commits

absl::Status AutomaticUpgrades::Notify(const NotifyCommitRequest& request) {
  if (!SameText(request.signature(), CommitSignature(*vault_, options_.hook_key, request))) {
    return MakeError(absl::StatusCode::kUnauthenticated, "BAD_SIGNATURE",
                     "the signature does not fit; has the hook the key of this controller?");
  }
  if (request.revision() <= 0) return InvalidField("revision", "must be greater than 0");
  CommitRecord commit;
  commit.set_revision(request.revision());
  commit.set_repository_url(request.repository_url());
  *commit.mutable_time() = request.time();
  commit.set_told_by("hook");
  DROVER_ASSIGN_OR_RETURN(const std::vector<Item> items, Items());
  std::map<std::string, CommitRecord> commits;
  for (const Item& item : items) {
    if (!item.record.upgrade().enabled()) continue;
    const auto type = inventory_->GetType(item.record.upgrade().type());
    if (!type.ok()) continue;
    CommitRecord its = commit;
    for (const auto& copy : type->working_copies()) {
      if (!Within(copy.url(), request.repository_url())) continue;
      const auto taken = item.record.taken_up().find(copy.url());
      if (taken != item.record.taken_up().end() && taken->second >= request.revision()) continue;
      its.add_working_copies(copy.id());
    }
    if (!its.working_copies().empty()) commits[item.key] = std::move(its);
  }
  if (commits.empty()) return absl::OkStatus();
  DROVER_RETURN_IF_ERROR(store_->Write([&](StoreWriter& writer) -> absl::Status {
    for (const auto& [key, its] : commits) {
      DROVER_RETURN_IF_ERROR(
          writer.Put(Table::kCommits, {CommitKey(key, request.repository_url(), request.revision()),
                                       key, its.SerializeAsString()}));
    }
    return absl::OkStatus();
  }));
  alarm_->Ring();
  return absl::OkStatus();
}

absl::StatusOr<std::vector<AutomaticUpgrades::Pending>> AutomaticUpgrades::PendingOf(
    absl::string_view key) {
  std::vector<Pending> commits;
  DROVER_RETURN_IF_ERROR(store_->Read([&](StoreReader& reader) -> absl::Status {
    commits.clear();
    ListQuery query;
    query.owner = std::string(key);
    DROVER_ASSIGN_OR_RETURN(const std::vector<Document> documents,
                            reader.List(Table::kCommits, query));
    for (const Document& document : documents) {
      Pending pending{document.key, {}};
      if (!pending.commit.ParseFromString(document.body)) continue;
      commits.push_back(std::move(pending));
    }
    return absl::OkStatus();
  }));
  return commits;
}

// ---------------------------------------------------------------- rollouts

void AutomaticUpgrades::Alarm::Ring() {
  std::stop_source ended;
  {
    absl::MutexLock lock(&mutex);
    ended = nap;
  }
  ended.request_stop();
}

void AutomaticUpgrades::Work() {
  while (!stop_.stop_requested()) {
    std::stop_source nap;
    {
      // Before looking: what comes meanwhile ends the nap before it begins.
      absl::MutexLock lock(&alarm_->mutex);
      alarm_->nap = nap;
    }
    if (stop_.stop_requested()) return;
    bool again = false;
    const auto items = Items();
    if (!items.ok()) LogError("automatic upgrades cannot be read: ", items.status().message());
    for (const Item& item : items.value_or(std::vector<Item>())) {
      const auto more = TakeUp(item);
      if (!more.ok()) LogError("automatic upgrade of ", item.key, ": ", more.status().message());
      again = again || !more.ok() || *more;
    }
    (void)clock_->Sleep(again || !items.ok() ? options_.pause : options_.poll, nap.get_token());
  }
}

absl::StatusOr<bool> AutomaticUpgrades::TakeUp(const Item& item) {
  const AutomaticUpgrade& upgrade = item.record.upgrade();
  if (!upgrade.enabled()) return false;
  DROVER_ASSIGN_OR_RETURN(std::vector<Pending> commits, PendingOf(item.key));
  if (commits.empty()) return false;
  if (!upgrade.last_rollout().empty()) {
    const std::string name = ResourceName("operations", IdOf(upgrade.last_rollout()));
    {
      // Before looking: its end wakes this thread.
      absl::MutexLock lock(&alarm_->mutex);
      alarm_->awaited.insert(name);
    }
    const auto last = runner_->Get(name);
    if (last.ok() && !IsDone(last->state())) return false;
    absl::MutexLock lock(&alarm_->mutex);
    alarm_->awaited.erase(name);
  }
  // Again: what was told while the last one ended is taken up with the rest.
  DROVER_ASSIGN_OR_RETURN(commits, PendingOf(item.key));
  DROVER_RETURN_IF_ERROR(DropTakenUp(item, commits));
  if (commits.empty()) return false;
  // One repository at a time: revisions of two do not compare.
  const std::string repository = commits[0].commit.repository_url();
  commits.erase(std::remove_if(commits.begin(), commits.end(),
                               [&](const Pending& pending) {
                                 return !Comparable(pending.commit.repository_url(), repository);
                               }),
                commits.end());
  std::stable_sort(commits.begin(), commits.end(), [](const Pending& one, const Pending& other) {
    return one.commit.revision() < other.commit.revision();
  });
  return StartRollout(item, commits);
}

absl::Status AutomaticUpgrades::DropTakenUp(const Item& item, std::vector<Pending>& commits) {
  // A type that is gone has taken up nothing: starting its rollout says what is wrong.
  const auto type = inventory_->GetType(item.record.upgrade().type());
  if (!type.ok()) return absl::OkStatus();
  const auto taken_up = [&](const Pending& pending) {
    const auto& ids = pending.commit.working_copies();
    return std::all_of(ids.begin(), ids.end(), [&](const std::string& id) {
      for (const auto& copy : type->working_copies()) {
        if (copy.id() != id) continue;
        const auto taken = item.record.taken_up().find(copy.url());
        return taken != item.record.taken_up().end() && taken->second >= pending.commit.revision();
      }
      return false;
    });
  };
  const auto fresh = std::stable_partition(commits.begin(), commits.end(), taken_up);
  const std::vector<Pending> old(std::make_move_iterator(commits.begin()),
                                 std::make_move_iterator(fresh));
  commits.erase(commits.begin(), fresh);
  if (old.empty()) return absl::OkStatus();
  return store_->Write([&](StoreWriter& writer) -> absl::Status {
    for (const Pending& pending : old) {
      DROVER_RETURN_IF_ERROR(writer.Delete(Table::kCommits, pending.key));
      LogEntry entry = EntryOf(item, pending);
      entry.set_result("OK");
      absl::StrAppend(entry.mutable_detail(), "taken up already by ",
                      item.record.upgrade().last_rollout());
      DROVER_RETURN_IF_ERROR(events_->LogIn(writer, std::move(entry)));
    }
    return absl::OkStatus();
  });
}

LogEntry AutomaticUpgrades::EntryOf(const Item& item, const Pending& pending) {
  LogEntry entry;
  entry.set_kind(drover::v1::LOG_KIND_UPGRADE);
  entry.set_user(kUser);
  entry.set_environment(item.record.upgrade().environment());
  entry.set_vm_type(item.record.upgrade().type());
  entry.set_action("upgrade to a commit");
  entry.set_resource_name(pending.commit.repository_url());
  entry.set_detail(absl::StrCat("revision ", pending.commit.revision(), ", told by ",
                                pending.commit.told_by(), ": "));
  return entry;
}

std::set<std::string> AutomaticUpgrades::CopiesOf(const std::vector<Pending>& commits) {
  std::set<std::string> copies;
  for (const Pending& pending : commits) {
    copies.insert(pending.commit.working_copies().begin(), pending.commit.working_copies().end());
  }
  return copies;
}

absl::StatusOr<bool> AutomaticUpgrades::StartRollout(const Item& item,
                                                     const std::vector<Pending>& commits) {
  const AutomaticUpgrade& upgrade = item.record.upgrade();
  const CommitRecord& newest = commits.back().commit;
  StartRolloutRequest request;
  RolloutSpec& spec = *request.mutable_spec();
  spec = upgrade.limits();
  spec.set_environment(upgrade.environment());
  spec.set_type(upgrade.type());
  for (const std::string& copy : CopiesOf(commits)) spec.add_working_copies(copy);
  spec.set_revision(newest.revision());
  // The same again when the controller dies before it has written that it began.
  request.set_request_id(absl::StrCat(
      "auto-", Fingerprint(absl::StrCat(commits.back().key, " ", upgrade.last_rollout()))));
  const auto rollout = rollouts_->Start(request, OwnCaller());
  if (!rollout.ok() && !ForGood(rollout.status())) {
    LogWarning("automatic upgrade of ", item.key, " to ", newest.revision(),
               " waits: ", rollout.status().message());
    return true;
  }
  DROVER_RETURN_IF_ERROR(Settle(item, commits, rollout));
  // There may be commits of another repository: looked for at once, so that the end of this rollout
  // wakes whoever waits for it.
  alarm_->Ring();
  return false;
}

absl::Status AutomaticUpgrades::Settle(const Item& item, const std::vector<Pending>& commits,
                                       const absl::StatusOr<Rollout>& rollout) {
  const CommitRecord& newest = commits.back().commit;
  const std::set<std::string> copies = CopiesOf(commits);
  const auto type = inventory_->GetType(item.record.upgrade().type());
  return store_->Write([&](StoreWriter& writer) -> absl::Status {
    for (const Pending& pending : commits) {
      DROVER_RETURN_IF_ERROR(writer.Delete(Table::kCommits, pending.key));
      LogEntry entry = EntryOf(item, pending);
      entry.set_result(rollout.ok() ? "OK" : absl::StatusCodeToString(rollout.status().code()));
      absl::StrAppend(entry.mutable_detail(), rollout.ok()
                                                  ? absl::StrCat("taken up by ", rollout->name(),
                                                                 " to revision ", newest.revision())
                                                  : std::string(rollout.status().message()));
      if (rollout.ok()) entry.set_operation(rollout->operation().name());
      DROVER_RETURN_IF_ERROR(events_->LogIn(writer, std::move(entry)));
    }
    return ChangeRecord(writer, item.key, [&](AutomaticUpgradeRecord& record) {
      if (rollout.ok()) {
        record.mutable_upgrade()->set_last_rollout(rollout->name());
        record.mutable_upgrade()->set_last_revision(newest.revision());
      }
      if (!type.ok()) return;
      for (const auto& copy : type->working_copies()) {
        if (copies.count(copy.id()) == 0) continue;
        int64_t& taken = (*record.mutable_taken_up())[copy.url()];
        taken = std::max(taken, newest.revision());
      }
    });
  });
}

// ---------------------------------------------------------------- polling

void AutomaticUpgrades::Poll() {
  while (clock_->Sleep(options_.poll, stop_.get_token()).ok()) {
    const auto items = Items();
    for (const Item& item : items.value_or(std::vector<Item>())) {
      if (stop_.stop_requested()) return;
      if (!item.record.upgrade().enabled()) continue;
      if (const absl::Status polled = PollItem(item); !polled.ok()) {
        LogDebug("repositories of ", item.key, " were not asked: ", polled.message());
      }
    }
  }
}

absl::Status AutomaticUpgrades::PollItem(const Item& item) {
  DROVER_ASSIGN_OR_RETURN(const VmType type, inventory_->GetType(item.record.upgrade().type()));
  RolloutSpec spec;
  spec.set_environment(item.record.upgrade().environment());
  spec.set_type(item.record.upgrade().type());
  spec.set_head(true);
  DROVER_ASSIGN_OR_RETURN(const std::vector<Vm> vms, rollouts_->TargetsOf(spec));
  absl::Status first;
  for (const auto& copy : type.working_copies()) {
    if (!copy.url().empty()) first.Update(PollCopy(item, copy, vms));
  }
  return first;
}

absl::Status AutomaticUpgrades::PollCopy(const Item& item, const drover::v1::WorkingCopySpec& copy,
                                         const std::vector<Vm>& vms) {
  const auto taken = item.record.taken_up().find(copy.url());
  int64_t from = taken == item.record.taken_up().end() ? 0 : taken->second;
  DROVER_ASSIGN_OR_RETURN(const std::vector<Pending> waiting, PendingOf(item.key));
  for (const Pending& pending : waiting) {
    const auto& ids = pending.commit.working_copies();
    if (std::find(ids.begin(), ids.end(), copy.id()) == ids.end()) continue;
    from = std::max(from, pending.commit.revision());
  }
  DROVER_ASSIGN_OR_RETURN(const drover::agent::v1::Revisions revisions,
                          rollouts_->ReadRevisions(vms, copy.id(), from, 0));
  if (from == 0) {
    // What was there when it was switched on; the next one counts.
    return store_->Write([&](StoreWriter& writer) {
      return ChangeRecord(writer, item.key, [&](AutomaticUpgradeRecord& record) {
        int64_t& known = (*record.mutable_taken_up())[copy.url()];
        known = std::max(known, revisions.head());
      });
    });
  }
  if (revisions.head() <= from) return absl::OkStatus();
  std::map<int64_t, CommitRecord> commits;
  const auto add = [&](int64_t revision) -> CommitRecord& {
    CommitRecord& commit = commits[revision];
    commit.set_revision(revision);
    commit.set_repository_url(copy.url());
    commit.add_working_copies(copy.id());
    commit.set_told_by("poll");
    return commit;
  };
  for (const auto& message : revisions.log())
    *add(message.revision()).mutable_time() = message.time();
  if (commits.count(revisions.head()) == 0) add(revisions.head());
  DROVER_RETURN_IF_ERROR(store_->Write([&](StoreWriter& writer) -> absl::Status {
    for (const auto& [revision, commit] : commits) {
      DROVER_RETURN_IF_ERROR(writer.Put(Table::kCommits, {CommitKey(item.key, copy.url(), revision),
                                                          item.key, commit.SerializeAsString()}));
    }
    return absl::OkStatus();
  }));
  alarm_->Ring();
  return absl::OkStatus();
}

}  // namespace drover::core
