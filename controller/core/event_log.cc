#include "controller/core/event_log.h"

#include <algorithm>
#include <utility>

#include "absl/strings/str_cat.h"
#include "proto/support/log.h"
#include "proto/support/status.h"
#include "proto/support/time.h"

namespace drover::core {
namespace {

constexpr int kPage = 100;
constexpr int kReadAtOnce = 1000;

drover::v1::LogEntry ErrorEntryOf(const drover::v1::Event& event) {
  drover::v1::LogEntry entry;
  entry.set_kind(drover::v1::LOG_KIND_ERROR);
  entry.set_user("system");
  entry.set_vm(event.vm());
  entry.set_vm_type(event.type());
  entry.set_environment(event.environment());
  entry.set_action(event.kind());
  entry.set_resource_name(event.subject().empty() ? event.vm() : event.subject());
  entry.set_result("ERROR");
  entry.set_detail(event.message());
  return entry;
}

}  // namespace

EventLog::EventLog(Store* store, Vault* vault, Clock* clock, std::string backup_directory)
    : store_(store),
      clock_(clock),
      log_(store, vault, clock),
      archive_(store, vault, clock, &log_, std::move(backup_directory)) {}

// ---------------------------------------------------------------- recording

absl::Status EventLog::Record(drover::v1::Event event) {
  DROVER_RETURN_IF_ERROR(
      store_->Write([&](StoreWriter& writer) { return RecordIn(writer, &event); }));
  Announce({event});
  return absl::OkStatus();
}

absl::Status EventLog::RecordIn(StoreWriter& writer, drover::v1::Event* event) {
  if (!event->has_time()) *event->mutable_time() = ToProto(clock_->Now());
  DROVER_ASSIGN_OR_RETURN(const int64_t sequence, writer.AppendEvent(*event));
  event->set_sequence(sequence);
  {
    // Numbers are given in the order of the transactions, so the first one seen is the lowest of
    // this run of the program.
    absl::MutexLock lock(&mutex_);
    if (told_ < 0) told_ = sequence - 1;
  }
  for (const auto& follower : followers_) DROVER_RETURN_IF_ERROR(follower(writer, *event));
  if (event->severity() != drover::v1::Event::SEVERITY_ERROR) return absl::OkStatus();
  return log_.Append(writer, ErrorEntryOf(*event));
}

void EventLog::OnRecord(
    std::function<absl::Status(StoreWriter&, const drover::v1::Event&)> follower) {
  followers_.push_back(std::move(follower));
}

void EventLog::OnEvent(std::function<void(const drover::v1::Event&)> listener) {
  absl::MutexLock lock(&mutex_);
  listeners_.push_back(std::move(listener));
}

bool EventLog::TakeNext(drover::v1::Event* event, bool* read) {
  if (told_ < 0 || told_ >= durable_) return false;
  const auto next = untold_.find(told_ + 1);
  *read = next == untold_.end();
  if (*read) return true;
  *event = std::move(next->second);
  untold_.erase(next);
  ++told_;
  return true;
}

// Another thread recorded them and did not come here yet; they are in the store, because a higher
// number is.
void EventLog::ReadUntold() {
  int64_t told = 0;
  {
    absl::MutexLock lock(&mutex_);
    told = told_;
  }
  absl::StatusOr<std::vector<drover::v1::Event>> events = store_->ReadEvents(told, kReadAtOnce);
  absl::MutexLock lock(&mutex_);
  if (!events.ok()) {
    LogError("events after ", told,
             " cannot be read and are not passed on: ", events.status().message());
    told_ = durable_;
    return;
  }
  for (drover::v1::Event& event : *events) {
    durable_ = std::max(durable_, event.sequence());
    untold_.emplace(event.sequence(), std::move(event));
  }
  // What is not in the store will not come.
  told_ = untold_.empty() ? durable_ : std::max(told_, untold_.begin()->first - 1);
}

void EventLog::Announce(const std::vector<drover::v1::Event>& events) {
  std::vector<std::function<void(const drover::v1::Event&)>> listeners;
  {
    absl::MutexLock lock(&mutex_);
    for (const drover::v1::Event& event : events) {
      durable_ = std::max(durable_, event.sequence());
      if (event.sequence() > told_) untold_.emplace(event.sequence(), event);
    }
    if (telling_) return;
    telling_ = true;
    listeners = listeners_;
  }
  while (true) {
    drover::v1::Event event;
    bool read = false;
    {
      absl::MutexLock lock(&mutex_);
      if (!TakeNext(&event, &read)) {
        telling_ = false;
        return;
      }
    }
    if (read) {
      ReadUntold();
      continue;
    }
    for (const auto& listener : listeners) listener(event);
  }
}

absl::Status EventLog::Log(drover::v1::LogEntry entry) {
  return store_->Write([&](StoreWriter& writer) { return log_.Append(writer, entry); });
}

absl::Status EventLog::LogIn(StoreWriter& writer, drover::v1::LogEntry entry) {
  return log_.Append(writer, std::move(entry));
}

// ---------------------------------------------------------------- searching

absl::StatusOr<drover::v1::SearchLogResponse> EventLog::Search(
    const drover::v1::SearchLogRequest& request) {
  const int page = request.page_size() > 0 ? request.page_size() : kPage;
  DROVER_ASSIGN_OR_RETURN(std::vector<drover::v1::LogEntry> entries,
                          store_->SearchLog(request, page + 1));
  drover::v1::SearchLogResponse response;
  for (drover::v1::LogEntry& entry : entries) {
    if (response.entries_size() == page) {
      response.set_next_page_token(absl::StrCat(response.entries(page - 1).id()));
      break;
    }
    *response.add_entries() = std::move(entry);
  }
  return response;
}

absl::StatusOr<drover::v1::ListEventsResponse> EventLog::ListEvents(
    const drover::v1::ListEventsRequest& request) {
  const int page = request.page_size() > 0 ? request.page_size() : kPage;
  DROVER_ASSIGN_OR_RETURN(std::vector<drover::v1::Event> events,
                          store_->ListEvents(request, page + 1));
  drover::v1::ListEventsResponse response;
  for (drover::v1::Event& event : events) {
    if (response.events_size() == page) {
      response.set_next_page_token(absl::StrCat(response.events(page - 1).sequence()));
      break;
    }
    *response.add_events() = std::move(event);
  }
  return response;
}

// ---------------------------------------------------------------- keeping

absl::StatusOr<drover::v1::VerifyLogResponse> EventLog::Verify() { return log_.Verify(); }

absl::StatusOr<drover::v1::LogBackup> EventLog::BackUp(
    const drover::v1::BackUpLogRequest& request) {
  return archive_.BackUp(request);
}

absl::StatusOr<drover::v1::ListLogBackupsResponse> EventLog::ListBackups(
    const drover::v1::ListLogBackupsRequest& request) {
  return archive_.List(request);
}

absl::StatusOr<drover::v1::LogBackup> EventLog::GetBackup(absl::string_view name) {
  return archive_.Get(name);
}

absl::StatusOr<drover::v1::DeleteLogResponse> EventLog::Delete(
    const drover::v1::DeleteLogRequest& request, const Caller& caller) {
  return archive_.Delete(request, caller);
}

}  // namespace drover::core
