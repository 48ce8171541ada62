#include "controller/core/open_operations.h"

#include <algorithm>

#include "controller/core/operation_record.h"
#include "proto/support/log.h"
#include "proto/support/resource_name.h"
#include "proto/support/status.h"
#include "proto/support/time.h"

namespace drover::core {
namespace {

using drover::v1::Operation;

constexpr int kPage = 500;
constexpr absl::Duration kLongestNap = absl::Seconds(5);
constexpr absl::Duration kQuietTime = absl::Milliseconds(200);

std::string KeyOf(const OperationRecord& record) {
  return std::string(IdOf(record.operation().name()));
}

Document DocumentOf(const OperationRecord& record) {
  return {KeyOf(record), std::string(IdOf(record.operation().parent())),
          record.SerializeAsString()};
}

}  // namespace

OpenOperations::OpenOperations(Store* store, Clock* clock, int per_lane, int per_batch)
    : store_(store), clock_(clock), queue_(per_lane, per_batch) {}

void OpenOperations::OnChange(Listener listener) { listeners_.push_back(std::move(listener)); }

void OpenOperations::OnEnd(EndRecorder record, Announcer announce) {
  record_end_ = std::move(record);
  announce_ = std::move(announce);
}

void OpenOperations::Tell(absl::string_view id) const {
  if (id.empty()) return;
  for (const Listener& listener : listeners_) listener(id);
}

// ---------------------------------------------------------------- loading

absl::Status OpenOperations::Load() {
  ListQuery query;
  query.limit = kPage;
  for (;;) {
    std::vector<Document> page;
    DROVER_RETURN_IF_ERROR(store_->Read([&](StoreReader& reader) -> absl::Status {
      DROVER_ASSIGN_OR_RETURN(page, reader.List(Table::kOperations, query));
      return absl::OkStatus();
    }));
    absl::MutexLock lock(&mutex_);
    for (const Document& document : page) {
      OperationRecord record;
      if (!record.ParseFromString(document.body)) {
        return MakeError(absl::StatusCode::kDataLoss, "OPERATION_UNREADABLE",
                         absl::StrCat("operation ", document.key, " cannot be read"));
      }
      last_id_ = std::max(last_id_, document.key);
      // Children come after their parent: those of an open one are needed even when they are done.
      const Entry* parent = FindEntry(document.owner);
      if (IsDone(record) && parent == nullptr) continue;
      AddEntry(std::move(record));
    }
    if (page.size() < kPage) return absl::OkStatus();
    query.after_key = page.back().key;
  }
}

void OpenOperations::AddEntry(OperationRecord record) {
  const std::string id = KeyOf(record);
  auto entry = std::make_unique<Entry>();
  entry->settled = IsDone(record);
  Operation& operation = *record.mutable_operation();
  if (!entry->settled) {
    OperationQueue::Item item{id,
                              {record.holds().begin(), record.holds().end()},
                              record.lane(),
                              std::string(IdOf(operation.parent())),
                              operation.has_start_time()};
    queue_.Add(std::move(item));
    queue_.SetAtOnce(id, record.at_once());
    // Nobody runs it yet.
    if (operation.state() == Operation::STATE_RUNNING && !record.has_children()) {
      operation.set_state(Operation::STATE_QUEUED);
    }
  }
  entry->record = std::move(record);
  entry->stepwise = ReleaseOf(entry->record).has_value();
  if (Entry* parent = FindEntry(IdOf(entry->record.operation().parent()))) {
    entry->index = static_cast<int>(parent->children.size());
    parent->children.push_back(id);
    UpdateParent(*entry);
  }
  entries_[id] = std::move(entry);
}

bool OpenOperations::OpeningDone(const std::string& parent) const {
  const Entry* entry = FindEntry(parent);
  return entry == nullptr || NextStep(entry->record, /*after_children=*/false) < 0;
}

void OpenOperations::OpenGate(const std::string& id, Entry& entry) {
  if (entry.settled || entry.running || entry.withdrawn || entry.not_before.has_value()) return;
  if (entry.record.has_children()) {
    const bool waits = OpeningDone(id) && !ChildrenDone(entry.record) &&
                       entry.record.operation().state() != Operation::STATE_UNDOING &&
                       !MayRelease(entry);
    if (!waits) queue_.Open(id);
    return;
  }
  if (MayBegin(entry)) queue_.Open(id);
}

void OpenOperations::OpenGates() {
  absl::MutexLock lock(&mutex_);
  // Children that were done before are only needed for their parents' targets.
  for (auto it = entries_.begin(); it != entries_.end();) {
    if (it->second->settled) {
      it = entries_.erase(it);
    } else {
      OpenGate(it->first, *it->second);
      ++it;
    }
  }
  changed_.SignalAll();
}

// ---------------------------------------------------------------- new ones

absl::Status OpenOperations::Insert(std::vector<OperationRecord>& records,
                                    absl::string_view request_key, RequestRecord request) {
  std::vector<std::string> ids;
  {
    // Their places in the queues are taken before they are recorded, so that age is order.
    absl::MutexLock lock(&mutex_);
    if (stopping_) {
      return MakeError(absl::StatusCode::kUnavailable, "CONTROLLER_STOPPING",
                       "the controller is stopping; try again");
    }
    const absl::Time now = clock_->Now();
    for (OperationRecord& record : records) {
      last_id_ = NextOperationId(now, last_id_);
      ids.push_back(last_id_);
      Operation& operation = *record.mutable_operation();
      operation.set_name(ResourceName("operations", last_id_));
      *operation.mutable_create_time() = ToProto(now);
      if (ids.size() > 1) operation.set_parent(ResourceName("operations", ids.front()));
      operation.set_revision(1);
    }
    for (size_t i = 1; i < records.size(); ++i) {
      records.front().mutable_operation()->mutable_targets()->Add(TargetOf(records[i]));
    }
    for (OperationRecord& record : records) AddEntry(record);
  }
  request.mutable_response()->PackFrom(records.front().operation());
  const absl::Status written = WriteNew(records, request_key, request);
  absl::MutexLock lock(&mutex_);
  for (const std::string& id : ids) {
    if (written.ok()) {
      OpenGate(id, *entries_[id]);
    } else {
      queue_.Remove(id);
      entries_.erase(id);
    }
  }
  changed_.SignalAll();
  return written;
}

absl::Status OpenOperations::WriteNew(const std::vector<OperationRecord>& records,
                                      absl::string_view request_key, const RequestRecord& request) {
  return store_->Write([&](StoreWriter& writer) -> absl::Status {
    if (!request_key.empty()) {
      DROVER_RETURN_IF_ERROR(writer.Insert(
          Table::kRequests, {std::string(request_key), "", request.SerializeAsString()}));
    }
    for (const OperationRecord& record : records) {
      DROVER_RETURN_IF_ERROR(writer.Put(Table::kOperations, DocumentOf(record)));
    }
    return absl::OkStatus();
  });
}

absl::Status OpenOperations::WriteChange(const OperationRecord& record,
                                         std::vector<drover::v1::Event>* events) {
  return store_->Write([&](StoreWriter& writer) -> absl::Status {
    events->clear();
    if (IsDone(record) && record_end_) {
      DROVER_RETURN_IF_ERROR(record_end_(writer, record, events));
    }
    return writer.Put(Table::kOperations, DocumentOf(record));
  });
}

// ---------------------------------------------------------------- running

std::optional<std::string> OpenOperations::Take() {
  absl::MutexLock lock(&mutex_);
  for (;;) {
    if (stopping_) return std::nullopt;
    if (std::optional<std::string> id = queue_.Take()) {
      Entry& entry = *entries_[*id];
      entry.running = true;
      entry.woken = false;
      entry.stop = std::stop_source();
      return id;
    }
    changed_.Wait(&mutex_);
  }
}

void OpenOperations::StopRunning(absl::string_view id, Entry& entry) {
  queue_.PutBack(id);
  entry.running = false;
  entry.aside = false;
}

std::optional<std::stop_source> OpenOperations::Delay(const std::string& id, Entry& entry,
                                                      absl::Duration delay) {
  if (delay <= absl::ZeroDuration()) {
    OpenGate(id, entry);
    return std::nullopt;
  }
  entry.not_before = clock_->Now() + delay;
  const bool first = delays_.empty() || *entry.not_before < delays_.begin()->first;
  delays_.emplace(*entry.not_before, id);
  if (!first) return std::nullopt;
  return nap_;
}

void OpenOperations::EndDelay(const std::string& id, Entry& entry) {
  if (!entry.not_before.has_value()) return;
  delays_.erase({*entry.not_before, id});
  entry.not_before.reset();
}

void OpenOperations::PutBack(absl::string_view id, absl::Duration delay) {
  std::optional<std::stop_source> nap;
  {
    absl::MutexLock lock(&mutex_);
    Entry* entry = FindEntry(id);
    if (entry == nullptr) return;
    StopRunning(id, *entry);
    nap = Delay(std::string(id), *entry, delay);
    changed_.SignalAll();
  }
  if (nap.has_value()) nap->request_stop();
}

void OpenOperations::SetAside(absl::string_view id, absl::Duration at_most) {
  std::optional<std::stop_source> nap;
  std::string parent;
  {
    absl::MutexLock lock(&mutex_);
    Entry* entry = FindEntry(id);
    if (entry == nullptr) return;
    StopRunning(id, *entry);
    entry->aside = !entry->woken;
    nap = Delay(std::string(id), *entry, entry->woken ? absl::ZeroDuration() : at_most);
    parent = std::string(IdOf(entry->record.operation().parent()));
    changed_.SignalAll();
  }
  if (nap.has_value()) nap->request_stop();
  // It stays like this for a while, whatever was too quick to be told.
  Tell(id);
  Tell(parent);
}

void OpenOperations::Wake(absl::string_view id) {
  absl::MutexLock lock(&mutex_);
  Entry* entry = FindEntry(id);
  if (entry == nullptr) return;
  entry->woken = true;
  if (!entry->aside) return;
  entry->aside = false;
  EndDelay(std::string(id), *entry);
  OpenGate(std::string(id), *entry);
  changed_.SignalAll();
}

bool OpenOperations::WithdrawEntry(const std::string& id, Entry& entry) {
  if (entry.running || entry.withdrawn || entry.settled) return false;
  if (entry.record.has_children() || HasBegun(entry.record)) return false;
  entry.withdrawn = true;
  queue_.Close(id);
  return true;
}

bool OpenOperations::Withdraw(absl::string_view id) {
  absl::MutexLock lock(&mutex_);
  Entry* entry = FindEntry(id);
  return entry != nullptr && WithdrawEntry(std::string(id), *entry);
}

std::vector<std::string> OpenOperations::WithdrawChildren(absl::string_view id) {
  absl::MutexLock lock(&mutex_);
  std::vector<std::string> withdrawn;
  const Entry* entry = FindEntry(id);
  if (entry == nullptr) return withdrawn;
  for (const std::string& child : entry->children) {
    Entry* its = FindEntry(child);
    if (its != nullptr && WithdrawEntry(child, *its)) withdrawn.push_back(child);
  }
  return withdrawn;
}

void OpenOperations::Readmit(absl::string_view id) {
  absl::MutexLock lock(&mutex_);
  Entry* entry = FindEntry(id);
  if (entry == nullptr) return;
  entry->withdrawn = false;
  OpenGate(std::string(id), *entry);
  changed_.SignalAll();
}

void OpenOperations::Settle(absl::string_view id) {
  const auto it = entries_.find(id);
  queue_.Remove(id);
  EndDelay(it->first, *it->second);
  const std::string parent_id(IdOf(it->second->record.operation().parent()));
  entries_.erase(it);
  if (Entry* parent = FindEntry(parent_id)) OpenGate(parent_id, *parent);
}

// ---------------------------------------------------------------- records

OpenOperations::Entry* OpenOperations::FindEntry(absl::string_view id) const {
  const auto it = entries_.find(id);
  return it == entries_.end() ? nullptr : it->second.get();
}

OperationRecord OpenOperations::Snapshot(const std::string& id, const Entry& entry) const {
  OperationRecord record = entry.record;
  if (!record.has_children() && record.operation().targets_size() == 1) {
    *record.mutable_operation()->mutable_targets(0) = TargetOf(entry.record);
  }
  if (record.operation().state() == Operation::STATE_QUEUED) {
    for (const std::string& holder : queue_.WaitsFor(id)) {
      record.mutable_operation()->add_waits_for(ResourceName("operations", holder));
    }
  }
  return record;
}

std::optional<OperationRecord> OpenOperations::Find(absl::string_view id) const {
  absl::MutexLock lock(&mutex_);
  const Entry* entry = FindEntry(id);
  if (entry == nullptr) return std::nullopt;
  return Snapshot(std::string(id), *entry);
}

std::vector<std::string> OpenOperations::ChildrenOf(absl::string_view id) const {
  absl::MutexLock lock(&mutex_);
  const Entry* entry = FindEntry(id);
  return entry == nullptr ? std::vector<std::string>() : entry->children;
}

std::vector<OperationRecord> OpenOperations::All() const {
  absl::MutexLock lock(&mutex_);
  std::vector<OperationRecord> all;
  for (const auto& [id, entry] : entries_) all.push_back(Snapshot(id, *entry));
  return all;
}

std::string OpenOperations::Recall(absl::string_view id, int step, const std::string& key) const {
  absl::MutexLock lock(&mutex_);
  const Entry* entry = FindEntry(id);
  if (entry == nullptr) return "";
  const auto memory = entry->record.memory().find(step);
  if (memory == entry->record.memory().end()) return "";
  const auto value = memory->second.values().find(key);
  return value == memory->second.values().end() ? "" : value->second;
}

std::string OpenOperations::UpdateParent(const Entry& child) {
  const absl::string_view parent_id = IdOf(child.record.operation().parent());
  Entry* parent = FindEntry(parent_id);
  if (parent == nullptr) return "";
  Operation& operation = *parent->record.mutable_operation();
  if (child.index < operation.targets_size()) {
    *operation.mutable_targets(child.index) = TargetOf(child.record);
    operation.set_revision(operation.revision() + 1);
    if (operation.state() == Operation::STATE_QUEUED &&
        child.record.operation().state() != Operation::STATE_QUEUED) {
      Start(parent->record, clock_->Now());
    }
    SetParentPercent(parent->record);
  }
  return std::string(parent_id);
}

absl::Status OpenOperations::Save(absl::string_view id, Change change) {
  OperationRecord copy;
  {
    absl::MutexLock lock(&mutex_);
    Entry* entry = FindEntry(id);
    while (entry != nullptr && entry->writing) {
      changed_.Wait(&mutex_);
      entry = FindEntry(id);
    }
    if (entry == nullptr) return absl::NotFoundError("not open");
    entry->writing = true;
    copy = entry->record;
  }
  change(copy);
  copy.mutable_operation()->set_revision(copy.operation().revision() + 1);
  std::vector<drover::v1::Event> events;
  const absl::Status written = WriteChange(copy, &events);
  std::string parent;
  {
    absl::MutexLock lock(&mutex_);
    Entry& entry = *FindEntry(id);
    entry.writing = false;
    if (written.ok()) {
      change(entry.record);
      Operation& operation = *entry.record.mutable_operation();
      operation.set_revision(std::max(operation.revision(), copy.operation().revision() - 1) + 1);
      parent = UpdateParent(entry);
      if (IsDone(entry.record)) Settle(id);
    }
    changed_.SignalAll();
  }
  if (!written.ok()) return written;
  if (!events.empty()) announce_(events);
  Tell(id);
  Tell(parent);
  return absl::OkStatus();
}

absl::Status OpenOperations::SaveSurely(absl::string_view id, Change change) {
  absl::Duration pause = absl::Seconds(1);
  for (;;) {
    const absl::Status saved = Save(id, change);
    if (saved.ok() || absl::IsNotFound(saved)) return saved;
    LogError("operation ", id, " cannot be recorded, trying again: ", saved.message());
    DROVER_RETURN_IF_ERROR(clock_->Sleep(pause, shutdown_.get_token()));
    pause = std::min(pause * 2, absl::Seconds(30));
  }
}

void OpenOperations::Touch(absl::string_view id, News change) {
  std::string parent;
  bool quiet = false;
  std::optional<std::stop_source> nap;
  {
    absl::MutexLock lock(&mutex_);
    Entry* entry = FindEntry(id);
    if (entry == nullptr) return;
    Operation& operation = *entry->record.mutable_operation();
    const int before = operation.percent();
    const auto order_state = entry->record.order_state();
    if (!change(entry->record)) return;
    operation.set_revision(operation.revision() + 1);
    parent = UpdateParent(*entry);
    const absl::Time now = clock_->Now();
    const bool same = operation.percent() == before && entry->record.order_state() == order_state;
    quiet = same && now - entry->told < kQuietTime;
    if (quiet) {
      nap = Owe(std::string(id), *entry);
    } else {
      Told(std::string(id), *entry, now);
    }
  }
  if (nap.has_value()) nap->request_stop();
  if (quiet) return;
  Tell(id);
  Tell(parent);
}

std::optional<std::stop_source> OpenOperations::Owe(const std::string& id, Entry& entry) {
  if (entry.owed.has_value()) return std::nullopt;
  entry.owed = entry.told + kQuietTime;
  const bool first = owed_.empty() || *entry.owed < owed_.begin()->first;
  owed_.emplace(*entry.owed, id);
  if (!first) return std::nullopt;
  changed_.SignalAll();
  return nap_;
}

void OpenOperations::Told(const std::string& id, Entry& entry, absl::Time now) {
  entry.told = now;
  if (!entry.owed.has_value()) return;
  owed_.erase({*entry.owed, id});
  entry.owed.reset();
}

std::vector<std::string> OpenOperations::QueueOf(absl::string_view vm) const {
  absl::MutexLock lock(&mutex_);
  return queue_.QueueOf(vm);
}

// ---------------------------------------------------------------- stopping

std::stop_token OpenOperations::StopToken(absl::string_view id, bool renew) {
  absl::MutexLock lock(&mutex_);
  Entry* entry = FindEntry(id);
  if (entry == nullptr || stopping_) return shutdown_.get_token();
  if (renew) entry->stop = std::stop_source();
  return entry->stop.get_token();
}

void OpenOperations::RequestStop(absl::string_view id) {
  std::stop_source stop;
  {
    absl::MutexLock lock(&mutex_);
    Entry* entry = FindEntry(id);
    if (entry == nullptr) return;
    // What is being undone is not stopped by a cancel.
    if (entry->record.operation().state() == Operation::STATE_UNDOING) return;
    // What was committed goes on to its end.
    if (entry->record.committed()) return;
    if (entry->running) stop = entry->stop;
  }
  stop.request_stop();
  Wake(id);
}

void OpenOperations::Shutdown() {
  std::vector<std::stop_source> stops;
  {
    absl::MutexLock lock(&mutex_);
    stopping_ = true;
    for (const auto& [id, entry] : entries_) {
      if (entry->running) stops.push_back(entry->stop);
    }
    stops.push_back(nap_);
    changed_.SignalAll();
  }
  shutdown_.request_stop();
  for (std::stop_source& stop : stops) stop.request_stop();
}

bool OpenOperations::stopping() const {
  absl::MutexLock lock(&mutex_);
  return stopping_;
}

std::optional<OpenOperations::Nap> OpenOperations::OpenDue() {
  for (;;) {
    std::vector<std::string> due;
    {
      absl::MutexLock lock(&mutex_);
      while (!stopping_ && delays_.empty() && owed_.empty()) changed_.Wait(&mutex_);
      if (stopping_) return std::nullopt;
      const absl::Time now = clock_->Now();
      while (!delays_.empty() && delays_.begin()->first <= now) {
        const std::string id = delays_.begin()->second;
        Entry* entry = FindEntry(id);
        entry->aside = false;
        EndDelay(id, *entry);
        OpenGate(id, *entry);
        changed_.SignalAll();
      }
      while (!owed_.empty() && owed_.begin()->first <= now) {
        const std::string id = owed_.begin()->second;
        owed_.erase(owed_.begin());
        Entry* entry = FindEntry(id);
        // It has ended, and that was told.
        if (entry == nullptr) continue;
        entry->owed.reset();
        entry->told = now;
        due.push_back(id);
        due.emplace_back(IdOf(entry->record.operation().parent()));
      }
      absl::Time next = absl::InfiniteFuture();
      if (!delays_.empty()) next = delays_.begin()->first;
      if (!owed_.empty()) next = std::min(next, owed_.begin()->first);
      if (due.empty() && next < absl::InfiniteFuture()) {
        nap_ = std::stop_source();
        return Nap{std::min(next - now, kLongestNap), nap_.get_token()};
      }
    }
    for (const std::string& id : due) Tell(id);
  }
}

}  // namespace drover::core
